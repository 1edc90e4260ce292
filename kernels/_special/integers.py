"""Functions of integers."""

from __future__ import annotations

from typing import Any, Mapping

KINDS = "iu"


def build(inline: Any, T: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    @inline
    def gcd(a, b):  # type: ignore[no-untyped-def]
        """Euclid's algorithm."""
        a, b = T(abs(a)), T(abs(b))
        while b != T(0):
            a, b = b, T(a % b)
        return a

    @inline
    def quotient(a, b):  # type: ignore[no-untyped-def]
        """a / b, of which there is no remainder."""
        return T(a // b)

    return {"gcd": gcd, "quotient": quotient}
