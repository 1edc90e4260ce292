"""Matrix products by the ordinary arithmetic units: tiles in shared memory, and in registers what each thread has of the result.

A block computes a tile of C, of which each thread has ``high`` x ``wide`` elements in registers.  It passes through k in steps of ``depth``: while it
multiplies the tiles of A and B that lie in one half of shared memory, the next ones are on their way from global memory, and are put into the other
half, so there is one barrier a step.  Of 128 x 128 elements, 8 x 8 for each of 256 threads, 512 multiply-adds of a thread and step stand against 32
vector loads from shared memory: arithmetic bounds it.  V. Volkov, J. W. Demmel, "Benchmarking GPUs to Tune Dense Linear Algebra" (SC 2008).

In shared memory both tiles lie with k outermost.  A thread reads vectors of 16 bytes; the 32 of a warp stand 4 x 8, so that eight of them read 128
bytes in a row of B, and one and the same vector of A.  An operand whose unit stride is along k is turned as it is stored: a row of the tile is one vector
longer than it needs to be, so that what a warp stores lies in different banks.  No operand is copied for the way it lies.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._cuda.intrinsics import cuda, inline, load_vector, store_vector
from .._cuda.launch import Kernel, kernel, pointer
from .._cuda.tiles import Fragment, head, pushed, repeat, rotated, tile_product
from ._cuda_kind import Ending, Tile, computed, finishing, stored, widening

# Tiles in a band: the blocks that run together take a square of tiles rather than a row, and share more of A and B in the second-level cache.
BAND = 16
THREADS = 512  # that a multiprocessor holds at least: 128 registers for each
# Elements with which the largest tile takes more than that, on sm_80 at least: half as many threads.
LARGER = (np.complex128, np.float64, np.int32)
_ALONG_WARP = 8  # threads of a warp side by side


class Operand(NamedTuple):
    """How a matrix lies: its unit stride along k or across it, and how many elements a thread loads at once (1 where they are not aligned, or where
    neither stride is 1)."""

    along_k: bool
    lanes: int


def shared_vector(dtype: np.dtype) -> int:
    """How many elements of the sums' type are 16 bytes."""
    return 16 // computed(dtype).itemsize


class _Mover(NamedTuple):
    """How the threads of a block bring a tile into shared memory: functions for kernels.

    ``begin`` says, of the thread's number, which element of the tile it moves first, across k and along it, and where that lies in shared memory; ``far``,
    of the strides across k and along it, how far one vector of a thread is from the next.
    """

    begin: Any
    far: Any
    load: Any
    store: Any


@functools.lru_cache(maxsize=None)
def _mover(dtype: np.dtype, operand: Operand, extent: int, depth: int, threads: int) -> _Mover:
    """How ``threads`` bring a tile, ``extent`` x ``depth`` elements, into shared memory: vectors of ``operand.lanes``, each thread the same number of
    them, as far apart as it takes for all threads to lie between them."""
    lanes, along_k = operand.lanes, operand.along_k
    count = extent * depth // threads
    groups = count // lanes
    per_row = depth // lanes if along_k else extent // lanes
    apart = threads // per_row
    pitch = extent + shared_vector(dtype)
    shared_apart = apart if along_k else apart * pitch
    T, widen = computed(dtype).type, widening(dtype)
    zero = T(0)

    @inline
    def begin(thread):  # type: ignore[no-untyped-def]
        outer, inner = np.int32(thread // per_row), np.int32(thread % per_row * lanes)
        r, p = (outer, inner) if along_k else (inner, outer)
        return r, p, np.uint32(p * pitch + r)

    @inline
    def far(row, step):  # type: ignore[no-untyped-def]
        return apart * row if along_k else apart * step

    @inline
    def load(x, at, far, r_left, p_left):  # type: ignore[no-untyped-def]
        """The thread's elements, from x[at] on; 0 where fewer elements than it takes are left across k (where none are, ``p_left`` is 0) or along it."""
        found = repeat(zero, count)
        for g in range(groups):
            vector = repeat(zero, lanes)
            if (p_left > 0 and (g == 0 or g * apart < r_left)) if along_k else g * apart < p_left:
                loaded = load_vector(x, at, lanes)
                for _ in range(lanes):
                    vector = pushed(vector, repeat(widen(head(loaded, 1)[0]), 1))
                    loaded = rotated(loaded, 1)
            found = pushed(found, vector)
            at += far
        return found

    @inline
    def store(tile, at, elements):  # type: ignore[no-untyped-def]
        """Put them into ``tile``, from tile[at] on."""
        for g in range(groups):
            place = np.uint64(at) + np.uint64(g * shared_apart)
            if along_k or lanes == 1:
                for _ in range(lanes):
                    tile[place] = head(elements, 1)[0]
                    elements = rotated(elements, 1)
                    place += np.uint64(pitch)
            else:
                store_vector(tile, place, head(elements, lanes))
                elements = rotated(elements, lanes)

    return _Mover(begin, far, load, store)


@functools.lru_cache(maxsize=None)
def writer(dtype: np.dtype, ending: Ending, lanes: int, vector: int) -> Any:
    """What stores ``vector`` sums next to each other in a row of C, together if ``lanes`` is as many."""
    finish, S = finishing(dtype, ending), stored(dtype)
    nothing = S(0)

    @inline
    def write(out, at, d, d_at, d_step, sums, columns):  # type: ignore[no-untyped-def]
        """out[at] ... = what becomes of ``sums``, the first ``columns`` of them."""
        if lanes == vector:
            if columns > 0:
                found = repeat(nothing, vector)
                for _ in range(vector):
                    found = pushed(found, repeat(finish(head(sums, 1)[0], d, d_at), 1))
                    sums = rotated(sums, 1)
                    d_at += d_step
                store_vector(out, at, found)
        else:
            for q in range(vector):
                if q < columns:
                    out[at + q] = finish(head(sums, 1)[0], d, d_at)
                sums = rotated(sums, 1)
                d_at += d_step

    return write


@functools.lru_cache(maxsize=None)
def _places(across: int, vector: int) -> Any:
    """The function of a thread's number that says where in the tile its first vectors begin, where ``across`` threads stand side by side."""
    warps = across // _ALONG_WARP
    down = 32 // _ALONG_WARP

    @inline
    def place(thread):  # type: ignore[no-untyped-def]
        lane, warp = np.int32(thread % 32), np.int32(thread // 32)
        y = warp // warps * down + lane // _ALONG_WARP
        x = warp % warps * _ALONG_WARP + lane % _ALONG_WARP
        return np.uint32(y * vector), np.uint32(x * vector)

    return place


@inline
def tile_of(unit, tiles_m, tiles_n, splits):  # type: ignore[no-untyped-def]
    """Which piece the block number ``unit`` has: the row and column of its tile, the part of the sums, and the product.  All are uint32."""
    tiles = np.uint32(tiles_m * tiles_n)
    whole, piece = np.uint32(unit // tiles), np.uint32(unit % tiles)
    in_band = np.uint32(BAND * tiles_n)
    band, piece = np.uint32(np.uint32(piece // in_band) * np.uint32(BAND)), np.uint32(piece % in_band)
    height = np.uint32(min(np.uint32(tiles_m - band), np.uint32(BAND)))
    return np.uint32(band + np.uint32(piece % height)), np.uint32(piece // height), np.uint32(whole % splits), np.uint32(whole // splits)


PARAMETERS = (*[np.int64] * 14, *[np.uint32] * 5)


@functools.lru_cache(maxsize=None)
def product(dtype: np.dtype, tile: Tile, a_lies: Operand, b_lies: Operand, out_lanes: int, out_dtype: np.dtype, ending: Ending) -> Kernel:
    """C = f(D + A·B) for matrices of ``dtype``, tile by tile.  ``out_lanes``: how many elements of C are stored together, a vector's or one.

    With ``splits`` > 1 each part of k has a result of its own, one behind the other, which ``_cuda_parts`` adds up.
    """
    T, vector, threads = computed(dtype).type, shared_vector(dtype), tile.threads
    rows_, columns_, depth, high, wide = tile
    a_begin, a_far, a_load, a_store = _mover(dtype, a_lies, rows_, depth, threads)
    b_begin, b_far, b_load, b_store = _mover(dtype, b_lies, columns_, depth, threads)
    a_pitch, b_pitch = rows_ + vector, columns_ + vector
    b_tile = depth * a_pitch  # where the tile of B lies, behind that of A
    half = b_tile + depth * b_pitch
    both = 2 * half
    a_groups, b_groups = high // vector, wide // vector
    a_apart, b_apart = rows_ // a_groups, columns_ // b_groups
    multiply = tile_product(Fragment(a_pitch, a_apart, a_groups, vector), Fragment(b_pitch, b_apart, b_groups, vector), depth)
    place = _places(columns_ // wide, vector)
    resident = max(1, THREADS // (2 if dtype.type in LARGER else 1) // threads)
    write, zero, sums_count = writer(out_dtype, ending, out_lanes, vector), T(0), high * wide

    @kernel(*[pointer(out_dtype), pointer(dtype), pointer(dtype), pointer(out_dtype)], *PARAMETERS, bounds=(threads, resident))
    def gemm(
        out, a, b, d, m, n, k, a_row, a_step, b_step, b_column, d_row, d_column, a_outer, a_inner, b_outer, b_inner, part_k,
        tiles_m, tiles_n, splits, inner, batch,
    ):  # fmt: skip
        tile = cuda.shared.array(both, dtype=T, alignment=16)
        kept = cuda.shared.array(3, dtype=np.uint32)
        tile_row, tile_column, part, number = tile_of(np.uint32(cuda.blockIdx.x), tiles_m, tiles_n, splits)
        first, second = np.uint32(number // inner), np.uint32(number % inner)
        row, column = np.int32(tile_row * rows_), np.int32(tile_column * columns_)
        if cuda.threadIdx.x == 0:  # for the end; all the registers are wanted until then
            kept[0], kept[1], kept[2] = np.uint32(row), np.uint32(column), np.uint32(np.uint32(part * batch) + number)
        rows, columns = np.int32(min(m - row, rows_)), np.int32(min(n - column, columns_))
        left = np.int32(min(k - part * part_k, part_k))

        thread = np.uint32(cuda.threadIdx.x)
        r, p, a_put = a_begin(thread)
        a_at = first * a_outer + second * a_inner + (row + r) * a_row + (part * part_k + p) * a_step
        a_rows = np.int32(rows - r)
        a_left = np.int32(left - p) if a_rows > 0 else np.int32(0)
        c, p, b_put = b_begin(thread)
        b_at = first * b_outer + second * b_inner + (column + c) * b_column + (part * part_k + p) * b_step
        b_columns = np.int32(columns - c)
        b_left = np.int32(left - p) if b_columns > 0 else np.int32(0)
        y, x = place(thread)

        a_store(tile, a_put, a_load(a, a_at, a_far(a_row, a_step), a_rows, a_left))
        b_store(tile, np.uint32(b_tile + b_put), b_load(b, b_at, b_far(b_column, b_step), b_columns, b_left))
        cuda.syncthreads()
        at = np.uint32(0)
        sums = repeat(zero, sums_count)
        while left > 0:
            left = np.int32(left - depth)
            a_left = np.int32(a_left - depth)
            b_left = np.int32(b_left - depth)
            a_at += depth * a_step
            b_at += depth * b_step
            a_next = a_load(a, a_at, a_far(a_row, a_step), a_rows, a_left)
            b_next = b_load(b, b_at, b_far(b_column, b_step), b_columns, b_left)
            sums = multiply(sums, tile, np.uint64(np.uint32(at + y)), tile, np.uint64(np.uint32(at + x)) + np.uint64(b_tile))
            at = np.uint32(half - at)
            if left > 0:
                a_store(tile, np.uint32(at + a_put), a_next)
                b_store(tile, np.uint32(np.uint32(at + b_put) + np.uint32(b_tile)), b_next)
                cuda.syncthreads()

        row, column, base = np.int32(kept[0]), np.int32(kept[1]), np.int64(kept[2]) * m * n
        rows, columns = np.int32(min(m - row, rows_)), np.int32(min(n - column, columns_))
        for i in range(high):
            r = np.int32(i // vector * a_apart + i % vector + y)
            values = head(sums, wide)
            sums = rotated(sums, wide)
            for g in range(b_groups):
                c = np.int32(g * b_apart + x)
                if r < rows:
                    at_row, at_column = np.int32(row + r), np.int32(column + c)
                    write(
                        out, base + at_row * n + at_column, d, at_row * d_row + at_column * d_column, d_column, head(values, vector),
                        np.int32(columns - c),
                    )  # fmt: skip
                values = rotated(values, vector)

    return gemm
