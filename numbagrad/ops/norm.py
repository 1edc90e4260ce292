"""Batch and layer normalisation.

One backward kernel yields the gradients of input, weight and bias together, so each operation has one rule for the three: they are passed a
second time, as the variadic argument that such a rule belongs to.  When the gradient itself is to be differentiated, the rule is the
same formula in differentiable operations, with the statistics computed anew as functions of the input.
"""

from __future__ import annotations

from typing import Any, Sequence

from ..autograd.mode import state
from ..kernels import norm as kernels
from ..tensor import Tensor, wrap
from ._operation import differentiable

Slopes = tuple[Tensor | None, Tensor | None, Tensor | None]


def _data(x: Tensor | None) -> Any:
    return None if x is None else x._data


def _slopes(arrays: Sequence[Any]) -> Slopes:
    dx, dw, db = (None if a is None else wrap(a) for a in arrays)
    return dx, dw, db


def _centered(x: Any, dims: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """x − mean and 1 / √(var + eps) over ``dims``, both differentiable."""
    d = x - x.mean(dims, keepdim=True)
    return d, ((d * d).mean(dims, keepdim=True) + eps).rsqrt()


# ---- batch norm -------------------------------------------------------------------------------------------------------------------


def _batch_norm_forward(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float, *inputs: Any
) -> Any:
    return kernels.batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)


def _batch_norm_rule(g: Any, x: Any, weight: Any, bias: Any, mean: Any, rstd: Any, training: bool, eps: float) -> Slopes:
    if not state.recording:
        return _slopes(kernels.batch_norm_backward(g._data, x._data, _data(weight), mean._data, rstd._data, training))
    dims = (0, *range(2, x.ndim))
    wide = (1, -1, *[1] * (x.ndim - 2))
    if training:
        d, r = _centered(x, dims, eps)
    else:
        d, r = x - mean.detach().reshape(wide).to(x.dtype), rstd.detach().reshape(wide).to(x.dtype)
    h = d * r
    k = g if weight is None else g * weight.reshape(wide)
    dx = r * (k - k.mean(dims, keepdim=True) - h * (k * h).mean(dims, keepdim=True)) if training else r * k
    return dx, None if weight is None else (g * h).sum(dims), None if bias is None else g.sum(dims)


_batch_norm = differentiable("batch_norm", _batch_norm_forward, results=("y", "mean", "rstd"), inputs=_batch_norm_rule)


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
    variance); otherwise the running ones are used.  Raises ValueError for a batch of a single value per channel, RuntimeError for
    sizes that do not match.

    S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift" (2015).
    """
    if training and input.ndim >= 2 and input.numel() == input.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    settings = running_mean, running_var, bool(training), float(momentum), float(eps)
    y = _batch_norm(input, weight, bias, *settings, input, weight, bias)[0]
    if training:
        for statistic in (running_mean, running_var):
            if statistic is not None:
                statistic._bump()
    return y


# ---- layer norm -------------------------------------------------------------------------------------------------------------------


def _layer_norm_forward(x: Any, weight: Any, bias: Any, normalized_shape: tuple[int, ...], eps: float, *inputs: Any) -> Any:
    return kernels.layer_norm(x, normalized_shape, weight, bias, eps)


def _layer_norm_rule(g: Any, x: Any, weight: Any, bias: Any, mean: Any, rstd: Any, normalized_shape: tuple[int, ...], eps: float) -> Slopes:
    if not state.recording:
        affine = weight is not None or bias is not None
        return _slopes(kernels.layer_norm_backward(g._data, x._data, mean._data, rstd._data, normalized_shape, _data(weight), affine))
    dims = tuple(range(-len(normalized_shape), 0))
    d, r = _centered(x, dims, eps)
    h = d * r
    k = g if weight is None else g * weight
    dx = r * (k - k.mean(dims, keepdim=True) - h * (k * h).mean(dims, keepdim=True))
    # What weight and bias were broadcast over is summed by the graph's walk.
    return dx, None if weight is None else g * h, None if bias is None else g


_layer_norm = differentiable("layer_norm", _layer_norm_forward, results=("y", "mean", "rstd"), inputs=_layer_norm_rule)


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
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    return _layer_norm(input, weight, bias, shape, float(eps), input, weight, bias)[0]
