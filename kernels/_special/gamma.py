"""The zeta function of Hurwitz and the incomplete gamma functions."""

from __future__ import annotations

import math
from typing import Any, Mapping

import numpy as np

KINDS = "f"

# B₂ⱼ / (2j)! for j = 1 to 12, the coefficients of the Euler-Maclaurin formula.
_BERNOULLI = (
    1 / 6,
    -1 / 30,
    1 / 42,
    -1 / 30,
    5 / 66,
    -691 / 2730,
    7 / 6,
    -3617 / 510,
    43867 / 798,
    -174611 / 330,
    854513 / 138,
    -236364091 / 2730,
)
_EULER = tuple(b / math.factorial(2 * j) for j, b in enumerate(_BERNOULLI, 1))
_MOST = 20000  # steps of a series or continued fraction, which take some √(30 a)


def build(inline: Any, T: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    eps, tiny = T(np.finfo(T).eps), T(np.finfo(T).tiny)
    zero, half, one, nine = T(0.0), T(0.5), T(1.0), T(9.0)
    inf, nan = T(math.inf), T(math.nan)
    euler = tuple(map(T, _EULER))
    pow, floor, exp, log, log1p, sqrt, lgamma = (base[name] for name in "pow floor exp log log1p sqrt lgamma".split())
    root_of_tau = T(math.sqrt(2 * math.pi))
    stirling = T(1 / 12), T(1 / 360), T(1 / 1260), T(1 / 1680)
    s1, s2, s3, s4 = stirling

    @inline
    def zeta(x, q):  # type: ignore[no-untyped-def]
        """Σ 1/(k + q)ˣ, k ≥ 0: its first terms, and the Euler-Maclaurin formula for those from 9 on (DLMF 25.11.5)."""
        if x == one:
            return inf
        if x < one or x != x or q != q:
            return nan
        if q <= zero:
            if q == floor(q):
                return inf
            if x != floor(x):
                return nan
        w = q
        term = pow(w, -x)
        total = term
        steps = 0
        while steps < 9 or w <= nine:
            steps += 1
            w += one
            term = pow(w, -x)
            total += term
            if abs(term) < eps * abs(total):
                return total
        total += term * w / (x - one) - half * term
        factor = one
        k = zero
        for j in range(12):
            factor *= x + k
            term /= w
            add = factor * term * euler[j]
            total += add
            if abs(add) < eps * abs(total):
                return total
            factor *= x + k + one
            term /= w
            k += one + one
        return total

    @inline
    def density(a, x):  # type: ignore[no-untyped-def]
        """xᵃ e⁻ˣ / Γ(a + 1); for large a by Stirling's formula, whose large parts cancel before they are rounded."""
        if a < T(10.0):
            return exp(a * log(x) - x - lgamma(a + one))
        u = (x - a) / a
        r = one / a
        rest = r * (s1 - r * r * (s2 - r * r * (s3 - r * r * s4)))
        return exp(a * (log1p(u) - u) - rest) / (root_of_tau * sqrt(a))

    @inline
    def lower(a, x):  # type: ignore[no-untyped-def]
        """xᵃ e⁻ˣ / Γ(a + 1) · (1 + x/(a + 1) + x²/((a + 1)(a + 2)) + ...)  (Abramowitz and Stegun 6.5.29)"""
        term = one
        total = one
        for k in range(_MOST):
            term *= x / (a + T(k + 1))
            total += term
            if term < eps * total:
                break
        return density(a, x) * total

    @inline
    def upper(a, x):  # type: ignore[no-untyped-def]
        """Legendre's continued fraction (6.5.31) by Lentz' algorithm (Thompson and Barnett, Journal of Computational Physics 64, 1986)"""
        b = x + one - a
        c = one / tiny
        d = one / b
        h = d
        for k in range(1, _MOST):
            step = T(k)
            an = step * (a - step)
            b += one + one
            d = an * d + b
            c = b + an / c
            if abs(d) < tiny:
                d = tiny
            if abs(c) < tiny:
                c = tiny
            d = one / d
            change = c * d
            h *= change
            if abs(change - one) < eps:
                break
        return density(a, x) * a * h

    @inline
    def edge(a, x):  # type: ignore[no-untyped-def]
        """igamma where neither series is needed: 0, 1 or NaN; else −1."""
        if a != a or x != x or a < zero or x < zero:
            return nan
        if a == zero:
            return one if x > zero else nan
        if x == zero:
            return zero
        if a == inf:
            return nan if x == inf else zero
        if x == inf:
            return one
        return -one

    @inline
    def igamma(a, x):  # type: ignore[no-untyped-def]
        found = edge(a, x)
        if found != -one:
            return found
        return lower(a, x) if x < a + one else one - upper(a, x)

    @inline
    def igammac(a, x):  # type: ignore[no-untyped-def]
        found = edge(a, x)
        if found != -one:
            return one - found
        return one - lower(a, x) if x < a + one else upper(a, x)

    return {"zeta": zeta, "igamma": igamma, "igammac": igammac}
