"""Convolutions.

Of the three passes of a convolution (output, input gradient, weight gradient), each is linear in both its arguments, and its derivatives are
the other two: so their rules name one another, and convolutions differentiate to any order.  Those of complex numbers are made of those of their parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import casting
from ..kernels import conv2d as kernels
from ..kernels.conv2d import volumes
from ..tensor import Tensor
from ._attach import public
from ._operation import differentiable
from .complex_views import view_as_complex
from .copy import stack

__all__ = ["conv1d", "conv2d", "conv3d"]

_bias_grad = differentiable(
    "conv2d_bias_grad",
    kernels.conv2d_bias_grad,
    grad=lambda g, grad_shape: g.reshape(-1, 1, 1).expand(grad_shape),
)


def _passes(name: str, forward: Any, input_grad: Any, weight_grad: Any, planes: Any) -> tuple[Any, Any]:
    """A convolution and the gradient of its input.  ``planes``: the gradient of a result as (..., channels, height, width)."""
    conv: Any = differentiable(
        name,
        lambda input, weight, bias, stride, padding, dilation, groups: forward(input, weight, bias, stride, padding, dilation, groups),
        input=lambda g, input_shape, weight, stride, padding, dilation, groups: to_input(
            g, weight, input_shape, stride, padding, dilation, groups
        ),
        weight=lambda g, input, weight_shape, stride, padding, dilation, groups: to_weight(
            g, input, weight_shape, stride, padding, dilation, groups
        ),
        bias=lambda g: _bias_grad(planes(g)),
    )
    to_input: Any = differentiable(
        f"{name}_input_grad",
        input_grad,
        grad=lambda g, weight, stride, padding, dilation, groups: conv(g, weight, None, stride, padding, dilation, groups),
        weight=lambda g, grad, weight_shape, stride, padding, dilation, groups: to_weight(
            grad, g, weight_shape, stride, padding, dilation, groups
        ),
    )
    to_weight: Any = differentiable(
        f"{name}_weight_grad",
        weight_grad,
        grad=lambda g, x, stride, padding, dilation, groups: conv(x, g, None, stride, padding, dilation, groups),
        x=lambda g, grad, x_shape, stride, padding, dilation, groups: to_input(grad, g, x_shape, stride, padding, dilation, groups),
    )
    return conv, to_input


def _flat_depth(g: Any) -> Any:
    *outer, depth, height, width = g.shape
    return g.reshape(*outer, depth * height, width)


_conv2d, conv2d_input_grad = _passes("conv2d", kernels.conv2d, kernels.conv2d_input_grad, kernels.conv2d_weight_grad, lambda g: g)
_conv3d, conv3d_input_grad = _passes("conv3d", volumes.conv3d, volumes.conv3d_input_grad, volumes.conv3d_weight_grad, _flat_depth)


def is_complex(input: Any, weight: Any) -> bool:
    """Whether a convolution of these is to be made of those of their parts."""
    return isinstance(input, Tensor) and isinstance(weight, Tensor) and input._data.dtype.kind == "c" == weight._data.dtype.kind


def of_parts(convolve: Any, input: Any, weight: Any, bias: Any, *how: Any) -> Tensor:
    """A convolution of complex numbers: (a + ib)·(c + id) = ac − bd + i·(ad + bc)."""
    a, b, c, d = input.real, input.imag, weight.real, weight.imag
    first, second = (None, None) if bias is None else (bias.real, bias.imag)
    real = convolve(a, c, first, *how) - convolve(b, d, None, *how)
    imag = convolve(a, d, second, *how) + convolve(b, c, None, *how)
    return view_as_complex(stack([real, imag], -1))


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    if is_complex(input, weight):
        return of_parts(_conv2d, input, weight, bias, stride, padding, dilation, groups)
    if casting.active:
        input, weight, bias = casting.arguments("conv2d", input, weight, bias)
    return _conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    if is_complex(input, weight):
        return of_parts(_conv3d, input, weight, bias, stride, padding, dilation, groups)
    if casting.active:
        input, weight, bias = casting.arguments("conv3d", input, weight, bias)
    return _conv3d(input, weight, bias, stride, padding, dilation, groups)


conv2d.__doc__ = kernels.conv2d.__doc__
conv3d.__doc__ = volumes.conv3d.__doc__
public(conv2d, method=False)
public(conv3d, method=False)


def single(op: str, name: str, value: Any) -> Any:
    """``value`` where a sequence of one is as good as a number.  Raises RuntimeError for a longer one."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 1:
            raise RuntimeError(
                f"{op}: expected {name} to be a single integer value or a list of 1 values to match the convolution dimensions,"
                f" but got {name}={list(value)}"
            )
        return value[0]
    return value


def check_one_dimensional(op: str, input: Tensor, weight: Tensor) -> None:
    """Raise RuntimeError for a number of dimensions that a 1-d convolution does not have."""
    if input.ndim not in (2, 3):
        raise RuntimeError(f"Expected 2D (unbatched) or 3D (batched) input to {op}, but got input of size: {list(input.shape)}")
    if weight.ndim != 3:
        raise RuntimeError(f"{op}: expected a weight of 3 dimensions (channels, channels, length), but got {list(weight.shape)}")


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
    check_one_dimensional("conv1d", input, weight)
    step, spread = single("conv1d", "stride", stride), single("conv1d", "dilation", dilation)
    border = padding if isinstance(padding, str) else (0, single("conv1d", "padding", padding))
    one_row = conv2d(input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, step), border, (1, spread), groups)  # type: ignore[attr-defined]
    return one_row.squeeze(-2)  # type: ignore[attr-defined]
