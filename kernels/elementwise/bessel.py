"""Bessel functions of orders 0 and 1, and Airy's, as scalar formulas.  (Declared as those in ``formulas``.)

Every one is a polynomial near 0 and, further out, the form of its asymptotic expansion (Abramowitz and Stegun, "Handbook of Mathematical Functions",
1964, chapters 9 and 10) with polynomials in the place of the divergent series; ``_bessel_fits`` has the coefficients.  Both sides are computed and
one is selected, so that loops have no branch.  Outside its interval a variable is held at 1, where no polynomial overflows.
"""

from __future__ import annotations

import math

from .. import _formula as f
from .._formula import cos, exp, log, make, sin, sqrt, where
from . import _bessel_fits as fits
from ._declare import elementwise
from .special import polynomial

_QUARTER = math.sqrt(0.5)  # cos(π/4) = sin(π/4)


# ---- modified, of the first kind ----------------------------------------------------------------------------------------------------


def _i0e(size):
    """e^−x I₀(x) of x ≥ 0"""
    far = size > 8
    near = polynomial(where(far, 1, size * 0.25 - 1), fits.I0E_NEAR)
    beyond = where(far, size, 8)
    return where(far, polynomial(16 / beyond - 1, fits.I0E_FAR) / sqrt(beyond), near)


def _i1e(size):
    """e^−x I₁(x) of x ≥ 0"""
    far = size > 8
    near = size * polynomial(where(far, 1, size * 0.25 - 1), fits.I1E_NEAR)
    beyond = where(far, size, 8)
    return where(far, polynomial(16 / beyond - 1, fits.I1E_FAR) / sqrt(beyond), near)


def _grown(scaled, size):
    """``scaled`` · e^size; in two factors, because e^size alone may overflow"""
    half = exp(0.5 * size)
    return where(make(f.eq, size, math.inf), size, scaled * half * half)


def _odd(value, x):
    """``value``, computed of |x|, for a function that changes its sign with x"""
    return where(x < 0, -value, value)


@elementwise(result="float", accepts="bif")
def i0(x):
    """I₀(x)"""
    return _grown(_i0e(abs(x)), abs(x))


@i0.vjp
def _(g, x):
    return g * i1(x)


@elementwise(result="float", accepts="bif")
def i0e(x):
    """e^−|x| I₀(x)"""
    return _i0e(abs(x))


@i0e.vjp
def _(g, y, x):
    return g * (i1e(x) - sign(x) * y)


@elementwise(result="float", accepts="bif")
def i1(x):
    """I₁(x)"""
    return _odd(_grown(_i1e(abs(x)), abs(x)), x)


def _over(value, x):
    """``value`` / x; at 0, which a division does not reach, ½: the limit of I₁(x)/x"""
    zero = make(f.eq, x, 0)
    return where(zero, 0.5, value / where(zero, 1, x))


@i1.vjp
def _(g, y, x):
    return g * (i0(x) - _over(y, x))


@elementwise(result="float", accepts="bif")
def i1e(x):
    """e^−|x| I₁(x)"""
    return _odd(_i1e(abs(x)), x)


@i1e.vjp
def _(g, y, x):
    return g * (i0e(x) - sign(x) * y - _over(y, x))


def sign(x):
    return where(x > 0, 1, where(x < 0, -1, 0))


# ---- modified, of the second kind ---------------------------------------------------------------------------------------------------


def _second_kind(x, first, near, far, scaled: bool, order: int):
    """K₀ or K₁, times eˣ if ``scaled``; ∞ at 0, NaN below"""
    inner = (x > 0) & (x <= 2)
    z = where(inner, x, 2)
    series = polynomial(z * z * 0.5 - 1, near)
    if order == 0:
        value = series - log(z * 0.5) * first(z) * exp(z)
    else:
        value = series / z + log(z * 0.5) * first(z) * exp(z)
    outer = where(x > 2, x, 2)
    tail = polynomial(4 / outer - 1, far) / sqrt(outer)
    found = where(inner, value * exp(z), tail) if scaled else where(inner, value, tail * exp(-outer))
    return where(make(f.eq, x, 0), math.inf, where(x > 0, found, math.nan))


@elementwise(result="float", accepts="bif")
def modified_bessel_k0(x):
    """K₀(x)"""
    return _second_kind(x, _i0e, fits.K0_NEAR, fits.K0_FAR, False, 0)


@elementwise(result="float", accepts="bif")
def modified_bessel_k1(x):
    """K₁(x)"""
    return _second_kind(x, _i1e, fits.K1_NEAR, fits.K1_FAR, False, 1)


@elementwise(result="float", accepts="bif")
def scaled_modified_bessel_k0(x):
    """eˣ K₀(x)"""
    return _second_kind(x, _i0e, fits.K0_NEAR, fits.K0_FAR, True, 0)


@elementwise(result="float", accepts="bif")
def scaled_modified_bessel_k1(x):
    """eˣ K₁(x)"""
    return _second_kind(x, _i1e, fits.K1_NEAR, fits.K1_FAR, True, 1)


# ---- ordinary -----------------------------------------------------------------------------------------------------------------------


def _near(size):
    """The variable of the polynomials up to 8."""
    inside = where(size > 8, 8, size)
    return inside * inside * (1 / 32) - 1


def _hankel(size, p, q):
    """√(2/πx), P and Q for x ≥ 8."""
    x = where(size > 8, size, 8)
    t = 8 / x
    t = 2 * t * t - 1
    return x, sqrt(2 / math.pi / x), polynomial(t, p), polynomial(t, q) / x


def _bessel_j0(size):
    x, scale, p, q = _hankel(size, fits.P0_FAR, fits.Q0_FAR)
    s, c = sin(x), cos(x)  # cos(x − π/4) and sin(x − π/4) of these, so that no digit of x is lost
    wave = scale * _QUARTER * (p * (c + s) - q * (s - c))
    return where(size > 8, where(make(f.eq, size, math.inf), 0, wave), polynomial(_near(size), fits.J0_NEAR))


def _bessel_j1(size):
    x, scale, p, q = _hankel(size, fits.P1_FAR, fits.Q1_FAR)
    s, c = sin(x), cos(x)
    wave = scale * _QUARTER * (p * (s - c) + q * (c + s))
    return where(size > 8, where(make(f.eq, size, math.inf), 0, wave), size * polynomial(_near(size), fits.J1_NEAR))


@elementwise(result="float", accepts="bif")
def bessel_j0(x):
    """J₀(x)"""
    return _bessel_j0(abs(x))


@elementwise(result="float", accepts="bif")
def bessel_j1(x):
    """J₁(x)"""
    return _odd(_bessel_j1(abs(x)), x)


def _from_zero(x, value):
    """``value`` of x > 0; −∞ at 0, NaN below"""
    return where(x > 0, value, where(make(f.eq, x, 0), -math.inf, math.nan))


@elementwise(result="float", accepts="bif")
def bessel_y0(x):
    """Y₀(x); −∞ at 0, NaN below"""
    z, scale, p, q = _hankel(x, fits.P0_FAR, fits.Q0_FAR)
    s, c = sin(z), cos(z)
    wave = scale * _QUARTER * (p * (s - c) + q * (c + s))
    near = polynomial(_near(x), fits.Y0_NEAR) + (2 / math.pi) * log(where(x > 0, x, 1)) * _bessel_j0(x)
    return _from_zero(x, where(x > 8, where(make(f.eq, x, math.inf), 0, wave), near))


@elementwise(result="float", accepts="bif")
def bessel_y1(x):
    """Y₁(x); −∞ at 0, NaN below"""
    z, scale, p, q = _hankel(x, fits.P1_FAR, fits.Q1_FAR)
    s, c = sin(z), cos(z)
    wave = scale * _QUARTER * (q * (s - c) - p * (c + s))
    positive = where(x > 0, x, 1)
    near = x * polynomial(_near(x), fits.Y1_NEAR) + (2 / math.pi) * (log(positive) * _bessel_j1(x) - 1 / positive)
    return _from_zero(x, where(x > 8, where(make(f.eq, x, math.inf), 0, wave), near))


@elementwise(result="float", accepts="bif")
def spherical_bessel_j0(x):
    """sin(x) / x; 1 at 0"""
    zero = make(f.eq, x, 0)
    return where(zero, 1, where(make(f.eq, abs(x), math.inf), 0, sin(x) / where(zero, 1, x)))


# ---- Airy's -------------------------------------------------------------------------------------------------------------------------


def _zeta(x):
    """⅔ x^1.5 of a number or an expression"""
    return (2 / 3) * x * (math.sqrt(x) if isinstance(x, float) else sqrt(x))


@elementwise(result="float", accepts="bif")
def airy_ai(x):
    """Ai(x)"""
    middle = polynomial((where(abs(x + 0.5) > 2.5, 2, x) + 0.5) * 0.4, fits.AIRY_MIDDLE)
    positive = where(x > 2, x, 2)
    z = _zeta(positive)
    decay = exp(-z) / (2 * math.sqrt(math.pi) * sqrt(sqrt(positive))) * polynomial(2 * _zeta(2.0) / z - 1, fits.AIRY_POSITIVE)
    size = where(x < -3, -x, 3)
    z = _zeta(size)
    t = 2 * (_zeta(3.0) / z) * (_zeta(3.0) / z) - 1
    p, q = polynomial(t, fits.AIRY_F), polynomial(t, fits.AIRY_G) / z
    s, c = sin(z), cos(z)
    wave = _QUARTER * ((s + c) * p - (c - s) * q) / (math.sqrt(math.pi) * sqrt(sqrt(size)))
    return where(x > 2, decay, where(x < -3, wave, middle))
