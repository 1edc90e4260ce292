"""Sums that many blocks have a part of, on CUDA: each writes its own, and a second pass adds them in order, so that the bits are always the same."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.array import CudaArray, empty
from .._cuda.collectives import add, block_fold, team
from .._cuda.driver import SIMULATED
from .._cuda.intrinsics import cuda, divide, divider
from .._cuda.launch import kernel, launch, pointer
from ..matmul._cuda_kind import computed, narrowing, widening
from ._cuda_geometry import Correlation, forward, parts, steps

# Threads side by side, of which each has one sum, and rows of them, of which each adds every so many parts.
ACROSS, DOWN = (8, 4) if SIMULATED else (32, 8)
THREADS = team(256)
_MOST_BLOCKS = 1 << 16
# Terms of a part, at least: enough for each thread to have some; and parts, at most.
_PART, _MOST_PARTS = 64 * THREADS, 1024


@functools.lru_cache(maxsize=None)
def adder(dtype: np.dtype) -> Any:
    """The kernel of the second pass: out[i] = parts[0, i] + parts[1, i] + ..., rounded to ``dtype``.

    Tile: 32 sums by 8 rows of threads, whose sums are added through shared memory, so that few sums of many parts have loads enough under way.  Bound
    by the bandwidth of memory, or the latency where there is little to do.
    """
    T, narrow, room = computed(dtype).type, narrowing(dtype), ACROSS * DOWN

    @kernel(pointer(dtype), pointer(T), np.int64, np.int64, bounds=ACROSS * DOWN)
    def add_parts(out, parts, count, n):
        sums = cuda.shared.array(room, dtype=T)
        x, y = np.uint32(cuda.threadIdx.x), np.uint32(cuda.threadIdx.y)
        start = np.int64(cuda.blockIdx.x) * ACROSS
        while start < n:
            i, total, part = start + np.int64(x), T(0), np.int64(y)
            while part < count:
                if i < n:
                    total += parts[part * n + i]
                part += DOWN
            sums[np.uint32(y * np.uint32(ACROSS) + x)] = total
            cuda.syncthreads()
            if y == 0 and i < n:
                total = sums[x]
                for row in range(1, DOWN):
                    total += sums[np.uint32(np.uint32(row * ACROSS) + x)]
                out[i] = narrow(total)
            cuda.syncthreads()
            start += np.int64(cuda.gridDim.x) * ACROSS

    return add_parts


def add_up(out: CudaArray, parts: CudaArray) -> None:
    """out = the sum of ``parts``, [count, *out.shape], of the type that ``out`` is computed in."""
    count, n = parts.shape[0], out.size
    launch(adder(out.dtype), min(_MOST_BLOCKS, -(-n // ACROSS)), (ACROSS, DOWN), (out.pointer, parts.pointer, count, n))


@functools.lru_cache(maxsize=None)
def plane_summer(dtype: np.dtype) -> Any:
    """The kernel that sums a channel over a part of the pixels of all images.

    Tile: a block for each channel and part.  Neighbouring threads read neighbouring pixels; a thread's sum is over every 256th.  Bound by the
    bandwidth of memory.
    """
    T: Any = computed(dtype).type
    widen, threads = widening(dtype), THREADS
    fold = block_fold(add(T), T, threads)

    @kernel(pointer(T), pointer(dtype), *[np.int64] * 4, *[np.uint32] * 9, bounds=THREADS)
    def sum_planes(
        out, grad, image_step, channel_step, row_step, column_step, channels, pixels, part, area, area_m, area_s, width, width_m, width_s,
    ):  # fmt: skip
        first = np.uint32(np.uint32(cuda.blockIdx.y) * part)
        last = min(np.uint32(first + part), pixels)
        channel = np.uint32(cuda.blockIdx.x)
        total = T(0)
        n = np.uint32(first + np.uint32(cuda.threadIdx.x))
        while n < last:
            image = divide(n, area_m, area_s)
            pixel = np.uint32(n - np.uint32(image * area))
            p = divide(pixel, width_m, width_s)
            q = np.uint32(pixel - np.uint32(p * width))
            at = np.int64(image) * image_step + np.int64(channel) * channel_step + np.int64(p) * row_step + np.int64(q) * column_step
            total += widen(grad[at])
            n = np.uint32(n + np.uint32(threads))
        total = fold(total)
        if cuda.threadIdx.x == 0:
            out[np.int64(cuda.blockIdx.y) * np.int64(channels) + np.int64(channel)] = total

    return sum_planes


def sum_of_planes(grad: CudaArray) -> CudaArray:
    """The sum of ``grad`` [N, K, H, W] over images and pixels."""
    images, channels, height, width = grad.shape
    image_step, channel_step, row_step, column_step = steps(grad)
    pieces = parts(Correlation(images, 1, 1, 1, *(forward(n, n, 1, 1, 0, 1) for n in (height, width))))
    counts = [p.images * p.rows.size * width for p, _ in pieces]
    size = max(_PART, -(-max(counts) // _MOST_PARTS))  # pixels of a part
    sums = empty((sum(-(-count // size) for count in counts), channels), computed(grad.dtype))
    target = sums.pointer
    for (p, image), count in zip(pieces, counts):
        area, blocks = p.rows.size * width, -(-count // size)
        source = grad.pointer + (image * image_step + p.rows.out * row_step) * grad.itemsize
        numbers = (channels, count, size, area, *divider(area), width, *divider(width))
        launch(
            plane_summer(grad.dtype),
            (channels, blocks),
            THREADS,
            (target, source, image_step, channel_step, row_step, column_step, *numbers),
        )
        target += blocks * channels * sums.itemsize
    out = empty((channels,), grad.dtype)
    add_up(out, sums)
    return out
