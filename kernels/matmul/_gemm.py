"""Matrix products in float32 and float64: packed panels around a register tile.

The product is cut as Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008) cut it, with the roles of the caches
as van Zee and van de Geijn ("BLIS", 2015) discuss them: the rows of A that one tile needs, ``DEPTH`` deep, stay in the first-level cache
while a block of B, ``DEPTH`` by some 512 columns, streams past from the second; the tile (``_cpu.simd.tile``) keeps its part of C in
registers for ``DEPTH`` multiply-adds.  That order also writes C along its rows.  Operands are read where they lie, A from either
orientation, and copied into panels only where that pays: B where its rows are not contiguous, too short, or far apart in a big matrix; A
where it has fewer rows than a tile.  Packing a transpose in registers costs no more than a copy.  Products are bound by arithmetic, but
for a very small k, where the memory of C is the bound.

Every element of C is summed in the order of k, in blocks of ``DEPTH``, by one thread, and so does not depend on how the work is split.
A tile at an edge is moved inward and computes some elements once more; where they must not be stored twice, or the matrix is smaller than
a tile (its panels are then padded with zeros), it goes to a scratch tile of which the wanted part is copied.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._cpu import address_of, array_from, compiled, inline, kernel, simd
from .._cpu.jit import address
from .._cpu.types import intp, signature

# What the first-level cache holds: a tile's rows of A, this deep, beside the stream of B.
DEPTH = 256
# Bytes of a row of a block of B: DEPTH of them take half of a second-level cache of 1 MiB.
BLOCK_ROW = 2048
# Bytes on the stack of each worker for the panels of B of a small product; bigger ones get a workspace.
SMALL = 1 << 15


class Tile(NamedTuple):
    """What a register tile covers: ``rows`` of A and ``vectors`` of columns of B; ``waste`` is its time over that of the best one."""

    rows: int
    vectors: int
    waste: float


# The first has two accumulators for every multiply-add in flight (or as many as the registers hold), the second fits few rows, the third few
# columns.
TILES = {
    "avx512": (Tile(8, 2, 1.0), Tile(4, 4, 1.0), Tile(8, 1, 1.0)),
    "avx2": (Tile(6, 2, 1.0), Tile(4, 2, 1.12), Tile(8, 1, 1.35)),
    "neon": (Tile(8, 3, 1.0), Tile(4, 3, 1.15), Tile(8, 1, 1.35)),
    "generic": (Tile(6, 2, 1.0), Tile(4, 2, 1.12), Tile(8, 1, 1.35)),
}[simd.INSTRUCTION_SET]


# The functions that a product can end in, by the numbers that ``_cpu.simd.tile`` knows them by.
ACTIVATIONS = ("", "relu")


class Plan(NamedTuple):
    """How a launch cuts ``batch`` products of [m, k] by [k, n] matrices; strides in bytes."""

    workers: int
    batch: int
    m: int
    n: int
    k: int
    a_row: int
    a_col: int
    b_row: int
    b_col: int
    d_row: int
    style: int  # the tile's place in TILES
    packs_a: bool
    packs_b: bool
    tiles_m: int  # a product is tiles_m x tiles_n pieces, each of up to tall x wide elements
    tiles_n: int
    tall: int
    wide: int
    block: int  # columns of a block of B
    slot: int  # bytes of workspace for each worker, or 0 if the stack will do
    places: int  # the address of the byte offsets of every A[t], then of every B[t]; 0 for one product
    activation: int  # what is applied to the sums as they are stored for the last time: a place in ACTIVATIONS


PLAN_SIZE = len(Plan._fields)


def pitch(rows: int, lanes: int) -> int:
    """Elements from one column of a packed panel of A to the next: whole vectors where the panel is taller than one."""
    return rows if rows <= lanes else -(-rows // lanes) * lanes


def panel_bytes(k: int, width_bytes: int) -> int:
    """Of one panel of B, ``k`` deep: a square is written whole, and its last column may reach beyond."""
    return max(k, simd.VECTOR_BYTES // 4) * width_bytes + simd.VECTOR_BYTES


def workspace(dtype: Any, tile: Tile, block: int, k: int) -> int:
    """Bytes that one worker needs for the panels of a block of B; 0 where the stack has room for them."""
    width = tile.vectors * simd.lanes(dtype)
    blocks = max(1, -(-k // DEPTH))
    size = -(-block // width) * panel_bytes(-(-k // blocks), tile.vectors * simd.VECTOR_BYTES)
    return 0 if size <= SMALL else -(-size // 64) * 64


_SIGNATURE = signature(*[intp] * 6)


@functools.lru_cache(maxsize=None)
def gemm(dtype: Any) -> Any:
    """The product of ``dtype`` matrices as a launch over workers (see ``products`` for its arguments)."""
    return compiled(_products(dtype), _SIGNATURE)


@functools.lru_cache(maxsize=None)
def gemm_address(dtype: Any) -> int:
    """The same as C code, ``void f(lo, hi, ...)``, for compiled code to call."""
    return address(_products(dtype), _SIGNATURE.args)


@functools.lru_cache(maxsize=None)
def _products(dtype: Any) -> Any:
    lanes, itemsize = simd.lanes(dtype), np.dtype(dtype).itemsize
    vector_bytes = simd.VECTOR_BYTES
    (rows_0, vectors_0, _), (rows_1, vectors_1, _), (rows_2, vectors_2, _) = TILES
    tile_0, tile_1, tile_2 = (simd.tile(dtype, rows, vectors) for rows, vectors, _ in TILES)
    pitch_0, pitch_1, pitch_2 = (pitch(tile.rows, lanes) for tile in TILES)
    square = simd.transpose(dtype)
    vector = simd.vectors(dtype)
    get, get_part, put, put_part = vector.load, vector.load_part, vector.store, vector.store_part
    add, zero, relu = vector.add, vector.zero, vector.relu
    # The stack: a scratch tile, a row of zeros, a panel of A, small panels of B.
    zeros_at = max(tile.rows * tile.vectors for tile in TILES) * vector_bytes
    panel_a_at = zeros_at + max(tile.vectors for tile in TILES) * vector_bytes
    small_at = panel_a_at + DEPTH * max(pitch_0, pitch_1, pitch_2) * itemsize + 64
    stack_space = simd.stack_space(small_at + SMALL)
    least = vector_bytes // 4

    # Not inlined: it is called in two places, and compiling it twice would cost more than it saves.
    @kernel(source=f"matmul pack {np.dtype(dtype).name}")
    def pack(to, x, x_row, x_col, k, count, rows, column):
        """A panel of ``rows`` rows of x, of which the first ``count`` exist, column after column (``column`` bytes each); zeros beyond them.

        B, where its columns are contiguous or few, is packed as its transpose.  One stride of x is that of an element.  Vectors may reach
        beyond a column into the next, which is written after it.
        """
        for r in range(0, rows, lanes):
            target, source, left = to + r * itemsize, x + r * x_row, min(count, rows) - r
            if x_col == itemsize:
                for p in range(0, k, lanes):
                    at = min(p, max(0, k - lanes))
                    square(target + at * column, column, source + at * itemsize, x_row, left, k - at)
            elif left >= lanes:
                for p in range(k):
                    put(target + p * column, get(source + p * x_col))
            else:
                for p in range(k):
                    put(target + p * column, get_part(source + p * x_col, left))

    @inline
    def pack_rows(to: int, panel: int, b: int, b_row: int, k: int, n: int, width: int, last: int) -> None:
        """All panels of k contiguous rows of B, in the order in which they lie; the last panel begins at column ``last``."""
        panel_row = width * itemsize
        for p in range(k):
            target, source = to + p * panel_row, b + p * b_row
            for j in range(0, n, width):
                for r in range(0, panel_row, vector_bytes):
                    put(target + r, get(source + min(j, last) * itemsize + r))
                target += panel

    @inline
    def copy_edge(c: int, c_row: int, scratch: int, scratch_row: int, d: int, d_row: int, m: int, n: int, activation: int) -> None:
        """C = f(D + the m x n corner of a scratch tile), f as ``activation`` says."""
        for i in range(m):
            for j in range(0, n, lanes):
                shift, left = j * itemsize, n - j
                total = add(get_part(d + i * d_row + shift, left), get_part(scratch + i * scratch_row + shift, left))
                if activation == 1:
                    total = relu(total)
                put_part(c + i * c_row + shift, total, left)

    @kernel(source=f"matmul gemm {np.dtype(dtype).name}")
    def products(lo, hi, plan_at, c_id, a_id, b_id, d_id, space_id):
        """C[t] = f(D + A[t]·B[t]) for t < batch, cut as the ``Plan`` at ``plan_at`` says (``d_id`` 0: no D).

        Worker w takes its equal share of the pieces, and uses the ``slot`` bytes of the workspace from ``w * slot`` on.
        """
        plan = array_from(plan_at, PLAN_SIZE, np.int64)
        workers, batch, m, n, k = plan[0], plan[1], plan[2], plan[3], plan[4]
        a_row, a_col, b_row, b_col, d_row = plan[5], plan[6], plan[7], plan[8], plan[9]
        style, packs_a, packs_b, tiles_m, tiles_n = plan[10], plan[11], plan[12], plan[13], plan[14]
        tall, wide, block, slot, places_at = plan[15], plan[16], plan[17], plan[18], plan[19]
        activation = plan[20]
        rows, width, column = rows_0, vectors_0 * lanes, pitch_0 * itemsize
        if style == 1:
            rows, width, column = rows_1, vectors_1 * lanes, pitch_1 * itemsize
        elif style == 2:
            rows, width, column = rows_2, vectors_2 * lanes, pitch_2 * itemsize
        panel_row, c_row = width * itemsize, n * itemsize
        depth_blocks = max(1, (k + DEPTH - 1) // DEPTH)
        depth = (k + depth_blocks - 1) // depth_blocks  # equal blocks, none of them a remainder
        panel = max(depth, least) * panel_row + vector_bytes
        scratch = stack_space()
        zeros, panel_a, panels_b = scratch + zeros_at, scratch + panel_a_at, scratch + small_at
        for j in range(0, panel_row, vector_bytes):
            put(zeros + j, zero())
        pieces = tiles_m * tiles_n
        for worker in range(lo, hi):
            if space_id != 0:
                panels_b = (address_of(space_id) + 63) // 64 * 64 + worker * slot
            for piece in range(batch * pieces * worker // workers, batch * pieces * (worker + 1) // workers):
                t, rest = piece // pieces, piece % pieces
                top, left = rest // tiles_n * tall, rest % tiles_n * wide
                bottom, right = min(m, top + tall), min(n, left + wide)
                a, b, c, d = address_of(a_id), address_of(b_id), address_of(c_id) + t * m * c_row, zeros
                if d_id != 0:
                    d = address_of(d_id)
                if places_at != 0:
                    places = array_from(places_at, 2 * batch, np.int64)
                    a, b = a + places[t], b + places[batch + t]
                for block_n in range(left, right, block):
                    end_n = min(right, block_n + block)
                    for step in range(depth_blocks):
                        k0 = step * depth
                        k_block = min(depth, k - k0)
                        finish = activation if step == depth_blocks - 1 else 0
                        if packs_b and b_col == itemsize and n >= width:
                            b_block, last = b + k0 * b_row + block_n * itemsize, n - width - block_n
                            pack_rows(panels_b, panel, b_block, b_row, k_block, end_n - block_n, width, last)
                        elif packs_b:
                            for j in range(block_n, end_n, width):
                                j_at = min(j, max(0, n - width))
                                to = panels_b + (j - block_n) // width * panel
                                pack(to, b + k0 * b_row + j_at * b_col, b_col, b_row, k_block, n - j_at, width, panel_row)
                        for i in range(top, bottom, rows):
                            i_at = min(i, max(0, m - rows))
                            a_here, a_step, a_next = a + i_at * a_row + k0 * a_col, a_row, a_col
                            if packs_a:
                                pack(panel_a, a_here, a_row, a_col, k_block, m - i_at, rows, column)
                                a_here, a_step, a_next = panel_a, itemsize, column
                            # Elements computed twice may be stored twice while nothing is added to them, by the same worker.
                            moves_m = depth_blocks == 1 and i_at >= top and i_at + rows <= m
                            fits_m = moves_m or (i_at == i and i + rows <= bottom)
                            for j in range(block_n, end_n, width):
                                j_at = min(j, max(0, n - width))
                                moves_n = depth_blocks == 1 and j_at >= left and j_at + width <= n
                                direct = fits_m and (moves_n or (j_at == j and j + width <= right))
                                b_here, b_step = panels_b + (j - block_n) // width * panel, panel_row
                                if not packs_b:
                                    b_here, b_step = b + k0 * b_row + j_at * itemsize, b_row
                                to, to_row, start, start_row, ending = scratch, panel_row, zeros, 0, 0
                                if direct:
                                    ending = finish
                                    to, to_row = c + i_at * c_row + j_at * itemsize, c_row
                                    if k0 != 0:
                                        start, start_row = to, c_row
                                    elif d_id != 0:
                                        start, start_row = d + i_at * d_row + j_at * itemsize, d_row
                                if style == 0:
                                    tile_0(k_block, a_here, a_step, a_next, b_here, b_step, to, to_row, start, start_row, ending)
                                elif style == 1:
                                    tile_1(k_block, a_here, a_step, a_next, b_here, b_step, to, to_row, start, start_row, ending)
                                else:
                                    tile_2(k_block, a_here, a_step, a_next, b_here, b_step, to, to_row, start, start_row, ending)
                                if not direct:
                                    corner = scratch + (i - i_at) * panel_row + (j - j_at) * itemsize
                                    c_here = c + i * c_row + j * itemsize
                                    d_here, d_step = c_here, c_row
                                    if k0 == 0:
                                        d_here, d_step = (d + i * d_row + j * itemsize, d_row) if d_id != 0 else (zeros, 0)
                                    used_m, used_n = min(rows, bottom - i), min(width, end_n - j)
                                    copy_edge(c_here, c_row, corner, panel_row, d_here, d_step, used_m, used_n, finish)

    return products
