"""Correlations on CUDA with so few channels in a group that a tile of a matrix product would be empty: depthwise convolutions, most of all.

Here a thread has one pixel of a few output channels, and sums over the taps; what its neighbours read as well comes from the first-level cache.  For the
gradient with respect to the weight, a block has one element of it and a part of the pixels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.collectives import add, block_fold, team
from .._cuda.driver import SIMULATED
from .._cuda.intrinsics import cuda, divide, inline, load_readonly
from .._cuda.launch import kernel, pointer
from .._cuda.tiles import outer_add, repeat
from .._cuda.unrolled import in_turn, joined
from ..matmul._cuda_kind import computed, narrowing, widening

# Threads of a block, at most; output channels of a thread where there is more than one in a group.
THREADS, SEVERAL = (8 if SIMULATED else 256), 4
WEIGHT_THREADS = team(256)


def few(channels: int, out: int, groups: int) -> bool:
    """Whether groups of so many channels are computed here."""
    return groups > 1 and out <= 8 and channels <= 8


def _weight_loader(dtype: np.dtype, i: int) -> Any:
    T, widen = computed(dtype).type, widening(dtype)

    @inline
    def load(weight, at, m, m_count, m_step):  # type: ignore[no-untyped-def]
        value = T(0)
        if np.uint32(m + np.uint32(i)) < m_count:
            value = widen(load_readonly(weight, at + np.int64(i) * m_step))
        return (value,)

    return load


def _storer(dtype: np.dtype, i: int) -> Any:
    T, widen, narrow = computed(dtype).type, widening(dtype), narrowing(dtype)

    @inline
    def store(out, at, channel_step, bias, biased, m, m_count, own, sums):  # type: ignore[no-untyped-def]
        if np.uint32(m + np.uint32(i)) < m_count:
            more = T(0)
            if biased:
                more = widen(bias[own + np.int64(i)])
            out[at + np.int64(i) * channel_step] = narrow(sums[i] + more)

    return store


@functools.lru_cache(maxsize=None)
def direct(dtype: np.dtype, outs: int, rows: int, columns: int) -> Any:
    """The kernel for ``outs`` output channels a thread, and so many rows and columns of taps.

    Tile: a pixel for each of up to 256 threads, blocks along a plane, planes and images over the grid.  Data movement: neighbouring threads read
    neighbouring pixels, each element once from memory and again from the cache; the weight is the same for all of them.  Memory bounds it.
    """
    T, widen = computed(dtype).type, widening(dtype)
    load_weights, store = joined([_weight_loader(dtype, i) for i in range(outs)]), in_turn([_storer(dtype, i) for i in range(outs)])

    @kernel(*[pointer(dtype)] * 4, *[np.int64] * 14, *[np.int32] * 6, *[np.uint32] * 12, bounds=THREADS)
    def correlate_directly(
        out, source, weight, bias,
        image_step, group_step, channel_step, row_step, column_step, out_image, out_channel, out_row, out_column,
        weight_group, weight_m, weight_channel, weight_row, weight_column,
        row_stride, row_first, row_apart, column_stride, column_first, column_apart,
        height, width, biased, images, groups, m_count, m_parts, channels, area, out_width, out_width_m, out_width_s,
    ):  # fmt: skip
        pixel = np.uint32(np.uint32(cuda.blockIdx.x) * np.uint32(cuda.blockDim.x) + np.uint32(cuda.threadIdx.x))
        p = divide(pixel, out_width_m, out_width_s)
        q = np.uint32(pixel - np.uint32(p * out_width))
        y = np.int32(np.int32(np.int32(p) * row_stride) + row_first)
        x = np.int32(np.int32(np.int32(q) * column_stride) + column_first)
        image = np.uint32(cuda.blockIdx.z)
        while image < images and pixel < area:
            part = np.uint32(cuda.blockIdx.y)
            while part < np.uint32(groups * m_parts):
                group = np.uint32(part // m_parts)
                m = np.uint32(np.uint32(part - np.uint32(group * m_parts)) * np.uint32(outs))
                start = np.int64(image) * image_step + np.int64(group) * group_step
                tap = np.int64(group) * weight_group + np.int64(m) * weight_m
                sums = repeat(T(0), outs)
                for c in range(channels):
                    for a in range(rows):
                        r = np.int32(y + np.int32(np.int32(a) * row_apart))
                        for b in range(columns):
                            s = np.int32(x + np.int32(np.int32(b) * column_apart))
                            if np.uint32(r) < height and np.uint32(s) < width:
                                place = start + np.int64(r) * row_step + np.int64(s) * column_step + np.int64(c) * channel_step
                                at = tap + np.int64(c) * weight_channel + np.int64(a) * weight_row + np.int64(b) * weight_column
                                weights = load_weights(weight, at, m, m_count, weight_m)
                                sums = outer_add(sums, weights, (widen(load_readonly(source, place)),))
                own = np.int64(group) * np.int64(m_count) + np.int64(m)
                at = np.int64(image) * out_image + own * out_channel + np.int64(p) * out_row + np.int64(q) * out_column
                store(out, at, out_channel, bias, biased, m, m_count, own, sums)
                part = np.uint32(part + np.uint32(cuda.gridDim.y))
            image = np.uint32(image + np.uint32(cuda.gridDim.z))

    return correlate_directly


@functools.lru_cache(maxsize=None)
def direct_weight(dtype: np.dtype) -> Any:
    """The kernel that sums grad · source for one element of the weight over a part of the pixels.

    Tile: a block for each element of the weight and part.  Data movement: both planes are read once for each tap, from the second-level cache but for the
    first time, which bounds it.
    """
    T: Any = computed(dtype).type
    widen, threads = widening(dtype), WEIGHT_THREADS
    fold = block_fold(add(T), T, threads)

    @kernel(pointer(T), *[pointer(dtype)] * 2, *[np.int64] * 9, *[np.int32] * 6, *[np.uint32] * 14, bounds=WEIGHT_THREADS)
    def sum_products(
        out, source, grad, image_step, group_step, channel_step, row_step, column_step, grad_image, grad_channel, grad_row, grad_column,
        row_stride, row_first, row_apart, column_stride, column_first, column_apart,
        height, width, pixels, part, area, area_m, area_s, out_width, out_width_m, out_width_s, m_count, channels, taps, columns,
    ):  # fmt: skip
        element = np.uint32(cuda.blockIdx.x)  # (output channel · channels + channel) · taps + tap
        line = np.uint32(element // taps)
        tap = np.uint32(element - np.uint32(line * taps))
        k = np.uint32(line // channels)
        channel = np.uint32(line - np.uint32(k * channels))
        tap_row = np.uint32(tap // columns)
        row_at = np.int32(np.int32(np.int32(tap_row) * row_apart) + row_first)
        column_at = np.int32(np.int32(np.int32(tap - np.uint32(tap_row * columns)) * column_apart) + column_first)
        start = np.int64(np.uint32(k // m_count)) * group_step + np.int64(channel) * channel_step
        grad_start = np.int64(k) * grad_channel
        first = np.uint32(np.uint32(cuda.blockIdx.y) * part)
        last = min(np.uint32(first + part), pixels)
        n = np.uint32(first + np.uint32(cuda.threadIdx.x))
        total = T(0)
        while n < last:
            image = divide(n, area_m, area_s)
            pixel = np.uint32(n - np.uint32(image * area))
            p = divide(pixel, out_width_m, out_width_s)
            q = np.uint32(pixel - np.uint32(p * out_width))
            y = np.int32(np.int32(np.int32(p) * row_stride) + row_at)
            x = np.int32(np.int32(np.int32(q) * column_stride) + column_at)
            if np.uint32(y) < height and np.uint32(x) < width:
                place = start + np.int64(image) * image_step + np.int64(y) * row_step + np.int64(x) * column_step
                at = grad_start + np.int64(image) * grad_image + np.int64(p) * grad_row + np.int64(q) * grad_column
                total += widen(load_readonly(grad, at)) * widen(load_readonly(source, place))
            n = np.uint32(n + np.uint32(threads))
        total = fold(total)
        if cuda.threadIdx.x == 0:
            out[np.int64(cuda.blockIdx.y) * np.int64(cuda.gridDim.x) + np.int64(element)] = total

    return sum_products
