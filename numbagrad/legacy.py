"""Names that older scripts use: ``FloatTensor([1, 2])`` and its kin, and the numbers that stand beside the functions."""

from __future__ import annotations

import math
from typing import Any

from . import dtypes
from .tensor import Tensor

e, inf, nan, pi = math.e, math.inf, math.nan, math.pi
newaxis = None


class _Typed(type):
    """The class of ``FloatTensor``: a Tensor of that dtype is an instance of it."""

    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype


def _typed(name: str, dtype: Any) -> Any:
    def make(cls: Any, *args: Any) -> Tensor:
        return Tensor(*args, dtype=dtype)

    doc = f"``{name}(values)`` or ``{name}(*sizes)``: a tensor of dtype {dtype}."
    return _Typed(name, (), {"__new__": make, "dtype": dtype, "__doc__": doc, "__module__": "numbagrad"})


FloatTensor = _typed("FloatTensor", dtypes.float32)
DoubleTensor = _typed("DoubleTensor", dtypes.float64)
HalfTensor = _typed("HalfTensor", dtypes.float16)
LongTensor = _typed("LongTensor", dtypes.int64)
IntTensor = _typed("IntTensor", dtypes.int32)
ShortTensor = _typed("ShortTensor", dtypes.int16)
CharTensor = _typed("CharTensor", dtypes.int8)
ByteTensor = _typed("ByteTensor", dtypes.uint8)
BoolTensor = _typed("BoolTensor", dtypes.bool_)

deterministic = {"mode": False, "warn_only": False}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Every kernel here gives the same bits each time already: this only remembers what was asked for."""
    deterministic.update(mode=bool(mode), warn_only=bool(warn_only))


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was last called with."""
    return deterministic["mode"]


__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor",
    "are_deterministic_algorithms_enabled", "e", "inf", "nan", "newaxis", "pi", "use_deterministic_algorithms",
]  # fmt: skip
