"""Matrix products by the tensor cores: bfloat16 and float16, and float32 rounded to TF32 where that is allowed; sums are float32.

A block computes a tile of C and each of its warps a part of that, as blocks of 16 x 8 that one instruction multiplies.  The tiles of A and B come by
asynchronous copies of 16 bytes, ``stages`` of them in a ring of shared memory: while one is multiplied, the next ones are on their way.  A warp of the
largest tile multiplies 64 x 32 elements, so that it loads 6 words for 16 instructions of 4096 multiply-adds: the tensor cores bound it.

A tile lies in shared memory as the operand does in device memory, its unit stride innermost, and ``ldmatrix`` turns it where that is not along k.  Rows are
16 bytes longer than they need to be, so that the eight of a matrix lie in different banks.  What is not aligned to 16 bytes is brought element by
element.  NVIDIA, "CUTLASS: Efficient GEMM in CUDA"; "Parallel Thread Execution ISA", sections on mma, ldmatrix and cp.async.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda.driver import SIMULATED
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import Kernel, kernel, pointer
from .._cuda.tensor_cores import (
    commit_copies,
    copy_async,
    load_matrices,
    mma_bfloat16,
    mma_float16,
    mma_tf32,
    round_tf32,
    wait_copies,
)
from .._cuda.tiles import head, pushed, repeat, rotated
from ._cuda_kind import Ending
from ._cuda_simt import PARAMETERS, THREADS, Operand, tile_of, writer

PRODUCTS = {_dtypes.bfloat16: mma_bfloat16, _dtypes.float16: mma_float16, _dtypes.float32: mma_tf32}
_DEPTH_BYTES = 64  # of a tile's rows along k: two instructions' worth
_VECTOR_BYTES = 16
_PADDING = 8  # elements behind each row of a tile that is turned: two rows of words, or 16 bytes


class TensorTile(NamedTuple):
    """A block's share of the result, a warp's share of that, and how many tiles of A and B are in shared memory."""

    rows: int
    columns: int
    warp_rows: int
    warp_columns: int
    stages: int

    @property
    def threads(self) -> int:
        return self.rows // self.warp_rows * (self.columns // self.warp_columns) * 32


# As ``_cuda_plan.TILES``.  Two blocks of the largest have 120 KiB of shared memory, which an A100 has as well.
TILES = (TensorTile(128, 128, 64, 32, 3), TensorTile(64, 64, 32, 32, 4), TensorTile(32, 32, 16, 16, 4))
SIMULATED_TILES = (TensorTile(32, 32, 16, 32, 3),)


def takes(dtype: np.dtype) -> bool:
    """Whether every product of this type is computed here."""
    return dtype in _dtypes.HALVES


def tiles() -> tuple[TensorTile, ...]:
    return SIMULATED_TILES if SIMULATED else TILES


def depth_of(dtype: np.dtype) -> int:
    """Elements along k of a tile."""
    return _DEPTH_BYTES // dtype.itemsize


def vector_of(dtype: np.dtype) -> int:
    """Elements in 16 bytes."""
    return _VECTOR_BYTES // dtype.itemsize


def _pitch(dtype: np.dtype, along_k: bool, extent: int) -> int:
    """Elements from one row of a tile in shared memory to the next."""
    return depth_of(dtype) + vector_of(dtype) if along_k else extent + _PADDING


def _size(dtype: np.dtype, along_k: bool, extent: int) -> int:
    """Elements of a tile in shared memory."""
    return (extent if along_k else depth_of(dtype)) * _pitch(dtype, along_k, extent)


def shared_bytes(dtype: np.dtype, tile: TensorTile, a_along_k: bool, b_along_k: bool) -> int:
    """The dynamic shared memory of a block."""
    return tile.stages * (_size(dtype, a_along_k, tile.rows) + _size(dtype, b_along_k, tile.columns)) * dtype.itemsize


class _Mover(NamedTuple):
    """As that of ``_cuda_simt``; ``bring`` takes the place of ``load`` and ``store``."""

    begin: Any
    far: Any
    bring: Any


@functools.lru_cache(maxsize=None)
def _mover(dtype: np.dtype, operand: Operand, extent: int, threads: int) -> _Mover:
    """How ``threads`` bring a tile of ``extent`` rows or columns into shared memory, 16 bytes each at a time."""
    vector, depth, along_k, size = vector_of(dtype), depth_of(dtype), operand.along_k, dtype.itemsize
    per_row = (depth if along_k else extent) // vector
    apart = threads // per_row
    groups = (extent if along_k else depth) // apart
    pitch = _pitch(dtype, along_k, extent)
    shared_apart = apart * pitch
    together = operand.lanes == vector
    nothing = _word(dtype)(0)

    @inline
    def begin(thread):  # type: ignore[no-untyped-def]
        outer, inner = np.int32(thread // per_row), np.int32(thread % per_row * vector)
        r, p = (outer, inner) if along_k else (inner, outer)
        return r, p, np.uint32(outer * pitch + inner)

    @inline
    def far(row, step):  # type: ignore[no-untyped-def]
        return apart * row if along_k else apart * step

    @inline
    def bring(tile, place, x, at, far, unit, r_left, p_left):  # type: ignore[no-untyped-def]
        """Begin to copy the thread's elements from x[at] to tile[place], of which ``r_left`` are left across k and ``p_left`` along it; 0 behind them.
        ``unit`` is the stride between those that go together."""
        inner, outer = (p_left, r_left) if along_k else (r_left, p_left)
        whole = np.int32(min(max(inner, np.int32(0)), np.int32(vector)))
        for g in range(groups):
            count = whole if g * apart < outer else np.int32(0)
            if together:
                copy_async(tile, place, x, at, np.int32(count * size))
            else:
                for e in range(vector):
                    tile[np.uint32(place + np.uint32(e))] = x[at + e * unit] if e < count else nothing
            place = np.uint32(place + np.uint32(shared_apart))
            at += far

    return _Mover(begin, far, bring)


def _word(dtype: np.dtype) -> Any:
    """What elements are in shared memory and in registers on their way: their bits."""
    return np.uint32 if dtype == _dtypes.float32 else np.uint16


@functools.lru_cache(maxsize=None)
def _loader(dtype: np.dtype, along_k: bool, of_a: bool, extent: int, share: int) -> tuple[Any, Any]:
    """How a warp brings its ``share`` of a tile of A, or of B, into registers: the function of the lane and of where its share begins that says where
    the lane reads, and the function that loads the words of every block for one instruction's depth, the number ``part`` along k."""
    vector, pitch = vector_of(dtype), _pitch(dtype, along_k, extent)
    step = 2 * vector  # along k of one instruction
    times = share // 16
    apart = 16 * pitch if along_k else 16
    along = step if along_k else step * pitch
    turned = 0 if along_k else 1
    single = dtype == _dtypes.float32
    words = times * 4
    nothing = np.uint32(0)

    @inline
    def place(lane, start):  # type: ignore[no-untyped-def]
        if single and not along_k:
            return np.uint32(lane % 4 * pitch + start + lane // 4)
        matrix, row = lane // 8, lane % 8
        # Of A the second matrix is behind the first across k, of B along it.
        r, p = (matrix % 2, matrix // 2) if of_a else (matrix // 2, matrix % 2)
        if along_k:
            return np.uint32((start + r * 8 + row) * pitch + p * vector)
        return np.uint32((p * 8 + row) * pitch + start + r * 8)

    @inline
    def matrices(tile, at):  # type: ignore[no-untyped-def]
        return load_matrices(tile, at, apart, times, turned)

    @inline
    def rounded(tile, at):  # type: ignore[no-untyped-def]
        return round_tf32(load_matrices(tile, at, apart, times, turned))

    @inline
    def words_of(tile, at):  # type: ignore[no-untyped-def]
        """Word by word, since only 16-bit elements can be turned."""
        found = repeat(nothing, words)
        for g in range(times):
            first = np.uint64(at) + np.uint64(g * 16)
            second = first + np.uint64(4 * pitch)
            if of_a:
                found = pushed(found, (tile[first], tile[first + np.uint64(8)]))
                found = pushed(found, (tile[second], tile[second + np.uint64(8)]))
            else:
                found = pushed(found, (tile[first], tile[second]))
                found = pushed(found, (tile[first + np.uint64(8)], tile[second + np.uint64(8)]))
        return round_tf32(found)

    load = matrices if not single else rounded if along_k else words_of

    @inline
    def part(tile, at, number):  # type: ignore[no-untyped-def]
        return load(tile, np.uint32(at + np.uint32(number * along)))

    return place, part


@functools.lru_cache(maxsize=None)
def product(
    dtype: np.dtype, tile: TensorTile, a_lies: Operand, b_lies: Operand, out_lanes: int, out_dtype: np.dtype, ending: Ending
) -> Kernel:
    """As ``_cuda_simt.product``, for the types of ``PRODUCTS``; ``out_lanes`` is 2 or 1."""
    multiply, threads, stages, depth = PRODUCTS[dtype], tile.threads, tile.stages, depth_of(dtype)
    rows_, columns_, warp_rows, warp_columns = tile[:4]
    a_begin, a_far, a_bring = _mover(dtype, a_lies, rows_, threads)
    b_begin, b_far, b_bring = _mover(dtype, b_lies, columns_, threads)
    a_place, a_part = _loader(dtype, a_lies.along_k, True, rows_, warp_rows)
    b_place, b_part = _loader(dtype, b_lies.along_k, False, columns_, warp_columns)
    a_size = _size(dtype, a_lies.along_k, rows_)
    stage = a_size + _size(dtype, b_lies.along_k, columns_)
    ring, last = stages * stage, (stages - 1) * stage
    ahead, waiting = (stages - 1) * depth, stages - 2
    across = columns_ // warp_columns
    high, wide = warp_rows // 16, warp_columns // 8
    count, zero, word = high * wide * 4, np.float32(0), _word(dtype)
    write = writer(out_dtype, ending, out_lanes, 2)
    a_unit, b_unit = a_lies.along_k, b_lies.along_k
    # Elements that come one by one pass through registers, which takes more of them.
    resident = max(1, (THREADS if a_lies.lanes == b_lies.lanes == vector_of(dtype) else THREADS // 2) // threads)

    @kernel(*[pointer(out_dtype), pointer(word), pointer(word), pointer(out_dtype)], *PARAMETERS, bounds=(threads, resident))
    def gemm(
        out, a, b, d, m, n, k, a_row, a_step, b_step, b_column, d_row, d_column, a_outer, a_inner, b_outer, b_inner, part_k,
        tiles_m, tiles_n, splits, inner, batch,
    ):  # fmt: skip
        shared = cuda.shared.array(0, dtype=word, alignment=16)
        kept = cuda.shared.array(3, dtype=np.uint32)
        tile_row, tile_column, part, number = tile_of(np.uint32(cuda.blockIdx.x), tiles_m, tiles_n, splits)
        first, second = np.uint32(number // inner), np.uint32(number % inner)
        row, column = np.int32(tile_row * rows_), np.int32(tile_column * columns_)
        if cuda.threadIdx.x == 0:  # for the end; all the registers are wanted until then
            kept[0], kept[1], kept[2] = np.uint32(row), np.uint32(column), np.uint32(np.uint32(part * batch) + number)
        left = np.int32(min(k - part * part_k, part_k))

        thread = np.uint32(cuda.threadIdx.x)
        r, p, a_put = a_begin(thread)
        a_at = first * a_outer + second * a_inner + (row + r) * a_row + (part * part_k + p) * a_step
        a_rows, a_left = np.int32(min(m - row, rows_) - r), np.int32(left - p)
        c, p, b_put = b_begin(thread)
        b_at = first * b_outer + second * b_inner + (column + c) * b_column + (part * part_k + p) * b_step
        b_columns, b_left = np.int32(min(n - column, columns_) - c), np.int32(left - p)
        a_next, b_next = a_step if a_unit else a_row, b_step if b_unit else b_column

        lane, warp = np.int32(thread % 32), np.int32(thread // 32)
        warp_row, warp_column = np.int32(warp // across * warp_rows), np.int32(warp % across * warp_columns)
        a_from, b_from = a_place(lane, warp_row), np.uint32(a_size + b_place(lane, warp_column))
        b_put = np.uint32(b_put + np.uint32(a_size))

        for s in range(stages - 1):
            here, gone = np.uint32(s * stage), np.int32(s * depth)
            a_bring(shared, np.uint32(a_put + here), a, a_at, a_far(a_row, a_step), a_next, a_rows, np.int32(a_left - gone))
            b_bring(shared, np.uint32(b_put + here), b, b_at, b_far(b_column, b_step), b_next, b_columns, np.int32(b_left - gone))
            commit_copies()
            a_at += depth * a_step
            b_at += depth * b_step
        read, to = np.uint32(0), np.uint32(last)
        sums = repeat(zero, count)
        while left > 0:
            wait_copies(waiting)
            cuda.syncthreads()
            if left > ahead:
                a_bring(shared, np.uint32(a_put + to), a, a_at, a_far(a_row, a_step), a_next, a_rows, np.int32(a_left - ahead))
                b_bring(shared, np.uint32(b_put + to), b, b_at, b_far(b_column, b_step), b_next, b_columns, np.int32(b_left - ahead))
            commit_copies()
            a_here, b_here = np.uint32(a_from + read), np.uint32(b_from + read)
            sums = multiply(sums, a_part(shared, a_here, 0), b_part(shared, b_here, 0))
            sums = multiply(sums, a_part(shared, a_here, 1), b_part(shared, b_here, 1))
            left, a_left, b_left = np.int32(left - depth), np.int32(a_left - depth), np.int32(b_left - depth)
            a_at += depth * a_step
            b_at += depth * b_step
            read = np.uint32(read + np.uint32(stage))
            read = np.uint32(0) if read == ring else read
            to = np.uint32(to + np.uint32(stage))
            to = np.uint32(0) if to == ring else to
        wait_copies(0)
        cuda.syncthreads()  # ``kept`` is there, also where the part has nothing to sum

        row, column, base = np.int32(kept[0]), np.int32(kept[1]), np.int64(kept[2]) * m * n
        for i in range(high):
            for j in range(wide):
                for h in range(2):
                    at_row = np.int32(row + warp_row + i * 16 + h * 8 + lane // 4)
                    at_column = np.int32(column + warp_column + j * 8 + lane % 4 * 2)
                    if at_row < m:
                        write(
                            out, base + at_row * n + at_column, d, at_row * d_row + at_column * d_column, d_column, head(sums, 2),
                            n - at_column,
                        )  # fmt: skip
                    sums = rotated(sums, 2)

    return gemm
