"""The k-th smallest of long rows, and the k smallest of them, without sorting the rows.

Radix selection from the highest digit down: the keys that share the digits found so far are counted by their next one, and the digit is taken in whose
range the k-th lies (T. Alabi, J. D. Blanchard, B. Gordon, R. Steinbach, "Fast k-Selection Algorithms for Graphics Processing Units", 2012).  A row is
cut into chunks, each counted by one block in shared memory, so that one long row keeps the whole device busy as well as many.  Each digit reads the
rows once, which is what bounds it; then one more reading finds the place, or two collect the k smallest in the order of their places.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._cuda.array import CudaArray, empty, zeros
from .._cuda.collectives import add, block_fold, block_scan
from .._cuda.intrinsics import cuda
from .._cuda.launch import kernel, launch, pointer
from .._cuda.radix import BITS, DIGITS, THREADS, TILE
from ._cuda_keys import encoder, last_key, word_of
from ._cuda_rows import KTH, MEDIAN, NANMEDIAN
from ._keys import carrier

CHUNKS = 2048  # of all rows together, about
MOST_BLOCKS = 1 << 20
_PITCH = DIGITS + 1  # counts of a chunk: of each digit, and of NaN


@functools.lru_cache(maxsize=None)
def _counting(dtype: np.dtype, descending: bool) -> Any:
    bits, word = carrier(dtype), word_of(dtype.itemsize)
    encode, missing = encoder(dtype, descending), last_key(dtype)

    @kernel(pointer(np.int32), pointer(bits), pointer(word), *[np.int64] * 4, word, np.uint32, bounds=THREADS)
    def counting(table, x, found, n, chunks, chunk, units, mask, shift):
        """How often each digit at ``shift`` occurs in each chunk, of keys whose digits above (``mask``) are those found for the row."""
        counts = cuda.shared.array(_PITCH, dtype=np.int32)
        unit = np.int64(cuda.blockIdx.x)
        while unit < units:
            row = unit // chunks
            first = (unit - row * chunks) * chunk
            stop = min(first + chunk, n)
            for digit in range(np.uint32(cuda.threadIdx.x), _PITCH, THREADS):
                counts[np.uint32(digit)] = np.int32(0)
            cuda.syncthreads()
            wanted = found[row]
            j = first + np.int64(cuda.threadIdx.x)
            while j < stop:
                key = encode(x[row * n + j])
                if word(key & mask) == wanted:
                    cuda.atomic.add(counts, np.uint32(np.uint32(key >> word(shift)) & np.uint32(DIGITS - 1)), np.int32(1))
                if mask == word(0) and key == missing:
                    cuda.atomic.add(counts, np.uint32(DIGITS), np.int32(1))
                j += np.int64(THREADS)
            cuda.syncthreads()
            for digit in range(np.uint32(cuda.threadIdx.x), _PITCH, THREADS):
                table[unit * np.int64(_PITCH) + np.int64(digit)] = counts[np.uint32(digit)]
            cuda.syncthreads()
            unit += np.int64(cuda.gridDim.x)

    return counting


@functools.lru_cache(maxsize=None)
def _picking(word: Any, rule: int) -> Any:
    scan, total_of = block_scan(np.int64, THREADS), block_fold(add(np.int64), np.int64, THREADS)

    @kernel(pointer(word), pointer(np.int64), pointer(np.int32), *[np.int64] * 3, np.uint32, np.bool_, bounds=THREADS)
    def picking(found, left, table, n, chunks, k, shift, first):
        """A block finds the next digit of its row: a thread for each digit.  ``left``: which of the keys with the digits found it is, counted from 0."""
        thread, row = np.uint32(cuda.threadIdx.x), np.int64(cuda.blockIdx.x)
        wanted = k
        if not first:
            wanted = left[row]
        elif rule >= MEDIAN:
            missing = np.int64(0)
            chunk = np.int64(thread)
            while chunk < chunks:
                missing += np.int64(table[(row * chunks + chunk) * np.int64(_PITCH) + np.int64(DIGITS)])
                chunk += np.int64(THREADS)
            missing = total_of(missing)
            if rule == MEDIAN and missing > np.int64(0):  # the first NaN
                wanted = n - missing
            if rule == NANMEDIAN:
                wanted = (n - missing - np.int64(1)) >> np.int64(1) if missing < n else np.int64(0)
        here = np.int64(0)
        if thread < np.uint32(DIGITS):
            for chunk in range(chunks):
                here += np.int64(table[(row * chunks + chunk) * np.int64(_PITCH) + np.int64(thread)])
        before, _ = scan(here)
        if before <= wanted and wanted < before + here:
            found[row] = word(found[row] | word(word(thread) << word(shift)))
            left[row] = wanted - before

    return picking


@functools.lru_cache(maxsize=None)
def _locating(dtype: np.dtype) -> Any:
    bits, word, encode = carrier(dtype), word_of(dtype.itemsize), encoder(dtype, False)
    scan = block_scan(np.int32, THREADS)

    @kernel(
        pointer(bits),
        pointer(np.int64),
        pointer(bits),
        pointer(word),
        pointer(np.int64),
        pointer(np.int32),
        *[np.int64] * 3,
        bounds=THREADS,
    )
    def locating(values, indices, x, found, left, table, n, chunks, chunk):
        """A block finds where in its row the key stands for the time that is wanted: first the chunk, by the last digit's counts, then the place."""
        place = cuda.shared.array(2, dtype=np.int64)
        thread, row = np.uint32(cuda.threadIdx.x), np.int64(cuda.blockIdx.x)
        key, wanted = found[row], left[row]
        digit = np.int64(np.uint32(key) & np.uint32(DIGITS - 1))
        start, so_far = np.int64(0), np.int64(0)
        while start < chunks:
            here = np.int32(0)
            if start + np.int64(thread) < chunks:
                here = table[(row * chunks + start + np.int64(thread)) * np.int64(_PITCH) + digit]
            before, whole = scan(here)
            rank = wanted - so_far - np.int64(before)
            if rank >= np.int64(0) and rank < np.int64(here):
                place[0] = start + np.int64(thread)
                place[1] = rank
            so_far += np.int64(whole)
            start += np.int64(THREADS)
        cuda.syncthreads()
        start, rank = place[0] * chunk, place[1]
        stop = min(start + chunk, n)
        while start < stop:
            j = start + np.int64(thread)
            equal = np.int32(0)
            if j < stop and encode(x[row * n + j]) == key:
                equal = np.int32(1)
            before, whole = scan(equal)
            if equal == np.int32(1) and np.int64(before) == rank:
                indices[row] = j
                values[row] = x[row * n + j]
            rank -= np.int64(whole)
            start += np.int64(THREADS)

    return locating


@functools.lru_cache(maxsize=None)
def _dividing(dtype: np.dtype, descending: bool) -> Any:
    bits, word, encode = carrier(dtype), word_of(dtype.itemsize), encoder(dtype, descending)
    total_of = block_fold(add(np.int64), np.int64, THREADS)

    @kernel(pointer(np.int64), pointer(bits), pointer(word), *[np.int64] * 4, bounds=THREADS)
    def dividing(table, x, found, n, chunks, chunk, units):
        """How many keys of each chunk are smaller than the row's, and how many are equal to it."""
        unit = np.int64(cuda.blockIdx.x)
        while unit < units:
            row = unit // chunks
            first = (unit - row * chunks) * chunk
            stop = min(first + chunk, n)
            key, smaller, equal = found[row], np.int64(0), np.int64(0)
            j = first + np.int64(cuda.threadIdx.x)
            while j < stop:
                other = encode(x[row * n + j])
                if other < key:
                    smaller += np.int64(1)
                if other == key:
                    equal += np.int64(1)
                j += np.int64(THREADS)
            smaller = total_of(smaller)
            equal = total_of(equal)
            if cuda.threadIdx.x == 0:
                table[np.int64(2) * unit] = smaller
                table[np.int64(2) * unit + np.int64(1)] = equal
            unit += np.int64(cuda.gridDim.x)

    return dividing


@functools.lru_cache(maxsize=None)
def summing(sides: int) -> Any:
    """The kernel, for so many counts of each chunk."""
    scan = block_scan(np.int64, THREADS)

    @kernel(pointer(np.int64), np.int64, bounds=THREADS)
    def sums_before(table, chunks):
        """The counts of each chunk of a block's row become the sums of those of the chunks before."""
        row = np.int64(cuda.blockIdx.x)
        for side in range(sides):
            carry, first = np.int64(0), np.int64(0)
            while first < chunks:
                at = np.int64(sides) * (row * chunks + first + np.int64(cuda.threadIdx.x)) + np.int64(side)
                inside = first + np.int64(cuda.threadIdx.x) < chunks
                here = np.int64(0)
                if inside:
                    here = table[at]
                before, whole = scan(here)
                if inside:
                    table[at] = carry + before
                carry += whole
                first += np.int64(THREADS)

    return sums_before


@functools.lru_cache(maxsize=None)
def _collecting(dtype: np.dtype, descending: bool) -> Any:
    bits, word, encode = carrier(dtype), word_of(dtype.itemsize), encoder(dtype, descending)
    scan = block_scan(np.int32, THREADS)

    @kernel(
        pointer(bits),
        pointer(np.int64),
        pointer(bits),
        pointer(word),
        pointer(np.int64),
        pointer(np.int64),
        *[np.int64] * 5,
        bounds=THREADS,
    )
    def collecting(values, places, x, found, left, table, n, chunks, chunk, units, k):
        """The k smallest of each row: those smaller than the row's key, then the first of those equal to it, each in the order of their places."""
        thread = np.int64(cuda.threadIdx.x)
        unit = np.int64(cuda.blockIdx.x)
        while unit < units:
            row = unit // chunks
            start = (unit - row * chunks) * chunk
            stop = min(start + chunk, n)
            key, first_equal = found[row], k - left[row] - np.int64(1)
            smaller, equal = table[np.int64(2) * unit], table[np.int64(2) * unit + np.int64(1)] + first_equal
            while start < stop:
                j = start + thread
                below, same = np.int32(0), np.int32(0)
                if j < stop:
                    other = encode(x[row * n + j])
                    below = np.int32(1) if other < key else np.int32(0)
                    same = np.int32(1) if other == key else np.int32(0)
                below_before, all_below = scan(below)
                same_before, all_same = scan(same)
                to = k
                if below == np.int32(1):
                    to = smaller + np.int64(below_before)
                elif same == np.int32(1):
                    to = equal + np.int64(same_before)
                if to < k:
                    places[row * k + to] = j
                    values[row * k + to] = x[row * n + j]
                smaller += np.int64(all_below)
                equal += np.int64(all_same)
                start += np.int64(THREADS)
            unit += np.int64(cuda.gridDim.x)

    return collecting


class _Found(NamedTuple):
    """A key for each row, which of the keys equal to it is meant, and how the rows were cut."""

    keys: CudaArray
    left: CudaArray
    table: CudaArray
    chunks: int
    chunk: int


def _find(x: CudaArray, rows: int, n: int, k: int, rule: int, descending: bool) -> _Found:
    """The key of the k-th smallest element of each row, counted from 0."""
    word = word_of(x.itemsize)
    chunks = max(1, min(-(-n // TILE), CHUNKS // rows))
    chunk = -(-n // chunks)
    units = rows * chunks
    keys, left, table = zeros((rows,), word), empty((rows,), np.int64), empty((units, _PITCH), np.int32)
    bits = 8 * x.itemsize
    for shift in range(bits - BITS, -1, -BITS):
        mask = (1 << bits) - (1 << (shift + BITS))
        given = n, chunks, chunk, units, mask, shift
        launch(_counting(x.dtype, descending), min(units, MOST_BLOCKS), THREADS, (table.pointer, x.pointer, keys.pointer, *given))
        launch(_picking(word, rule), rows, THREADS, (keys.pointer, left.pointer, table.pointer, n, chunks, k, shift, shift == bits - BITS))
    return _Found(keys, left, table, chunks, chunk)


def select_long(values: CudaArray, indices: CudaArray, x: CudaArray, rows: int, n: int, k: int, mode: str) -> None:
    """The k-th smallest of each row of n, counted from 0; ``mode`` as of ``select``."""
    rule = {"kth": KTH, "median": MEDIAN, "nanmedian": NANMEDIAN}[mode] if x.dtype.kind in "fV" else KTH
    found = _find(x, rows, n, k, rule, False)
    pointers = [a.pointer for a in (values, indices, x, found.keys, found.left, found.table)]
    launch(_locating(x.dtype), rows, THREADS, (*pointers, n, found.chunks, found.chunk))


def collect(x: CudaArray, rows: int, n: int, k: int, descending: bool) -> tuple[CudaArray, CudaArray]:
    """(values, places), each (rows, k), of the k > 0 smallest (or largest, if ``descending``) of each row of n: equal ones in the order of their places."""
    found = _find(x, rows, n, k - 1, KTH, descending)
    units = rows * found.chunks
    values, places, table = empty((rows, k), x.dtype), empty((rows, k), np.int64), empty((units, 2), np.int64)
    grid = min(units, MOST_BLOCKS)
    given = n, found.chunks, found.chunk, units
    launch(_dividing(x.dtype, descending), grid, THREADS, (table.pointer, x.pointer, found.keys.pointer, *given))
    launch(summing(2), rows, THREADS, (table.pointer, found.chunks))
    pointers = [a.pointer for a in (values, places, x, found.keys, found.left, table)]
    launch(_collecting(x.dtype, descending), grid, THREADS, (*pointers, *given, k))
    return values, places
