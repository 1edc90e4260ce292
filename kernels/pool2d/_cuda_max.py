"""Max-pooling on CUDA.

Forward, a thread finds the maximum of one output's window; windows of 2 x 2 without overlap, the usual case, are read 16 bytes at a time.  Backward, a
thread finds the gradient of one input: it looks through the windows that reach over it, in order, and adds the gradients of those whose maximum it was, so
that the sum is always the same and nothing is written twice.  All are bound by memory bandwidth, of which the 64-bit indices take the greater part.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda import faults
from .._cuda.build import storage
from .._cuda.collectives import WARP
from .._cuda.elements import narrow, quotient, widen
from .._cuda.intrinsics import cuda, inline, shuffle
from .._cuda.lanes import access, registers
from .._cuda.launch import kernel, pointer
from ._cuda_windows import Counting, Pair, covering, share, splitting


def computed(dtype: np.dtype) -> Any:
    """The type that elements of ``dtype`` are compared and added in."""
    return _dtypes.compute_dtype(dtype).type


def lowest(dtype: np.dtype) -> Any:
    """What no element is below."""
    T = computed(dtype)
    return T(-np.inf) if np.dtype(T).kind == "f" else T(np.iinfo(dtype).min)


@functools.lru_cache(maxsize=None)
def windows(dtype: np.dtype, count: Counting, fixed: Pair) -> Any:
    """The maxima of ``n`` windows and their places.  ``fixed``: the windows' size, if it is small enough to be compiled in; or (0, 0)."""
    T, (I, J) = computed(dtype), count
    read, write, split, least = widen(dtype), narrow(dtype), splitting(count), lowest(dtype)
    fixed_h, fixed_w = fixed
    known = fixed_h > 0

    @kernel(pointer(dtype), pointer(np.int64), pointer(dtype), *[I] * 7, *[J] * 10)
    def max_windows(
        values, indices, x, n, rows, rows_m, rows_s, columns, columns_m, columns_s, height, width, kh, kw, sh, sw, ph, pw, dh, dw
    ):  # fmt: skip
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, oh, ow = split(i, rows, rows_m, rows_s, columns, columns_m, columns_s)
            base = plane * np.int64(height) * np.int64(width)
            best, at = least, J(-1)
            h = J(oh * sh - ph)
            for _ in range(fixed_h if known else kh):
                w = J(ow * sw - pw)
                for _ in range(fixed_w if known else kw):
                    if 0 <= h < height and 0 <= w < width:
                        place = J(h * width + w)
                        v = T(read(x[base + place]))
                        if v > best or v != v or at < 0:
                            best, at = v, place
                    w = J(w + dw)
                h = J(h + dh)
            values[i] = write(best)
            indices[i] = np.int64(at)
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return max_windows


@functools.lru_cache(maxsize=None)
def tiles(dtype: np.dtype, lanes: int, count: Counting) -> Any:
    """As ``windows`` for 2 x 2 ones side by side: ``n`` groups of ``lanes`` columns of two rows.  ``across``: the groups of a row."""
    T, (I, J) = computed(dtype), count
    half = lanes // 2
    load, (put, _), (_, take) = access(dtype, lanes)[0], registers(lanes), registers(half)
    store, store_places, split = access(dtype, half)[1], access(np.dtype(np.int64), half)[1], splitting(count)

    @inline
    def better(v, place, best, at):  # type: ignore[no-untyped-def]
        wins = v > best or v != v
        return v if wins else best, place if wins else at

    @kernel(pointer(dtype), pointer(np.int64), pointer(dtype), *[I] * 7, J, J)
    def max_tiles(values, indices, x, n, rows, rows_m, rows_s, across, across_m, across_s, height, width):
        upper = cuda.local.array(lanes, T)
        lower = cuda.local.array(lanes, T)
        found = cuda.local.array(half, T)
        places = cuda.local.array(half, np.int64)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, oh, group = split(i, rows, rows_m, rows_s, across, across_m, across_s)
            first = J(J(oh * width) * J(2) + group * lanes)
            base = np.uint64(plane * np.int64(height) * np.int64(width) + first)
            put(upper, np.uint64(0), load(x, base))
            put(lower, np.uint64(0), load(x, base + np.uint64(width)))
            for k in range(half):
                place = J(first + 2 * k)
                best, at = upper[2 * k], place
                best, at = better(upper[2 * k + 1], J(place + 1), best, at)
                best, at = better(lower[2 * k], J(place + width), best, at)
                best, at = better(lower[2 * k + 1], J(place + width + 1), best, at)
                found[k] = best
                places[k] = at
            out = np.uint64(i) * np.uint64(half)
            store(values, out, take(found, np.uint64(0)))
            store_places(indices, out, take(places, np.uint64(0)))
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return max_tiles


@functools.lru_cache(maxsize=None)
def tiles_backward(dtype: np.dtype, lanes: int, count: Counting) -> Any:
    """The gradient of ``tiles``; what is left of an odd height is zero."""
    T, (I, J) = computed(dtype), count
    half, zero = lanes // 2, T(0)
    load, (put, _), (_, take) = access(dtype, half)[0], registers(half), registers(lanes)
    store, load_places, split = access(dtype, lanes)[1], access(np.dtype(np.int64), half)[0], splitting(count)

    @kernel(pointer(dtype), pointer(dtype), pointer(np.int64), *[I] * 7, J, J)
    def max_tiles_backward(dx, g, indices, n, rows, rows_m, rows_s, across, across_m, across_s, height, width):
        upper = cuda.local.array(lanes, T)
        lower = cuda.local.array(lanes, T)
        grads = cuda.local.array(half, T)
        places = cuda.local.array(half, np.int64)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, oh, group = split(i, rows, rows_m, rows_s, across, across_m, across_s)
            first = J(J(oh * width) * J(2) + group * lanes)
            base = np.uint64(plane * np.int64(height) * np.int64(width) + first)
            at = np.uint64(i) * np.uint64(half)
            put(grads, np.uint64(0), load(g, at))
            put(places, np.uint64(0), load_places(indices, at))
            for k in range(lanes):
                place = J(places[k // 2])  # a plane's places fit
                mine = J(first + k)
                upper[k] = grads[k // 2] if place == mine else zero
                lower[k] = grads[k // 2] if place == J(mine + width) else zero
            store(dx, base, take(upper, np.uint64(0)))
            store(dx, base + np.uint64(width), take(lower, np.uint64(0)))
            if J(oh * J(2)) + 3 == height:
                for k in range(lanes):
                    upper[k] = zero
                store(dx, base + np.uint64(width) * np.uint64(2), take(upper, np.uint64(0)))
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return max_tiles_backward


@functools.lru_cache(maxsize=None)
def windows_backward(dtype: np.dtype, count: Counting, adaptive: bool) -> Any:
    """The gradient of ``windows``, or of adaptive ones, for each of ``n`` inputs."""
    T, (I, J) = computed(dtype), count
    read, write, split, covers, zero = widen(dtype), narrow(dtype), splitting(count), covering(count, adaptive), T(0)
    axis = [J, J, J, I, I, I]

    @kernel(pointer(dtype), pointer(dtype), pointer(np.int64), *[I] * 7, *axis, *axis)
    def max_windows_backward(
        dx, g, indices, n, height, height_m, height_s, width, width_m, width_s,
        ph, rh, rows, sh, sh_m, sh_s, pw, rw, columns, sw, sw_m, sw_s,
    ):  # fmt: skip
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, h, w = split(i, height, height_m, height_s, width, width_m, width_s)
            top, bottom = covers(h, ph, rh, rows, sh, sh_m, sh_s)
            left, right = covers(w, pw, rw, columns, sw, sw_m, sw_s)
            place = np.int64(J(J(h * J(width)) + w))
            total = zero
            oh = top
            while oh <= bottom:
                line = (plane * np.int64(rows) + np.int64(oh)) * np.int64(columns)
                ow = left
                while ow <= right:
                    if indices[line + np.int64(ow)] == place:
                        total = T(total + read(g[line + np.int64(ow)]))
                    ow = J(ow + J(1))
                oh = J(oh + J(1))
            dx[i] = write(total)
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return max_windows_backward


@functools.lru_cache(maxsize=None)
def scatter(dtype: np.dtype) -> Any:
    """dx[indices[o]] += g[o] in each of ``planes`` of zeros, for indices of any origin: a warp takes a plane's outputs in order, 32 at a time, of which
    those that go to one place are added by the first of their lanes, in order.  16-bit floats are added to a float32 ``dx``."""
    T = computed(dtype)
    carried = T if np.dtype(T).kind == "f" else np.int64  # what shuffles take
    read, zero = widen(dtype), carried(0)

    @kernel(pointer(np.dtype(T)), pointer(dtype), pointer(np.int64), *[np.int64] * 3, faults.RECORD, np.int32, bounds=WARP)
    def scatter(dx, g, indices, planes, outputs, size, record, outside):
        lane = np.int64(cuda.threadIdx.x)
        plane = np.int64(cuda.blockIdx.x)
        while plane < planes:
            start = np.int64(0)
            while start < outputs:
                at, value = np.int64(-1), zero
                if start + lane < outputs:
                    at, value = indices[plane * outputs + start + lane], carried(read(g[plane * outputs + start + lane]))
                if at < -1 or at >= size:
                    faults.report(record, outside, at, size, np.int64(0))
                    at = np.int64(-1)
                total = carried(dx[plane * size + at]) if at >= 0 else zero
                first = True
                for k in range(WARP):
                    same = shuffle(at, k) == at
                    theirs = shuffle(value, k)
                    if same:
                        total += theirs
                        first = first and k >= lane
                if at >= 0 and first:
                    dx[plane * size + at] = T(total)
                cuda.syncwarp()
                start += WARP
            plane += np.int64(cuda.gridDim.x)

    return scatter


@functools.lru_cache(maxsize=None)
def gather(dtype: np.dtype, index: Any) -> Any:
    """y[o] = x[indices[o]] in each plane of ``size`` elements; 0 for the index -1."""
    I, divided, none = index, quotient(index), storage(dtype).type(0)

    @kernel(pointer(dtype), pointer(dtype), pointer(np.int64), *[I] * 4, np.int64, faults.RECORD, np.int32)
    def gather(y, x, indices, n, outputs, outputs_m, outputs_s, size, record, outside):
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            at = indices[i]
            value = none
            if 0 <= at < size:
                value = x[np.int64(divided(i, outputs, outputs_m, outputs_s)) * size + at]
            elif at != -1:
                faults.report(record, outside, at, size, np.int64(0))
            y[i] = value
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return gather


@functools.lru_cache(maxsize=None)
def adaptive(dtype: np.dtype, count: Counting) -> Any:
    """The maxima of ``n`` adaptive windows and their places, a thread for each."""
    T, (I, J) = computed(dtype), count
    read, write, split, extent, least = widen(dtype), narrow(dtype), splitting(count), share(count), lowest(dtype)

    @kernel(pointer(dtype), pointer(np.int64), pointer(dtype), *[I] * 7, J, J)
    def adaptive_max(values, indices, x, n, rows, rows_m, rows_s, columns, columns_m, columns_s, height, width):
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            plane, oh, ow = split(i, rows, rows_m, rows_s, columns, columns_m, columns_s)
            h, bottom = extent(oh, height, rows, rows_m, rows_s)
            left, right = extent(ow, width, columns, columns_m, columns_s)
            base = plane * np.int64(height) * np.int64(width)
            best, at = least, J(h * width + left)
            while h < bottom:
                place, end = J(h * width + left), J(h * width + right)
                while place < end:
                    v = T(read(x[base + np.int64(place)]))
                    if v > best or v != v:
                        best, at = v, place
                    place = J(place + J(1))
                h = J(h + J(1))
            values[i] = write(best)
            indices[i] = np.int64(at)
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return adaptive_max
