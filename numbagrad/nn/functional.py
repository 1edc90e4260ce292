"""Layers and losses as functions, with PyTorch's names, arguments and defaults.

What has a kernel family of its own (convolution, pooling, softmax, normalisation, embedding, ...) is declared in ``numbagrad.ops`` and only named
here; activations are formulas; the losses below are compositions.
"""

from __future__ import annotations

from typing import Any

from ..autograd import casting
from ..creation import ones
from ..kernels.elementwise import activations
from ..kernels.elementwise import formulas as f
from ..ops import elementwise as e
from ..ops.conv import conv1d, conv2d
from ..ops.copy import pad
from ..ops.index import embedding, one_hot
from ..ops.matmul import linear
from ..ops.norm import batch_norm, layer_norm
from ..ops.pool import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d
from ..ops.random import dropout
from ..ops.softmax import _reduction as reduction_of
from ..ops.softmax import cross_entropy, log_softmax, nll_loss, softmax, softmin
from ..tensor import Tensor

__all__ = [
    "adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "conv1d",
    "conv2d", "cosine_similarity", "cross_entropy", "dropout", "dropout2d", "elu", "embedding", "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh",
    "huber_loss", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid", "max_pool2d", "mish", "mse_loss", "nll_loss",
    "normalize", "one_hot", "pad", "relu", "relu6", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softmin", "softplus", "softsign", "tanh",
    "threshold", "relu_", "pairwise_distance", "prelu",
]  # fmt: skip


# ---- activations -------------------------------------------------------------------------------------------------------------------


def _activate(kernel: Any, input: Tensor, inplace: bool, *args: Any) -> Tensor:
    op = e.operation(kernel)
    return op.change(input, *args) if inplace else op.call(input, *args)


_relu = e.operation(activations.relu)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)"""
    return _relu.change(input) if inplace else _relu.call(input)


def relu_(input: Tensor) -> Tensor:
    """``relu`` in place"""
    return _activate(activations.relu, input, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)"""
    return _activate(activations.relu6, input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x"""
    return _activate(activations.leaky_relu, input, inplace, float(negative_slope))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight · x, with one weight, or one per channel (dimension 1)"""
    if casting.active:
        input, weight = casting.arguments("prelu", input, weight)
    if weight.numel() > 1:
        if input.ndim < 2 or input.shape[1] != weight.numel():
            channels = input.shape[1] if input.ndim > 1 else 1
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape(1, -1, *[1] * (input.ndim - 2))  # type: ignore[attr-defined]
    return e.operation(activations.leaky_relu)(input, weight)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (eˣ − 1)"""
    return _activate(activations.elu, input, inplace, float(alpha), 1.0)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (e^(x/alpha) − 1)"""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _activate(activations.celu, input, inplace, float(alpha))


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale · elu(x) with the self-normalising constants (Klambauer et al., 2017)"""
    return _activate(activations.selu, input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x); ``approximate="tanh"`` uses the tanh approximation of Φ (Hendrycks and Gimpel, 2016)"""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return e.operation(activations.gelu if approximate == "none" else activations.gelu_tanh)(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x)"""
    return _activate(activations.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))"""
    return _activate(activations.mish, input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta·x)) / beta, x itself above the threshold"""
    return e.operation(activations.softplus)(input, float(beta), float(threshold))


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)"""
    return e.operation(activations.softsign)(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]"""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if not input.is_floating_point():  # limits are whole numbers there, as in PyTorch
        low, high = int(min_val), int(max_val)
        if low < 0 and not input.is_signed():
            raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
        return _activate(activations.hardtanh, input, inplace, low, high)
    return _activate(activations.hardtanh, input, inplace, float(min_val), float(max_val))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6"""
    return _activate(activations.hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · relu6(x + 3) / 6"""
    return _activate(activations.hardswish, input, inplace)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))"""
    return e.operation(activations.logsigmoid)(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value"""
    y = e.where(input > threshold, input, value)  # type: ignore[operator]
    return input.copy_(y) if inplace else y  # type: ignore[attr-defined]


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels of (N, C, H, W) or (C, H, W)"""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if input.ndim not in (3, 4):
        raise RuntimeError(f"dropout2d: expected a 3-D or 4-D input, but got {input.ndim}-D")
    if not training or p == 0:
        return input
    mask = dropout(ones(*input.shape[:-2], 1, 1, dtype=input.dtype), p, True)
    return input.mul_(mask) if inplace else input * mask  # type: ignore[attr-defined,operator]


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)"""
    return e.operation(f.sigmoid)(input)


def tanh(input: Tensor) -> Tensor:
    """tanh(x)"""
    return e.operation(f.tanh)(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b), a and b the halves of x along ``dim``"""
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    a, b = input.chunk(2, dim)  # type: ignore[attr-defined]
    return a * sigmoid(b)


# ---- distances ---------------------------------------------------------------------------------------------------------------------


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, eps) along ``dim``"""
    return input / input.norm(p, dim, True).clamp_min(eps)  # type: ignore[attr-defined]


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(‖x1‖, eps) · max(‖x2‖, eps)) along ``dim``"""
    if casting.active:
        x1, x2 = casting.arguments("cosine_similarity", x1, x2)
    n1, n2 = x1.norm(2, dim, True).clamp_min(eps), x2.norm(2, dim, True).clamp_min(eps)  # type: ignore[attr-defined]
    return ((x1 / n1) * (x2 / n2)).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """‖x1 − x2 + eps‖ₚ over the last dimension"""
    return (x1 - x2 + eps).norm(p, -1, keepdim)  # type: ignore[operator]


# ---- losses ------------------------------------------------------------------------------------------------------------------------


def _reduce(loss: Tensor, reduction: str, size_average: Any = None, reduce: Any = None) -> Tensor:
    reduction = reduction_of(size_average, reduce, reduction)
    if reduction == "mean":
        return loss.mean()  # type: ignore[attr-defined]
    if reduction == "sum":
        return loss.sum()  # type: ignore[attr-defined]
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _check_same(op: str, input: Tensor, target: Tensor) -> None:
    """As PyTorch, warn where prediction and target only broadcast: usually a mistake."""
    if not isinstance(target, Tensor):
        raise TypeError(f"{op}(): argument 'target' (position 2) must be Tensor, not {type(target).__name__}")
    if tuple(input.shape) != tuple(target.shape):
        import warnings

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
    if reduction_of(size_average, reduce, reduction) == "mean":
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
    return _weighted_mean("l1_loss", _absolute_error(input, target), weight, size_average, reduce, reduction)


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
