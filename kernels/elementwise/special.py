"""The gamma function and its relatives, and the normal distribution, as scalar formulas.  (Declared as those in ``formulas``.)

What needs a loop (zeta, igamma) is a function of both targets, in ``kernels/_special``; the rest is printed as straight-line code.
"""

from __future__ import annotations

import math

from .. import _formula as f
from .._formula import erfc, exp, log, log1p, make, sqrt, where
from ._declare import elementwise

_ROOT_HALF = math.sqrt(0.5)


def polynomial(x, coefficients):
    """c₀ + c₁ x + c₂ x² + ... by Horner's rule"""
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


# ---- gamma ------------------------------------------------------------------------------------------------------------------------


@elementwise(result="float", accepts="bif")
def lgamma(x):
    """log |Γ(x)|"""
    return f.lgamma(x)


@lgamma.vjp
def _(g, x):
    return g * digamma(x)


# B₂ₖ / 2k, the terms of digamma's asymptotic series (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 6.3.18).
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


@elementwise(result="float", accepts="bif")
def digamma(x):
    """Γ'(x) / Γ(x): the asymptotic series beyond 8, moved there by ψ(x) = ψ(x + 1) − 1/x; ψ(1 − x) − π / tan(πx) for negative x

    −∞ at +0, ∞ at −0, NaN at negative whole numbers.
    """
    negative = x < 0
    z = where(negative, 1 - x, x)
    shifted = where(z < 8, z + 8, z)
    # Σ 1/(z + k) for k = 0 to 7, by pairs: (2z + 7) / ((z + k)(z + 7 − k))
    square = z * (z + 7)
    recurrence = 1 / square + 1 / (square + 6) + 1 / (square + 10) + 1 / (square + 12)
    inverse = 1 / (shifted * shifted)
    value = log(shifted) - 0.5 / shifted - inverse * polynomial(inverse, _DIGAMMA)
    value = value - where(z < 8, (2 * z + 7) * recurrence, 0)
    fraction = x - f.rint(x)  # the tangent has period π, and its argument is exact so
    reflected = where(fraction == 0, math.nan, value - math.pi / f.tan(math.pi * fraction))
    return where(x == 0, f.copysign(math.inf, -x), where(negative, reflected, value))


@digamma.vjp
def _(g, x):
    return g * trigamma(x)


# B₂ₖ, of trigamma's (6.4.12).
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


@elementwise(result="float", accepts="bif", name="polygamma")
def trigamma(x):
    """The derivative of digamma, by the same steps: ψ'(x) = ψ'(x + 1) + 1/x², ψ'(x) + ψ'(1 − x) = π² / sin²(πx)"""
    reflects = x < 0.5
    z = where(reflects, 1 - x, x)
    shifted = where(z < 8, z + 8, z)
    steps = 0
    for k in range(8):
        inverse = 1 / (z + k)
        steps = steps + inverse * inverse
    inverse = 1 / (shifted * shifted)
    value = 1 / shifted + 0.5 * inverse + inverse / shifted * polynomial(inverse, _TRIGAMMA)
    value = value + where(z < 8, steps, 0)
    sine = f.sin(math.pi * (x - f.rint(x)))
    return where(reflects, math.pi * math.pi / (sine * sine) - value, value)


@trigamma.vjp
def _(g, x):
    return g * polygamma(x, 2)


@elementwise(result="float", accepts="bif")
def polygamma(x, n: float):
    """The n-th derivative of digamma, n ≥ 2: (−1)ⁿ⁺¹ n! ζ(n + 1, x)"""
    sign = 1 - 2 * (n - 1 - 2 * f.floor((n - 1) * 0.5))
    return sign * exp(f.lgamma(n + 1)) * f.zeta(n + 1, x)


@polygamma.vjp
def _(g, x, n):
    return g * polygamma(x, n + 1), None


@elementwise(result="float", accepts="bif")
def zeta(x, q):
    """The zeta function of Hurwitz, Σ 1 / (k + q)ˣ over k ≥ 0"""
    return f.zeta(x, q)


@zeta.vjp
def _(g, x, q):
    return None, -g * x * zeta(x + 1, q)


@elementwise(accepts="f")
def igamma(a, x):
    """The lower incomplete gamma function over Γ(a): ∫₀ˣ tᵃ⁻¹ e⁻ᵗ dt / Γ(a)"""
    return f.igamma(a, x)


@elementwise(accepts="f")
def igammac(a, x):
    """The upper one, 1 − igamma(a, x)"""
    return f.igammac(a, x)


def _density(a, x):
    """The derivative of igamma by x."""
    return exp((a - 1) * log(x) - x - lgamma(a))


@igamma.vjp
def _(g, a, x):
    return None, g * _density(a, x)


@igammac.vjp
def _(g, a, x):
    return None, -g * _density(a, x)


# ---- the normal distribution ------------------------------------------------------------------------------------------------------


@elementwise(result="float", accepts="bif")
def ndtr(x):
    """Φ(x), the normal distribution function"""
    return f.ndtr(x)


@ndtr.vjp
def _(g, x):
    return g * exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


# (1 + 2x) erfcx(x) by powers of (x − 4)/(x + 4), x ≥ 0: Chebyshev interpolation with 60 digits (our own fit), 10⁻¹⁷.
# fmt: off
_ERFCX = (
    1.2329951186255526, -0.1396211168405625, 0.015379652102619604, 0.0680970542546904, -0.10103906603630056, 0.09373283499843826,
    -0.06633036581218697, 0.03716751553592911, -0.016197734059799265, 0.005031969992669933, -0.0007577732613730956, -0.0001992567757633648,
    0.0001506214900124047, -2.4398944545280832e-05, -1.1221287012353486e-05, 5.709206053072183e-06, 2.919733377963012e-07,
    -8.249198427508354e-07, 7.746992727017941e-08, 1.1009737295274889e-07, -2.05606492756992e-08, -1.4709550868669278e-08,
    3.1695881915648173e-09, 1.7903326159489847e-09, -2.659599690242689e-10, -1.374652989001164e-10,
)
# fmt: on


@elementwise(result="float", accepts="bif")
def erfcx(x):
    """e^(x²) erfc(x); for negative x, 2 e^(x²) − erfcx(−x)"""
    # The variable is that of Shepherd and Laframboise (Mathematics of Computation 36, 1981).
    size = abs(x)
    value = polynomial(where(size < 1e30, 1 - 8 / (size + 4), 1), _ERFCX) / (1 + 2 * size)
    return where(x < 0, 2 * exp(x * x) - value, value)


@erfcx.vjp
def _(g, y, x):
    return g * (2 * x * y - 2 / math.sqrt(math.pi))


@elementwise(result="float", accepts="bif")
def log_ndtr(x):
    """log Φ(x)"""
    t = x * _ROOT_HALF
    return where(x < -1, log(erfcx(-t) * 0.5) - t * t, log1p(erfc(t) * -0.5))


@log_ndtr.vjp
def _(g, x):
    return g * math.sqrt(2 / math.pi) / erfcx(x * -_ROOT_HALF)


@elementwise(result="float", accepts="bif")
def ndtri(p):
    """The x with Φ(x) = p: the estimate of Abramowitz and Stegun (26.2.23) for the smaller of p and 1 − p, and two steps of Halley's method"""
    inside = (p > 0) & (p < 1)
    upper = p > 0.5
    tail = where(inside, where(upper, 1 - p, p), 0.5)
    t = sqrt(-2 * log(tail))
    x = polynomial(t, (2.515517, 0.802853, 0.010328)) / polynomial(t, (1.0, 1.432788, 0.189269, 0.001308)) - t
    for _ in range(2):
        step = (f.ndtr(x) - tail) * (math.sqrt(2 * math.pi) * exp(0.5 * x * x))
        x = x - step / (1 + 0.5 * x * step)
    ends = where(p == 0, -math.inf, where(p == 1, math.inf, math.nan))
    return where(inside, where(upper, -x, x), ends)


@ndtri.vjp
def _(g, y):
    return g * math.sqrt(2 * math.pi) * exp(0.5 * y * y)


@elementwise(result="float", accepts="bif")
def entr(x):
    """−x log(x); 0 at 0, −∞ below"""
    return where(x > 0, -x * log(x), where(make(f.eq, x, 0), 0, where(x < 0, -math.inf, x)))


@entr.vjp
def _(g, x):
    return -g * (1 + log(x))
