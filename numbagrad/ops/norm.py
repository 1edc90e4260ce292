"""Batch, group and layer normalisation.

One backward kernel yields the gradients of input, weight and bias together.  When the gradient itself is to be differentiated, there is a rule for each:
the same formulas in differentiable operations, with the statistics computed anew as functions of the input.  Each rule names all that the kernel
needs, whether it reads it or not, since nothing else is kept.
"""

from __future__ import annotations

from typing import Any, Sequence

from ..autograd import casting
from ..kernels import norm as kernels
from ..tensor import Tensor
from ._operation import differentiable


def _centered(x: Any, dims: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """x − mean and 1 / √(var + eps) over ``dims``, both differentiable."""
    d = x - x.mean(dims, keepdim=True)
    return d, ((d * d).mean(dims, keepdim=True) + eps).rsqrt()


def _wanted(wanted: Sequence[bool], gradients: Sequence[Any]) -> list[Any]:
    return [gradient if want else None for want, gradient in zip(wanted, gradients)]


# ---- batch norm -------------------------------------------------------------------------------------------------------------------


def _channels(x: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All dimensions but the channels', and the shape of one number per channel beside ``x``."""
    return (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))


def _standardized(x: Any, mean: Any, rstd: Any, training: bool, eps: float) -> tuple[Any, Any]:
    """(x − mean) · r and r."""
    dims, wide = _channels(x)
    if training:
        d, r = _centered(x, dims, eps)
    else:
        d, r = x - mean.detach().reshape(wide).to(x.dtype), rstd.detach().reshape(wide).to(x.dtype)
    return d * r, r


def _batch_norm_slope(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, training: bool, eps: float) -> Any:
    dims, wide = _channels(x)
    h, r = _standardized(x, mean, rstd, training, eps)
    k = g if weight is None else g * weight.reshape(wide)
    return r * (k - k.mean(dims, keepdim=True) - h * (k * h).mean(dims, keepdim=True)) if training else r * k


def _batch_norm_together(wanted: Sequence[bool], g: Any, x: Any, weight: Any, mean: Any, rstd: Any, training: bool) -> list[Any]:
    return _wanted(wanted, kernels.batch_norm_backward(g, x, weight, mean, rstd, training))


_batch_norm = differentiable(
    "batch_norm",
    kernels.batch_norm,
    results=("y", "mean", "rstd"),
    x=_batch_norm_slope,
    weight=lambda g, x, mean, rstd, training, eps: (g * _standardized(x, mean, rstd, training, eps)[0]).sum(_channels(x)[0]),
    bias=lambda g, x, mean, rstd: g.sum(_channels(x)[0]),
    together=_batch_norm_together,
)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, per channel (dimension 1) of ``input``, (N, C) or (N, C, ...).

    In ``training`` the statistics are those of the batch, and the running ones, if given, move in place by ``momentum`` towards them (with the unbiased
    variance); otherwise the running ones are used.  Raises ValueError for a batch of a single value per channel and for an
    ``eps`` that is negative or, in training, zero, RuntimeError for sizes that do not match.

    S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift" (2015).
    """
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be {'positive during training' if training else 'non-negative'}, but got {eps}")
    if input.ndim == 1 and not input.numel():
        return input.clone()  # type: ignore[attr-defined]
    if training and input.ndim >= 2 and input.numel() == input.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    return batch_norm_with_statistics(input, running_mean, running_var, weight, bias, training, momentum, eps)[0]


def batch_norm_with_statistics(
    input: Tensor, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The result of ``batch_norm``, and mean and 1 / √(var + eps) of each channel."""
    found = _batch_norm(input, weight, bias, running_mean, running_var, bool(training), float(momentum), float(eps))
    if training:
        for statistic in (running_mean, running_var):
            if statistic is not None:
                statistic._bump()
    return found


# ---- layer norm -------------------------------------------------------------------------------------------------------------------


def _layer_norm_slope(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, normalized_shape: tuple[int, ...], eps: float) -> Any:
    dims = tuple(range(-len(normalized_shape), 0))
    d, r = _centered(x, dims, eps)
    h = d * r
    k = g if weight is None else g * weight
    return r * (k - k.mean(dims, keepdim=True) - h * (k * h).mean(dims, keepdim=True))


def _layer_norm_weight_slope(g: Any, x: Any, mean: Any, rstd: Any, normalized_shape: tuple[int, ...], eps: float) -> Any:
    """What weight was broadcast over is summed by the graph's walk."""
    d, r = _centered(x, tuple(range(-len(normalized_shape), 0)), eps)
    return g * (d * r)


def _layer_norm_together(
    wanted: Sequence[bool], g: Any, x: Any, mean: Any, rstd: Any, normalized_shape: tuple[int, ...], weight: Any
) -> list[Any]:
    affine = wanted[1] or wanted[2]
    return _wanted(wanted, kernels.layer_norm_backward(g, x, mean, rstd, normalized_shape, weight, affine))


_layer_norm = differentiable(
    "layer_norm",
    kernels.layer_norm,
    results=("y", "mean", "rstd"),
    x=_layer_norm_slope,
    weight=_layer_norm_weight_slope,
    bias=lambda g, x, mean, rstd: g,
    together=_layer_norm_together,
)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias over the last dimensions of ``input``, ``normalized_shape``, which weight and bias have too.

    Raises RuntimeError for shapes that do not match.

    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization" (2016).
    """
    if casting.active:
        input, weight, bias = casting.arguments("layer_norm", input, weight, bias)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    return layer_norm_with_statistics(input, shape, weight, bias, eps)[0]


def layer_norm_with_statistics(input: Tensor, shape: tuple[int, ...], weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The result of ``layer_norm``, and mean and 1 / √(var + eps) of each row."""
    return _layer_norm(input, shape, weight, bias, float(eps))


# ---- group norm -------------------------------------------------------------------------------------------------------------------


def _grouped(x: Any, groups: int, eps: float) -> tuple[Any, Any, tuple[int, ...]]:
    """(x − mean) · r and r, differentiable, as (N, groups, rest), and the shape of one number per channel beside ``x``."""
    d, r = _centered(x.reshape(x.shape[0], groups, x.numel() // max(x.shape[0] * groups, 1)), (2,), eps)
    return d * r, r, (1, -1, *[1] * (x.ndim - 2))


def _group_norm_slope(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, groups: int, eps: float) -> Any:
    h, r, wide = _grouped(x, groups, eps)
    k = (g if weight is None else g * weight.reshape(wide)).reshape(h.shape)
    return (r * (k - k.mean(2, keepdim=True) - h * (k * h).mean(2, keepdim=True))).reshape(x.shape)


def _group_norm_together(wanted: Sequence[bool], g: Any, x: Any, groups: int, mean: Any, rstd: Any, weight: Any) -> list[Any]:
    return _wanted(wanted, kernels.group_norm_backward(g, x, groups, mean, rstd, weight, wanted[1] or wanted[2]))


_group_norm = differentiable(
    "group_norm",
    kernels.group_norm,
    results=("y", "mean", "rstd"),
    x=_group_norm_slope,
    weight=lambda g, x, mean, rstd, groups, eps: (g * _grouped(x, groups, eps)[0].reshape(x.shape)).sum(_channels(x)[0]),
    bias=lambda g, x, mean, rstd: g.sum(_channels(x)[0]),
    together=_group_norm_together,
)


def group_norm_with_statistics(input: Tensor, groups: int, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The result of ``group_norm``, and mean and 1 / √(var + eps) of each sample's groups, (N, groups)."""
    return _group_norm(input, groups, weight, bias, float(eps))
