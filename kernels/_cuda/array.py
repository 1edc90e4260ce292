"""What a tensor on a GPU holds: a place in device memory, a shape and strides.

``CudaArray`` has the part of ``numpy.ndarray``'s interface that does not touch elements: what it is, and views of it, by NumPy's names and rules.
Arithmetic is the families' (``kernels/*/cuda.py``).  Its values come to the host by ``item``, which waits for them, or by ``transfer``; NumPy
itself is refused, so that nothing is copied by accident.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .. import _dtypes
from . import devices, memory, objects, streams, strides
from .driver import load


class Flags(NamedTuple):
    """What ``array.flags`` says."""

    c_contiguous: bool
    writeable: bool = True


_DENSE, _STRIDED = Flags(True), Flags(False)


class Form:
    """What an array is but for its place: shape, strides in bytes, dtype, flags, and the bytes of its elements.

    Forms are made by ``form_of``, once for each that is in use, so that what is known of calls with arrays of some forms is kept by the forms themselves,
    which are told apart by where they are.
    """

    __slots__ = ("shape", "strides", "dtype", "flags", "nbytes")

    def __init__(self, shape: tuple[int, ...], strides_: tuple[int, ...], dtype: np.dtype):
        self.shape, self.strides, self.dtype = tuple(map(int, shape)), tuple(map(int, strides_)), dtype
        self.flags = _DENSE if strides.is_contiguous(shape, strides_, dtype.itemsize) else _STRIDED
        self.nbytes = math.prod(self.shape) * dtype.itemsize


# One that is forgotten while it is still in use has a second beside it: what was known by the first is found out anew.
form_of = functools.lru_cache(maxsize=4096)(Form)


class CudaArray:
    """A strided view of an allocation on one device; all views of an allocation keep it alive."""

    __slots__ = ("allocation", "pointer", "form", "shape", "strides", "dtype", "flags", "__weakref__")
    allocation: Any  # memory.Allocation
    pointer: int  # the address of the first element
    form: Form  # and so much of it as is looked at often:
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    dtype: np.dtype
    flags: Flags

    device_kind = "cuda"
    __array_ufunc__ = None  # NumPy's operators leave the answer to the other operand
    __hash__ = object.__hash__

    def __init__(self, allocation: Any, pointer: int, shape: tuple[int, ...], strides_: tuple[int, ...], dtype: np.dtype):
        self.allocation = allocation
        self.pointer = pointer
        self.form = form = form_of(shape, strides_, dtype)
        self.shape = form.shape
        self.strides = form.strides
        self.dtype = form.dtype
        self.flags = form.flags

    # ---- what it is ---------------------------------------------------------------------------------------------------------------

    @property
    def device_index(self) -> int:
        return self.allocation.device

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.form.nbytes

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<CudaArray {_dtypes.name(self.dtype)}{list(self.shape)} on cuda:{self.device_index} at {self.pointer:#x}>"

    def extent(self) -> tuple[int, int]:
        """The addresses that the elements take up, from and up to."""
        low, high = strides.span(self.shape, self.strides, self.dtype.itemsize)
        return self.pointer + low, self.pointer + high

    def overlaps(self, other: Any) -> bool:
        """Whether the ranges of addresses of two arrays meet."""
        if not isinstance(other, CudaArray) or other.device_index != self.device_index:
            return False
        (start, stop), (first, last) = self.extent(), other.extent()
        return start < last and first < stop

    # ---- views --------------------------------------------------------------------------------------------------------------------

    def _seen_as(self, shape: tuple[int, ...], strides_: tuple[int, ...], offset: int = 0, dtype: np.dtype | None = None) -> CudaArray:
        return _viewed(self.allocation, self.pointer + offset, form_of(shape, strides_, self.dtype if dtype is None else dtype))

    def as_strided(self, shape: Sequence[int], strides_: Sequence[int], offset: int = 0) -> CudaArray:
        """The view of that shape and those strides, ``offset`` behind the first element, all in bytes, which the caller answers for."""
        return self._seen_as(tuple(shape), tuple(strides_), offset)

    def view(self, dtype: Any = None) -> CudaArray:
        """The same memory as elements of another type.  Raises ValueError where the last dimension does not come out even."""
        found = self.dtype if dtype is None else np.dtype(dtype)
        geometry = strides.retyped(self.shape, self.strides, self.dtype.itemsize, found.itemsize)
        return self._seen_as(geometry.shape, geometry.strides, 0, found)

    def reshape(self, *shape: Any) -> CudaArray:
        """A view in another shape; one size may be -1.  Raises ValueError where sizes do not fit or, unlike NumPy, it would be a copy."""
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        target = strides.inferred(sizes, self.size)
        seen = self.reshaped(target)
        if seen is None:
            raise ValueError(f"an array of shape {self.shape} and strides {self.strides} has no view of shape {target}")
        return seen

    def reshaped(self, shape: tuple[int, ...]) -> CudaArray | None:
        """The view in a ``shape`` of as many elements, or None where that needs a copy."""
        if self.flags.c_contiguous:
            return _viewed(self.allocation, self.pointer, dense(shape, self.dtype))
        found = strides.reshaped(self.shape, self.strides, shape, self.dtype.itemsize)
        return None if found is None else self._seen_as(shape, found)

    def transpose(self, *axes: Any) -> CudaArray:
        """The dimensions in the order ``axes``, or reversed.  Raises ValueError for what is no order of them."""
        given = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        ndim = len(self.shape)
        order = [a + ndim if a < 0 else a for a in given] if given else list(range(ndim - 1, -1, -1))
        if sorted(order) != list(range(ndim)):
            raise ValueError(f"axes {tuple(given)} are no order of the {ndim} dimensions")
        return self._seen_as(tuple([self.shape[a] for a in order]), tuple([self.strides[a] for a in order]))

    @property
    def T(self) -> CudaArray:
        return self._seen_as(self.shape[::-1], self.strides[::-1])

    def swapaxes(self, axis1: int, axis2: int) -> CudaArray:
        """Two dimensions exchanged.  Raises IndexError for one that does not exist."""
        shape, steps = list(self.shape), list(self.strides)
        shape[axis1], shape[axis2] = shape[axis2], shape[axis1]
        steps[axis1], steps[axis2] = steps[axis2], steps[axis1]
        return self._seen_as(tuple(shape), tuple(steps))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> CudaArray:
        """The diagonals of two dimensions, as a last one."""
        geometry = strides.diagonal(self.shape, self.strides, offset, axis1, axis2)
        return self._seen_as(geometry.shape, geometry.strides, geometry.offset)

    def __getitem__(self, key: Any) -> CudaArray:
        """The view by a basic index; without an Ellipsis too, an array without dimensions where NumPy would give a scalar."""
        geometry = strides.indexed(self.shape, self.strides, key)
        return self._seen_as(geometry.shape, geometry.strides, geometry.offset)

    @property
    def real(self) -> CudaArray:
        """The real parts of complex numbers; other numbers as they are."""
        return self._seen_as(self.shape, self.strides, 0, _dtypes.real_dtype(self.dtype))

    @property
    def imag(self) -> CudaArray:
        """The imaginary parts of complex numbers.  Raises TypeError for other numbers."""
        part = _dtypes.real_dtype(self.dtype)
        if part == self.dtype:
            raise TypeError(f"an array of {_dtypes.name(self.dtype)} has no imaginary part")
        return self._seen_as(self.shape, self.strides, part.itemsize, part)

    def setflags(self, write: bool = True) -> None:
        """For code that serves NumPy's views too, which may be read-only: here every view is writable."""

    # ---- its values, and its memory, for others -----------------------------------------------------------------------------------

    def item(self) -> Any:
        """The only element as a Python number, when everything that is to be done to it is done."""
        from .transfer import to_host

        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return to_host(self.reshape(())).item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            f"can't convert cuda:{self.device_index} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html, version 3."""
        if self.dtype == _dtypes.bfloat16:
            raise TypeError("__cuda_array_interface__ has no type for bfloat16; use DLPack")
        handle = streams.current_stream(self.device_index).handle
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer if self.size else 0, False),
            "strides": None if self.flags.c_contiguous else self.strides,
            "stream": handle or LEGACY_STREAM,
            "version": 3,
        }

    def __dlpack__(self, **wanted: Any) -> Any:
        from . import dlpack

        return dlpack.exported(self, **wanted)

    def __dlpack_device__(self) -> tuple[int, int]:
        from . import dlpack

        return dlpack.CUDA, self.device_index


# What the array interface and DLPack call the stream whose handle is 0, since 0 is ambiguous there.
LEGACY_STREAM = 1


@functools.lru_cache(maxsize=4096)
def dense(shape: tuple[int, ...], dtype: Any) -> Form:
    """The form of a C-contiguous array.  Raises RuntimeError for a negative size."""
    if shape and min(shape) < 0:
        raise RuntimeError(f"empty: expected sizes that are not negative and fit in memory, but got {shape}")
    dtype = np.dtype(dtype)
    return form_of(shape, strides.row_major(shape, dtype.itemsize), dtype)


def empty(shape: Sequence[int] | int, dtype: Any, device: int | None = None) -> CudaArray:
    """An uninitialised C-contiguous array on ``device`` (None: the thread's current one).

    Raises RuntimeError for a negative size, OutOfMemoryError (a RuntimeError) when the device has no memory left.
    """
    if type(shape) is not tuple:
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    form = dense(shape, dtype)
    return _empty(form) if device is None else _empty_slowly(form, device)


def _empty_slowly(form: Form, device: int | None = None) -> CudaArray:
    allocation = memory.allocate(form.nbytes, device)
    return _viewed(allocation, allocation.pointer, form)


def _viewed_slowly(allocation: Any, pointer: int, form: Form) -> CudaArray:
    return CudaArray(allocation, pointer, form.shape, form.strides, form.dtype)


def table(size: int = objects.END) -> objects.Table:
    """A table of ``size`` bytes by which compiled code makes arrays."""
    return objects.table(devices.thread, devices.Here, memory.Desk, memory.Allocation, _empty_slowly, CudaArray, Form, size)


# ``_empty(form)``: a new array on the current device.  ``_viewed(allocation, pointer, form)``: an array over memory that there is.
_empty: Callable[..., CudaArray] = objects.builtin("empty", objects.empty, table()) if objects.SUPPORTED else _empty_slowly
_viewed: Callable[..., CudaArray] = objects.builtin("viewed", objects.viewed, table()) if objects.SUPPORTED else _viewed_slowly


def zeros(shape: Sequence[int] | int, dtype: Any, device: int | None = None) -> CudaArray:
    """An array whose bytes are zero.  Errors as of ``empty``."""
    out = empty(shape, dtype, device)
    if out.nbytes:
        with devices.guard(out.device_index):
            load().MemsetD8Async(out.pointer, 0, out.nbytes, streams.current_handle(out.device_index))
    return out


def foreign(source: Any) -> CudaArray:
    """The array over the memory of an object with ``__cuda_array_interface__``, which is kept alive.  What the object's stream has still to do
    comes before what the current stream does next.

    Raises TypeError for an element type that there is none of here and for memory that may only be read, ValueError for a mask and for no address.
    """
    about = source.__cuda_array_interface__
    if about.get("mask") is not None:
        raise ValueError("masked arrays on a GPU are not supported")
    dtype = np.dtype(about["typestr"])
    if dtype not in _dtypes.NAMES:
        raise TypeError(f"can't convert an array of type {dtype} to a tensor")
    (pointer, only_read), shape = about["data"], tuple(about["shape"])
    if only_read:
        raise TypeError("the read only flag is not supported, should always be False: a tensor can be written to")
    if not pointer and math.prod(shape):
        raise ValueError(f"expected the address of an array of shape {list(shape)}, but got {pointer}")
    steps = about.get("strides")
    steps = strides.row_major(shape, dtype.itemsize) if steps is None else tuple(steps)
    device = devices.of_pointer(pointer) if pointer else devices.current_device()
    if any(place % dtype.itemsize for place in (pointer, *steps)):
        raise ValueError(f"expected an array of {dtype} whose address and strides are multiples of {dtype.itemsize} bytes")
    low, high = strides.span(shape, steps, dtype.itemsize)
    allocation = memory.borrowed(pointer + low, high - low, device, source)
    theirs = about.get("stream")
    if theirs is not None and theirs != LEGACY_STREAM:
        streams.wait_for(theirs, device)
    return CudaArray(allocation, pointer, shape, steps, dtype)
