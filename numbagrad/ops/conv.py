"""Convolutions.

Of the three passes of a convolution (output, input gradient, weight gradient), each is linear in both its arguments, and its derivatives are
the other two: so their rules name one another, and convolutions differentiate to any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import casting
from ..kernels import conv2d as kernels
from ..tensor import Tensor
from ._attach import public
from ._operation import differentiable

_conv2d = differentiable(
    "conv2d",
    lambda input, weight, bias, stride, padding, dilation, groups: kernels.conv2d(input, weight, bias, stride, padding, dilation, groups),
    input=lambda g, input_shape, weight, stride, padding, dilation, groups: _input_grad(
        g, weight, input_shape, stride, padding, dilation, groups
    ),
    weight=lambda g, input, weight_shape, stride, padding, dilation, groups: _weight_grad(
        g, input, weight_shape, stride, padding, dilation, groups
    ),
    bias=lambda g: _bias_grad(g),
)

_input_grad = differentiable(
    "conv2d_input_grad",
    kernels.conv2d_input_grad,
    grad=lambda g, weight, stride, padding, dilation, groups: _conv2d(g, weight, None, stride, padding, dilation, groups),
    weight=lambda g, grad, weight_shape, stride, padding, dilation, groups: _weight_grad(
        grad, g, weight_shape, stride, padding, dilation, groups
    ),
)

_weight_grad = differentiable(
    "conv2d_weight_grad",
    kernels.conv2d_weight_grad,
    grad=lambda g, x, stride, padding, dilation, groups: _conv2d(x, g, None, stride, padding, dilation, groups),
    x=lambda g, grad, x_shape, stride, padding, dilation, groups: _input_grad(grad, g, x_shape, stride, padding, dilation, groups),
)

_bias_grad = differentiable(
    "conv2d_bias_grad",
    kernels.conv2d_bias_grad,
    grad=lambda g, grad_shape: g.reshape(-1, 1, 1).expand(grad_shape),
)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    if casting.active:
        input, weight, bias = casting.arguments("conv2d", input, weight, bias)
    return _conv2d(input, weight, bias, stride, padding, dilation, groups)


conv2d.__doc__ = kernels.conv2d.__doc__
public(conv2d, method=False)


def _single(name: str, value: Any) -> int:
    """``value`` where a sequence of one is as good as a number."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 1:
            raise RuntimeError(
                f"conv1d: expected {name} to be a single integer value or a list of 1 values to match the convolution dimensions,"
                f" but got {name}={list(value)}"
            )
        return value[0]
    return value


@public(method=False)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, k, t] = bias[k] + sum over i, a of input[n, i, t·stride - padding + a·dilation] · weight[k, i, a].

    [N, C, L] or [C, L] with a weight [K, C / groups, a] and a bias [K] gives [N, K, L'] or [K, L']; a ``conv2d`` of one row, with its parameters,
    dtypes and errors.
    """
    if input.ndim not in (2, 3):
        raise RuntimeError(f"Expected 2D (unbatched) or 3D (batched) input to conv1d, but got input of size: {list(input.shape)}")
    if weight.ndim != 3:
        raise RuntimeError(
            f"conv1d: expected a weight of 3 dimensions (out_channels, in_channels / groups, length), but got {list(weight.shape)}"
        )
    step, spread = _single("stride", stride), _single("dilation", dilation)
    border = padding if isinstance(padding, str) else (0, _single("padding", padding))
    one_row = conv2d(input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, step), border, (1, spread), groups)
    return one_row.squeeze(-2)


__all__ = ["conv1d", "conv2d"]
