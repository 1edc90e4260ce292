"""Layer-norm kernels on rows, (rows, width): each row is read into the first-level cache once for all its passes.

Backward sums over rows (for weight and bias) are taken in fixed blocks of 64 rows, then over the blocks in float64, so that they depend neither on
the threads nor on the number of rows.
"""

from __future__ import annotations

import numpy as np

from .._cpu import inline, kernel
from ._sums import row_moments, row_sum

BLOCK = 64
TILE = 64


@kernel
def rows(lo, hi, y, mean, rstd, x, weight, bias, eps):
    real = x.dtype.type
    width = x.shape[1]
    for r in range(lo, hi):
        row, out = x[r], y[r]
        center = real(row_sum(row) / width)
        first, second = row_moments(row, center)
        offset = first / width
        spread = second / width - offset * offset
        inverse = 1.0 / np.sqrt((spread if spread > 0.0 or spread != spread else 0.0) + eps)
        mean[r] = center + offset
        rstd[r] = inverse
        scale, shift = real(inverse), real(-offset * inverse)
        if weight.size and bias.size:
            for j in range(out.size):
                out[j] = ((row[j] - center) * scale + shift) * weight[j] + bias[j]
        else:
            for j in range(out.size):
                out[j] = (row[j] - center) * scale + shift
            if weight.size:
                for j in range(out.size):
                    out[j] *= weight[j]
            if bias.size:
                for j in range(out.size):
                    out[j] += bias[j]


@inline(reassociate=True)
def weighted_products(g, row, weight, center):
    """The sums of h and of h * (row - center), for h = g * weight."""
    first = 0.0
    second = 0.0
    for start in range(0, row.size, 512):
        left, right, factor = g[start : start + 512], row[start : start + 512], weight[start : start + 512]
        part = row.dtype.type(0)
        product = row.dtype.type(0)
        for j in range(left.size):
            h = left[j] * factor[j]
            part += h
            product += h * (right[j] - center)
        first += part
        second += product
    return first, second


@kernel
def rows_backward(lo, hi, dx, part, g, x, weight, mean, rstd):
    """One unit is a block of rows.  ``weight`` is never empty; ``part`` holds (blocks, 2, width) sums for weight and bias, or nothing."""
    real = x.dtype.type
    count, width = x.shape
    for block in range(lo, hi):
        start = block * BLOCK
        if part.size:
            dw, db = part[block, 0], part[block, 1]
            for j in range(width):
                dw[j] = 0
                db[j] = 0
        for r in range(start, min(count, start + BLOCK)):
            row, grad, out = x[r], g[r], dx[r]
            center, scale = mean[r], rstd[r]
            first, second = weighted_products(grad, row, weight, center)
            slope = real(-scale * scale * scale * (second / width))
            shift = real(-scale * (first / width))
            if part.size:
                dw, db = part[block, 0], part[block, 1]
                for j in range(out.size):
                    h, d = grad[j], row[j] - center
                    out[j] = h * weight[j] * scale + (d * slope + shift)
                    dw[j] += h * (d * scale)
                    db[j] += h
            else:
                for j in range(out.size):
                    out[j] = grad[j] * weight[j] * scale + ((row[j] - center) * slope + shift)


@kernel
def gather_blocks(lo, hi, out, part):
    """out[j] = the sum of part[:, j], one tile of columns per unit of work; ``out`` is float64."""
    for tile in range(lo, hi):
        start, stop = tile * TILE, min(out.size, (tile + 1) * TILE)
        total = out[start:stop]
        for i in range(total.size):
            total[i] = 0.0
        for b in range(part.shape[0]):
            row = part[b, start:stop]
            for i in range(total.size):
                total[i] += row[i]
