"""The small kernels of the index family on CUDA: embedding's gradient, masked fill, one-hot rows, counts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty, zeros
from .._cuda.collectives import block_fold, largest, smallest, team
from .._cuda.driver import SIMULATED
from .._cuda.intrinsics import cuda, inline, load_vector, store_vector
from .._cuda.lanes import mapped
from .._cuda.launch import blocks, kernel, launch, pointer
from .._cuda.transfer import to_host
from ..copy._cuda_fill import fill_contiguous
from ._cuda_positions import add_offsets
from ._cuda_walk import WORDS, Walk
from ._cuda_write import Sorted, add, put, sorted_places
from ._errors import Refusal

# ---- counts ---------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _measurer(K: Any) -> Any:
    @kernel(pointer(np.int64), pointer(K), np.int64, np.int64)
    def measure(counts, keys, lost, n):
        """counts[key] = how long the run of ``key`` among the sorted ``keys`` is: who stands at its beginning looks for its end by bisection."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            key = keys[i]
            begins = i == 0
            if not begins:
                begins = keys[i - 1] != key
            if begins and np.int64(key) < lost:
                low, high = i + 1, n
                while low < high:
                    middle = (low + high) // 2
                    if keys[middle] == key:
                        low = middle + 1
                    else:
                        high = middle
                counts[np.int64(key)] = low - i
            i += step

    return measure


def _measured(found: Sorted, n: int) -> CudaArray:
    """How often each of the keys 0 .. n-1 occurs."""
    counts = zeros(n, _dtypes.int64)
    keys = found.keys
    K: Any = keys.dtype.type
    launch(_measurer(K), *blocks(keys.size), (counts.pointer, keys.pointer, found.lost, keys.size))
    return counts


def bincount(index: CudaArray, n: int, weights: CudaArray | None = None) -> CudaArray:
    """How often each of 0 .. n-1 occurs, or the sum of its weights (in their dtype), in order of occurrence."""
    if weights is not None:
        out = zeros(n, weights.dtype)
        put(out, index, weights, [], 1, 1)
        return out
    return _measured(sorted_places(index, 0, n), n) if index.size else zeros(n, _dtypes.int64)


# ---- embedding ------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _sharer(dtype: np.dtype) -> Any:
    T = dtype.type

    @kernel(pointer(T), pointer(np.int64), np.int64, np.int64)
    def share(out, counts, columns, n):
        """Each row divided by its count."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            count = counts[i // columns]
            if count > 1:
                out[i] = T(out[i] / T(count))
            i += step

    return share


def embedding_backward(g: CudaArray, index: CudaArray, rows: int, padding: int, by_frequency: bool, refusal: Refusal) -> CudaArray:
    """out[r] = Σ over i with index[i] = r of g[i], divided by how many there are where ``by_frequency``; row ``padding`` stays zero.

    ``g`` (n, columns) and ``index`` (n,), int64, are contiguous.  An index out of range is refused.
    """
    columns = g.shape[1]
    out = zeros((rows, columns), g.dtype)
    if not index.size:
        return out
    where = empty(index.size, _dtypes.int64)
    add_offsets(where, index, 0, rows, columns, refusal, 0, skipped=padding)
    if not g.size or not rows:
        return out
    found = sorted_places(where, 0, rows * columns, columns)
    add(out, found, g, Walk(((columns, 1),), ()))
    if by_frequency:
        counts = _measured(found, rows)
        launch(_sharer(g.dtype), *blocks(out.size), (out.pointer, counts.pointer, columns, out.size))
    return out


# ---- masked fill ----------------------------------------------------------------------------------------------------------------------------------


@inline
def _chosen(mask, x, value):
    return value if mask else x


@functools.lru_cache(maxsize=None)
def _filler(W: Any, lanes: int) -> Any:
    select = mapped(_chosen, lanes, inputs=2, scalars=1)

    @kernel(pointer(W), pointer(W), pointer(np.uint8), pointer(W), np.int64)
    def fill(out, x, mask, value, n):
        """``lanes`` elements at a time, and what is left one by one by the first threads.  Nothing is read-only: ``out`` may be ``x``."""
        threads = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        thread = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        v = value[0]
        vectors = n // lanes if lanes > 1 else np.int64(0)
        u = thread
        while u < vectors:
            at = u * lanes
            store_vector(out, at, select(load_vector(mask, at, lanes), load_vector(x, at, lanes), v))
            u += threads
        u = vectors * lanes + thread
        while u < n:
            out[u] = v if mask[u] else x[u]
            u += threads

    return fill


def masked_fill(x: CudaArray, mask: CudaArray, value: Any, in_place: bool = False) -> CudaArray:
    """``value`` (0-d, x's dtype) where ``mask``, ``x`` elsewhere; all contiguous, ``x`` and ``mask`` of one shape.

    The result is ``x`` itself when ``in_place``; ``value`` may then be one of its elements, which is only overwritten with itself.
    """
    n, item = x.size, x.itemsize
    out = x if in_place else empty(x.shape, x.dtype)
    if not n:
        return out
    if not isinstance(value, CudaArray):
        one = empty((), x.dtype)
        fill_contiguous(one, value)
        value = one
    lanes = 16 // item
    if (x.pointer | out.pointer) % 16 or mask.pointer % lanes:
        lanes = 1
    launch(_filler(WORDS[item], lanes), *blocks(-(-n // lanes)), (out.pointer, x.pointer, mask.pointer, value.pointer, n))
    return out


# ---- one-hot rows, extremes -----------------------------------------------------------------------------------------------------------------------


@kernel(pointer(np.int64), pointer(np.int64), np.int64, np.int64)
def _ones(out, index, classes, n):
    """out[i, index[i]] = 1, for indices that have been checked."""
    step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
    i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
    while i < n:
        out[i * classes + index[i]] = 1
        i += step


def one_hot(index: CudaArray, classes: int) -> CudaArray:
    """(n, classes) of int64 zeros with a one at each row's index."""
    out = zeros((index.size, classes), _dtypes.int64)
    launch(_ones, *blocks(index.size), (out.pointer, index.pointer, classes, index.size))
    return out


THREADS = team(256)
_low, _high = block_fold(smallest(np.int64), np.int64, THREADS), block_fold(largest(np.int64), np.int64, THREADS)
_BLOCKS = 2 if SIMULATED else 512


@kernel(pointer(np.int64), pointer(np.int64), np.int64, bounds=THREADS)
def _extremes(out, index, n):
    """out[0, b] and out[1, b]: the extremes of what block b has looked at."""
    threads = np.int64(cuda.gridDim.x) * THREADS
    i = np.int64(cuda.blockIdx.x) * THREADS + np.int64(cuda.threadIdx.x)
    low = high = index[0]
    while i < n:
        v = index[i]
        low, high = min(low, v), max(high, v)
        i += threads
    low, high = _low(low), _high(high)
    if np.uint32(cuda.threadIdx.x) == 0:
        out[np.int64(cuda.blockIdx.x)] = low
        out[np.int64(cuda.gridDim.x) + np.int64(cuda.blockIdx.x)] = high


def extremes(index: CudaArray) -> tuple[int, int]:
    """The smallest and the largest element of a non-empty flat int64 array.  The host waits for them."""
    grid = min(-(-index.size // (4 * THREADS)), _BLOCKS)
    out = empty((2, grid), _dtypes.int64)
    launch(_extremes, grid, THREADS, (out.pointer, index.pointer, index.size))
    low, high = to_host(out)
    return int(low.min()), int(high.max())
