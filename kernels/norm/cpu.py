"""Normalisation on the CPU.  Arrays come contiguous: batch norm as (samples, channels, positions), layer norm as (rows, width)."""

from __future__ import annotations

import numpy as np

from .. import _cpu
from .._cpu import launch
from . import _batch, _layer

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


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


def layer_norm(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float) -> Triple:
    rows, width = x.shape
    dtype = x.dtype
    y = _cpu.empty(x.shape, dtype)
    mean, rstd = _cpu.empty(rows, dtype), _cpu.empty(rows, dtype)
    if width:
        launch(_layer.rows, rows, y, mean, rstd, _writable(x), _vector(weight, dtype), _vector(bias, dtype), eps, work=6 * x.size)
    else:
        mean.fill(0)
        rstd.fill(np.nan)
    return y, mean, rstd


def layer_norm_backward(
    g: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None, affine: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    rows, width = x.shape
    dtype = x.dtype
    dx = _cpu.empty(x.shape, dtype)
    blocks = -(-rows // _layer.BLOCK)
    part = _cpu.empty((blocks if affine else 0, 2, width), dtype)
    if x.size:
        weight = _cpu.full(width, 1, dtype) if weight is None else _vector(weight, dtype)
        statistics = _vector(mean, dtype), _vector(rstd, dtype)
        launch(_layer.rows_backward, blocks, dx, part, _writable(g), _writable(x), weight, *statistics, work=10 * x.size)
    if not affine:
        return dx, None, None
    total = _cpu.empty(2 * width, np.float64)
    launch(_layer.gather_blocks, -(-2 * width // _layer.TILE), total, part.reshape(blocks, 2 * width), work=part.size)
    slopes = total.astype(dtype)
    return dx, slopes[:width], slopes[width:]
