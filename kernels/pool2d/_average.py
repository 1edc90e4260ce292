"""Average-pooling kernels, one plane at a time (see ``_max``).

A window's sum is made of row sums, so that large windows keep their digits.  Divisors come as two vectors, one number per output
row and one per output column, whose product divides.
"""

from __future__ import annotations

import numpy as np

from .._cpu import inline, kernel


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


@kernel
def average_windows_backward(lo, hi, dx, grad, heights, widths, kh, kw, sh, sw, ph, pw):
    height, width = dx.shape[1], dx.shape[2]
    for p in range(lo, hi):
        plane = dx[p].reshape(-1)
        for k in range(plane.size):
            plane[k] = 0
        for oh in range(grad.shape[1]):
            g = grad[p, oh]
            top = max(oh * sh - ph, 0)
            bottom = min(oh * sh - ph + kh, height)
            for ow in range(g.size):
                left = max(ow * sw - pw, 0)
                right = min(ow * sw - pw + kw, width)
                share = g[ow] / (heights[oh] * widths[ow])
                for h in range(top, bottom):
                    for k in range(np.uintp(h * width + left), np.uintp(h * width + right)):
                        plane[k] += share


@inline(reassociate=True)
def short_sum(a):
    total = a.dtype.type(0)
    for i in range(a.size):
        total += a[i]
    return total


@kernel
def adaptive_average(lo, hi, y, x):
    height, width = x.shape[1], x.shape[2]
    rows, columns = y.shape[1], y.shape[2]
    for p in range(lo, hi):
        for oh in range(rows):
            top, bottom = oh * height // rows, ((oh + 1) * height + rows - 1) // rows
            for ow in range(columns):
                left, right = ow * width // columns, ((ow + 1) * width + columns - 1) // columns
                total = 0.0  # float64, once per run of up to 512
                for h in range(top, bottom):
                    row = x[p, h, left:right]
                    for start in range(0, row.size, 512):
                        total += short_sum(row[start : start + 512])
                y[p, oh, ow] = total / ((bottom - top) * (right - left))


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
