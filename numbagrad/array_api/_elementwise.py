"""Functions of every element: those of the library, with the standard's promotion where they take two tensors."""

from __future__ import annotations

import functools
from typing import Any

from ..dtypes import promote_types
from ..ops import FUNCTIONS
from ..tensor import Tensor

_UNARY = {name: name for name in (
    "abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor imag isfinite isinf isnan log log1p log2 log10 logical_not negative positive "
    "reciprocal round sign signbit sin sinh sqrt square tan tanh trunc"
).split()} | {"bitwise_invert": "bitwise_not", "conj": "conj_physical"}  # fmt: skip
_BINARY = {name: name for name in (
    "add atan2 bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift copysign divide floor_divide greater greater_equal hypot less "
    "less_equal logaddexp logical_and logical_or logical_xor maximum minimum multiply nextafter not_equal pow remainder subtract"
).split()} | {"equal": "eq"}  # fmt: skip

__all__ = [*_UNARY, *_BINARY, "clip", "real"]


def promoted(*operands: Any) -> tuple[Any, ...]:
    """The operands, tensors in the type that they promote to: one without dimensions counts as much as any other."""
    types = [x.dtype for x in operands if isinstance(x, Tensor)]
    if len(set(types)) < 2:
        return operands
    dtype = functools.reduce(promote_types, types)
    return tuple(x.to(dtype) if isinstance(x, Tensor) else x for x in operands)  # type: ignore[attr-defined]


def _unary(name: str, function: Any) -> Any:
    def call(x: Any, /) -> Tensor:
        return function(x)

    return _named(call, name, function)


def _binary(name: str, function: Any) -> Any:
    def call(x1: Any, x2: Any, /) -> Tensor:
        return function(*promoted(x1, x2))

    return _named(call, name, function)


def _named(call: Any, name: str, function: Any) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = function.__doc__
    return call


globals().update({name: _unary(name, FUNCTIONS[ours]) for name, ours in _UNARY.items()})
globals().update({name: _binary(name, FUNCTIONS[ours]) for name, ours in _BINARY.items()})


def real(x: Any, /) -> Tensor:
    """The real parts."""
    return x.real if x.is_complex() else x


def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """``x`` between ``min`` and ``max``, numbers or tensors, in the type of ``x``."""
    if min is None and max is None:
        return x.clone()
    shape = FUNCTIONS["broadcast_shapes"](*[tuple(b.shape) for b in (x, min, max) if isinstance(b, Tensor)])
    for bound, function in ((min, FUNCTIONS["maximum"]), (max, FUNCTIONS["minimum"])):
        if bound is not None:
            bound = bound.to(x.dtype) if isinstance(bound, Tensor) else x.new_full((), bound)
            x = function(x.expand(shape), bound)
    return x
