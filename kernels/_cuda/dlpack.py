"""Arrays of a GPU to and from other libraries without a copy, by DLPack's capsules.

A capsule carries the address of a ``DLManagedTensor``: where the elements are and what they are, and the function by which whoever takes it over
says that it is done with it.  https://dmlc.github.io/dlpack/latest/c_api.html, https://data-apis.org/array-api/latest
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_uint8, c_uint16, c_uint64, c_void_p
from typing import Any

from .. import _dtypes
from . import devices, memory, streams, strides
from .array import LEGACY_STREAM, CudaArray
from .driver import load

CUDA, CUDA_MANAGED = 2, 13  # kinds of devices
_FRESH, _USED = b"dltensor", b"used_dltensor"  # names of a capsule before and after somebody took it over
_NO_SYNC = -1  # for a stream: the caller sees to the order itself

# Codes of kinds of numbers: i, u, f, bfloat16, complex, bool.
_CODES = {"i": 0, "u": 1, "f": 2, "V": 4, "c": 5, "b": 6}
_DTYPES = {(_CODES[d.kind], 8 * d.itemsize): d for d in _dtypes.ALL}


class _Device(ctypes.Structure):
    _fields_ = [("kind", c_int32), ("index", c_int32)]


class _DataType(ctypes.Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("device", _Device),
        ("ndim", c_int32),
        ("dtype", _DataType),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),  # in elements; NULL: row-major
        ("byte_offset", c_uint64),
    ]


_Deleter = ctypes.CFUNCTYPE(None, c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", c_void_p), ("deleter", c_void_p)]


_new = ctypes.pythonapi["PyCapsule_New"]
_new.argtypes, _new.restype = [c_void_p, c_char_p, c_void_p], ctypes.py_object
# A destructor is given a capsule that has no references left, and must not make one: there a capsule is an address.
_is_valid = ctypes.pythonapi["PyCapsule_IsValid"]
_is_valid.argtypes, _is_valid.restype = [c_void_p, c_char_p], c_int
_pointer = ctypes.pythonapi["PyCapsule_GetPointer"]
_pointer.argtypes, _pointer.restype = [c_void_p, c_char_p], c_void_p
_rename = ctypes.pythonapi["PyCapsule_SetName"]
_rename.argtypes, _rename.restype = [c_void_p, c_char_p], c_int

# What was exported and is still in use, by the address of its description: that, its sizes and the array.
_exported: dict[int, Any] = {}


@_Deleter
def _release(address: int) -> None:
    _exported.pop(address, None)


@_Deleter
def _destroy(capsule: int) -> None:
    """A capsule that nobody took over is gone."""
    try:
        fresh = _is_valid(capsule, _FRESH)
    except (
        Exception
    ):  # of who refused to take it over: while that error is on its way the capsule goes, and the first call from here meets it
        fresh = _is_valid(capsule, _FRESH)
    if fresh:
        _exported.pop(_pointer(capsule, _FRESH), None)


def exported(array: CudaArray, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
    """The capsule for ``array``.  What the current stream has still to do comes before what the caller's ``stream`` does next (None: the default
    stream; -1: the caller sees to it).

    Raises BufferError for a copy, or for another device than the array's.
    """
    index = array.device_index
    if copy:
        raise BufferError("__dlpack__: a copy was asked for; clone() the tensor first")
    if dl_device is not None and tuple(dl_device) != (CUDA, index):
        raise BufferError(f"__dlpack__: the tensor is on cuda:{index}; move it to device {tuple(dl_device)} first")
    if stream != _NO_SYNC:
        _order(0 if stream is None or stream == LEGACY_STREAM else int(stream), index)
    ndim, item = array.ndim, array.itemsize
    sizes = (c_int64 * (2 * ndim))(*array.shape, *(s // item for s in array.strides))
    start = ctypes.addressof(sizes)
    dtype = _DataType(_CODES[array.dtype.kind], 8 * item, 1)
    places = (ctypes.cast(at, POINTER(c_int64)) for at in (start, start + 8 * ndim))
    managed = _Managed(_Tensor(array.pointer, _Device(CUDA, index), ndim, dtype, *places, 0), None, ctypes.cast(_release, c_void_p))
    address = ctypes.addressof(managed)
    _exported[address] = managed, sizes, array
    return _new(address, _FRESH, ctypes.cast(_destroy, c_void_p))


def _order(theirs: int, device: int) -> None:
    """Let stream ``theirs`` wait for what the current stream has been given."""
    ours = streams.current_stream(device)
    if ours.handle != theirs:
        event = ours.record_event()
        with devices.guard(device):
            load().StreamWaitEvent(theirs, event.cuda_event, 0)


class _Owner:
    """Keeps what was imported alive."""

    def __init__(self, address: int, deleter: int | None):
        self._address, self._deleter = address, deleter

    def __del__(self) -> None:
        if self._deleter:
            _Deleter(self._deleter)(self._address)


def imported(source: Any) -> CudaArray:
    """The array over the memory of an object with ``__dlpack__`` on a GPU.

    Raises TypeError for a type of elements that there is none of here, BufferError for an object on the CPU.
    """
    kind, index = source.__dlpack_device__()
    if kind not in (CUDA, CUDA_MANAGED):
        raise BufferError(f"from_dlpack: expected an object on a GPU, but got one on a device of kind {kind}")
    capsule = source.__dlpack__(stream=streams.current_handle(index) or LEGACY_STREAM)
    address = _pointer(id(capsule), _FRESH)
    managed = _Managed.from_address(address)
    _rename(id(capsule), _USED)
    owner = _Owner(address, managed.deleter)
    tensor = managed.tensor
    dtype = _DTYPES.get((tensor.dtype.code, tensor.dtype.bits)) if tensor.dtype.lanes == 1 else None
    if dtype is None:
        raise TypeError(
            f"from_dlpack: unsupported type of elements: code {tensor.dtype.code}, {tensor.dtype.bits} bits x {tensor.dtype.lanes}"
        )
    shape = tuple(tensor.shape[: tensor.ndim])
    steps = tuple(s * dtype.itemsize for s in tensor.strides[: tensor.ndim]) if tensor.strides else strides.row_major(shape, dtype.itemsize)
    pointer = (tensor.data or 0) + tensor.byte_offset
    if pointer % dtype.itemsize:
        raise BufferError(f"from_dlpack: expected an address that is a multiple of {dtype.itemsize} bytes, as elements of {dtype} have")
    low, high = strides.span(shape, steps, dtype.itemsize)
    return CudaArray(memory.borrowed(pointer + low, high - low, index, owner), pointer, shape, steps, dtype)
