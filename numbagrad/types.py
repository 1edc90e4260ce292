"""Names for type hints: what is accepted where a device, a number or a size is."""

from __future__ import annotations

from typing import Sequence

from .devices import device
from .dtypes import dtype
from .size import Size
from .tensor import Tensor

_device, _dtype = device, dtype
_int, _float, _bool, _complex = int, float, bool, complex
_size = Size | list[int] | tuple[int, ...]
_TensorOrTensors = Tensor | Sequence[Tensor]
Device = device | str | int | None
Number = int | float | bool

__all__ = ["Device", "Number"]
