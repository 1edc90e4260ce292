"""Adaptive pooling on CUDA where windows are large, as in the pooling of whole planes: a team of threads for each window, a warp or a block.

Neighbouring threads read neighbouring elements; what each has found is combined in a fixed order.  Bound by memory bandwidth.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.collectives import WARP, add, block_fold, largest, smallest, team, warp_fold
from .._cuda.elements import narrow, widen
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ._cuda_max import computed, lowest
from ._cuda_windows import Counting, share, splitting

# Elements of a window from which on a warp takes it, and a block.
LARGE, HUGE = 64, 4096
_BLOCK = 256


def threads_for(size: tuple[int, int], output: tuple[int, int]) -> int:
    """The threads of a window's team; 1: windows are too small for one."""
    area = (size[0] // max(output[0], 1)) * (size[1] // max(output[1], 1))
    return 1 if area < LARGE else WARP if area < HUGE else team(_BLOCK)


@functools.lru_cache(maxsize=None)
def _fold(combine: Any, T: Any, threads: int) -> Any:
    return warp_fold(combine) if threads == WARP else block_fold(combine, T, threads)


@functools.lru_cache(maxsize=None)
def _walk(count: Counting) -> Any:
    """The place in its plane of element ``k`` of a window of ``across`` columns that begins at ``top`` and ``left``."""
    _, J = count

    @inline
    def place(k, top, left, across, width):  # type: ignore[no-untyped-def]
        row = J(k // across)
        return J(J(J(top + row) * width) + J(left + J(k - J(row * across))))

    return place


@functools.lru_cache(maxsize=None)
def average(dtype: np.dtype, count: Counting, threads: int) -> Any:
    """The averages of ``n`` windows, a block of ``threads`` for each."""
    T, (I, J) = computed(dtype), count
    read, write, split, extent, walk, zero = widen(dtype), narrow(dtype), splitting(count), share(count), _walk(count), T(0)
    total_of = _fold(add(T), T, threads)

    @kernel(pointer(dtype), pointer(dtype), *[I] * 7, J, J, bounds=threads)
    def average_team(y, x, n, rows, rows_m, rows_s, columns, columns_m, columns_s, height, width):
        i = I(cuda.blockIdx.x)
        while i < n:
            plane, oh, ow = split(i, rows, rows_m, rows_s, columns, columns_m, columns_s)
            top, bottom = extent(oh, height, rows, rows_m, rows_s)
            left, right = extent(ow, width, columns, columns_m, columns_s)
            base = plane * np.int64(height) * np.int64(width)
            across = J(right - left)
            area = J(across * J(bottom - top))
            total = zero
            k = J(cuda.threadIdx.x)
            while k < area:
                total += read(x[base + np.int64(walk(k, top, left, across, width))])
                k = J(k + J(threads))
            total = total_of(total)
            if cuda.threadIdx.x == 0:
                y[i] = write(total / T(area))
            i = I(i + I(cuda.gridDim.x))

    return average_team


@functools.lru_cache(maxsize=None)
def maximum(dtype: np.dtype, count: Counting, threads: int) -> Any:
    """The maxima of ``n`` windows and their places, a block of ``threads`` for each.  Of equal maxima the first counts, of several NaN the last."""
    T, (I, J) = computed(dtype), count
    carried = T if np.dtype(T).kind == "f" else np.int64  # what shuffles take
    read, write, split, extent, walk = widen(dtype), narrow(dtype), splitting(count), share(count), _walk(count)
    least, far = carried(lowest(dtype)), np.int64(np.iinfo(np.int64).max)
    best_of, first_of = _fold(largest(carried), carried, threads), _fold(smallest(np.int64), np.int64, threads)

    @kernel(pointer(dtype), pointer(np.int64), pointer(dtype), *[I] * 7, J, J, bounds=threads)
    def max_team(values, indices, x, n, rows, rows_m, rows_s, columns, columns_m, columns_s, height, width):
        i = I(cuda.blockIdx.x)
        while i < n:
            plane, oh, ow = split(i, rows, rows_m, rows_s, columns, columns_m, columns_s)
            top, bottom = extent(oh, height, rows, rows_m, rows_s)
            left, right = extent(ow, width, columns, columns_m, columns_s)
            base = plane * np.int64(height) * np.int64(width)
            across = J(right - left)
            area = J(across * J(bottom - top))
            best, at = least, J(-1)
            k = J(cuda.threadIdx.x)
            while k < area:
                place = walk(k, top, left, across, width)
                v = carried(read(x[base + np.int64(place)]))
                if v > best or v != v or at < 0:
                    best, at = v, place
                k = J(k + J(threads))
            found = best_of(best)
            mine = at >= 0 and (best == found or best != best)
            rank = np.int64(at) if found == found else -np.int64(at)
            rank = first_of(rank if mine else far)
            if cuda.threadIdx.x == 0:
                values[i] = write(T(found))
                indices[i] = rank if found == found else -rank
            i = I(i + I(cuda.gridDim.x))

    return max_team
