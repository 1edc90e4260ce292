"""Convolutions with lanes over images: for batches of small planes, where the other layouts waste lanes at the ends of planes and
multiplications on padding.

Tile: 6, 12 or 24 output channels by 4, 2 or 1 vectors of images at one output pixel; the sums over the taps stay in registers, and the
arithmetic units bound it.  Taps that fall on padding are left out, which a pixel of its own tile can do exactly.  Data movement: the input is
turned once into [pixel, channel, image], so that a row of taps is one consecutive run; it is read from the L2 cache, a run of KW · channels
vectors for each kernel row.  The outputs of a few rows are turned back through a scratch area in the L1 cache.

Layouts with the image innermost are those of Krizhevsky's cuda-convnet (2012).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import empty, get_num_threads, kernel, launch, simd, simd_conv
from ._plan import Geometry, estimate

Tile = tuple[int, int]  # output channels, vectors of images

# The places of the kernels' integers in their array.
IMAGES, CHANNELS, OUT, PLANE, WIDTH, OUT_HEIGHT, OUT_WIDTH, KERNEL_ROWS, KERNEL_COLUMNS, BAND, ITEMS, WORKERS, SPREAD, SCRATCH, ROW_STEP = (
    range(15)
)
# Pixels whose outputs are turned back together: at least one register of them, in whole rows.
_TURNED = 16


@dataclass(frozen=True)
class BatchPlan:
    """The integers for the kernels; ``numbers``: see ``planned``."""

    tile: Tile
    numbers: np.ndarray
    # Of each output row, then of each output column: the first tap inside the plane, how many are, the input place of the first.
    edges: np.ndarray
    order: np.ndarray  # places in a [rows, columns] kernel, by ascending input place
    items: int
    groups: int
    spread: int  # elements of the turned input of one group of images
    scratch: int
    work: int


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _edges(count: int, stride: int, offsets: list[int], extent: int) -> list[tuple[int, int, int]]:
    found = []
    for place in range(count):
        inside = [i for i, offset in enumerate(offsets) if 0 <= place * stride + offset < extent]
        first = inside[0] if inside else 0
        found.append((first, len(inside), place * stride + offsets[first] if inside else 0))
    return found


def _valid(count: int, stride: int, offsets: tuple[int, ...], extent: int) -> int:
    return sum(n for _, n, _ in _edges(count, stride, sorted(offsets), extent))


# Bytes of turned input beyond which it is read from a farther cache than the tiles can wait for.
_NEAR_BYTES = 2 << 20


@functools.lru_cache(maxsize=1024)
def faster(q: Geometry, itemsize: int) -> bool:
    """Whether this layout is the faster one for ``q``, by an estimate in the unit of ``_plan``.

    Measured (Zen 4, AVX-512, float32, one thread, microseconds, the other layouts / this one, batch 64; and what the estimate picks):

         6 <- 16, k5 on 12x12 (input gradient)      645 /  232    this
         6 <- 16, k5 on 14x14 (input gradient)      996 /  324    this
        64 -> 64, 9x9, k7                          4322 / 2599    this
       256 -> 256, 4x4, k3, padding 1             13891 / 8806    this
       128 -> 128, 7x7, k3, padding 1             10228 / 7779    this
        32 -> 64, 14x14, k3, padding 1             4347 / 4387    other
         3 <- 16, 32x32, k3 (input gradient)        946 / 1985    other
    """
    return _least(q, itemsize) < 0.95 * estimate(q, itemsize)


def _least(q: Geometry, itemsize: int) -> float:
    """The estimated time of the best tile, infinite for what this layout cannot compute."""
    consecutive = sorted(q.columns) == list(range(min(q.columns), min(q.columns) + len(q.columns)))
    steps = {b - a for a, b in zip(sorted(q.rows), sorted(q.rows)[1:])}
    lanes = _lanes(itemsize)
    if not q.flat or q.groups > 1 or not consecutive or len(steps) > 1 or q.images < lanes // 2:
        return float("inf")
    return min(_cost(q, tile, itemsize) for tile in simd_conv.BATCH_TILES)


@functools.lru_cache(maxsize=1024)
def least(q: Geometry, itemsize: int) -> float:
    """The estimated time of the faster one of this layout and those of ``_plan``."""
    return min(_least(q, itemsize), estimate(q, itemsize))


def _lanes(itemsize: int) -> int:
    return simd_conv.lanes(np.float32 if itemsize == 4 else np.float64)


def _cost(q: Geometry, tile: Tile, itemsize: int) -> float:
    rows, lanes = tile[0], _lanes(itemsize)
    group = tile[1] * lanes
    images = _ceil(q.images, group) * group
    taps = _valid(q.out_height, q.stride_h, q.rows, q.height) * _valid(q.out_width, q.stride_w, q.columns, q.width)
    tiles = images / lanes * _ceil(q.out, rows) * rows / 2 * (taps * q.channels + 8 * q.out_height * q.out_width)
    turned = q.channels * q.height * q.width + q.out * q.out_height * _ceil(q.out_width, lanes) * lanes
    near = q.channels * q.height * q.width * group * itemsize <= _NEAR_BYTES
    return (1.1 if near else 1.6) * tiles + turned * images / lanes * 6


def planned(q: Geometry, itemsize: int) -> BatchPlan:
    """The cut of ``q`` for the number of threads in force, which changes no result."""
    threads = get_num_threads()
    tile = min(simd_conv.BATCH_TILES, key=lambda tile: _cost(q, tile, itemsize))
    height, group, lanes = tile[0], tile[1] * _lanes(itemsize), _lanes(itemsize)
    rows, columns = sorted(q.rows), sorted(q.columns)
    order = [q.rows.index(a) * len(columns) + q.columns.index(b) for a in rows for b in columns]
    edges = _edges(q.out_height, q.stride_h, rows, q.height) + _edges(q.out_width, q.stride_w, columns, q.width)
    band = min(q.out_height, max(1, _TURNED // q.out_width))
    groups, blocks, bands = _ceil(q.images, group), _ceil(q.out, height), _ceil(q.out_height, band)
    items = groups * blocks * bands
    workers = min(items, 4 * threads if threads > 1 else 1)
    spread = _ceil(q.height * q.width, lanes) * lanes * q.channels * group
    scratch = (height * band * q.out_width + lanes) * group
    step = rows[1] - rows[0] if len(rows) > 1 else 1
    numbers = np.array(
        [q.images, q.channels, q.out, q.height * q.width, q.width, q.out_height, q.out_width, len(rows), len(columns), band, items, workers,
         spread, scratch, step],
        np.int64,
    )  # fmt: skip
    work = q.images * q.out * q.channels * q.out_height * q.out_width * len(order)
    return BatchPlan(
        tile, numbers, np.array(edges, np.int64).reshape(-1), np.array(order, np.int64), workers, groups, spread, workers * scratch, work
    )


@functools.lru_cache(maxsize=None)
def kernels(dtype: Any, shape: Tile) -> SimpleNamespace:
    size, lanes = np.dtype(dtype).itemsize, simd.lanes(dtype)
    high, batch = shape[0], shape[1] * lanes
    tile, transpose, store_columns = simd_conv.batch_tile(dtype, *shape), simd.transpose(dtype), simd_conv.store_columns(dtype)

    @kernel
    def turn_images(lo, hi, to, x, p):
        """to[group, pixel, channel, image] = x[image, channel, pixel]; the range is over groups and channels."""
        images, channels, plane = p[IMAGES], p[CHANNELS], p[PLANE]
        source, target = x.ctypes.data, to.ctypes.data
        for item in range(lo, hi):
            group, c = item // channels, item % channels
            present = images - group * batch
            for q in range(0, plane, lanes):
                cell = target + (group * p[SPREAD] + (q * channels + c) * batch) * size
                origin = source + ((group * batch * channels + c) * plane + q) * size
                for n in range(0, batch, lanes):
                    turned = origin + n * channels * plane * size
                    transpose(cell + n * size, channels * batch * size, turned, channels * plane * size, present - n, plane - q)

    @kernel
    def pack_taps(lo, hi, out, start, w, bias, order, steps, p):
        """out[block, tap, channel, i] = w[block · high + i, channel, order[tap]], zero beyond the last output channel; start[block, i] = bias."""
        zero, channels, channels_out = w.dtype.type(0), p[CHANNELS], p[OUT]
        for block in range(lo, hi):
            at = block * order.size * channels * high
            for i in range(high):
                k = block * high + i
                start[k] = bias[k] if k < channels_out and bias.size else zero
            present = min(high, channels_out - block * high)
            for t in range(order.size):
                for c in range(channels):
                    place = block * high * steps[1] + c * steps[2] + order[t]
                    for i in range(present):
                        out[at + i] = w[place + i * steps[1]]
                    for i in range(present, high):
                        out[at + i] = zero
                    at += high

    @kernel
    def convolve(lo, hi, p, edges, x, w, start, out, scratch):
        images, channels, channels_out, height_out, width_out = p[IMAGES], p[CHANNELS], p[OUT], p[OUT_HEIGHT], p[OUT_WIDTH]
        kernel_rows, kernel_columns, band, items, workers = p[KERNEL_ROWS], p[KERNEL_COLUMNS], p[BAND], p[ITEMS], p[WORKERS]
        blocks, bands = (channels_out + high - 1) // high, (height_out + band - 1) // band
        pixel, plane = channels * batch * size, height_out * width_out
        x_step, w_row = p[ROW_STEP] * p[WIDTH] * pixel, kernel_columns * channels * high * size
        for worker in range(lo, hi):
            area = scratch.ctypes.data + worker * p[SCRATCH] * size
            for item in range(worker * items // workers, (worker + 1) * items // workers):
                group, block, top = item // bands // blocks, item // bands % blocks, item % bands * band
                rows = min(band, height_out - top)
                pixels = rows * width_out
                source, weights = x.ctypes.data + group * p[SPREAD] * size, w.ctypes.data + block * kernel_rows * w_row
                begin = start.ctypes.data + block * high * size
                for q in range(pixels):
                    r, c = 3 * (top + q // width_out), 3 * (height_out + q % width_out)
                    taps, runs = edges[c + 1] * channels, edges[r + 1]
                    if taps == 0:
                        runs = 0
                    here = source + (edges[r + 2] * p[WIDTH] + edges[c + 2]) * pixel
                    first = weights + edges[r] * w_row + edges[c] * channels * high * size
                    tile(runs, taps, here, x_step, first, w_row, begin, area + q * batch * size, pixels * batch * size)
                for i in range(min(high, channels_out - block * high)):
                    to = out.ctypes.data + ((group * batch * channels_out + block * high + i) * plane + top * width_out) * size
                    for n in range(0, min(batch, images - group * batch), lanes):
                        for q in range(0, pixels, lanes):
                            cell, origin = to + (n * channels_out * plane + q) * size, area + ((i * pixels + q) * batch + n) * size
                            store_columns(cell, channels_out * plane * size, origin, batch * size, pixels - q, images - group * batch - n)

    return SimpleNamespace(turn_images=turn_images, pack_taps=pack_taps, convolve=convolve)


def correlate(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    shape: tuple[int, ...],
    cut: BatchPlan,
    on: Any,
    places: np.ndarray,
    steps: np.ndarray,
) -> np.ndarray:
    """The correlation of contiguous ``x`` that ``cut`` describes, of ``shape``, with the elements of the flat ``weight`` at ``places``, ``steps``
    apart (see ``cpu._weight_order``); ``bias`` may be empty."""
    dtype, numbers, rows = x.dtype, cut.numbers, cut.tile[0]
    channels, blocks = int(numbers[CHANNELS]), _ceil(shape[1], rows)
    out, turned = empty(shape, dtype), empty(cut.groups * cut.spread, dtype)
    packed, start = empty(blocks * rows * places.size * channels, dtype), empty(blocks * rows, dtype)
    launch(on.turn_images, cut.groups * channels, turned, x.reshape(-1), numbers, work=2 * x.size)
    launch(on.pack_taps, blocks, packed, start, weight, bias, places[cut.order], steps, numbers, work=4 * packed.size)
    launch(on.convolve, cut.items, numbers, cut.edges, turned, packed, start, out.reshape(-1), empty(cut.scratch, dtype), work=cut.work)
    return out
