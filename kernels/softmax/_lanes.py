"""Softmax kernels along a middle axis of a contiguous (outer, width, inner) array, for inner of a vector's width or more.

A tile is up to 1024 neighbouring columns of one outer slice: each pass walks the axis with the columns as vector lanes, so every
load is contiguous and nothing is transposed.  A page of a row at a time is what the processor's prefetching wants; the second pass finds a tile
of up to a few hundred rows in the second-level cache.  Per-column maxima and sums live in scratch rows (one element per column) that stay in
the first-level cache.  Sums over the axis run in blocks of 64, so that a long axis loses no more than two short sums do.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np

from .._cpu import inline, kernel
from ._scalar import scalars

TILE = 1024


@functools.cache
def lane_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The kernels for float32 or float64.  Each runs over outer * ceil(inner / TILE) tiles; ``top``, ``total``, ``part`` are (outer, inner)."""
    scalar = scalars(dtype)
    real, exp = scalar.real, scalar.exp

    @inline
    def maxima(top, x, outer, start, stop):
        best = top[outer, start:stop]
        first = x[outer, 0, start:stop]
        for i in range(best.size):
            best[i] = first[i]
        for c in range(1, x.shape[1]):
            row = x[outer, c, start:stop]
            for i in range(best.size):
                best[i] = row[i] if row[i] > best[i] else best[i]

    @inline
    def clear(a):
        for i in range(a.size):
            a[i] = real(0)

    @inline
    def collect(total, part):
        for i in range(total.size):
            total[i] += part[i]
            part[i] = real(0)

    @kernel
    def softmax(lo, hi, y, top, total, part, x):
        inner = x.shape[2]
        tiles = (inner + TILE - 1) // TILE
        for tile in range(lo, hi):
            o = tile // tiles
            start = (tile - o * tiles) * TILE
            stop = min(inner, start + TILE)
            maxima(top, x, o, start, stop)
            peak, sums, short = top[o, start:stop], total[o, start:stop], part[o, start:stop]
            clear(sums)
            clear(short)
            for c in range(x.shape[1]):
                row, out = x[o, c, start:stop], y[o, c, start:stop]
                for i in range(row.size):
                    e = exp(row[i] - peak[i])
                    out[i] = e
                    short[i] += e
                if c % 64 == 63:
                    collect(sums, short)
            collect(sums, short)
            for i in range(sums.size):
                sums[i] = real(1) / sums[i]
            for c in range(x.shape[1]):
                out = y[o, c, start:stop]
                for i in range(out.size):
                    out[i] *= sums[i]

    @kernel
    def log_softmax(lo, hi, y, top, total, part, x):
        inner = x.shape[2]
        tiles = (inner + TILE - 1) // TILE
        for tile in range(lo, hi):
            o = tile // tiles
            start = (tile - o * tiles) * TILE
            stop = min(inner, start + TILE)
            maxima(top, x, o, start, stop)
            peak, sums, short = top[o, start:stop], total[o, start:stop], part[o, start:stop]
            clear(sums)
            clear(short)
            for c in range(x.shape[1]):
                row = x[o, c, start:stop]
                for i in range(row.size):
                    short[i] += exp(row[i] - peak[i])
                if c % 64 == 63:
                    collect(sums, short)
            collect(sums, short)
            for i in range(sums.size):
                sums[i] = math.log(sums[i])
            for c in range(x.shape[1]):
                row, out = x[o, c, start:stop], y[o, c, start:stop]
                for i in range(out.size):
                    out[i] = (row[i] - peak[i]) - sums[i]

    @kernel
    def softmax_backward(lo, hi, dx, total, part, g, y):
        inner = y.shape[2]
        tiles = (inner + TILE - 1) // TILE
        for tile in range(lo, hi):
            o = tile // tiles
            start = (tile - o * tiles) * TILE
            stop = min(inner, start + TILE)
            sums, short = total[o, start:stop], part[o, start:stop]
            clear(sums)
            clear(short)
            for c in range(y.shape[1]):
                grad, out = g[o, c, start:stop], y[o, c, start:stop]
                for i in range(out.size):
                    short[i] += grad[i] * out[i]
                if c % 64 == 63:
                    collect(sums, short)
            collect(sums, short)
            for c in range(y.shape[1]):
                grad, out, slope = g[o, c, start:stop], y[o, c, start:stop], dx[o, c, start:stop]
                for i in range(out.size):
                    slope[i] = out[i] * (grad[i] - sums[i])

    @kernel
    def log_softmax_backward(lo, hi, dx, total, part, g, y):
        inner = y.shape[2]
        tiles = (inner + TILE - 1) // TILE
        for tile in range(lo, hi):
            o = tile // tiles
            start = (tile - o * tiles) * TILE
            stop = min(inner, start + TILE)
            sums, short = total[o, start:stop], part[o, start:stop]
            clear(sums)
            clear(short)
            for c in range(y.shape[1]):
                grad = g[o, c, start:stop]
                for i in range(grad.size):
                    short[i] += grad[i]
                if c % 64 == 63:
                    collect(sums, short)
            collect(sums, short)
            for c in range(y.shape[1]):
                grad, out, slope = g[o, c, start:stop], y[o, c, start:stop], dx[o, c, start:stop]
                for i in range(out.size):
                    slope[i] = grad[i] - exp(out[i]) * sums[i]

    return SimpleNamespace(
        softmax=softmax, log_softmax=log_softmax, softmax_backward=softmax_backward, log_softmax_backward=log_softmax_backward
    )
