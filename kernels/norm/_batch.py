"""Batch-norm kernels.

For images, (N, C, S) with S pixels, a unit of work is one channel: its N planes are read for the statistics and again to be
normalised, the second time from the second-level cache.  For (N, C) features a unit is a tile of 64 neighbouring channels, one per vector lane.

Variances are sums of squares about a center near the mean, never E[x²] - E[x]², so a large mean costs no digits; what the center
misses of the mean is subtracted exactly.  Memory bandwidth bounds both.
"""

from __future__ import annotations

import numpy as np

from .._cpu import inline, kernel
from ._sums import row_moments, row_products, row_sum

TILE = 64


@inline
def channel_moments(x, c, center):
    first = 0.0
    second = 0.0
    for n in range(x.shape[0]):
        one, two = row_moments(x[n, c], center)
        first += one
        second += two
    count = x.shape[0] * x.shape[2]
    offset = first / count
    return offset, max(second / count - offset * offset, 0.0) if second == second else second


@kernel
def images(lo, hi, y, mean, rstd, var, x, weight, bias, eps):
    real = x.dtype.type
    for c in range(lo, hi):
        # The first image's mean is a good center unless that image is unlike the others, which shows, and is then mended.
        center = real(row_sum(x[0, c]) / x.shape[2])
        offset, spread = channel_moments(x, c, center)
        if offset * offset > 64.0 * spread:
            center = real(center + offset)
            offset, spread = channel_moments(x, c, center)
        inverse = 1.0 / np.sqrt(spread + eps)
        mean[c] = center + offset
        var[c] = spread
        rstd[c] = inverse
        if weight.size:
            inverse *= weight[c]
        scale = real(inverse)
        shift = real((bias[c] if bias.size else real(0)) - offset * inverse)
        for n in range(x.shape[0]):
            row, out = x[n, c], y[n, c]
            for j in range(out.size):
                out[j] = (row[j] - center) * scale + shift


@kernel
def images_backward(lo, hi, dx, dw, db, g, x, weight, mean, rstd, training):
    real = x.dtype.type
    count = x.shape[0] * x.shape[2]
    for c in range(lo, hi):
        center = mean[c]
        total = 0.0
        product = 0.0
        for n in range(x.shape[0]):
            one, two = row_products(g[n, c], x[n, c], center)
            total += one
            product += two
        db[c] = total
        dw[c] = product * rstd[c]
        scale = rstd[c] * weight[c] if weight.size else rstd[c]
        if training:
            slope = real(-scale * (product / count) * rstd[c] * rstd[c])
            shift = real(-scale * (total / count))
            for n in range(x.shape[0]):
                grad, row, out = g[n, c], x[n, c], dx[n, c]
                for j in range(out.size):
                    out[j] = grad[j] * scale + ((row[j] - center) * slope + shift)
        else:
            for n in range(x.shape[0]):
                grad, out = g[n, c], dx[n, c]
                for j in range(out.size):
                    out[j] = grad[j] * scale


@inline
def collect(total, part):
    """Add the short float32 sums to the float64 ones and start them anew."""
    for i in range(part.size):
        total[i] += part[i]
        part[i] = 0


@kernel
def features(lo, hi, y, mean, rstd, var, part, total, x, weight, bias, eps):
    """``part`` is scratch of (2, C) in x's dtype, ``total`` of (2, C) in float64."""
    rows, channels = x.shape
    for tile in range(lo, hi):
        start, stop = tile * TILE, min(channels, (tile + 1) * TILE)
        center, short, short2 = mean[start:stop], part[0, start:stop], part[1, start:stop]
        first, second = total[0, start:stop], total[1, start:stop]
        for i in range(short.size):
            short[i] = 0
            short2[i] = 0
            first[i] = 0.0
            second[i] = 0.0
        for n in range(rows):
            row = x[n, start:stop]
            for i in range(row.size):
                short[i] += row[i]
            if n % 64 == 63:
                collect(first, short)
        collect(first, short)
        for i in range(center.size):
            center[i] = first[i] / rows
            first[i] = 0.0
        for n in range(rows):
            row = x[n, start:stop]
            for i in range(row.size):
                d = row[i] - center[i]
                short[i] += d
                short2[i] += d * d
            if n % 64 == 63:
                collect(first, short)
                collect(second, short2)
        collect(first, short)
        collect(second, short2)
        for i in range(center.size):
            c = start + i
            offset = first[i] / rows
            spread = max(second[i] / rows - offset * offset, 0.0) if second[i] == second[i] else second[i]
            inverse = 1.0 / np.sqrt(spread + eps)
            var[c] = spread
            rstd[c] = inverse
            if weight.size:
                inverse *= weight[c]
            short[i] = inverse
            short2[i] = (bias[c] if bias.size else 0.0) - offset * inverse
        for n in range(rows):
            row, out = x[n, start:stop], y[n, start:stop]
            for i in range(out.size):
                out[i] = (row[i] - center[i]) * short[i] + short2[i]


@kernel
def features_backward(lo, hi, dx, dw, db, part, total, g, x, weight, mean, rstd, training):
    """``part`` is scratch of (3, C) in x's dtype, ``total`` of (2, C) in float64."""
    rows, channels = x.shape
    for tile in range(lo, hi):
        start, stop = tile * TILE, min(channels, (tile + 1) * TILE)
        center, short, short2, third = mean[start:stop], part[0, start:stop], part[1, start:stop], part[2, start:stop]
        first, second = total[0, start:stop], total[1, start:stop]
        for i in range(short.size):
            short[i] = 0
            short2[i] = 0
            first[i] = 0.0
            second[i] = 0.0
        for n in range(rows):
            row, grad = x[n, start:stop], g[n, start:stop]
            for i in range(row.size):
                short[i] += grad[i]
                short2[i] += grad[i] * (row[i] - center[i])
            if n % 64 == 63:
                collect(first, short)
                collect(second, short2)
        collect(first, short)
        collect(second, short2)
        for i in range(center.size):
            c = start + i
            db[c] = first[i]
            dw[c] = second[i] * rstd[c]
            scale = rstd[c] * weight[c] if weight.size else rstd[c]
            short[i] = scale
            if training:
                short2[i] = -scale * (second[i] / rows) * rstd[c] * rstd[c]
                third[i] = -scale * (first[i] / rows)
            else:
                short2[i] = 0
                third[i] = 0
        for n in range(rows):
            row, grad, out = x[n, start:stop], g[n, start:stop], dx[n, start:stop]
            if training:
                for i in range(out.size):
                    out[i] = grad[i] * short[i] + ((row[i] - center[i]) * short2[i] + third[i])
            else:
                for i in range(out.size):
                    out[i] = grad[i] * short[i]


@kernel
def running(lo, hi, running_mean, running_var, mean, var, momentum, unbias):
    """Exponential averages; ``unbias`` is n / (n - 1)."""
    for c in range(lo, hi):
        running_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * mean[c]
        running_var[c] = (1.0 - momentum) * running_var[c] + momentum * unbias * var[c]


@kernel
def fixed(lo, hi, mean, rstd, scale, running_mean, running_var, weight, eps):
    """The factors of evaluation mode, per channel."""
    for c in range(lo, hi):
        inverse = 1.0 / np.sqrt(running_var[c] + eps)
        mean[c] = running_mean[c]
        rstd[c] = inverse
        scale[c] = inverse * weight[c] if weight.size else inverse


@kernel
def normalize(lo, hi, y, x, mean, scale, bias):
    """Evaluation mode, one sample per unit of work."""
    zero = x.dtype.type(0)
    for n in range(lo, hi):
        if x.shape[2] == 1:
            row, out = x[n, :, 0], y[n, :, 0]
            for c in range(out.size):
                out[c] = (row[c] - mean[c]) * scale[c] + (bias[c] if bias.size else zero)
            continue
        for c in range(x.shape[1]):
            row, out = x[n, c], y[n, c]
            center, factor = mean[c], scale[c]
            shift = bias[c] if bias.size else zero
            for j in range(out.size):
                out[j] = (row[j] - center) * factor + shift
