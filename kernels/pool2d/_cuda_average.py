"""Average-pooling on CUDA, as ``_cuda_max``: forward a thread for each output, backward for each input.

A window's sum is made of row sums.  The order of every sum is the CPU's, but for windows that a team of threads shares (``_cuda_teams``).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.elements import narrow, widen
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ._cuda_max import computed
from ._cuda_windows import SHORT, Counting, Pair, covering, share, splitting

# What an element counts: with the padding, without, or a divisor that was given.
WITH_PADDING, WITHOUT_PADDING, GIVEN = 0, 1, 2
# Registers of a thread that divides 64-bit numbers in its loops; with the compiler's own choice it would spill.
_DIVIDING = 96


@functools.lru_cache(maxsize=None)
def _extent(J: Any) -> Any:
    """How many elements a window that begins at ``start`` counts along an axis."""

    @inline
    def extent(start, size, kernel, padding, mode):  # type: ignore[no-untyped-def]
        stop = min(J(start + kernel), J(size + padding))
        if mode == WITHOUT_PADDING:
            start, stop = max(start, J(0)), min(stop, size)
        return J(stop - start)

    return extent


@functools.lru_cache(maxsize=None)
def windows(dtype: np.dtype, count: Counting, fixed: Pair) -> Any:
    """The averages of ``n`` windows.  ``fixed``: the windows' size, if it is small enough to be compiled in; or (0, 0)."""
    T, (I, J) = computed(dtype), count
    read, write, split, extent, zero = widen(dtype), narrow(dtype), splitting(count), _extent(J), T(0)
    fixed_h, fixed_w = fixed
    known = fixed_h > 0

    @kernel(pointer(dtype), pointer(dtype), *[I] * 7, *[J] * 9, T)
    def average_windows(
        y, x, n, rows, rows_m, rows_s, columns, columns_m, columns_s, height, width, kh, kw, sh, sw, ph, pw, mode, divisor
    ):  # fmt: skip
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, oh, ow = split(i, rows, rows_m, rows_s, columns, columns_m, columns_s)
            base = plane * np.int64(height) * np.int64(width)
            top, left = J(oh * sh - ph), J(ow * sw - pw)
            total = zero
            h = top
            for _ in range(fixed_h if known else kh):
                line, w = zero, left
                for _ in range(fixed_w if known else kw):
                    if 0 <= h < height and 0 <= w < width:
                        line += read(x[base + np.int64(J(h * width + w))])
                    w = J(w + J(1))
                total += line
                h = J(h + J(1))
            by = divisor
            if mode != GIVEN:
                by = T(extent(top, height, kh, ph, mode)) * T(extent(left, width, kw, pw, mode))
            y[i] = write(total / by)
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return average_windows


@functools.lru_cache(maxsize=None)
def windows_backward(dtype: np.dtype, count: Counting) -> Any:
    """The gradient of ``windows`` for each of ``n`` inputs: the shares of the windows that reach over it, from the last of a row to its first."""
    T, (I, J) = computed(dtype), count
    read, write, split, covers, extent, zero = widen(dtype), narrow(dtype), splitting(count), covering(count, False), _extent(J), T(0)
    axis = [J, J, J, I, I, I]

    @kernel(pointer(dtype), pointer(dtype), *[I] * 7, *axis, *axis, J, T)
    def average_windows_backward(
        dx, g, n, height, height_m, height_s, width, width_m, width_s,
        ph, rh, rows, sh, sh_m, sh_s, pw, rw, columns, sw, sw_m, sw_s, mode, divisor,
    ):  # fmt: skip
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, h, w = split(i, height, height_m, height_s, width, width_m, width_s)
            top, bottom = covers(h, ph, rh, rows, sh, sh_m, sh_s)
            left, right = covers(w, pw, rw, columns, sw, sw_m, sw_s)
            total = zero
            oh = top
            while oh <= bottom:
                first = (plane * np.int64(rows) + np.int64(oh)) * np.int64(columns)
                high = extent(J(oh * J(sh) - ph), J(height), J(rh + J(1)), ph, mode)
                line, ow = zero, right
                while ow >= left:
                    by = divisor
                    if mode != GIVEN:
                        by = T(high) * T(extent(J(ow * J(sw) - pw), J(width), J(rw + J(1)), pw, mode))
                    line += read(g[first + np.int64(ow)]) / by
                    ow = J(ow - J(1))
                total += line
                oh = J(oh + J(1))
            dx[i] = write(total)
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return average_windows_backward


@functools.lru_cache(maxsize=None)
def adaptive(dtype: np.dtype, count: Counting) -> Any:
    """The averages of ``n`` adaptive windows, a thread for each."""
    T, (I, J) = computed(dtype), count
    read, write, split, extent, zero = widen(dtype), narrow(dtype), splitting(count), share(count), T(0)

    @kernel(pointer(dtype), pointer(dtype), *[I] * 7, J, J)
    def adaptive_average(y, x, n, rows, rows_m, rows_s, columns, columns_m, columns_s, height, width):
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, oh, ow = split(i, rows, rows_m, rows_s, columns, columns_m, columns_s)
            top, bottom = extent(oh, height, rows, rows_m, rows_s)
            left, right = extent(ow, width, columns, columns_m, columns_s)
            base = plane * np.int64(height) * np.int64(width)
            total = zero
            h = top
            while h < bottom:
                line, place = zero, J(h * width + left)
                end = J(h * width + right)
                while place < end:
                    line += read(x[base + np.int64(place)])
                    place = J(place + J(1))
                total += line
                h = J(h + J(1))
            y[i] = write(total / T(J(J(bottom - top) * J(right - left))))
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return adaptive_average


@functools.lru_cache(maxsize=None)
def adaptive_backward(dtype: np.dtype, count: Counting) -> Any:
    """The gradient of ``adaptive`` for each of ``n`` inputs.  An axis is given as inputs find their windows (``covering``), and windows their inputs
    (``share``)."""
    T, (I, J) = computed(dtype), count
    read, write, split, zero = widen(dtype), narrow(dtype), splitting(count), T(0)
    covers, extent = covering(count, True), share(count)

    @kernel(pointer(dtype), pointer(dtype), *[I] * 13, registers=None if count is SHORT else _DIVIDING)
    def adaptive_average_backward(
        dx, g, n, height, height_m, height_s, width, width_m, width_s, rows, rows_m, rows_s, columns, columns_m, columns_s
    ):
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        none = J(0)
        while i < n:
            plane, h, w = split(i, height, height_m, height_s, width, width_m, width_s)
            oh, bottom = covers(h, none, none, J(rows), height, height_m, height_s)
            left, right = covers(w, none, none, J(columns), width, width_m, width_s)
            total = zero
            while oh <= bottom:
                first = (plane * np.int64(rows) + np.int64(oh)) * np.int64(columns)
                start, stop = extent(oh, J(height), rows, rows_m, rows_s)
                ow = left
                while ow <= right:
                    begin, end = extent(ow, J(width), columns, columns_m, columns_s)
                    total += read(g[first + np.int64(ow)]) / T(J(J(stop - start) * J(end - begin)))
                    ow = J(ow + J(1))
                oh = J(oh + J(1))
            dx[i] = write(total)
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return adaptive_average_backward
