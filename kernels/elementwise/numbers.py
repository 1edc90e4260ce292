"""Formulas about single numbers: sign and angle, parts of a floating-point number, logarithms that stay finite.  (Declared as those in ``formulas``.)"""

from __future__ import annotations

import math

from .. import _formula as f
from .._formula import exp, exp2, log, log1p, make, where
from ._declare import elementwise

# ---- signs and angles -------------------------------------------------------------------------------------------------------------


@elementwise(accepts="c")
def sgn_complex(x):
    """x / |x|; 0 at 0"""
    size = abs(x)
    return where(make(f.eq, size, 0), 0, x / size)


@sgn_complex.vjp
def _(g, y, x):
    """What of g turns x, not what lengthens it, which changes nothing."""
    size = abs(x)
    return where(make(f.eq, size, 0), 0, (g - y * f.real(g * f.conj(y))) / size)


@elementwise(result="float", accepts="bif")
def angle_real(x):
    """π of a negative number, else 0"""
    return where(x < 0, math.pi, where(make(f.eq, x, x), 0, x))


@angle_real.vjp
def _(g):
    return 0 * g


@elementwise(result="real", accepts="c")
def angle_complex(x):
    """atan2(imag x, real x)"""
    return f.angle(x)


@angle_complex.vjp
def _(g, x):
    size = abs(x)
    return where(make(f.eq, size, 0), 0, g * 1j * x / (size * size))


@elementwise(accepts="f")
def heaviside(x, values):
    """0 for x < 0, ``values`` for x = 0, 1 for x > 0"""
    return where(x == 0, values, where(x > 0, 1, 0))


@elementwise(accepts="bi", name="heaviside")
def heaviside_int(x, values):
    """the same of integers, and of bools as 0 and 1"""
    return where(make(f.eq, x, 0), values, f.widen(where(x > 0, 1, 0), x))


@elementwise(result="bool", accepts="f")
def signbit(x):
    """whether the sign bit is set: of −0 as well"""
    return f.copysign(1, x) < 0


@elementwise(result="bool", accepts="f")
def isposinf(x):
    """x = ∞"""
    return make(f.eq, x, math.inf)


@elementwise(result="bool", accepts="f")
def isneginf(x):
    """x = −∞"""
    return make(f.eq, x, -math.inf)


@elementwise(result="bool", accepts="c")
def isreal_complex(x):
    """whether the imaginary part is 0"""
    return make(f.eq, f.imag(x), 0)


@elementwise(accepts="f")
def nan_to_num(x, nan: float, posinf: float, neginf: float):
    """x, with other numbers in the place of NaN, ∞ and −∞"""
    return where(make(f.ne, x, x), nan, where(make(f.eq, x, math.inf), posinf, where(make(f.eq, x, -math.inf), neginf, x)))


@nan_to_num.vjp
def _(g, x):
    return where(make(f.eq, x - x, 0), g, 0), None, None, None


# ---- units ------------------------------------------------------------------------------------------------------------------------


@elementwise(result="float", accepts="bif")
def rad2deg(x):
    """x · 180/π"""
    return x * (180 / math.pi)


@elementwise(result="float", accepts="bif")
def deg2rad(x):
    """x · π/180"""
    return x * (math.pi / 180)


# ---- parts of a number ------------------------------------------------------------------------------------------------------------


def _scaled(x, power):
    """x · 2^power, in two steps: 2^power alone may be more than the type holds."""
    half = f.floor(power * 0.5)
    return x * exp2(half) * exp2(power - half)


@elementwise(accepts="f")
def frexp(x):
    """mantissa and exponent, x = mantissa · 2^exponent with ½ ≤ |mantissa| < 1; of 0, NaN and infinities themselves and 0"""
    plain = (x - x == 0) & (x != 0)
    exponent = f.floor(f.log2(abs(where(plain, x, 1)))) + 1
    mantissa = _scaled(x, -exponent)
    # The logarithm of what is next to a power of two may have been rounded to it.
    large, small = abs(mantissa) >= 1, abs(mantissa) < 0.5
    mantissa = where(large, mantissa * 0.5, where(small, mantissa * 2, mantissa))
    exponent = where(large, exponent + 1, where(small, exponent - 1, exponent))
    return where(plain, mantissa, x), where(plain, exponent, 0)


@elementwise(accepts="f")
def nextafter(a, b):
    """the number next to a in the direction of b"""
    return f.nextafter(a, b)


@nextafter.vjp
def _(g):
    return g, 0 * g


@elementwise(accepts="i")
def gcd(a, b):
    """the greatest common divisor"""
    return f.gcd(a, b)


@elementwise(accepts="i")
def lcm(a, b):
    """the least common multiple; 0 where one of them is 0"""
    divisor = f.gcd(a, b)
    return abs(f.quotient(a, where(make(f.eq, divisor, 0), 1, divisor)) * b)


# ---- logarithms that stay finite --------------------------------------------------------------------------------------------------


@elementwise(accepts="f")
def logaddexp(a, b):
    """log(eᵃ + eᵇ), from the larger of the two and what the other adds to it"""
    larger = where((a > b) | (a != a), a, b)
    same = (a == b) & (a - a != 0)  # two infinities of one sign, whose difference is NaN
    return where(same, a, larger + log1p(exp(-abs(a - b))))


@logaddexp.vjp
def _(g, a, b):
    return g * f.sigmoid(a - b), g * f.sigmoid(b - a)


@elementwise(accepts="f")
def logaddexp2(a, b):
    """log₂(2ᵃ + 2ᵇ)"""
    larger = where((a > b) | (a != a), a, b)
    same = (a == b) & (a - a != 0)
    return where(same, a, larger + log1p(exp2(-abs(a - b))) * (1 / math.log(2)))


@logaddexp2.vjp
def _(g, a, b):
    return g * f.sigmoid((a - b) * math.log(2)), g * f.sigmoid((b - a) * math.log(2))


@elementwise(result="float", accepts="bif")
def xlogy(x, y):
    """x · log(y); 0 where x = 0, unless y is NaN"""
    return where(y != y, y, where(x == 0, 0, x * log(y)))


@xlogy.vjp
def _(g, x, y):
    return where((x == 0) & (y <= 0), 0, g * log(y)), g * x / y


@elementwise(result="float", accepts="bif")
def xlog1py(x, y):
    """x · log(1 + y); 0 where x = 0, unless y is NaN"""
    return where(y != y, y, where(x == 0, 0, x * log1p(y)))


@xlog1py.vjp
def _(g, x, y):
    return where((x == 0) & (y <= -1), 0, g * log1p(y)), g * x / (y + 1)


@elementwise(result="float", accepts="bif")
def logit(x):
    """log(x / (1 − x)); NaN outside [0, 1]"""
    return log(x / (1 - x))


@logit.vjp
def _(g, x):
    return where((x < 0) | (x > 1), math.nan, g / (x * (1 - x)))


@elementwise(result="float", accepts="bif", name="logit")
def logit_clamped(x, eps: float):
    """the same of x limited to [eps, 1 − eps]"""
    low, high = eps, 1 - eps
    limited = where(x < low, low, where(x > high, high, x))
    return log(limited / (1 - limited))


@logit_clamped.vjp
def _(g, x, eps):
    return where((x < eps) | (x > 1 - eps), 0, g / (x * (1 - x))), None


@elementwise(result="float", accepts="bifc")
def sinc(x):
    """sin(πx) / (πx); 1 at 0"""
    turned = x * math.pi
    return where(make(f.eq, x, 0), 1, f.sin(turned) / turned)


@sinc.vjp
def _(g, x):
    turned = x * math.pi
    slope = (turned * f.cos(turned) - f.sin(turned)) / (turned * x)
    return where(make(f.eq, x, 0), 0, g * f.conj(slope))
