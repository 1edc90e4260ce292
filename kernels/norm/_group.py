"""Group-norm kernels: (N · G, K, S), the K channels of S pixels of a sample's group being normalised together.

A group lies in one run of memory.  Its statistics are those of a row; then each of its planes is written with a factor and an offset of its own.  The
group is still in a cache by then, as a rule; memory bandwidth bounds the kernels.
"""

from __future__ import annotations

import numpy as np

from .._cpu import inline, kernel
from ._sums import row_moments, row_products, row_sum

# The elements whose mean is taken for the center of all.
_FEW = 512


@inline
def _statistics(row):
    """Mean and variance, the variance about a center near the mean, less what that misses of it."""
    few = row[:_FEW]
    center = row.dtype.type(row_sum(few) / few.size)
    first, second = row_moments(row, center)
    offset = first / row.size
    if offset * offset * row.size > 4.0 * (second - offset * first):  # a row unlike its beginning
        center = row.dtype.type(center + offset)
        first, second = row_moments(row, center)
        offset = first / row.size
    spread = second / row.size - offset * offset
    return center + offset, spread if spread > 0.0 or spread != spread else 0.0


@kernel
def normalize(lo, hi, y, mean, rstd, x, weight, bias, eps):
    """One unit is a group; weight and bias are (G · K,), or empty."""
    real = x.dtype.type
    channels, size = x.shape[1:]
    for n in range(lo, hi):
        center, spread = _statistics(x[n].reshape(channels * size))
        inverse = 1.0 / np.sqrt(spread + eps)
        mean[n] = center
        rstd[n] = inverse
        for c in range(channels):
            source, target = x[n, c], y[n, c]
            factor = inverse
            if weight.size:
                factor *= weight[(n * channels + c) % weight.size]
            offset = -center * factor
            if bias.size:
                offset += bias[(n * channels + c) % bias.size]
            scale, shift = real(factor), real(offset)
            for i in range(size):
                target[i] = source[i] * scale + shift


@kernel
def slopes(lo, hi, dx, part, g, x, mean, rstd, weight):
    """One unit is a group.  ``part``, (N, 2 · G · K), gets each plane's share of the gradients of weight, and behind these of bias."""
    real = x.dtype.type
    channels, size = x.shape[1:]
    width = part.shape[1] // 2
    for n in range(lo, hi):
        sample, before = n * channels // width, n * channels % width
        shares = part[sample]
        center, inverse = mean[n], np.float64(rstd[n])
        first, second = 0.0, 0.0
        for c in range(channels):
            total, product = row_products(g[n, c], x[n, c], center)
            shares[before + c] = product * inverse
            shares[width + before + c] = total
            factor = weight[before + c] if weight.size else real(1)
            first += total * factor
            second += product * factor
        share = 1.0 / (channels * size)
        slope = real(-inverse * inverse * inverse * second * share)
        shift = real(-inverse * first * share)
        for c in range(channels):
            grad, source, target = g[n, c], x[n, c], dx[n, c]
            scale = real(inverse * weight[before + c]) if weight.size else real(inverse)
            for i in range(size):
                target[i] = grad[i] * scale + ((source[i] - center) * slope + shift)
