"""What multiplies two tiles in shared memory: the ordinary arithmetic units, or tensor cores.

    rows x columns results += (rows x depth) · (depth x columns), in steps of ``depth``

Both ways look the same to the kernels that bring the tiles: where an element lies in shared memory, what a thread reads and multiplies there, and
which results it then has.  The arithmetic units read vectors across the depth, so it lies outermost (``matmul._cuda_simt``); tensor cores read it in
pieces of 16 bytes, so it lies innermost, each line one piece longer than it is, so that eight lines lie in different banks.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda.intrinsics import inline
from .._cuda.tensor_cores import load_matrices, mma_bfloat16, mma_float16, mma_tf32, round_tf32
from .._cuda.tiles import Fragment, tile_product
from .._cuda.unrolled import chained
from ..matmul._cuda_kind import Tile, computed, widening

__all__ = ["TensorTile", "Units", "units"]


class TensorTile(NamedTuple):
    """The results of a block, how much of the depth is in shared memory at a time, in bytes, and the results of a warp."""

    rows: int
    columns: int
    bytes: int
    warp_rows: int
    warp_columns: int

    @property
    def threads(self) -> int:
        return self.rows // self.warp_rows * (self.columns // self.warp_columns) * 32


class Units(NamedTuple):
    """How a tile is multiplied; all that depends on it, and is known when a kernel is compiled."""

    rows: int
    columns: int
    depth: int
    threads: int
    stored: np.dtype  # how elements are read through a pointer
    element: Any  # the type in shared memory
    read: Any  # the function from what a pointer reads to that
    along_k: bool  # whether the depth lies innermost
    a_pitch: int  # from one element of the depth, or one line, to the next
    b_pitch: int
    sums: int  # of a thread, of the type ``sum``
    sum: Any
    locate: Any  # thread -> its first row and column, and where its reading begins in both tiles
    multiply: Any  # sums, a, i, b, j -> sums
    row_offsets: tuple[int, ...]  # the rows of a thread behind its first
    column_offsets: tuple[int, ...]
    of_run: Any  # number of a run of columns -> which sums are its, row after row, as ``tiles.picked`` takes it
    run: int  # columns of a thread next to each other

    @property
    def vector(self) -> int:
        """Elements in 16 bytes."""
        return 16 // np.dtype(self.element).itemsize

    @property
    def a_size(self) -> int:
        return self.a_pitch * (self.rows if self.along_k else self.depth)

    @property
    def b_size(self) -> int:
        return self.b_pitch * (self.columns if self.along_k else self.depth)


def units(dtype: np.dtype, tile: Tile | TensorTile) -> Units:
    """How a tile of elements of ``dtype`` is multiplied; float32 by tensor cores in TF32."""
    return _tensor(dtype, tile) if isinstance(tile, TensorTile) else _arithmetic(dtype, tile)


# ---- arithmetic units -----------------------------------------------------------------------------------------------------------------------


def _runs(T: Any, count: int) -> tuple[int, int]:
    """(numbers in a run of 16 bytes, runs) of the ``count`` rows or columns of a thread."""
    run = min(16 // np.dtype(T).itemsize, count)
    return run, count // run


def _standing(tile: Tile, m_run: int, n_run: int) -> Any:
    """``locate`` of the arithmetic units.  The threads of a warp stand 4 x 8, so that they read few different vectors of shared memory."""
    across = tile.columns // tile.wide
    wide = min(8, across)
    tall = 32 // wide

    @inline
    def locate(thread):  # type: ignore[no-untyped-def]
        warp, lane = np.uint32(thread // np.uint32(32)), np.uint32(thread % np.uint32(32))
        down = np.uint32(np.uint32(warp // np.uint32(across // wide)) * np.uint32(tall))
        along = np.uint32(np.uint32(warp % np.uint32(across // wide)) * np.uint32(wide))
        m = np.uint32(np.uint32(down + np.uint32(lane // np.uint32(wide))) * np.uint32(m_run))
        n = np.uint32(np.uint32(along + np.uint32(lane % np.uint32(wide))) * np.uint32(n_run))
        return m, n, m, n

    return locate


@functools.lru_cache(maxsize=None)
def _arithmetic(dtype: np.dtype, tile: Tile) -> Units:
    T = computed(dtype).type
    (m_run, m_runs), (n_run, n_runs) = _runs(T, tile.high), _runs(T, tile.wide)
    a_apart, b_apart, vector = tile.rows // m_runs, tile.columns // n_runs, 16 // computed(dtype).itemsize
    a_pitch, b_pitch = tile.rows + vector, tile.columns + vector
    left, right = Fragment(a_pitch, a_apart, m_runs, m_run), Fragment(b_pitch, b_apart, n_runs, n_run)
    count = tile.high * tile.wide
    return Units(
        tile.rows, tile.columns, tile.depth, tile.threads, dtype, T, widening(dtype), False, a_pitch, b_pitch, count, T,
        _standing(tile, m_run, n_run), tile_product(left, right, tile.depth),
        tuple(i // m_run * a_apart + i % m_run for i in range(tile.high)), tuple(j // n_run * b_apart + j % n_run for j in range(tile.wide)),
        lambda g: (g * n_run, tile.high, tile.wide, n_run), n_run,
    )  # fmt: skip


# ---- tensor cores ---------------------------------------------------------------------------------------------------------------------------


def _tensor_standing(tile: TensorTile, pitch: int, vector: int) -> Any:
    """``locate`` of the tensor cores: lane l has rows l / 4 and l / 4 + 8 of a block of 16 and columns 2·(l % 4) and the next of one of 8; for
    ``load_matrices`` it points at a row of 16 bytes of four matrices of 8 x 16 bytes."""
    across, m_size, n_size = tile.columns // tile.warp_columns, tile.warp_rows, tile.warp_columns

    @inline
    def locate(thread):  # type: ignore[no-untyped-def]
        warp, lane = np.uint32(thread // np.uint32(32)), np.uint32(thread % np.uint32(32))
        m = np.uint32(np.uint32(warp // np.uint32(across)) * np.uint32(m_size))
        n = np.uint32(np.uint32(warp % np.uint32(across)) * np.uint32(n_size))
        row, odd, high = np.uint32(lane % np.uint32(8)), np.uint32(lane // np.uint32(8) % np.uint32(2)), np.uint32(lane // np.uint32(16))
        # Of A: the upper rows, the lower ones, and both again 16 bytes along the depth.  Of B: a block, 16 bytes on, and the next block likewise.
        i = np.uint32(np.uint32(np.uint32(m + row + odd * np.uint32(8)) * np.uint32(pitch)) + np.uint32(high * np.uint32(vector)))
        j = np.uint32(np.uint32(np.uint32(n + row + high * np.uint32(8)) * np.uint32(pitch)) + np.uint32(odd * np.uint32(vector)))
        return np.uint32(m + lane // np.uint32(4)), np.uint32(n + lane % np.uint32(4) * np.uint32(2)), i, j

    return locate


def _tensor_product(dtype: np.dtype, tile: TensorTile, pitch: int, vector: int) -> Any:
    """``multiply`` of the tensor cores: blocks of 16 x 32 bytes and 32 bytes x 8, one pair of 16-byte pieces of the depth after the other."""
    high, wide, step = tile.warp_rows // 16, tile.warp_columns // 16, 16 * pitch
    mma = {_dtypes.bfloat16: mma_bfloat16, _dtypes.float16: mma_float16, _dtypes.float32: mma_tf32}[dtype]

    def once(offset: int) -> Any:
        @inline
        def multiply(sums, a, i, b, j):  # type: ignore[no-untyped-def]
            x = load_matrices(a, np.uint32(i + np.uint32(offset)), step, high, 0)
            y = load_matrices(b, np.uint32(j + np.uint32(offset)), step, wide, 0)
            return mma(sums, x, y)

        return multiply

    return chained([once(2 * vector * block) for block in range(tile.bytes // 32)])


@functools.lru_cache(maxsize=None)
def _tensor(dtype: np.dtype, tile: TensorTile) -> Units:
    """``tile`` by tensor cores, for float16, bfloat16, or float32 whose factors are rounded to TF32."""
    element: Any = np.uint32 if dtype == _dtypes.float32 else np.uint16
    size = np.dtype(element).itemsize
    vector, depth = 16 // size, tile.bytes // size
    pitch = depth + vector
    high, wide = tile.warp_rows // 16, tile.warp_columns // 8

    @inline
    def as_it_is(x):  # type: ignore[no-untyped-def]
        return element(x)

    @inline
    def rounded(x):  # type: ignore[no-untyped-def]
        return round_tf32((x,))[0]  # once for each element, not each time that it is multiplied

    stored, read = (np.dtype(element), rounded) if dtype == _dtypes.float32 else (dtype, as_it_is)
    return Units(
        tile.rows, tile.columns, depth, tile.threads, stored, element, read, True, pitch, pitch, 4 * high * wide, np.float32,
        _tensor_standing(tile, pitch, vector), _tensor_product(dtype, tile, pitch, vector),
        tuple(i // 2 * 16 + i % 2 * 8 for i in range(2 * high)), tuple(j // 2 * 8 + j % 2 for j in range(2 * wide)),
        lambda g: (4 * g, high, 4 * wide, 4), 2,
    )  # fmt: skip
