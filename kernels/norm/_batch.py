"""Batch-norm kernels.

Images, (N, C, S) with S pixels, are walked as they lie in memory, plane by plane, twice: once for each plane's statistics, once to be written.  A
walk along one channel would find its planes in the second-level cache the second time, but jumps from page to page on the way, where the
processor's prefetching stops; that costs more.  The second walk goes backwards: what the first one has read last is still in a cache.  In
between, the planes' statistics are joined per channel, in float64 and in one order.  For (N, C) features a unit of work is a tile of 64
neighbouring channels, one per vector lane.

Variances are sums of squares about a center near the mean, never E[x²] - E[x]², so a large mean costs no digits; what the center
misses of the mean is subtracted exactly.  Memory bandwidth bounds all of them.
"""

from __future__ import annotations

import numpy as np

from .._cpu import inline, kernel
from ._sums import row_moments, row_products, row_sum

TILE = 64
# Samples per unit of work of a walk over images.
SAMPLES = 4


@kernel
def plane_moments(lo, hi, part, x):
    """part[0, n, c] = the mean of x[n, c], part[1, n, c] = the sum of squares about it."""
    real = x.dtype.type
    samples, channels, size = x.shape
    for block in range(lo, hi):
        start = block * SAMPLES
        for n in range(start, min(samples, start + SAMPLES)):
            for c in range(channels):
                row = x[n, c]
                # The mean of the channel's first plane here is a good center unless this plane is unlike it, which shows, and is then mended.
                center = real(part[0, start, c] if n > start else row_sum(row) / size)
                first, second = row_moments(row, center)
                offset = first / size
                if offset * offset * size > 64.0 * (second - offset * first):
                    center = real(center + offset)
                    first, second = row_moments(row, center)
                    offset = first / size
                part[0, n, c] = center + offset
                part[1, n, c] = second - offset * first


@kernel
def join_moments(lo, hi, mean, rstd, var, factors, part, total, size, weight, bias, eps):
    """Mean and variance per channel, a tile of channels per unit of work, by the formula of Chan, Golub and LeVeque (1979) for groups of equal size.
    ``total`` is scratch of (2, C) in float64, ``factors`` is what ``normalize`` needs."""
    samples, channels = part.shape[1], part.shape[2]
    for tile in range(lo, hi):
        start, stop = tile * TILE, min(channels, (tile + 1) * TILE)
        center, square = total[0, start:stop], total[1, start:stop]
        for i in range(center.size):
            center[i] = 0.0
            square[i] = 0.0
        for n in range(samples):
            one = part[0, n, start:stop]
            for i in range(center.size):
                center[i] += one[i]
        for i in range(center.size):
            center[i] /= samples
        for n in range(samples):
            one, two = part[0, n, start:stop], part[1, n, start:stop]
            for i in range(square.size):
                d = one[i] - center[i]
                square[i] += two[i] + size * (d * d)
        for i in range(center.size):
            c = start + i
            spread = square[i] / (samples * size)
            spread = max(spread, 0.0) if spread == spread else spread
            inverse = 1.0 / np.sqrt(spread + eps)
            mean[c] = center[i]
            var[c] = spread
            rstd[c] = inverse
            if weight.size:
                inverse *= weight[c]
            factors[0, c] = mean[c]
            factors[1, c] = inverse
            factors[2, c] = (bias[c] if bias.size else 0.0) - (center[i] - mean[c]) * inverse  # with what rounding the mean has cut off


@kernel
def plane_products(lo, hi, part, g, x, mean):
    """part[0, n, c] = the sum of g[n, c], part[1, n, c] = that of g * (x - mean)."""
    for n in range(lo, hi):
        for c in range(x.shape[1]):
            part[0, n, c], part[1, n, c] = row_products(g[n, c], x[n, c], mean[c])


@kernel
def join_products(lo, hi, dw, db, factors, part, total, size, weight, rstd, training):
    """The gradients of weight and bias, and what ``plane_slopes`` needs, per channel: dx = g * factors[0] + (x - mean) * factors[1] + factors[2]."""
    samples, channels = part.shape[1], part.shape[2]
    for tile in range(lo, hi):
        start, stop = tile * TILE, min(channels, (tile + 1) * TILE)
        first, second = total[0, start:stop], total[1, start:stop]
        for i in range(first.size):
            first[i] = 0.0
            second[i] = 0.0
        for n in range(samples):
            one, two = part[0, n, start:stop], part[1, n, start:stop]
            for i in range(first.size):
                first[i] += one[i]
                second[i] += two[i]
        count = samples * size
        for i in range(first.size):
            c = start + i
            db[c] = first[i]
            dw[c] = second[i] * rstd[c]
            scale = rstd[c] * weight[c] if weight.size else rstd[c]
            factors[0, c] = scale
            factors[1, c] = -scale * (second[i] / count) * rstd[c] * rstd[c] if training else 0.0
            factors[2, c] = -scale * (first[i] / count) if training else 0.0


@kernel
def plane_slopes(lo, hi, dx, g, x, mean, factors, training):
    last = x.shape[0] - 1
    for unit in range(lo, hi):
        n = last - unit
        for c in range(x.shape[1]):
            grad, row, out = g[n, c], x[n, c], dx[n, c]
            scale, slope, shift, center = factors[0, c], factors[1, c], factors[2, c], mean[c]
            if training:
                for j in range(out.size):
                    out[j] = grad[j] * scale + ((row[j] - center) * slope + shift)
            else:
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
def fixed(lo, hi, mean, rstd, factors, running_mean, running_var, weight, bias, eps):
    """The factors of evaluation mode, per channel."""
    for c in range(lo, hi):
        inverse = 1.0 / np.sqrt(running_var[c] + eps)
        mean[c] = running_mean[c]
        rstd[c] = inverse
        factors[0, c] = running_mean[c]
        factors[1, c] = inverse * weight[c] if weight.size else inverse
        factors[2, c] = bias[c] if bias.size else 0.0


@kernel
def normalize(lo, hi, y, x, factors):
    """(x - factors[0]) * factors[1] + factors[2] per channel, one sample per unit of work."""
    last = x.shape[0] - 1
    for unit in range(lo, hi):
        n = last - unit
        for c in range(x.shape[1]):
            row, out, center, scale, shift = x[n, c], y[n, c], factors[0, c], factors[1, c], factors[2, c]
            for j in range(out.size):
                out[j] = (row[j] - center) * scale + shift


@kernel
def normalize_features(lo, hi, y, x, factors):
    """The same for (N, C) features, where the channels are the lanes."""
    center, scale, shift = factors[0], factors[1], factors[2]
    for n in range(lo, hi):
        row, out = x[n], y[n]
        for c in range(out.size):
            out[c] = (row[c] - center[c]) * scale[c] + shift[c]
