"""Batch norm on CUDA: the passes over elements, and the sums of its gradients; the scheme is told in ``_cuda_batch``."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda import lanes as vectors
from .._cuda.collectives import WARP, add, block_fold, warp_fold
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ._cuda_batch import ACROSS, CHANNELS, DOWN, THREADS, indexing

PLANES, FEATURES = "planes", "features"


def _channel_of(form: str, wide: bool, lanes: int) -> Any:
    """The first channel of vector i: planes are ``groups`` vectors of one of ``count`` channels; rows of features have ``groups`` vectors of
    neighbouring channels."""
    I, split = indexing(wide)

    @inline
    def of_plane(i, groups, multiplier, shift, count, multiplier2, shift2):  # type: ignore[no-untyped-def]
        plane, _ = split(i, groups, multiplier, shift)
        _, channel = split(plane, count, multiplier2, shift2)
        return channel

    @inline
    def of_row(i, groups, multiplier, shift, count, multiplier2, shift2):  # type: ignore[no-untyped-def]
        _, group = split(i, groups, multiplier, shift)
        return I(group * I(lanes))

    return of_plane if form == PLANES else of_row


def _factors_of(form: str, kind: np.dtype, lanes: int) -> Any:
    """``lanes`` numbers for a vector: those of its channels, or its channel's for all."""
    if form == FEATURES:
        return vectors.access(kind, lanes)[0]
    load, _ = vectors.access(kind, 1)

    @inline
    def same(x):  # type: ignore[no-untyped-def]
        return x

    spread = vectors.mapped(same, lanes, 0, scalars=1)

    @inline
    def repeated(p, i):  # type: ignore[no-untyped-def]
        return spread(load(p, i)[0])

    return repeated


@functools.lru_cache(maxsize=None)
def normalize(dtype: np.dtype, lanes: int, form: str, wide: bool) -> Any:
    """y = (x - factors[0]) * factors[1] + factors[2] for ``n`` vectors; ``factors`` is (3, channels)."""
    kind = _dtypes.compute_dtype(dtype)
    I, _ = indexing(wide)
    load, store = vectors.access(dtype, lanes)
    channel_of, factors_of = _channel_of(form, wide, lanes), _factors_of(form, kind, lanes)

    @inline
    def shifted(x, center, scale, shift):  # type: ignore[no-untyped-def]
        return (x - center) * scale + shift

    act = vectors.mapped(shifted, lanes, 4)

    @kernel(pointer(dtype), pointer(dtype), pointer(kind), *[I] * 8, bounds=THREADS)
    def batch_norm_normalize(y, x, factors, groups, multiplier, shift, count, multiplier2, shift2, channels, n):  # type: ignore[no-untyped-def]
        step = I(I(cuda.gridDim.x) * I(cuda.blockDim.x))
        i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))
        while i < n:
            channel = np.uint64(channel_of(i, groups, multiplier, shift, count, multiplier2, shift2))
            center, scale = factors_of(factors, channel), factors_of(factors, channel + np.uint64(channels))
            addend = factors_of(factors, channel + np.uint64(channels) + np.uint64(channels))
            at = np.uint64(i) * np.uint64(lanes)
            store(y, at, act(load(x, at), center, scale, addend))
            i = I(i + step)

    return batch_norm_normalize


@functools.lru_cache(maxsize=None)
def slopes(dtype: np.dtype, lanes: int, form: str, wide: bool, training: bool) -> Any:
    """dx = g * factors[0] + (x - mean) * factors[1] + factors[2]; of it only the first term in evaluation mode."""
    kind = _dtypes.compute_dtype(dtype)
    I, _ = indexing(wide)
    load, store = vectors.access(dtype, lanes)
    channel_of, factors_of = _channel_of(form, wide, lanes), _factors_of(form, kind, lanes)

    @inline
    def slope(g, x, center, scale, factor, shift):  # type: ignore[no-untyped-def]
        return g * scale + ((x - center) * factor + shift)

    @inline
    def scaled(g, scale):  # type: ignore[no-untyped-def]
        return g * scale

    act, act_fixed = vectors.mapped(slope, lanes, 6), vectors.mapped(scaled, lanes, 2)

    @kernel(*[pointer(dtype)] * 3, *[pointer(kind)] * 2, *[I] * 8, bounds=THREADS)
    def batch_norm_slopes(dx, g, x, mean, factors, groups, multiplier, shift, count, multiplier2, shift2, channels, n):  # type: ignore[no-untyped-def]
        step = I(I(cuda.gridDim.x) * I(cuda.blockDim.x))
        i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))
        while i < n:
            channel = np.uint64(channel_of(i, groups, multiplier, shift, count, multiplier2, shift2))
            scale, at = factors_of(factors, channel), np.uint64(i) * np.uint64(lanes)
            if training:
                center, factor = factors_of(mean, channel), factors_of(factors, channel + np.uint64(channels))
                addend = factors_of(factors, channel + np.uint64(channels) + np.uint64(channels))
                store(dx, at, act(load(g, at), load(x, at), center, scale, factor, addend))
            else:
                store(dx, at, act_fixed(load(g, at), scale))
            i = I(i + step)

    return batch_norm_slopes


@functools.lru_cache(maxsize=None)
def products(dtype: np.dtype, lanes: int, wide: bool) -> Any:
    """The sums of g and of g * (x - mean) of each slice into ``part``, (2, channels, slices); slices are those of ``moments``."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    I, split = indexing(wide)
    zero = real(0)
    load, _ = vectors.access(dtype, lanes)

    @inline
    def product(g, x, center):  # type: ignore[no-untyped-def]
        return g * (x - center)

    multiply, total_of = vectors.mapped(product, lanes, 2, scalars=1), vectors.summed(lanes, real)
    fold = block_fold(add(real), real, THREADS)

    @kernel(pointer(kind), pointer(dtype), pointer(dtype), pointer(kind), *[I] * 7, bounds=THREADS)
    def batch_norm_products(part, g, x, mean, channels, groups, multiplier, shift, units, per, slices):  # type: ignore[no-untyped-def]
        block = np.uint32(cuda.blockIdx.x)
        channel = I(block // np.uint32(slices))
        start = I(I(block % np.uint32(slices)) * per)
        stop = min(I(start + per), units)
        center = mean[np.uint64(channel)]
        first, second = zero, zero
        unit = I(start + I(cuda.threadIdx.x))
        while unit < stop:
            sample, group = split(unit, groups, multiplier, shift)
            plane = I(I(sample * channels) + channel)
            at = (np.uint64(plane) * np.uint64(groups) + np.uint64(group)) * np.uint64(lanes)
            grad = load(g, at)
            first += total_of(grad)
            second += total_of(multiply(grad, load(x, at), center))
            unit = I(unit + I(THREADS))
        first, second = fold(first), fold(second)
        if cuda.threadIdx.x == 0:
            part[np.uint64(block)] = first
            part[np.uint64(channels) * np.uint64(slices) + np.uint64(block)] = second

    return batch_norm_products


@functools.lru_cache(maxsize=None)
def feature_products(dtype: np.dtype) -> Any:
    """The same of rows of features."""
    kind = _dtypes.compute_dtype(dtype)
    zero = kind.type(0)
    load, _ = vectors.access(dtype, 1)

    @kernel(pointer(kind), pointer(dtype), pointer(dtype), pointer(kind), *[np.uint64] * 4, bounds=THREADS)
    def batch_norm_feature_products(part, g, x, mean, channels, rows, per, slices):  # type: ignore[no-untyped-def]
        channel = np.uint64(cuda.blockIdx.x) * np.uint64(ACROSS) + np.uint64(cuda.threadIdx.x)
        slice_ = np.uint64(cuda.blockIdx.y) * np.uint64(DOWN) + np.uint64(cuda.threadIdx.y)
        if channel >= channels or slice_ >= slices:
            return
        row, stop = slice_ * per, min(rows, (slice_ + np.uint64(1)) * per)
        center = mean[channel]
        first, second = zero, zero
        while row < stop:
            grad = load(g, row * channels + channel)[0]
            first += grad
            second += grad * (load(x, row * channels + channel)[0] - center)
            row += np.uint64(1)
        part[channel * slices + slice_] = first
        part[channels * slices + channel * slices + slice_] = second

    return batch_norm_feature_products


@functools.lru_cache(maxsize=None)
def join_products(kind: np.dtype, weighs: bool, training: bool) -> Any:
    """The gradients of weight and bias, and the factors of ``slopes``, a channel each warp; ``share`` is 1 / the elements of a channel."""
    real: Any = kind.type
    zero, fold = real(0), warp_fold(add(real))

    @kernel(*[pointer(kind)] * 6, np.uint32, np.uint32, kind, bounds=THREADS)
    def batch_norm_join_products(dw, db, factors, part, weight, rstd, channels, slices, share):  # type: ignore[no-untyped-def]
        channel = np.uint32(np.uint32(cuda.blockIdx.x) * np.uint32(CHANNELS) + np.uint32(cuda.threadIdx.y))
        lane = np.uint32(cuda.threadIdx.x)
        if channel >= channels:
            return
        c, n = np.uint64(channel), np.uint64(channels)
        first, second = zero, zero
        k = lane
        while k < slices:
            at = c * np.uint64(slices) + np.uint64(k)
            first += part[at]
            second += part[n * np.uint64(slices) + at]
            k = np.uint32(k + np.uint32(WARP))
        first, second = fold(first), fold(second)
        if lane == 0:
            inverse = rstd[c]
            scale = inverse * weight[c] if weighs else inverse
            db[c] = first
            dw[c] = second * inverse
            factors[c] = scale
            if training:
                factors[n + c] = -scale * (second * share) * inverse * inverse
                factors[n + n + c] = -scale * (first * share)

    return batch_norm_join_products
