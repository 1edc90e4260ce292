"""Arrays by their strides: views that reach anywhere in the memory an array is part of, and copies with given strides."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .._device import device_of, on_cpu
from . import copy_into, empty, zeros


def span(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """The places that elements take up, from and up to, counted from the first one, in the unit of the strides; (0, 0) where there are none."""
    if 0 in shape:
        return 0, 0
    reach = [(n - 1) * step for n, step in zip(shape, strides)]
    return sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + 1


def may_overlap_itself(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements of these strides may share a place: False only where each stride passes all that the smaller ones reach."""
    passed = 0
    for step, n in sorted((abs(step), n) for n, step in zip(shape, strides) if n > 1):
        if step <= passed:
            return True
        passed += (n - 1) * step
    return False


def reaching(x: Any, shape: Sequence[int], strides: Sequence[int], offset: int) -> Any:
    """The view whose first element lies ``offset`` elements behind that of ``x``, with strides in elements.

    The memory that ``x`` is a part of has to reach as far: the caller answers for that.
    """
    item = x.itemsize
    steps = tuple([step * item for step in strides])
    if not on_cpu(x):
        return x.as_strided(shape, steps, offset * item)
    low, high = span(shape, strides)
    if low == high:
        return np.ndarray(tuple(shape), x.dtype, strides=steps)
    memory = np.asarray(_Memory(x, (offset + low) * item, (high - low) * item))
    return np.ndarray(tuple(shape), x.dtype, memory, -low * item, steps)


class _Memory:
    """Bytes beside the first element of an array, which NumPy keeps alive with what it makes of them."""

    def __init__(self, array: np.ndarray, offset: int, count: int):
        self.owner = array
        pointer = array.__array_interface__["data"][0] + offset
        self.__array_interface__ = {"shape": (count,), "typestr": "|u1", "data": (pointer, False), "version": 3}


def with_strides(x: Any, strides: Sequence[int]) -> Any:
    """A new array with the elements of ``x`` and these strides, in elements, under which none may share a place."""
    out = memory_for(x, x.shape, strides, False)
    copy_into(out, x)
    return out


def memory_for(like: Any, shape: Sequence[int], strides: Sequence[int], clear: bool) -> Any:
    """An array of new memory with these strides, in elements: of zeros, gaps too, if ``clear``, else uninitialised."""
    low, high = span(shape, strides)
    memory = zeros((high - low,), like.dtype, like) if clear else empty((high - low,), like.dtype, device_of(like))
    return reaching(memory, shape, strides, -low)
