"""Distinct elements on CUDA: of the elements in order, each that differs from the one before begins a group."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.array import CudaArray, empty, zeros
from .._cuda.collectives import add, block_fold, block_scan
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import blocks, kernel, launch, pointer
from .._cuda.radix import THREADS, TILE
from ._cuda_keys import encoder, last_key
from ._cuda_order import order
from ._cuda_select import CHUNKS, summing
from ._keys import carrier


@functools.lru_cache(maxsize=None)
def _beginning(dtype: np.dtype) -> Any:
    encode, missing, floats = encoder(dtype, False), last_key(dtype), dtype.kind in "fV"

    @inline
    def begins(ordered, j):
        """Whether a group begins at j; every NaN is one of its own."""
        key = encode(ordered[j])
        first = j == np.int64(0)
        if not first:
            first = key != encode(ordered[j - np.int64(1)])
        if floats and key == missing:
            first = True
        return np.int32(1) if first else np.int32(0)

    return begins


@functools.lru_cache(maxsize=None)
def _counting(dtype: np.dtype) -> Any:
    begins, total_of = _beginning(dtype), block_fold(add(np.int64), np.int64, THREADS)

    @kernel(pointer(np.int64), pointer(carrier(dtype)), np.int64, np.int64, bounds=THREADS)
    def counting(table, ordered, n, chunk):
        """How many groups begin in each block's chunk."""
        first = np.int64(cuda.blockIdx.x) * chunk
        stop = min(first + chunk, n)
        found = np.int64(0)
        j = first + np.int64(cuda.threadIdx.x)
        while j < stop:
            found += np.int64(begins(ordered, j))
            j += np.int64(THREADS)
        found = total_of(found)
        if cuda.threadIdx.x == 0:
            table[np.int64(cuda.blockIdx.x)] = found

    return counting


@functools.lru_cache(maxsize=None)
def _grouping(dtype: np.dtype, inverse_too: bool) -> Any:
    bits, begins, scan = carrier(dtype), _beginning(dtype), block_scan(np.int32, THREADS)

    @kernel(*map(pointer, (bits, np.int64, np.int64, bits, np.int64, np.int64)), np.int64, np.int64, bounds=THREADS)
    def grouping(values, starts, inverse, ordered, places, table, n, chunk):
        """The value and the start of each group that begins in a block's chunk, and the group of each of its elements."""
        start = np.int64(cuda.blockIdx.x) * chunk
        stop = min(start + chunk, n)
        groups = table[np.int64(cuda.blockIdx.x)]  # that began before
        while start < stop:
            j = start + np.int64(cuda.threadIdx.x)
            first = np.int32(0)
            if j < stop:
                first = begins(ordered, j)
            before, whole = scan(first)
            group = groups + np.int64(before)
            if first == np.int32(1):
                values[group] = ordered[j]
                starts[group] = j
            elif j < stop:
                group -= np.int64(1)
            if inverse_too and j < stop:
                inverse[places[j]] = group
            groups += np.int64(whole)
            start += np.int64(THREADS)

    return grouping


@kernel(pointer(np.int64), pointer(np.int64), np.int64, np.int64)
def _sizes(counts, starts, distinct, n):
    """The size of each group, from where it and the next begin."""
    i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
    while i < distinct:
        stop = n
        if i + np.int64(1) < distinct:
            stop = starts[i + np.int64(1)]
        counts[i] = stop - starts[i]
        i += np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)


def unique(x: CudaArray, inverse: bool) -> tuple[CudaArray, CudaArray, CudaArray]:
    """(distinct values, index of each element's value, counts) of flat ``x``; the indices only where ``inverse`` (else an empty array).  It waits for
    the number of distinct values, which is the shape of the results."""
    n = x.size
    if not n:
        return empty((0,), x.dtype), empty((0,), np.int64), empty((0,), np.int64)
    ordered, places = empty((n,), x.dtype), empty((n,), np.int64)
    order(ordered, places, x, 1, n, n, False)
    chunks = min(-(-n // TILE), CHUNKS)
    chunk = -(-n // chunks)
    table = zeros((chunks + 1,), np.int64)
    launch(_counting(x.dtype), chunks, THREADS, (table.pointer, ordered.pointer, n, chunk))
    launch(summing(1), 1, THREADS, (table.pointer, chunks + 1))
    distinct = table[chunks:].item()
    values, starts, counts = empty((distinct,), x.dtype), empty((distinct,), np.int64), empty((distinct,), np.int64)
    numbers = empty((n if inverse else 0,), np.int64)
    pointers = [a.pointer for a in (values, starts, numbers, ordered, places, table)]
    launch(_grouping(x.dtype, inverse), chunks, THREADS, (*pointers, n, chunk))
    launch(_sizes, *blocks(distinct), (counts.pointer, starts.pointer, distinct, n))
    return values, numbers, counts
