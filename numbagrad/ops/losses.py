"""Losses of one element each, and how losses are reduced.  Those that compare several elements are in ``margin_losses``."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..autograd import casting
from ..autograd.mode import no_grad
from ..creation import full_like
from ..kernels.elementwise import formulas as f
from ..tensor import Tensor
from . import elementwise as e
from .softmax import _reduction as legacy_reduction

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "gaussian_nll_loss", "huber_loss", "kl_div", "l1_loss", "mse_loss",
    "multilabel_soft_margin_loss", "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss",
]  # fmt: skip

# ---- reductions --------------------------------------------------------------------------------------------------------------------


def _reduction(reduction: str, size_average: Any = None, reduce: Any = None) -> str:
    """Which reduction the arguments ask for.  Raises ValueError for one that there is not."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduce(loss: Any, reduction: str, size_average: Any = None, reduce: Any = None) -> Tensor:
    reduction = _reduction(reduction, size_average, reduce)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def _check_same(op: str, input: Tensor, target: Tensor) -> None:
    """As PyTorch, warn where prediction and target only broadcast: usually a mistake."""
    if not isinstance(target, Tensor):
        raise TypeError(f"{op}(): argument 'target' (position 2) must be Tensor, not {type(target).__name__}")
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will likely lead to incorrect results due "
            "to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


@e.elementwise
def _squared_error(x, t):  # type: ignore[no-untyped-def]
    return (x - t) * (x - t)


@e.elementwise
def _absolute_error(x, t):  # type: ignore[no-untyped-def]
    return abs(x - t)


@e.elementwise
def _smooth_l1(x, t, beta):  # type: ignore[no-untyped-def]
    d = abs(x - t)
    return e.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


@_smooth_l1.vjp
def _(g, x, t, beta):  # type: ignore[no-untyped-def]
    d = x - t
    part = e.where(d >= beta, g, e.where(d <= -beta, -g, g * d / beta))  # NaN takes the last way, and stays NaN
    return part, -part, None


@e.elementwise
def _huber(x, t, delta):  # type: ignore[no-untyped-def]
    d = abs(x - t)
    return e.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


@_huber.vjp
def _(g, x, t, delta):  # type: ignore[no-untyped-def]
    d = x - t
    part = e.where(d > delta, g * delta, e.where(d < -delta, -(g * delta), g * d))
    return part, -part, None


def _weighted_mean(op: str, loss: Tensor, weight: Tensor | None, size_average: Any, reduce: Any, reduction: str) -> Tensor:
    """``loss`` reduced; with a weight per element "mean" is the weighted mean."""
    if weight is None:
        return _reduce(loss, reduction, size_average, reduce)
    if tuple(weight.shape) != tuple(loss.shape):
        raise ValueError(f"{op}: Weights and input must have the same size, but got {weight.shape} and {loss.shape}")
    if legacy_reduction(size_average, reduce, reduction) == "mean":
        return (loss * weight).sum() / weight.sum()
    return _reduce(loss * weight, reduction, size_average, reduce)


def mse_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x − target)²; with a weight per element the mean is the weighted one.  Raises ValueError for a weight of another shape."""
    if casting.active:
        input, target, weight = casting.arguments("mse_loss", input, target, weight)
    _check_same("mse_loss", input, target)
    return _weighted_mean("mse_loss", _squared_error(input, target), weight, size_average, reduce, reduction)


def l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x − target|; with a weight per element the mean is the weighted one.  Raises ValueError for a weight of another shape."""
    if casting.active:
        input, target, weight = casting.arguments("l1_loss", input, target, weight)
    _check_same("l1_loss", input, target)
    error = (input - target).abs() if input.is_complex() or target.is_complex() else _absolute_error(input, target)
    return _weighted_mean("l1_loss", error, weight, size_average, reduce, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """(x − target)² / (2 beta) where |x − target| < beta, else |x − target| − beta / 2"""
    if casting.active:
        input, target = casting.arguments("smooth_l1_loss", input, target)
    _check_same("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _reduce(_absolute_error(input, target) if beta == 0 else _smooth_l1(input, target, float(beta)), reduction, size_average, reduce)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Tensor:
    """(x − target)² / 2 where |x − target| ≤ delta, else delta · (|x − target| − delta / 2)"""
    if casting.active:
        input, target, weight = casting.arguments("huber_loss", input, target, weight)
    _check_same("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    loss = _huber(input, target, float(delta))
    if weight is not None and tuple(weight.shape) != tuple(loss.shape):
        raise ValueError(f"huber_loss: Weights and input must have the same size, but got {weight.shape} and {loss.shape}")
    return _reduce(loss if weight is None else loss * weight, reduction)


@e.elementwise
def _bce(x, t):  # type: ignore[no-untyped-def]
    low = e.where(e.operation(f.log)(x) < -100, -100, e.operation(f.log)(x))
    high = e.where(e.operation(f.log1p)(-x) < -100, -100, e.operation(f.log1p)(-x))
    return -(t * low + (1 - t) * high)


@_bce.vjp
def _(g, x, t):  # type: ignore[no-untyped-def]
    spread = (1 - x) * x
    log, log1p = e.operation(f.log), e.operation(f.log1p)
    return g * (x - t) / e.where(spread < 1e-12, 1e-12, spread), g * (log1p(-x) - log(x))


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """−(target · log x + (1 − target) · log(1 − x)), the logarithms limited to −100.  Raises RuntimeError for x outside [0, 1]."""
    if casting.active:
        input, target, weight = casting.arguments("binary_cross_entropy", input, target, weight)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. Please ensure they have the same size."
        )
    if input.numel() and not bool(((input >= 0) & (input <= 1)).all()):  # type: ignore[operator]
        raise RuntimeError("all elements of input should be between 0 and 1")
    loss = _bce(input, target)
    return _reduce(loss if weight is None else loss * weight, reduction, size_average, reduce)


@e.elementwise
def _bce_logits(x, t):  # type: ignore[no-untyped-def]
    log1p, exp = e.operation(f.log1p), e.operation(f.exp_)
    return (1 - t) * x + log1p(exp(-abs(x))) + e.where(x < 0, -x, 0)


@_bce_logits.vjp
def _(g, x, t):  # type: ignore[no-untyped-def]
    return g * (e.operation(f.sigmoid)(x) - t), -g * x


@e.elementwise
def _bce_logits_weighted(x, t, w):  # type: ignore[no-untyped-def]
    log1p, exp = e.operation(f.log1p), e.operation(f.exp_)
    return (1 - t) * x + (1 + (w - 1) * t) * (log1p(exp(-abs(x))) + e.where(x < 0, -x, 0))


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``binary_cross_entropy`` of sigmoid(x), computed without overflow; ``pos_weight`` weights the positive term."""
    if casting.active:
        input, target, weight, pos_weight = casting.arguments("binary_cross_entropy_with_logits", input, target, weight, pos_weight)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    loss = _bce_logits(input, target) if pos_weight is None else _bce_logits_weighted(input, target, pos_weight)
    return _reduce(loss if weight is None else loss * weight, reduction, size_average, reduce)


@e.elementwise
def _xlogy(x, t):  # type: ignore[no-untyped-def]
    return e.where(x == 0, e.where(t != t, t, 0), x * e.operation(f.log)(t))


@_xlogy.vjp
def _(g, x, t):  # type: ignore[no-untyped-def]
    return e.where((x == 0) & (t <= 0), 0, g * e.operation(f.log)(t)), e.where(x == 0, 0, g * x / t)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target · (log target − x), x (and with ``log_target`` the target) being log-probabilities; ``"batchmean"`` divides the sum by the batch size"""
    if casting.active:
        input, target = casting.arguments("kl_div", input, target)
    if log_target:
        loss = target.exp() * (target - input)  # type: ignore[attr-defined,operator]
    else:
        loss = _xlogy(target, target) - target * input  # type: ignore[operator]
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return _reduce(loss, reduction, size_average, reduce)


# ---- negative log likelihoods ------------------------------------------------------------------------------------------------------


@e.elementwise
def _poisson_of_log(x, t):  # type: ignore[no-untyped-def]
    return e.operation(f.exp_)(x) - t * x


@e.elementwise
def _poisson(x, t, eps):  # type: ignore[no-untyped-def]
    return x - t * e.operation(f.log)(x + eps)


@e.elementwise
def _stirling(t):  # type: ignore[no-untyped-def]
    log = e.operation(f.log)
    return e.where(t <= 1, 0, t * log(t) - t + 0.5 * log(2 * math.pi * t))


@_stirling.vjp
def _(g, t):  # type: ignore[no-untyped-def]
    return e.where(t <= 1, 0, g * (e.operation(f.log)(t) + 0.5 / t))


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """eˣ − target · x, the negative log likelihood of a Poisson distribution of mean eˣ; or x − target · log(x + eps), of mean x, without ``log_input``.

    ``full`` adds log(target!) by Stirling's approximation, target · log target − target + log(2π · target) / 2, where target > 1.
    """
    if casting.active:
        input, target = casting.arguments("poisson_nll_loss", input, target)
    loss = _poisson_of_log(input, target) if log_input else _poisson(input, target, float(eps))
    return _reduce(loss + _stirling(target) if full else loss, reduction, size_average, reduce)


@e.elementwise
def _gaussian(x, t, var):  # type: ignore[no-untyped-def]
    return 0.5 * (e.operation(f.log)(var) + (x - t) * (x - t) / var)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log v + (x − target)² / v) / 2, the negative log likelihood of a normal distribution of mean x and variance v = max(var, eps).

    ``var`` is a number, has the shape of ``input``, lacks its last dimension, or is of size 1 in one dimension.  ``full`` adds log(2π) / 2.  The limit
    ``eps`` does not stop the gradient.  Raises ValueError for a negative variance or one of another shape.  D. A. Nix, A. S. Weigend, "Estimating the
    mean and variance of the target probability distribution" (1994).
    """
    variance: Any = full_like(input, var) if isinstance(var, (int, float)) else var
    if (variance < 0).any():
        raise ValueError("var has negative entry/entries")
    if variance.shape != input.shape:
        if tuple(input.shape[:-1]) == tuple(variance.shape):
            variance = variance.unsqueeze(-1)
        elif input.ndim != variance.ndim or sum(v for x, v in zip(input.shape, variance.shape) if x != v) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    with no_grad():
        short = (eps - variance).clamp_min(0)
    loss: Any = _gaussian(input, target, variance + short)
    return _reduce(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


# ---- several labels ----------------------------------------------------------------------------------------------------------------


@e.elementwise
def _soft_margin(x, t):  # type: ignore[no-untyped-def]
    z, exp, log1p = -t * x, e.operation(f.exp_), e.operation(f.log1p)
    return e.where(z > 0, z, 0) + log1p(exp(-abs(z)))


@_soft_margin.vjp
def _(g, x, t):  # type: ignore[no-untyped-def]
    slope = -g * e.operation(f.sigmoid)(-t * x)
    return slope * t, slope * x


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """log(1 + exp(−target · x)), target being 1 or −1"""
    if casting.active:
        input, target = casting.arguments("soft_margin_loss", input, target)
    return _reduce(_soft_margin(input, target), reduction, size_average, reduce)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the classes, the last dimension, of weight · ``binary_cross_entropy_with_logits``, target being 0 or 1 in each class"""
    loss: Any = _bce_logits(input, target)
    return _reduce((loss if weight is None else loss * weight).mean(-1), reduction, size_average, reduce)
