"""The kernels around the tiles: putting input gradients together, the bias gradient."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import kernel, simd, simd_conv


@kernel
def place_phase(lo, hi, out, phase, first_row, first_column, step_rows, step_columns):
    """out[:, first_row::step_rows, first_column::step_columns] = phase, over planes; zero where ``phase`` has no element to give."""
    zero, empty = out.dtype.type(0), phase.size == 0
    for plane in range(lo, hi):
        for row, r in enumerate(range(first_row, out.shape[1], step_rows)):
            for column, c in enumerate(range(first_column, out.shape[2], step_columns)):
                out[plane, r, c] = zero if empty else phase[plane, row, column]


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
    size, lanes, zeros, load_part, add, total = np.dtype(dtype).itemsize, f.lanes, f.zero, f.load_part, f.add, f.total

    @kernel
    def channel_sums(lo, hi, out, grad, images, length):
        channels, address = out.size, grad.ctypes.data
        for k in range(lo, hi):
            result = 0.0  # float64: one addition per block costs nothing and keeps long sums exact
            for n in range(images):
                row = address + (n * channels + k) * length * size
                for first in range(0, length, _BLOCK):
                    a, b = zeros(), zeros()
                    for i in range(first, min(first + _BLOCK, length), 2 * lanes):
                        a = add(a, load_part(row + i * size, length - i))
                        b = add(b, load_part(row + (i + lanes) * size, length - i - lanes))
                    result += total(add(a, b))
            out[k] = result

    return channel_sums
