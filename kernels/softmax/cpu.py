"""Softmax and its losses on the CPU.  Arrays come contiguous: seen as (outer, width, inner) for softmax, as (samples, classes) or
(samples, classes, positions) for the losses; index targets are 1-D int64, one per sample and position."""

from __future__ import annotations

import numpy as np

from .. import _cpu
from .._cpu import launch
from ._entropy import row_entropy
from ._lanes import TILE
from ._lanes import lane_kernels as _lane_kernels
from ._losses import BLOCK, finish
from ._losses import loss_kernels as _loss_kernels
from ._rows import row_kernels as _row_kernels

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_soft",
    "cross_entropy_soft_backward",
    "log_softmax",
    "log_softmax_backward",
    "nll_loss",
    "nll_loss_backward",
    "row_entropy",
    "softmax",
    "softmax_backward",
]

# With fewer columns than this the lanes of a vector would idle: transposing into rows is cheaper.
_FEW = 8
# What an exponential weighs against an addition when a launch is judged worth splitting.
_EXP = 8
# What kernels are given for class weights where there are none.
_NO_WEIGHTS = {dtype: np.empty(0, dtype) for dtype in (np.dtype(np.float32), np.dtype(np.float64))}


def _writable(x: np.ndarray) -> np.ndarray:
    """``x``, or a copy of a read-only one: one Numba type for every array means one compilation."""
    return x if x.flags.writeable else x.copy()


def _along_axis(name: str, scratch: int, *arrays: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Run the row or the lane kernel ``name`` over arrays of one (outer, width, inner) shape; the lane kernel takes ``scratch`` scratch arrays.  ``out``
    is contiguous and of that shape."""
    shape, dtype = arrays[0].shape, arrays[0].dtype
    outer, width, inner = shape
    y = _cpu.empty(shape, dtype) if out is None else out
    if y.size == 0:
        return y
    work = _EXP * outer * width * inner
    if inner == 1:
        getattr(_row_kernels(dtype), name)(outer, id(y), *map(id, arrays), width, work=work)
        return y
    if inner < _FEW:
        rows = [np.ascontiguousarray(a.transpose(0, 2, 1)) for a in arrays]
        sideways = _cpu.empty((outer, inner, width), dtype)
        getattr(_row_kernels(dtype), name)(outer * inner, id(sideways), *map(id, rows), width, work=work)
        y[...] = sideways.transpose(0, 2, 1)
        return y
    inputs = [_writable(a) for a in arrays]
    columns = [_cpu.empty((outer, inner), dtype) for _ in range(scratch)]
    launch(getattr(_lane_kernels(dtype), name), outer * -(-inner // TILE), y, *columns, *inputs, work=work)
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
    return _NO_WEIGHTS[dtype] if weight is None else _writable(np.ascontiguousarray(weight))


def _with_positions(x: np.ndarray) -> np.ndarray:
    """(samples, classes) as (samples, classes, 1)."""
    return x if x.ndim == 3 else x.reshape(*x.shape, 1)


def _log_probabilities(x: np.ndarray, counted: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat array of the log-softmax along axis 1 with ``counted`` free places behind, and the log-softmax as (samples, classes, positions)."""
    shape = x.shape if x.ndim == 3 else (*x.shape, 1)
    saved = _cpu.empty(x.size + counted, x.dtype)
    y = saved[: x.size].reshape(shape)
    return saved, _along_axis("log_softmax", 3, x.reshape(shape), out=y)


def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore: int, smoothing: float, reduction: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The loss of (samples, classes, positions), the log-probabilities with the weights counted behind, and whether every index was in range."""
    saved, y = _log_probabilities(x, 1)
    loss, inside = _nll_loss(saved[-1:], y, target, weight, ignore, smoothing, reduction)
    return loss, saved, inside


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
    slope = nll_loss_backward(grad, x.shape, target, saved[-1:], weight, ignore, smoothing, reduction)
    return log_softmax_backward(slope, saved[:-1].reshape(x.shape))


def cross_entropy_soft(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, smoothing: float, reduction: str
) -> tuple[np.ndarray, np.ndarray]:
    """The loss for class probabilities, and the log-probabilities with the number of samples behind."""
    dtype = x.dtype
    saved, y = _log_probabilities(x, 1)
    losses, loss = _cpu.empty(y.shape[0] * y.shape[2], dtype), _cpu.empty(1, dtype)
    blocks = -(-losses.size // BLOCK)
    partial = _cpu.empty((blocks, 2), np.float64)
    wanted = _writable(target).reshape(y.shape)
    launch(_loss_kernels(dtype).soft, blocks, losses, partial, y, wanted, _weights(weight, dtype), smoothing, work=x.size)
    launch(finish, 1, loss, saved[-1:], partial, reduction == "mean")
    return (losses if reduction == "none" else loss), saved


def cross_entropy_soft_backward(
    grad: np.ndarray, x: np.ndarray, target: np.ndarray, saved: np.ndarray, weight: np.ndarray | None, smoothing: float, reduction: str
) -> np.ndarray:
    """``saved`` says all there is to know of ``x``."""
    dtype = saved.dtype
    wanted = _with_positions(_writable(target))
    slope = _cpu.empty(wanted.shape, dtype)
    softly, weights = _loss_kernels(dtype).soft_backward, _weights(weight, dtype)
    mean = reduction == "mean"
    launch(softly, wanted.shape[0], slope, _writable(grad), saved[-1:], wanted, weights, smoothing, mean, work=target.size)
    return log_softmax_backward(slope, saved[:-1].reshape(wanted.shape))


def nll_loss(
    y: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore: int, reduction: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The loss, the weights counted, and whether every index was in range."""
    counted = _cpu.empty(1, y.dtype)
    loss, inside = _nll_loss(counted, y if y.ndim == 3 else y[:, :, None], target, weight, ignore, 0.0, reduction)
    return loss, counted, inside


def _nll_loss(
    counted: np.ndarray, y: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore: int, smoothing: float, reduction: str
) -> tuple[np.ndarray, bool]:
    samples, _, positions = y.shape
    dtype = y.dtype
    losses, loss = _cpu.empty(samples * positions, dtype), _cpu.empty(1, dtype)
    blocks = -(-losses.size // BLOCK)
    partial = _cpu.empty((blocks, 2), np.float64)
    bad = _cpu.zeros(1, np.uint8)
    pair, weights = (_writable(y), _writable(target)), _weights(weight, dtype)
    launch(_loss_kernels(dtype).nll, blocks, losses, partial, bad, *pair, weights, ignore, smoothing, work=_EXP * losses.size)
    launch(finish, 1, loss, counted, partial, reduction == "mean")
    return (losses if reduction == "none" else loss), not bad[0]


def nll_loss_backward(
    grad: np.ndarray,
    shape: tuple[int, ...],
    target: np.ndarray,
    counted: np.ndarray,
    weight: np.ndarray | None,
    ignore: int,
    smoothing: float,
    reduction: str,
) -> np.ndarray:
    dtype = grad.dtype
    slope = _cpu.empty(shape if len(shape) == 3 else (*shape, 1), dtype)
    hit, weights = _loss_kernels(dtype).nll_backward, _weights(weight, dtype)
    mean = reduction == "mean"
    pair = _writable(grad), _writable(counted)
    launch(hit, shape[0], slope, *pair, _writable(target), weights, ignore, smoothing, mean, work=slope.size)
    return slope
