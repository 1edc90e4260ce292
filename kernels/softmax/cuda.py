"""Softmax and its losses on CUDA.  Arrays come contiguous: seen as (outer, width, inner) for softmax, as (samples, classes) or
(samples, classes, positions) for the losses; index targets are 1-D int64, one per sample and position.  16-bit floats come as they are.

A class index out of range is reported by the kernel and raised later (``_cuda.faults``): such a sample counts for nothing, and every function says
that all indices are in range.
"""

from __future__ import annotations

import functools
from operator import index
from typing import Any

import numpy as np

from .. import _dtypes
from .._cpu import layout
from .._cuda import devices, faults
from .._cuda.array import CudaArray, empty
from .._cuda.elements import divisor, index_type
from .._cuda.lanes import lanes_of
from .._cuda.launch import blocks, launch
from ..copy import cuda as copy
from . import _cuda_columns, _cuda_entropy, _cuda_losses, _cuda_rows

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

# With fewer columns than this neighbouring threads would read little of what lies together: they are made rows first.
_FEW = 8


# ---- softmax ----------------------------------------------------------------------------------------------------------------------------------------


def _along_axis(name: str, log: bool, *arrays: CudaArray) -> CudaArray:
    """Run the kernel ``name`` over rows or columns of arrays of one (outer, width, inner) shape."""
    outer, width, inner = arrays[0].shape
    y = empty(arrays[0].shape, arrays[0].dtype)
    if not y.size:
        return y
    if 1 < inner < _FEW:
        rows = [copy.packed(a.transpose(0, 2, 1)).reshape(outer, inner * width, 1).reshape(outer * inner, width, 1) for a in arrays]
        copy.move(y, _along_axis(name, log, *rows).reshape(outer, inner, width).transpose(0, 2, 1))
        return y
    pointers = [a.pointer for a in (y, *arrays)]
    if inner == 1:
        plan = _cuda_rows.plan(width, lanes_of(width, y, *arrays), y.dtype)
        launch(getattr(_cuda_rows, name)(y.dtype, plan, log), _cuda_rows.grid(outer, plan), plan.block, (*pointers, outer, width))
    else:
        columns = outer * inner
        shape = _cuda_columns.plan(columns, width)
        launch(
            getattr(_cuda_columns, name)(y.dtype, shape, log), _cuda_columns.grid(columns, shape), shape, (*pointers, columns, width, inner)
        )
    return y


def softmax(x: CudaArray) -> CudaArray:
    return _along_axis("softmax", False, x)


def softmax_backward(g: CudaArray, y: CudaArray) -> CudaArray:
    return _along_axis("softmax_backward", False, g, y)


def log_softmax(x: CudaArray) -> CudaArray:
    return _along_axis("softmax", True, x)


def log_softmax_backward(g: CudaArray, y: CudaArray) -> CudaArray:
    return _along_axis("softmax_backward", True, g, y)


# ---- cross entropy ----------------------------------------------------------------------------------------------------------------------------------


def _outside() -> int:
    return faults.kind(IndexError, "Target {index} is out of bounds.")


def _computed(dtype: np.dtype) -> np.dtype:
    return _dtypes.compute_dtype(dtype)


def _shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(samples, classes) as (samples, classes, 1)."""
    samples, classes, positions = (*shape, 1)[:3]
    return samples, classes, positions


def _reduced(losses: CudaArray, counts: CudaArray, counted: int, dtype: np.dtype, mean: bool) -> CudaArray:
    """The sum of ``losses`` as a number of ``dtype``, or their ``mean``; the sum of ``counts`` is written to the address ``counted``."""
    loss, n = empty((), dtype), losses.size
    parts = _cuda_losses.summing_blocks(n)
    if parts > 1:
        sums = empty((2, parts), counts.dtype)
        arguments = sums[0].pointer, sums[1].pointer, losses.pointer, counts.pointer, n, False
        launch(_cuda_losses.add_up(counts.dtype, False), parts, _cuda_losses.team(_cuda_losses.SUMMING), arguments)
        losses, counts, n = sums[0], sums[1], parts
    arguments = loss.pointer, counted, losses.pointer, counts.pointer, n, mean
    launch(_cuda_losses.add_up(dtype, True), 1, _cuda_losses.team(_cuda_losses.SUMMING), arguments)
    return loss


def _entropy(
    x: CudaArray, target: CudaArray, weight: CudaArray | None, ignore: int, smoothing: float, reduction: str
) -> tuple[CudaArray, CudaArray]:
    """The loss, and ``saved``; ``target`` of x's dtype are probabilities."""
    dtype, computed = x.dtype, _computed(x.dtype)
    samples, classes, positions = _shape(x.shape)
    n = samples * positions
    stored = dtype if reduction == "none" else computed
    losses, counts, saved = empty((n,), stored), empty((n,), computed), empty((2 * n + 1,), computed)
    soft, each = target.dtype == dtype, smoothing / classes if classes else 0.0
    flags = soft, weight is not None, smoothing != 0.0
    chosen = x if weight is None else copy.packed(weight) if not weight.flags.c_contiguous else weight
    pointers = losses.pointer, counts.pointer, saved.pointer, x.pointer, target.pointer, chosen.pointer
    arguments = *pointers, index(ignore), 1.0 - smoothing, each, faults.record(), _outside(), n, classes
    if n and positions == 1:
        lanes = lanes_of(classes, x, target) if soft else lanes_of(classes, x)
        plan = _cuda_rows.plan(classes, lanes, dtype)
        launch(_cuda_entropy.rows(dtype, stored, plan, *flags), _cuda_rows.grid(n, plan), plan.block, arguments)
    elif n:
        shape = _cuda_columns.plan(n, classes)
        launch(_cuda_entropy.columns(dtype, stored, shape, *flags), _cuda_columns.grid(n, shape), shape, (*arguments, positions))
    if reduction == "none":
        return losses, saved
    return _reduced(losses, counts, saved.pointer + 2 * n * computed.itemsize, dtype, reduction == "mean"), saved


def _slope(
    grad: CudaArray,
    x: CudaArray | None,
    shape: tuple[int, ...],
    target: CudaArray,
    saved: CudaArray,
    weight: CudaArray | None,
    ignore: int,
    smoothing: float,
    mean: bool,
    each: bool,
) -> CudaArray:
    """The gradient of scores of ``shape``; without the scores ``x``, that of log-probabilities.  ``each``: ``grad`` has an element for each sample.
    ``saved`` ends with the weights counted."""
    dtype = grad.dtype
    samples, classes, positions = _shape(shape)
    dx, n = empty(shape, dtype), samples * positions
    if not dx.size:
        return dx
    soft, across = target.dtype == dtype, positions > 1
    row = positions if across else classes
    lanes = lanes_of(row, dx, x, target if soft else None)
    vectors = dx.size // lanes
    flags = across, soft, weight is not None, smoothing != 0.0, x is not None
    found = _cuda_losses.slope(dtype, lanes, index_type(max(vectors, n)), *flags)
    chosen = dx if weight is None else copy.packed(weight) if not weight.flags.c_contiguous else weight
    counted = saved.pointer + (saved.size - 1) * saved.itemsize
    pointers = dx.pointer, grad.pointer, (dx if x is None else x).pointer, saved.pointer, counted, target.pointer, chosen.pointer
    sizes = vectors, *divisor(row // lanes), *divisor(classes), positions, n, int(each), index(ignore)
    launch(found, *blocks(vectors), (*pointers, *sizes, 1.0 - smoothing, smoothing / classes, mean))
    return dx


def cross_entropy(
    x: CudaArray, target: CudaArray, weight: CudaArray | None, ignore: int, smoothing: float, reduction: str
) -> tuple[CudaArray, CudaArray, bool]:
    """The loss of (samples, classes, positions), what the gradient needs, and True."""
    return *_entropy(x, target, weight, ignore, smoothing, reduction), True


def cross_entropy_backward(
    grad: CudaArray,
    x: CudaArray,
    target: CudaArray,
    saved: CudaArray,
    weight: CudaArray | None,
    ignore: int,
    smoothing: float,
    reduction: str,
) -> CudaArray:
    return _slope(grad, x, x.shape, target, saved, weight, ignore, smoothing, reduction == "mean", reduction == "none")


def cross_entropy_soft(
    x: CudaArray, target: CudaArray, weight: CudaArray | None, smoothing: float, reduction: str
) -> tuple[CudaArray, CudaArray]:
    """The loss for class probabilities, and what the gradient needs."""
    return _entropy(x, target, weight, 0, smoothing, reduction)


def cross_entropy_soft_backward(
    grad: CudaArray, x: CudaArray, target: CudaArray, saved: CudaArray, weight: CudaArray | None, smoothing: float, reduction: str
) -> CudaArray:
    return _slope(grad, x, x.shape, target, saved, weight, 0, smoothing, reduction == "mean", reduction == "none")


class RowEntropy:
    """The loss of (samples, classes) of one shape and dtype with one set of options.  Its methods see to it that they run on their arrays' device."""

    def __init__(self, ignore: int, smoothing: float, reduction: str):
        self.options = index(ignore), smoothing, reduction
        self.scalar: Any = None  # what a gradient must be that comes without a check

    def forward(self, x: CudaArray, target: CudaArray, weight: CudaArray | None) -> tuple[CudaArray, CudaArray, bool]:
        """The loss (a scalar, or one per row), what ``backward`` needs, and True."""
        with devices.guard(x.device_index):
            loss, saved = _entropy(x, target, weight, *self.options)
        if self.scalar is None:
            self.scalar = layout.layout(loss)
        return loss, saved, True

    def backward(self, grad: CudaArray, x: CudaArray, target: CudaArray, saved: CudaArray, weight: CudaArray | None) -> CudaArray:
        """The gradient of the scores."""
        with devices.guard(x.device_index):
            return cross_entropy_backward(grad, x, target, saved, weight, *self.options)


@functools.lru_cache(maxsize=1024)
def row_entropy(shape: tuple[int, int], dtype: np.dtype, weighted: bool, ignore: int, smoothing: float, reduction: str) -> RowEntropy:
    """The same object for the same arguments."""
    return RowEntropy(ignore, smoothing, reduction)


# ---- negative log likelihood ------------------------------------------------------------------------------------------------------------------------


def nll_loss(y: CudaArray, target: CudaArray, weight: CudaArray | None, ignore: int, reduction: str) -> tuple[CudaArray, CudaArray, bool]:
    """The loss, the weights counted, and True."""
    samples, classes, positions = _shape(y.shape)
    computed, n = _computed(y.dtype), samples * positions
    stored = y.dtype if reduction == "none" else computed
    losses, counts, counted = empty((n,), stored), empty((n,), computed), empty((1,), computed)
    chosen = y if weight is None else copy.packed(weight) if not weight.flags.c_contiguous else weight
    if n:
        found = _cuda_losses.nll(y.dtype, stored, weight is not None)
        pointers = losses.pointer, counts.pointer, y.pointer, target.pointer, chosen.pointer
        launch(found, *blocks(n), (*pointers, n, classes, positions, index(ignore), faults.record(), _outside()))
    # Of "none" the sum of the weights is wanted too: that of the losses comes with it.
    loss = _reduced(counts if reduction == "none" else losses, counts, counted.pointer, y.dtype, reduction == "mean")
    return losses if reduction == "none" else loss, counted, True


def nll_loss_backward(
    grad: CudaArray,
    shape: tuple[int, ...],
    target: CudaArray,
    counted: CudaArray,
    weight: CudaArray | None,
    ignore: int,
    smoothing: float,
    reduction: str,
) -> CudaArray:
    return _slope(grad, None, shape, target, counted, weight, ignore, smoothing, reduction == "mean", reduction == "none")
