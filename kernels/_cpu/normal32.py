"""The activation x Phi(x) and its derivative in float32, Phi being the normal distribution function, without a branch or a table.

    gelu  gelu_slope

At most 2 units in the last place for gelu (up to 2.2 where the result is subnormal).  tables32.py has what is quicker for small arguments.

With T(a) = a Phi(-a), the part of the tail that a carries, x Phi(x) = max(x, 0) - T(|x|), in which nothing cancels.  Its three factors
are e**(-a**2/2), a/(a + K) and a polynomial in (a - K)/(a + K), the variable of Shepherd and Laframboise (Mathematics of Computation 36, 1981).
Their rounding errors would add up to more than 4 units, so all but the last are carried along in a second number (Dekker, Numerische Mathematik 18,
1971).
"""

from __future__ import annotations

import numpy as np

from .exp32 import _EXP, _INF, _LN2_HIGH, _LN2_LOW, _LOG2E, _NOTHING, _ROUND_ONE, _constants, exp_f32, f32, i32, ndtr_f32
from .intrinsics import bits, fma, from_bits, horner, precise_fma, product_error, select
from .jit import inline

# (a + K) exp(a**2/2) Phi(-a) = P((a - K)/(a + K)), 0 <= a <= 14.5, relative error 4e-9; K is such that the first coefficient is all but a float32
_K = f32(2.3125)
_FIRST = f32(0.695555329)
_OTHERS = _constants(
    -0.398887753,
    0.0931455716,
    0.0240006279,
    -0.0125057129,
    -0.00482905516,
    0.00139831484,
    0.0012945201,
    8.06296375e-05,
    -0.000237039654,
    -8.28331395e-05,
)
_DENSITY = f32(1 / np.sqrt(2 * np.pi))  # of the normal distribution at 0


@inline
def gelu_f32(x):
    """x Phi(x) = max(x, 0) - |x| Phi(-|x|); NaN for negative infinity, as for any product of infinity and 0."""
    a = select(abs(x) > f32(14.5), f32(14.5), abs(x))
    # a/(a + K) = quotient + low, and v = (a - K)/(a + K)
    total = a + _K
    part = total - a
    error = (a - (total - part)) + (_K - part)
    inverse = f32(1.0) / total
    quotient = a * inverse
    low = fma(-quotient, error, precise_fma(-quotient, total, a)) * inverse
    v = fma(a + a, inverse, f32(-1.0))
    # P(v) = value + error; v is twice the quotient, less 1, and so is its error
    slope = horner(v, _OTHERS)
    value = fma(v, slope, _FIRST)
    error = fma(low + low, slope, fma(v, slope, _FIRST - value))
    # their product = product + error
    product = quotient * value
    error = fma(low, value, fma(quotient, error, product_error(quotient, value)))
    # exp(-a**2/2) = (p + rest) 2**k, the square being rounded only after a multiple of ln 2 is taken from it
    half = f32(-0.5) * a
    shifted = fma(half * a, _LOG2E, _ROUND_ONE)
    n = shifted - _ROUND_ONE
    first = precise_fma(half, a, -n * _LN2_HIGH)
    r = fma(n, -_LN2_LOW, first)
    p = f32(1.0) + r
    rest = fma(r * r, horner(r, _EXP), fma(n, -_LN2_LOW, first - r)) + (r - (p - f32(1.0)))
    # 2**k by way of 2**(k + 64) where it is subnormal
    small = n < f32(-126.0)
    power = from_bits(i32(i32(bits(shifted) << i32(23)) + select(small, i32(64 << 23), i32(0))))
    tail = fma(product, p, fma(product, rest, error)) * power * select(small, f32(2.0**-64), f32(1.0))
    return select(x == -_INF, x - x, select(x < _NOTHING, _NOTHING, x) - tail)


@inline
def gelu_slope_f32(x):
    """The derivative of x Phi(x): Phi(x) + x exp(-x**2/2)/sqrt(2 pi)."""
    return ndtr_f32(x) + x * (_DENSITY * exp_f32(f32(-0.5) * x * x))


FUNCTIONS = {"gelu": gelu_f32, "gelu_slope": gelu_slope_f32}
