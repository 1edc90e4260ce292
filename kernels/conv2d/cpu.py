"""2-D convolution on the CPU: all three floating-point passes are correlations that ``_plan`` cuts and ``_engine`` computes.

forward          x against the weight, at the stride of the output
input gradient   the output gradient against the flipped weight with its channels exchanged; with a stride, once for each remainder of the
                 input's position, because only every stride-th tap meets it
weight gradient  the inputs that each tap meets against the output gradient, summed over pixels and images in fixed blocks
"""

from __future__ import annotations

import functools

import numpy as np

from .._cpu import empty, launch, zeros
from ..copy import contiguous
from ._direct import correlate_integers, pack_weights, place_phase, sum_channels
from ._engine import engine
from ._plan import Geometry, Plan, planned

Pair = tuple[int, int]


@functools.lru_cache(maxsize=1024)
def _forward_geometry(
    shape: tuple[int, ...], weight_shape: tuple[int, ...], size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Geometry:
    images, channels, height, width = shape
    out, _, kernel_rows, kernel_columns = weight_shape
    rows = tuple(a * dilation[0] - padding[0] for a in range(kernel_rows))
    columns = tuple(b * dilation[1] - padding[1] for b in range(kernel_columns))
    return Geometry(images, groups, channels // groups, out // groups, height, width, *size, *stride, rows, columns)


@functools.lru_cache(maxsize=1024)
def _weight_steps(shape: tuple[int, ...], groups: int, exchanged: bool) -> np.ndarray:
    """Distances in a [out, channels, rows, columns] weight between groups, outputs and inputs of a correlation, kernel rows and columns."""
    out, channels, rows, columns = shape
    group, per_out, per_channel = out // groups * channels * rows * columns, channels * rows * columns, rows * columns
    return np.array([group, *((per_channel, per_out) if exchanged else (per_out, per_channel)), columns, 1], np.int64)


@functools.lru_cache(maxsize=256)
def _range(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


_NO_BIAS = {np.dtype(d): np.empty(0, d) for d in (np.float32, np.float64, np.uint8, np.int8, np.int16, np.int32, np.int64)}


def _correlate(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, cut: Plan, geometry: Geometry, lists, exchanged: bool) -> np.ndarray:
    """The correlation ``geometry`` of ``x`` with the kernel rows and columns of ``weight`` that ``lists`` name."""
    g, dtype = geometry, x.dtype
    out = empty((g.images, g.groups * g.out, g.out_height, g.out_width), dtype)
    packed, blocks = empty(cut.weights, dtype), cut.weights // (cut.block * cut.taps)
    start, scratch = empty(blocks * cut.block, dtype), empty(cut.scratch, dtype)
    steps = _weight_steps(weight.shape, g.groups, exchanged)
    flat = contiguous(weight).reshape(-1)
    bias = _NO_BIAS[dtype] if bias is None else contiguous(bias)
    launch(
        pack_weights, blocks, packed, flat, bias, start, *lists, g.groups, g.out, g.channels, cut.block, steps, work=2 * cut.weights
    )  # fmt: skip
    launch(engine(dtype.type).correlate, cut.workers, cut.numbers, x.reshape(-1), packed, start, out.reshape(-1), scratch, work=cut.work)
    return out


def conv2d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> np.ndarray:
    """The convolution, of ``size``; ``padding`` is what stands above and to the left."""
    x = contiguous(x)
    if x.dtype.kind != "f":
        return _integers(x, weight, bias, size, stride, padding, dilation, groups)
    geometry = _forward_geometry(x.shape, weight.shape, size, stride, padding, dilation, groups)
    lists = _range(*range(weight.shape[2])), _range(*range(weight.shape[3]))
    return _correlate(x, weight, bias, planned(geometry, x.itemsize), geometry, lists, False)


def _integers(x, weight, bias, size, stride, padding, dilation, groups):
    out = empty((x.shape[0], weight.shape[0], *size), x.dtype)
    rows = _range(*(a * dilation[0] - padding[0] for a in range(weight.shape[2])))
    columns = _range(*(b * dilation[1] - padding[1] for b in range(weight.shape[3])))
    bias = _NO_BIAS[x.dtype] if bias is None else contiguous(bias)
    sizes = (weight.shape[1], weight.shape[0] // groups, groups)
    work = out.size * weight[0].size
    launch(correlate_integers, out.shape[0] * out.shape[1], out, x, contiguous(weight), bias, sizes, rows, columns, *stride, work=work)
    return out


@functools.lru_cache(maxsize=1024)
def _phases(
    size: Pair, weight_shape: tuple[int, ...], shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> list[tuple[Pair, Geometry | None, tuple[np.ndarray, np.ndarray]]]:
    """For each remainder (row, column) of the input's position by the stride: the correlation of the gradient that gives those inputs.

    Input row y meets kernel row a at output row (y + padding - a·dilation) / stride where that is whole.
    """
    images, channels, *extent = shape
    out = weight_shape[0]
    found = []
    for first in np.ndindex(*stride):
        taps, shifts, counts = [], [], []
        for axis in range(2):
            reach = [(k, first[axis] + padding[axis] - k * dilation[axis]) for k in range(weight_shape[2 + axis])]
            met = [(k, r // stride[axis]) for k, r in reach if r % stride[axis] == 0]
            taps.append(_range(*(k for k, _ in met)))
            shifts.append(tuple(r for _, r in met))
            counts.append(len(range(first[axis], extent[axis], stride[axis])))
        if 0 in counts:
            continue
        geometry = None
        if shifts[0] and shifts[1]:
            geometry = Geometry(images, groups, out // groups, channels // groups, *size, *counts, 1, 1, *shifts)
        found.append((first, geometry, tuple(taps)))
    return found


def conv2d_input_grad(
    grad: np.ndarray, weight: np.ndarray, shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> np.ndarray:
    """The gradient with respect to the input, of ``shape``."""
    grad = contiguous(grad)
    phases = _phases(grad.shape[2:], weight.shape, shape, stride, padding, dilation, groups)
    if stride == (1, 1) and phases[0][1] is not None:
        _, geometry, lists = phases[0]
        return _correlate(grad, weight, None, planned(geometry, grad.itemsize), geometry, lists, True)
    out = empty(shape, grad.dtype)
    planes = out.reshape(-1, *shape[2:])
    for first, geometry, lists in phases:
        part = np.empty((0, 0, 0), grad.dtype)
        if geometry is not None:
            part = _correlate(grad, weight, None, planned(geometry, grad.itemsize), geometry, lists, True)
            part = part.reshape(-1, *part.shape[2:])
        launch(place_phase, len(planes), planes, part, *first, *stride, work=planes.size // (stride[0] * stride[1]))
    return out


def conv2d_weight_grad(
    grad: np.ndarray, x: np.ndarray, shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> np.ndarray:
    """The gradient with respect to the weight, of ``shape``."""
    grad, x = contiguous(grad), contiguous(x)
    geometry = _forward_geometry(x.shape, shape, grad.shape[2:], stride, padding, dilation, groups)
    cut = planned(geometry, x.itemsize, True)
    kernels = engine(x.dtype.type)
    partial, scratch, out = empty(cut.partial, x.dtype), empty(cut.scratch, x.dtype), empty(shape, x.dtype)
    launch(kernels.correlate_weight, cut.workers, cut.numbers, x.reshape(-1), grad.reshape(-1), partial, scratch, work=cut.work)
    launch(kernels.finish_weight, shape[0], cut.numbers, partial, out.reshape(-1), work=cut.partial)
    return out


def conv2d_bias_grad(grad: np.ndarray) -> np.ndarray:
    """The gradient with respect to the bias: the sum over images and pixels."""
    grad = contiguous(grad)
    images, channels, height, width = grad.shape
    out = empty(channels, grad.dtype)
    launch(sum_channels(grad.dtype.type), channels, out, grad.reshape(-1), images, height * width, work=grad.size)
    return out


__all__ = ["conv2d", "conv2d_bias_grad", "conv2d_input_grad", "conv2d_weight_grad", "zeros"]
