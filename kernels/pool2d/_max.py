"""Max-pooling kernels, one plane at a time.

Floating elements are compared a register of output columns at a time, with the best values and their places so far in registers; 2 x 2
tiles, the usual case, have kernels of their own, bound by memory.  Integers, and windows so far apart that few fit a register, are walked
element by element.  Flat positions in a plane are unsigned, so that Numba adds no code for negative indices.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import inline, kernel
from .._cpu.simd_pool import max_tiles_row, max_window, max_windows_row


@inline
def beats(v, best):
    """PyTorch's order: a NaN replaces whatever came before it, and nothing but a NaN replaces a NaN."""
    return (v > best) | (v != v)


@kernel
def max_windows(lo, hi, values, indices, x, lowest, kh, kw, sh, sw, ph, pw, dh, dw):
    """``lowest`` is what no element is below.  A window starts with it at its first place inside the plane, or at -1 if there is none."""
    height, width = x.shape[1], x.shape[2]
    for p in range(lo, hi):
        plane = x[p].reshape(-1)
        for oh in range(values.shape[1]):
            best_row, at_row = values[p, oh], indices[p, oh]
            top = oh * sh - ph
            bottom = min(top + kh * dh, height)
            while top < 0:
                top += dh
            for ow in range(best_row.size):
                left = ow * sw - pw
                right = min(left + kw * dw, width)
                while left < 0:
                    left += dw
                best = lowest
                at = top * width + left if top < bottom and left < right else -1
                h = top
                while h < bottom:
                    k = h * width + left
                    end = h * width + right
                    while k < end:
                        v = plane[np.uintp(k)]
                        if beats(v, best):
                            best = v
                            at = k
                        k += dw
                    h += dh
                best_row[ow] = best
                at_row[ow] = at


@kernel
def max_tiles(lo, hi, values, indices, x):
    """2 x 2 windows with stride 2, for any type."""
    width = x.shape[2]
    for p in range(lo, hi):
        for oh in range(values.shape[1]):
            best, at = values[p, oh], indices[p, oh]
            upper, lower = x[p, 2 * oh], x[p, 2 * oh + 1]
            base = 2 * oh * width
            for k in range(best.size):
                v = upper[2 * k]
                i = base + 2 * k
                where = i
                u = upper[2 * k + 1]
                wins = beats(u, v)
                v = u if wins else v
                where = i + 1 if wins else where
                u = lower[2 * k]
                wins = beats(u, v)
                v = u if wins else v
                where = i + width if wins else where
                u = lower[2 * k + 1]
                wins = beats(u, v)
                v = u if wins else v
                where = i + width + 1 if wins else where
                best[k] = v
                at[k] = where


@functools.cache
def max_tiles_of(dtype: np.dtype) -> Any:
    """``max_tiles`` for float32 or float64, a register of outputs at a time."""
    row = max_tiles_row(dtype)

    @kernel
    def max_tiles_vector(lo, hi, values, indices, x):
        height, width = x.shape[1], x.shape[2]
        rows, columns = values.shape[1], values.shape[2]
        source, best, at = np.intp(x.ctypes.data), np.intp(values.ctypes.data), np.intp(indices.ctypes.data)
        for p in range(lo, hi):
            for oh in range(rows):
                first = 2 * oh * width
                upper = source + (p * height * width + first) * x.itemsize
                out = (p * rows + oh) * columns
                row(upper, upper + width * x.itemsize, best + out * x.itemsize, at + out * indices.itemsize, first, width, columns)

    return max_tiles_vector


@functools.cache
def max_windows_of(dtype: np.dtype, step: int) -> Any:
    """``max_windows`` for float32 or float64 a register of outputs at a time; ``step``: see ``max_windows_row``."""
    row = max_windows_row(dtype, step)

    @kernel
    def max_windows_vector(lo, hi, values, indices, x, kh, kw, sh, sw, ph, pw, dh, dw):
        height, width = x.shape[1], x.shape[2]
        rows, columns = values.shape[1], values.shape[2]
        source, best, at = np.intp(x.ctypes.data), np.intp(values.ctypes.data), np.intp(indices.ctypes.data)
        for p in range(lo, hi):
            plane = source + p * height * width * x.itemsize
            for oh in range(rows):
                top = oh * sh - ph
                skipped = (dh - 1 - top) // dh if top < 0 else 0
                taps = max(min(kh, (height - 1 - top) // dh + 1) - skipped, 0)
                out = (p * rows + oh) * columns
                to, to_at, first = best + out * x.itemsize, at + out * indices.itemsize, top + skipped * dh
                row(plane, to, to_at, columns, width, sw, -pw, first, taps, dh, kw, dw)

    return max_windows_vector


@functools.cache
def adaptive_max_of(dtype: np.dtype) -> Any:
    """``adaptive_max`` for float32 or float64, a register of a window's columns at a time."""
    window = max_window(dtype)

    @kernel
    def adaptive_max_vector(lo, hi, values, indices, x):
        height, width = x.shape[1], x.shape[2]
        rows, columns = values.shape[1], values.shape[2]
        source, best, at = np.intp(x.ctypes.data), np.intp(values.ctypes.data), np.intp(indices.ctypes.data)
        for p in range(lo, hi):
            for oh in range(rows):
                top, bottom = oh * height // rows, ((oh + 1) * height + rows - 1) // rows
                for ow in range(columns):
                    left, right = ow * width // columns, ((ow + 1) * width + columns - 1) // columns
                    first, out = top * width + left, (p * rows + oh) * columns + ow
                    begin = source + (p * height * width + first) * x.itemsize
                    window(begin, best + out * x.itemsize, at + out * indices.itemsize, bottom - top, right - left, width, first)

    return adaptive_max_vector


@kernel
def adaptive_max(lo, hi, values, indices, x, lowest):
    height, width = x.shape[1], x.shape[2]
    rows, columns = values.shape[1], values.shape[2]
    for p in range(lo, hi):
        plane = x[p].reshape(-1)
        for oh in range(rows):
            top, bottom = oh * height // rows, ((oh + 1) * height + rows - 1) // rows
            for ow in range(columns):
                left, right = ow * width // columns, ((ow + 1) * width + columns - 1) // columns
                best = lowest
                at = top * width + left
                for h in range(top, bottom):
                    for k in range(np.uintp(h * width + left), np.uintp(h * width + right)):
                        wins = beats(plane[k], best)
                        best = plane[k] if wins else best
                        at = np.intp(k) if wins else at
                values[p, oh, ow] = best
                indices[p, oh, ow] = at


@kernel
def scatter(lo, hi, dx, bad, grad, indices):
    """Planes are independent, and within one the outputs are added in order: the same sum on any number of threads."""
    for p in range(lo, hi):
        plane, g, at = dx[p], grad[p], indices[p]
        for k in range(plane.size):
            plane[k] = 0
        for k in range(g.size):
            i = at[k]
            if 0 <= i < plane.size:
                plane[i] += g[k]
            elif i != -1:
                bad[0] = 1


@kernel
def gather(lo, hi, y, bad, x, indices):
    for p in range(lo, hi):
        plane, out, at = x[p], y[p], indices[p]
        for k in range(out.size):
            i = at[k]
            if 0 <= i < plane.size:
                out[k] = plane[i]
            else:
                out[k] = 0
                if i != -1:
                    bad[0] = 1
