"""Average-pooling kernels, one plane at a time (see ``_max``).

A window's sum is made of row sums, so that large windows keep their digits.  Divisors come as two vectors, one number per output
row and one per output column, whose product divides.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import array_at, compiled, inline, kernel, simd
from .._cpu.intrinsics import address_of
from .._cpu.simd_pool import average_windows_row
from .._cpu.types import intp, signature


@kernel
def average_windows(lo, hi, y, x, heights, widths, kh, kw, sh, sw, ph, pw):
    height, width = x.shape[1], x.shape[2]
    for p in range(lo, hi):
        plane = x[p].reshape(-1)
        for oh in range(y.shape[1]):
            out = y[p, oh]
            top = max(oh * sh - ph, 0)
            bottom = min(oh * sh - ph + kh, height)
            for ow in range(out.size):
                left = max(ow * sw - pw, 0)
                right = min(ow * sw - pw + kw, width)
                total = x.dtype.type(0)
                for h in range(top, bottom):
                    line = x.dtype.type(0)
                    for k in range(np.uintp(h * width + left), np.uintp(h * width + right)):
                        line += plane[k]
                    total += line
                out[ow] = total / (heights[oh] * widths[ow])


@functools.cache
def average_windows_of(dtype: np.dtype, step: int) -> Any:
    """``average_windows`` for a column stride of ``step``, 1 or 2, a register of outputs at a time."""
    row = average_windows_row(dtype, step)

    @kernel
    def average_windows_vector(lo, hi, y, x, heights, widths, kh, kw, sh, sw, ph, pw):
        height, width = x.shape[1], x.shape[2]
        rows, columns = y.shape[1], y.shape[2]
        source, target = np.intp(x.ctypes.data), np.intp(y.ctypes.data)
        divisors, more = np.intp(heights.ctypes.data), np.intp(widths.ctypes.data)
        for p in range(lo, hi):
            plane = source + p * height * width * x.itemsize
            for oh in range(rows):
                top, bottom = max(oh * sh - ph, 0), min(oh * sh - ph + kh, height)
                out = target + (p * rows + oh) * columns * x.itemsize
                row(plane, out, columns, width, sw, -pw, top, bottom - top, kw, divisors + oh * x.itemsize, more)

    return average_windows_vector


@kernel
def average_windows_backward(lo, hi, dx, grad, heights, widths, covering, kh, sh, ph):
    """Each output row's shares are spread over the columns once, then added to the rows of its windows.

    ``covering[j, column]`` are the windows that a column belongs to; the number of windows where there are fewer.
    """
    height, width, terms, windows = dx.shape[1], dx.shape[2], covering.shape[0], grad.shape[2]
    shares, spread = np.empty(windows + 1, dx.dtype), np.empty(width, dx.dtype)
    shares[windows] = 0
    for p in range(lo, hi):
        plane = dx[p].reshape(-1)
        for k in range(plane.size):
            plane[k] = 0
        for oh in range(grad.shape[1]):
            g = grad[p, oh]
            for ow in range(windows):
                shares[ow] = g[ow] / (heights[oh] * widths[ow])
            for w in range(width):
                spread[w] = shares[covering[0, w]]
            for j in range(1, terms):
                places = covering[j]
                for w in range(width):
                    spread[w] += shares[places[w]]
            for h in range(max(oh * sh - ph, 0), min(oh * sh - ph + kh, height)):
                for w in range(width):
                    plane[np.uintp(h * width + w)] += spread[w]


@inline(reassociate=True)
def short_sum(a):
    total = a.dtype.type(0)
    for i in range(a.size):
        total += a[i]
    return total


# Elements that one register adds up before the sum goes to the next level.
_BLOCK = 1024


@functools.cache
def average_planes_of(dtype: np.dtype) -> Any:
    """The mean of each plane, for float32 or float64: lanes over a plane's elements, four sums at a time, since an addition takes four times
    as long as a load."""
    f = simd.vectors(dtype.type)  # type: ignore[arg-type]
    lanes, zero, load, load_part, add, lane_total = f.lanes, f.zero, f.load, f.load_part, f.add, f.total
    size, four = dtype.itemsize, 4 * lanes
    step = lanes * size

    @kernel(source=f"pool2d.average of planes, {dtype}")
    def average_planes(lo, hi, y_id, x_id, length):
        source, out = address_of(x_id), array_at(y_id, hi, dtype.type)
        for p in range(lo, hi):
            total = 0.0  # float64, once per block
            at = source + p * length * size
            left = length
            while left > 0:
                n = min(left, _BLOCK)
                left -= n
                a, b, c, d = zero(), zero(), zero(), zero()
                for _ in range(n // four):
                    a, b = add(a, load(at)), add(b, load(at + step))
                    c, d = add(c, load(at + 2 * step)), add(d, load(at + 3 * step))
                    at += 4 * step
                rest = n % four
                while rest >= lanes:
                    a = add(a, load(at))
                    at += step
                    rest -= lanes
                b = add(b, load_part(at, rest))
                at += rest * size
                total += lane_total(add(add(a, b), add(c, d)))
            out[p] = total / length

    return compiled(average_planes, signature(*[intp] * 3))


@kernel
def adaptive_average(lo, hi, y, x):
    height, width = x.shape[1], x.shape[2]
    rows, columns = y.shape[1], y.shape[2]
    for p in range(lo, hi):
        plane, out = x[p].reshape(-1), y[p].reshape(-1)
        for oh in range(rows):
            top, bottom = oh * height // rows, ((oh + 1) * height + rows - 1) // rows
            for ow in range(columns):
                left, right = ow * width // columns, ((ow + 1) * width + columns - 1) // columns
                total = 0.0  # float64, once per run of up to 512
                for h in range(top, bottom):
                    if right - left < 32:
                        line = x.dtype.type(0)
                        for k in range(np.uintp(h * width + left), np.uintp(h * width + right)):
                            line += plane[k]
                        total += line
                        continue
                    row = x[p, h, left:right]
                    for start in range(0, row.size, 512):
                        total += short_sum(row[start : start + 512])
                out[np.uintp(oh * columns + ow)] = total / ((bottom - top) * (right - left))


@kernel
def adaptive_average_backward(lo, hi, dx, grad):
    height, width = dx.shape[1], dx.shape[2]
    rows, columns = grad.shape[1], grad.shape[2]
    for p in range(lo, hi):
        for h in range(height):
            row = dx[p, h]
            for w in range(width):
                row[w] = 0
        for oh in range(rows):
            top, bottom = oh * height // rows, ((oh + 1) * height + rows - 1) // rows
            for ow in range(columns):
                left, right = ow * width // columns, ((ow + 1) * width + columns - 1) // columns
                share = grad[p, oh, ow] / grad.dtype.type((bottom - top) * (right - left))
                for h in range(top, bottom):
                    row = dx[p, h, left:right]
                    for w in range(row.size):
                        row[w] += share
