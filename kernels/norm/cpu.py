"""Normalisation on the CPU.  Arrays come contiguous; those of batch norm as (samples, channels, positions)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _cpu, _dtypes
from .._cpu import launch
from .._cpu.simd import COMPILED
from . import _batch, _group
from ._layer_lanes import lane_kernels
from ._layer_rows import row_kernels
from ._sums import TILE, add_blocks

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]
# Shorter rows are turned into lanes.
_LONG = 32


def work_dtype(dtype: np.dtype) -> np.dtype:
    """The type that arrays of ``dtype`` are to come in."""
    return _dtypes.compute_dtype(dtype)


def _writable(x: np.ndarray) -> np.ndarray:
    """``x``, or a copy of a read-only one: one Numba type for every array means one compilation."""
    return x if x.flags.writeable else x.copy()


def _vector(values: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    """Weights or biases for a kernel: contiguous, or empty for none."""
    return _cpu.empty(0, dtype) if values is None else _writable(np.ascontiguousarray(values).reshape(-1))


def batch_norm_train(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    momentum: float,
    eps: float,
) -> Triple:
    samples, channels, positions = x.shape
    dtype = x.dtype
    y = _cpu.empty(x.shape, dtype)
    mean, rstd, var = (_cpu.empty(channels, dtype) for _ in range(3))
    if x.size == 0:
        mean.fill(0)
        rstd.fill(np.nan)
        return y, mean, rstd
    weight, bias, x = _vector(weight, dtype), _vector(bias, dtype), _writable(x)
    tiles = -(-channels // _batch.TILE)
    if positions == 1:
        part, total = _cpu.empty((2, channels), dtype), _cpu.empty((2, channels), np.float64)
        flat = (samples, channels)
        launch(_batch.features, tiles, y.reshape(flat), mean, rstd, var, part, total, x.reshape(flat), weight, bias, eps, work=6 * x.size)
    else:
        part, total = _cpu.empty((2, samples, channels), np.float64), _cpu.empty((2, channels), np.float64)
        factors = _cpu.empty((3, channels), dtype)
        launch(_batch.plane_moments, -(-samples // _batch.SAMPLES), part, x, work=3 * x.size)
        launch(_batch.join_moments, tiles, mean, rstd, var, factors, part, total, positions, weight, bias, eps, work=part.size)
        launch(_batch.normalize, samples, y, x, factors, work=2 * x.size)
    if running_mean is not None:
        count = samples * positions
        # A single value has no unbiased variance: the average then becomes NaN or infinite, as the formula says.
        unbias = count / (count - 1) if count > 1 else np.inf
        launch(_batch.running, channels, running_mean, running_var, mean, var, momentum, unbias, work=channels)
    return y, mean, rstd


def batch_norm_eval(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, running_mean: np.ndarray, running_var: np.ndarray, eps: float
) -> Triple:
    samples, channels, positions = x.shape
    dtype = x.dtype
    y = _cpu.empty(x.shape, dtype)
    mean, rstd, factors = _cpu.empty(channels, dtype), _cpu.empty(channels, dtype), _cpu.empty((3, channels), dtype)
    weight, bias = _vector(weight, dtype), _vector(bias, dtype)
    statistics = _vector(running_mean, dtype), _vector(running_var, dtype)
    launch(_batch.fixed, channels, mean, rstd, factors, *statistics, weight, bias, eps, work=4 * channels)
    x = _writable(x)
    if positions == 1:
        flat = (samples, channels)
        launch(_batch.normalize_features, samples, y.reshape(flat), x.reshape(flat), factors, work=2 * x.size)
    else:
        launch(_batch.normalize, samples, y, x, factors, work=2 * x.size)
    return y, mean, rstd


def batch_norm_backward(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray, training: bool
) -> Triple:
    samples, channels, positions = x.shape
    dtype = x.dtype
    dx = _cpu.empty(x.shape, dtype)
    dw, db = _cpu.empty(channels, dtype), _cpu.empty(channels, dtype)
    weight, mean, rstd = _vector(weight, dtype), _vector(mean, dtype), _vector(rstd, dtype)
    g, x = _writable(g), _writable(x)
    tiles = -(-channels // _batch.TILE)
    if x.size == 0:
        dw.fill(0)
        db.fill(0)
    elif positions == 1:
        part, total = _cpu.empty((3, channels), dtype), _cpu.empty((2, channels), np.float64)
        flat = (samples, channels)
        pair = g.reshape(flat), x.reshape(flat)
        launch(_batch.features_backward, tiles, dx.reshape(flat), dw, db, part, total, *pair, weight, mean, rstd, training, work=6 * x.size)
    else:
        part, total = _cpu.empty((2, samples, channels), np.float64), _cpu.empty((2, channels), np.float64)
        factors = _cpu.empty((3, channels), dtype)
        launch(_batch.plane_products, samples, part, g, x, mean, work=3 * x.size)
        launch(_batch.join_products, tiles, dw, db, factors, part, total, positions, weight, rstd, training, work=part.size)
        launch(_batch.plane_slopes, samples, dx, g, x, mean, factors, training, work=4 * x.size)
    return dx, dw, db


def _filled(values: np.ndarray | None, width: int, value: float, dtype: np.dtype) -> np.ndarray:
    """Weights or biases as a contiguous array; what changes nothing, for none."""
    return _cpu.full(width, value, dtype) if values is None else np.ascontiguousarray(values)


def _layer_kernels(dtype: np.dtype, width: int) -> Any:
    return row_kernels(dtype) if width >= _LONG and COMPILED else lane_kernels(dtype)


def layer_norm(x: np.ndarray, width: int, outer: tuple[int, ...], weight: np.ndarray | None, bias: np.ndarray | None, eps: float) -> Triple:
    """``x``: contiguous, its rows of ``width`` elements are normalised; ``outer`` is the shape of their statistics."""
    dtype, size = x.dtype, x.size
    y, mean, rstd = _cpu.empty(x.shape, dtype), _cpu.empty(outer, dtype), _cpu.empty(outer, dtype)
    if size:
        kernels, count = _layer_kernels(dtype, width), size // width
        weight, bias = _filled(weight, width, 1, dtype), _filled(bias, width, -0.0, dtype)
        arrays = id(y), id(mean), id(rstd), id(x), id(weight), id(bias)
        kernels.forward(-(-count // kernels.rows), *arrays, count, width, eps, work=6 * size)
    else:
        mean.fill(0)
        rstd.fill(np.nan)
    return y, mean, rstd


def _block(count: int, least: int) -> int:
    """How many rows are summed into one partial sum: an eighth of all, a multiple of ``least``, but no more than 16 of these.  It depends on nothing
    but the shape, so that the sums do not depend on the threads."""
    return least * max(1, min(16, count // (8 * least)))


def layer_norm_backward(
    g: np.ndarray, x: np.ndarray, width: int, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None, affine: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """dx, of x's shape, and the gradients of weight and bias, (width,), or None without ``affine``."""
    dtype, size = x.dtype, x.size
    dx = _cpu.empty(x.shape, dtype)
    if not size:
        return (dx, _cpu.zeros(width, dtype), _cpu.zeros(width, dtype)) if affine else (dx, None, None)
    kernels, count = _layer_kernels(dtype, width), size // width
    block = _block(count, kernels.rows)
    blocks = -(-count // block)
    part = _cpu.empty((blocks, 2 * width), dtype)
    weight = _filled(weight, width, 1, dtype)
    arrays = id(dx), id(part), id(g), id(x), id(weight), id(mean), id(rstd)
    kernels.backward(blocks, *arrays, count, width, block, work=10 * size)
    if not affine:
        return dx, None, None
    slopes = part[0]
    if blocks > 1:
        slopes = _cpu.empty(2 * width, dtype)
        launch(add_blocks, -(-2 * width // TILE), slopes, part, work=part.size)
    return dx, slopes[:width], slopes[width:]


def group_norm(
    x: np.ndarray, axes: tuple[int, int, int], groups: int, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> Triple:
    """``x``: contiguous and not empty; ``axes`` are its samples, channels and positions.  The statistics are (samples, groups)."""
    samples, channels, positions = axes
    dtype, count = x.dtype, samples * groups
    y, mean, rstd = _cpu.empty(x.shape, dtype), _cpu.empty((samples, groups), dtype), _cpu.empty((samples, groups), dtype)
    planes = count, channels // groups, positions
    arrays = y.reshape(planes), mean.reshape(count), rstd.reshape(count), _writable(x).reshape(planes)
    launch(_group.normalize, count, *arrays, _vector(weight, dtype), _vector(bias, dtype), eps, work=6 * x.size)
    return y, mean, rstd


def group_norm_backward(
    g: np.ndarray,
    x: np.ndarray,
    axes: tuple[int, int, int],
    groups: int,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None,
    affine: bool,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """dx, of x's shape, and the gradients of weight and bias, (channels,), or None without ``affine``."""
    samples, channels, positions = axes
    dtype, count = x.dtype, samples * groups
    dx, part = _cpu.empty(x.shape, dtype), _cpu.empty((samples, 2 * channels), dtype)
    planes = count, channels // groups, positions
    arrays = dx.reshape(planes), part, _writable(g).reshape(planes), _writable(x).reshape(planes)
    launch(_group.slopes, count, *arrays, mean.reshape(count), rstd.reshape(count), _vector(weight, dtype), work=10 * x.size)
    if not affine:
        return dx, None, None
    sums = _cpu.empty(2 * channels, dtype)
    launch(add_blocks, -(-2 * channels // TILE), sums, part, work=part.size)
    return dx, sums[:channels], sums[channels:]
