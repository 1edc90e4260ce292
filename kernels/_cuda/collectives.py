"""What the threads of a warp or a block find together: their values combined into one, in an order that is always the same.

    total = block_fold(add(np.float32), np.float32, THREADS)   # made once, where the kernel is made

    @kernel(...)
    def mean(...):
        value = total(own)   # every thread of the block comes here, and every thread is given the result

Within a warp by shuffles, five steps for 32 lanes; between warps through shared memory, a word for each.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .driver import SIMULATED
from .intrinsics import cuda, inline, shuffle, shuffle_xor

__all__ = ["WARP", "add", "block_fold", "block_scan", "largest", "smallest", "team", "warp_fold"]

WARP = 32
_SIMULATED_TEAM = 64  # two warps, so that what passes between them is run as well


def team(threads: int) -> int:
    """The threads of a block that work together: ``threads``, and fewer under the simulator."""
    return min(threads, _SIMULATED_TEAM) if SIMULATED else threads


@functools.lru_cache(maxsize=None)
def add(T: Any) -> Any:
    """a + b in the type ``T``."""

    @inline
    def added(a, b):  # type: ignore[no-untyped-def]
        return T(a + b)

    return added


@functools.lru_cache(maxsize=None)
def largest(T: Any) -> Any:
    """The larger of a and b; NaN if one of them is."""

    @inline
    def larger(a, b):  # type: ignore[no-untyped-def]
        return a if a > b or a != a else b

    return larger


@functools.lru_cache(maxsize=None)
def smallest(T: Any) -> Any:
    """The smaller of a and b; NaN if one of them is."""

    @inline
    def smaller(a, b):  # type: ignore[no-untyped-def]
        return a if a < b or a != a else b

    return smaller


@functools.lru_cache(maxsize=None)
def warp_fold(combine: Any, width: int = WARP) -> Any:
    """The function that combines the values of each ``width`` (a power of two up to 32) neighbouring lanes; all of the warp take part, and each is
    given its neighbours' result.  ``combine`` must not care which of its arguments is which."""

    @inline
    def fold(value):  # type: ignore[no-untyped-def]
        distance = width // 2
        while distance > 0:
            value = combine(value, shuffle_xor(value, distance))
            distance //= 2
        return value

    return fold


@functools.lru_cache(maxsize=None)
def block_fold(combine: Any, dtype: Any, threads: int) -> Any:
    """The function that combines the values of type ``dtype`` of all ``threads`` (a multiple of 32) of a block of one dimension; all of them call it,
    and each is given the result.  It may be called again at once."""
    within = warp_fold(combine)
    warps = threads // WARP

    @inline
    def fold(value):  # type: ignore[no-untyped-def]
        parts = cuda.shared.array(warps, dtype=dtype)
        value = within(value)
        thread = np.uint32(cuda.threadIdx.x)
        cuda.syncthreads()  # the parts of a fold before this have been read
        if thread % np.uint32(WARP) == 0:
            parts[thread // np.uint32(WARP)] = value
        cuda.syncthreads()
        value = parts[0]
        for k in range(1, warps):
            value = combine(value, parts[k])
        return value

    return fold


@functools.lru_cache(maxsize=None)
def block_scan(dtype: Any, threads: int) -> Any:
    """The function that adds up the values of type ``dtype`` (int32 or int64) of all ``threads`` (a multiple of 32) of a block of one dimension; all
    of them call it, and each is given (the sum over the threads before it, the sum over all).  It may be called again at once.

    W. D. Hillis, G. L. Steele, "Data Parallel Algorithms" (1986), in a warp; the warps' sums one after the other."""
    warps = threads // WARP

    @inline
    def scan(value):  # type: ignore[no-untyped-def]
        parts = cuda.shared.array(warps, dtype=dtype)
        thread = np.uint32(cuda.threadIdx.x)
        lane, warp = np.uint32(thread % np.uint32(WARP)), np.uint32(thread // np.uint32(WARP))
        through = dtype(value)
        distance = 1
        while distance < WARP:
            below = shuffle(through, np.uint32(np.uint32(lane - np.uint32(distance)) % np.uint32(WARP)))
            if lane >= distance:
                through = dtype(through + below)
            distance *= 2
        cuda.syncthreads()  # the parts of a scan before this have been read
        if lane == WARP - 1:
            parts[warp] = through
        cuda.syncthreads()
        before, total = dtype(through - value), dtype(0)
        for k in range(warps):
            if k < warp:
                before = dtype(before + parts[k])
            total = dtype(total + parts[k])
        return before, total

    return scan
