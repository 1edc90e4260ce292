"""Sorting on the device: keys and where they were, stably, eight bits at a time from the lowest on.

Least-significant-digit radix sort (D. E. Knuth, "The Art of Computer Programming", volume 3, section 5.2.5) in three kernels for each digit:

    1. each tile of a row counts its digits;
    2. the counts of each digit are summed over the tiles before;
    3. each tile ranks its elements by digit, brings them into that order in shared memory, and writes them, in runs, to where they belong.

Elements are ranked a warp at a time, by ballots on the bits of the digit (N. Satish, M. Harris, M. Garland, "Designing Efficient Sorting Algorithms
for Manycore GPUs", 2009; the ballots: S. Ashkiani et al., "GPU Multisplit", 2016).  No atomics: the order of equal keys is that of their positions,
always.  Bound by memory bandwidth: a digit reads the keys twice and the positions once, and writes both.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .array import CudaArray, empty
from .collectives import WARP, block_scan, team
from .driver import SIMULATED
from .intrinsics import ballot, cuda, inline
from .launch import kernel, launch, pointer

__all__ = ["sort_pairs", "summer"]

THREADS = team(256)
WARPS = THREADS // WARP
BITS = 4 if SIMULATED else 8  # of a digit
DIGITS = 1 << BITS
ITEMS = 2 if SIMULATED else 8  # of a thread
TILE = THREADS * ITEMS
_MOST_BLOCKS = 1 << 20
# Counts of a digit that a thread sums at a time.
_COUNTS = 2 if SIMULATED else 8


@inline
def _peers(digit, valid):
    """The lanes of the warp, as bits, whose element is ``valid`` and has the same ``digit``."""
    peers = ballot(valid)
    for b in range(BITS):
        one = (digit >> np.uint32(b)) & np.uint32(1)
        votes = ballot(one != 0)
        peers = np.uint32(peers & (votes if one != 0 else np.uint32(~votes)))
    return peers


@inline
def _clear(counts):
    """Zeros in a block's counts of digits by warp, before anybody counts."""
    cuda.syncthreads()
    for k in range(np.uint32(cuda.threadIdx.x), WARPS * DIGITS, THREADS):
        counts[np.uint32(k // DIGITS), np.uint32(k % DIGITS)] = np.int32(0)
    cuda.syncthreads()


@functools.lru_cache(maxsize=None)
def _ranker(K: Any) -> Any:
    @inline
    def rank(counts, keys, ranks, pointer, base, first, n, shift):
        """Load this thread's elements of the tile that begins at ``first``, and rank each among those of its warp that have its digit; ``counts`` gets
        their number.  A warp owns a stretch of the tile, and element k of its lanes comes before element k + 1."""
        thread = np.uint32(cuda.threadIdx.x)
        warp, lane = np.uint32(thread // np.uint32(WARP)), np.uint32(thread % np.uint32(WARP))
        before = np.uint32((np.uint32(1) << lane) - np.uint32(1))
        start = first + np.int64(np.uint32(warp * np.uint32(WARP * ITEMS) + lane))
        for k in range(ITEMS):
            at = start + k * WARP
            keys[k] = pointer[base + at] if at < n else K(0)
        for k in range(ITEMS):
            valid = start + k * WARP < n
            digit = np.uint32(keys[k] >> shift) & np.uint32(DIGITS - 1)
            peers = _peers(digit, valid)
            so_far = counts[warp, digit]
            cuda.syncwarp()
            below = np.int32(cuda.popc(np.uint32(peers & before)))
            if valid and below == 0:
                counts[warp, digit] = np.int32(so_far + np.int32(cuda.popc(peers)))
            cuda.syncwarp()
            ranks[k] = np.int32(so_far + below)

    return rank


@functools.lru_cache(maxsize=None)
def _counter(K: Any, C: Any) -> Any:
    rank = _ranker(K)

    @kernel(pointer(C), pointer(K), np.int64, np.int64, np.int64, np.uint32, bounds=THREADS)
    def count(table, keys, n, tiles, units, shift):
        """table[row, digit, tile] = how many elements of a tile of a row have a digit."""
        counts = cuda.shared.array((WARPS, DIGITS), dtype=np.int32)
        own = cuda.local.array(ITEMS, dtype=K)
        ranks = cuda.local.array(ITEMS, dtype=np.int32)
        unit = np.int64(cuda.blockIdx.x)
        while unit < units:
            row, tile = unit // tiles, unit % tiles
            _clear(counts)
            rank(counts, own, ranks, keys, row * n, tile * TILE, n, K(shift))
            cuda.syncthreads()
            for digit in range(np.uint32(cuda.threadIdx.x), DIGITS, THREADS):
                total = np.int32(0)
                for warp in range(WARPS):
                    total = np.int32(total + counts[np.uint32(warp), np.uint32(digit)])
                table[(row * DIGITS + np.int64(digit)) * tiles + tile] = C(total)
            unit += np.int64(cuda.gridDim.x)

    return count


@functools.lru_cache(maxsize=None)
def summer(C: Any) -> Any:
    """The kernel for blocks of THREADS that turns counts into the sums of those before, one block for each line."""
    scan = block_scan(C, THREADS)

    @kernel(pointer(C), pointer(C), np.int64, np.int64, bounds=THREADS)
    def sum_before(totals, table, tiles, units):
        """Each of the ``tiles`` counts of a line of the table becomes the sum of those before it; totals[line]: the sum of all."""
        unit = np.int64(cuda.blockIdx.x)
        while unit < units:
            line = unit * tiles
            carry = C(0)
            first = np.int64(0)
            while first < tiles:
                start = first + np.int64(cuda.threadIdx.x) * _COUNTS
                total = C(0)
                for k in range(_COUNTS):
                    if start + k < tiles:
                        total = C(total + table[line + start + k])
                before, whole = scan(total)
                before = C(before + carry)
                for k in range(_COUNTS):
                    if start + k < tiles:
                        here = table[line + start + k]
                        table[line + start + k] = before
                        before = C(before + here)
                carry = C(carry + whole)
                first += THREADS * _COUNTS
            if np.uint32(cuda.threadIdx.x) == 0:
                totals[unit] = carry
            unit += np.int64(cuda.gridDim.x)

    return sum_before


@functools.lru_cache(maxsize=None)
def _mover(K: Any, P: Any, C: Any, made: bool) -> Any:
    rank = _ranker(K)
    scan, scan_totals = block_scan(np.int32, THREADS), block_scan(C, THREADS)
    kinds = [pointer(K), pointer(P), pointer(K), pointer(P), pointer(C), pointer(C)]

    @kernel(*kinds, np.int64, np.int64, np.int64, np.uint32, bounds=THREADS)
    def move(keys_out, places_out, keys, places, table, totals, n, tiles, units, shift):
        """Bring the elements of each row into the order of their digits.  ``made``: the places are those that they have now."""
        counts = cuda.shared.array((WARPS, DIGITS), dtype=np.int32)
        starts = cuda.shared.array(DIGITS, dtype=np.int32)  # of each digit, in the tile
        targets = cuda.shared.array(DIGITS, dtype=C)  # in the row, for the tile's first element of each digit
        sorted_keys = cuda.shared.array(TILE, dtype=K)
        sorted_places = cuda.shared.array(TILE, dtype=P)
        own = cuda.local.array(ITEMS, dtype=K)
        ranks = cuda.local.array(ITEMS, dtype=np.int32)
        thread = np.uint32(cuda.threadIdx.x)
        warp, lane = np.uint32(thread // np.uint32(WARP)), np.uint32(thread % np.uint32(WARP))
        unit = np.int64(cuda.blockIdx.x)
        while unit < units:
            row, tile = unit // tiles, unit % tiles
            base, first = row * n, tile * TILE
            _clear(counts)
            rank(counts, own, ranks, keys, base, first, n, K(shift))
            cuda.syncthreads()
            # A thread for each digit: where its elements begin in the tile, for each warp, and in the row.
            total, everywhere = np.int32(0), C(0)
            if thread < DIGITS:
                for w in range(WARPS):
                    here = counts[np.uint32(w), thread]
                    counts[np.uint32(w), thread] = total
                    total = np.int32(total + here)
                everywhere = totals[row * DIGITS + np.int64(thread)]
            start, _ = scan(total)
            target, _ = scan_totals(everywhere)
            if thread < DIGITS:
                starts[thread] = start
                targets[thread] = C(target + table[(row * DIGITS + np.int64(thread)) * tiles + tile])
            cuda.syncthreads()
            within = np.uint32(warp * np.uint32(WARP * ITEMS) + lane)
            for k in range(ITEMS):
                at = first + np.int64(within) + k * WARP
                if at < n:
                    digit = np.uint32(own[k] >> K(shift)) & np.uint32(DIGITS - 1)
                    to = np.uint32(starts[digit] + counts[warp, digit] + ranks[k])
                    sorted_keys[to] = own[k]
                    sorted_places[to] = P(at) if made else places[base + at]
            cuda.syncthreads()
            for k in range(ITEMS):
                i = np.uint32(thread + np.uint32(k * THREADS))
                if first + np.int64(i) < n:
                    key = sorted_keys[i]
                    digit = np.uint32(key >> K(shift)) & np.uint32(DIGITS - 1)
                    to = base + np.int64(targets[digit]) + np.int64(np.int32(np.int32(i) - starts[digit]))
                    keys_out[to] = key
                    places_out[to] = sorted_places[i]
            unit += np.int64(cuda.gridDim.x)

    return move


def sort_pairs(keys: CudaArray, bits: int, rows: int = 1) -> tuple[CudaArray, CudaArray]:
    """The keys of each of ``rows`` rows in ascending order of their low ``bits`` bits, stably, and the places in the row where they were.

    ``keys``: contiguous, of uint32 or uint64, rows * n of them; they are overwritten.  The places: uint32, or uint64 where a row has 2**32 or more.
    """
    total = keys.size
    n = total // rows if rows else 0
    K: Any = keys.dtype.type
    P: Any = np.uint32 if n < 1 << 32 else np.uint64
    C: Any = np.int32 if n < 1 << 31 else np.int64
    spare = empty(keys.shape, keys.dtype)
    places, spare_places = empty(keys.shape, P), empty(keys.shape, P)
    if not total:
        return keys, places
    tiles = -(-n // TILE)
    table, totals = empty(rows * DIGITS * tiles, C), empty(rows * DIGITS, C)
    units = rows * tiles
    for shift in range(0, max(bits, 1), BITS):
        launch(_counter(K, C), min(units, _MOST_BLOCKS), THREADS, (table.pointer, keys.pointer, n, tiles, units, shift))
        launch(summer(C), min(rows * DIGITS, _MOST_BLOCKS), THREADS, (totals.pointer, table.pointer, tiles, rows * DIGITS))
        arrays = (spare, spare_places, keys, places, table, totals)
        launch(_mover(K, P, C, shift == 0), min(units, _MOST_BLOCKS), THREADS, (*(a.pointer for a in arrays), n, tiles, units, shift))
        keys, spare, places, spare_places = spare, keys, spare_places, places
    return keys, places
