"""The convolution as it is written down, one tap at a time: for integers, and where nothing is compiled (``NUMBA_DISABLE_JIT``).

``size`` is (channels per group, output channels per group, groups); ``rows`` and ``columns`` hold the offset of each kernel row and column from
the first input row and column of an output.
"""

from __future__ import annotations

from .._cpu import kernel


@kernel
def convolve(lo, hi, out, x, w, bias, size, rows, columns, stride_h, stride_w):
    """out[n, k, r, c] = bias[k] + sum over taps of x · w, one output plane (n, k) at a time, one tap at a time over a row; sums wrap around."""
    channels, per_group, groups = size
    for item in range(lo, hi):
        n, k = item // (per_group * groups), item % (per_group * groups)
        group = k // per_group
        plane = out[n, k]
        for r in range(plane.shape[0]):
            for q in range(plane.shape[1]):
                plane[r, q] = bias[k] if bias.size else 0
        for c in range(channels):
            source = x[n, group * channels + c]
            for a in range(rows.size):
                for b in range(columns.size):
                    weight = w[k, c, a, b]
                    begin = max(0, (-columns[b] + stride_w - 1) // stride_w)
                    end = min(plane.shape[1], (source.shape[1] - columns[b] + stride_w - 1) // stride_w)
                    for r in range(plane.shape[0]):
                        h = r * stride_h + rows[a]
                        if 0 <= h < source.shape[0]:
                            for q in range(begin, end):
                                plane[r, q] += source[h, q * stride_w + columns[b]] * weight


@kernel
def input_gradient(lo, hi, out, grad, w, size, rows, columns, stride_h, stride_w):
    """out[n, i, r·stride + rows[a], c·stride + columns[b]] += grad[n, k, r, c] · w[k, i, a, b], one input plane (n, i) at a time."""
    channels, per_group, groups = size
    for item in range(lo, hi):
        n, i = item // (channels * groups), item % (channels * groups)
        group, plane = i // channels, out[n, i]
        for y in range(plane.shape[0]):
            for x in range(plane.shape[1]):
                plane[y, x] = 0
        for k in range(group * per_group, (group + 1) * per_group):
            for r in range(grad.shape[2]):
                for c in range(grad.shape[3]):
                    for a in range(rows.size):
                        for b in range(columns.size):
                            y, x = r * stride_h + rows[a], c * stride_w + columns[b]
                            if 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]:
                                plane[y, x] += grad[n, k, r, c] * w[k, i % channels, a, b]


@kernel
def weight_gradient(lo, hi, out, grad, x, size, rows, columns, stride_h, stride_w):
    """out[k, i, a, b] = sum over n, r, c of grad[n, k, r, c] · x[n, i, r·stride + rows[a], c·stride + columns[b]], for k of [lo, hi)."""
    channels, per_group, _ = size
    for k in range(lo, hi):
        for i in range(channels):
            source = k // per_group * channels + i
            for a in range(rows.size):
                for b in range(columns.size):
                    total = out.dtype.type(0)
                    for n in range(grad.shape[0]):
                        for r in range(grad.shape[2]):
                            for c in range(grad.shape[3]):
                                h, v = r * stride_h + rows[a], c * stride_w + columns[b]
                                if 0 <= h < x.shape[2] and 0 <= v < x.shape[3]:
                                    total += grad[n, k, r, c] * x[n, source, h, v]
                    out[k, i, a, b] = total


@kernel
def bias_gradient(lo, hi, out, grad):
    """out[k] = sum over n, r, c of grad[n, k, r, c]."""
    for k in range(lo, hi):
        total = 0.0
        for n in range(grad.shape[0]):
            for r in range(grad.shape[2]):
                for c in range(grad.shape[3]):
                    total += grad[n, k, r, c]
        out[k] = total
