"""Normalisation on CUDA.  Arrays come contiguous; those of batch norm as (samples, channels, positions).

16-bit floats are read and written as such, and computed, as are their statistics, in float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda import lanes as vectors
from .._cuda.array import CudaArray, empty, zeros
from .._cuda.collectives import WARP
from .._cuda.elements import NARROW, divisor
from .._cuda.launch import blocks, launch
from ..elementwise import formulas, run
from ..reduce._cuda_passes import fold
from . import _cuda_batch, _cuda_layer, _cuda_layer_long
from . import _cuda_batch_passes as passes

__all__ = [
    "batch_norm_backward", "batch_norm_eval", "batch_norm_train", "group_norm", "group_norm_backward", "layer_norm", "layer_norm_backward",
    "work_dtype",
]  # fmt: skip

Triple = tuple[CudaArray, CudaArray, CudaArray]


def work_dtype(dtype: np.dtype) -> np.dtype:
    """The type that arrays of ``dtype`` are to come in."""
    return dtype


def _address(x: CudaArray | None) -> int:
    """What a kernel is given of an array; it does not look at none."""
    return 0 if x is None else x.pointer


def _packed(x: CudaArray | None) -> CudaArray | None:
    from ..copy import contiguous

    return x if x is None or x.flags.c_contiguous else contiguous(x)


def _fill(x: CudaArray, value: float) -> None:
    from ..copy import fill

    fill(x, value)


# ---- batch norm ---------------------------------------------------------------------------------------------------------------------------

_BLOCKS = 1024  # that a first stage has about; its slices are of no fewer units than a thread should have
_LEAST_UNITS, _LEAST_ROWS = 4, 16
_MOST_ROW_SLICES = 1024


class _Slices(NamedTuple):
    """How a channel is cut: into ``slices`` of ``per`` of its ``units``, vectors of ``lanes`` elements."""

    units: int
    per: int
    slices: int
    lanes: int


def _cut(x: CudaArray, *others: CudaArray) -> _Slices:
    samples, channels, positions = x.shape
    if positions == 1:  # a slice each thread
        units, lanes = samples, 1
        wanted = min(_MOST_ROW_SLICES, _BLOCKS * _cuda_batch.THREADS // channels, units // _LEAST_ROWS)
    else:
        lanes = vectors.lanes_of(positions, x, *others)
        units = samples * (positions // lanes)
        wanted = min(-(-_BLOCKS // channels), units // (_LEAST_UNITS * _cuda_batch.THREADS))
    per = -(-units // max(1, wanted))
    return _Slices(units, per, -(-units // per), lanes)


def _feature_grid(channels: int, slices: int) -> tuple[Any, Any]:
    return (-(-channels // _cuda_batch.ACROSS), -(-slices // _cuda_batch.DOWN)), (_cuda_batch.ACROSS, _cuda_batch.DOWN)


def _channel_grid(channels: int) -> tuple[int, Any]:
    """A warp for each channel."""
    return -(-channels // _cuda_batch.CHANNELS), (WARP, _cuda_batch.CHANNELS)


def _pass(x: CudaArray, *others: CudaArray) -> tuple[tuple[int, str, bool], tuple[int, ...]]:
    """For a pass over all elements: (lanes, form, wide), and what its kernel is told of the shape."""
    _, channels, positions = x.shape
    wide = x.size >= NARROW
    form = passes.FEATURES if positions == 1 else passes.PLANES
    length = channels if positions == 1 else positions
    lanes = vectors.lanes_of(length, x, *others)
    return (lanes, form, wide), (*divisor(length // lanes), *divisor(channels), channels, x.size // lanes)


def _normalized(x: CudaArray, factors: CudaArray) -> CudaArray:
    y = empty(x.shape, x.dtype)
    how, told = _pass(x, y)
    launch(passes.normalize(x.dtype, *how), *blocks(told[-1]), (y.pointer, x.pointer, factors.pointer, *told))
    return y


def batch_norm_train(
    x: CudaArray,
    weight: CudaArray | None,
    bias: CudaArray | None,
    running_mean: CudaArray | None,
    running_var: CudaArray | None,
    momentum: float,
    eps: float,
) -> Triple:
    samples, channels, positions = x.shape
    kind = _dtypes.compute_dtype(x.dtype)
    mean, rstd = empty((channels,), kind), empty((channels,), kind)
    if x.size == 0:
        _fill(mean, 0)
        _fill(rstd, np.nan)
        return empty(x.shape, x.dtype), mean, rstd
    weight, bias = _packed(weight), _packed(bias)
    cut = _cut(x)
    units, per, slices, lanes = cut
    part, factors = empty((3, channels, slices), kind), empty((3, channels), kind)
    if positions == 1:
        arguments = (part.pointer, x.pointer, channels, units, per, slices)
        launch(_cuda_batch.feature_moments(x.dtype), *_feature_grid(channels, slices), arguments)
    else:
        wide = x.size >= NARROW
        told = channels, *divisor(positions // lanes), units, per, slices
        launch(_cuda_batch.moments(x.dtype, lanes, wide), channels * slices, _cuda_batch.THREADS, (part.pointer, x.pointer, *told))
    averages = _packed(running_mean), _packed(running_var)
    count = samples * positions
    # A single value has no unbiased variance: the average then becomes NaN or infinite, as the formula says.
    unbias = count / (count - 1) if count > 1 else np.inf
    arrays = (mean, rstd, factors, *averages, part, weight, bias)
    numbers = lanes, 1 / units, 1 / count, eps, 1.0 - momentum, momentum, momentum * unbias
    join = _cuda_batch.join_moments(kind, weight is not None, bias is not None, running_mean is not None)
    launch(join, *_channel_grid(channels), (*map(_address, arrays), channels, slices, units, per, *numbers))
    for average, found in zip((running_mean, running_var), averages):
        if average is not found:
            from ..copy import copy_into

            copy_into(average, found)
    return _normalized(x, factors), mean, rstd


def batch_norm_eval(
    x: CudaArray, weight: CudaArray | None, bias: CudaArray | None, running_mean: CudaArray, running_var: CudaArray, eps: float
) -> Triple:
    channels = x.shape[1]
    kind = _dtypes.compute_dtype(x.dtype)
    mean, rstd, factors = empty((channels,), kind), empty((channels,), kind), empty((3, channels), kind)
    if channels:
        weight, bias = _packed(weight), _packed(bias)
        arrays = mean, rstd, factors, _packed(running_mean), _packed(running_var), weight, bias
        kernel = _cuda_batch.fixed(kind, weight is not None, bias is not None)
        launch(kernel, *blocks(channels), (*map(_address, arrays), channels, eps))
    return _normalized(x, factors) if x.size else empty(x.shape, x.dtype), mean, rstd


def batch_norm_backward(g: CudaArray, x: CudaArray, weight: CudaArray | None, mean: CudaArray, rstd: CudaArray, training: bool) -> Triple:
    samples, channels, positions = x.shape
    kind = _dtypes.compute_dtype(x.dtype)
    if x.size == 0:
        return empty(x.shape, x.dtype), zeros((channels,), kind), zeros((channels,), kind)
    weight, mean, rstd = _packed(weight), _packed(mean), _packed(rstd)  # type: ignore[assignment]
    dx, dw, db = empty(x.shape, x.dtype), empty((channels,), kind), empty((channels,), kind)
    units, per, slices, lanes = _cut(x, g)
    part, factors = empty((2, channels, slices), kind), empty((3, channels), kind)
    arrays = part.pointer, g.pointer, x.pointer, mean.pointer
    if positions == 1:
        launch(passes.feature_products(x.dtype), *_feature_grid(channels, slices), (*arrays, channels, units, per, slices))
    else:
        wide = x.size >= NARROW
        told = channels, *divisor(positions // lanes), units, per, slices
        launch(passes.products(x.dtype, lanes, wide), channels * slices, _cuda_batch.THREADS, (*arrays, *told))
    joined = dw.pointer, db.pointer, factors.pointer, part.pointer, _address(weight), rstd.pointer
    join = passes.join_products(kind, weight is not None, training)
    launch(join, *_channel_grid(channels), (*joined, channels, slices, 1 / (samples * positions)))
    how, shape = _pass(x, g, dx, mean)
    last = passes.slopes(x.dtype, *how, training)
    launch(last, *blocks(shape[-1]), (dx.pointer, g.pointer, x.pointer, mean.pointer, factors.pointer, *shape))
    return dx, dw, db


# ---- layer norm ---------------------------------------------------------------------------------------------------------------------------

_ROUNDS = 4  # of rows that a block has at least, where it sums their gradients


def layer_norm(x: CudaArray, width: int, outer: tuple[int, ...], weight: CudaArray | None, bias: CudaArray | None, eps: float) -> Triple:
    """``x``: contiguous, its rows of ``width`` elements are normalised; ``outer`` is the shape of their statistics."""
    kind = _dtypes.compute_dtype(x.dtype)
    y, mean, rstd = empty(x.shape, x.dtype), empty(outer, kind), empty(outer, kind)
    if not x.size:
        _fill(mean, 0)
        _fill(rstd, np.nan)
        return y, mean, rstd
    weight, bias = _packed(weight), _packed(bias)
    count, lanes = x.size // width, vectors.lanes_of(width, x, weight, bias)
    shape = _cuda_layer.shape_of(x.dtype, width, lanes)
    affine = weight is not None, bias is not None
    arrays = y.pointer, mean.pointer, rstd.pointer, x.pointer, _address(weight), _address(bias)
    if shape is None:
        kernel = _cuda_layer_long.forward(x.dtype, lanes, *affine)
        launch(kernel, count, _cuda_layer_long.THREADS, (*arrays, width, 1 / width, eps))
    else:
        kernel = _cuda_layer.forward(x.dtype, shape, *affine)
        launch(kernel, -(-count // shape.teams), shape.block, (*arrays, count, width, 1 / width, eps))
    return y, mean, rstd


def layer_norm_backward(
    g: CudaArray, x: CudaArray, width: int, mean: CudaArray, rstd: CudaArray, weight: CudaArray | None, affine: bool
) -> tuple[CudaArray, CudaArray | None, CudaArray | None]:
    """dx, of x's shape, and the gradients of weight and bias, (width,), or None without ``affine``."""
    kind = _dtypes.compute_dtype(x.dtype)
    dx = empty(x.shape, x.dtype)
    if not x.size:
        return (dx, zeros((width,), kind), zeros((width,), kind)) if affine else (dx, None, None)
    weight = _packed(weight)
    count, lanes = x.size // width, vectors.lanes_of(width, g, x, weight)
    shape = _cuda_layer.shape_of(x.dtype, width, lanes)
    statistics = _address(weight), mean.pointer, rstd.pointer
    if shape is None:
        kernel = _cuda_layer_long.backward(x.dtype, lanes, weight is not None)
        launch(kernel, count, _cuda_layer_long.THREADS, (dx.pointer, g.pointer, x.pointer, *statistics, width, 1 / width))
        part = _column_sums(g, x, mean, rstd, count, width) if affine else None
    else:
        rounds = -(-count // shape.teams)
        each = -(-rounds // max(1, min(_BLOCKS, rounds // _ROUNDS))) if affine else 1
        part = empty((-(-rounds // each), 2 * width), kind) if affine else None
        kernel = _cuda_layer.backward(x.dtype, shape, weight is not None, affine)
        arguments = (dx.pointer, _address(part), g.pointer, x.pointer, *statistics, count, width, each, 1 / width)
        launch(kernel, -(-rounds // each), shape.block, arguments)
    if part is None:
        return dx, None, None
    slopes = _added(part)
    return dx, slopes[:width], slopes[width:]


def _column_sums(g: CudaArray, x: CudaArray, mean: CudaArray, rstd: CudaArray, count: int, width: int) -> CudaArray:
    """The gradients of weight and bias of slices of the rows, (slices, 2 * width)."""
    tiles = -(-width // _cuda_layer_long.COLUMNS)
    each = -(-count // max(1, min(_BLOCKS // tiles, count // (_ROUNDS * _cuda_layer_long.ROWS))))
    slices = -(-count // each)
    part = empty((slices, 2 * width), _dtypes.compute_dtype(x.dtype))
    arguments = part.pointer, g.pointer, x.pointer, mean.pointer, rstd.pointer, count, width, each
    launch(_cuda_layer_long.columns(x.dtype), (tiles, slices), (_cuda_layer_long.COLUMNS, _cuda_layer_long.ROWS), arguments)
    return part


def _added(part: CudaArray) -> CudaArray:
    """The sum of the rows of ``part``."""
    slices, width = part.shape
    return part[0] if slices == 1 else fold("sum", part, 1, slices, width, part.dtype)


# ---- group norm ---------------------------------------------------------------------------------------------------------------------------
#
# By layer norm, whose rows are the groups, and one elementwise kernel that applies what is per channel.


def _across(values: CudaArray, dtype: np.dtype, shape: tuple[int, ...]) -> CudaArray:
    from ..copy import cast, contiguous

    return cast(contiguous(values), dtype).reshape(shape)


def group_norm(
    x: CudaArray, axes: tuple[int, int, int], groups: int, weight: CudaArray | None, bias: CudaArray | None, eps: float
) -> Triple:
    """``x``: contiguous and not empty; ``axes`` are its samples, channels and positions.  The statistics are (samples, groups)."""
    samples, channels, positions = axes
    width = channels // groups * positions
    y, mean, rstd = layer_norm(x.reshape(samples * groups, width), width, (samples, groups), None, None, eps)
    y = y.reshape(axes)
    kind = mean.dtype
    factor = None if weight is None else _across(weight, kind, (1, channels, 1))
    offset = None if bias is None else _across(bias, kind, (1, channels, 1))
    if factor is not None and offset is not None:
        run(formulas.addcmul, offset, y, factor, 1, out=(y,))
    elif factor is not None:
        run(formulas.mul, y, factor, out=(y,))
    elif offset is not None:
        run(formulas.add, y, offset, out=(y,))
    return y.reshape(x.shape), mean, rstd


def group_norm_backward(
    g: CudaArray,
    x: CudaArray,
    axes: tuple[int, int, int],
    groups: int,
    mean: CudaArray,
    rstd: CudaArray,
    weight: CudaArray | None,
    affine: bool,
) -> tuple[CudaArray, CudaArray | None, CudaArray | None]:
    """dx, of x's shape, and the gradients of weight and bias, (channels,), or None without ``affine``."""
    from ..reduce import sum as total

    samples, channels, positions = axes
    width = channels // groups * positions
    rows, g = (samples * groups, width), g.reshape(axes)
    scaled = g if weight is None else run(formulas.mul, g, _across(weight, g.dtype, (1, channels, 1)))
    dx = layer_norm_backward(scaled.reshape(rows), x.reshape(rows), width, mean, rstd, None, False)[0].reshape(x.shape)
    if not affine:
        return dx, None, None
    kind, wide = mean.dtype, (samples * groups, 1)
    distance = run(formulas.sub, x.reshape(rows), _across(mean, kind, wide))
    h = run(formulas.mul, distance, _across(rstd, kind, wide)).reshape(axes)
    return dx, total(run(formulas.mul, g, h), (0, 2)), total(g, (0, 2), dtype=kind)
