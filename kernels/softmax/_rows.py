"""Softmax kernels along the last axis of a contiguous (rows, width) array.

One row at a time stays in the first-level cache for all its passes (maximum, exponentials, scaling), so memory is read once and
written once; the exponential bounds the speed.  Sums run in blocks of 512 elements, which are added in float64.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import address_of, array_from, compiled, inline, kernel
from .._cpu.types import intp, signature
from ._scalar import scalars

# What one turn of a vectorised loop takes, for any width of the registers.  Of a longer row the rest that fills no turn is not left to scalar code: the
# last turn begins earlier, and does again what the one before has done.
_TURN = 64


@functools.cache
def row_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The kernels for float32 or float64.  They take the ids of their arrays, which spares a small call their unpacking, and the rows' width."""
    scalar, size = scalars(dtype), dtype.itemsize
    real, exp, row_range = scalar.real, scalar.exp, scalar.row_range

    @inline
    def row_of(array, r, width):
        return array_from(array + r * width * size, width, real)

    @inline
    def turns(n):
        """How many of ``n`` elements are not left to the last turn."""
        return n - n % _TURN if n > _TURN else n

    def exponentials(function: Any, keep: bool) -> Any:
        @inline(reassociate=True)
        def run(out, row, top):
            """The sum of exp(row - top), which is written to ``out`` if it is to be kept."""
            n, whole, total = row.size, turns(row.size), 0.0
            for start in range(0, whole, 512):
                stop = min(whole, start + 512)
                source, target = row[start:stop], out[start:stop]
                part = real(0)
                for j in range(source.size):
                    e = function(source[j] - top)
                    if keep:
                        target[j] = e
                    part += e
                total += part
            if whole < n:
                source, target = row[n - _TURN : n], out[n - _TURN : n]
                done = _TURN - (n - whole)
                part = real(0)
                for j in range(_TURN):
                    e = function(source[j] - top)
                    if keep:
                        target[j] = e
                    part += e if j >= done else real(0)
                total += part
            return total

        return run

    any_exponentials, near_exponentials = exponentials(exp, True), exponentials(scalar.near_exp, True)
    any_sum, near_sum = exponentials(exp, False), exponentials(scalar.near_exp, False)

    @kernel(reassociate=True)
    def softmax(lo, hi, y, x, width):
        y, x = address_of(y), address_of(x)
        for r in range(lo, hi):
            row, out = row_of(x, r, width), row_of(y, r, width)
            top, near = row_range(row)
            total = near_exponentials(out, row, top) if near else any_exponentials(out, row, top)
            scale = real(1.0 / total)
            for j in range(out.size):
                out[j] *= scale

    @kernel
    def log_softmax(lo, hi, y, x, width):
        y, x = address_of(y), address_of(x)
        for r in range(lo, hi):
            row, out = row_of(x, r, width), row_of(y, r, width)
            top, near = row_range(row)
            log_total = math.log(real(near_sum(out, row, top) if near else any_sum(out, row, top)))
            for j in range(out.size):
                out[j] = (row[j] - top) - log_total

    @inline(reassociate=True)
    def dot(a, b):
        total = 0.0
        for start in range(0, a.size, 512):
            left, right = a[start : start + 512], b[start : start + 512]
            part = real(0)
            for j in range(left.size):
                part += left[j] * right[j]
            total += part
        return real(total)

    @inline(reassociate=True)
    def row_sum(a):
        total = 0.0
        for start in range(0, a.size, 512):
            block = a[start : start + 512]
            part = real(0)
            for j in range(block.size):
                part += block[j]
            total += part
        return real(total)

    @kernel
    def softmax_backward(lo, hi, dx, g, y, width):
        dx, g, y = address_of(dx), address_of(g), address_of(y)
        for r in range(lo, hi):
            grad, out, slope = row_of(g, r, width), row_of(y, r, width), row_of(dx, r, width)
            mean = dot(grad, out)
            for j in range(slope.size):
                slope[j] = out[j] * (grad[j] - mean)

    @kernel
    def log_softmax_backward(lo, hi, dx, g, y, width):
        dx, g, y = address_of(dx), address_of(g), address_of(y)
        for r in range(lo, hi):
            grad, out, slope = row_of(g, r, width), row_of(y, r, width), row_of(dx, r, width)
            total = row_sum(grad)
            for j in range(slope.size):
                slope[j] = grad[j] - exp(out[j]) * total

    two, three = signature(*[intp] * 3), signature(*[intp] * 4)
    return SimpleNamespace(
        softmax=compiled(softmax, two),
        log_softmax=compiled(log_softmax, two),
        softmax_backward=compiled(softmax_backward, three),
        log_softmax_backward=compiled(log_softmax_backward, three),
    )
