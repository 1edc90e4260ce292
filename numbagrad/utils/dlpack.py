"""Tensors shared with other libraries without a copy: ``to_dlpack(tensor)`` gives a capsule, ``from_dlpack`` takes one, or any array that has ``__dlpack__``.

The struct behind a capsule is that of https://dmlc.github.io/dlpack/latest/c_api.html.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .. import creation
from ..tensor import Tensor

_CPU = 1  # kDLCPU


def to_dlpack(tensor: Tensor) -> Any:
    """The capsule of ``tensor``, which one library may take once; ``from_dlpack(tensor)`` itself needs none."""
    return tensor.__dlpack__()


class _Capsule:
    """A capsule as an array that hands it out."""

    def __init__(self, capsule: Any):
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        struct = pointer(self._capsule, b"dltensor")  # ValueError for a capsule that was taken already
        kind, number = (ctypes.c_int32 * 2).from_address(struct + ctypes.sizeof(ctypes.c_void_p))
        return kind, number


class _Writable:
    """The memory of ``array``, which NumPy took from a capsule without the word that it may be written, as memory that may."""

    def __init__(self, array: np.ndarray):
        self._array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of an array with ``__dlpack__``, or of a capsule, which is taken by this: ValueError for one that was before."""
    if hasattr(ext_tensor, "__dlpack__"):
        return creation.from_dlpack(ext_tensor)
    capsule = _Capsule(ext_tensor)
    if capsule.__dlpack_device__()[0] != _CPU:
        return creation.from_dlpack(capsule)
    return creation.from_numpy(np.asarray(_Writable(np.from_dlpack(capsule))))


__all__ = ["from_dlpack", "to_dlpack"]
