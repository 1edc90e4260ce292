"""The kernels around the tiles: packing weights, integer convolution, rejoining strided gradients, the bias gradient."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import kernel, simd


@kernel
def pack_weights(lo, hi, out, w, bias, start, kernel_rows, kernel_columns, groups, channels_out, channels, block, steps):
    """out[g, k // block, tap, k % block] = w[...]: weights in the order in which the tiles read them, zero beyond the last channel.

    The range is over blocks of output channels of all groups; taps are (channel, row, column) over ``kernel_rows`` and ``kernel_columns``;
    ``steps`` are the distances in ``w`` between groups, output channels, input channels, kernel rows and columns.  start[g, k] is the bias.
    """
    zero = w.dtype.type(0)
    rows, columns = kernel_rows.size, kernel_columns.size
    taps = channels * rows * columns
    blocks = (channels_out + block - 1) // block
    for item in range(lo, hi):
        group, first = item // blocks, item % blocks * block
        for i in range(block):
            to, origin = item * block * taps + i, group * steps[0] + (first + i) * steps[1]
            if first + i >= channels_out:
                start[item * block + i] = zero
                for tap in range(taps):
                    out[to + tap * block] = zero
                continue
            start[item * block + i] = bias[group * channels_out + first + i] if bias.size else zero
            for c in range(channels):
                for a in range(rows):
                    source = origin + c * steps[2] + kernel_rows[a] * steps[3]
                    for b in range(columns):
                        out[to] = w[source + kernel_columns[b] * steps[4]]
                        to += block


@kernel
def correlate_integers(lo, hi, out, x, w, bias, size, rows, columns, stride_h, stride_w):
    """out[n, k, r, c] = bias[k] + sum over taps of x · w, one output plane (n, k) at a time, one tap at a time over a row; sums wrap around.

    ``size`` is (channels per group, output channels per group, groups); ``rows`` and ``columns`` hold the offset of each kernel row and
    column from the first input row and column of an output.
    """
    channels, per_group, groups = size
    for item in range(lo, hi):
        n, k = item // (per_group * groups), item % (per_group * groups)
        group = k // per_group
        plane = out[n, k]
        for r in range(plane.shape[0]):
            for q in range(plane.shape[1]):
                plane[r, q] = bias[k] if bias.size else 0
        for c in range(channels):
            source = x[n, group * channels + c]
            for a in range(rows.size):
                for b in range(columns.size):
                    weight = w[k, c, a, b]
                    begin = max(0, (-columns[b] + stride_w - 1) // stride_w)
                    end = min(plane.shape[1], (source.shape[1] - columns[b] + stride_w - 1) // stride_w)
                    for r in range(plane.shape[0]):
                        h = r * stride_h + rows[a]
                        if 0 <= h < source.shape[0]:
                            for q in range(begin, end):
                                plane[r, q] += source[h, q * stride_w + columns[b]] * weight


@kernel
def place_phase(lo, hi, out, phase, first_row, first_column, step_rows, step_columns):
    """out[:, first_row::step_rows, first_column::step_columns] = phase, over planes; zero where ``phase`` has no element to give."""
    zero = out.dtype.type(0)
    for plane in range(lo, hi):
        for r in range(first_row, out.shape[1], step_rows):
            if phase.size:
                for c in range(first_column, out.shape[2], step_columns):
                    out[plane, r, c] = phase[plane, (r - first_row) // step_rows, (c - first_column) // step_columns]
            else:
                for c in range(first_column, out.shape[2], step_columns):
                    out[plane, r, c] = zero


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
