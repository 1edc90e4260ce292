"""The extremum of an axis and where it is first, in one pass: elements of up to 32 bits and their places are packed into words whose order is theirs.

The high half of a word is the element as an integer of the same order (NaN above all; both zeros the same), negated for a minimum; the low half is the
place, counted down.  The largest word is the first extremum.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.elements import quotient, widen
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer

_LOW = 0xFFFFFFFF
_MAGNITUDE = _LARGEST = np.int32(0x7FFFFFFF)


def packs(source: np.dtype) -> bool:
    """Whether elements of this type have room in half a word."""
    return source.itemsize <= 4


def packed(name: str, source: np.dtype) -> Any:
    """The function (value, p, c, j) -> word, for the operation "first amax" or "first amin"."""
    smallest, floating = name == "first amin", source.kind == "f"
    zero = np.float32(0)

    @inline
    def pack(value, p, c, j):
        if floating:
            bits = np.float32(value + zero).view(np.int32)  # -0 becomes 0
            order = np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & _MAGNITUDE))
        else:
            order = np.int32(value)
        if smallest:
            order = np.int32(~order)
        if value != value:
            order = _LARGEST
        return (np.int64(order) << np.int64(32)) | np.int64(np.uint32(~np.uint32(j)))

    return pack


@functools.lru_cache(maxsize=None)
def unpacked(source: np.dtype, target: np.dtype, wide: bool) -> Any:
    """The kernel of values and places (outer, inner) from words and x (outer, n, inner), whose elements are read once more."""
    I: Any = np.uint64 if wide else np.uint32
    read, over, T = widen(source), quotient(I), target.type

    @kernel(pointer(target), pointer(np.int64), pointer(np.int64), pointer(source), *[I] * 5)
    def unpack(values, places, words, x, n, inner, m_inner, s_inner, results):
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < results:
            place = np.uint32(~np.uint32(words[i] & np.int64(_LOW)))
            outer = over(i, inner, m_inner, s_inner)
            places[i] = np.int64(place)
            values[i] = T(read(x[I(I(outer * n + I(place)) * inner + I(i - outer * inner))]))
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return unpack
