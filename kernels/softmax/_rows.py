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
    def cross_entropy(lo, hi, losses, partial, bad, saved, x, target, weight, ignore, smoothing):
        rows, classes = x.shape
        for block in range(lo, hi):
            loss_sum = 0.0
            weight_sum = 0.0
            for r in range(block * BLOCK_ROWS, min(rows, (block + 1) * BLOCK_ROWS)):
                row = x[r]
                top = row_max(row)
                total = row_exp_sum(row, top)
                saved[0, r] = top
                saved[1, r] = total
                t = target[r]
                loss = real(0)
                if t == ignore:
                    pass
                elif t < 0 or t >= classes:
                    bad[0] = 1
                else:
                    w = weight[t] if weight.size else real(1)
                    log_total = real(math.log(total))
                    loss = w * ((top - row[t]) + log_total)
                    if smoothing != real(0):
                        spread = 0.0
                        for j in range(classes):
                            wj = weight[j] if weight.size else real(1)
                            spread += wj * ((top - row[j]) + log_total)
                        loss = (real(1) - smoothing) * loss + smoothing / real(classes) * real(spread)
                    weight_sum += w
                losses[r] = loss
                loss_sum += loss
            partial[block, 0] = loss_sum
            partial[block, 1] = weight_sum

    @kernel
    def cross_entropy_backward(lo, hi, dx, grad, saved, x, target, weight, weight_total, ignore, smoothing):
        classes = x.shape[1]
        each = smoothing / real(classes)
        for r in range(lo, hi):
            row, slope = x[r], dx[r]
            t = target[r]
            if t == ignore or t < 0 or t >= classes:
                for j in range(classes):
                    slope[j] = real(0)
                continue
            g = grad[r] if grad.size > 1 else grad[0]
            top = saved[0, r]
            hit = g * (real(1) - smoothing) * (weight[t] if weight.size else real(1))
            scale = (hit + g * each * weight_total) / saved[1, r]
            for j in range(classes):
                slope[j] = scale * exp(row[j] - top)
            if smoothing != real(0):
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
