"""Loss kernels on log-probabilities laid out (samples, classes, positions), any number of positions.

One loss is one read of the class axis at the target (a gather), so these are bound by memory latency, not arithmetic.  A unit of work
is a fixed block of 64 losses that leaves its sums in ``partial``; ``finish`` adds those in order.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from .._cpu import inline, kernel

BLOCK = 64
# Elements that are summed in the arrays' own type before their sum is added in float64.
_SUMMED = 512


@inline
def total_of(loss, counted, partial, mean):
    """Add the blocks' sums, always in the same order: ``loss[0]`` becomes their loss and ``counted[0]`` the weights they counted."""
    losses = 0.0
    weights = 0.0
    for i in range(partial.shape[0]):
        losses += partial[i, 0]
        weights += partial[i, 1]
    loss[0] = losses / np.float64(weights) if mean else losses
    counted[0] = weights


@inline
def share(grad, counted, r, mean):
    """What sample ``r``'s loss is worth: ``grad`` holds one element for all samples or one for each."""
    g = grad[r] if grad.size > 1 else grad[0]
    return g / counted[0] if mean else g


@kernel
def finish(lo, hi, loss, counted, partial, mean):
    for _ in range(lo, hi):
        total_of(loss, counted, partial, mean)


@functools.cache
def loss_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The kernels for float32 or float64."""
    real = dtype.type

    @inline(reassociate=True)
    def weighted_sum(y, o, i, weight):
        """Σ_c weight[c] · y[o, c, i], in blocks."""
        total = 0.0
        for first in range(0, y.shape[1], _SUMMED):
            part = real(0)
            for c in range(first, min(y.shape[1], first + _SUMMED)):
                part += y[o, c, i] * (weight[c] if weight.size else real(1))
            total += part
        return real(total)

    @kernel
    def nll(lo, hi, losses, partial, bad, y, target, weight, ignore, smoothing):
        samples, classes, positions = y.shape
        keep, each = real(1.0 - smoothing), real(smoothing / classes)
        for block in range(lo, hi):
            loss_sum = 0.0
            weight_sum = 0.0
            for r in range(block * BLOCK, min(samples * positions, (block + 1) * BLOCK)):
                o = r // positions
                i = r - o * positions
                t = target[r]
                loss = real(0)
                if t == ignore:
                    pass
                elif t < 0 or t >= classes:
                    bad[0] = 1
                else:
                    w = weight[t] if weight.size else real(1)
                    loss = -w * y[o, t, i]
                    if smoothing != 0.0:
                        loss = keep * loss - each * weighted_sum(y, o, i, weight)
                    weight_sum += w
                losses[r] = loss
                loss_sum += loss
            partial[block, 0] = loss_sum
            partial[block, 1] = weight_sum

    @kernel
    def nll_backward(lo, hi, slope, grad, counted, target, weight, ignore, smoothing, mean):
        classes, positions = slope.shape[1], slope.shape[2]
        keep, each = real(1.0 - smoothing), real(smoothing / classes)
        for o in range(lo, hi):
            for c in range(classes):
                row = slope[o, c]
                for i in range(positions):
                    row[i] = real(0)
            for i in range(positions):
                r = o * positions + i
                t = target[r]
                if t == ignore or t < 0 or t >= classes:
                    continue
                g = share(grad, counted, r, mean)
                if smoothing != 0.0:
                    for c in range(classes):
                        slope[o, c, i] = -g * each * (weight[c] if weight.size else real(1))
                slope[o, t, i] -= g * keep * (weight[t] if weight.size else real(1))

    @inline(reassociate=True)
    def soft_entropy(y, target, o, i, weight, keep, each):
        """-Σ_c weight[c] · (keep · target[o, c, i] + each) · y[o, c, i], in blocks."""
        total = 0.0
        for first in range(0, y.shape[1], _SUMMED):
            part = real(0)
            for c in range(first, min(y.shape[1], first + _SUMMED)):
                part += (weight[c] if weight.size else real(1)) * (target[o, c, i] * keep + each) * y[o, c, i]
            total += part
        return real(-total)

    @kernel
    def soft(lo, hi, losses, partial, y, target, weight, smoothing):
        samples, classes, positions = y.shape
        keep, each = real(1.0 - smoothing), real(smoothing / classes)
        for block in range(lo, hi):
            loss_sum = 0.0
            stop = min(samples * positions, (block + 1) * BLOCK)
            for r in range(block * BLOCK, stop):
                o = r // positions
                losses[r] = soft_entropy(y, target, o, r - o * positions, weight, keep, each)
                loss_sum += losses[r]
            partial[block, 0] = loss_sum
            partial[block, 1] = stop - block * BLOCK

    @kernel
    def soft_backward(lo, hi, slope, grad, counted, target, weight, smoothing, mean):
        samples, classes, positions = slope.shape
        keep, each = real(1.0 - smoothing), real(smoothing / classes)
        divisor, single = counted[0] if mean else real(1), grad.size == 1
        flat_slope, flat_target = slope.reshape(samples * classes * positions), target.reshape(samples * classes * positions)
        for o in range(lo, hi):
            if positions == 1:  # the classes lie in a row
                g = (grad[0] if single else grad[o]) / divisor
                row, wanted = flat_slope[o * classes : (o + 1) * classes], flat_target[o * classes : (o + 1) * classes]
                for c in range(row.size):
                    row[c] = -g * (weight[c] if weight.size else real(1)) * (wanted[c] * keep + each)
                continue
            for c in range(classes):
                w = weight[c] if weight.size else real(1)
                across, wished = slope[o, c], target[o, c]
                if single:
                    g = grad[0] / divisor
                    for i in range(positions):
                        across[i] = -g * w * (wished[i] * keep + each)
                else:
                    each_grad = grad[o * positions : (o + 1) * positions]
                    for i in range(positions):
                        across[i] = -(each_grad[i] / divisor) * w * (wished[i] * keep + each)

    return SimpleNamespace(nll=nll, nll_backward=nll_backward, soft=soft, soft_backward=soft_backward)
