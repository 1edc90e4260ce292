"""Elementary functions in float32 alone, without a branch or a table, so that LLVM vectorises the loops that call them.

    exp exp2 expm1  log log2 log10 log1p  tanh sinh cosh sigmoid  asinh acosh atanh  erf erfc erfinv ndtr  pow

The circular functions are in trig32.py.

Error against the exact value: at most 2 units in the last place for exp, exp2, log, tanh, sigmoid and erf, at most 4 for the others.
NaN, infinities, subnormals and signed zeros come out as C's Annex F has them.

Method: reduce the argument, evaluate a polynomial, undo the reduction (Muller, *Elementary Functions*, 3rd ed., chapters 3 and 11).
Where a function has two regimes both are computed and one is selected.  The coefficients are weighted minimax fits of our own (Lawson's
iteration on Chebyshev points), rounded to float32 one after the other, the rest being fitted again each time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .intrinsics import bits, copysign, fma, from_bits, horner, precise_fma, product_error, rint, select
from .jit import inline

f32 = np.float32
i32 = np.int32


def _constants(*values: float) -> tuple[Any, ...]:
    return tuple(f32(value) for value in values)


_INF = f32(np.inf)
_NAN = f32(np.nan)
_LOG2E = f32(1.44269504)
_LN2 = f32(0.693147181)
# ln 2 and log10 2 in two parts: the first has so few bits that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = _constants(0.693359375, -2.12194440e-4)
_LOG10_2_HIGH, _LOG10_2_LOW = _constants(0.30078125, 2.48745663981e-4)
_LOG10E = f32(0.434294482)
_NOTHING = f32(-0.0)  # what changes no number by being added
_TINY = f32(1.17549435e-38)  # the smallest normal number
_ROUND = f32(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
_ROUND_BITS = i32(0x4B400000)
_ROUND_EXP = f32(12582912.0 + 126.0)  # leaves the integer plus the exponent's bias less 1
_ROUND_ONE = f32(12582912.0 + 127.0)  # and plus the bias
_ROOT_HALF_BITS = i32(0x3F3504F3)

# e**r = 1 + r + r**2 P(r), |r| <= ln(2)/2; absolute error 3e-9 and (expm1) relative error 4e-10
_EXP = _constants(0.5, 0.166665196, 0.0416664034, 0.00836883113, 0.00139405322)
_EXP_LESS_1 = (f32(1.0), *_EXP)  # e**r - 1 = r P(r)
_TWICE_EXP_REST = (f32(2.0), *(f32(2.0) * c for c in _EXP))  # 2 e**r = 2 + r P(r)
_EXPM1 = _constants(0.5, 0.166666672, 0.0416664891, 0.00833320804, 0.00139326858, 0.000199442555)
# 2**r = 1 + r P(r), |r| <= 1/2; 2e-10
_EXP2 = _constants(0.693147182, 0.240226507, 0.0555040613, 0.00961808767, 0.00133366568, 0.000154518595, 1.46748898e-05)
# log(1+f) = f - f**2/2 + f**3 P(f), sqrt(1/2) <= 1+f <= sqrt(2); 7e-10 relative
_LOG = _constants(0.333333105, -0.249999866, 0.200022236, -0.166692495, 0.142187163, -0.12384402, 0.118726194, -0.117893703, 0.0691561252)
# tanh(x) = x + x**3 P(x**2), |x| < 0.625; sinh the same, |x| < 1
_TANH = _constants(-0.333332628, 0.133308977, -0.0536928065, 0.0204828251, -0.00552812498)
_SINH = _constants(0.166666672, 0.00833331142, 0.000198426351, 2.78392554e-06)
# erf(x) = x + x P(x**2), |x| < 1; log erfc(x) = P(x), 1 <= x <= 4
_ERF = _constants(0.128379166, -0.376126289, 0.112836182, -0.026855126, 0.00519073382, -0.000803076138, 7.92036808e-05)
_LOG_ERFC = _constants(0.000188037055, -1.12957835, -0.633220136, -0.108418219, 0.025207974, -0.0042044376, 0.00044130758, -2.16840926e-05)
# (1 + 2x) exp(x**2) erfc(x) = P((x-2)/(x+2)), x >= 0
_ERFC = _constants(
    1.27697837,
    -0.0927639157,
    -0.166030928,
    0.164054558,
    -0.0542077832,
    -0.00805776007,
    0.00864128303,
    0.00131404505,
    -0.00123913144,
    -0.000405095023,
)
# exp(x**2/2) Phi(-x) = P(x)/Q(x), 0 <= x <= 14.5; all coefficients positive, so nothing cancels
# Even and odd coefficients apart: polynomials in x**2, the rounding error of which cancels in the quotient
_NORMAL_ABOVE = _constants(0.38499999, 0.1411414, 0.00316950982), _constants(0.337581933, 0.031298779)
_NORMAL_BELOW = _constants(0.769999981, 0.926179886, 0.0784592554), _constants(1.28953516, 0.361620128, 0.00794469379)
# erfinv(x) = x P(w - 3) for w = -log(1 - x**2) < 6, else x P(sqrt(w) - 3.27): the variables are Giles's
_ERFINV_CENTRE = _constants(
    1.62354207,
    0.241630331,
    -0.00573856011,
    -0.000836074993,
    0.000195467786,
    -1.27565781e-05,
    -1.88403703e-06,
    4.55547507e-07,
    -4.39994885e-09,
    -5.82697268e-09,
)
_ERFINV_TAIL = _constants(
    3.10399294, 1.00546849, 0.00515066925, -0.00354276993, 0.00233450392, -0.00164917076, 0.000901692256, -0.000229814934
)
# log2((1+s)/(1-s)) = (2/ln 2) s + s**3 P(s**2), |s| < 0.172
_LOG2_TAIL = _constants(0.961796701, 0.577078938, 0.411915213, 0.336777866)
_TWO_LOG2E_HIGH, _TWO_LOG2E_LOW = _constants(2.88539004, 3.85197273e-08)


@inline
def _power_of_two(k):
    """2**k for the integer -126 <= k <= 127, from its bits."""
    return from_bits(i32((k + i32(127)) << i32(23)))


@inline
def _scale(x, k):
    """x * 2**k for |k| <= 252, rounded once: the first factor keeps x normal."""
    half = i32(k >> i32(1))
    return x * _power_of_two(half) * _power_of_two(i32(k - half))


@inline
def _expm1_reduced(x):
    """(q, k) with e**x = (1 + q) * 2**k, for -104 <= x <= 90."""
    shifted = fma(x, _LOG2E, _ROUND)
    n = shifted - _ROUND
    r = fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, x))
    return fma(r * r, horner(r, _EXP), r), i32(bits(shifted) - _ROUND_BITS)


@inline
def _exp_reduced(x):
    """(p, k) with e**x = p * 2**k, for -104 <= x <= 90."""
    q, k = _expm1_reduced(x)
    return q + f32(1.0), k


@inline
def _clamp(x, low, high):
    """x between low and high; NaN stays."""
    return select(x < low, low, select(x > high, high, x))


@inline
def _exp_parts(x, tail, factor):
    """(p, b) with factor * e**(x + tail) = p * 2**(k - 1), for -104 <= x <= 89 and a tail below x's last digit; the low bits of b are k + 126, the
    biased exponent of the second factor.  p = 2 factor e**r is rounded once."""
    shifted = fma(x, _LOG2E, _ROUND_EXP)
    n = shifted - _ROUND_EXP
    r = fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, x)) + tail
    return fma(factor * r, horner(r, _TWICE_EXP_REST), factor + factor), bits(shifted)


@inline
def exp_normal(x):
    """e**x where it is a normal number, -86 <= x <= 88.7, or above."""
    p, exponent = _exp_parts(x, _NOTHING, f32(1.0))
    return p * from_bits(i32(exponent << i32(23)))


@inline
def _exp_bounded(x, tail, factor):
    """factor * e**(x + tail) for x <= 89: n = rint(x/ln 2), a polynomial in x - n ln 2, times 2**n, by way of 2**(n + 64) where 2**n is subnormal."""
    x = select(x < f32(-104.0), f32(-104.0), x)
    p, exponent = _exp_parts(x, tail, factor)
    small = x < f32(-86.0)
    value = p * from_bits(i32(i32(exponent << i32(23)) + select(small, i32(64 << 23), i32(0))))
    return value * select(small, f32(2.0**-64), f32(1.0))


@inline
def exp_f32(x):
    """e**x."""
    return _exp_bounded(select(x > f32(89.0), f32(89.0), x), _NOTHING, f32(1.0))


@inline
def exp2_f32(x):
    """2**x."""
    x = _clamp(x, f32(-151.0), f32(129.0))
    shifted = x + _ROUND
    r = x - (shifted - _ROUND)
    return _scale(fma(r, horner(r, _EXP2), f32(1.0)), i32(bits(shifted) - _ROUND_BITS))


@inline
def expm1_f32(x):
    """e**x - 1 = 2**n (e**r - 1) + (2**n - 1), halved on the way so that n = 128 does not overflow."""
    clamped = _clamp(x, f32(-20.0), f32(89.0))
    shifted = fma(clamped, _LOG2E, _ROUND)
    n = shifted - _ROUND
    r = fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, clamped))
    half = _power_of_two(i32(bits(shifted) - _ROUND_BITS - i32(1)))
    q = fma(r * r, horner(r, _EXPM1), r)
    value = fma(half, q, half - f32(0.5))
    return select(abs(x) < f32(1e-8), x, value + value)


@inline
def _log_reduced(x):
    """(f, k) with x = (1 + f) * 2**k and sqrt(1/2) <= 1 + f < sqrt(2), for finite x > 0; k is a float."""
    small = x < _TINY
    pattern = i32(bits(select(small, x * f32(8388608.0), x)) - _ROOT_HALF_BITS)
    mantissa = from_bits(i32((pattern & i32(0x7FFFFF)) + _ROOT_HALF_BITS))
    return mantissa - f32(1.0), f32(i32(pattern >> i32(23))) - select(small, f32(23.0), f32(0.0))


@inline
def _log1p_tail(f):
    """log(1 + f) - f for a reduced f."""
    square = f * f
    return fma(f32(-0.5), square, f * square * horner(f, _LOG))


@inline
def _log_special(x, value):
    """``value``, the logarithm of a finite positive x, with the answers for all other x."""
    value = select(x < _INF, value, x)
    return select(x > f32(0.0), value, select(x == f32(0.0), -_INF, select(x < f32(0.0), _NAN, x)))


@inline
def log_f32(x):
    """log x = k ln 2 + log(1 + f)."""
    f, k = _log_reduced(x)
    return _log_special(x, fma(k, _LN2_HIGH, f + fma(k, _LN2_LOW, _log1p_tail(f))))


@inline
def log2_f32(x):
    """log2 x = k + log(1 + f)/ln 2."""
    f, k = _log_reduced(x)
    return _log_special(x, fma(f + _log1p_tail(f), _LOG2E, k))


@inline
def log10_f32(x):
    """log10 x = k log10 2 + log(1 + f)/ln 10."""
    f, k = _log_reduced(x)
    return _log_special(x, fma(k, _LOG10_2_HIGH, fma(f + _log1p_tail(f), _LOG10E, k * _LOG10_2_LOW)))


@inline
def log1p_f32(x):
    """log(1 + x): the rounding error of 1 + x is added to the reduced f."""
    u = f32(1.0) + x
    v = u - f32(1.0)
    error = (f32(1.0) - (u - v)) + (x - v)
    f, k = _log_reduced(u)
    f = f + select(k < f32(64.0), error * _power_of_two(i32(-select(k < f32(64.0), k, f32(0.0)))), f32(0.0))
    value = fma(k, _LN2_HIGH, f + fma(k, _LN2_LOW, _log1p_tail(f)))
    value = select(x < _INF, value, x)
    value = select(x > f32(-1.0), value, select(x == f32(-1.0), -_INF, select(x < f32(-1.0), _NAN, x)))
    return select(abs(x) < f32(1e-8), x, value)


@inline
def sigmoid_f32(x):
    """1/(1 + e**-x), the denominator as (1 + s) + s (e**r - 1) for e**-x = s e**r, s a power of two: but for what 1 + s may lose, which is put back, their
    sum alone is rounded.  All is in units of 2**-64 where e**x is subnormal."""
    bounded = _clamp(x, f32(-104.0), f32(86.0))
    shifted = fma(bounded, -_LOG2E, _ROUND_ONE)
    n = shifted - _ROUND_ONE
    r = fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, -bounded))
    small = x < f32(-86.0)
    unit = select(small, f32(2.0**-64), f32(1.0))
    s = from_bits(i32(i32(bits(shifted) << i32(23)) - select(small, i32(64 << 23), i32(0))))
    high = unit + s
    lost = select(x < f32(-16.0), unit - (high - s), f32(0.0))
    return unit / fma(fma(s, r, lost), horner(r, _EXP_LESS_1), high)


@inline
def tanh_f32(x):
    """x + x**3 P(x**2) for |x| < 0.625, else ±(1 - 2/(e**(2|x|) + 1))."""
    a = abs(x)
    square = a * a
    small = fma(a * square, horner(square, _TANH), a)
    large = f32(1.0) - f32(2.0) / (exp_normal(select(a > f32(10.0), f32(20.0), a + a)) + f32(1.0))
    return copysign(select(a < f32(0.625), small, large), x)


@inline
def _half_exp(a):
    """e**a / 2 for a >= 0, without overflow where the half is finite."""
    p, k = _exp_reduced(select(a > f32(90.0), f32(90.0), a))
    return _scale(p, i32(k - i32(1)))


@inline
def sinh_f32(x):
    """x + x**3 P(x**2) for |x| < 1, else ±(h - 1/(4h)) with h = e**|x|/2."""
    a = abs(x)
    square = x * x
    small = fma(x * square, horner(square, _SINH), x)
    h = _half_exp(a)
    return select(a < f32(1.0), small, copysign(h - f32(0.25) / h, x))


@inline
def cosh_f32(x):
    """h + 1/(4h) with h = e**|x|/2."""
    h = _half_exp(abs(x))
    return h + f32(0.25) / h


@inline
def asinh_f32(x):
    """±log1p(a + a**2/(1 + sqrt(1 + a**2))), a = |x|; ±(log a + log 2) where a**2 might overflow."""
    a = abs(x)
    square = a * a
    large = a > f32(2.0**28)
    value = log1p_f32(select(large, a, a + square / (f32(1.0) + math.sqrt(f32(1.0) + square))))
    return copysign(value + select(large, _LN2, f32(0.0)), x)


@inline
def acosh_f32(x):
    """log1p(t + sqrt(t (x + 1))), t = x - 1; log x + log 2 where the square might overflow."""
    t = x - f32(1.0)
    large = x > f32(2.0**28)
    value = log1p_f32(select(large, x, t + math.sqrt(t * (x + f32(1.0)))))
    return select(x < f32(1.0), _NAN, value + select(large, _LN2, f32(0.0)))


@inline
def atanh_f32(x):
    """±log1p(2a/(1 - a))/2, a = |x|."""
    a = abs(x)
    return copysign(f32(0.5) * log1p_f32((a + a) / (f32(1.0) - a)), x)


@inline
def erf_f32(x):
    """x + x P(x**2) for |x| < 1, else ±(1 - e**Q(|x|))."""
    a = abs(x)
    square = x * x
    small = fma(x, horner(square, _ERF), x)
    large = f32(1.0) - exp_f32(horner(select(a > f32(4.0), f32(4.0), a), _LOG_ERFC))
    return select(a < f32(1.0), small, copysign(large, x))


@inline
def erfc_f32(x):
    """e**(-a**2) P((a-2)/(a+2))/(1 + 2a), a = |x|, or 2 less that for negative x (Shepherd and Laframboise, Mathematics of Computation
    36, 1981); the rounding error of a**2 is put back.  1 - erf x for |x| < 0.6."""
    a = select(abs(x) > f32(11.0), f32(11.0), abs(x))
    square = a * a
    ratio = horner((a - f32(2.0)) / (a + f32(2.0)), _ERFC) / fma(f32(2.0), a, f32(1.0))
    q, k = _expm1_reduced(_clamp(-square, f32(-104.0), f32(0.0)))
    q = fma(-product_error(a, a), f32(1.0) + q, q)
    value = _scale(fma(ratio, q, ratio), k)
    value = select(x < f32(0.0), f32(2.0) - value, value)
    square = x * x
    return select(abs(x) < f32(0.6), f32(1.0) - fma(x, horner(square, _ERF), x), value)


@inline
def ndtr_f32(x):
    """Phi(x), the normal distribution function: e**(-a**2/2) P(a)/Q(a), a = |x|, or 1 less that for positive x, with the rounding error of a**2 put
    back.  At most 4 units in the last place, 5 on a processor without fused multiply-adds."""
    a = select(abs(x) > f32(14.5), f32(14.5), abs(x))
    square = a * a
    above = precise_fma(a, horner(square, _NORMAL_ABOVE[1]), horner(square, _NORMAL_ABOVE[0]))
    below = precise_fma(a, horner(square, _NORMAL_BELOW[1]), horner(square, _NORMAL_BELOW[0]))
    value = _exp_bounded(f32(-0.5) * square, f32(-0.5) * product_error(a, a), above / below)
    return select(x > f32(0.0), f32(1.0) - value, value)


@inline
def erfinv_f32(x):
    """The y with erf(y) = x, by polynomials in w = -log(1 - x**2) and sqrt(w) (Giles, "Approximating the erfinv function", GPU Computing
    Gems 2, 2012)."""
    a = abs(x)
    w = -log_f32((f32(1.0) - a) * (f32(1.0) + a))
    centre = horner(w - f32(3.0), _ERFINV_CENTRE)
    tail = horner(math.sqrt(w) - f32(3.27), _ERFINV_TAIL)
    return select(a == f32(1.0), copysign(_INF, x), x * select(w < f32(6.0), centre, tail))


@inline
def pow_f32(x, y):
    """|x|**y = 2**(y log2|x|), the logarithm and the product in two float32 parts each (Dekker), and C's answers for signs and special
    values."""
    a = abs(x)
    f, k = _log_reduced(a)
    # log2(1 + f) from s = f/(2 + f)
    d = f32(2.0) + f
    s = f / d
    remainder = (f - s * d) - product_error(s, d)
    s_low = (remainder - s * (f - (d - f32(2.0)))) / d
    main = s * _TWO_LOG2E_HIGH
    rest = fma(s, _TWO_LOG2E_LOW, fma(s_low, _TWO_LOG2E_HIGH, product_error(s, _TWO_LOG2E_HIGH)))
    square = s * s
    rest = fma(s * square, horner(square, _LOG2_TAIL), rest)
    high = k + main
    low = ((k - high) + main) + rest
    log2 = high + low
    low = low - (log2 - high)
    # y log2|x|: any |y| >= 2**60 overflows (or gives 1) as 2**60 does, and spares the product from overflowing
    factor = _clamp(y, f32(-(2.0**60)), f32(2.0**60))
    product = factor * log2
    error = fma(factor, low, product_error(factor, log2))
    finite = abs(product) < f32(200.0)
    product = _clamp(product, f32(-200.0), f32(200.0))
    shifted = product + _ROUND
    r = (product - (shifted - _ROUND)) + select(finite, error, f32(0.0))
    value = _scale(fma(r, horner(r, _EXP2), f32(1.0)), i32(bits(shifted) - _ROUND_BITS))
    value = select(a == f32(0.0), select(y < f32(0.0), _INF, f32(0.0)), value)
    value = select(a == _INF, select(y < f32(0.0), f32(0.0), _INF), value)
    value = select(y == y, value, y)
    half = y * f32(0.5)
    whole = rint(y) == y
    odd = whole & (rint(half) != half)
    value = select(odd, copysign(value, x), value)
    value = select((x < f32(0.0)) & (a < _INF) & (rint(y) != y), _NAN, value)
    value = select(x == x, value, x)
    return select((y == f32(0.0)) | (x == f32(1.0)), f32(1.0), value)


FUNCTIONS = {
    "exp": exp_f32,
    "exp2": exp2_f32,
    "expm1": expm1_f32,
    "log": log_f32,
    "log2": log2_f32,
    "log10": log10_f32,
    "log1p": log1p_f32,
    "sigmoid": sigmoid_f32,
    "tanh": tanh_f32,
    "sinh": sinh_f32,
    "cosh": cosh_f32,
    "asinh": asinh_f32,
    "acosh": acosh_f32,
    "atanh": atanh_f32,
    "erf": erf_f32,
    "erfc": erfc_f32,
    "erfinv": erfinv_f32,
    "ndtr": ndtr_f32,
    "pow": pow_f32,
}
