"""Rows that fit into the shared memory of a block, sorted there by merging.

A row is dealt out to a power of two of threads, nine elements each: an odd number, so that what neighbours read at once lies in different banks.
Each thread sorts its own in registers; then runs are merged in pairs, and every thread finds by halving where its nine elements of the merged
run come from and merges them alone (S. Odeh, O. Green, Z. Mwassi, O. Shmueli, Y. Birk, "Merge Path", 2012).  Equal keys keep their order
throughout.  Short rows share a block.  What bounds it is shared memory: two accesses an element and a merge, of which there are log2 of the threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.array import CudaArray
from .._cuda.driver import SIMULATED
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, launch, pointer
from ._cuda_keys import encoder, last_key, word_of
from ._keys import carrier

EACH = 9  # elements of a thread
THREADS = 8 if SIMULATED else 256
LONGEST = EACH * THREADS  # elements of a row

# What is done with a row in order.
VALUES, PLACES, KTH, MEDIAN, NANMEDIAN = range(5)


@functools.lru_cache(maxsize=None)
def _merged(word: Any) -> Any:
    """The function that merges two neighbouring runs, each of the elements of ``half`` threads, of which this thread's are at ``own``: ``mine`` and ``at``
    become the thread's keys and places of what is merged."""

    @inline
    def merge(keys, places, mine, at, own, lane, half):
        run = np.uint32(half * np.uint32(EACH))
        within = np.uint32(lane & np.uint32(np.uint32(half + half) - np.uint32(1)))
        diagonal = np.uint32(within * np.uint32(EACH))  # so many elements of the merged run come before this thread's
        first = np.uint32(own - diagonal)
        second = np.uint32(first + run)
        low = np.uint32(diagonal - run) if diagonal > run else np.uint32(0)
        high = min(diagonal, run)
        while low < high:
            middle = np.uint32(np.uint32(low + high) >> np.uint32(1))
            if keys[np.uint32(first + middle)] <= keys[np.uint32(np.uint32(second + diagonal) - np.uint32(middle + np.uint32(1)))]:
                low = np.uint32(middle + np.uint32(1))
            else:
                high = middle
        a, b = np.uint32(first + low), np.uint32(np.uint32(second + diagonal) - low)
        last = np.uint32(second + run)
        for k in range(EACH):
            left = b >= last or (a < second and keys[a] <= keys[b])
            taken = a if left else b
            mine[k] = keys[taken]
            at[k] = places[taken]
            if left:
                a = np.uint32(a + np.uint32(1))
            else:
                b = np.uint32(b + np.uint32(1))

    return merge


@functools.lru_cache(maxsize=None)
def _rows(dtype: np.dtype, descending: bool, mode: int) -> Any:
    bits, word = carrier(dtype), word_of(dtype.itemsize)
    encode, merge, padding = encoder(dtype, descending), _merged(word), word(np.iinfo(word).max)
    missing = last_key(dtype)
    slots = LONGEST

    @kernel(pointer(bits), pointer(np.int64), pointer(bits), np.int64, np.uint32, np.uint32, np.uint32, np.uint32, bounds=THREADS)
    def rows(values, indices, x, count, n, taken, k, lanes):
        """A team of ``lanes`` threads for each of ``count`` rows of n.  The first ``taken`` are stored, or the one that is the k-th in order."""
        keys = cuda.shared.array(slots, dtype=word)
        places = cuda.shared.array(slots, dtype=np.uint32)
        mine = cuda.local.array(EACH, dtype=word)
        at = cuda.local.array(EACH, dtype=np.uint32)
        thread = np.uint32(cuda.threadIdx.x)
        lane = np.uint32(thread & np.uint32(lanes - np.uint32(1)))
        team = np.uint32(thread // lanes)
        row = np.int64(cuda.blockIdx.x) * np.int64(np.uint32(THREADS) // lanes) + np.int64(team)
        inside = row < count
        own, base = np.uint32(thread * np.uint32(EACH)), np.uint32(np.uint32(thread - lane) * np.uint32(EACH))
        start = row * np.int64(n)
        for i in range(EACH):
            j = np.uint32(lane + np.uint32(np.uint32(i) * lanes))
            key = padding
            if inside and j < n:
                key = encode(x[start + np.int64(j)])
            keys[np.uint32(base + j)] = key
        cuda.syncthreads()
        for i in range(EACH):
            mine[i] = keys[np.uint32(own + np.uint32(i))]
            at[i] = np.uint32(np.uint32(lane * np.uint32(EACH)) + np.uint32(i))
        for i in range(EACH):  # neighbours change places where they are not in order, odd and even pairs in turn
            for j in range(i & 1, EACH - 1, 2):
                if mine[j] > mine[j + 1]:
                    mine[j], mine[j + 1] = mine[j + 1], mine[j]
                    at[j], at[j + 1] = at[j + 1], at[j]
        half = np.uint32(1)
        while half < lanes:
            cuda.syncthreads()
            for i in range(EACH):
                keys[np.uint32(own + np.uint32(i))] = mine[i]
                places[np.uint32(own + np.uint32(i))] = at[i]
            cuda.syncthreads()
            merge(keys, places, mine, at, own, lane, half)
            half = np.uint32(half + half)
        cuda.syncthreads()
        for i in range(EACH):
            places[np.uint32(own + np.uint32(i))] = at[i]
            if mode >= MEDIAN:
                keys[np.uint32(own + np.uint32(i))] = mine[i]
        cuda.syncthreads()
        if not inside:
            return
        if mode <= PLACES:
            for i in range(EACH):
                j = np.uint32(lane + np.uint32(np.uint32(i) * lanes))
                if j < taken:
                    place = np.int64(places[np.uint32(base + j)])
                    indices[row * np.int64(taken) + np.int64(j)] = place
                    if mode == VALUES:
                        values[row * np.int64(taken) + np.int64(j)] = x[start + place]
        elif lane == np.uint32(0):
            wanted = k
            if mode >= MEDIAN:
                numbers, high = np.uint32(0), n  # the elements before the first NaN
                while numbers < high:
                    middle = np.uint32(np.uint32(numbers + high) >> np.uint32(1))
                    if keys[np.uint32(base + middle)] < missing:
                        numbers = np.uint32(middle + np.uint32(1))
                    else:
                        high = middle
                if mode == MEDIAN and numbers < n:
                    wanted = numbers
                if mode == NANMEDIAN:
                    wanted = np.uint32(np.uint32(numbers - np.uint32(1)) >> np.uint32(1)) if numbers > np.uint32(0) else np.uint32(0)
            place = np.int64(places[np.uint32(base + wanted)])
            indices[row] = place
            values[row] = x[start + place]

    return rows


def sort_rows(
    values: CudaArray | None, indices: CudaArray, x: CudaArray, dtype: np.dtype, rows: int, n: int, taken: int, descending: bool
) -> None:
    """The first ``taken`` of each of the ``rows`` of n elements (up to LONGEST) in contiguous ``x``, of type ``dtype``, in order: values (unless
    None) and places."""
    _launch(_rows(dtype, descending, PLACES if values is None else VALUES), values, indices, x, rows, n, taken, 0)


def select_rows(values: CudaArray, indices: CudaArray, x: CudaArray, rows: int, n: int, k: int, mode: str) -> None:
    """The k-th smallest of each row, counted from 0; ``mode`` as of ``select``."""
    floats = x.dtype.kind in "fV"
    rule = {"kth": KTH, "median": MEDIAN, "nanmedian": NANMEDIAN}[mode] if floats else KTH
    _launch(_rows(x.dtype, False, rule), values, indices, x, rows, n, 1, k)


def _launch(made: Any, values: CudaArray | None, indices: CudaArray, x: CudaArray, rows: int, n: int, taken: int, k: int) -> None:
    lanes = 1
    while lanes * EACH < n:
        lanes *= 2
    grid = -(-rows // (THREADS // lanes))
    launch(made, grid, THREADS, (0 if values is None else values.pointer, indices.pointer, x.pointer, rows, n, taken, k, lanes))
