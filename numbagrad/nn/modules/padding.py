"""Padding layers: (N, C, ...) or (C, ...) extended on every side by a constant, by reflection, by the edge or by the other side."""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from .. import functional as F
from .module import Module


class _Padding(Module):
    """``padding``: a number for all sides, or (before, after) of the last dimension, then of the one before it, ..."""

    dims, mode = 0, "constant"

    def __init__(self, padding: Any):
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.dims)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadding(_Padding):
    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _CircularPadding(_Padding):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise ValueError(f"expected {self.dims + 1}D or {self.dims + 2}D input (got {input.ndim}D input)")
        return super().forward(input)


class ConstantPad1d(_ConstantPadding):
    """``value`` around (N, C, L) or (C, L)"""

    dims = 1


class ConstantPad2d(_ConstantPadding):
    """``value`` around (N, C, H, W) or (C, H, W)"""

    dims = 2


class ConstantPad3d(_ConstantPadding):
    """``value`` around (N, C, D, H, W) or (C, D, H, W)"""

    dims = 3


class ZeroPad1d(_Padding):
    """Zeros around (N, C, L) or (C, L)"""

    dims = 1


class ZeroPad2d(_Padding):
    """Zeros around (N, C, H, W) or (C, H, W)"""

    dims = 2


class ZeroPad3d(_Padding):
    """Zeros around (N, C, D, H, W) or (C, D, H, W)"""

    dims = 3


class ReflectionPad1d(_Padding):
    """The input mirrored at its edges, which are not repeated, around (N, C, L) or (C, L)"""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Padding):
    """The input mirrored at its edges, which are not repeated, around (N, C, H, W) or (C, H, W)"""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Padding):
    """The input mirrored at its edges, which are not repeated, around (N, C, D, H, W) or (C, D, H, W)"""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Padding):
    """The elements at the edges repeated around (N, C, L) or (C, L)"""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Padding):
    """The elements at the edges repeated around (N, C, H, W) or (C, H, W)"""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Padding):
    """The elements at the edges repeated around (N, C, D, H, W) or (C, D, H, W)"""

    dims, mode = 3, "replicate"


class CircularPad1d(_CircularPadding):
    """The input's other side around (N, C, L) or (C, L)"""

    dims = 1


class CircularPad2d(_CircularPadding):
    """The input's other side around (N, C, H, W) or (C, H, W)"""

    dims = 2


class CircularPad3d(_CircularPadding):
    """The input's other side around (N, C, D, H, W) or (C, D, H, W)"""

    dims = 3
