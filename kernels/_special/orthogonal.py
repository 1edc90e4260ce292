"""Orthogonal polynomials by their recurrences (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 22.7), of a degree that is a number as well.

A negative degree gives 0; one that is not whole counts as what is left of it.
"""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

KINDS = "f"
NAMES = """chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p""".split()
_MANY = 8  # from this degree on those of Chebyshev are computed by the cosine that they are
_MOST = {np.float32: 128, np.float64: 512}  # the degree beyond which Hermite's are NaN, as in PyTorch


def build(inline: Any, T: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    acos, cos, sin = base["acos"], base["cos"], base["sin"]
    zero, half, one, nan = T(0.0), T(0.5), T(1.0), T(np.nan)
    most = _MOST[T]

    @inline
    def degree(n):  # type: ignore[no-untyped-def]
        return np.int64(n) if n == n else np.int64(-1)

    @inline
    def chebyshev(x, k, second):  # type: ignore[no-untyped-def]
        """P₀ = 1, P₁ = ``second``, Pₖ₊₁ = 2x Pₖ − Pₖ₋₁"""
        if k < 0:
            return zero
        if k == 0:
            return one
        p, q = one, second
        for _ in range(k - 1):
            p, q = q, (x + x) * q - p
        return q

    @inline
    def chebyshev_polynomial_t(x, n):  # type: ignore[no-untyped-def]
        k = degree(n)
        if k > _MANY and abs(x) < one:
            return cos(T(k) * acos(x))
        if k > 0 and abs(x) == one:
            return one if x > zero or k % 2 == 0 else -one
        return chebyshev(x, k, x)

    @inline
    def chebyshev_polynomial_u(x, n):  # type: ignore[no-untyped-def]
        k = degree(n)
        if k > _MANY and abs(x) < one:
            angle = acos(x)
            if sin(angle) != zero:
                return sin(T(k + 1) * angle) / sin(angle)
        if k > 0 and abs(x) == one:
            return T(k + 1) if x > zero or k % 2 == 0 else -T(k + 1)
        return chebyshev(x, k, x + x)

    @inline
    def chebyshev_polynomial_v(x, n):  # type: ignore[no-untyped-def]
        k = degree(n)
        if k > _MANY and abs(x) < one:
            angle = acos(x)
            if cos(half * angle) != zero:
                return cos((T(k) + half) * angle) / cos(half * angle)
        if k > 0 and abs(x) == one:
            return one if x > zero else (T(k + k + 1) if k % 2 == 0 else -T(k + k + 1))
        return chebyshev(x, k, x + x - one)

    @inline
    def chebyshev_polynomial_w(x, n):  # type: ignore[no-untyped-def]
        k = degree(n)
        if k > _MANY and abs(x) < one:
            angle = acos(x)
            if sin(half * angle) != zero:
                return sin((T(k) + half) * angle) / sin(half * angle)
        if k > 0 and abs(x) == one:
            return T(k + k + 1) if x > zero else (one if k % 2 == 0 else -one)
        return chebyshev(x, k, x + x + one)

    @inline
    def hermite_polynomial_h(x, n):  # type: ignore[no-untyped-def]
        """Hₖ₊₁ = 2x Hₖ − 2k Hₖ₋₁"""
        k = degree(n)
        if k < 0:
            return zero
        if k == 0:
            return one
        if k > most:
            return nan
        p, q = one, x + x
        for i in range(1, k):
            p, q = q, (x + x) * q - T(i + i) * p
        return q

    @inline
    def hermite_polynomial_he(x, n):  # type: ignore[no-untyped-def]
        """Heₖ₊₁ = x Heₖ − k Heₖ₋₁"""
        k = degree(n)
        if k < 0:
            return zero
        if k == 0:
            return one
        if k > most:
            return nan
        p, q = one, x
        for i in range(1, k):
            p, q = q, x * q - T(i) * p
        return q

    @inline
    def laguerre_polynomial_l(x, n):  # type: ignore[no-untyped-def]
        """(k + 1) Lₖ₊₁ = (2k + 1 − x) Lₖ − k Lₖ₋₁"""
        k = degree(n)
        if k < 0:
            return zero
        if k == 0 or x == zero:
            return one
        p, q = one, one - x
        for i in range(1, k):
            p, q = q, (T(i + i) + (one - x)) * q / T(i + 1) - T(i) * p / T(i + 1)
        return q

    @inline
    def legendre_polynomial_p(x, n):  # type: ignore[no-untyped-def]
        """(k + 1) Pₖ₊₁ = (2k + 1) x Pₖ − k Pₖ₋₁"""
        k = degree(n)
        if k < 0:
            return zero
        if k == 0:
            return one
        if abs(x) == one:
            return one if x > zero or k % 2 == 0 else -one
        p, q = one, x
        for i in range(1, k):
            p, q = q, (T(i + i + 1) * x * q - T(i) * p) / T(i + 1)
        return q

    found = locals()
    return {name: found[name] for name in NAMES}
