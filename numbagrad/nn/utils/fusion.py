"""A convolution or linear layer and the batch norm behind it as one layer, for evaluation."""

from __future__ import annotations

import copy
from typing import Any

from ...tensor import Parameter


def _fused(weight: Any, bias: Any, mean: Any, variance: Any, eps: float, scale: Any, shift: Any, dim: int) -> tuple[Parameter, Parameter]:
    """(weight · s, (bias - mean) · s + shift), s = scale / √(variance + eps) along dimension ``dim`` of the weight."""
    bias_dtype, trained = (weight.dtype, weight.requires_grad) if bias is None else (bias.dtype, bias.requires_grad)
    if bias is None:
        bias, trained = mean.new_zeros(mean.shape), False
    factor = (variance + eps).rsqrt() if scale is None else (variance + eps).rsqrt() * scale
    sizes = [1] * weight.ndim
    sizes[dim] = -1
    moved = (bias - mean) * factor
    moved = moved if shift is None else moved + shift
    made = (weight * factor.reshape(sizes)).to(weight.dtype), moved.to(bias_dtype)
    return Parameter(made[0].detach(), weight.requires_grad), Parameter(made[1].detach(), trained)


def fuse_conv_bn_weights(
    conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any, transpose: bool = False
) -> tuple[Parameter, Parameter]:
    """The weight and bias of the convolution that does what one and a batch norm in evaluation do; ``transpose``: of a transposed convolution."""
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """The weight and bias of the linear layer that does what one and a batch norm in evaluation do."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _check(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("Expected bn.running_mean and bn.running_var to not be None")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of ``conv`` that does what ``bn(conv(x))`` does.  Raises AssertionError for modules in training, or without running statistics."""
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of ``linear`` that does what ``bn(linear(x))`` does.

    Raises AssertionError for modules in training, without running statistics, or of other numbers of features.
    """
    _check(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    return fused
