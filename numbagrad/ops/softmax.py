"""Softmax, log-softmax, and the losses built on them: cross entropy and negative log likelihood."""

from __future__ import annotations

import warnings
from typing import Any

from ..autograd import casting
from ..autograd.mode import state
from ..kernels import copy
from ..kernels import softmax as kernels
from ..kernels._device import device_of
from ..tensor import Tensor, wrap
from ._arguments import tensors_of
from ._attach import public
from ._operation import differentiable

# ---- softmax ----------------------------------------------------------------------------------------------------------------------

_softmax = differentiable("softmax", kernels.softmax, x=lambda g, y, dim: _softmax_backward(g, y, dim))
_log_softmax = differentiable("log_softmax", kernels.log_softmax, x=lambda g, y, dim: _log_softmax_backward(g, y, dim))

# slope = out · (grad − Σ grad · out), which is symmetric in grad's place: its own rule for grad.
_softmax_backward = differentiable(
    "softmax_backward",
    lambda grad, out, dim: kernels.softmax_backward(grad, out, dim),
    grad=lambda g, out, dim: _softmax_backward(g, out, dim),
    out=lambda g, grad, out, dim: g * (grad - (grad * out).sum(dim, keepdim=True)) - grad * (g * out).sum(dim, keepdim=True),
)
# slope = grad − exp(out) · Σ grad
_log_softmax_backward = differentiable(
    "log_softmax_backward",
    lambda grad, out, dim: kernels.log_softmax_backward(grad, out, dim),
    grad=lambda g, out, dim: g - (g * out.exp()).sum(dim, keepdim=True),
    out=lambda g, grad, out, dim: -g * out.exp() * grad.sum(dim, keepdim=True),
)


def _dimension(op: str, dim: int | None, ndim: int) -> int:
    """PyTorch's implicit choice where ``dim`` is None."""
    if dim is not None:
        return dim
    warnings.warn(f"Implicit dimension choice for {op} has been deprecated. Change the call to include dim=X as an argument.", stacklevel=3)
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(x) / Σ exp(x) along ``dim``, computed after subtracting the maximum; ``input`` is converted to ``dtype`` first, if given.

    Raises IndexError for a ``dim`` out of range, NotImplementedError for an integer ``input``.
    """
    if casting.active and dtype is None:
        (input,) = casting.arguments("softmax", input)
    return _softmax(input if dtype is None else input.to(dtype), _dimension("softmax", dim, input.ndim))  # type: ignore[attr-defined]


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(−x) along ``dim``"""
    if casting.active and dtype is None:
        (input,) = casting.arguments("softmax", input)
    return _softmax(-(input if dtype is None else input.to(dtype)), _dimension("softmin", dim, input.ndim))  # type: ignore[attr-defined]


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along ``dim``, without computing the softmax; ``input`` is converted to ``dtype`` first, if given.

    Raises IndexError for a ``dim`` out of range, NotImplementedError for an integer ``input``.
    """
    if casting.active and dtype is None:
        (input,) = casting.arguments("log_softmax", input)
    return _log_softmax(input if dtype is None else input.to(dtype), _dimension("log_softmax", dim, input.ndim))  # type: ignore[attr-defined]


@public(name="softmax", out=True)
def _softmax_along(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(x) / Σ exp(x) along ``dim``; ``input`` is converted to ``dtype`` first, if given."""
    return softmax(input, dim, dtype=dtype)


@public(name="log_softmax", out=True)
def _log_softmax_along(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along ``dim``; ``input`` is converted to ``dtype`` first, if given."""
    return log_softmax(input, dim, dtype=dtype)


# ---- losses -----------------------------------------------------------------------------------------------------------------------


def _targets_hit(shape: Any, dtype: Any, target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """weight[target] at each target's place, zero elsewhere: constant, shaped like the scores."""
    losses = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    minus, none = (copy.empty(size, dtype, device_of(target._data)) for size in (losses, (1,)))
    copy.fill(minus, -1.0)
    copy.fill(none, 1.0)
    return wrap(kernels.nll_loss_backward(minus, shape, target._data, none, None if weight is None else weight._data, ignore_index, "none"))


def _cross_entropy_slope(
    g: Tensor,
    logits: Tensor,
    target: Tensor,
    saved: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> Tensor:
    """The gradient of the logits.  With L = Σ_c b_c · (−log softmax(x)_c), it is g · (softmax(x) · Σ b − b).

    One fused kernel, or, when the gradient itself is to be differentiated, this formula in differentiable operations.
    """
    if not state.recording:
        arrays = g._data, logits._data, target._data, saved._data, None if weight is None else weight._data
        return wrap(kernels.cross_entropy_backward(*arrays, ignore_index, label_smoothing, reduction))
    axis = 1 if logits.ndim > 1 else 0
    soft = tuple(target.shape) == tuple(logits.shape)
    wide = None if weight is None else weight.reshape([-1] + [1] * (logits.ndim - 1 - axis))  # type: ignore[attr-defined]
    if soft:
        b = target * (1.0 - label_smoothing) + label_smoothing / logits.shape[axis]  # type: ignore[operator]
        b = b if wide is None else b * wide
    else:
        hit = _targets_hit(tuple(logits.shape), logits._data.dtype, target, weight, ignore_index)
        b = hit * (1.0 - label_smoothing)  # type: ignore[operator]
        if label_smoothing:
            each = (
                (target != ignore_index).unsqueeze(axis).to(logits.dtype) if logits.ndim > 1 else (target != ignore_index).to(logits.dtype)
            )
            each = each * (label_smoothing / logits.shape[axis])
            b = b + (each if wide is None else each * wide)
    if reduction == "mean":
        b = b / wrap(saved._data[-1:]).to(logits.dtype)  # type: ignore[attr-defined]
        if not soft:  # a target that is ignored has no gradient, not that of 0 / 0 where all of them are
            ignored = target == ignore_index
            b = b.masked_fill(ignored.unsqueeze(axis) if logits.ndim > 1 else ignored, 0.0)  # type: ignore[attr-defined]
    if reduction == "none" and logits.ndim > 1:
        g = g.unsqueeze(axis)  # type: ignore[attr-defined]
    return g * (_softmax(logits, axis) * b.sum(axis, keepdim=True) - b)


def _cross_entropy_target_slope(
    g: Tensor, logits: Tensor, saved: Tensor, weight: Tensor | None, label_smoothing: float, reduction: str
) -> Tensor:
    """The gradient of class probabilities: −g · (1 − s) · weight · log softmax(x)."""
    axis = 1 if logits.ndim > 1 else 0
    slope = _log_softmax(logits, axis) * (label_smoothing - 1.0)
    if weight is not None:
        slope = slope * weight.reshape([-1] + [1] * (logits.ndim - 1 - axis))  # type: ignore[attr-defined]
    if reduction == "mean":
        slope = slope / wrap(saved._data[-1:]).to(logits.dtype)  # type: ignore[attr-defined]
    return slope * (g.unsqueeze(axis) if reduction == "none" and logits.ndim > 1 else g)  # type: ignore[attr-defined]


_cross_entropy = differentiable(
    "cross_entropy_loss",
    kernels.cross_entropy,
    results=("loss", "saved"),
    logits=_cross_entropy_slope,
    target=_cross_entropy_target_slope,
)

_nll_loss = differentiable(
    "nll_loss",
    kernels.nll_loss,
    results=("loss", "counted"),
    x=lambda g, x_shape, target, counted, weight, ignore_index, reduction: _nll_loss_backward(
        g, x_shape, target, counted, weight, ignore_index, reduction
    ),
)
# The loss is linear in its input: the gradient of the gradient is the loss itself.
_nll_loss_backward = differentiable(
    "nll_loss_backward",
    kernels.nll_loss_backward,
    grad=lambda g, target, weight, ignore_index, reduction: _nll_loss(g, target, weight, ignore_index, reduction)[0],
)


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """What PyTorch's deprecated pair of flags stands for, if one of them is given."""
    if size_average is None and reduce is None:
        return reduction
    warnings.warn("size_average and reduce args will be deprecated, please use reduction instead.", stacklevel=3)
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−Σ_c q_c · weight_c · log softmax(input)_c, q being ``target`` smoothed to (1 − s) · q + s / C.

    ``input`` is (N, C), (C,) or (N, C, d1, ...).  ``target`` holds class indices (int64 or uint8), shaped without the class dimension, or class
    probabilities of input's shape.  "mean" divides by the weights of the targets, or by the number of samples for probabilities; targets equal
    to ``ignore_index`` count for nothing.  Raises IndexError for an index that is no class, ValueError or RuntimeError for what does not match.
    """
    if casting.active:
        input, target, weight = casting.arguments("cross_entropy", input, target, weight)
    if type(input) is not Tensor or type(target) is not Tensor:
        tensors_of("cross_entropy_loss", input=input, target=target)
    if target._data.shape == input._data.shape and target.dtype != input.dtype and target.is_floating_point():
        target = target.to(input.dtype)  # type: ignore[attr-defined]
    if size_average is not None or reduce is not None:
        reduction = _reduction(size_average, reduce, reduction)
    return _cross_entropy(input, target, weight, ignore_index, label_smoothing, reduction)[0]


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """−weight[target] · input[target]: the negative log likelihood of class indices, ``input`` being log-probabilities.

    Shapes, reductions and errors as in ``cross_entropy`` with class indices.
    """
    if casting.active:
        input, target, weight = casting.arguments("nll_loss", input, target, weight)
    tensors_of("nll_loss_nd", input=input, target=target)
    return _nll_loss(input, target, weight, ignore_index, _reduction(size_average, reduce, reduction))[0]
