"""Sums along a contiguous row, in blocks of 512 elements added up in float64: short enough to be exact to the last digits, long enough
that the float64 additions cost nothing; and the sum of such sums over the rows."""

from __future__ import annotations

import numpy as np

from .._cpu import inline, kernel

# Columns per unit of work where each is summed.
TILE = 64


@inline(reassociate=True)
def row_sum(row):
    total = 0.0
    for start in range(0, row.size, 512):
        block = row[start : start + 512]
        part = row.dtype.type(0)
        for j in range(block.size):
            part += block[j]
        total += part
    return total


@inline(reassociate=True)
def row_moments(row, center):
    """The sums of d and of d * d, for d = row - center."""
    first = 0.0
    second = 0.0
    for start in range(0, row.size, 512):
        block = row[start : start + 512]
        part = row.dtype.type(0)
        square = row.dtype.type(0)
        for j in range(block.size):
            d = block[j] - center
            part += d
            square += d * d
        first += part
        second += square
    return first, second


@inline(reassociate=True)
def row_products(g, row, center):
    """The sums of g and of g * (row - center)."""
    first = 0.0
    second = 0.0
    for start in range(0, row.size, 512):
        left, right = g[start : start + 512], row[start : start + 512]
        part = row.dtype.type(0)
        product = row.dtype.type(0)
        for j in range(left.size):
            part += left[j]
            product += left[j] * (right[j] - center)
        first += part
        second += product
    return first, second


@kernel
def add_blocks(lo, hi, out, part):
    """out[j] = the sum of part[:, j], in float64, one tile of columns per unit of work."""
    total = np.empty(TILE, np.float64)
    for tile in range(lo, hi):
        start, stop = tile * TILE, min(out.size, (tile + 1) * TILE)
        for i in range(TILE):
            total[i] = 0.0
        for b in range(part.shape[0]):
            row = part[b, start:stop]
            for i in range(row.size):
                total[i] += row[i]
        target = out[start:stop]
        for i in range(target.size):
            target[i] = total[i]
