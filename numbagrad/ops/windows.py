"""Windows: ``Tensor.unfold``, ``unfold`` and ``fold`` of images, and channels exchanged with pixels or with each other."""

from __future__ import annotations

import math
from typing import Any

from ..kernels.index.strided import Strides, windows
from ..size import dimension
from ..tensor import Tensor
from ._arguments import tensor_argument
from ._attach import public
from ._view import view_operation
from .copy import pad
from .strided import as_strided, restride
from .views import _strided

# ---- along one dimension ---------------------------------------------------------------------------------------------------------------


def _unfold(x: Any, d: int, size: int, step: int) -> Any:
    return _strided(x, *windows(x.shape, x.strides, d, size, step))


def _unfold_rule(g: Tensor, x_shape: Any, d: int, size: int, step: int) -> Tensor:
    whole = Strides.row_major(x_shape)
    return restride(g, Strides(*windows(whole.shape, whole.strides, d, size, step), 0), whole)


_unfold_op = view_operation("unfold", _unfold, _unfold_rule)


@public(function=False)
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """The view y[..., i, ..., k] = input[..., i·step + k, ...]: windows of ``size`` entries along ``dimension``, as a last dimension.

    Raises RuntimeError for a window larger than the dimension, a negative ``size`` and a ``step`` that is not positive.
    """
    d = _dimension(dimension, input.ndim)
    longest = input.shape[d] if input.ndim else 1
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > longest:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {longest} but size is {size}")
    return _unfold_op(input, d, size, step)


_dimension = dimension


# ---- of images -------------------------------------------------------------------------------------------------------------------------


def _pair(value: Any, op: str, name: str) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) == 1:
        values *= 2
    if len(values) != 2:
        raise RuntimeError(f"{op}: expected {name} to be an int or two of them, but got {value}")
    return values


class _Sliding:
    """Where a kernel of (kh, kw) places, ``dilation`` apart, stands on images (N, C, H, W) after padding."""

    def __init__(self, op: str, size: tuple[int, int], kernel: Any, dilation: Any, padding: Any, stride: Any):
        self.kernel, self.dilation = _pair(kernel, op, "kernel_size"), _pair(dilation, op, "dilation")
        self.padding, self.stride = _pair(padding, op, "padding"), _pair(stride, op, "stride")
        for name, values in (("kernel size", self.kernel), ("stride", self.stride), ("dilation", self.dilation)):
            if min(values) <= 0:
                raise RuntimeError(f"{op}: {name} should be greater than zero, but got {list(values)}")
        if min(self.padding) < 0:
            raise RuntimeError(f"{op}: padding should be non-negative, but got {list(self.padding)}")
        self.size = tuple(n + 2 * p for n, p in zip(size, self.padding))
        self.counts = tuple((n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(self.size, self.dilation, self.kernel, self.stride))
        if min(self.counts) < 1:
            raise RuntimeError(
                f"{op}: given input with spatial size {list(size)}, kernel_size={list(self.kernel)}, dilation={list(self.dilation)}, "
                f"padding={list(self.padding)}, stride={list(self.stride)}, calculated shape of the array of sliding blocks as {list(self.counts)}, "
                "but its components must be at least one."
            )

    def places(self, images: int, channels: int) -> tuple[Strides, Strides]:
        """(N, C, kh, kw, rows, columns) in the memory of padded images, and those images themselves."""
        whole = Strides.row_major((images, channels, *self.size))
        n, c, row, one = whole.strides
        inner = self.dilation[0] * row, self.dilation[1] * one
        steps = (n, c, *inner, self.stride[0] * row, self.stride[1] * one)
        return Strides((images, channels, *self.kernel, *self.counts), steps, 0), whole


def unfold_images(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """(N, C, H, W) to (N, C·kh·kw, L): column l holds what a kernel sees that stands at place l of the L that it can take (im2col).

    (C, H, W) gives (C·kh·kw, L).  Raises RuntimeError for other shapes and where the kernel finds no place.
    """
    shape = tensor_argument(input, "unfold", "input").shape
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError(
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(shape)}"
        )
    sliding = _Sliding("unfold", tuple(shape[-2:]), kernel_size, dilation, padding, stride)
    (top, left), channels = sliding.padding, shape[-3]
    images = 1 if len(shape) == 3 else shape[0]
    padded = pad(input, (left, left, top, top)) if top or left else input
    seen, _ = sliding.places(images, channels)
    columns = as_strided(padded.contiguous(), seen.shape, seen.strides) if images else padded.new_zeros(seen.shape)  # type: ignore[attr-defined]
    return columns.reshape((*shape[:-3], channels * math.prod(sliding.kernel), math.prod(sliding.counts)))  # type: ignore[attr-defined]


unfold_images.__name__ = "unfold"


def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """(N, C·kh·kw, L) to (N, C, H, W) with (H, W) = ``output_size``: what ``unfold`` took from places is added up there (col2im).

    (C·kh·kw, L) gives (C, H, W).  Raises RuntimeError where the sizes do not agree.
    """
    shape = tensor_argument(input, "fold", "input").shape
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        raise RuntimeError(
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, "
            f"but got: {list(shape)}"
        )
    size = _pair(output_size, "fold", "output_size")
    sliding = _Sliding("fold", size, kernel_size, dilation, padding, stride)
    taken = math.prod(sliding.kernel)
    if shape[-2] % taken:
        raise RuntimeError(
            f"fold: Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)={shape[-2]} "
            f"and kernel_size={list(sliding.kernel)}."
        )
    if shape[-1] != math.prod(sliding.counts):
        raise RuntimeError(
            f"fold: Given output_size={list(size)}, kernel_size={list(sliding.kernel)}, dilation={list(sliding.dilation)}, "
            f"padding={list(sliding.padding)}, stride={list(sliding.stride)}, expected size of input's dimension 2 to match the calculated number of "
            f"sliding blocks {' * '.join(map(str, sliding.counts))} = {math.prod(sliding.counts)}, but got input.size(2)={shape[-1]}."
        )
    images, channels = (1 if len(shape) == 2 else shape[0]), shape[-2] // taken
    seen, whole = sliding.places(images, channels)
    image = restride(input.reshape(seen.shape), seen, whole)  # type: ignore[attr-defined]
    (top, left) = sliding.padding
    if top or left:
        image = pad(image, (-left, -left, -top, -top))
    return image if len(shape) == 3 else image[0]


# ---- channels and pixels ---------------------------------------------------------------------------------------------------------------


@public(method=False)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C·r², H, W) to (..., C, H·r, W·r): out[c, h·r + i, w·r + j] = input[c·r² + i·r + j, h, w].

    The sub-pixel layer of Shi et al. 2016, https://arxiv.org/abs/1609.05158.  Raises RuntimeError for fewer than 3 dimensions or channels that r² does not
    divide.
    """
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError(f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *batch, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but input.size(-3)={c} is not divisible "
            f"by {r * r}"
        )
    n = len(batch)
    apart = input.reshape((*batch, c // (r * r), r, r, h, w))  # type: ignore[attr-defined]
    return apart.permute((*range(n), n, n + 3, n + 1, n + 4, n + 2)).reshape((*batch, c // (r * r), h * r, w * r))


@public(method=False)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H·r, W·r) to (..., C·r², H, W): the inverse of ``pixel_shuffle``.  Raises RuntimeError where r does not divide height and width."""
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError(f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *batch, c, h, w = input.shape
    for name, value, dim in (("height", h, -2), ("width", w, -1)):
        if value % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({dim})={value} is not divisible by {r}"
            )
    n = len(batch)
    apart = input.reshape((*batch, c, h // r, r, w // r, r))  # type: ignore[attr-defined]
    return apart.permute((*range(n), n, n + 2, n + 4, n + 1, n + 3)).reshape((*batch, c * r * r, h // r, w // r))


@public(method=False, aliases=("native_channel_shuffle",))
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, g·k, ...) with channel a·k + b moved to b·g + a: the g groups of k channels interleaved (Zhang et al. 2017, https://arxiv.org/abs/1707.01083).

    Raises RuntimeError for fewer than 3 dimensions and for a number of groups that does not divide the channels.
    """
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    n, c, *rest = input.shape
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    return input.reshape((n, groups, c // groups, *rest)).transpose(1, 2).reshape(input.shape)  # type: ignore[attr-defined]
