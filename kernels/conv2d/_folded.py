"""The passes of a 3-D convolution by way of 2-D ones, on any device.

The planes that the kernel's depth covers become channels: a strided copy of x, (N · D', C · kD, H, W), of which each output plane is a 2-D convolution
with the weight seen as (K, C / groups · kD, kH, kW).  All arithmetic is that of the 2-D passes; what is added is the copy, kD times the size of x, and
one of the result, whose planes come out before its channels.

Each function takes the 2-D pass of a device (see ``cpu`` and ``cuda``) and then the arguments of the 3-D one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import copy
from .._device import device_of
from ..elementwise import formulas, run

Sizes = tuple[int, ...]
Pass = Callable[..., Any]


class _Depth(NamedTuple):
    """How the first spatial dimension is walked: from an input of ``size`` planes to one of ``output``."""

    size: int
    output: int
    kernel: int
    stride: int
    before: int
    dilation: int

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


def _folded_shape(weight: Sequence[int]) -> Sizes:
    """The shape of a weight whose depth has joined its channels."""
    return weight[0], weight[1] * weight[2], weight[3], weight[4]


def conv3d(conv2d: Pass, x: Any, weight: Any, bias: Any, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Any:
    depth = _Depth(x.shape[2], size[0], weight.shape[2], stride[0], padding[0], dilation[0])
    flat = copy.contiguous(weight).reshape(_folded_shape(weight.shape))
    y = conv2d(depth.as_channels(x), flat, bias, size[1:], stride[1:], padding[1:], dilation[1:], groups)
    return depth.channels_first(y, len(x))


def conv3d_input_grad(
    conv2d_input_grad: Pass, grad: Any, weight: Any, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Any:
    depth = _Depth(shape[2], grad.shape[2], weight.shape[2], stride[0], padding[0], dilation[0])
    n, channels, _, height, width = shape
    inner = (n * depth.output, channels * depth.kernel, height, width)
    flat = copy.contiguous(weight).reshape(_folded_shape(weight.shape))
    planes = conv2d_input_grad(depth.planes_first(grad), flat, inner, stride[1:], padding[1:], dilation[1:], groups)
    return depth.from_channels(planes, shape)


def conv3d_weight_grad(
    conv2d_weight_grad: Pass, grad: Any, x: Any, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Any:
    depth = _Depth(x.shape[2], grad.shape[2], shape[2], stride[0], padding[0], dilation[0])
    grads, inputs = depth.planes_first(grad), depth.as_channels(x)
    return conv2d_weight_grad(grads, inputs, _folded_shape(shape), stride[1:], padding[1:], dilation[1:], groups).reshape(shape)


__all__ = ["conv3d", "conv3d_input_grad", "conv3d_weight_grad"]
