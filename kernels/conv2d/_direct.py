"""The kernels around the tiles: putting input gradients together, the bias gradient."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import kernel, simd, simd_conv


@kernel
def place_phase(lo, hi, out, phase, first, step):
    """out[volume, d::, r::, c::] = phase, from ``first`` in steps of ``step``, over volumes; zero where ``phase`` has no element to give."""
    zero, empty = out.dtype.type(0), phase.size == 0
    for volume in range(lo, hi):
        for level, d in enumerate(range(first[0], out.shape[1], step[0])):
            for row, r in enumerate(range(first[1], out.shape[2], step[1])):
                for column, c in enumerate(range(first[2], out.shape[3], step[2])):
                    out[volume, d, r, c] = zero if empty else phase[volume, level, row, column]


@functools.lru_cache(maxsize=None)
def place_pair(dtype: Any) -> Any:
    """As ``place_phase`` for both phases of a column stride of 2, whose elements alternate: consecutive stores of whole registers."""
    size, lanes, interleave = np.dtype(dtype).itemsize, simd.lanes(dtype), simd_conv.interleave(dtype)

    @kernel
    def place_columns(lo, hi, out, even, odd, first, step):
        depth, height, width = out.shape[1], out.shape[2], out.shape[3]
        for volume in range(lo, hi):
            for level, d in enumerate(range(first[0], depth, step[0])):
                for row, r in enumerate(range(first[1], height, step[1])):
                    to = out.ctypes.data + ((volume * depth + d) * height + r) * width * size
                    left = even.ctypes.data + ((volume * even.shape[1] + level) * even.shape[2] + row) * even.shape[3] * size
                    right = odd.ctypes.data + ((volume * odd.shape[1] + level) * odd.shape[2] + row) * odd.shape[3] * size
                    for c in range(0, width, 2 * lanes):
                        shift = c // 2 * size
                        interleave(to + c * size, left + shift, right + shift, width - c)

    return place_columns


@functools.lru_cache(maxsize=None)
def add_taps(dtype: Any) -> Any:
    """The kernel out[plane, r·stride + rows[a], c·stride + columns[b]] = sum over a, b of products[plane, a, b, r, c], what falls outside left
    out.  Each plane is summed by one thread in the order of the taps; memory bounds it.
    """
    f = simd.vectors(dtype)
    size, lanes, zeros, store_part, add = np.dtype(dtype).itemsize, f.lanes, f.zero, f.store_part, f.add
    load_between = simd_conv.load_between(dtype)

    @kernel
    def tap_sums(lo, hi, out, products, rows, columns, stride_h, stride_w):
        height, width = out.shape[1], out.shape[2]
        source_height, source_width = products.shape[2], products.shape[3]
        places = source_height * source_width
        for plane in range(lo, hi):
            target, origin = (
                out.ctypes.data + plane * height * width * size,
                products.ctypes.data + plane * rows.size * columns.size * places * size,
            )
            for y in range(height):
                if stride_w == 1:
                    for x in range(0, width, lanes):
                        total = zeros()
                        for a in range(rows.size):
                            r = (y - rows[a]) // stride_h
                            if 0 <= r < source_height and r * stride_h + rows[a] == y:
                                here = origin + (a * columns.size * places + r * source_width + x) * size
                                for b in range(columns.size):
                                    c = columns[b]
                                    total = add(total, load_between(here - c * size, c - x, source_width + c - x))
                                    here += places * size
                        store_part(target + (y * width + x) * size, total, width - x)
                    continue
                for x in range(width):
                    out[plane, y, x] = 0
                for a in range(rows.size):
                    r = (y - rows[a]) // stride_h
                    if 0 <= r < source_height and r * stride_h + rows[a] == y:
                        for b in range(columns.size):
                            begin = max(0, (-columns[b] + stride_w - 1) // stride_w)
                            end = min(source_width, (width - columns[b] + stride_w - 1) // stride_w)
                            x = begin * stride_w + columns[b]
                            for c in range(begin, end):
                                out[plane, y, x] += products[plane, a * columns.size + b, r, c]
                                x += stride_w

    return tap_sums


# Elements that one register adds up before the sum goes to the next level.
_BLOCK = 1024


@functools.lru_cache(maxsize=None)
def sum_channels(dtype: Any) -> Any:
    """The kernel out[k] = sum over images and pixels of grad[n, k, pixel]: blocks in one register each, then in order."""
    f = simd.vectors(dtype)
    size, lanes, zeros, load, load_part, add, total = np.dtype(dtype).itemsize, f.lanes, f.zero, f.load, f.load_part, f.add, f.total
    prefetch_read = simd_conv.prefetch_read

    @kernel
    def channel_sums(lo, hi, out, grad, images, length):
        channels, address, together = out.size, grad.ctypes.data, max(1, _BLOCK // length)
        for k in range(lo, hi):
            result = 0.0  # float64: one addition per block costs nothing and keeps long sums exact
            for n in range(0, images, together):
                for first in range(0, length, _BLOCK):
                    last = min(first + _BLOCK, length)
                    whole = first + (last - first) // (2 * lanes) * 2 * lanes
                    a, b = zeros(), zeros()
                    for image in range(n, min(n + together, images)):
                        row = address + (image * channels + k) * length * size
                        for i in range(first, whole, 2 * lanes):
                            if length < _BLOCK // 2:  # short runs: ask for the same channel of the next image
                                prefetch_read(row + (channels * length + i) * size)
                                prefetch_read(row + (channels * length + i + lanes) * size)
                            a = add(a, load(row + i * size))
                            b = add(b, load(row + (i + lanes) * size))
                        if whole < last:
                            a = add(a, load_part(row + whole * size, last - whole))
                            b = add(b, load_part(row + (whole + lanes) * size, last - whole - lanes))
                    result += total(add(a, b))
            out[k] = result

    return channel_sums
