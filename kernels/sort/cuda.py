"""Sorting, selection and search on CUDA.

Rows that fit into a block's shared memory are sorted there (``_cuda_rows``); longer ones by a radix sort of the whole device, from which keys come back
with their places (``_cuda_order``), or, where few of many are wanted, by radix selection (``_cuda_select``).  Rows along a dim that is not the last
are brought together first, so that all reads are of neighbours.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.array import CudaArray, empty, zeros
from .._cuda.intrinsics import cuda
from .._cuda.launch import blocks, kernel, launch, pointer
from ..copy.cuda import packed
from . import _cuda_keys, _cuda_order, _cuda_select
from ._cuda_rows import LONGEST, select_rows
from ._cuda_unique import unique
from ._keys import carrier

__all__ = ["searchsorted", "select", "sort", "topk", "unique"]

# Of so many times as many elements, the best are selected, and only they are sorted.
_FEW_OF_MANY = 8


def _together(x: CudaArray, outer: int, n: int, inner: int) -> CudaArray:
    """``x`` (outer, n, inner) with the rows along n one after the other."""
    return x if inner == 1 else packed(x.reshape(outer, n, inner).transpose(0, 2, 1))


def _apart(rows: CudaArray, shape: tuple[int, ...], outer: int, n: int, inner: int) -> CudaArray:
    """Rows of n, one after the other, as ``shape``, which is (outer, n, inner)."""
    return (rows if inner == 1 else packed(rows.reshape(outer, inner, n).transpose(0, 2, 1))).reshape(shape)


def sort(x: CudaArray, outer: int, n: int, inner: int, descending: bool) -> tuple[CudaArray, CudaArray]:
    """(values, indices) of contiguous x in stable order along n, of x's shape."""
    if n <= 1 or not x.size:
        return packed(x), zeros(x.shape, np.int64)
    rows = _together(x, outer, n, inner)
    values, indices = empty((x.size,), x.dtype), empty((x.size,), np.int64)
    _cuda_order.order(values, indices, rows, outer * inner, n, n, bool(descending))
    return _apart(values, x.shape, outer, n, inner), _apart(indices, x.shape, outer, n, inner)


def topk(x: CudaArray, shape: tuple[int, ...], outer: int, n: int, inner: int, k: int, largest: bool) -> tuple[CudaArray, CudaArray]:
    """(values, indices), of ``shape``, of the k best along n, best first."""
    size = outer * inner * k
    if not size:
        return empty(shape, x.dtype), empty(shape, np.int64)
    rows = _together(x, outer, n, inner)
    values, indices = _best(rows, outer * inner, n, k, bool(largest))
    return _apart(values, shape, outer, k, inner), _apart(indices, shape, outer, k, inner)


def _best(x: CudaArray, rows: int, n: int, k: int, descending: bool) -> tuple[CudaArray, CudaArray]:
    """(values, indices), each (rows, k), of the k smallest (largest, if ``descending``) of each row of n in contiguous ``x``, in stable order."""
    values, indices = empty((rows, k), x.dtype), empty((rows, k), np.int64)
    if n <= LONGEST or _FEW_OF_MANY * k > n:
        _cuda_order.order(values, indices, x, rows, n, k, descending)
    else:
        candidates, places = _cuda_select.collect(x, rows, n, k, descending)
        among = empty((rows, k), np.int64)
        _cuda_order.order(values, among, candidates, rows, k, k, descending)
        _cuda_order.gather(indices, empty((rows, k), np.int64), places, among, k, k)
    return values, indices


def select(x: CudaArray, shape: tuple[int, ...], outer: int, n: int, inner: int, k: int, mode: str) -> tuple[CudaArray, CudaArray]:
    """(values, indices), of ``shape``, of the k-th smallest along n, counted from 0.  ``mode``: "kth" takes NaN as the largest, "median" lets
    a NaN win, "nanmedian" takes the lower median of the rest instead of k."""
    values, indices = empty(shape, x.dtype), empty(shape, np.int64)
    if values.size:
        rows = _together(x, outer, n, inner)
        (select_rows if n <= LONGEST else _cuda_select.select_long)(values, indices, rows, outer * inner, n, k, mode)
    return values, indices


# ---- search ---------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _searching(dtype: np.dtype) -> Any:
    bits, encode = carrier(dtype), _cuda_keys.encoder(dtype, False)

    @kernel(pointer(np.int64), pointer(bits), pointer(bits), np.int64, np.int64, np.int64, np.bool_)
    def searching(out, sequence, values, count, n, each, right):
        """A thread finds the place of one value after the other by halving: bound by the latency of its loads, of which threads side by side share
        the first."""
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < count:
            base = np.int64(0)
            if each < count:
                base = i // each * n
            key = encode(values[i])
            low, left = np.int64(0), n
            while left > np.int64(0):
                half = left - (left >> np.int64(1))
                other = encode(sequence[base + low + half - np.int64(1)])
                if other < key or (right and other == key):
                    low += half
                left >>= np.int64(1)
            out[i] = low
            i += np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)

    return searching


def searchsorted(sequence: CudaArray, values: CudaArray, outer: int, n: int, each: int, right: bool) -> CudaArray:
    """Positions of values (outer, each) in sequence (outer, n), by bisection."""
    out = empty((values.size,), np.int64)
    if values.size:
        pointers = out.pointer, sequence.pointer, values.pointer
        launch(_searching(values.dtype), *blocks(values.size), (*pointers, values.size, n, each, bool(right)))
    return out
