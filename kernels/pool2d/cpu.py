"""Pooling on the CPU.  Arrays come contiguous, as (planes, height, width); sizes come as pairs (height, width)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _cpu
from .._cpu import launch, simd
from . import _average, _max

Pair = tuple[int, int]


def _writable(x: np.ndarray) -> np.ndarray:
    """``x``, or a copy of a read-only one: one Numba type for every array means one compilation."""
    return x if x.flags.writeable else x.copy()


def _lowest(dtype: np.dtype) -> np.generic:
    return dtype.type(-np.inf) if dtype.kind == "f" else dtype.type(np.iinfo(dtype).min)


def _flat(x: np.ndarray) -> np.ndarray:
    return _writable(x).reshape(x.shape[0], x.shape[1] * x.shape[2])


def _vectorised(x: np.ndarray, stride: int, columns: int) -> bool:
    """Whether a register of output columns at a time is worth it: with a stride beyond 2 each element is gathered by itself.  Places are
    counted in 32 bits there."""
    return x.dtype.kind == "f" and simd.COMPILED and columns >= (2 if stride <= 2 else 8) and x.shape[1] * x.shape[2] < 1 << 31


def max_pool2d(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output: Pair) -> tuple[np.ndarray, np.ndarray]:
    values = _cpu.empty((x.shape[0], *output), x.dtype)
    indices = _cpu.empty(values.shape, np.int64)
    x = _writable(x)
    tiles = kernel == stride == (2, 2) and padding == (0, 0) and dilation == (1, 1)
    if tiles and 2 * output[0] <= x.shape[1] and 2 * output[1] <= x.shape[2]:  # ceil_mode may let windows hang over the edge
        vector = x.dtype.kind == "f" and simd.COMPILED
        launch(_max.max_tiles_of(x.dtype) if vector else _max.max_tiles, x.shape[0], values, indices, x, work=4 * values.size)
        return values, indices
    work, vector = kernel[0] * kernel[1] * values.size, _vectorised(x, stride[1], output[1])
    if vector:
        kernels = _max.max_windows_of(x.dtype, stride[1] if stride[1] <= 2 else 0)
        launch(kernels, x.shape[0], values, indices, x, *kernel, *stride, *padding, *dilation, work=work)
    else:
        launch(_max.max_windows, x.shape[0], values, indices, x, _lowest(x.dtype), *kernel, *stride, *padding, *dilation, work=work)
    return values, indices


def max_pool2d_backward(grad: np.ndarray, indices: np.ndarray, size: Pair, windows: Any = None) -> tuple[np.ndarray, bool]:
    """The gradient, and whether every index was in range.  The ``windows`` need not be known."""
    planes = grad.shape[0]
    dx = _cpu.empty((planes, *size), grad.dtype)
    bad = _cpu.zeros(1, np.uint8)
    launch(_max.scatter, planes, _flat(dx), bad, _flat(grad), _flat(indices), work=dx.size + 4 * grad.size)
    return dx, not bad[0]


def max_pool2d_gather(x: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, bool]:
    y = _cpu.empty(indices.shape, x.dtype)
    bad = _cpu.zeros(1, np.uint8)
    launch(_max.gather, x.shape[0], _flat(y), bad, _flat(x), _flat(indices), work=4 * y.size)
    return y, not bad[0]


def adaptive_max_pool2d(x: np.ndarray, output: Pair) -> tuple[np.ndarray, np.ndarray]:
    values = _cpu.empty((x.shape[0], *output), x.dtype)
    indices = _cpu.empty(values.shape, np.int64)
    # A window of few columns is done sooner than a register is filled and searched.
    wide = output == (1, 1) or x.shape[2] >= 8 * output[1]
    if values.size and wide and _vectorised(x, 1, 2):
        # Where one window is the plane, its rows are one run.
        planes = _writable(x) if output != (1, 1) else _writable(x).reshape(x.shape[0], 1, -1)
        launch(_max.adaptive_max_of(x.dtype), x.shape[0], values, indices, planes, work=x.size)
    elif values.size:
        launch(_max.adaptive_max, x.shape[0], values, indices, _writable(x), _lowest(x.dtype), work=x.size)
    return values, indices


def _extents(size: int, count: int, kernel: int, stride: int, padding: int, with_padding: bool, dtype: np.dtype) -> np.ndarray:
    """How many elements each window counts along one axis."""
    start = np.arange(count) * stride - padding
    stop = np.minimum(start + kernel, size + padding)
    if not with_padding:
        start, stop = np.maximum(start, 0), np.minimum(stop, size)
    return (stop - start).astype(dtype)


@functools.lru_cache(maxsize=256)
def _divisors(
    size: Pair, output: Pair, kernel: Pair, stride: Pair, padding: Pair, with_padding: bool, override: int, dtype: np.dtype
) -> list[np.ndarray]:
    if override:
        return [np.full(output[0], override, dtype), np.ones(output[1], dtype)]
    return [_extents(*axis, with_padding, dtype) for axis in zip(size, output, kernel, stride, padding)]


@functools.lru_cache(maxsize=256)
def _covering(size: int, count: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    """[j, place]: the windows along one axis that each place belongs to, and ``count`` where there are fewer than j."""
    place, terms = np.arange(size), np.arange(-(-kernel // stride)).reshape(-1, 1)
    window = np.minimum((place + padding) // stride, count - 1) - terms
    return np.where((window >= 0) & (window * stride - padding + kernel > place), window, count).astype(np.uintp)


def avg_pool2d(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, output: Pair, with_padding: bool, override: int) -> np.ndarray:
    if kernel == x.shape[1:] and padding == (0, 0) and output == (1, 1) and not override:
        return adaptive_avg_pool2d(x, output)
    y = _cpu.empty((x.shape[0], *output), x.dtype)
    divisors = _divisors(x.shape[1:], output, kernel, stride, padding, with_padding, override, x.dtype)
    work = (kernel[0] * kernel[1] + 1) * y.size
    vector = stride[1] <= 2 and _vectorised(x, stride[1], output[1])
    kernels = _average.average_windows_of(x.dtype, stride[1]) if vector else _average.average_windows
    launch(kernels, x.shape[0], y, _writable(x), *divisors, *kernel, *stride, *padding, work=work)
    return y


def avg_pool2d_backward(
    grad: np.ndarray, size: Pair, kernel: Pair, stride: Pair, padding: Pair, with_padding: bool, override: int
) -> np.ndarray:
    planes, output = grad.shape[0], grad.shape[1:]
    dx = _cpu.empty((planes, *size), grad.dtype)
    divisors = _divisors(size, output, kernel, stride, padding, with_padding, override, grad.dtype)
    covering = _covering(size[1], output[1], kernel[1], stride[1], padding[1])
    work = dx.size + kernel[0] * kernel[1] * grad.size
    rows = kernel[0], stride[0], padding[0]
    launch(_average.average_windows_backward, planes, dx, _writable(grad), *divisors, covering, *rows, work=work)
    return dx


def adaptive_avg_pool2d(x: np.ndarray, output: Pair) -> np.ndarray:
    y = _cpu.empty((x.shape[0], *output), x.dtype)
    if y.size and output == (1, 1) and simd.COMPILED:
        _average.average_planes_of(x.dtype)(x.shape[0], id(y), id(x), x.shape[1] * x.shape[2], work=x.size)
    elif y.size:
        launch(_average.adaptive_average, x.shape[0], y, _writable(x), work=x.size)
    return y


def adaptive_avg_pool2d_backward(grad: np.ndarray, size: Pair) -> np.ndarray:
    dx = _cpu.empty((grad.shape[0], *size), grad.dtype)
    flat = dx.reshape(dx.shape[0], 1, size[0] * size[1]) if grad.shape[1:] == (1, 1) else dx
    launch(_average.adaptive_average_backward, dx.shape[0], flat, _writable(grad), work=dx.size)
    return dx
