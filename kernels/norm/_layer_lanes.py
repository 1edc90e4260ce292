"""Layer-norm kernels on short rows, (rows, width): 64 rows at a time are turned on their side, so that each row is a vector lane.

A row of eight elements is half a register, and summing it across lanes costs more than the rest.  Turned, every sum is one of whole registers.  A tile
stays in the first-level cache for all its passes; the turning, some shuffles and a load and a store per eight elements, bounds the speed.
These kernels take rows of any length, and run as plain Python as well.

Arrays come as their ids: that spares a small call their unpacking.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from .._cpu import address_of, array_at, array_from, compiled, inline, kernel, load, store
from .._cpu.simd import COMPILED
from .._cpu.transpose import BLOCK, transpose_block
from .._cpu.types import BY_DTYPE, intp, signature

LANES = 64

# y, mean, rstd, x, weight, bias, count, width, eps, and dx, part, g, x, weight, mean, rstd, count, width, block.
FORWARD, BACKWARD = signature(*[intp] * 8, BY_DTYPE[np.dtype(np.float64)]), signature(*[intp] * 10)


@functools.cache
def lane_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The kernels for float32 or float64."""
    real, size = dtype.type, dtype.itemsize
    line = LANES * size

    @inline
    def turned(rows, columns):
        """How many of ``rows`` contiguous rows go as 8 x 8 blocks, which read and write eight elements of each row, however short, but nothing
        behind the last one.  As plain Python a block writes columns, not rows, so there are none."""
        if rows < BLOCK or not COMPILED:
            return 0
        return rows if columns >= BLOCK else ((rows * columns - BLOCK) // columns + 1) // BLOCK * BLOCK

    @inline
    def turn_in(lanes, source, rows, columns):
        """lanes[c, r] = source[r, c]; a block that would end behind the array begins earlier and overlaps the one before."""
        whole = turned(rows, columns)
        for c in range(0, columns, BLOCK):
            column = max(0, min(c, columns - BLOCK))
            for r in range(0, whole, BLOCK):
                row = min(r, rows - BLOCK)
                transpose_block(lanes + column * line + row * size, line, source + (row * columns + column) * size, columns * size, real)
        for r in range(whole, rows):
            for c in range(columns):
                store(lanes + c * line + r * size, load(source + (r * columns + c) * size, real))

    @inline
    def turn_out(target, lanes, rows, columns):
        """target[r, c] = lanes[c, r].  What a block of short rows writes behind a row is overwritten by the next one."""
        whole = turned(rows, columns)
        for r in range(0, whole, BLOCK):
            row = min(r, rows - BLOCK)
            for c in range(0, columns, BLOCK):
                column = max(0, min(c, columns - BLOCK))
                transpose_block(target + (row * columns + column) * size, columns * size, lanes + column * line + row * size, line, real)
        for r in range(whole, rows):
            for c in range(columns):
                store(target + (r * columns + c) * size, load(lanes + c * line + r * size, real))

    @kernel
    def forward(lo, hi, y, mean, rstd, x, weight, bias, count, width, eps):
        """One unit is a tile of rows."""
        x_at, y_at = address_of(x), address_of(y)
        means, scales = array_at(mean, count, real), array_at(rstd, count, real)
        weights, biases = array_at(weight, width, real), array_at(bias, width, real)
        lanes, rows = np.zeros((max(width, BLOCK), LANES), real), np.zeros((4, LANES), real)
        center, first, second, scale = rows[0], rows[1], rows[2], rows[3]
        lanes_at, share, least = np.intp(lanes.ctypes.data), real(1) / real(width), real(eps)
        for tile in range(lo, hi):
            start = tile * LANES
            n = min(LANES, count - start)
            turn_in(lanes_at, x_at + start * width * size, n, width)
            for i in range(LANES):
                center[i] = lanes[0, i]
                first[i] = 0
                second[i] = 0
            for c in range(1, width):
                for i in range(LANES):
                    center[i] += lanes[c, i]
            for i in range(LANES):
                center[i] *= share
            for c in range(width):
                for i in range(LANES):
                    d = lanes[c, i] - center[i]
                    lanes[c, i] = d
                    first[i] += d
                    second[i] += d * d
            for i in range(LANES):
                offset = first[i] * share
                spread = second[i] * share - offset * offset
                inverse = real(1) / np.sqrt((spread if spread > real(0) or spread != spread else real(0)) + least)
                center[i] += offset
                scale[i] = inverse
                first[i] = -offset * inverse
            for i in range(n):
                means[start + i] = center[i]
                scales[start + i] = scale[i]
            for c in range(width):
                factor, addend = weights[c], biases[c]
                for i in range(LANES):
                    lanes[c, i] = (lanes[c, i] * scale[i] + first[i]) * factor + addend
            turn_out(y_at + start * width * size, lanes_at, n, width)

    @kernel(reassociate=True)
    def backward(lo, hi, dx, part, g, x, weight, mean, rstd, count, width, block):
        """One unit is a block of ``block`` rows, whose sums for weight and bias go to ``part``, (blocks, 2, width)."""
        g_at, x_at, dx_at, part_at = address_of(g), address_of(x), address_of(dx), address_of(part)
        means, scales, weights = array_at(mean, count, real), array_at(rstd, count, real), array_at(weight, width, real)
        lanes, grads = np.zeros((max(width, BLOCK), LANES), real), np.zeros((max(width, BLOCK), LANES), real)
        rows = np.zeros((4, LANES), real)
        center, scale, slope, shift = rows[0], rows[1], rows[2], rows[3]
        lanes_at, grads_at, share = np.intp(lanes.ctypes.data), np.intp(grads.ctypes.data), real(1) / real(width)
        for unit in range(lo, hi):
            weight_sums = array_from(part_at + unit * 2 * width * size, width, real)
            bias_sums = array_from(part_at + (unit * 2 + 1) * width * size, width, real)
            for c in range(width):
                weight_sums[c] = 0
                bias_sums[c] = 0
            for start in range(unit * block, min(count, (unit + 1) * block), LANES):
                n = min(LANES, count - start)
                at = start * width * size
                if n < LANES:
                    grads[:] = 0  # lanes without a row add nothing
                turn_in(lanes_at, x_at + at, n, width)
                turn_in(grads_at, g_at + at, n, width)
                for i in range(LANES):
                    slope[i] = 0
                    shift[i] = 0
                for i in range(n):
                    center[i] = means[start + i]
                    scale[i] = scales[start + i]
                for c in range(width):
                    factor = weights[c]
                    for i in range(LANES):
                        d = lanes[c, i] - center[i]
                        lanes[c, i] = d
                        h = grads[c, i] * factor
                        shift[i] += h
                        slope[i] += h * d
                for i in range(LANES):
                    slope[i] *= -scale[i] * scale[i] * scale[i] * share
                    shift[i] *= -scale[i] * share
                for c in range(width):
                    factor = weights[c]
                    dw, db = real(0), real(0)
                    for i in range(LANES):
                        d, grad = lanes[c, i], grads[c, i]
                        h = grad * scale[i]
                        lanes[c, i] = h * factor + (d * slope[i] + shift[i])
                        dw += h * d
                        db += grad
                    weight_sums[c] += dw
                    bias_sums[c] += db
                turn_out(dx_at + at, lanes_at, n, width)

    return SimpleNamespace(forward=compiled(forward, FORWARD), backward=compiled(backward, BACKWARD), rows=LANES)
