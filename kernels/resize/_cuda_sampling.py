"""Sampling on CUDA.  A first kernel works out, for each place, the elements at its corners and their weights; the others read these for every channel.

Lists of corners are (corners, places of all images), so that neighbouring threads read neighbours.  Floats are not added by atomics: what belongs to one
element is found by sorting the corners by element, stably, and added in that order, so that results are the same always.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.elements import narrow, quotient, widen
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ._places import TAPS, USED, build


def corners_of(mode: str, dims: int) -> int:
    return TAPS[mode] ** dims


@functools.lru_cache(maxsize=None)
def places(dtype: np.dtype, mode: str, dims: int, sloped: bool) -> Any:
    """Of ``n`` places of ``grid``, with coordinates x, y(, z): the elements at their corners (int64, −1 for none), their weights and, if ``sloped``, the
    derivatives of these by the coordinates (dims, corners, n)."""
    kind = _dtypes.compute_dtype(dtype)
    T: Any = kind.type
    taps, corners, volume = TAPS[mode], corners_of(mode, dims), dims == 3
    deep = taps if volume else 1
    locate, tap = build(inline, T, np.int64, functions_for(kind, USED), mode)
    read, zero, one = widen(dtype), T(0), T(1)

    @kernel(pointer(np.int64), pointer(kind), pointer(kind), pointer(dtype), *[np.int64] * 3, np.int32, np.bool_, np.int64)
    def find_places(index, weights, slopes, grid, width, height, depth, border, aligned, n):
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        p = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while p < n:
            wx, rx, sx = locate(read(grid[p * dims]), width, border, aligned)
            wy, ry, sy = locate(read(grid[p * dims + 1]), height, border, aligned)
            wz, rz, sz = zero, zero, zero
            if volume:
                wz, rz, sz = locate(read(grid[p * dims + 2]), depth, border, aligned)
            at = p
            for i in range(deep):
                z, weight_z, slope_z = np.int64(0), one, zero
                if volume:
                    z, weight_z, slope_z = tap(i, wz, rz, depth, border, aligned)
                for k in range(taps):
                    y, weight_y, slope_y = tap(k, wy, ry, height, border, aligned)
                    for m in range(taps):
                        x, weight_x, slope_x = tap(m, wx, rx, width, border, aligned)
                        index[at] = (z * height + y) * width + x if (z | y | x) >= 0 else np.int64(-1)
                        weights[at] = weight_z * weight_y * weight_x
                        if sloped:
                            slopes[at] = weight_z * weight_y * slope_x * sx
                            slopes[at + corners * n] = weight_z * slope_y * sy * weight_x
                            if volume:
                                slopes[at + 2 * corners * n] = slope_z * sz * weight_y * weight_x
                        at += n
            p += step

    return find_places


@functools.lru_cache(maxsize=None)
def sample(dtype: np.dtype, corners: int, I: Any) -> Any:
    """y[n, c, p] = Σ_k weights[k, n, p] · x[n, c, index[k, n, p]]; ``size``: elements of a channel; ``all_places``: those of all images."""
    kind = _dtypes.compute_dtype(dtype)
    T: Any = kind.type
    read, write, divided, zero = widen(dtype), narrow(dtype), quotient(I), T(0)

    @kernel(pointer(dtype), pointer(dtype), pointer(np.int64), pointer(kind), *[I] * 6, np.int64, np.int64, I)
    def sample_places(y, x, index, weights, places, places_m, places_s, channels, channels_m, channels_s, size, all_places, n):
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            line = divided(i, places, places_m, places_s)
            image = divided(line, channels, channels_m, channels_s)
            at = np.int64(I(i - I(line * places))) + np.int64(image) * np.int64(places)
            base, total = np.int64(line) * size, zero
            for _ in range(corners):
                e = index[at]
                total += weights[at] * (read(x[base + e]) if e >= 0 else zero)
                at += all_places
            y[i] = write(total)
            i = I(i + step)

    return sample_places


@functools.lru_cache(maxsize=None)
def turn(dtype: np.dtype, corners: int, dims: int) -> Any:
    """The gradient of ``grid`` (n places in all, dims): Σ_c grad[c, p] Σ_k slopes[d, k, p] · x[c, index[k, p]]"""
    kind = _dtypes.compute_dtype(dtype)
    T: Any = kind.type
    read, write, zero = widen(dtype), narrow(dtype), T(0)

    @kernel(*[pointer(dtype)] * 3, pointer(np.int64), pointer(kind), *[np.int64] * 4)
    def turn_places(turned, grad, x, index, slopes, places, channels, size, n):
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        p = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while p < n:
            line = p // places * channels
            by_x, by_y, by_z = zero, zero, zero
            at = p
            for _ in range(corners):
                e, along = index[at], zero
                if e >= 0:
                    g_at, x_at = line * places + p % places, line * size + e
                    for _ in range(channels):
                        along += read(grad[g_at]) * read(x[x_at])
                        g_at, x_at = g_at + places, x_at + size
                by_x += slopes[at] * along
                by_y += slopes[at + corners * n] * along
                if dims == 3:
                    by_z += slopes[at + 2 * corners * n] * along
                at += n
            turned[p * dims], turned[p * dims + 1] = write(by_x), write(by_y)
            if dims == 3:
                turned[p * dims + 2] = write(by_z)
            p += step

    return turn_places


# ---- the gradient of what is sampled -----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def number(K: Any, I: Any) -> Any:
    """keys[i]: the element of its image that corner i reads, counted through all images; ``lost`` for none."""
    divided = quotient(I)

    @kernel(pointer(K), pointer(np.int64), *[I] * 6, np.int64, np.int64, I)
    def number_corners(keys, index, all_places, all_m, all_s, places, places_m, places_s, size, lost, n):
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            place = I(i - I(divided(i, all_places, all_m, all_s) * all_places))
            image = divided(place, places, places_m, places_s)
            e = index[i]
            keys[i] = K(np.int64(image) * size + e if e >= 0 else lost)
            i = I(i + step)

    return number_corners


@functools.lru_cache(maxsize=None)
def begin(K: Any) -> Any:
    """starts[e]: where the keys e begin among the sorted ``keys``, for every e up to ``lost``."""

    @kernel(pointer(np.int64), pointer(K), np.int64, np.int64)
    def begin_runs(starts, keys, lost, n):
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i <= n:
            e = np.int64(keys[i - 1]) + 1 if i > 0 else np.int64(0)
            last = np.int64(keys[i]) if i < n else np.int64(lost)
            while e <= last:
                starts[e] = i
                e += 1
            i += step

    return begin_runs


@functools.lru_cache(maxsize=None)
def collect(dtype: np.dtype, P: Any, I: Any) -> Any:
    """dx[n, c, e] = Σ over the corners that read element e of image n, in their order, of weight times grad[n, c, place]"""
    kind = _dtypes.compute_dtype(dtype)
    T: Any = kind.type
    read, write, divided, zero = widen(dtype), narrow(dtype), quotient(I), T(0)

    @kernel(pointer(dtype), pointer(dtype), pointer(np.int64), pointer(P), pointer(kind), *[I] * 6, np.int64, np.int64, I)
    def collect_corners(dx, grad, starts, order, weights, size, size_m, size_s, channels, channels_m, channels_s, places, all_places, n):
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            line = divided(i, size, size_m, size_s)
            image = np.int64(divided(line, channels, channels_m, channels_s))
            e = np.int64(I(i - I(line * size))) + image * np.int64(size)
            base, total = (np.int64(line) - image) * places, zero  # places are counted through all images
            for r in range(starts[e], starts[e + 1]):
                corner = np.int64(order[r])
                total += weights[corner] * read(grad[base + corner % all_places])
            dx[i] = write(total)
            i = I(i + step)

    return collect_corners
