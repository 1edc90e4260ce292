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
                        spread = 0.0
                        for c in range(classes):
                            spread -= y[o, c, i] * (weight[c] if weight.size else real(1))
                        loss = keep * loss + each * real(spread)
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

    @kernel
    def soft(lo, hi, losses, partial, y, target, weight, smoothing):
        samples, classes, positions = y.shape
        keep, each = real(1.0 - smoothing), real(smoothing / classes)
        for block in range(lo, hi):
            loss_sum = 0.0
            stop = min(samples * positions, (block + 1) * BLOCK)
            for r in range(block * BLOCK, stop):
                o = r // positions
                i = r - o * positions
                loss = 0.0
                for c in range(classes):
                    w = weight[c] if weight.size else real(1)
                    loss -= w * (target[o, c, i] * keep + each) * y[o, c, i]
                losses[r] = loss
                loss_sum += loss
            partial[block, 0] = loss_sum
            partial[block, 1] = stop - block * BLOCK

    @kernel
    def soft_backward(lo, hi, slope, grad, counted, target, weight, smoothing, mean):
        classes, positions = slope.shape[1], slope.shape[2]
        keep, each = real(1.0 - smoothing), real(smoothing / classes)
        for o in range(lo, hi):
            for c in range(classes):
                w = weight[c] if weight.size else real(1)
                row, wanted = slope[o, c], target[o, c]
                for i in range(positions):
                    g = share(grad, counted, o * positions + i, mean)
                    row[i] = -g * w * (wanted[i] * keep + each)

    return SimpleNamespace(nll=nll, nll_backward=nll_backward, soft=soft, soft_backward=soft_backward)
