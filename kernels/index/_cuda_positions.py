"""From indices and masks to positions in memory, on CUDA.

Indices are checked by the kernels that turn them into offsets: what is out of range is reported and becomes LOST.  A mask is listed in three steps:
each tile counts, the counts are summed over the tiles before, and each tile writes its positions, in order, to where they belong.
"""

from __future__ import annotations

import functools
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._cuda import radix
from .._cuda.array import CudaArray, empty
from .._cuda.collectives import block_scan, team
from .._cuda.driver import SIMULATED
from .._cuda.faults import report
from .._cuda.intrinsics import cuda, inline, load_vector
from .._cuda.launch import blocks, kernel, launch, pointer
from ..copy.cuda import ramp
from ..elementwise import elementwise
from ._cuda_walk import LOST, REPORTING, counter, reporting
from ._errors import Refusal

# ---- indices to offsets ---------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _offsetter(first: bool) -> Any:
    @kernel(*REPORTING, pointer(np.int64), pointer(np.int64), *[np.int64] * 5)
    def offsets(record, refusal, dim, where, index, low, size, stride, skipped, n):
        """where[i] (+)= index[i], wrapped if negative, times ``stride``; LOST outside [low, size), and for the index ``skipped``."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            v = index[i]
            found = low <= v < size
            if not found:
                report(record, refusal, v, size, dim)
            before = np.int64(0) if first else where[i]
            v += size if v < 0 else 0
            where[i] = before + v * stride if found and v != skipped else LOST
            i += step

    return offsets


def offsets(indices: list[CudaArray], sizes: list[int], strides: list[int], dims: Sequence[int], wrap: bool, refusal: Refusal) -> CudaArray:
    """Σ_j indices[j] * strides[j] for flat int64 ``indices`` of one length.

    ``wrap`` lets an index count from the end when it is negative.  One that is out of range is refused, as one of dimension dims[j].
    """
    where = empty(indices[0].size, _dtypes.int64)
    for j, (index, size, stride, dim) in enumerate(zip(indices, sizes, strides, dims)):
        add_offsets(where, index, -size if wrap else 0, size, stride, refusal, dim, first=j == 0)
    return where


def add_offsets(
    where: CudaArray, index: CudaArray, low: int, size: int, stride: int, refusal: Refusal, dim: int, first: bool = True, skipped: int = -1
) -> None:
    """where (+)= index * stride, but LOST for indices outside [low, size), which are refused, and for the index ``skipped``."""
    if index.size:
        arguments = (where.pointer, index.pointer, low, size, stride, skipped, index.size)
        launch(_offsetter(first), *blocks(index.size), (*reporting(refusal, dim), *arguments))


@elementwise(result="same", accepts="i")
def _sum(a, b):
    """a + b"""
    return a + b


def spread(where: CudaArray, before: Sequence[tuple[int, int]], after: Sequence[tuple[int, int]]) -> CudaArray:
    """The offset of every element of the result, flat, from those of its places and the kept dimensions (size, stride) around them."""
    dims = (*before, (where.size, 0), *after)
    total = where.reshape([n if j == len(before) else 1 for j, (n, _) in enumerate(dims)])
    for j, (n, stride) in enumerate(dims):
        if j != len(before):
            steps = empty(n, _dtypes.int64)
            ramp(steps, np.int64(0), np.int64(stride))  # type: ignore[arg-type]
            total = _sum(total, steps.reshape([n if k == j else 1 for k in range(len(dims))]))
    return total.reshape(-1)


# ---- masks to positions ---------------------------------------------------------------------------------------------------------------------------

THREADS = team(256)
LANES = 16  # elements of a thread
TILE = THREADS * LANES
_MOST_BLOCKS = 1 << 20


@functools.lru_cache(maxsize=None)
def _flags(aligned: bool) -> Any:
    @inline
    def flags(mask, first, n):  # type: ignore[no-untyped-def]
        """A bit for each of the 16 elements of ``mask`` from ``first`` on: whether it is true."""
        bits = np.uint32(0)
        if aligned and first + LANES <= n:
            values = load_vector(mask, first, LANES)
            for k in range(LANES):
                bits = np.uint32(bits | (np.uint32(values[k] != 0) << np.uint32(k)))
        else:
            for k in range(LANES):
                if first + k < n:
                    bits = np.uint32(bits | (np.uint32(mask[first + k] != 0) << np.uint32(k)))
        return bits

    return flags


@functools.lru_cache(maxsize=None)
def _counter(aligned: bool) -> Any:
    flags, scan = _flags(aligned), block_scan(np.int32, THREADS)

    @kernel(pointer(np.int64), pointer(np.uint8), np.int64, np.int64, bounds=THREADS)
    def count(counts, mask, n, tiles):
        """counts[tile] = how many elements of a tile are true."""
        tile = np.int64(cuda.blockIdx.x)
        while tile < tiles:
            bits = flags(mask, tile * TILE + np.int64(cuda.threadIdx.x) * LANES, n)
            _, total = scan(np.int32(cuda.popc(bits)))
            if np.uint32(cuda.threadIdx.x) == 0:
                counts[tile] = np.int64(total)
            tile += np.int64(cuda.gridDim.x)

    return count


@functools.lru_cache(maxsize=None)
def _lister(aligned: bool) -> Any:
    flags, scan = _flags(aligned), block_scan(np.int32, THREADS)

    @kernel(pointer(np.int64), pointer(np.int64), pointer(np.uint8), np.int64, np.int64, bounds=THREADS)
    def list_true(out, before, mask, n, tiles):
        """The positions of a tile go to out[before[tile]] and on; through shared memory, so that neighbouring threads write neighbours."""
        staged = cuda.shared.array(TILE, dtype=np.uint16)
        thread = np.uint32(cuda.threadIdx.x)
        tile = np.int64(cuda.blockIdx.x)
        while tile < tiles:
            own = np.uint32(thread * np.uint32(LANES))
            bits = flags(mask, tile * TILE + np.int64(own), n)
            start, total = scan(np.int32(cuda.popc(bits)))
            at = np.uint32(start)
            for k in range(LANES):
                if (bits >> np.uint32(k)) & np.uint32(1):
                    staged[at] = np.uint16(own + np.uint32(k))
                    at = np.uint32(at + np.uint32(1))
            cuda.syncthreads()
            first = before[tile]
            i = thread
            while i < np.uint32(total):
                out[first + np.int64(i)] = tile * TILE + np.int64(staged[i])
                i = np.uint32(i + np.uint32(THREADS))
            cuda.syncthreads()
            tile += np.int64(cuda.gridDim.x)

    return list_true


def true_positions(mask: CudaArray) -> CudaArray:
    """The flat positions, ascending, at which ``mask`` (bool, contiguous) is true.  The host waits for their number."""
    n = mask.size
    if not n:
        return empty(0, _dtypes.int64)
    tiles = -(-n // TILE)
    aligned = mask.pointer % LANES == 0
    counts, total = empty(tiles, _dtypes.int64), empty(1, _dtypes.int64)
    grid = min(tiles, _MOST_BLOCKS)
    launch(_counter(aligned), grid, THREADS, (counts.pointer, mask.pointer, n, tiles))
    launch(radix.summer(np.int64), 1, radix.THREADS, (total.pointer, counts.pointer, tiles, 1))
    out = empty(total.item(), _dtypes.int64)
    if out.size:
        launch(_lister(aligned), grid, THREADS, (out.pointer, counts.pointer, mask.pointer, n, tiles))
    return out


# ---- positions to coordinates ---------------------------------------------------------------------------------------------------------------------

_AT_ONCE = 2 if SIMULATED else 4  # dimensions that a kernel does


@functools.lru_cache(maxsize=None)
def _unraveler(dims: int, I: Any) -> Any:
    @kernel(pointer(np.int64), pointer(np.int64), np.int64, np.int64, I, np.int64, np.int64, *[I] * 4)
    def unravel(out, positions, dim_stride, stride, below, last, n, a, b, c, d):
        """Coordinates last, last - 1, ... in dimensions of sizes a, b, ..., behind which ``below`` elements lie."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            left = I(I(positions[i]) // below)
            at = i * stride + last * dim_stride
            for k in range(dims):
                size = (a, b, c, d)[k]
                rest = I(left // size)
                out[at - k * dim_stride] = np.int64(I(left - I(rest * size)))
                left = rest
            i += step

    return unravel


def unravel(positions: CudaArray, shape: tuple[int, ...], by_dim: bool) -> CudaArray:
    """The coordinates of flat ``positions`` in an array of ``shape``: (count, ndim), or (ndim, count) where ``by_dim``."""
    n, ndim = positions.size, len(shape)
    out = empty((ndim, n) if by_dim else (n, ndim), _dtypes.int64)
    if not out.size:
        return out
    strides = (n, 1) if by_dim else (1, ndim)
    total = 1
    for size in shape:
        total *= size
    I = counter(total)
    below, last = 1, ndim - 1
    while last >= 0:
        sizes = shape[max(last + 1 - _AT_ONCE, 0) : last + 1][::-1]
        arguments = (out.pointer, positions.pointer, *strides, below, last, n, *sizes, *[1] * (4 - len(sizes)))
        launch(_unraveler(len(sizes), I), *blocks(n), arguments)
        for size in sizes:
            below *= size
        last -= len(sizes)
    return out
