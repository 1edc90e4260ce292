"""Batch norm on CUDA: sums per channel in two stages, and one pass that writes the result.  Memory bandwidth bounds all of it.

Arrays are (samples, channels, positions).  In the first stage a channel is cut into slices of its vectors, as many as keep the device busy, a block each;
for (samples, channels) features neighbouring threads have neighbouring channels, and a slice is a run of rows of one thread.  In the second stage a warp
puts a channel's slices together and makes the factors of the last pass of them.  Slices depend on the shape alone, so results always are the same.

Mean and variance of a slice: each thread merges the moments of one vector after the other into its own (T. Chan, G. Golub, R. LeVeque, "Updating
formulae and a pairwise algorithm for computing sample variances", 1979), and the sums of squares of threads and of slices are brought to one center near
the mean.  All a slice's numbers count from its first element, so that a large mean costs no digits.

Indices are of 32 bits where they fit; division is multiplication there.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda import lanes as vectors
from .._cuda.collectives import WARP, add, block_fold, team, warp_fold
from .._cuda.elements import quotient
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ._cuda_layer import finisher

THREADS = team(256)
ACROSS, DOWN = WARP, THREADS // WARP  # a block on features: channels, and slices
CHANNELS = THREADS // WARP  # of a block that joins slices


@functools.lru_cache(maxsize=None)
def indexing(wide: bool) -> tuple[Any, Any]:
    """The type of indices, and the function that divides them: the quotient and the remainder."""
    I: Any = np.uint64 if wide else np.uint32
    divide = quotient(I)

    @inline
    def split(n, by, multiplier, shift):  # type: ignore[no-untyped-def]
        found = divide(n, by, multiplier, shift)
        return found, I(n - I(found * by))

    return I, split


@functools.lru_cache(maxsize=None)
def _merging(real: Any, lanes: int) -> Any:
    """The moments of x - origin (vectors seen, their mean, the sum of squares about it) with those of one more vector."""
    one, each = real(1), real(lanes)
    share = real(1 / lanes)

    @inline
    def minus(x, center):  # type: ignore[no-untyped-def]
        return x - center

    @inline
    def square(d):  # type: ignore[no-untyped-def]
        return d * d

    subtract, squares = vectors.mapped(minus, lanes, 1, scalars=1), vectors.mapped(square, lanes, 1)
    total_of = vectors.summed(lanes, real)

    @inline
    def merge(seen, mean, spread, values, origin):  # type: ignore[no-untyped-def]
        values = subtract(values, origin)
        center = total_of(values) * share
        within = total_of(squares(subtract(values, center)))
        now = seen + one
        part = one / now
        d = center - mean
        return now, mean + d * part, spread + (within + d * d * (seen * part * each))

    return merge


@functools.lru_cache(maxsize=None)
def moments(dtype: np.dtype, lanes: int, wide: bool) -> Any:
    """Of each slice its first element, the mean of x less that, and the sum of squares about the mean, into ``part``, (3, channels, slices)."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    I, split = indexing(wide)
    zero, one, each = real(0), real(1), real(lanes)
    load, _ = vectors.access(dtype, lanes)
    load_one, _ = vectors.access(dtype, 1)
    merge, fold = _merging(real, lanes), block_fold(add(real), real, THREADS)

    @kernel(pointer(kind), pointer(dtype), *[I] * 7, bounds=THREADS)
    def batch_norm_moments(part, x, channels, groups, multiplier, shift, units, per, slices):  # type: ignore[no-untyped-def]
        """``groups``: vectors of a plane; ``units``: of a channel; ``per``: of a slice."""
        block = np.uint32(cuda.blockIdx.x)
        channel = I(block // np.uint32(slices))
        first = I(I(block % np.uint32(slices)) * per)
        stop = min(I(first + per), units)
        sample, group = split(first, groups, multiplier, shift)
        plane = I(I(sample * channels) + channel)
        origin = load_one(x, (np.uint64(plane) * np.uint64(groups) + np.uint64(group)) * np.uint64(lanes))[0]
        seen, mean, spread = zero, zero, zero
        unit = I(first + I(cuda.threadIdx.x))
        while unit < stop:
            sample, group = split(unit, groups, multiplier, shift)
            plane = I(I(sample * channels) + channel)
            at = (np.uint64(plane) * np.uint64(groups) + np.uint64(group)) * np.uint64(lanes)
            seen, mean, spread = merge(seen, mean, spread, load(x, at), origin)
            unit = I(unit + I(THREADS))
        share = one / real(I(stop - first))
        center = fold(seen * mean) * share
        d = mean - center if seen > zero else zero
        offset = fold(seen * d) * share
        square = fold(spread + each * seen * d * d)
        if cuda.threadIdx.x == 0:
            size = np.uint64(channels) * np.uint64(slices)
            part[np.uint64(block)] = origin
            part[size + np.uint64(block)] = center + offset
            part[size + size + np.uint64(block)] = square - real(I(stop - first)) * each * offset * offset

    return batch_norm_moments


@functools.lru_cache(maxsize=None)
def feature_moments(dtype: np.dtype) -> Any:
    """The same of ``rows`` rows of features, whose slices are ``per`` rows."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero = real(0)
    load, _ = vectors.access(dtype, 1)
    merge = _merging(real, 1)

    @kernel(pointer(kind), pointer(dtype), *[np.uint64] * 4, bounds=THREADS)
    def batch_norm_feature_moments(part, x, channels, rows, per, slices):  # type: ignore[no-untyped-def]
        channel = np.uint64(cuda.blockIdx.x) * np.uint64(ACROSS) + np.uint64(cuda.threadIdx.x)
        slice_ = np.uint64(cuda.blockIdx.y) * np.uint64(DOWN) + np.uint64(cuda.threadIdx.y)
        if channel >= channels or slice_ >= slices:
            return
        row, stop = slice_ * per, min(rows, (slice_ + np.uint64(1)) * per)
        seen, mean, spread, origin = zero, zero, zero, load(x, row * channels + channel)[0]
        while row < stop:
            seen, mean, spread = merge(seen, mean, spread, load(x, row * channels + channel), origin)
            row += np.uint64(1)
        at, size = channel * slices + slice_, channels * slices
        part[at] = origin
        part[size + at] = mean
        part[size + size + at] = spread

    return batch_norm_feature_moments


@functools.lru_cache(maxsize=None)
def join_moments(kind: np.dtype, weighs: bool, shifts: bool, tracked: bool) -> Any:
    """Mean and rstd of each channel, the factors of ``normalize``, and the running statistics moved, a channel each warp."""
    real: Any = kind.type
    zero = real(0)
    fold, finish = warp_fold(add(real)), finisher(real)

    @kernel(*[pointer(kind)] * 8, np.uint32, np.uint32, np.uint64, np.uint64, *[kind] * 7, bounds=THREADS)
    def batch_norm_join(
        mean, rstd, factors, running_mean, running_var, part, weight, bias,
        channels, slices, units, per, lanes, vectors_share, share, eps, keep, momentum, momentum_unbiased,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        channel = np.uint32(np.uint32(cuda.blockIdx.x) * np.uint32(CHANNELS) + np.uint32(cuda.threadIdx.y))
        lane = np.uint32(cuda.threadIdx.x)
        if channel >= channels:
            return
        at, size = np.uint64(channel) * np.uint64(slices), np.uint64(channels) * np.uint64(slices)
        total = zero
        k = lane
        while k < slices:
            count = min(units, np.uint64(np.uint64(k) + np.uint64(1)) * per) - np.uint64(k) * per
            total += real(count) * part[at + np.uint64(k)]
            k = np.uint32(k + np.uint32(WARP))
        center = fold(total) * vectors_share
        first, second = zero, zero
        k = lane
        while k < slices:
            count = real(min(units, np.uint64(np.uint64(k) + np.uint64(1)) * per) - np.uint64(k) * per) * lanes
            d = (part[at + np.uint64(k)] - center) + part[size + at + np.uint64(k)]
            first += count * d
            second += part[size + size + at + np.uint64(k)] + count * d * d
            k = np.uint32(k + np.uint32(WARP))
        offset, spread, inverse = finish(fold(first), fold(second), share, eps)
        if lane == 0:
            middle = center + offset
            mean[channel] = middle
            rstd[channel] = inverse
            scale = inverse * weight[channel] if weighs else inverse
            factors[channel] = middle
            factors[np.uint64(channels) + np.uint64(channel)] = scale
            lost = (center - middle) + offset  # what rounding the mean has cut off
            factors[np.uint64(channels) + np.uint64(channels) + np.uint64(channel)] = (bias[channel] if shifts else zero) - lost * scale
            if tracked:
                running_mean[channel] = keep * running_mean[channel] + momentum * middle
                running_var[channel] = keep * running_var[channel] + momentum_unbiased * spread

    return batch_norm_join


@functools.lru_cache(maxsize=None)
def fixed(kind: np.dtype, weighs: bool, shifts: bool) -> Any:
    """The factors of evaluation mode, and the statistics that go with them, a channel each thread."""
    real: Any = kind.type
    zero, one, root = real(0), real(1), functions_for(kind, {"sqrt"})["sqrt"]

    @kernel(*[pointer(kind)] * 7, np.uint32, kind, bounds=THREADS)
    def batch_norm_fixed(mean, rstd, factors, running_mean, running_var, weight, bias, channels, eps):  # type: ignore[no-untyped-def]
        step = np.uint32(np.uint32(cuda.gridDim.x) * np.uint32(cuda.blockDim.x))
        i = np.uint32(np.uint32(cuda.blockIdx.x) * np.uint32(cuda.blockDim.x) + np.uint32(cuda.threadIdx.x))
        while i < channels:
            at, n = np.uint64(i), np.uint64(channels)
            inverse = one / root(running_var[at] + eps)
            mean[at] = running_mean[at]
            rstd[at] = inverse
            factors[at] = running_mean[at]
            factors[n + at] = inverse * weight[at] if weighs else inverse
            factors[n + n + at] = bias[at] if shifts else zero
            i = np.uint32(i + step)

    return batch_norm_fixed
