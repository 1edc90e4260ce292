"""Layer-norm kernels on long rows, (rows, width), four at a time.

Each group of rows is read into the first-level cache once for both its passes: its sums, then the result.  Four rows share every load of
weight and bias, and every load and store of the running sums for their gradients.  After that the traffic between the caches bounds the kernels:
six cycles for a register's worth of x to come and of y to go where all is in the second level, of which the arithmetic fills four.

A row's variance is the sum of squares about a center near its mean, the mean of four of its elements, less what that misses of the mean.  A row which
these four are unlike is summed once more, about its mean.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import address_of, array_from, compiled, inline, kernel, load, simd, simd_norm, store
from .._cpu.simd_norm import GROUP
from ._layer_lanes import BACKWARD, FORWARD


@functools.cache
def row_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The kernels for float32 or float64; their arguments are those of ``_layer_lanes``."""
    real, size = dtype.type, dtype.itemsize
    quarter = real(0.25)
    # On the stack: float64 sums, two per row, then three numbers of each row.
    space = simd.stack_space(GROUP * (2 * 8 + 3 * 8))

    def normalize_rows(rows: int) -> Any:
        moments, normalize = simd_norm.moments(dtype, rows), simd_norm.normalize(dtype, rows)

        @inline
        def forward(start, y, mean, rstd, x, weight, bias, width, eps, sums_at):
            step, share = width * size, 1.0 / width
            source, centers_at = x + start * step, sums_at + 2 * rows * 8
            scales_at, shifts_at = centers_at + rows * size, centers_at + 2 * rows * size
            sums, numbers = array_from(sums_at, 2 * rows, np.float64), array_from(centers_at, 3 * rows, real)
            for r in range(rows):
                row = array_from(source + r * step, width, real)
                numbers[r] = quarter * row[0] + quarter * row[width // 4] + quarter * row[width // 2] + quarter * row[3 * width // 4]
            for attempt in range(2):
                moments(sums_at, source, step, centers_at, width)
                far = False
                for r in range(rows):
                    offset = sums[2 * r] * share
                    spread = sums[2 * r + 1] * share - offset * offset
                    if attempt == 0 and offset * offset > 4.0 * spread:
                        far = True
                        numbers[r] += offset
                    inverse = 1.0 / np.sqrt((spread if spread > 0.0 or spread != spread else 0.0) + eps)
                    store(mean + (start + r) * size, real(numbers[r] + offset))
                    store(rstd + (start + r) * size, real(inverse))
                    numbers[rows + r] = inverse
                    numbers[2 * rows + r] = -offset * inverse
                if not far:
                    break
            normalize(y + start * step, source, step, weight, bias, centers_at, scales_at, shifts_at, width)

        return forward

    def slope_rows(rows: int) -> Any:
        products, slopes = simd_norm.products(dtype, rows), simd_norm.slopes(dtype, rows)

        @inline
        def backward(start, dx, dw, db, g, x, weight, mean, rstd, width, sums_at):
            step, share = width * size, 1.0 / width
            source, grad, centers_at, scales_at = x + start * step, g + start * step, mean + start * size, rstd + start * size
            factors_at = sums_at + 2 * rows * 8
            sums, numbers = array_from(sums_at, 2 * rows, np.float64), array_from(factors_at, 2 * rows, real)
            products(sums_at, grad, source, step, weight, centers_at, width)
            for r in range(rows):
                scale = load(scales_at + r * size, real)
                numbers[r] = -scale * scale * scale * (sums[2 * r + 1] * share)
                numbers[rows + r] = -scale * (sums[2 * r] * share)
            target, shifts_at = dx + start * step, factors_at + rows * size
            slopes(target, dw, db, grad, source, step, weight, centers_at, scales_at, factors_at, shifts_at, width)

        return backward

    forward_group, forward_one = normalize_rows(GROUP), normalize_rows(1)
    backward_group, backward_one = slope_rows(GROUP), slope_rows(1)

    @kernel
    def forward(lo, hi, y, mean, rstd, x, weight, bias, count, width, eps):
        """One unit is a group of rows."""
        y, mean, rstd = address_of(y), address_of(mean), address_of(rstd)
        x, weight, bias = address_of(x), address_of(weight), address_of(bias)
        sums_at = space()
        for group in range(lo, hi):
            start = group * GROUP
            if start + GROUP <= count:
                forward_group(start, y, mean, rstd, x, weight, bias, width, eps, sums_at)
            else:
                for r in range(start, count):
                    forward_one(r, y, mean, rstd, x, weight, bias, width, eps, sums_at)

    @kernel
    def backward(lo, hi, dx, part, g, x, weight, mean, rstd, count, width, block):
        """One unit is a block of ``block`` rows, whose sums for weight and bias go to ``part``, (blocks, 2, width)."""
        dx, part, g, x, weight = address_of(dx), address_of(part), address_of(g), address_of(x), address_of(weight)
        mean, rstd = address_of(mean), address_of(rstd)
        sums_at = space()
        for unit in range(lo, hi):
            r, stop = unit * block, min(count, (unit + 1) * block)
            dw = part + unit * 2 * width * size
            db = dw + width * size
            both = array_from(dw, 2 * width, real)
            for j in range(both.size):
                both[j] = 0
            while r + GROUP <= stop:
                backward_group(r, dx, dw, db, g, x, weight, mean, rstd, width, sums_at)
                r += GROUP
            while r < stop:
                backward_one(r, dx, dw, db, g, x, weight, mean, rstd, width, sums_at)
                r += 1

    return SimpleNamespace(forward=compiled(forward, FORWARD), backward=compiled(backward, BACKWARD), rows=GROUP)
