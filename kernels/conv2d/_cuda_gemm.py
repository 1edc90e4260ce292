"""Correlations on CUDA as an implicit matrix product: output channels x pixels of all images, over (tap, channel).

Neither the matrix of patches nor its indices are stored.  A thread of a block loads one pixel's column of the patch matrix, so it finds the image, row
and column once; taps are outermost and channels innermost, so what changes from one step of the depth to the next is one address, and whether the
tap lies in the plane is asked once per tap.  Where there are too few channels to fill a step (the first layer), each element finds its tap and
channel by multiplication instead.  The weight is laid out beforehand in the order in which it is read.

K. Chellapilla, S. Puri, P. Simard, "High Performance Convolutional Neural Networks for Document Processing" (2006); S. Chetlur et al., "cuDNN: Efficient
Primitives for Deep Learning" (2014), whose tiles are gathered in the same way.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.driver import SIMULATED
from .._cuda.intrinsics import cuda, divide, inline, load_vector, store_vector
from .._cuda.launch import kernel, pointer
from .._cuda.tiles import head, pushed, repeat, rotated
from .._cuda.unrolled import in_turn, joined
from ..matmul._cuda_kind import Tile, computed
from ._cuda_store import storing
from ._cuda_units import TensorTile, Units, units

# By how many output channels there are.  A thread loads elements of one column: there are at least as many threads as columns.
SINGLE: tuple[Tile, ...] = (Tile(128, 128, 8, 8, 8), Tile(64, 128, 8, 8, 8), Tile(32, 128, 8, 4, 8), Tile(16, 128, 8, 4, 4))
DOUBLE: tuple[Tile, ...] = (Tile(64, 64, 8, 4, 4), Tile(16, 64, 8, 4, 2))
TENSOR: tuple[TensorTile, ...] = (
    TensorTile(128, 128, 64, 64, 32), TensorTile(64, 128, 64, 32, 32), TensorTile(32, 128, 64, 32, 32), TensorTile(16, 128, 64, 16, 32),
)  # fmt: skip
if SIMULATED:  # a thread is one of Python's
    SINGLE = (Tile(64, 16, 4, 8, 8), Tile(32, 8, 4, 8, 4), Tile(16, 16, 4, 4, 4), Tile(16, 8, 4, 4, 4))
    DOUBLE = (Tile(32, 8, 4, 4, 4), Tile(16, 8, 4, 4, 2))
    TENSOR = (TensorTile(32, 16, 64, 16, 16), TensorTile(16, 16, 32, 16, 16))
# Blocks that keep a large GPU busy.
_ENOUGH_BLOCKS = 264
_THREADS = 512  # that a multiprocessor holds at once, so that a thread has up to 128 registers


def tile_for(dtype: np.dtype, tensor: bool, out: int, pixels: int) -> Tile | TensorTile:
    """The largest tile that ``out`` output channels fill, and of which there are enough for the whole GPU; ``tensor``: by tensor cores."""
    tiles: Any = TENSOR if tensor else SINGLE if computed(dtype).itemsize == 4 else DOUBLE
    for tile in tiles[:-2]:
        filled = out > tile.rows - tile.rows // 4
        if filled and -(-out // tile.rows) * -(-pixels // tile.columns) >= _ENOUGH_BLOCKS:
            return tile
    return tiles[-1] if out <= tiles[-1].rows else tiles[-2]


# ---- the weight -----------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def packer(stored: np.dtype, element: Any, read: Any) -> Any:
    """The kernel that lays out a weight as ``element``: packed[group, k // inner, m, k % inner] with k = tap · channel_room + channel; zero where there
    is no such output channel m, channel or tap."""
    zero = element(0)

    @kernel(pointer(element), pointer(stored), *[np.int64] * 18)
    def pack_weight(
        packed, weight, group_step, m_step, channel_step, row_step, column_step, m_count, m_room, channels, channel_room,
        rows, columns, row, row_apart, column, column_apart, depth, inner, total,
    ):  # fmt: skip
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        at = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while at < total:
            m, line = at // inner % m_room, at // inner // m_room
            k, group = line % (depth // inner) * inner + at % inner, line // (depth // inner)
            c, tap = k % channel_room, k // channel_room
            value = zero
            if m < m_count and c < channels and tap < rows * columns:
                a, b = row + tap // columns * row_apart, column + tap % columns * column_apart
                value = read(weight[group * group_step + m * m_step + c * channel_step + a * row_step + b * column_step])
            packed[at] = value
            at += step

    return pack_weight


def _weight_mover(u: Units) -> tuple[Any, Any]:
    """What a thread loads of the weight for a step, a tuple of vectors of 16 bytes, and how it is stored."""
    run, threads, along_k, pitch, zero = u.vector, u.threads, u.along_k, u.a_pitch, u.element(0)
    per_line = (u.depth if along_k else u.rows) // run
    vectors = u.rows * u.depth // run

    def loader(turn: int) -> Any:
        @inline
        def load(weight, start, m_room, thread):  # type: ignore[no-untyped-def]
            v = np.uint32(thread + np.uint32(turn * threads))
            found = repeat(zero, run)
            if v < np.uint32(vectors):
                if along_k:
                    at = np.int64(np.uint32(v * np.uint32(run)))
                else:
                    at = np.int64(v // np.uint32(per_line)) * np.int64(m_room) + np.int64(
                        np.uint32(v % np.uint32(per_line)) * np.uint32(run)
                    )
                found = load_vector(weight, start + at, run)
            return (found,)

        return load

    def storer(turn: int) -> Any:
        @inline
        def store(tile, at, found, thread):  # type: ignore[no-untyped-def]
            v = np.uint32(thread + np.uint32(turn * threads))
            if v < np.uint32(vectors):
                place = np.uint32(np.uint32(v // np.uint32(per_line)) * np.uint32(pitch))
                place = np.uint32(place + np.uint32(np.uint32(v % np.uint32(per_line)) * np.uint32(run)))
                store_vector(tile, np.uint32(at + place), found[turn])

        return store

    turns = range(-(-vectors // threads))
    return joined([loader(turn) for turn in turns]), in_turn([storer(turn) for turn in turns])


# ---- the source -----------------------------------------------------------------------------------------------------------------------------


def _column_loader(u: Units, loads: int) -> Any:
    """What a thread loads of its column for a step within one tap: ``loads`` channels."""
    zero, read = u.element(0), u.read

    @inline
    def load(source, place, channel, channels, channel_step, there):  # type: ignore[no-untyped-def]
        found = repeat(zero, loads)
        for i in range(loads):
            value = zero
            if there and np.uint32(channel + np.uint32(i)) < channels:
                value = read(source[place + np.int64(i) * channel_step])
            found = pushed(found, repeat(value, 1))
        return found

    return load


def _patch_loader(u: Units, loads: int) -> Any:
    """As ``_column_loader`` for steps that hold several taps: each element finds its own."""
    zero, read = u.element(0), u.read

    @inline
    def load(source, start, first, y, x, there, shape, divisors, strides):  # type: ignore[no-untyped-def]
        taps, channels, columns, height, width = shape
        channels_m, channels_s, columns_m, columns_s = divisors
        row_apart, column_apart, row_step, column_step, channel_step = strides
        found = repeat(zero, loads)
        for i in range(loads):
            k = np.uint32(first + np.uint32(i))
            tap = divide(k, channels_m, channels_s)
            c = np.uint32(k - np.uint32(tap * channels))
            tap_row = divide(tap, columns_m, columns_s)
            tap_column = np.uint32(tap - np.uint32(tap_row * columns))
            r = np.int32(y + np.int32(np.int32(tap_row) * row_apart))
            s = np.int32(x + np.int32(np.int32(tap_column) * column_apart))
            value = zero
            if there and tap < taps and np.uint32(r) < height and np.uint32(s) < width:
                value = read(source[start + np.int64(r) * row_step + np.int64(s) * column_step + np.int64(c) * channel_step])
            found = pushed(found, repeat(value, 1))
        return found

    return load


def _column_storer(u: Units, loads: int) -> Any:
    """How what a thread has loaded, ``loads`` elements of the depth from ``k`` on of one column, is put into shared memory."""
    pitch, run = u.b_pitch, u.vector

    @inline
    def store_each(tile, half, values, column, k):  # type: ignore[no-untyped-def]
        at = np.uint32(half + np.uint32(np.uint32(k * np.uint32(pitch)) + column))
        for _ in range(loads):
            tile[at] = head(values, 1)[0]
            values = rotated(values, 1)
            at = np.uint32(at + np.uint32(pitch))

    @inline
    def store_runs(tile, half, values, column, k):  # type: ignore[no-untyped-def]
        at = np.uint32(half + np.uint32(np.uint32(column * np.uint32(pitch)) + k))
        for _ in range(loads // run):
            store_vector(tile, at, head(values, run))
            values = rotated(values, run)
            at = np.uint32(at + np.uint32(run))

    return store_runs if u.along_k else store_each


# ---- the whole ------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def correlator(dtype: np.dtype, tile: Tile | TensorTile, mixed: bool) -> Any:
    """The kernel for elements of ``dtype``.  ``mixed``: a step of the depth may hold several taps.

    Tile: ``tile``, 128 x 128 by 256 threads for many channels.  Data movement: the packed weight in 128-bit loads, the source one element at a
    time, neighbouring threads neighbouring pixels; the next step of the depth is on its way in registers while this one is multiplied, and two
    buffers of shared memory need one barrier a step.  Multiply-adds bound it: a thread does 64 for four 128-bit loads of shared memory.
    """
    u = units(dtype, tile)
    m_size, n_size, depth, threads, E = u.rows, u.columns, u.depth, u.threads, u.element
    a_half, b_half, count, zero, nothing = u.a_size, u.b_size, u.sums, u.sum(0), E(0)
    a_size, b_size, loads, vector = 2 * a_half, 2 * b_half, depth * n_size // threads, u.vector
    turns = -(-m_size * depth // vector // threads)
    m_step = depth if u.along_k else 1  # in the packed weight
    locate, multiply = u.locate, u.multiply
    load_weight, store_weight = _weight_mover(u)
    load_column, load_patch, store_column = _column_loader(u, loads), _patch_loader(u, loads), _column_storer(u, loads)
    write = storing(dtype, u)

    @kernel(
        pointer(dtype), pointer(u.stored), pointer(E), pointer(dtype), *[np.int64] * 9, *[np.int32] * 6, *[np.uint32] * 23,
        bounds=(threads, _THREADS // threads),
    )  # fmt: skip
    def correlate(
        out, source, weight, bias,
        image_step, group_step, channel_step, row_step, column_step, out_image, out_channel, out_row, out_column,
        row_stride, row_first, row_apart, column_stride, column_first, column_apart,
        height, width, biased, whole, pixels, area, area_m, area_s, out_width, out_width_m, out_width_s,
        m_count, m_tiles, m_tiles_m, m_tiles_s, channels, channels_m, channels_s, taps, columns, columns_m, columns_s, steps,
    ):  # fmt: skip
        a = cuda.shared.array(a_size, dtype=E, alignment=16)
        b = cuda.shared.array(b_size, dtype=E, alignment=16)
        thread, group = np.uint32(cuda.threadIdx.x), np.uint32(cuda.blockIdx.y)
        n_tile = divide(np.uint32(cuda.blockIdx.x), m_tiles_m, m_tiles_s)
        m_first = np.uint32(np.uint32(np.uint32(cuda.blockIdx.x) - np.uint32(n_tile * m_tiles)) * np.uint32(m_size))
        n_first = np.uint32(n_tile * np.uint32(n_size))
        m_room = np.uint32(m_tiles * np.uint32(m_size))
        m_own, n_own, i_own, j_own = locate(thread)

        # The pixel whose column of patches this thread loads; of each step of the depth it has ``loads`` elements from ``line`` on.
        column, line = np.uint32(thread % np.uint32(n_size)), np.uint32(np.uint32(thread // np.uint32(n_size)) * np.uint32(loads))
        n = np.uint32(n_first + column)
        inside = n < pixels
        image = divide(n, area_m, area_s)
        pixel = np.uint32(n - np.uint32(image * area))
        p = divide(pixel, out_width_m, out_width_s)
        q = np.uint32(pixel - np.uint32(p * out_width))
        y = np.int32(np.int32(np.int32(p) * row_stride) + row_first)
        x = np.int32(np.int32(np.int32(q) * column_stride) + column_first)
        start = np.int64(image) * image_step + np.int64(group) * group_step
        weight_at = np.int64(group) * np.int64(steps) * np.int64(depth) * np.int64(m_room) + np.int64(m_first) * np.int64(m_step)

        tap_y, tap_x, tap_column, channel = y, x, np.uint32(0), line
        there = inside and np.uint32(tap_y) < height and np.uint32(tap_x) < width
        place = start + np.int64(tap_y) * row_step + np.int64(tap_x) * column_step + np.int64(channel) * channel_step
        sums, step = repeat(zero, count), np.uint32(0)
        coming, coming_weight = repeat(nothing, loads), repeat(repeat(nothing, vector), turns)
        while step <= steps:
            if step < steps:
                coming_weight = load_weight(weight, weight_at, m_room, thread)
                weight_at += np.int64(depth) * np.int64(m_room)
                if mixed:
                    coming = load_patch(
                        source, start, np.uint32(np.uint32(step * np.uint32(depth)) + line), y, x, inside,
                        (taps, channels, columns, height, width), (channels_m, channels_s, columns_m, columns_s),
                        (row_apart, column_apart, row_step, column_step, channel_step),
                    )  # fmt: skip
                else:
                    coming = load_column(source, place, channel, channels, channel_step, there)
                    channel = np.uint32(channel + np.uint32(depth))
                    place += np.int64(depth) * channel_step
                    if np.uint32(channel - line) >= channels:  # the next tap
                        place += np.int64(column_apart) * column_step - np.int64(np.uint32(channel - line)) * channel_step
                        channel = line
                        tap_column = np.uint32(tap_column + np.uint32(1))
                        tap_x = np.int32(tap_x + column_apart)
                        if tap_column == columns:
                            back = np.int32(np.int32(columns) * column_apart)
                            place += np.int64(row_apart) * row_step - np.int64(back) * column_step
                            tap_column, tap_x, tap_y = np.uint32(0), np.int32(tap_x - back), np.int32(tap_y + row_apart)
                        there = inside and np.uint32(tap_y) < height and np.uint32(tap_x) < width
            half = np.uint32(step % np.uint32(2))
            if step > np.uint32(0):
                other = np.uint32(np.uint32(1) - half)
                i = np.uint32(np.uint32(other * np.uint32(a_half)) + i_own)
                j = np.uint32(np.uint32(other * np.uint32(b_half)) + j_own)
                sums = multiply(sums, a, i, b, j)
            if step < steps:
                store_weight(a, np.uint32(half * np.uint32(a_half)), coming_weight, thread)
                store_column(b, np.uint32(half * np.uint32(b_half)), coming, column, line)
                cuda.syncthreads()
            step = np.uint32(step + np.uint32(1))

        n, m = np.uint32(n_first + n_own), np.uint32(m_first + m_own)
        sizes = (pixels, area, area_m, area_s, out_width, out_width_m, out_width_s)
        write(sums, n, m, out, bias, biased, whole, m_count, group, sizes, (out_image, out_row, out_column, out_channel))

    return correlate
