"""3-D convolution and its gradients by way of 2-D ones, on every device.

    y[n, k, t, r, c] = bias[k] + sum over i, e, a, b of x[n, i, t·stride - padding + e·dilation, ...] · weight[k, i, e, a, b]

The planes that the kernel's depth covers become channels: a strided copy of x, (N · D', C · kD, H, W), of which each output plane is a 2-D convolution
with the weight seen as (K, C / groups · kD, kH, kW).  All arithmetic is that of ``conv2d``; what is added is the copy, kD times the size of x, and one of
the result, whose planes come out before its channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import copy
from .._device import device_of
from .._half import float32_on_cpu
from ..elementwise import formulas, run
from . import conv2d, conv2d_input_grad, conv2d_weight_grad

__all__ = ["conv3d", "conv3d_input_grad", "conv3d_weight_grad"]


class _Depth:
    """How the first spatial dimension is walked, and what the 2-D convolution of the other two is given."""

    def __init__(self, op: str, shape: Sequence[int], weight: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int):
        if len(weight) != 5:
            raise RuntimeError(
                f"{op}: expected a weight of 5 dimensions (out_channels, in_channels / groups, depth, height, width), but got {list(weight)}"
            )
        steps, spread = _triple(op, "stride", stride), _triple(op, "dilation", dilation)
        self.kernel, self.stride, self.dilation = weight[2], steps[0], spread[0]
        if min(self.stride, self.dilation) <= 0:
            raise RuntimeError(
                f"{op}: non-positive stride or dilation is not supported, but got stride={list(steps)} and dilation={list(spread)}"
            )
        span = self.dilation * (self.kernel - 1)
        before = after = 0
        self.planes: tuple[Any, ...] = (steps[1:], padding, spread[1:], groups)
        if padding == "same":
            if steps != (1, 1, 1):
                raise RuntimeError(f"{op}: padding='same' is not supported for strided convolutions, but got stride={list(steps)}")
            before, after = span // 2, span - span // 2
        elif not isinstance(padding, str):
            border = _triple(op, "padding", padding)
            if min(border) < 0:
                raise RuntimeError(f"{op}: negative padding is not supported, but got padding={list(border)}")
            before = after = border[0]
            self.planes = (steps[1:], border[1:], spread[1:], groups)
        self.size = shape[2]
        self.before = before
        padded = self.size + before + after
        if self.kernel == 0 or self.size == 0 or padded < span + 1:
            raise RuntimeError(
                f"{op}: Calculated padded input depth: {padded}. Kernel depth: {span + 1}. Kernel size can't be greater than actual input size"
            )
        self.output = (padded - span - 1) // self.stride + 1

    def reads(self, tap: int) -> tuple[slice, slice]:
        """The output planes for which the kernel's plane ``tap`` lies inside the input, and the planes it then reads."""
        start = tap * self.dilation - self.before  # of output plane 0
        first = max(0, -(start // self.stride))
        last = min(self.output, (self.size - 1 - start) // self.stride + 1)
        if first >= last:
            return slice(0, 0), slice(0, 0)
        return slice(first, last), slice(start + first * self.stride, start + (last - 1) * self.stride + 1, self.stride)

    def as_channels(self, x: Any) -> Any:
        """(N · D', C · kD, H, W): beside each channel the planes that the kernel's depth covers, zero where they lie outside."""
        n, channels, _, height, width = x.shape
        outside = any(reads[0] != slice(0, self.output) for reads in map(self.reads, range(self.kernel)))
        shape = (n, self.output, channels, self.kernel, height, width)
        out = copy.zeros(shape, x.dtype, x) if outside else copy.empty(shape, x.dtype, device_of(x))
        for tap in range(self.kernel):
            to, source = self.reads(tap)
            copy.copy_into(out[:, to, :, tap], x[:, :, source].swapaxes(1, 2))
        return out.reshape(n * self.output, channels * self.kernel, height, width)

    def from_channels(self, g: Any, shape: Sequence[int]) -> Any:
        """The adjoint of ``as_channels``: each plane is the sum of its copies."""
        n, channels, _, height, width = shape
        g = g.reshape(n, self.output, channels, self.kernel, height, width)
        out = copy.zeros(shape, g.dtype, g)
        for tap in range(self.kernel):
            to, source = self.reads(tap)
            if to.start < to.stop:
                target = out[:, :, source]
                run(formulas.add, target, g[:, to, :, tap].swapaxes(1, 2), out=(target,))
        return out

    def planes_first(self, y: Any) -> Any:
        """(N, K, D', ...) as (N · D', K, ...)."""
        n, channels = y.shape[:2]
        return copy.contiguous(y.swapaxes(1, 2)).reshape(n * self.output, channels, *y.shape[3:])

    def channels_first(self, y: Any, n: int) -> Any:
        """The inverse of ``planes_first``."""
        return copy.contiguous(y.reshape(n, self.output, *y.shape[1:]).swapaxes(1, 2))


def _triple(op: str, name: str, value: Any) -> tuple[int, int, int]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise RuntimeError(
            f"{op}: expected {name} to be a single integer value or a list of 3 values to match the convolution dimensions,"
            f" but got {name}={list(values)}"
        )
    try:
        return tuple(v.__index__() for v in values)  # type: ignore[return-value]
    except AttributeError:
        raise TypeError(f"{op}(): argument '{name}' must be an int or three of them, but got {value!r}") from None


def _batched(op: str, x: Any) -> Any:
    if x.ndim not in (4, 5):
        raise RuntimeError(f"{op}: Expected 4D (unbatched) or 5D (batched) input to conv3d, but got input of size: {list(x.shape)}")
    return x if x.ndim == 5 else x[None]


def _folded(weight: Sequence[int]) -> tuple[int, ...]:
    """The shape of a weight whose depth has joined its channels."""
    return weight[0], weight[1] * weight[2], weight[3], weight[4]


def conv3d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """The convolution above: (N, C, D, H, W) or (C, D, H, W) with a weight (K, C / groups, kD, kH, kW) and a bias (K,) gives (N, K, D', H', W') or
    without N.  Sizes, dtypes and errors are those of ``conv2d``; stride, padding and dilation are ints or triples."""
    batch = _batched("conv3d", x)
    depth = _Depth("conv3d", batch.shape, weight.shape, stride, padding, dilation, groups)
    if batch.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"conv3d: Given groups={groups}, weight of size {list(weight.shape)}, expected input{list(batch.shape)} to have "
            f"{weight.shape[1] * groups} channels, but got {batch.shape[1]} channels instead"
        )
    flat = copy.contiguous(weight).reshape(_folded(weight.shape))
    y = depth.channels_first(conv2d(depth.as_channels(batch), flat, bias, *depth.planes), len(batch))
    return y if x.ndim == 5 else y[0]


@float32_on_cpu
def conv3d_input_grad(
    grad: Any, weight: Any, input_shape: Sequence[int], stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """dL/dx for ``grad`` = dL/dy, of ``input_shape``, which has a batch dimension if ``grad`` has."""
    op = "conv3d_input_grad"
    batch = _batched(op, grad)
    shape = tuple(input_shape) if grad.ndim == 5 else (1, *input_shape)
    depth = _Depth(op, shape, weight.shape, stride, padding, dilation, groups)
    n, channels, _, height, width = shape
    inner = (n * depth.output, channels * depth.kernel, height, width)
    flat = copy.contiguous(weight).reshape(_folded(weight.shape))
    dx = depth.from_channels(conv2d_input_grad(depth.planes_first(batch), flat, inner, *depth.planes), shape)
    return dx if grad.ndim == 5 else dx[0]


@float32_on_cpu
def conv3d_weight_grad(
    grad: Any, x: Any, weight_shape: Sequence[int], stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """dL/dweight, of ``weight_shape``, for ``grad`` = dL/dy."""
    op = "conv3d_weight_grad"
    batch, grads, shape = _batched(op, x), _batched(op, grad), tuple(weight_shape)
    depth = _Depth(op, batch.shape, shape, stride, padding, dilation, groups)
    return conv2d_weight_grad(depth.planes_first(grads), depth.as_channels(batch), _folded(shape), *depth.planes).reshape(shape)
