"""Transposed convolutions: the gradient of a convolution's input, as a layer.

y = conv_transpose(x, weight) is what ``conv``'s backward pass makes of x in the place of the result's gradient, with the same weight, stride, padding and
dilation; a convolution of y's size has a result of x's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..autograd import casting
from ..tensor import Tensor
from ._arguments import tensors_of
from ._attach import public
from .conv import check_one_dimensional, conv2d_input_grad, conv3d_input_grad, is_complex, of_parts, single
from .copy import pad

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


def _values(op: str, name: str, value: Any, dims: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims
    if len(values) == 1:
        values *= dims
    if len(values) != dims:
        raise RuntimeError(
            f"{op}: expected {name} to be a single integer value or a list of {dims} values to match the convolution dimensions,"
            f" but got {name}={list(values)}"
        )
    if not all(hasattr(v, "__index__") for v in values):
        raise TypeError(f"{op}(): argument '{name}' must be an int or {dims} of them, but got {value!r}")
    return tuple(int(v) for v in values)


def _transposed(
    op: str, dims: int, input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> Tensor:
    tensors_of(op, input=input, weight=weight)
    steps, borders, spreads = (
        _values(op, name, value, dims) for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation))
    )
    extra = _values(op, "output_padding", output_padding, dims)
    _check(op, dims, input, weight, bias, steps, borders, spreads, extra, groups)
    sizes = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(input.shape[-dims:], steps, borders, spreads, weight.shape[2:], extra)
    )
    if min(sizes) <= 0:
        raise RuntimeError(
            f"{op}: Given input size per channel: {list(input.shape[-dims:])}. Calculated output size per channel: {list(sizes)}. "
            "Output size is too small"
        )
    if any(e >= s for e, s in zip(extra, steps)):  # a convolution of the result would have more elements: those are zero here
        input = pad(input, [side for e, s in zip(reversed(extra), reversed(steps)) for side in (0, e // s)])
    shape = (*input.shape[: -dims - 1], weight.shape[1] * groups, *sizes)
    y = (conv2d_input_grad if dims == 2 else conv3d_input_grad)(input, weight, shape, steps, borders, spreads, groups)
    return y if bias is None else y + bias.reshape(-1, *[1] * dims)


def _check(
    op: str,
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Any,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    output_padding: tuple[int, ...],
    groups: int,
) -> None:
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {op}, but got input of size: {list(input.shape)}"
        )
    if weight.ndim != dims + 2:
        raise RuntimeError(f"{op}: expected a weight of {dims + 2} dimensions, but got {list(weight.shape)}")
    for name, values, least in (
        ("stride", stride, 1),
        ("dilation", dilation, 1),
        ("padding", padding, 0),
        ("output_padding", output_padding, 0),
    ):
        if min(values) < least:
            raise RuntimeError(
                f"{op}: {'negative' if not least else 'non-positive'} {name} is not supported, but got {name}={list(values)}"
            )
    if groups <= 0:
        raise RuntimeError(f"{op}: non-positive groups is not supported, but got groups={groups}")
    channels = input.shape[-dims - 1]
    if channels != weight.shape[0] or channels % groups:
        raise RuntimeError(
            f"{op}: Given transposed=1, weight of size {list(weight.shape)} and groups={groups}, expected input{list(input.shape)} to have "
            f"{weight.shape[0]} channels, divisible by groups, but got {channels} channels instead"
        )
    if any(e >= max(s, d) for e, s, d in zip(output_padding, stride, dilation)):
        raise RuntimeError(
            f"output padding must be smaller than either stride or dilation, but got output_padding={list(output_padding)}, "
            f"stride={list(stride)} and dilation={list(dilation)}"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[1] * groups,):
        raise RuntimeError(
            f"{op}: Given transposed=1, weight of size {list(weight.shape)}, expected bias to be 1-dimensional with {weight.shape[1] * groups} "
            f"elements, but got bias of size {list(bias.shape)} instead"
        )


@public(method=False)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """y[n, k, r·stride - padding + a·dilation, c·stride - padding + b·dilation] += input[n, i, r, c] · weight[i, k, a, b], on top of bias[k].

    (N, C, H, W) or (C, H, W) with a weight (C, K / groups, kH, kW) and a bias (K,) gives (N, K, H', W') or (K, H', W'), where
    H' = (H - 1)·stride - 2·padding + dilation·(kH - 1) + output_padding + 1.  Raises RuntimeError for shapes that do not fit together and for an
    ``output_padding`` that is not smaller than stride or dilation.

    M. D. Zeiler et al., "Deconvolutional networks" (2010); V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning" (2016).
    """
    transposed = partial(_transposed, "conv_transpose2d", 2)
    if is_complex(input, weight):
        return of_parts(transposed, input, weight, bias, stride, padding, output_padding, groups, dilation)
    if casting.active:
        input, weight, bias = casting.arguments("conv_transpose2d", input, weight, bias)
    return transposed(input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """``conv_transpose2d`` with a dimension more: (N, C, D, H, W) or (C, D, H, W) with a weight (C, K / groups, kD, kH, kW)."""
    transposed = partial(_transposed, "conv_transpose3d", 3)
    if is_complex(input, weight):
        return of_parts(transposed, input, weight, bias, stride, padding, output_padding, groups, dilation)
    if casting.active:
        input, weight, bias = casting.arguments("conv_transpose3d", input, weight, bias)
    return transposed(input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """``conv_transpose2d`` of one row: (N, C, L) or (C, L) with a weight (C, K / groups, k)."""
    op = "conv_transpose1d"
    check_one_dimensional(op, input, weight)
    step, border, extra, spread = (
        single(op, name, value)
        for name, value in (("stride", stride), ("padding", padding), ("output_padding", output_padding), ("dilation", dilation))
    )
    one_row, flat = input.unsqueeze(-2), weight.unsqueeze(-2)  # type: ignore[attr-defined]
    return conv_transpose2d(one_row, flat, bias, (1, step), (0, border), (0, extra), groups, (1, spread)).squeeze(-2)  # type: ignore[attr-defined]
