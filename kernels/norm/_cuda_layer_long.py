"""Layer norm on CUDA of rows that are too long for registers, and sums over rows.

A block walks its row several times: for a center, for the moments about it, and to write the result.  It reads from memory once and then from the
second-level cache, as long as that has room for the rows of all blocks.  The gradients of weight and bias are sums over columns of their own, tile by
tile, over slices of the rows, which are summed afterwards.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda import lanes as vectors
from .._cuda.collectives import add, block_fold, team
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ._cuda_layer import finisher

THREADS = team(512)
COLUMNS, ROWS = 32, max(1, team(512) // 32)  # of a block that sums columns


@functools.lru_cache(maxsize=None)
def forward(dtype: np.dtype, lanes: int, weighs: bool, shifts: bool) -> Any:
    """y, mean and rstd, a row each block."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero, step = real(0), THREADS * lanes
    load, store = vectors.access(dtype, lanes)
    load_real, _ = vectors.access(kind, lanes)
    ones, nones = (real(1),) * lanes, (real(0),) * lanes

    @inline
    def minus(x, center):  # type: ignore[no-untyped-def]
        return x - center

    @inline
    def square(d):  # type: ignore[no-untyped-def]
        return d * d

    @inline
    def finished(x, weight, bias, center, scale, shift):  # type: ignore[no-untyped-def]
        return ((x - center) * scale + shift) * weight + bias

    subtract, squares = vectors.mapped(minus, lanes, 1, scalars=1), vectors.mapped(square, lanes, 1)
    act, total_of = vectors.mapped(finished, lanes, 3, scalars=3), vectors.summed(lanes, real)
    fold, finish = block_fold(add(real), real, THREADS), finisher(real)

    @kernel(
        pointer(dtype), pointer(kind), pointer(kind), pointer(dtype), pointer(kind), pointer(kind), np.uint64, kind, kind, bounds=THREADS
    )
    def layer_norm_long(y, mean, rstd, x, weight, bias, width, share, eps):  # type: ignore[no-untyped-def]
        row = np.uint64(cuda.blockIdx.x)
        start = np.uint64(cuda.threadIdx.x) * np.uint64(lanes)
        base = row * width
        total = zero
        j = start
        while j < width:
            total += total_of(load(x, base + j))
            j += np.uint64(step)
        center = fold(total) * share
        first, second = zero, zero
        j = start
        while j < width:
            d = subtract(load(x, base + j), center)
            first += total_of(d)
            second += total_of(squares(d))
            j += np.uint64(step)
        offset, _spread, scale = finish(fold(first), fold(second), share, eps)
        j = start
        while j < width:
            factor, addend = ones, nones
            if weighs:
                factor = load_real(weight, j)
            if shifts:
                addend = load_real(bias, j)
            store(y, base + j, act(load(x, base + j), factor, addend, center, scale, -offset * scale))
            j += np.uint64(step)
        if start == 0:
            mean[row] = center + offset
            rstd[row] = scale

    return layer_norm_long


@functools.lru_cache(maxsize=None)
def backward(dtype: np.dtype, lanes: int, weighs: bool) -> Any:
    """dx, a row each block."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero, step, ones = real(0), THREADS * lanes, (real(1),) * lanes
    load, store = vectors.access(dtype, lanes)
    load_real, _ = vectors.access(kind, lanes)

    @inline
    def times(a, b):  # type: ignore[no-untyped-def]
        return a * b

    @inline
    def product(a, b, center):  # type: ignore[no-untyped-def]
        return a * (b - center)

    @inline
    def slope(h, x, center, scale, factor, shift):  # type: ignore[no-untyped-def]
        return h * scale + ((x - center) * factor + shift)

    multiply, products = vectors.mapped(times, lanes, 2), vectors.mapped(product, lanes, 2, scalars=1)
    slopes, total_of = vectors.mapped(slope, lanes, 2, scalars=4), vectors.summed(lanes, real)
    fold = block_fold(add(real), real, THREADS)

    @inline
    def weighted(g, weight, at, j):  # type: ignore[no-untyped-def]
        factor = ones
        if weighs:
            factor = load_real(weight, j)
        return multiply(load(g, at), factor)

    @kernel(pointer(dtype), pointer(dtype), pointer(dtype), pointer(kind), pointer(kind), pointer(kind), np.uint64, kind, bounds=THREADS)
    def layer_norm_backward_long(dx, g, x, weight, mean, rstd, width, share):  # type: ignore[no-untyped-def]
        row = np.uint64(cuda.blockIdx.x)
        start = np.uint64(cuda.threadIdx.x) * np.uint64(lanes)
        base = row * width
        center, scale = mean[row], rstd[row]
        first, second = zero, zero
        j = start
        while j < width:
            h = weighted(g, weight, base + j, j)
            first += total_of(h)
            second += total_of(products(h, load(x, base + j), center))
            j += np.uint64(step)
        factor = -scale * scale * scale * (fold(second) * share)
        shift = -scale * (fold(first) * share)
        j = start
        while j < width:
            store(dx, base + j, slopes(weighted(g, weight, base + j, j), load(x, base + j), center, scale, factor, shift))
            j += np.uint64(step)

    return layer_norm_backward_long


@functools.lru_cache(maxsize=None)
def _tile_fold(real: Any) -> Any:
    """The sum over the rows of threads of a block, for each column of them; all are given it."""

    @inline
    def fold(value):  # type: ignore[no-untyped-def]
        tile = cuda.shared.array((ROWS, COLUMNS), dtype=real)
        column, row = np.uint32(cuda.threadIdx.x), np.uint32(cuda.threadIdx.y)
        cuda.syncthreads()  # what was in the tile has been read
        tile[row, column] = value
        cuda.syncthreads()
        total = tile[np.uint32(0), column]
        for k in range(1, ROWS):
            total += tile[np.uint32(k), column]
        return total

    return fold


@functools.lru_cache(maxsize=None)
def columns(dtype: np.dtype) -> Any:
    """The gradients of weight and bias of ``each`` rows, a tile of columns each block, into row ``blockIdx.y`` of ``part``, (slices, 2, width)."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero = real(0)
    load, _ = vectors.access(dtype, 1)
    fold = _tile_fold(real)

    @kernel(
        pointer(kind), pointer(dtype), pointer(dtype), pointer(kind), pointer(kind), np.uint64, np.uint64, np.uint64, bounds=COLUMNS * ROWS
    )
    def layer_norm_columns(part, g, x, mean, rstd, count, width, each):  # type: ignore[no-untyped-def]
        j = np.uint64(cuda.blockIdx.x) * np.uint64(COLUMNS) + np.uint64(cuda.threadIdx.x)
        slice_ = np.uint64(cuda.blockIdx.y)
        row = slice_ * each + np.uint64(cuda.threadIdx.y)
        stop = min(count, (slice_ + np.uint64(1)) * each)
        slope, shift = zero, zero
        while row < stop and j < width:
            grad = load(g, row * width + j)[0]
            slope += grad * ((load(x, row * width + j)[0] - mean[row]) * rstd[row])
            shift += grad
            row += np.uint64(ROWS)
        slope, shift = fold(slope), fold(shift)
        if cuda.threadIdx.y == 0 and j < width:
            part[slice_ * np.uint64(2) * width + j] = slope
            part[slice_ * np.uint64(2) * width + width + j] = shift

    return layer_norm_columns
