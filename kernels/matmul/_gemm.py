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
from numba import types

from .._cpu import address_of, array_from, compiled, inline, kernel, load, simd, store

# Bytes of one row of a panel of B times DEPTH is what the first-level cache holds besides a panel of A.
DEPTH = 256
BLOCK_COLUMNS = 2048


class Shape(NamedTuple):
    """The register tiles of one instruction set: rows of the main and the low tile, and vectors in a row."""

    rows: int
    low_rows: int
    vectors: int


# As many accumulators as the registers hold beside one row of B and a broadcast.
_SHAPES = {"avx512": Shape(14, 8, 2), "avx2": Shape(6, 4, 2), "neon": Shape(8, 4, 3), "generic": Shape(6, 4, 2)}
SHAPE = _SHAPES[simd.INSTRUCTION_SET]


def pitch(rows: int, lanes: int) -> int:
    """Elements from one column of a packed panel of A to the next: whole vectors where the panel is taller than one."""
    return rows if rows <= lanes else -(-rows // lanes) * lanes


def block_rows(rows: int) -> int:
    """How many rows of A are packed at a time: some 330 KB at full depth, a part of the second-level cache."""
    return 336 // rows * rows


def workspace(dtype: Any, rows: int, k: int, m: int, n: int, pack_a: bool, pack_b: bool) -> int:
    """Bytes that one worker needs: the scratch tile, a row of zeros and the panels of one block of A and of B."""
    lanes, itemsize = simd.lanes(dtype), np.dtype(dtype).itemsize
    depth = -(-min(k, DEPTH) // lanes) * lanes
    size = (SHAPE.rows + 1) * SHAPE.vectors * simd.VECTOR_BYTES
    if pack_a:
        panels = -(-min(m, block_rows(rows)) // rows)
        size += panels * (depth * pitch(rows, lanes) * itemsize + simd.VECTOR_BYTES)
    if pack_b:
        width = SHAPE.vectors * lanes
        size += -(-min(n, BLOCK_COLUMNS) // width) * depth * width * itemsize
    return -(-size // 64) * 64


@functools.lru_cache(maxsize=None)
def gemm(dtype: Any) -> Any:
    """The product of ``dtype`` matrices as a launch over workers (see ``products`` for its arguments)."""
    lanes, itemsize = simd.lanes(dtype), np.dtype(dtype).itemsize
    rows_main, rows_low, columns = SHAPE
    width, vector_bytes = columns * lanes, simd.VECTOR_BYTES
    panel_row = width * itemsize
    element = np.dtype(dtype).type
    pitch_main, pitch_low = pitch(rows_main, lanes), pitch(rows_low, lanes)
    block_main, block_low = block_rows(rows_main), block_rows(rows_low)
    main_wide, main_narrow = simd.tile(dtype, rows_main, columns), simd.tile(dtype, rows_main, 1)
    low_wide, low_narrow = simd.tile(dtype, rows_low, columns), simd.tile(dtype, rows_low, 1)
    square = simd.transpose(dtype)
    vector = simd.vectors(dtype)
    get, get_part, put, put_part = vector.load, vector.load_part, vector.store, vector.store_part
    add, zero = vector.add, vector.zero

    @inline
    def pack_b(to: int, b: int, b_row: int, b_col: int, k: int, n: int) -> None:
        """Panels of ``width`` columns, row after row, padded with zeros."""
        panel = (k + lanes - 1) // lanes * lanes * panel_row
        for j in range(0, n, lanes):
            target = to + j // width * panel + j % width * itemsize
            source, left = b + j * b_col, n - j
            if b_col == itemsize:
                if left >= lanes:
                    for i in range(k):
                        put(target + i * panel_row, get(source + i * b_row))
                else:
                    for i in range(k):
                        put(target + i * panel_row, get_part(source + i * b_row, left))
            elif b_row == itemsize:
                for i in range(0, k, lanes):
                    square(target + i * panel_row, panel_row, source + i * itemsize, b_col, left, k - i)
            else:
                for i in range(k):
                    for c in range(lanes):
                        value = load(source + i * b_row + c * b_col, element) if c < left else element(0)
                        store(target + i * panel_row + c * itemsize, value)

    @inline
    def pack_a(to: int, a: int, a_row: int, a_col: int, k: int, m: int, rows: int, column: int) -> None:
        """Panels of ``rows`` rows, column after column (``column`` bytes each), padded with zeros.

        Vectors may reach beyond a column into the next, which is written after it.
        """
        panel = (k + lanes - 1) // lanes * lanes * column + vector_bytes
        for i in range(0, m, rows):
            for r in range(0, rows, lanes):
                target = to + i // rows * panel + r * itemsize
                source, left = a + (i + r) * a_row, min(m - i, rows) - r
                if a_col == itemsize:
                    for p in range(0, k, lanes):
                        square(target + p * column, column, source + p * itemsize, a_row, left, k - p)
                elif a_row == itemsize:
                    if left >= lanes:
                        for p in range(k):
                            put(target + p * column, get(source + p * a_col))
                    else:
                        for p in range(k):
                            put(target + p * column, get_part(source + p * a_col, left))
                else:
                    for p in range(k):
                        for q in range(min(rows - r, lanes)):
                            value = load(source + q * a_row + p * a_col, element) if q < left else element(0)
                            store(target + p * column + q * itemsize, value)

    @inline
    def copy_edge(c: int, c_row: int, scratch: int, d: int, d_row: int, m: int, n: int) -> None:
        """C = D + the m x n corner of a scratch tile."""
        for i in range(m):
            for j in range(0, n, lanes):
                shift, left = j * itemsize, n - j
                total = add(get_part(d + i * d_row + shift, left), get_part(scratch + i * panel_row + shift, left))
                put_part(c + i * c_row + shift, total, left)

    @kernel(source=f"matmul gemm {np.dtype(dtype).name}")
    def products(
        lo, hi, workers, c_id, a_id, b_id, d_id, places_id, space_id, batch, m, n, k, a_row, a_col, b_row, b_col, d_row, low, packs_a, packs_b,
        tiles_m, tiles_n, tall, wide, slot,
    ):  # fmt: skip
        """C[t] = D + A[t]·B[t] for t < batch, as ``tiles_m`` x ``tiles_n`` pieces each of ``tall`` x ``wide``, shared among ``workers``.

        ``places`` holds the byte offsets of every A[t], then of every B[t] (``places_id`` 0: one product).  Worker w uses the ``slot`` bytes
        of the workspace from ``w * slot`` on, and takes the pieces from ``pieces * w // workers`` on.
        """
        space = (address_of(space_id) + 63) // 64 * 64
        c_row = n * itemsize
        rows, column, most_rows = (rows_low, pitch_low * itemsize, block_low) if low else (rows_main, pitch_main * itemsize, block_main)
        depth_blocks = max(1, (k + DEPTH - 1) // DEPTH)
        depth = (k + depth_blocks - 1) // depth_blocks  # equal blocks, none of them a remainder
        padded = (depth + lanes - 1) // lanes * lanes
        pieces = batch * tiles_m * tiles_n
        for worker in range(lo, hi):
            scratch = space + worker * slot
            zeros = scratch + rows_main * panel_row
            panels_a = zeros + panel_row
            panels_b = panels_a
            if packs_a:
                panels_b += (min(tall, most_rows) + rows - 1) // rows * (padded * column + vector_bytes)
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
                for j0 in range(left, right, BLOCK_COLUMNS):
                    n_block = min(BLOCK_COLUMNS, right - j0)
                    for step in range(depth_blocks):
                        k0 = step * depth
                        k_block = min(depth, k - k0)
                        panel_a = (k_block + lanes - 1) // lanes * lanes * column + vector_bytes
                        panel_b = (k_block + lanes - 1) // lanes * lanes * panel_row
                        if packs_b:
                            pack_b(panels_b, b + k0 * b_row + j0 * b_col, b_row, b_col, k_block, n_block)
                        for i0 in range(top, bottom, most_rows):
                            m_block = min(most_rows, bottom - i0)
                            if packs_a:
                                pack_a(panels_a, a + i0 * a_row + k0 * a_col, a_row, a_col, k_block, m_block, rows, column)
                            for j in range(0, n_block, width):
                                n_tile = min(width, n_block - j)
                                narrow = n_tile <= lanes
                                n_whole = lanes if narrow else width
                                # Beyond the matrix the tile starts further left, so that it reads no column that is not there.
                                if packs_b:
                                    shift_n, b_here, b_step = 0, panels_b + j // width * panel_b, panel_row
                                else:
                                    shift_n = max(0, j0 + j + n_whole - n)
                                    b_here, b_step = b + k0 * b_row + (j0 + j - shift_n) * itemsize, b_row
                                for i in range(0, m_block, rows):
                                    m_tile = min(rows, m_block - i)
                                    if packs_a:
                                        shift_m, a_here, a_row_step, a_col_step = 0, panels_a + i // rows * panel_a, itemsize, column
                                    else:
                                        shift_m = max(0, i0 + i + rows - m)
                                        a_here, a_row_step, a_col_step = a + (i0 + i - shift_m) * a_row + k0 * a_col, a_row, a_col
                                    c_here = c + (i0 + i) * c_row + (j0 + j) * itemsize
                                    d_here, d_step = c_here, c_row
                                    if k0 == 0:
                                        d_here, d_step = (d + (i0 + i) * d_row + (j0 + j) * itemsize, d_row) if d != 0 else (zeros, 0)
                                    whole = m_tile == rows and n_tile == n_whole
                                    t_here, t_row, t_from, t_step = (
                                        (c_here, c_row, d_here, d_step) if whole else (scratch, panel_row, zeros, 0)
                                    )
                                    if low:
                                        if narrow:
                                            low_narrow(
                                                k_block, a_here, a_row_step, a_col_step, b_here, b_step, t_here, t_row, t_from, t_step
                                            )
                                        else:
                                            low_wide(k_block, a_here, a_row_step, a_col_step, b_here, b_step, t_here, t_row, t_from, t_step)
                                    elif narrow:
                                        main_narrow(k_block, a_here, a_row_step, a_col_step, b_here, b_step, t_here, t_row, t_from, t_step)
                                    else:
                                        main_wide(k_block, a_here, a_row_step, a_col_step, b_here, b_step, t_here, t_row, t_from, t_step)
                                    if not whole:
                                        corner = scratch + shift_m * panel_row + shift_n * itemsize
                                        copy_edge(c_here, c_row, corner, d_here, d_step, m_tile, n_tile)

    return compiled(products, types.void(*[types.intp] * 26))
