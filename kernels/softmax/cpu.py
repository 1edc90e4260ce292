"""Softmax and its losses on the CPU.  Arrays come contiguous, seen as (outer, width, inner); index targets are 1-D int64."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _cpu
from .._cpu import launch
from ._lanes import TILE, lane_kernels
from ._losses import BLOCK, finish, loss_kernels
from ._rows import BLOCK_ROWS, row_kernels

# With fewer columns than this the lanes of a vector would idle: transposing into rows is cheaper.
_FEW = 8
# What an exponential weighs against an addition when a launch is judged worth splitting.
_EXP = 8


def _writable(x: np.ndarray) -> np.ndarray:
    """``x``, or a copy of a read-only one: one Numba type for every array means one compilation."""
    return x if x.flags.writeable else x.copy()


def _as_rows(x: np.ndarray) -> np.ndarray:
    """(outer, width, inner) as rows along the middle axis, (outer * inner, width)."""
    if x.shape[2] == 1:
        return x.reshape(x.shape[0], x.shape[1])
    return np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(-1, x.shape[1])


def _from_rows(y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if shape[2] == 1:
        return y.reshape(shape)
    return np.ascontiguousarray(y.reshape(shape[0], shape[2], shape[1]).transpose(0, 2, 1))


def _along_axis(name: str, scratch: int, *arrays: np.ndarray) -> np.ndarray:
    """Run the row or the lane kernel ``name`` over arrays of one (outer, width, inner) shape; the lane kernel takes ``scratch`` scratch arrays."""
    shape, dtype = arrays[0].shape, arrays[0].dtype
    outer, width, inner = shape
    if arrays[0].size == 0:
        return _cpu.empty(shape, dtype)
    inputs = [_writable(a) for a in arrays]
    work = _EXP * outer * width * inner
    if inner < _FEW:
        rows = [_as_rows(a) for a in inputs]
        y = _cpu.empty(rows[0].shape, dtype)
        launch(getattr(row_kernels(dtype), name), outer * inner, y, *rows, work=work)
        return _from_rows(y, shape)
    y = _cpu.empty(shape, dtype)
    columns = [_cpu.empty((outer, inner), dtype) for _ in range(scratch)]
    launch(getattr(lane_kernels(dtype), name), outer * -(-inner // TILE), y, *columns, *inputs, work=work)
    return y


def softmax(x: np.ndarray) -> np.ndarray:
    return _along_axis("softmax", 3, x)


def softmax_backward(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _along_axis("softmax_backward", 2, g, y)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return _along_axis("log_softmax", 3, x)


def log_softmax_backward(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _along_axis("log_softmax_backward", 2, g, y)


def _weights(weight: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    """Class weights for a kernel: contiguous, or empty for none."""
    return _cpu.empty(0, dtype) if weight is None else _writable(np.ascontiguousarray(weight))


def _reduced(losses: np.ndarray, partial: np.ndarray, reduction: str) -> tuple[np.ndarray, np.ndarray]:
    """The loss as a 1-D array, and the weights counted as an array of one element."""
    out = _cpu.empty(2, losses.dtype)
    launch(finish, 1, out, partial, reduction == "mean")
    return (losses if reduction == "none" else out[:1]), out[1:]


def _spread(grad: np.ndarray, counted: np.ndarray, reduction: str) -> np.ndarray:
    """What one sample's loss is worth: one element for all of them, or one for each."""
    if reduction == "mean":
        grad = grad / counted
    return _writable(grad)


def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore: int, smoothing: float, reduction: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The loss, what the backward pass needs, and whether every index was in range.

    Rows keep (maximum, sum of exponentials) per sample with the weights counted behind; columns keep the log-probabilities.
    """
    samples, classes, positions = x.shape
    dtype = x.dtype
    if positions != 1:
        y = log_softmax(x)
        loss, counted, inside = nll_loss(y, target, weight, ignore, smoothing, reduction)
        return loss, np.concatenate([y.reshape(-1), counted]), inside
    losses = _cpu.empty(samples, dtype)
    blocks = -(-samples // BLOCK_ROWS)
    partial = _cpu.empty((blocks, 2), np.float64)
    bad = _cpu.zeros(1, np.uint8)
    saved = _cpu.empty(2 * samples + 1, dtype)
    launch(
        row_kernels(dtype).cross_entropy,
        blocks,
        losses,
        partial,
        bad,
        saved[:-1].reshape(2, samples),
        _writable(x).reshape(samples, classes),
        _writable(target),
        _weights(weight, dtype),
        ignore,
        dtype.type(smoothing),
        work=_EXP * x.size,
    )
    loss, saved[-1:] = _reduced(losses, partial, reduction)
    return loss, saved, not bad[0]


def cross_entropy_backward(
    grad: np.ndarray,
    x: np.ndarray,
    target: np.ndarray,
    saved: np.ndarray,
    weight: np.ndarray | None,
    ignore: int,
    smoothing: float,
    reduction: str,
) -> np.ndarray:
    samples, classes, positions = x.shape
    dtype = x.dtype
    if positions != 1:
        slope = nll_loss_backward(grad, x.shape, target, saved[-1:], weight, ignore, smoothing, reduction)
        return log_softmax_backward(slope, saved[:-1].reshape(x.shape))
    weights = _weights(weight, dtype)
    dx = _cpu.empty((samples, classes), dtype)
    launch(
        row_kernels(dtype).cross_entropy_backward,
        samples,
        dx,
        _spread(grad, saved[-1:], reduction),
        saved[:-1].reshape(2, samples),
        _writable(x).reshape(samples, classes),
        _writable(target),
        weights,
        dtype.type(classes if weight is None else weights.sum()),
        ignore,
        dtype.type(smoothing),
        work=_EXP * x.size,
    )
    return dx


def cross_entropy_soft(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, smoothing: float, reduction: str
) -> tuple[np.ndarray, np.ndarray]:
    """The loss for class probabilities, and the log-probabilities with the number of samples behind."""
    samples, _, positions = x.shape
    dtype = x.dtype
    y = log_softmax(x)
    losses = _cpu.empty(samples * positions, dtype)
    blocks = -(-losses.size // BLOCK)
    partial = _cpu.empty((blocks, 2), np.float64)
    launch(loss_kernels(dtype).soft, blocks, losses, partial, y, _writable(target), _weights(weight, dtype), dtype.type(smoothing), work=x.size)
    loss, counted = _reduced(losses, partial, reduction)
    return loss, np.concatenate([y.reshape(-1), counted])


def cross_entropy_soft_backward(
    grad: np.ndarray, target: np.ndarray, saved: np.ndarray, weight: np.ndarray | None, smoothing: float, reduction: str
) -> np.ndarray:
    dtype = saved.dtype
    slope = _cpu.empty(target.shape, dtype)
    g = _spread(grad, saved[-1:], reduction)
    launch(
        loss_kernels(dtype).soft_backward,
        target.shape[0],
        slope,
        g,
        _writable(target),
        _weights(weight, dtype),
        dtype.type(smoothing),
        work=target.size,
    )
    return log_softmax_backward(slope, saved[:-1].reshape(target.shape))


def nll_loss(
    y: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore: int, smoothing: float, reduction: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The loss, the weights counted, and whether every index was in range."""
    samples, _, positions = y.shape
    dtype = y.dtype
    losses = _cpu.empty(samples * positions, dtype)
    blocks = -(-losses.size // BLOCK)
    partial = _cpu.empty((blocks, 2), np.float64)
    bad = _cpu.zeros(1, np.uint8)
    launch(
        loss_kernels(dtype).nll,
        blocks,
        losses,
        partial,
        bad,
        _writable(y),
        _writable(target),
        _weights(weight, dtype),
        ignore,
        dtype.type(smoothing),
        work=_EXP * losses.size,
    )
    loss, counted = _reduced(losses, partial, reduction)
    return loss, counted, not bad[0]


def nll_loss_backward(
    grad: np.ndarray,
    shape: tuple[int, int, int],
    target: np.ndarray,
    counted: np.ndarray,
    weight: np.ndarray | None,
    ignore: int,
    smoothing: float,
    reduction: str,
) -> np.ndarray:
    dtype = grad.dtype
    slope = _cpu.empty(shape, dtype)
    g = _spread(grad, counted, reduction)
    launch(
        loss_kernels(dtype).nll_backward, shape[0], slope, g, _writable(target), _weights(weight, dtype), ignore, dtype.type(smoothing), work=slope.size
    )
    return slope
