"""Matrix products in float32 and float64: packed panels around a register tile.

The product is cut as Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008) cut it: a panel of B, ``DEPTH``
rows by one tile's width, stays in the first-level cache while the rows of A pass by; a block of A stays in the second level; the tile
(``_cpu.simd.tile``) keeps its part of C in registers for ``DEPTH`` multiply-adds.  Operands are copied into panels only where that pays:
B where its rows are not contiguous or are used often, A where its stride would fight over cache sets.  Both pack from either
orientation, so a transpose costs nothing more.  Large products are bound by arithmetic, small ones by the loads and stores of C.

Every element of C is summed in the order of k, in blocks of ``DEPTH``, by one thread, and so does not depend on how the work is split.
Edges are computed as whole tiles: shifted inward, or on zero-padded panels, into a scratch tile of which the wanted part is copied.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._cpu import address_of, array_from, compiled, inline, kernel, simd
from .._cpu.types import intp, signature

# Bytes of one row of a panel of B times DEPTH is what the first-level cache holds besides a panel of A.
DEPTH = 256
# Rows of A and columns of B that are packed at a time: parts of the second and the last level of cache.
BLOCK_ROWS = 336
BLOCK_COLUMNS = 2048


class Tile(NamedTuple):
    """What a register tile covers: ``rows`` of A and ``vectors`` of columns of B; ``waste`` is its time over that of the best one."""

    rows: int
    vectors: int
    waste: float


# The first has as many accumulators as the registers hold beside a row of B and a broadcast; the second fits few rows, the third few
# columns.
TILES = {
    "avx512": (Tile(14, 2, 1.0), Tile(8, 2, 1.03), Tile(8, 1, 1.15)),
    "avx2": (Tile(6, 2, 1.0), Tile(4, 2, 1.12), Tile(8, 1, 1.35)),
    "neon": (Tile(8, 3, 1.0), Tile(4, 3, 1.15), Tile(8, 1, 1.35)),
    "generic": (Tile(6, 2, 1.0), Tile(4, 2, 1.12), Tile(8, 1, 1.35)),
}[simd.INSTRUCTION_SET]


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
    style: int  # the tile's place in TILES
    packs_a: bool
    packs_b: bool
    tiles_m: int  # a product is tiles_m x tiles_n pieces, each of up to tall x wide elements
    tiles_n: int
    tall: int
    wide: int
    slot: int  # bytes of workspace for each worker


PLAN_SIZE = len(Plan._fields)


def pitch(rows: int, lanes: int) -> int:
    """Elements from one column of a packed panel of A to the next: whole vectors where the panel is taller than one."""
    return rows if rows <= lanes else -(-rows // lanes) * lanes


def workspace(dtype: Any, tile: Tile, m: int, n: int, k: int, pack_a: bool, pack_b: bool) -> int:
    """Bytes that one worker needs: the scratch tile, a row of zeros and the panels of one block of A and of B."""
    lanes, itemsize = simd.lanes(dtype), np.dtype(dtype).itemsize
    depth, width = -(-min(k, DEPTH) // lanes) * lanes, tile.vectors * lanes
    size = (tile.rows + 1) * width * itemsize
    if pack_a:
        panels = -(-min(m, BLOCK_ROWS // tile.rows * tile.rows) // tile.rows)
        size += panels * (depth * pitch(tile.rows, lanes) * itemsize + simd.VECTOR_BYTES)
    if pack_b:
        size += -(-min(n, BLOCK_COLUMNS) // width) * (depth * width * itemsize + simd.VECTOR_BYTES)
    return -(-size // 64) * 64


@functools.lru_cache(maxsize=None)
def gemm(dtype: Any) -> Any:
    """The product of ``dtype`` matrices as a launch over workers (see ``products`` for its arguments)."""
    lanes, itemsize = simd.lanes(dtype), np.dtype(dtype).itemsize
    vector_bytes = simd.VECTOR_BYTES
    (rows_0, vectors_0, _), (rows_1, vectors_1, _), (rows_2, vectors_2, _) = TILES
    tile_0, tile_1, tile_2 = (simd.tile(dtype, rows, vectors) for rows, vectors, _ in TILES)
    pitch_0, pitch_1, pitch_2 = (pitch(tile.rows, lanes) for tile in TILES)
    square = simd.transpose(dtype)
    vector = simd.vectors(dtype)
    get, get_part, put, put_part = vector.load, vector.load_part, vector.store, vector.store_part
    add, zero = vector.add, vector.zero

    # Not inlined: it is long and called in two places, and compiling it twice would cost more than it saves.
    @kernel(source=f"matmul pack {np.dtype(dtype).name}")
    def pack(to, x, x_row, x_col, k, m, rows, column):
        """Panels of ``rows`` rows of x [m, k], column after column (``column`` bytes each), padded with zeros.

        B is packed as its transpose.  One stride of x is that of an element.  Vectors may reach beyond a column into the next, which is
        written after it.
        """
        panel = (k + lanes - 1) // lanes * lanes * column + vector_bytes
        for i in range(0, m, rows):
            for r in range(0, rows, lanes):
                target = to + i // rows * panel + r * itemsize
                source, left = x + (i + r) * x_row, min(m - i, rows) - r
                if x_col == itemsize:
                    for p in range(0, k, lanes):
                        square(target + p * column, column, source + p * itemsize, x_row, left, k - p)
                elif left >= lanes:
                    for p in range(k):
                        put(target + p * column, get(source + p * x_col))
                else:
                    for p in range(k):
                        put(target + p * column, get_part(source + p * x_col, left))

    @inline
    def copy_edge(c: int, c_row: int, scratch: int, scratch_row: int, d: int, d_row: int, m: int, n: int) -> None:
        """C = D + the m x n corner of a scratch tile."""
        for i in range(m):
            for j in range(0, n, lanes):
                shift, left = j * itemsize, n - j
                total = add(get_part(d + i * d_row + shift, left), get_part(scratch + i * scratch_row + shift, left))
                put_part(c + i * c_row + shift, total, left)

    @kernel(source=f"matmul gemm {np.dtype(dtype).name}")
    def products(lo, hi, plan_id, c_id, a_id, b_id, d_id, d_row, places_id, space_id):
        """C[t] = D + A[t]·B[t] for t < batch, cut as ``plan`` says (the values of a ``Plan``, in its order).

        ``places`` holds the byte offsets of every A[t], then of every B[t] (``places_id`` 0: one product).  Worker w uses the ``slot``
        bytes of the workspace from ``w * slot`` on, and takes its equal share of the pieces.
        """
        plan = array_from(address_of(plan_id), PLAN_SIZE, np.int64)
        workers, batch, m, n, k = plan[0], plan[1], plan[2], plan[3], plan[4]
        a_row, a_col, b_row, b_col = plan[5], plan[6], plan[7], plan[8]
        style, packs_a, packs_b, tiles_m, tiles_n, tall, wide, slot = (
            plan[9], plan[10], plan[11], plan[12], plan[13], plan[14], plan[15], plan[16],
        )  # fmt: skip
        rows, width, column = rows_0, vectors_0 * lanes, pitch_0 * itemsize
        if style == 1:
            rows, width, column = rows_1, vectors_1 * lanes, pitch_1 * itemsize
        elif style == 2:
            rows, width, column = rows_2, vectors_2 * lanes, pitch_2 * itemsize
        panel_row, c_row, block = width * itemsize, n * itemsize, BLOCK_ROWS // rows * rows
        depth_blocks = max(1, (k + DEPTH - 1) // DEPTH)
        depth = (k + depth_blocks - 1) // depth_blocks  # equal blocks, none of them a remainder
        pieces = batch * tiles_m * tiles_n
        for worker in range(lo, hi):
            scratch = (address_of(space_id) + 63) // 64 * 64 + worker * slot
            zeros = scratch + rows * panel_row
            panels_a = zeros + panel_row
            panels_b = panels_a
            if packs_a:
                panels_b += (min(tall, block) + rows - 1) // rows * ((depth + lanes - 1) // lanes * lanes * column + vector_bytes)
            for j in range(0, panel_row, vector_bytes):
                put(zeros + j, zero())
            for piece in range(pieces * worker // workers, pieces * (worker + 1) // workers):
                t, rest = piece // (tiles_m * tiles_n), piece % (tiles_m * tiles_n)
                top, left = rest // tiles_n * tall, rest % tiles_n * wide
                bottom, right = min(m, top + tall), min(n, left + wide)
                a, b, c = address_of(a_id), address_of(b_id), address_of(c_id) + t * m * c_row
                d = address_of(d_id) if d_id != 0 else 0
                if places_id != 0:
                    places = array_from(address_of(places_id), 2 * batch, np.int64)
                    a, b = a + places[t], b + places[batch + t]
                for block_n in range(left, right, BLOCK_COLUMNS):
                    end_n = min(right, block_n + BLOCK_COLUMNS)
                    for step in range(depth_blocks):
                        k0 = step * depth
                        k_block = min(depth, k - k0)
                        k_padded = (k_block + lanes - 1) // lanes * lanes
                        if packs_b:
                            pack(panels_b, b + k0 * b_row + block_n * b_col, b_col, b_row, k_block, end_n - block_n, width, panel_row)
                        for block_m in range(top, bottom, block):
                            end_m = min(bottom, block_m + block)
                            if packs_a:
                                pack(panels_a, a + block_m * a_row + k0 * a_col, a_row, a_col, k_block, end_m - block_m, rows, column)
                            for j in range(block_n, end_n, width):
                                # An edge tile starts further left or up, so that it reads nothing beyond the matrix.
                                shift_n, b_here, b_step = (
                                    0,
                                    panels_b + (j - block_n) // width * (k_padded * panel_row + vector_bytes),
                                    panel_row,
                                )
                                if not packs_b:
                                    shift_n = max(0, j + width - n)
                                    b_here, b_step = b + k0 * b_row + (j - shift_n) * itemsize, b_row
                                for i in range(block_m, end_m, rows):
                                    shift_m, a_step, a_next = 0, itemsize, column
                                    a_here = panels_a + (i - block_m) // rows * (k_padded * column + vector_bytes)
                                    if not packs_a:
                                        shift_m, a_step, a_next = max(0, i + rows - m), a_row, a_col
                                        a_here = a + (i - shift_m) * a_row + k0 * a_col
                                    tile_m, tile_n = min(rows, end_m - i), min(width, end_n - j)
                                    c_here = c + i * c_row + j * itemsize
                                    d_here, d_step = c_here, c_row
                                    if k0 == 0:
                                        d_here, d_step = (d + i * d_row + j * itemsize, d_row) if d != 0 else (zeros, 0)
                                    to, to_row, start, start_row = c_here, c_row, d_here, d_step
                                    whole = tile_m == rows and tile_n == width
                                    if not whole:
                                        to, to_row, start, start_row = scratch, panel_row, zeros, 0
                                    if style == 0:
                                        tile_0(k_block, a_here, a_step, a_next, b_here, b_step, to, to_row, start, start_row)
                                    elif style == 1:
                                        tile_1(k_block, a_here, a_step, a_next, b_here, b_step, to, to_row, start, start_row)
                                    else:
                                        tile_2(k_block, a_here, a_step, a_next, b_here, b_step, to, to_row, start, start_row)
                                    if not whole:
                                        corner = scratch + shift_m * panel_row + shift_n * itemsize
                                        copy_edge(c_here, c_row, corner, panel_row, d_here, d_step, tile_m, tile_n)

    return compiled(products, signature(*[intp] * 8))
