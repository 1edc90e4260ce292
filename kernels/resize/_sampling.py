"""Sampling on the CPU: places are worked out in blocks, as elements to read (corners) and their weights, and then used for one channel after the other."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import inline, kernel
from .._cpu.functions import functions_for
from ._places import TAPS, USED, build

# Places that are worked out together: their corners stay in the first-level cache.
BLOCK = 128


@functools.cache
def _placing(dtype: np.dtype, I: Any, mode: str, dims: int) -> Any:
    """``(grid, lo, hi, sizes, border, aligned, index, weights, slopes)``: of places lo to hi of ``grid`` (places, dims), x first, the elements at their
    corners (corners, BLOCK), −1 for none, their weights and, where there is room for them, the derivatives of these by the coordinates (dims, ...)."""
    taps = TAPS[mode]
    deep = taps if dims == 3 else 1
    locate, tap = build(inline, dtype.type, I, functions_for(dtype, USED), mode)

    # Each loop reads and writes few arrays: of more, LLVM would not find out that they are apart, and not make vector code.

    @inline(reassociate=True)
    def product(out, a, b, c, n):
        if dims == 3:
            for j in range(n):
                out[j] = a[j] * b[j] * c[j]
        else:
            for j in range(n):
                out[j] = b[j] * c[j]

    @inline(reassociate=True)
    def place(grid, lo, hi, sizes, border, aligned, index, weights, slopes):
        n, sloped = hi - lo, len(slopes) > 0
        whole, rest, scale = np.empty((dims, BLOCK), dtype), np.empty((dims, BLOCK), dtype), np.empty((dims, BLOCK), dtype)
        # By dimension, z, y, x, and tap
        at, weight, slope = np.empty((3, taps, BLOCK), I), np.empty((3, taps, BLOCK), dtype), np.empty((3, taps, BLOCK), dtype)
        for d in range(dims):
            size, wholes, rests, scales = sizes[d], whole[d], rest[d], scale[d]
            for j in range(n):
                w, r, s = locate(grid[np.uintp(lo + j), d], size, border, aligned)
                wholes[j], rests[j], scales[j] = w, r, s
            for t in range(taps):
                ats, weighted, sloping = at[2 - d, t], weight[2 - d, t], slope[2 - d, t]
                for j in range(n):
                    e, w, s = tap(t, wholes[j], rests[j], size, border, aligned)
                    ats[j], weighted[j] = e, w
                    sloping[j] = s
                for j in range(n):
                    sloping[j] *= scales[j]
        width, height = I(sizes[0]), I(sizes[1])
        for i in range(deep):
            for k in range(taps):
                for m in range(taps):
                    corner = (i * taps + k) * taps + m
                    to, z, y, x = index[corner], at[0, i], at[1, k], at[2, m]
                    if dims == 3:
                        for j in range(n):
                            to[j] = I(I(I(z[j] * height + y[j]) * width) + x[j]) if (z[j] | y[j] | x[j]) >= 0 else I(-1)
                    else:
                        for j in range(n):
                            to[j] = I(I(y[j] * width) + x[j]) if (y[j] | x[j]) >= 0 else I(-1)
                    product(weights[corner], weight[0, i], weight[1, k], weight[2, m], n)
                    if sloped:
                        product(slopes[0, corner], weight[0, i], weight[1, k], slope[2, m], n)
                        product(slopes[1, corner], weight[0, i], slope[1, k], weight[2, m], n)
                        if dims == 3:
                            product(slopes[2, corner], slope[0, i], weight[1, k], weight[2, m], n)

    return place


@functools.cache
def sample_of(dtype: np.dtype, I: Any, mode: str, dims: int) -> Any:
    place, corners, zero = _placing(dtype, I, mode, dims), TAPS[mode] ** dims, dtype.type(0)

    @kernel(reassociate=True, source=f"resize.sample {dtype} {mode} {dims}")
    def sample(lo, hi, y, x, grid, sizes, border, aligned):
        """Blocks lo to hi of ``y`` (N, C, places), of ``x`` (N, C, elements)."""
        index, weights, none = np.empty((corners, BLOCK), I), np.empty((corners, BLOCK), x.dtype), np.empty((0, corners, BLOCK), x.dtype)
        blocks = (y.shape[2] + BLOCK - 1) // BLOCK
        for unit in range(lo, hi):
            n, start = unit // blocks, unit % blocks * BLOCK
            stop = min(start + BLOCK, y.shape[2])
            place(grid[n], start, stop, sizes, border, aligned, index, weights, none)
            for c in range(x.shape[1]):
                line, out = x[n, c], y[n, c, start:stop]
                for j in range(out.size):
                    total = zero
                    for k in range(corners):
                        e = index[k, j]
                        value = line[np.uintp(max(e, I(0)))]
                        total += weights[k, j] * (value if e >= 0 else zero)
                    out[j] = total

    return sample


@functools.cache
def spread_of(dtype: np.dtype, I: Any, mode: str, dims: int) -> Any:
    place, corners, zero = _placing(dtype, I, mode, dims), TAPS[mode] ** dims, dtype.type(0)

    @kernel(source=f"resize.spread {dtype} {mode} {dims}")
    def spread(lo, hi, dx, grad, grid, sizes, border, aligned):
        """The gradients of channels lo to hi of all images, ``dx`` (N, C, elements), from those of the result (N, C, places)."""
        index, weights, none = np.empty((corners, BLOCK), I), np.empty((corners, BLOCK), dx.dtype), np.empty((0, corners, BLOCK), dx.dtype)
        channels, places = grad.shape[1], grad.shape[2]
        for r in range(lo, hi):
            line = dx[r // channels, r % channels]
            for i in range(line.size):
                line[i] = zero
        n, first = lo // channels, lo
        while first < hi:
            last = min(hi, (n + 1) * channels)
            for start in range(0, places, BLOCK):
                stop = min(start + BLOCK, places)
                place(grid[n], start, stop, sizes, border, aligned, index, weights, none)
                for r in range(first, last):
                    line, g = dx[n, r - n * channels], grad[n, r - n * channels, start:stop]
                    for j in range(g.size):
                        for k in range(corners):
                            e = index[k, j]
                            if e >= 0:
                                line[np.uintp(e)] += weights[k, j] * g[j]
            n, first = n + 1, last

    return spread


@functools.cache
def turn_of(dtype: np.dtype, I: Any, mode: str, dims: int) -> Any:
    place, corners, zero = _placing(dtype, I, mode, dims), TAPS[mode] ** dims, dtype.type(0)

    @kernel(reassociate=True, source=f"resize.turn {dtype} {mode} {dims}")
    def turn(lo, hi, turned, grad, x, grid, sizes, border, aligned):
        """Blocks lo to hi of the gradient of ``grid`` (N, places, dims)."""
        index, weights, slopes = (
            np.empty((corners, BLOCK), I),
            np.empty((corners, BLOCK), x.dtype),
            np.empty((dims, corners, BLOCK), x.dtype),
        )
        read = np.empty((corners, BLOCK), x.dtype)  # Σ_c grad · x of each corner
        places = grid.shape[1]
        blocks = (places + BLOCK - 1) // BLOCK
        for unit in range(lo, hi):
            n, start = unit // blocks, unit % blocks * BLOCK
            stop = min(start + BLOCK, places)
            place(grid[n], start, stop, sizes, border, aligned, index, weights, slopes)
            read[:, :] = zero
            for c in range(x.shape[1]):
                line, g = x[n, c], grad[n, c, start:stop]
                for k in range(corners):
                    at, total = index[k], read[k]
                    for j in range(g.size):
                        value = line[np.uintp(max(at[j], I(0)))]
                        total[j] += g[j] * (value if at[j] >= 0 else zero)
            for d in range(dims):
                for j in range(stop - start):
                    total = zero
                    for k in range(corners):
                        total += slopes[d, k, j] * read[k, j]
                    turned[n, start + j, d] = total

    return turn
