"""sin, cos, tan and their inverses in float32 alone, without a branch, for LLVM to vectorise; at most 4 units in the last place for every
argument.

The reduction modulo pi/2 is Payne and Hanek's ("Radian reduction for trigonometric functions", SIGNUM Newsletter 18, 1983) in integers:
the product of the 24-bit significand with the 96 bits of 2/pi that matter for the argument's exponent, kept in a table.  So an argument
of 1e30 is as exact, and as fast, as one of 3.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .exp32 import _INF, _NAN, _constants, f32, i32
from .intrinsics import bits, copysign, fma, horner, select
from .jit import inline

u32 = np.uint32
u64 = np.uint64

# 2/pi as an integer: its first 256 bits behind the point, from the hexadecimal expansion.
_TWO_OVER_PI = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561


def _reduction_table() -> Any:
    """Row e: 2/pi * 2**(e - 88) modulo 2**64, with 32 bits behind the point, as three words; e is the biased exponent of the argument.

    A float32 is m * 2**(e - 150), so m times this is the argument in quarter turns with 62 bits behind the point, modulo four.
    """
    rows = np.zeros((3, 256), np.uint32)
    for exponent in range(126, 255):
        word = (_TWO_OVER_PI << 32) << (exponent - 88) >> 256 & (1 << 96) - 1
        rows[:, exponent] = (word >> 64, word >> 32 & 0xFFFFFFFF, word & 0xFFFFFFFF)
    return rows


_HIGH, _MIDDLE, _LOW = _reduction_table()

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
def _quarter_turns(x):
    """(r, q) with |x| = q pi/2 + r modulo 2 pi, |r| <= pi/4; r is NaN for infinite and NaN x."""
    a = abs(x)
    pattern = u32(bits(a))
    exponent = u32(pattern >> u32(23))
    significand = u64((pattern & u32(0x7FFFFF)) | u32(0x800000))
    low = significand * u64(_LOW[exponent])
    middle = significand * u64(_MIDDLE[exponent]) + (low >> u64(32))
    high = u64(u32(significand * u64(_HIGH[exponent])))
    turns = middle + (high << u64(32))
    quarter = u64((turns + u64(1 << 61)) >> u64(62))
    fraction = np.int64(turns - (quarter << u64(62)))
    # The fraction in three pieces that a float32 holds exactly, so that a small one keeps its leading bits.
    first = f32(i32(fraction >> np.int64(38)))
    second = f32(i32((fraction >> np.int64(14)) & np.int64(0xFFFFFF)))
    third = f32(i32(fraction & np.int64(0x3FFF)))
    value = fma(first, f32(2.0**24), second) + third * f32(2.0**-14)
    r = fma(value, _QUARTER_TURN_HIGH, value * _QUARTER_TURN_LOW)
    r = select(a < f32(0.5), a, r)
    return select(a < _INF, r, _NAN), i32(quarter)


@inline
def _sine_or_cosine(r, cosine):
    square = r * r
    sine = fma(r * square, horner(square, _SIN), r)
    return select(cosine, fma(square * square, horner(square, _COS), fma(f32(-0.5), square, f32(1.0))), sine)


@inline
def sin_f32(x):
    """sin x."""
    r, quarter = _quarter_turns(x)
    value = _sine_or_cosine(r, (quarter & i32(1)) != i32(0))
    value = select((quarter & i32(2)) != i32(0), -value, value)
    return select(bits(x) < i32(0), -value, value)


@inline
def cos_f32(x):
    """cos x."""
    r, quarter = _quarter_turns(x)
    value = _sine_or_cosine(r, (quarter & i32(1)) == i32(0))
    return select(((quarter + i32(1)) & i32(2)) != i32(0), -value, value)


@inline
def tan_f32(x):
    """tan x = tan r, or -1/tan r in odd quarter turns."""
    r, quarter = _quarter_turns(x)
    square = r * r
    value = fma(r * square, horner(square, _TAN), r)
    value = select((quarter & i32(1)) != i32(0), f32(-1.0) / value, value)
    return select(bits(x) < i32(0), -value, value)


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
