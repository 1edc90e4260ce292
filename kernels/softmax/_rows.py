"""Softmax kernels along the last axis of a contiguous (rows, width) array.

One row at a time stays in the first-level cache for all its passes (maximum, exponentials, scaling), so memory is read once and
written once; the exponential bounds the speed.  Sums run in blocks of 512 elements, which are added in float64.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np

from .._cpu import inline, kernel
from ._losses import share, total_of
from ._scalar import scalars

# Rows per unit of work where each unit leaves a partial sum: a constant, so that the sum does not depend on the threads.
BLOCK_ROWS = 16


@functools.cache
def row_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The kernels for float32 or float64."""
    scalar = scalars(dtype)
    real, exp, row_max, row_exp_sum = scalar.real, scalar.exp, scalar.row_max, scalar.row_exp_sum

    @kernel(reassociate=True)
    def softmax(lo, hi, y, x):
        for r in range(lo, hi):
            row, out = x[r], y[r]
            top = row_max(row)
            total = 0.0
            for start in range(0, row.size, 512):
                source, target = row[start : start + 512], out[start : start + 512]
                part = real(0)
                for j in range(source.size):
                    e = exp(source[j] - top)
                    target[j] = e
                    part += e
                total += part
            scale = real(1.0 / total)
            for j in range(out.size):
                out[j] *= scale

    @kernel
    def log_softmax(lo, hi, y, x):
        for r in range(lo, hi):
            row, out = x[r], y[r]
            top = row_max(row)
            log_total = real(math.log(row_exp_sum(row, top)))
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
    def softmax_backward(lo, hi, dx, g, y):
        for r in range(lo, hi):
            grad, out, slope = g[r], y[r], dx[r]
            mean = dot(grad, out)
            for j in range(slope.size):
                slope[j] = out[j] * (grad[j] - mean)

    @kernel
    def log_softmax_backward(lo, hi, dx, g, y):
        for r in range(lo, hi):
            grad, out, slope = g[r], y[r], dx[r]
            total = row_sum(grad)
            for j in range(slope.size):
                slope[j] = grad[j] - exp(out[j]) * total

    @kernel
    def cross_entropy(lo, hi, losses, loss, state, partial, saved, x, target, weight, ignore, smoothing, mean):
        """``state`` becomes (an index was out of range, the loss is complete); the latter if one thread did it all.  ``losses`` may be empty."""
        rows, classes = x.shape
        s = real(smoothing)
        for block in range(lo, hi):
            loss_sum = 0.0
            weight_sum = 0.0
            for r in range(block * BLOCK_ROWS, min(rows, (block + 1) * BLOCK_ROWS)):
                row = x[r]
                top = row_max(row)
                total = row_exp_sum(row, top)
                saved[r] = top
                saved[rows + r] = total
                t = target[r]
                each = real(0)
                if t == ignore:
                    pass
                elif t < 0 or t >= classes:
                    state[0] = 1
                else:
                    w = weight[t] if weight.size else real(1)
                    log_total = real(math.log(total))
                    each = w * ((top - row[t]) + log_total)
                    if smoothing != 0.0:
                        spread = 0.0
                        for j in range(classes):
                            wj = weight[j] if weight.size else real(1)
                            spread += wj * ((top - row[j]) + log_total)
                        each = (real(1) - s) * each + s / real(classes) * real(spread)
                    weight_sum += w
                if losses.size:
                    losses[r] = each
                loss_sum += each
            partial[block, 0] = loss_sum
            partial[block, 1] = weight_sum
        if lo == 0 and hi == partial.shape[0]:
            total_of(loss, saved[2 * rows :], partial, mean)
            state[1] = 1

    @kernel
    def cross_entropy_backward(lo, hi, dx, grad, saved, x, target, weight, ignore, smoothing, mean):
        rows, classes = x.shape
        keep, each = real(1.0 - smoothing), real(smoothing / classes)
        weight_total = real(classes)
        if smoothing != 0.0 and weight.size:
            weight_total = row_sum(weight)
        for r in range(lo, hi):
            row, slope = x[r], dx[r]
            t = target[r]
            if t == ignore or t < 0 or t >= classes:
                for j in range(classes):
                    slope[j] = real(0)
                continue
            g = share(grad, saved[2 * rows :], r, mean)
            top = saved[r]
            hit = g * keep * (weight[t] if weight.size else real(1))
            scale = (hit + g * each * weight_total) / saved[rows + r]
            for j in range(classes):
                slope[j] = scale * exp(row[j] - top)
            if smoothing != 0.0:
                for j in range(classes):
                    slope[j] -= g * each * (weight[j] if weight.size else real(1))
            slope[t] -= hit

    return SimpleNamespace(
        softmax=softmax,
        log_softmax=log_softmax,
        softmax_backward=softmax_backward,
        log_softmax_backward=log_softmax_backward,
        cross_entropy=cross_entropy,
        cross_entropy_backward=cross_entropy_backward,
    )
