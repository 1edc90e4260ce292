"""The operators of tensors: a + b, b + a, a += b and the others, in terms of the elementwise operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import casting
from ..kernels.elementwise import formulas as f
from ..kernels.elementwise import logic
from ..tensor import Parameter, Tensor, wrap
from ._elementwise import operation
from ._keywords import with_others
from .elementwise import absolute, declare, floor_divide, is_integer, remainder

_add, _sub, _mul, _div = (operation(kernel) for kernel in (f.add, f.sub, f.mul, f.div))
_neg, _pow = operation(f.neg), operation(f.pow_)
_PLAIN = frozenset((Tensor, Parameter, float, int))
_NUMBERS = (Tensor, bool, int, float, complex, np.ndarray, np.generic)


def _operand(x: Any) -> Any:
    """A NumPy array or scalar beside a tensor counts as a tensor or number."""
    if isinstance(x, np.generic):
        return x.item()
    return wrap(x) if isinstance(x, np.ndarray) else x


def _operator(name: str, op: Any, swapped: str | None = None, changed: str | None = None) -> None:
    """Install the dunder methods of a binary operation: a + b, b + a, a += b."""

    def forward(self: Tensor, other: Any) -> Any:
        if type(other) in _PLAIN:
            return op.call(self, other)
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        return op.call(self, _operand(other))

    def reflected(self: Tensor, other: Any) -> Any:
        if type(other) in _PLAIN:
            return op.call(other, self)
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        return op.call(_operand(other), self)

    setattr(Tensor, name, forward)
    if swapped:
        setattr(Tensor, swapped, reflected)
    if changed:
        method = getattr(Tensor, changed)
        setattr(Tensor, "__i" + name[2:], lambda self, other: method(self, _operand(other)))


class _Function:
    """A function as something that has a ``call``, like the operations."""

    def __init__(self, call: Any):
        self.call = call


def _power(a: Any, b: Any) -> Any:
    """a ** b; the common whole exponents have formulas of their own, which are faster and exact."""
    if isinstance(a, Tensor) and not isinstance(b, Tensor):
        if b == 2 and (isinstance(b, int) or not is_integer(a)):
            return operation(f.square)(a)
        if b == 1 and not is_integer(a):
            return casting.arguments("pow", a)[0].clone() if casting.active else a.clone()
        if b == 0.5:
            return operation(f.root)(a)
        if isinstance(b, int) and b < 0 and is_integer(a):
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    return _pow(a, b)


def _pow_call(input: Any, exponent: Any, **others: Any) -> Any:
    """input ** exponent"""
    if others:
        return with_others(_pow_call, others, input, exponent)
    return _power(input, exponent)


declare(f.pow_, "pow", wrapper=_pow_call)
for _dunder, _op, _swapped, _changed in (
    ("__add__", _add, "__radd__", "add_"), ("__sub__", _sub, "__rsub__", "sub_"), ("__mul__", _mul, "__rmul__", "mul_"),
    ("__truediv__", _div, "__rtruediv__", "div_"), ("__floordiv__", _Function(floor_divide), "__rfloordiv__", "floor_divide_"),
    ("__mod__", _Function(remainder), "__rmod__", "remainder_"), ("__pow__", _Function(_power), "__rpow__", "pow_"),
    ("__eq__", operation(logic.eq), None, None), ("__ne__", operation(logic.ne), None, None),
    ("__lt__", operation(logic.lt), None, None), ("__le__", operation(logic.le), None, None),
    ("__gt__", operation(logic.gt), None, None), ("__ge__", operation(logic.ge), None, None),
    ("__and__", operation(logic.bitwise_and), "__rand__", "bitwise_and_"),
    ("__or__", operation(logic.bitwise_or), "__ror__", "bitwise_or_"), ("__xor__", operation(logic.bitwise_xor), "__rxor__", "bitwise_xor_"),
    ("__lshift__", operation(logic.bitwise_left_shift), "__rlshift__", "bitwise_left_shift_"),
    ("__rshift__", operation(logic.bitwise_right_shift), "__rrshift__", "bitwise_right_shift_"),
):  # fmt: skip
    _operator(_dunder, _op, _swapped, _changed)
Tensor.__neg__ = lambda self: _neg(self)  # type: ignore[attr-defined]
Tensor.__pos__ = lambda self: self  # type: ignore[attr-defined]
Tensor.__abs__ = lambda self: absolute(self)  # type: ignore[attr-defined]


def _invert(self: Tensor) -> Any:
    """~self: every bit, or truth, the other way round.  Raises TypeError unless it is of integers or bool."""
    if self._data.dtype.kind not in "biu":
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return operation(logic.bitwise_not)(self)


Tensor.__invert__ = _invert  # type: ignore[assignment]
