"""Comparisons, logic, bits and tests for special values, as scalar formulas.  (Declared as those in ``formulas``, which names them too.)"""

from __future__ import annotations

from .. import _formula as f
from .._formula import make
from ._declare import elementwise


@elementwise(result="bool", accepts="bifc")
def eq(a, b):
    """a = b"""
    return make(f.eq, a, b)


@elementwise(result="bool", accepts="bifc")
def ne(a, b):
    """a ≠ b"""
    return make(f.ne, a, b)


@elementwise(result="bool")
def lt(a, b):
    """a < b"""
    return a < b


@elementwise(result="bool")
def le(a, b):
    """a ≤ b"""
    return a <= b


@elementwise(result="bool")
def gt(a, b):
    """a > b"""
    return a > b


@elementwise(result="bool")
def ge(a, b):
    """a ≥ b"""
    return a >= b


@elementwise(result="bool", accepts="bifc")
def logical_and(a, b):
    """a ∧ b, of numbers seen as "is not zero" """
    return (a != 0) & (b != 0)


@elementwise(result="bool", accepts="bifc")
def logical_or(a, b):
    """a ∨ b"""
    return (a != 0) | (b != 0)


@elementwise(result="bool", accepts="bifc")
def logical_xor(a, b):
    """a ⊻ b"""
    return (a != 0) ^ (b != 0)


@elementwise(result="bool", accepts="bifc")
def logical_not(x):
    """¬x"""
    return make(f.eq, x, 0)


@elementwise(accepts="bi")
def bitwise_and(a, b):
    """a & b"""
    return a & b


@elementwise(accepts="bi")
def bitwise_or(a, b):
    """a | b"""
    return a | b


@elementwise(accepts="bi")
def bitwise_xor(a, b):
    """a ^ b"""
    return a ^ b


@elementwise(accepts="bi")
def bitwise_not(x):
    """~x"""
    return ~x


@elementwise(accepts="i")
def bitwise_left_shift(a, b):
    """a << b"""
    return f.shift_left(a, b)


@elementwise(accepts="i")
def bitwise_right_shift(a, b):
    """a >> b"""
    return f.shift_right(a, b)


@elementwise(result="bool", accepts="bifc")
def isnan(x):
    """x is not a number"""
    return make(f.ne, x, x)


@elementwise(result="bool", accepts="bifc")
def isfinite(x):
    """x is neither infinite nor NaN"""
    return make(f.eq, x - x, 0)


@elementwise(result="bool", accepts="bif")
def isinf(x):
    """x is infinite: it equals itself and yet x − x is not zero"""
    return make(f.eq, x, x) & make(f.ne, x - x, 0)


@elementwise(result="bool", accepts="c")
def isinf_complex(x):
    """either part of x is infinite"""
    a, b = f.real(x), f.imag(x)
    return (make(f.eq, a, a) & make(f.ne, a - a, 0)) | (make(f.eq, b, b) & make(f.ne, b - b, 0))
