"""2-D convolution (cross-correlation, as PyTorch's) and its gradients.

    y[n, k, r, c] = bias[k] + sum over i, a, b of x[n, i, r·stride - padding + a·dilation, c·stride - padding + b·dilation] · weight[k, i, a, b]

with inputs outside the plane counting as zero; with groups, output channel k sees the input channels of its group only.  Each gradient is
linear in both its arguments and is again one of these functions, with other arguments (see ``numbagrad.ops.conv``).
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

_on = family(__name__)

Size = int | Sequence[int]


def _pair(op: str, name: str, value: Any) -> tuple[int, int]:
    """``value`` for rows and columns."""
    if type(value) is int:
        return value, value
    if not isinstance(value, (tuple, list)):
        try:
            value = (operator.index(value),)
        except TypeError:
            raise TypeError(f"{op}(): argument '{name}' must be an int or a pair of ints, but got {type(value).__name__}") from None
    try:
        numbers = tuple(operator.index(v) for v in value)
    except TypeError:
        raise TypeError(f"{op}(): argument '{name}' must be an int or a pair of ints, but got {value!r}") from None
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2:
        raise RuntimeError(
            f"{op}: expected {name} to be a single integer value or a list of 2 values to match the convolution dimensions,"
            f" but got {name}={list(value)}"
        )
    return numbers  # type: ignore[return-value]


def _parameters(op: str, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> tuple[Any, ...]:
    """Stride, (top, left) and (bottom, right) padding, dilation as pairs, and groups; checked."""
    stride, dilation = _pair(op, "stride", stride), _pair(op, "dilation", dilation)
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
        before: tuple[int, ...]
        after: tuple[int, ...]
        if padding == "valid":
            before = after = (0, 0)
        elif padding == "same":
            if stride != (1, 1):
                raise RuntimeError(f"{op}: padding='same' is not supported for strided convolutions, but got stride={list(stride)}")
            total = tuple(d * (k - 1) for d, k in zip(dilation, kernel))
            before = tuple(t // 2 for t in total)  # what is odd goes below and to the right
            after = tuple(t - b for t, b in zip(total, before))
        else:
            raise RuntimeError(f"{op}: Invalid padding string: {padding!r}, expected 'same' or 'valid'")
    else:
        before = after = _pair(op, "padding", padding)
        if min(before) < 0:
            raise RuntimeError(f"{op}: negative padding is not supported, but got padding={list(before)}")
    return stride, before, after, dilation, int(groups)


Checked = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int], int]


def _exact(value: Any) -> bool:
    """Whether ``value`` is of the types that are expected, so that what equals it is as good as it (1.0 equals 1, but is an error)."""
    if type(value) is tuple:
        return len(value) == 2 and type(value[0]) is int and type(value[1]) is int
    return type(value) is int or type(value) is str


def _checked(op: str, shape: tuple[int, ...], weight: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int) -> Checked:
    """``_check``, remembered."""
    if type(groups) is int and _exact(stride) and _exact(padding) and _exact(dilation):
        return _remembered(op, shape, weight, stride, padding, dilation, groups)
    return _check(op, shape, weight, stride, padding, dilation, groups)


def _check(op: str, shape: Sequence[int], weight: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> Checked:
    """(output size, stride, padding above and left, dilation, groups) for a batched input of ``shape`` and a weight of shape ``weight``."""
    if len(weight) != 4:
        raise RuntimeError(
            f"{op}: expected a weight of 4 dimensions (out_channels, in_channels / groups, height, width), but got {list(weight)}"
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
        raise RuntimeError(f"{op}: expected a kernel of at least one row and one column, but got weight of size {list(weight)}")
    if 0 in shape[2:]:
        raise RuntimeError(f"{op}: Only zero batch or zero channel inputs are supported, but got input shape: {list(shape)}")
    padded = tuple(s + b + a for s, b, a in zip(shape[2:], before, after))
    extent = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight[2:]))
    if padded[0] < extent[0] or padded[1] < extent[1]:
        raise RuntimeError(
            f"{op}: Calculated padded input size per channel: ({padded[0]} x {padded[1]}). Kernel size: ({extent[0]} x {extent[1]})."
            " Kernel size can't be greater than actual input size"
        )
    return ((padded[0] - extent[0]) // stride[0] + 1, (padded[1] - extent[1]) // stride[1] + 1), stride, before, dilation, groups


_remembered = functools.lru_cache(maxsize=1024)(_check)


def _batched(op: str, x: Any) -> Any:
    """``x`` with an image dimension."""
    if x.ndim not in (3, 4):
        raise RuntimeError(f"{op}: Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: {list(x.shape)}")
    return x if x.ndim == 4 else x[None]


def _same_dtype(op: str, a: Any, b: Any, names: tuple[str, str]) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"{op}: {names[0]} type ({_dtypes.name(a.dtype)}) and {names[1]} type ({_dtypes.name(b.dtype)}) should be the same"
        )


def _computable(op: str, x: Any, kinds: Sequence[np.dtype]) -> None:
    if x.dtype not in kinds:
        raise NotImplementedError(f"{op}: not implemented for {_dtypes.name(x.dtype)}")


_REAL = (_dtypes.float32, _dtypes.float64)
_FLOATS = (*_REAL, *_dtypes.HALVES)
_NUMBERS = (*_FLOATS, *_dtypes.INTEGERS)


def _filled(like: Any, shape: Sequence[int], bias: Any = None) -> Any:
    """Zeros, or the bias in every pixel: what a sum over nothing gives."""
    out = _on(like).zeros(tuple(shape), like.dtype)
    if bias is not None and out.size:
        copy_into(out, contiguous(bias).reshape(-1, 1, 1))
    return out


def _conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    _computable("conv2d", x, _NUMBERS)
    batch = _batched("conv2d", x)
    size, *rest = _checked("conv2d", batch.shape, weight.shape, stride, padding, dilation, groups)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(
            f"conv2d: Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with {weight.shape[0]} elements,"
            f" but got bias of size {list(bias.shape)} instead"
        )
    implementation = _on(x, weight, bias)
    if batch.size == 0:
        out = _filled(x, (len(batch), weight.shape[0], *size), bias)
    else:
        out = implementation.conv2d(batch, weight, bias, size, *rest)
    return out if x.ndim == 4 else out[0]


_conv2d_of_halves = float32_on_cpu(_conv2d)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """The convolution above: [N, C, H, W] or [C, H, W] with a weight [K, C / groups, a, b] and a bias [K] gives [N, K, H', W'] or [K, H', W'].

        H' = floor((H + 2·padding - dilation·(a - 1) - 1) / stride) + 1, and W' likewise

    ``stride``, ``padding`` and ``dilation`` are ints or pairs (rows, columns).  ``padding="valid"`` is none; ``"same"`` makes H' = H (stride 1
    only), with the odd row or column of an even kernel below and to the right.  float32 and float64, 16-bit floats, whose sums are float32, and
    integers, whose sums wrap around.

    Raises RuntimeError for shapes that do not fit together, a non-positive stride, dilation or groups, a kernel larger than the padded input, or
    arguments of different types.
    """
    _same_dtype("conv2d", x, weight, ("Input", "weight"))
    if bias is not None:
        _same_dtype("conv2d", x, bias, ("Input", "bias"))
    convolve = _conv2d if x.dtype in _REAL else _conv2d_of_halves
    return convolve(x, weight, bias, stride, padding, dilation, groups)


def _grad_shapes(op: str, grad: Any, shape: Sequence[int], weight: Sequence[int], size: tuple[int, int]) -> None:
    expected = (shape[0], weight[0], *size)
    if grad.shape != expected:
        raise RuntimeError(f"{op}: expected grad to have shape {list(expected)}, but got {list(grad.shape)}")


@float32_on_cpu
def conv2d_input_grad(
    grad: Any,
    weight: Any,
    input_shape: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """dL/dx[n, i, y, z] = sum of grad[n, k, r, c] · weight[k, i, a, b] where r·stride - padding + a·dilation = y, and likewise for z.

    ``input_shape`` is that of x, with or without an image dimension, as ``grad`` = dL/dy has.  float32, float64, 16-bit floats by way of float32.
    Raises RuntimeError as ``conv2d`` does, and for a ``grad`` that is not of the output's shape.
    """
    op = "conv2d_input_grad"
    _computable(op, grad, _FLOATS)
    _same_dtype(op, grad, weight, ("grad", "weight"))
    batch = _batched(op, grad)
    shape = tuple(input_shape) if grad.ndim == 4 else (1, *input_shape)
    if len(shape) != 4:
        raise RuntimeError(f"{op}: expected input_shape to have {grad.ndim} dimensions as grad has, but got {list(input_shape)}")
    size, *rest = _checked(op, shape, weight.shape, stride, padding, dilation, groups)
    _grad_shapes(op, batch, shape, weight.shape, size)
    implementation = _on(grad, weight)
    out = _filled(grad, shape) if 0 in shape else implementation.conv2d_input_grad(batch, weight, shape, *rest)
    return out if grad.ndim == 4 else out[0]


@float32_on_cpu
def conv2d_weight_grad(
    grad: Any,
    x: Any,
    weight_shape: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """dL/dweight[k, i, a, b] = sum over n, r, c of grad[n, k, r, c] · x[n, i, r·stride - padding + a·dilation, c·stride - padding + b·dilation].

    Summed in fixed blocks of pixels and images, so the bits do not depend on the number of threads and float32 sums stay accurate.  Zero for an
    empty batch.  float32, float64, 16-bit floats by way of float32.  Raises RuntimeError as ``conv2d_input_grad`` does.
    """
    op = "conv2d_weight_grad"
    _computable(op, grad, _FLOATS)
    _same_dtype(op, grad, x, ("grad", "input"))
    batch, grads = _batched(op, x), _batched(op, grad)
    weight_shape = tuple(weight_shape)
    size, *rest = _checked(op, batch.shape, weight_shape, stride, padding, dilation, groups)
    _grad_shapes(op, grads, batch.shape, weight_shape, size)
    implementation = _on(grad, x)
    if batch.size == 0:
        return _filled(x, weight_shape)
    return implementation.conv2d_weight_grad(grads, batch, weight_shape, *rest)


@float32_on_cpu
def conv2d_bias_grad(grad: Any) -> Any:
    """dL/dbias[k] = sum over n, r, c of grad[n, k, r, c], for grad [N, K, H', W'] or [K, H', W']."""
    _computable("conv2d_bias_grad", grad, _FLOATS)
    batch = _batched("conv2d_bias_grad", grad)
    return _on(grad).conv2d_bias_grad(batch) if batch.size else _filled(grad, batch.shape[1:2])


__all__ = ["conv2d", "conv2d_bias_grad", "conv2d_input_grad", "conv2d_weight_grad"]
