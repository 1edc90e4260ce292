"""The two kernels of the floating-point convolutions, for the integers of ``_plan``: correlate (outputs) and correlate_weight (weight gradient).

Tile: WIDE_PIXELS pixels by two vectors of output channels, or 8 output channels by three vectors of pixels, whichever wastes less; the sum
over the taps stays in registers, and the arithmetic units bound it.  Data movement: each worker packs one band of inputs at a time into its
scratch (see ``_plan``), which stays in the L2 cache while all output channels pass over it; weights are packed once per call, in the order
they are read; the output is written once.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import kernel, load, simd, simd_conv, store
from ._plan import NARROW, SINGLE, WIDE, F

IMAGES, CHANNELS, OUT, GROUPS, HEIGHT, WIDTH = (F[n] for n in ("IMAGES", "CHANNELS", "OUT", "GROUPS", "HEIGHT", "WIDTH"))
OUT_HEIGHT, OUT_WIDTH, STRIDE_H, STRIDE_W, BAND_ROWS = (F[n] for n in ("OUT_HEIGHT", "OUT_WIDTH", "STRIDE_H", "STRIDE_W", "BAND_ROWS"))
BANDS, TOGETHER, IMAGE_GROUPS, SLOT_ROWS = (F[n] for n in ("BANDS", "TOGETHER", "IMAGE_GROUPS", "SLOT_ROWS"))
TAPS, STYLE, DIRECT, AREA, SCRATCH = (F[n] for n in ("TAPS", "STYLE", "DIRECT", "AREA", "SCRATCH"))
CHUNKS, CHUNK_BLOCKS, BLOCKS, WORKERS = (F[n] for n in ("CHUNKS", "CHUNK_BLOCKS", "BLOCKS", "WORKERS"))
UNITS_PER_BLOCK, UNIT_BLOCKS, PARTIAL, WEIGHTS = (F[n] for n in ("UNITS_PER_BLOCK", "UNIT_BLOCKS", "PARTIAL", "WEIGHTS"))
PACKED, PITCH, SEGMENT, PACKS, TABLE = (F[n] for n in ("PACKED", "PITCH", "SEGMENT", "PACKS", "TABLE"))
DEPTH, OUT_DEPTH, STRIDE_D, LEVELS, FIRST_LEVEL = (F[n] for n in ("DEPTH", "OUT_DEPTH", "STRIDE_D", "LEVELS", "FIRST_LEVEL"))

PIXELS, ROWS, VECTORS, SINGLES = (
    simd_conv.WIDE_PIXELS,
    simd_conv.NARROW_CHANNELS,
    simd_conv.NARROW_VECTORS,
    simd_conv.SINGLE_VECTORS,
)
LANE_CHANNELS, LANE_TAPS = simd_conv.LANE_CHANNELS, simd_conv.LANE_TAPS

# Pixels of one partial sum of the weight gradient: short chains keep float32 accurate, and this much of the gradient stays in the L1 cache.
SUM_PIXELS = 256


@functools.lru_cache(maxsize=None)
def engine(dtype: Any) -> SimpleNamespace:
    """The kernels for ``dtype`` (float32 or float64)."""
    size, lanes = np.dtype(dtype).itemsize, simd.lanes(dtype)
    block, register = 2 * lanes, lanes * size
    wide_two, wide_one = simd_conv.wide_tile(dtype, 2), simd_conv.wide_tile(dtype, 1)
    narrow, single = simd_conv.narrow_tile(dtype, ROWS, VECTORS), simd_conv.narrow_tile(dtype, 1, SINGLES)
    taps_two, taps_one = simd_conv.tap_tile(dtype, 2), simd_conv.tap_tile(dtype, 1)
    lanes_many, lanes_one = simd_conv.lane_tile(dtype, LANE_CHANNELS), simd_conv.lane_tile(dtype, 1)
    prefetch_read, prefetch_write = simd_conv.prefetch_read, simd_conv.prefetch_write
    load_between = simd_conv.load_between(dtype)
    copy_rows, store_columns, transpose = simd_conv.copy_rows(dtype), simd_conv.store_columns(dtype), simd.transpose(dtype)

    f = simd.vectors(dtype)
    load_vector, load_part, store_vector, store_part, add_vectors, lane_total = f.load, f.load_part, f.store, f.store_part, f.add, f.total

    @simd_conv.inlined
    def pack(p, x, area, images, band, group):
        """Lay out the inputs of one band; see ``_plan``."""
        channels, plane, row, pitch, entries = p[CHANNELS], p[HEIGHT] * p[WIDTH] * size, p[WIDTH] * size, p[PITCH], p[PACKED]
        first, depth, levels, step = images * p[TOGETHER], p[DEPTH], p[LEVELS], p[STRIDE_W] * size
        image, out_level, around = first // p[OUT_DEPTH], first % p[OUT_DEPTH], p[OUT_DEPTH] * p[STRIDE_D]
        origin = x + (image * p[GROUPS] + group) * channels * depth * plane
        for c in range(channels * levels):
            start = p[p[FIRST_LEVEL] + c % levels]
            for entry in range(entries):
                at = p[PACKS] + (band * entries + entry) * 6
                rows, offset, begin, end, low, high = p[at], p[at + 1], p[at + 2], p[at + 3], p[at + 4], p[at + 5]
                to, volume = (
                    area + (c * entries + entry) * p[SLOT_ROWS] * pitch * size,
                    origin + c // levels * depth * plane + offset * size,
                )
                level = out_level * p[STRIDE_D] + start
                for _image in range(min(p[TOGETHER], p[IMAGES] - first)):
                    source, last = volume + level * plane, end if 0 <= level < depth else begin
                    # What the last vector of a row writes too much, the first one of the next row mends.
                    if step == size and pitch > 2 * lanes:  # row by row, while the same rows of the next plane arrive
                        for r in range(rows):
                            stop = high if begin <= r < last else 0
                            cell, origin_v = to + r * pitch * size, source + r * p[STRIDE_H] * row
                            for v in range(0, pitch, lanes):
                                prefetch_read(origin_v + v * size + plane)
                                store_vector(cell + v * size, load_between(origin_v + v * size, low - v, stop - v))
                    else:
                        for v in range((pitch - 1) // lanes * lanes, -1, -lanes):
                            cell, origin_v = to + v * size, source + v * step
                            copy_rows(cell, pitch * size, origin_v, p[STRIDE_H] * row, step, rows, begin, last, low - v, high - v)
                    to += rows * pitch * size
                    level += p[STRIDE_D]
                    if level == around + start:  # the next image
                        level, volume = start, volume + p[GROUPS] * channels * depth * plane

    @simd_conv.inlined
    def scatter(p, out, tile, row, column, images, band, group, channel, count, q, pixels):
        """out[image, channel + i, pixel] = tile[i, j] for bands of several images or of less than a tile (tile strides ``row``, ``column``)."""
        plane, depth = p[OUT_HEIGHT] * p[OUT_WIDTH], p[OUT_DEPTH]
        for j in range(pixels):
            image, pixel = images * p[TOGETHER] + (q + j) // plane, band * p[BAND_ROWS] * p[OUT_WIDTH] + (q + j) % plane
            to = out + ((((image // depth * p[GROUPS] + group) * p[OUT] + channel) * depth + image % depth) * plane + pixel) * size
            for i in range(count):
                store(to + i * depth * plane * size, load(tile + i * row + j * column, dtype))

    @kernel
    def correlate(lo, hi, p, x, w, start, out, scratch):
        source, weights, biases, target, numbers = x.ctypes.data, w.ctypes.data, start.ctypes.data, out.ctypes.data, p.ctypes.data
        groups, channels_out, bands, together, taps, style = p[GROUPS], p[OUT], p[BANDS], p[TOGETHER], p[TAPS], p[STYLE]
        plane, out_width, band_rows, chunks = p[OUT_HEIGHT] * p[OUT_WIDTH], p[OUT_WIDTH], p[BAND_ROWS], p[CHUNKS]
        table, workers, blocks = numbers + 8 * p[TABLE], p[WORKERS], p[BLOCKS]
        items, depth, volume = p[IMAGE_GROUPS] * bands * groups * chunks, p[OUT_DEPTH], p[OUT_DEPTH] * plane
        high, span = block, PIXELS  # channels and pixels of a tile
        if style == NARROW:
            high, span = ROWS, VECTORS * lanes
        elif style == SINGLE:
            high, span = 1, SINGLES * lanes
        for worker in range(lo, hi):
            area = (scratch.ctypes.data + worker * p[SCRATCH] * size + 63) // 64 * 64
            tile, packed = area + p[AREA] * size, -1
            for item in range(worker * items // workers, (worker + 1) * items // workers):
                chunk, unit = item % chunks, item // chunks
                group, images, band = unit % groups, unit // groups // bands, unit // groups % bands
                rows = min(band_rows, p[OUT_HEIGHT] - band * band_rows)
                present = min(together, p[IMAGES] - images * together)
                pixels = present * rows * out_width
                base = area
                if p[DIRECT]:
                    base = source + (images * groups + group) * p[CHANNELS] * plane * size
                elif unit != packed:
                    pack(p, source, area, images, band, group)
                    packed = unit
                length, segments = pixels, 1
                if p[SEGMENT]:
                    length, segments = out_width, rows
                tiles = (length + span - 1) // span
                whole = p[SEGMENT] or p[DIRECT] or style != WIDE and together == 1 and pixels >= span
                for k in range(chunk * p[CHUNK_BLOCKS], min((chunk + 1) * p[CHUNK_BLOCKS], blocks)):
                    here, begin = weights + (group * blocks + k) * p[WEIGHTS] * size, biases + (group * blocks + k) * high * size
                    channel = k * high
                    count = min(high, channels_out - channel)
                    level = images % depth * plane + band * band_rows * out_width
                    to = target + (((images // depth * groups + group) * channels_out + channel) * volume + level) * size
                    for n in range(segments * tiles):
                        q, shift = n // tiles, n % tiles * span
                        if whole:  # the tile at the end overlaps the one before
                            shift = min(shift, length - span)
                        source_tile, q = base + (q * p[PITCH] + shift) * size, q * length + shift
                        if style == WIDE:
                            if together == 1:  # the lines that the tile will be stored to arrive while it is computed
                                for i in range(count):
                                    prefetch_write(to + (q + i * volume) * size)
                                    prefetch_write(to + (q + span - 1 + i * volume) * size)
                            if count > lanes:
                                wide_two(taps, source_tile, table, here, begin, tile)
                            else:
                                wide_one(taps, source_tile, table, here, begin, tile)
                            if together == 1:
                                for r in range(0, min(span, pixels - q), lanes):
                                    for i in range(0, count, lanes):
                                        cell, width = to + (q + r + i * volume) * size, min(span, pixels - q) - r
                                        store_columns(cell, volume * size, tile + (r * block + i) * size, 2 * register, width, count - i)
                                continue
                            row, column = size, 2 * register
                        else:
                            address, row, column = tile, span * size, size
                            if whole:
                                address, row = to + q * size, volume * size
                            if style == NARROW:
                                narrow(taps, source_tile, table, here, begin, address, row, count)
                            else:
                                single(taps, source_tile, table, here, begin, address, row, count)
                            if whole:
                                continue
                            if together == 1:  # fewer pixels than a tile has, but consecutive ones
                                for i in range(count):
                                    for v in range(0, pixels, lanes):
                                        store_part(to + (i * volume + v) * size, load_vector(tile + i * row + v * size), pixels - v)
                                continue
                        scatter(p, target, tile, row, column, images, band, group, channel, count, q, min(span, pixels - q))

    @simd_conv.inlined
    def gather_gradient(p, grad, to, images, group, pixels):
        """to[i, q] = grad[.., i, q] for bands of several images."""
        plane, depth = p[OUT_HEIGHT] * p[OUT_WIDTH], p[OUT_DEPTH]
        for q in range(pixels):
            image, pixel = images * p[TOGETHER] + q // plane, q % plane
            source = grad + (((image // depth * p[GROUPS] + group) * p[OUT] * depth + image % depth) * plane + pixel) * size
            for i in range(p[OUT]):
                store(to + (i * pixels + q) * size, load(source + i * depth * plane * size, dtype))

    @kernel
    def correlate_weight(lo, hi, p, x, grad, partial, scratch):
        source, gradient, numbers = x.ctypes.data, grad.ctypes.data, p.ctypes.data
        zero = x.dtype.type(0)
        groups, channels_out, bands, together, taps, style = p[GROUPS], p[OUT], p[BANDS], p[TOGETHER], p[TAPS], p[STYLE]
        plane, out_width, band_rows, chunks = p[OUT_HEIGHT] * p[OUT_WIDTH], p[OUT_WIDTH], p[BAND_ROWS], p[CHUNKS]
        table, workers, blocks = numbers + 8 * p[TABLE], p[WORKERS], p[BLOCKS]
        items, depth, volume = p[UNIT_BLOCKS] * groups * chunks, p[OUT_DEPTH], p[OUT_DEPTH] * plane
        high = LANE_CHANNELS if style == NARROW else 1
        wide_tiles, lane_tiles = (taps + PIXELS - 1) // PIXELS, (taps + LANE_TAPS - 1) // LANE_TAPS
        sums_size = wide_tiles * PIXELS * block if style == WIDE else lane_tiles * LANE_TAPS * high * lanes
        for worker in range(lo, hi):
            area = (scratch.ctypes.data + worker * p[SCRATCH] * size + 63) // 64 * 64
            for item in range(worker * items // workers, (worker + 1) * items // workers):
                chunk, group, part = item % chunks, item // chunks % groups, item // chunks // groups
                low_block, high_block = chunk * p[CHUNK_BLOCKS], min((chunk + 1) * p[CHUNK_BLOCKS], blocks)
                sums = part * p[PARTIAL] + group * blocks * sums_size
                for i in range(sums + low_block * sums_size, sums + high_block * sums_size):
                    partial[i] = zero
                sums = partial.ctypes.data + sums * size
                for unit in range(part * p[UNITS_PER_BLOCK], min((part + 1) * p[UNITS_PER_BLOCK], p[IMAGE_GROUPS] * bands)):
                    images, band = unit // bands, unit % bands
                    rows = min(band_rows, p[OUT_HEIGHT] - band * band_rows)
                    present = min(together, p[IMAGES] - images * together)
                    pixels = present * rows * out_width
                    base = area
                    if p[DIRECT]:
                        base = source + (images * groups + group) * p[CHANNELS] * plane * size
                    else:
                        pack(p, source, area, images, band, group)
                    row, stride, moved = gradient, volume * size, area + p[AREA] * size
                    if together > 1:
                        gather_gradient(p, gradient, moved, images, group, pixels)
                        row, stride = moved, pixels * size
                        moved += channels_out * stride
                    else:
                        level = images % depth * plane + band * band_rows * out_width
                        row += ((images // depth * groups + group) * channels_out * volume + level) * size
                    if style == WIDE:
                        width = out_width if p[SEGMENT] else pixels
                        step, pitch = max(1, SUM_PIXELS // width), p[PITCH] * size
                        for k in range(low_block, high_block):
                            count, here = min(channels_out - k * block, block), sums + k * sums_size * size
                            for q in range(0, pixels, lanes):  # moved[q, i] = row[k * block + i, q]: lanes become output channels
                                for i in range(0, count, lanes):
                                    cell = row + (k * block + i) * stride + q * size
                                    transpose(moved + (q * block + i) * size, 2 * register, cell, stride, count - i, pixels - q)
                            for r in range(0, pixels // width, step):
                                height = min(step, pixels // width - r)
                                for c in range(0, width, SUM_PIXELS):
                                    columns = min(SUM_PIXELS, width - c)
                                    inputs, gradients = base + r * pitch + c * size, moved + (r * width + c) * block * size
                                    for t in range(wide_tiles):
                                        entry, to = table + 8 * t * PIXELS, here + t * PIXELS * block * size
                                        if count > lanes:
                                            taps_two(height, columns, pitch, inputs, entry, gradients, to)
                                        else:
                                            taps_one(height, columns, pitch, inputs, entry, gradients, to)
                        continue
                    for t in range(lane_tiles):
                        entry = table + 8 * t * LANE_TAPS
                        for k in range(low_block, high_block):
                            to = sums + (k * sums_size + t * LANE_TAPS * high * lanes) * size
                            channel = min(k * high, channels_out - high)  # the last tile overlaps the one before
                            if style == NARROW:
                                lanes_many(pixels, base, entry, row + channel * stride, stride, to)
                            else:
                                lanes_one(pixels, base, entry, row + channel * stride, stride, to)

    @kernel
    def pack_weights(lo, hi, out, w, bias, start, p, taps, steps):
        """out[item, tap, i] = w[...]: weights in the order in which the tiles read them, zero beyond the last channel; start[item, i] = bias.

        The range is over blocks of output channels of all groups.  ``taps`` are the places in a [rows, columns] kernel that take part, in the
        order of the tap table; ``steps`` the distances in ``w`` between groups, output channels and input channels.  Where all of them do,
        each run of consecutive weights is transposed in registers.
        """
        zero = w.dtype.type(0)
        channels_out, channels, style, here = p[OUT], p[CHANNELS], p[STYLE], w.ctypes.data
        width = block if style == WIDE else (ROWS if style == NARROW else 1)
        blocks, count, whole = (channels_out + width - 1) // width, taps.size, taps.size == steps[3]
        runs, run = channels, count
        if whole and steps[2] == count:
            runs, run = 1, count * channels
        for item in range(lo, hi):
            group, first = item // blocks, item % blocks * width
            present = min(width, channels_out - first)
            to, origin = item * p[WEIGHTS], group * steps[0] + first * steps[1]
            for i in range(width):
                start[item * width + i] = bias[group * channels_out + first + i] if i < present and bias.size else zero
            if style == WIDE and whole and run >= 4:
                for r in range(runs):
                    for k in range(0, run, lanes):
                        for i in range(0, width, lanes):
                            cell = out.ctypes.data + (to + (r * run + k) * width + i) * size
                            source = here + (origin + r * steps[2] + k + i * steps[1]) * size
                            transpose(cell, 2 * register, source, steps[1] * size, present - i, run - k)
                continue
            if style == WIDE and count == 1 and steps[1] == 1:
                for c in range(channels):
                    for i in range(0, width, lanes):
                        source = here + (origin + c * steps[2] + taps[0] + i) * size
                        store_vector(out.ctypes.data + (to + c * width + i) * size, load_part(source, present - i))
                continue
            for c in range(channels):
                for k in range(count):
                    source = origin + c * steps[2] + taps[k]
                    for i in range(present):
                        out[to + i] = w[source + i * steps[1]]
                    for i in range(present, width):
                        out[to + i] = zero
                    to += width

    @kernel
    def finish_weight(lo, hi, p, partial, out):
        """out[channel, tap] = the sum of its partial sums, in the order of the blocks and, for lanes over pixels, by halving the lanes.

        The range is over ``groups * BLOCKS``.
        """
        channels_out, taps, style, blocks, parts = p[OUT], p[TAPS], p[STYLE], p[BLOCKS], p[UNIT_BLOCKS]
        high = LANE_CHANNELS if style == NARROW else 1
        wide_tiles, lane_tiles = (taps + PIXELS - 1) // PIXELS, (taps + LANE_TAPS - 1) // LANE_TAPS
        distance, sums, target = p[PARTIAL] * size, partial.ctypes.data, out.ctypes.data
        for item in range(lo, hi):
            group, k = item // blocks, item % blocks
            if style == WIDE:
                first, count = sums + item * wide_tiles * PIXELS * block * size, min(block, channels_out - k * block)
                for part in range(1, parts):
                    for address in range(first, first + taps * block * size, register):
                        store_vector(address, add_vectors(load_vector(address), load_vector(address + part * distance)))
                for tap in range(0, taps, lanes):
                    for i in range(0, count, lanes):
                        cell = target + ((group * channels_out + k * block + i) * taps + tap) * size
                        store_columns(cell, taps * size, first + (tap * block + i) * size, 2 * register, taps - tap, count - i)
                continue
            for i in range(high):
                channel = min(k * high, channels_out - high) + i
                for tap in range(taps):
                    tile = (item * lane_tiles + tap // LANE_TAPS) * high + i
                    address = sums + (tile * LANE_TAPS + tap % LANE_TAPS) * register
                    total = load_vector(address)
                    for part in range(1, parts):
                        total = add_vectors(total, load_vector(address + part * distance))
                    store(target + ((group * channels_out + channel) * taps + tap) * size, lane_total(total))

    return SimpleNamespace(pack_weights=pack_weights, correlate=correlate, correlate_weight=correlate_weight, finish_weight=finish_weight)


__all__ = ["NARROW", "SINGLE", "WIDE", "engine"]
