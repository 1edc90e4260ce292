"""The generator's words on CUDA, and how the numbers made of a block of them are stored."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.intrinsics import cuda, inline, store_vector
from .._cuda.rounding import product
from . import _philox

VECTOR_BYTES = 16

philox = inline(_philox.philox)
multiply_high = inline(_philox.multiply_high)

minus_log = inline(_philox.minus_log_by(product))
cos_sin_turn = inline(_philox.cos_sin_turn_by(product))


@inline
def long_word(high, low):
    """The 64-bit number of two words."""
    return (np.uint64(high) << np.uint64(32)) | np.uint64(low)


@inline
def long_uniform(word):
    """A 64-bit word as a float64 in [0, 1), in steps of 2^-53."""
    return np.float64(word >> np.uint64(11)) * np.float64(2.0**-53)


@inline
def word_at(i, seed, offset):
    """The i-th 64-bit number of a draw, on its own."""
    a, b, c, d = philox(seed, offset + (i >> np.uint64(1)))
    return long_word(c, d) if i & np.uint64(1) else long_word(a, b)


@inline
def first_item():
    """The number of this thread in the grid."""
    return np.uint64(cuda.blockIdx.x) * np.uint64(cuda.blockDim.x) + np.uint64(cuda.threadIdx.x)


@inline
def items_apart():
    """The threads of the grid."""
    return np.uint64(cuda.gridDim.x) * np.uint64(cuda.blockDim.x)


@functools.lru_cache(maxsize=None)
def store_four(itemsize: int, vectors: bool) -> Any:
    """The function that stores four numbers to out[i:i + 4], or what of them lies below n; by words of up to 16 bytes if ``vectors`` may be used,
    that is if ``out`` begins at a multiple of them."""
    whole = itemsize * 4 <= VECTOR_BYTES

    @inline
    def store(out, i, n, a, b, c, d):
        if vectors and i + np.uint64(4) <= n:
            if whole:
                store_vector(out, i, (a, b, c, d))
            else:
                store_vector(out, i, (a, b))
                store_vector(out, i + np.uint64(2), (c, d))
        else:
            out[i] = a
            if i + np.uint64(1) < n:
                out[i + np.uint64(1)] = b
            if i + np.uint64(2) < n:
                out[i + np.uint64(2)] = c
            if i + np.uint64(3) < n:
                out[i + np.uint64(3)] = d

    return store


@functools.lru_cache(maxsize=None)
def store_two(vectors: bool) -> Any:
    """As ``store_four``, of two numbers."""

    @inline
    def store(out, i, n, a, b):
        if vectors and i + np.uint64(2) <= n:
            store_vector(out, i, (a, b))
        else:
            out[i] = a
            if i + np.uint64(1) < n:
                out[i + np.uint64(1)] = b

    return store


def aligned(numbers: int, *arrays: Any) -> bool:
    """Whether ``numbers`` elements of each array can be moved as one word, or as words of 16 bytes if they are more."""
    return all(x.pointer % min(numbers * x.itemsize, VECTOR_BYTES) == 0 for x in arrays)
