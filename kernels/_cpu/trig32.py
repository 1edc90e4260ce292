"""sin, cos, tan and their inverses in float32 alone, without a branch or a table, for LLVM to vectorise; at most 2 units in the last place
for sin, cos and tan of every argument, at most 4 for the inverses.

The reduction modulo pi/2 has two regimes.  Up to 65536 the multiple of pi/2 is subtracted in three parts (Cody and Waite, *Software Manual
for the Elementary Functions*, 1980), with fused multiply-adds, so that the first difference is exact.  Beyond, it is Payne and Hanek's
("Radian reduction for trigonometric functions", SIGNUM Newsletter 18, 1983) in integers: the product of the 24-bit significand with the 96
bits of 2/pi that matter for the argument's exponent.  So an argument of 1e30 is as exact as one of 3.

``QUICK`` has the functions with the first regime alone, a third of the work, for loops that have looked at their arguments.  The results are
the same, bit for bit.
"""

from __future__ import annotations

import math

import numpy as np

from .exp32 import _INF, _NAN, _constants, f32, i32
from .intrinsics import bits, copysign, fma, from_bits, horner, precise_fma, select
from .jit import inline

u32 = np.uint32
u64 = np.uint64

# 2/pi as an integer: its first 224 bits behind the point, from the hexadecimal expansion; in words of 32, with an empty one in front.
_TWO_OVER_PI = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163AB
_W0, _W1, _W2, _W3, _W4, _W5, _W6, _W7 = (u32(_TWO_OVER_PI >> shift & 0xFFFFFFFF) for shift in range(224, -1, -32))

_LARGE = f32(65536.0)
_TURNS = f32(0.636619772)  # 2/pi
_ROUND = f32(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
_INF_BITS = i32(0x7F800000)
_SIGN = i32(-0x80000000)
_HALF_PI_1, _HALF_PI_2, _HALF_PI_3 = _constants(1.57079637, -4.37113883e-08, -1.71512451e-15)
_HALF_PI_HIGH, _HALF_PI_LOW = _constants(1.57079637, -4.37113883e-08)
_PI_HIGH, _PI_LOW = _constants(3.14159274, -8.74227766e-08)
_QUARTER_TURN_HIGH = f32(_HALF_PI_HIGH * 2.0**-48)
_QUARTER_TURN_LOW = f32(_HALF_PI_LOW * 2.0**-48)

# sin(r) = r + r**3 P(r**2), cos(r) = 1 - r**2/2 + r**4 P(r**2), tan(r) = r + r**3 P(r**2), |r| <= pi/4
_SIN = _constants(-0.166666672, 0.0083333794, -0.00019852983, 2.83080158e-06)
_COS = _constants(0.0416666456, -0.00138873025, 2.44308812e-05)
_TAN = _constants(0.333333552, 0.133324832, 0.0540797375, 0.0211821236, 0.0110907154, -0.000229241792, 0.00453183893)
# asin(r) = r + r**3 P(r**2), |r| <= 1/2; atan(r) the same, |r| <= 1
_ASIN = _constants(0.166666597, 0.075005196, 0.0445142128, 0.0318290666, 0.0143628241, 0.0376169384)
_ATAN = _constants(
    -0.333333284,
    0.199997216,
    -0.142804697,
    0.110622779,
    -0.0882595032,
    0.0677484572,
    -0.0451515652,
    0.0229279809,
    -0.00749891484,
    0.00114969478,
)


@inline
def _few_turns(a):
    """(r, s, q) with a = q pi/2 + r + s, |r| <= pi/4, s the rounding error of r, for 0 <= a < 65536."""
    shifted = fma(a, _TURNS, _ROUND)
    n = shifted - _ROUND
    first = precise_fma(n, -_HALF_PI_1, a)
    r = precise_fma(n, -_HALF_PI_3, precise_fma(n, -_HALF_PI_2, first))
    # The same in two parts, for those who need the error of r: it costs nothing where it is not used.
    product = n * _HALF_PI_2
    high = first - product
    low = ((first - high) - product) - precise_fma(n, _HALF_PI_3, precise_fma(n, _HALF_PI_2, -product))
    return r, (high - r) + low, bits(shifted)


@inline
def _window(exponent):
    """2/pi * 2**(e - 88) modulo 2**64, with 32 bits behind the point, as three words: the 96 bits from bit e - 120 of the eight words on, for a biased
    exponent 120 <= e < 255.  A shift by whole words, bit by bit of their number, then one within the words."""
    start = i32(exponent - i32(120))
    by_four, by_two, by_one = start >= i32(128), (start & i32(64)) != i32(0), (start & i32(32)) != i32(0)
    a, b, c, d = select(by_four, _W4, _W0), select(by_four, _W5, _W1), select(by_four, _W6, _W2), select(by_four, _W7, _W3)
    a, b, c, d, e = select(by_two, c, a), select(by_two, d, b), select(by_two, _W4, c), select(by_two, _W5, d), select(by_two, _W6, _W4)
    a, b, c, d = select(by_one, b, a), select(by_one, c, b), select(by_one, d, c), select(by_one, e, d)
    left = u32(start & i32(31))
    right = u32(u32(31) - left)
    high = u32(u32(a << left) | u32(u32(b >> u32(1)) >> right))
    middle = u32(u32(b << left) | u32(u32(c >> u32(1)) >> right))
    low = u32(u32(c << left) | u32(u32(d >> u32(1)) >> right))
    return high, middle, low


@inline
def _many_turns(a):
    """(r, s, q) with a = q pi/2 + r + s modulo 2 pi, |r| <= pi/4, s the rounding error of r, for 1 <= a < inf.

    A float32 is m * 2**(e - 150), so m times the window of 2/pi is the argument in quarter turns with 62 bits behind the point, modulo four.
    """
    pattern = bits(a)
    significand = u64(u32((pattern & i32(0x7FFFFF)) | i32(0x800000)))
    high, middle, low = _window(i32(pattern >> i32(23)))
    part = significand * u64(middle) + ((significand * u64(low)) >> u64(32))
    turns = part + (u64(u32(significand * u64(high))) << u64(32))
    quarter = u64((turns + u64(1 << 61)) >> u64(62))
    fraction = np.int64(turns - (quarter << u64(62)))
    # The fraction in three pieces that a float32 holds exactly, so that a small one keeps its leading bits.
    first = f32(i32(fraction >> np.int64(38)))
    second = f32(i32((fraction >> np.int64(14)) & np.int64(0xFFFFFF)))
    third = f32(i32(fraction & np.int64(0x3FFF)))
    value = precise_fma(first, f32(2.0**24), second)
    rest = precise_fma(third, f32(2.0**-14), precise_fma(first, f32(2.0**24), -value) + second)
    correction = precise_fma(value, _QUARTER_TURN_LOW, rest * _QUARTER_TURN_HIGH)
    r = precise_fma(value, _QUARTER_TURN_HIGH, correction)
    return r, precise_fma(value, _QUARTER_TURN_HIGH, -r) + correction, i32(quarter)


@inline
def _quarter_turns(x):
    """(r, s, q) with |x| = q pi/2 + r + s modulo 2 pi, |r| <= pi/4; r is NaN for infinite and NaN x."""
    a = abs(x)
    few = a < _LARGE
    r, low, quarter = _few_turns(a)
    other, error, turns = _many_turns(a)
    other = select(bits(a) < _INF_BITS, other, _NAN)  # a comparison of floats would become a test of their class, which is not vectorised
    return select(few, r, other), select(few, low, error), select(few, quarter, turns)


@inline
def _is_small(x):
    """Whether the quick functions may be used."""
    return abs(x) < _LARGE


@inline
def _sine_or_cosine(r, cosine):
    square = r * r
    sine = fma(r * square, horner(square, _SIN), r)
    return select(cosine, fma(square * square, horner(square, _COS), fma(f32(-0.5), square, f32(1.0))), sine)


@inline
def _sin(x, r, quarter):
    value = _sine_or_cosine(r, (quarter & i32(1)) != i32(0))
    sign = i32(i32(i32(quarter << i32(30)) ^ bits(x)) & _SIGN)  # negative in half the turns, and once more for negative x
    return from_bits(i32(bits(value) ^ sign))


@inline
def _cos(r, quarter):
    value = _sine_or_cosine(r, (quarter & i32(1)) == i32(0))
    return from_bits(i32(bits(value) ^ i32(i32((quarter + i32(1)) << i32(30)) & _SIGN)))


@inline
def _tan(x, r, low, quarter):
    """tan(r + s), or -1 over that in odd quarter turns."""
    square = r * r
    value = r + fma(r * square, horner(square, _TAN), fma(low, square, low))
    value = select((quarter & i32(1)) != i32(0), f32(-1.0) / value, value)
    return from_bits(i32(bits(value) ^ i32(bits(x) & _SIGN)))


@inline
def sin_f32(x):
    """sin x."""
    r, _, quarter = _quarter_turns(x)
    return _sin(x, r, quarter)


@inline
def cos_f32(x):
    """cos x."""
    r, _, quarter = _quarter_turns(x)
    return _cos(r, quarter)


@inline
def tan_f32(x):
    """tan x."""
    r, low, quarter = _quarter_turns(x)
    return _tan(x, r, low, quarter)


@inline
def _quick_sin(x):
    r, _, quarter = _few_turns(abs(x))
    return _sin(x, r, quarter)


@inline
def _quick_cos(x):
    r, _, quarter = _few_turns(abs(x))
    return _cos(r, quarter)


@inline
def _quick_tan(x):
    r, low, quarter = _few_turns(abs(x))
    return _tan(x, r, low, quarter)


@inline
def asin_f32(x):
    """x + x**3 P(x**2) for |x| <= 1/2, else ±(pi/2 - 2 asin(sqrt((1 - |x|)/2)))."""
    a = abs(x)
    large = a > f32(0.5)
    square = select(large, f32(0.5) * (f32(1.0) - a), a * a)
    r = select(large, math.sqrt(square), a)
    value = fma(r * square, horner(square, _ASIN), r)
    return copysign(select(large, (_HALF_PI_HIGH - (value + value)) + _HALF_PI_LOW, value), x)


@inline
def acos_f32(x):
    """pi/2 - asin x for |x| <= 1/2, else 2 asin(sqrt((1 - |x|)/2)), subtracted from pi for negative x."""
    a = abs(x)
    large = a > f32(0.5)
    square = select(large, f32(0.5) * (f32(1.0) - a), a * a)
    r = select(large, math.sqrt(square), x)
    value = fma(r * square, horner(square, _ASIN), r)
    outer = select(x < f32(0.0), (_PI_HIGH - (value + value)) + _PI_LOW, value + value)
    return select(large, outer, (_HALF_PI_HIGH - value) + _HALF_PI_LOW)


@inline
def _atan_reduced(t):
    """atan t for 0 <= t <= 1."""
    square = t * t
    return fma(t * square, horner(square, _ATAN), t)


@inline
def atan_f32(x):
    """atan x; pi/2 - atan(1/|x|) for |x| > 1."""
    a = abs(x)
    large = a > f32(1.0)
    value = _atan_reduced(select(large, f32(1.0) / a, a))
    return copysign(select(large, (_HALF_PI_HIGH - value) + _HALF_PI_LOW, value), x)


@inline
def atan2_f32(y, x):
    """The angle of the point (x, y), in [-pi, pi]; signed zeros and infinities as in C."""
    a, b = abs(x), abs(y)
    steep = b > a
    larger, smaller = select(steep, b, a), select(steep, a, b)
    ratio = smaller / select(larger == f32(0.0), f32(1.0), larger)
    ratio = select(smaller == _INF, f32(1.0), ratio)
    value = _atan_reduced(ratio)
    value = select(steep, (_HALF_PI_HIGH - value) + _HALF_PI_LOW, value)
    value = select(bits(x) < i32(0), (_PI_HIGH - value) + _PI_LOW, value)
    return select((x == x) & (y == y), copysign(value, y), x + y)


FUNCTIONS = {
    "sin": sin_f32,
    "cos": cos_f32,
    "tan": tan_f32,
    "asin": asin_f32,
    "acos": acos_f32,
    "atan": atan_f32,
    "atan2": atan2_f32,
}
# By name: whether an argument is in range, and the function for those that are.
QUICK = {"sin": (_is_small, _quick_sin), "cos": (_is_small, _quick_cos), "tan": (_is_small, _quick_tan)}
