"""Convolutions and transposed convolutions over one, two and three dimensions; the lazy ones learn ``in_channels`` from the first input."""

from __future__ import annotations

import math
from types import FunctionType
from typing import Any, TypeVar

from ...creation import empty
from ...tensor import Parameter, Tensor
from .. import functional as F
from .. import init
from .lazy import LazyModuleMixin, UninitializedParameter
from .module import Module

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """Weight, bias and settings.  ``dims``: the number of spatial dimensions; every setting is a number, or one per dimension."""

    dims: int = 0
    function: Any = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        transposed: bool,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ):
        super().__init__()
        self.in_channels, self.out_channels, self.groups, self.padding_mode = in_channels, out_channels, groups, padding_mode
        self.kernel_size, self.stride, self.dilation = self._sizes(kernel_size), self._sizes(stride), self._sizes(dilation)
        self.padding = padding if isinstance(padding, str) else self._sizes(padding)
        self.transposed, self.output_padding = transposed, self._sizes(output_padding)
        self._check()
        self.weight = Parameter(empty(*self._weight_shape(), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _sizes(self, value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * self.dims

    def _check(self) -> None:
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        if self.out_channels % self.groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {self.padding!r}, should be one of {{'valid', 'same'}}")
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in _PADDING_MODES:
            modes = ", ".join(map(repr, _PADDING_MODES))
            raise ValueError(f"padding_mode must be one of {{{modes}}}, but got padding_mode='{self.padding_mode}'")

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = (self.in_channels, self.out_channels) if self.transposed else (self.out_channels, self.in_channels)
        return first, second // self.groups, *self.kernel_size

    def reset_parameters(self) -> None:
        """Draw the parameters anew: uniform on ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and self.weight.shape[0]:
            fan_in = self.weight[0].numel()  # type: ignore[index]
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.dims:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.dims:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.dims:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


_Class = TypeVar("_Class", bound=type)


def _with_init(cls: _Class) -> _Class:
    """``cls`` with a copy of the ``__init__`` it inherits: what Python says of wrong arguments names ``cls``."""
    inherited: Any = cls.__init__  # type: ignore[misc]
    init = FunctionType(inherited.__code__, inherited.__globals__, "__init__", inherited.__defaults__, inherited.__closure__)
    init.__annotations__, init.__module__, init.__qualname__ = (
        inherited.__annotations__,
        inherited.__module__,
        f"{cls.__qualname__}.__init__",
    )
    cls.__init__ = init  # type: ignore[misc]
    return cls


# ---- convolutions ------------------------------------------------------------------------------------------------------------------


class _Conv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, False, 0, groups, bias, padding_mode, device, dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._around(), self.padding_mode)
            padding = 0
        return type(self).function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _around(self) -> tuple[int, ...]:
        """The padding of each side, last dimension first."""
        sides: list[Any] = []
        for i in reversed(range(self.dims)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                sides += [total // 2, total - total // 2]
            else:
                sides += [0, 0] if self.padding == "valid" else [self.padding[i]] * 2
        return tuple(sides)


@_with_init
class Conv1d(_Conv):
    """Cross-correlation of (N, C, L) or (C, L) with (out_channels, in_channels / groups, k), plus bias."""

    dims, function = 1, staticmethod(F.conv1d)


@_with_init
class Conv2d(_Conv):
    """Cross-correlation of (N, C, H, W) or (C, H, W) with (out_channels, in_channels / groups, kH, kW), plus bias."""

    dims, function = 2, staticmethod(F.conv2d)


@_with_init
class Conv3d(_Conv):
    """Cross-correlation of (N, C, D, H, W) or (C, D, H, W) with (out_channels, in_channels / groups, kD, kH, kW), plus bias."""

    dims, function = 3, staticmethod(F.conv3d)


# ---- transposed convolutions -------------------------------------------------------------------------------------------------------


class _ConvTranspose(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            True,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._output_padding(input, output_size)
        return type(self).function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """What makes the result of ``output_size``, given with or without the dimensions before the spatial ones."""
        name, dims = type(self).__name__, self.dims
        border: Any = self.padding
        sizes = tuple(output_size)
        if len(sizes) == input.ndim:
            sizes = sizes[-dims:]
        if len(sizes) != dims:
            raise ValueError(f"{name}: for {input.ndim}D input, output_size must have {dims} or {input.ndim} elements (got {len(sizes)})")
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(input.shape[-dims:], self.stride, border, self.dilation, self.kernel_size)
        ]
        most = [low + s - 1 for low, s in zip(least, self.stride)]
        if any(not low <= size <= high for size, low, high in zip(sizes, least, most)):
            raise ValueError(
                f"requested an output size of {list(sizes)}, but valid sizes range from {least} to {most} (for an input of {list(input.shape[2:])})"
            )
        return tuple(size - low for size, low in zip(sizes, least))


@_with_init
class ConvTranspose1d(_ConvTranspose):
    """``functional.conv_transpose1d`` of (N, C, L) or (C, L) with (in_channels, out_channels / groups, k), plus bias."""

    dims, function = 1, staticmethod(F.conv_transpose1d)


@_with_init
class ConvTranspose2d(_ConvTranspose):
    """``functional.conv_transpose2d`` of (N, C, H, W) or (C, H, W) with (in_channels, out_channels / groups, kH, kW), plus bias."""

    dims, function = 2, staticmethod(F.conv_transpose2d)


@_with_init
class ConvTranspose3d(_ConvTranspose):
    """``functional.conv_transpose3d`` of (N, C, D, H, W) or (C, D, H, W) with (in_channels, out_channels / groups, kD, kH, kW), plus bias."""

    dims, function = 3, staticmethod(F.conv_transpose3d)


# ---- lazy ones ---------------------------------------------------------------------------------------------------------------------


class _LazyConvNd(LazyModuleMixin):
    """What a lazy convolution does with its first input."""

    def _without_sizes(self: Any, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self.out_channels = out_channels
        self.register_parameter("weight", UninitializedParameter(device=device, dtype=dtype))
        if bias:
            self.register_parameter("bias", UninitializedParameter(device=device, dtype=dtype))

    def reset_parameters(self: Any) -> None:
        if self.in_channels:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self: Any, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take ``in_channels`` from ``input``."""
        if not self.has_uninitialized_params():
            return
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(
                f"Expected {self.dims + 1}D (unbatched) or {self.dims + 2}D (batched) input to {type(self).__name__}, "
                f"but got input of size: {list(input.shape)}"
            )
        self.in_channels = input.shape[-self.dims - 1]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        self.weight.materialize(self._weight_shape())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyConv(_LazyConvNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)
        self._without_sizes(out_channels, bias, device, dtype)


class _LazyConvTranspose(_LazyConvNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode, device, dtype)
        self._without_sizes(out_channels, bias, device, dtype)


@_with_init
class LazyConv1d(_LazyConv, Conv1d):
    """``Conv1d`` that takes ``in_channels`` from its first input."""

    cls_to_become = Conv1d


@_with_init
class LazyConv2d(_LazyConv, Conv2d):
    """``Conv2d`` that takes ``in_channels`` from its first input."""

    cls_to_become = Conv2d


@_with_init
class LazyConv3d(_LazyConv, Conv3d):
    """``Conv3d`` that takes ``in_channels`` from its first input."""

    cls_to_become = Conv3d


@_with_init
class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """``ConvTranspose1d`` that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose1d


@_with_init
class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """``ConvTranspose2d`` that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose2d


@_with_init
class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """``ConvTranspose3d`` that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose3d
