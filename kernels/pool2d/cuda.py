"""Pooling on CUDA.  Arrays come contiguous, as (planes, height, width); sizes come as pairs (height, width).  16-bit floats come as they are.

An index outside of its plane is reported by the kernel and raised later (``_cuda.faults``); every function says that all are inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda import faults
from .._cuda.array import CudaArray, empty, zeros
from .._cuda.collectives import WARP
from .._cuda.elements import divisor, index_type
from .._cuda.lanes import lanes_of
from .._cuda.launch import blocks, launch
from ..copy import cuda as copy
from . import _cuda_average, _cuda_max, _cuda_teams, _cuda_windows
from ._cuda_windows import Pair

# Windows of up to so many elements are compiled in, so that their loads are under way together.
_FEW = 9
_MOST_BLOCKS = 1 << 20
_NO_OFFSET = (0, 0)


def _fixed(kernel: Pair) -> Pair:
    return kernel if kernel[0] * kernel[1] <= _FEW else (0, 0)


def _outside(op: str, size: Pair) -> int:
    return faults.kind(IndexError, f"{op}: found an invalid max index {{index}} for a plane of {size[0]} x {size[1]} elements")


def _tiled(x: Any, size: Pair, output: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> int:
    """How many columns of 2 x 2 windows side by side are taken at once; 0 for other windows, or where rows are no whole vectors."""
    if not (kernel == stride == (2, 2) and padding == _NO_OFFSET and dilation == (1, 1)):
        return 0
    if 2 * output[1] != size[1] or not 2 * output[0] <= size[0] <= 2 * output[0] + 1:
        return 0
    lanes = lanes_of(size[1], x)
    return lanes if lanes > 1 else 0


def max_pool2d(x: CudaArray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output: Pair) -> tuple[CudaArray, CudaArray]:
    values, indices = empty((x.shape[0], *output), x.dtype), empty((x.shape[0], *output), np.int64)
    size = x.shape[1], x.shape[2]
    n, pointers = values.size, (values.pointer, indices.pointer, x.pointer)
    if not n:
        return values, indices
    count = _cuda_windows.counting(n, size, output)
    lanes = _tiled(x, size, output, kernel, stride, padding, dilation)
    if lanes:
        groups = n // (lanes // 2)
        arguments = groups, *_cuda_windows.split_by(output[0], size[1] // lanes), *size
        launch(_cuda_max.tiles(x.dtype, lanes, count), *blocks(groups), (*pointers, *arguments))
    else:
        arguments = n, *_cuda_windows.split_by(*output), *size, *kernel, *stride, *padding, *dilation
        launch(_cuda_max.windows(x.dtype, count, _fixed(kernel)), *blocks(n), (*pointers, *arguments))
    return values, indices


def max_pool2d_backward(grad: CudaArray, indices: CudaArray, size: Pair, windows: Any = None) -> tuple[CudaArray, bool]:
    """The gradient, and True.  ``windows``: (kernel, stride, padding, dilation) of the forward pass, () for adaptive windows, or None if they are not
    known: then each plane's outputs are gone through one after the other."""
    planes, output = grad.shape[0], (grad.shape[1], grad.shape[2])
    if windows is None or not grad.size:
        return _scattered(grad, indices, size), True
    dx = empty((planes, *size), grad.dtype)
    if not dx.size:
        return dx, True
    n, pointers = dx.size, (dx.pointer, grad.pointer, indices.pointer)
    count = _cuda_windows.counting(n, size, output)
    lanes = _tiled(dx, size, output, *windows) if windows else 0
    if lanes and not any(x.pointer % 16 for x in (grad, indices)):
        groups = grad.size // (lanes // 2)
        arguments = groups, *_cuda_windows.split_by(output[0], size[1] // lanes), *size
        launch(_cuda_max.tiles_backward(grad.dtype, lanes, count), *blocks(groups), (*pointers, *arguments))
    else:
        pairs = list(zip(size, output, *(windows or [(0, 0)] * 4)))
        axes = [part for pair in pairs for part in _cuda_windows.covering_by(not windows, *pair)]
        launch(
            _cuda_max.windows_backward(grad.dtype, count, not windows), *blocks(n), (*pointers, n, *_cuda_windows.split_by(*size), *axes)
        )
    return dx, True


def _scattered(grad: CudaArray, indices: CudaArray, size: Pair) -> CudaArray:
    planes = grad.shape[0]
    dx = zeros((planes, *size), _dtypes.compute_dtype(grad.dtype))
    if grad.size:
        numbers = planes, grad.size // planes, size[0] * size[1], faults.record(), _outside("max_pool2d_backward", size)
        arguments = dx.pointer, grad.pointer, indices.pointer, *numbers
        launch(_cuda_max.scatter(grad.dtype), min(planes, _MOST_BLOCKS), WARP, arguments)
    return copy.convert(dx, grad.dtype) if dx.dtype != grad.dtype else dx


def max_pool2d_gather(x: CudaArray, indices: CudaArray) -> tuple[CudaArray, bool]:
    y = empty(indices.shape, x.dtype)
    if y.size:
        size, outputs = (x.shape[1], x.shape[2]), indices.shape[1] * indices.shape[2]
        found = _cuda_max.gather(x.dtype, index_type(y.size))
        numbers = y.size, *divisor(outputs), size[0] * size[1], faults.record(), _outside("max_pool2d_gather", size)
        launch(found, *blocks(y.size), (y.pointer, x.pointer, indices.pointer, *numbers))
    return y, True


def adaptive_max_pool2d(x: CudaArray, output: Pair) -> tuple[CudaArray, CudaArray]:
    values, indices = empty((x.shape[0], *output), x.dtype), empty((x.shape[0], *output), np.int64)
    if values.size:
        pointers = values.pointer, indices.pointer, x.pointer
        _adaptive(_cuda_max.adaptive, _cuda_teams.maximum, x, output, values.size, pointers)
    return values, indices


def _adaptive(alone: Any, together: Any, x: CudaArray, output: Pair, n: int, pointers: tuple[int, ...]) -> None:
    """Launch the kernel of one thread for each of ``n`` windows, or that of a team for each."""
    size = x.shape[1], x.shape[2]
    count, threads = _cuda_windows.counting(n, size, output), _cuda_teams.threads_for(size, output)
    arguments = *pointers, n, *_cuda_windows.split_by(*output), *size
    if threads == 1:
        launch(alone(x.dtype, count), *blocks(n), arguments)
    else:
        launch(together(x.dtype, count, threads), min(n, _MOST_BLOCKS), threads, arguments)


def _counted(with_padding: bool, override: int) -> tuple[int, float]:
    """How a kernel is told what divides."""
    mode = _cuda_average.WITH_PADDING if with_padding else _cuda_average.WITHOUT_PADDING
    return (_cuda_average.GIVEN, float(override)) if override else (mode, 1.0)


def avg_pool2d(x: CudaArray, kernel: Pair, stride: Pair, padding: Pair, output: Pair, with_padding: bool, override: int) -> CudaArray:
    size = x.shape[1], x.shape[2]
    if kernel == size and padding == _NO_OFFSET and output == (1, 1) and not override:
        return adaptive_avg_pool2d(x, output)
    y = empty((x.shape[0], *output), x.dtype)
    if y.size:
        found = _cuda_average.windows(x.dtype, _cuda_windows.counting(y.size, size, output), _fixed(kernel))
        arguments = y.size, *_cuda_windows.split_by(*output), *size, *kernel, *stride, *padding, *_counted(with_padding, override)
        launch(found, *blocks(y.size), (y.pointer, x.pointer, *arguments))
    return y


def avg_pool2d_backward(
    grad: CudaArray, size: Pair, kernel: Pair, stride: Pair, padding: Pair, with_padding: bool, override: int
) -> CudaArray:
    output = grad.shape[1], grad.shape[2]
    dx = empty((grad.shape[0], *size), grad.dtype)
    if dx.size:
        axes = [part for axis in zip(size, output, kernel, stride, padding, (1, 1)) for part in _cuda_windows.covering_by(False, *axis)]
        arguments = dx.size, *_cuda_windows.split_by(*size), *axes, *_counted(with_padding, override)
        found = _cuda_average.windows_backward(grad.dtype, _cuda_windows.counting(dx.size, size, output))
        launch(found, *blocks(dx.size), (dx.pointer, grad.pointer, *arguments))
    return dx


def adaptive_avg_pool2d(x: CudaArray, output: Pair) -> CudaArray:
    y = empty((x.shape[0], *output), x.dtype)
    if y.size:
        _adaptive(_cuda_average.adaptive, _cuda_teams.average, x, output, y.size, (y.pointer, x.pointer))
    return y


def adaptive_avg_pool2d_backward(grad: CudaArray, size: Pair) -> CudaArray:
    output = grad.shape[1], grad.shape[2]
    if not grad.size:
        return zeros((grad.shape[0], *size), grad.dtype)
    dx = empty((grad.shape[0], *size), grad.dtype)
    if dx.size:
        found = _cuda_average.adaptive_backward(grad.dtype, _cuda_windows.counting(dx.size, size, output))
        launch(
            found, *blocks(dx.size), (dx.pointer, grad.pointer, dx.size, *_cuda_windows.split_by(*size), *_cuda_windows.split_by(*output))
        )
    return dx
