"""The gradient with respect to the weight on CUDA, as an implicit matrix product: output channels x (channel, tap), over the pixels of all images.

Both operands lie with pixels innermost.  The pixels are divided among blocks where there are fewer tiles than a GPU has room for; each part
is written to a place of its own and ``_cuda_sums`` adds them in order, so the bits are the same each time.  ("Split-K" in CUTLASS.)
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.driver import SIMULATED
from .._cuda.intrinsics import cuda, divide, inline
from .._cuda.launch import kernel, pointer
from .._cuda.tiles import head, pushed, repeat, rotated
from ..matmul._cuda_kind import Tile, computed
from ._cuda_store import storing
from ._cuda_units import TensorTile, Units, units

SINGLE: tuple[Tile, ...] = (Tile(128, 128, 16, 8, 8), Tile(64, 64, 16, 4, 4), Tile(32, 32, 16, 4, 4))
DOUBLE: tuple[Tile, ...] = (Tile(64, 64, 16, 4, 4),)
TENSOR: tuple[TensorTile, ...] = (TensorTile(64, 128, 64, 32, 32), TensorTile(64, 64, 64, 32, 16), TensorTile(32, 32, 64, 16, 16))
if SIMULATED:  # a thread is one of Python's
    SINGLE, DOUBLE = (Tile(32, 16, 4, 8, 8), Tile(16, 16, 4, 4, 4), Tile(8, 8, 4, 4, 4)), (Tile(8, 8, 2, 4, 4),)
    TENSOR = (TensorTile(32, 16, 64, 16, 16), TensorTile(16, 16, 32, 16, 16))
_THREADS = 512  # that a multiprocessor holds at once, so that a thread has up to 128 registers
_NOWHERE = 1 << 30  # a row that is in no plane


def tile_for(dtype: np.dtype, tensor: bool, out: int, elements: int) -> Tile | TensorTile:
    """The largest tile that ``out`` x ``elements`` fills; ``tensor``: by tensor cores."""
    tiles: Any = TENSOR if tensor else SINGLE if computed(dtype).itemsize == 4 else DOUBLE
    for tile in tiles[:-1]:
        if out > tile.rows // 2 and elements > tile.columns // 2:
            return tile
    return tiles[-1]


def _mover(u: Units, load_one: Any, extent: int, pitch: int) -> tuple[Any, Any]:
    """What a thread loads of an operand of ``extent`` lines for a step, of one pixel, and how that is put into shared memory."""
    apart = u.threads // u.depth
    line_step, pixel_step, turns, nothing = (
        (pitch, 1, extent // apart, u.element(0)) if u.along_k else (1, pitch, extent // apart, u.element(0))
    )

    @inline
    def load(line, *args):  # type: ignore[no-untyped-def]
        found = repeat(nothing, turns)
        for i in range(turns):
            found = pushed(found, repeat(load_one(np.uint32(line + np.uint32(i * apart)), *args), 1))
        return found

    @inline
    def store(tile, half, values, line, pixel):  # type: ignore[no-untyped-def]
        at = np.uint32(half + np.uint32(np.uint32(line * np.uint32(line_step)) + np.uint32(pixel * np.uint32(pixel_step))))
        for _ in range(turns):
            tile[at] = head(values, 1)[0]
            values = rotated(values, 1)
            at = np.uint32(at + np.uint32(apart * line_step))

    return load, store


@functools.lru_cache(maxsize=None)
def weight_correlator(dtype: np.dtype, tile: Tile | TensorTile) -> Any:
    """The kernel for elements of ``dtype``; its results are of the type that they are computed in.

    Tile: ``tile``, 128 x 128 by 256 threads for many channels, 16 pixels a step.  Data movement: 16 neighbouring threads load the same pixels of one
    channel after the other, in runs of 64 bytes; what a column of the tile is (channel and tap) is worked out once and kept in shared memory.  The
    next step is on its way in registers while this one is multiplied.  Multiply-adds bound it.
    """
    u = units(dtype, tile)
    T, E, read, depth, threads, m_size, n_size = u.sum, u.element, u.read, u.depth, u.threads, u.rows, u.columns
    a_half, b_half, count, zero, nothing, apart = u.a_size, u.b_size, u.sums, u.sum(0), u.element(0), u.threads // u.depth
    a_size, b_size, a_loads, b_loads = 2 * a_half, 2 * b_half, m_size // apart, n_size // apart
    locate, multiply = u.locate, u.multiply
    write = storing(np.dtype(T), u)

    @inline
    def load_grad(m, grad, at, channel_step, m_left, there):  # type: ignore[no-untyped-def]
        value = nothing
        if there and m < m_left:
            value = read(grad[at + np.int64(m) * channel_step])
        return value

    @inline
    def load_source(j, source, at, y, x, height, width, there, column_place, column_y, column_x):  # type: ignore[no-untyped-def]
        value = nothing
        if there and np.uint32(y + column_y[j]) < height and np.uint32(x + column_x[j]) < width:
            value = read(source[at + column_place[j]])
        return value

    load_a, store_a = _mover(u, load_grad, m_size, u.a_pitch)
    load_b, store_b = _mover(u, load_source, n_size, u.b_pitch)

    @kernel(
        pointer(T), *[pointer(u.stored)] * 2, *[np.int64] * 9, *[np.int32] * 6, *[np.uint32] * 18, bounds=(threads, _THREADS // threads)
    )  # fmt: skip
    def correlate_weight(
        out, source, grad, image_step, group_step, channel_step, row_step, column_step, grad_image, grad_channel, grad_row, grad_column,
        row_stride, row_first, row_apart, column_stride, column_first, column_apart,
        height, width, whole, pixels, part, area, area_m, area_s, out_width, out_width_m, out_width_s,
        m_count, m_tiles, m_tiles_m, m_tiles_s, taps, columns, elements,
    ):  # fmt: skip
        a = cuda.shared.array(a_size, dtype=E, alignment=16)
        b = cuda.shared.array(b_size, dtype=E, alignment=16)
        column_place = cuda.shared.array(n_size, dtype=np.int64)
        column_y = cuda.shared.array(n_size, dtype=np.int32)
        column_x = cuda.shared.array(n_size, dtype=np.int32)
        thread, group = np.uint32(cuda.threadIdx.x), np.uint32(cuda.blockIdx.y)
        n_tile = divide(np.uint32(cuda.blockIdx.x), m_tiles_m, m_tiles_s)
        m_first = np.uint32(np.uint32(np.uint32(cuda.blockIdx.x) - np.uint32(n_tile * m_tiles)) * np.uint32(m_size))
        n_first = np.uint32(n_tile * np.uint32(n_size))
        m_own, n_own, i_own, j_own = locate(thread)

        j = thread
        while j < np.uint32(n_size):
            element = np.uint32(n_first + j)
            c = np.uint32(element // taps)
            tap = np.uint32(element - np.uint32(c * taps))
            tap_row = np.uint32(tap // columns)
            r = np.int32(np.int32(tap_row) * row_apart)
            s = np.int32(np.int32(tap - np.uint32(tap_row * columns)) * column_apart)
            column_place[j] = np.int64(c) * channel_step + np.int64(r) * row_step + np.int64(s) * column_step
            column_y[j] = r if element < elements else np.int32(_NOWHERE)
            column_x[j] = s
            j = np.uint32(j + np.uint32(threads))
        cuda.syncthreads()

        pixel, line = np.uint32(thread % np.uint32(depth)), np.uint32(thread // np.uint32(depth))
        n = np.uint32(np.uint32(np.uint32(cuda.blockIdx.z) * part) + pixel)
        last = min(np.uint32(np.uint32(cuda.blockIdx.z) * part + part), pixels)
        steps = np.uint32(np.uint32(np.uint32(last - np.uint32(n - pixel)) + np.uint32(depth - 1)) // np.uint32(depth))
        m_left = np.uint32(m_count - m_first)
        grad_start = np.int64(group) * np.int64(m_count) * grad_channel + np.int64(m_first) * grad_channel
        start = np.int64(group) * group_step
        sums, step = repeat(zero, count), np.uint32(0)
        from_grad, from_source = repeat(nothing, a_loads), repeat(nothing, b_loads)
        while step <= steps:
            if step < steps:
                there = n < last
                image = divide(n, area_m, area_s)
                rest = np.uint32(n - np.uint32(image * area))
                p = divide(rest, out_width_m, out_width_s)
                q = np.uint32(rest - np.uint32(p * out_width))
                y = np.int32(np.int32(np.int32(p) * row_stride) + row_first)
                x = np.int32(np.int32(np.int32(q) * column_stride) + column_first)
                at = grad_start + np.int64(image) * grad_image + np.int64(p) * grad_row + np.int64(q) * grad_column
                from_grad = load_a(line, grad, at, grad_channel, m_left, there)
                place = start + np.int64(image) * image_step + np.int64(y) * row_step + np.int64(x) * column_step
                from_source = load_b(line, source, place, y, x, height, width, there, column_place, column_y, column_x)
                n = np.uint32(n + np.uint32(depth))
            half = np.uint32(step % np.uint32(2))
            if step > np.uint32(0):
                other = np.uint32(np.uint32(1) - half)
                i = np.uint32(np.uint32(other * np.uint32(a_half)) + i_own)
                j = np.uint32(np.uint32(other * np.uint32(b_half)) + j_own)
                sums = multiply(sums, a, i, b, j)
            if step < steps:
                store_a(a, np.uint32(half * np.uint32(a_half)), from_grad, line, pixel)
                store_b(b, np.uint32(half * np.uint32(b_half)), from_source, line, pixel)
                cuda.syncthreads()
            step = np.uint32(step + np.uint32(1))

        # A part's result is one plane of ``elements`` for each output channel: one image of one row.  A multiplier of 0 and a shift of 31 divide to 0.
        none, last_bit, side = np.uint32(0), np.uint32(31), np.int64(elements)
        piece = np.uint32(np.uint32(np.uint32(cuda.blockIdx.z) * np.uint32(cuda.gridDim.y)) + group)
        n, m = np.uint32(n_first + n_own), np.uint32(m_first + m_own)
        sizes = (elements, elements, none, last_bit, elements, none, last_bit)
        write(sums, n, m, out, out, none, whole, m_count, piece, sizes, (np.int64(0), np.int64(0), np.int64(1), side))

    return correlate_weight
