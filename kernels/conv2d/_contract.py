"""What the convolutions of two and three dimensions have in common: the checks of what they are given, and which device runs them.

``dims`` is the number of spatial dimensions, 2 or 3.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dtypes
from .._device import family
from .._half import float32_on_cpu
from ..copy import contiguous, copy_into

_on = family(__package__)  # type: ignore[arg-type]

Sizes = tuple[int, ...]  # of each spatial dimension
Size = int | Sequence[int]

# ---- stride, padding, dilation and groups ----------------------------------------------------------------------------------------------

_SEVERAL = {2: "a pair of ints", 3: "three ints"}


def _sizes(op: str, name: str, value: Any, dims: int) -> Sizes:
    """``value`` for each dimension."""
    if type(value) is int:
        return (value,) * dims
    if not isinstance(value, (tuple, list)):
        try:
            value = (operator.index(value),)
        except TypeError:
            raise TypeError(f"{op}(): argument '{name}' must be an int or {_SEVERAL[dims]}, but got {type(value).__name__}") from None
    try:
        numbers = tuple(operator.index(v) for v in value)
    except TypeError:
        raise TypeError(f"{op}(): argument '{name}' must be an int or {_SEVERAL[dims]}, but got {value!r}") from None
    if len(numbers) == 1:
        numbers *= dims
    if len(numbers) != dims:
        raise RuntimeError(
            f"{op}: expected {name} to be a single integer value or a list of {dims} values to match the convolution dimensions,"
            f" but got {name}={list(value)}"
        )
    return numbers


def _parameters(op: str, kernel: Sizes, stride: Any, padding: Any, dilation: Any, groups: int) -> tuple[Any, ...]:
    """Stride, padding before and after, dilation, each for every dimension, and groups; checked."""
    dims = len(kernel)
    stride, dilation = _sizes(op, "stride", stride, dims), _sizes(op, "dilation", dilation, dims)
    if min(stride) <= 0:
        raise RuntimeError(f"{op}: non-positive stride is not supported, but got stride={list(stride)}")
    if min(dilation) <= 0:
        raise RuntimeError(
            f"{op}: dilation should be greater than zero (non-positive dilation is not supported), but got dilation={list(dilation)}"
        )
    if isinstance(groups, bool) or not hasattr(groups, "__index__"):
        raise TypeError(f"{op}(): argument 'groups' must be int, not {type(groups).__name__}")
    if groups <= 0:
        raise RuntimeError(f"{op}: non-positive groups is not supported, but got groups={groups}")
    if isinstance(padding, str):
        before: Sizes
        after: Sizes
        if padding == "valid":
            before = after = (0,) * dims
        elif padding == "same":
            if max(stride) != 1:
                raise RuntimeError(f"{op}: padding='same' is not supported for strided convolutions, but got stride={list(stride)}")
            total = tuple(d * (k - 1) for d, k in zip(dilation, kernel))
            before = tuple(t // 2 for t in total)  # what is odd goes behind, below and to the right
            after = tuple(t - b for t, b in zip(total, before))
        else:
            raise RuntimeError(f"{op}: Invalid padding string: {padding!r}, expected 'same' or 'valid'")
    else:
        before = after = _sizes(op, "padding", padding, dims)
        if min(before) < 0:
            raise RuntimeError(f"{op}: negative padding is not supported, but got padding={list(before)}")
    return stride, before, after, dilation, int(groups)


# Output size, stride, padding before, dilation, groups.
Checked = tuple[Sizes, Sizes, Sizes, Sizes, int]


def _exact(value: Any) -> bool:
    """Whether ``value`` is of the types that are expected, so that what equals it is as good as it (1.0 equals 1, but is an error)."""
    if type(value) is tuple:
        return all(type(v) is int for v in value)
    return type(value) is int or type(value) is str


def _checked(op: str, shape: Sizes, weight: Sizes, stride: Any, padding: Any, dilation: Any, groups: int) -> Checked:
    """``_check``, remembered."""
    if type(groups) is int and _exact(stride) and _exact(padding) and _exact(dilation):
        return _remembered(op, shape, weight, stride, padding, dilation, groups)
    return _check(op, shape, weight, stride, padding, dilation, groups)


_KERNEL = {2: ("height, width", "one row and one column"), 3: ("depth, height, width", "one plane, one row and one column")}


def _check(op: str, shape: Sizes, weight: Sizes, stride: Any, padding: Any, dilation: Any, groups: int) -> Checked:
    """The parameters for a batched input of ``shape`` and a weight of shape ``weight``."""
    dims = len(shape) - 2
    sides, least = _KERNEL[dims]
    if len(weight) != len(shape):
        raise RuntimeError(
            f"{op}: expected a weight of {len(shape)} dimensions (out_channels, in_channels / groups, {sides}), but got {list(weight)}"
        )
    stride, before, after, dilation, groups = _parameters(op, weight[2:], stride, padding, dilation, groups)
    if weight[0] < groups:
        raise RuntimeError(
            f"{op}: Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {list(weight)} instead"
        )
    if weight[0] % groups:
        raise RuntimeError(
            f"{op}: Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size {list(weight)} instead"
        )
    if shape[1] != weight[1] * groups:
        raise RuntimeError(
            f"{op}: Given groups={groups}, weight of size {list(weight)}, expected input{list(shape)} to have {weight[1] * groups} channels,"
            f" but got {shape[1]} channels instead"
        )
    if 0 in weight[2:]:
        raise RuntimeError(f"{op}: expected a kernel of at least {least}, but got weight of size {list(weight)}")
    if 0 in shape[2:]:
        raise RuntimeError(f"{op}: Only zero batch or zero channel inputs are supported, but got input shape: {list(shape)}")
    padded = tuple(s + b + a for s, b, a in zip(shape[2:], before, after))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight[2:]))
    if any(p < r for p, r in zip(padded, reach)):
        found, wanted = (" x ".join(map(str, sizes)) for sizes in (padded, reach))
        raise RuntimeError(
            f"{op}: Calculated padded input size per channel: ({found}). Kernel size: ({wanted})."
            " Kernel size can't be greater than actual input size"
        )
    return tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, stride)), stride, before, dilation, groups


_remembered = functools.lru_cache(maxsize=1024)(_check)

# ---- arrays ---------------------------------------------------------------------------------------------------------------------------


def batched(op: str, x: Any, dims: int) -> Any:
    """``x`` with a dimension of images, or of volumes."""
    if x.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{op}: Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to conv{dims}d, but got input of size: {list(x.shape)}"
        )
    return x if x.ndim == dims + 2 else x[None]


def _same_dtype(op: str, a: Any, b: Any, names: tuple[str, str]) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"{op}: {names[0]} type ({_dtypes.name(a.dtype)}) and {names[1]} type ({_dtypes.name(b.dtype)}) should be the same"
        )


_REAL = (_dtypes.float32, _dtypes.float64)
FLOATS = (*_REAL, *_dtypes.HALVES)
_NUMBERS = (*FLOATS, *_dtypes.INTEGERS)


def computable(op: str, x: Any, kinds: Sequence[np.dtype]) -> None:
    if x.dtype not in kinds:
        raise NotImplementedError(f"{op}: not implemented for {_dtypes.name(x.dtype)}")


def filled(like: Any, shape: Sizes, bias: Any = None) -> Any:
    """Zeros, or the bias in every pixel: what a sum over nothing gives."""
    out = _on(like).zeros(shape, like.dtype)
    if bias is not None and out.size:
        copy_into(out, contiguous(bias).reshape(-1, *(1,) * (len(shape) - 2)))
    return out


# ---- the passes -----------------------------------------------------------------------------------------------------------------------


def _forward(dims: int, x: Any, weight: Any, bias: Any, stride: Size, padding: Size | str, dilation: Size, groups: int) -> Any:
    op = "conv2d" if dims == 2 else "conv3d"
    computable(op, x, _NUMBERS)
    batch = batched(op, x, dims)
    size, *rest = _checked(op, batch.shape, weight.shape, stride, padding, dilation, groups)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(
            f"{op}: Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with {weight.shape[0]} elements,"
            f" but got bias of size {list(bias.shape)} instead"
        )
    on = _on(x, weight, bias)
    if batch.size == 0:
        out = filled(x, (len(batch), weight.shape[0], *size), bias)
    else:
        out = (on.conv2d if dims == 2 else on.conv3d)(batch, weight, bias, size, *rest)
    return out if batch is x else out[0]


_forward_of_halves = float32_on_cpu(_forward)


def forward(dims: int, x: Any, weight: Any, bias: Any, stride: Size, padding: Size | str, dilation: Size, groups: int) -> Any:
    op = "conv2d" if dims == 2 else "conv3d"
    _same_dtype(op, x, weight, ("Input", "weight"))
    if bias is not None:
        _same_dtype(op, x, bias, ("Input", "bias"))
    way = _forward if x.dtype in _REAL else _forward_of_halves
    return way(dims, x, weight, bias, stride, padding, dilation, groups)


def _grad_shapes(op: str, grad: Any, shape: Sizes, weight: Sizes, size: Sizes) -> None:
    expected = (shape[0], weight[0], *size)
    if grad.shape != expected:
        raise RuntimeError(f"{op}: expected grad to have shape {list(expected)}, but got {list(grad.shape)}")


@float32_on_cpu
def input_grad(
    dims: int, grad: Any, weight: Any, input_shape: Sequence[int], stride: Size, padding: Size | str, dilation: Size, groups: int
) -> Any:
    op = "conv2d_input_grad" if dims == 2 else "conv3d_input_grad"
    computable(op, grad, FLOATS)
    _same_dtype(op, grad, weight, ("grad", "weight"))
    batch = batched(op, grad, dims)
    shape = tuple(input_shape) if batch is grad else (1, *input_shape)
    if len(shape) != dims + 2:
        raise RuntimeError(f"{op}: expected input_shape to have {grad.ndim} dimensions as grad has, but got {list(input_shape)}")
    size, *rest = _checked(op, shape, weight.shape, stride, padding, dilation, groups)
    _grad_shapes(op, batch, shape, weight.shape, size)
    on = _on(grad, weight)
    if 0 in shape:
        out = filled(grad, shape)
    else:
        out = (on.conv2d_input_grad if dims == 2 else on.conv3d_input_grad)(batch, weight, shape, *rest)
    return out if batch is grad else out[0]


@float32_on_cpu
def weight_grad(
    dims: int, grad: Any, x: Any, weight_shape: Sequence[int], stride: Size, padding: Size | str, dilation: Size, groups: int
) -> Any:
    op = "conv2d_weight_grad" if dims == 2 else "conv3d_weight_grad"
    computable(op, grad, FLOATS)
    _same_dtype(op, grad, x, ("grad", "input"))
    batch, grads, shape = batched(op, x, dims), batched(op, grad, dims), tuple(weight_shape)
    size, *rest = _checked(op, batch.shape, shape, stride, padding, dilation, groups)
    _grad_shapes(op, grads, batch.shape, shape, size)
    on = _on(grad, x)
    if batch.size == 0:
        return filled(x, shape)
    return (on.conv2d_weight_grad if dims == 2 else on.conv3d_weight_grad)(grads, batch, shape, *rest)


@float32_on_cpu
def bias_grad(grad: Any) -> Any:
    op = "conv2d_bias_grad"
    computable(op, grad, FLOATS)
    batch = batched(op, grad, 2)
    return _on(grad).conv2d_bias_grad(batch) if batch.size else filled(grad, batch.shape[1:2])


__all__ = ["Size", "bias_grad", "forward", "input_grad", "weight_grad"]
