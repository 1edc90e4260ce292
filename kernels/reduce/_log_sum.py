"""A step of the running log-sum of exponentials, for both targets."""

from __future__ import annotations

from typing import Any, Mapping

USED = {"exp", "log1p"}  # functions that ``build`` asks for


def build(inline: Any, T: Any, base: Mapping[str, Any]) -> Any:
    """``step(total, rest, value)``: log(e^(total + rest) + e^value) as total and rest, for scalars of type ``T``.

    ``rest`` is what rounding takes from the total (the error of Dekker's Fast2Sum): many small steps would otherwise be lost one by one.
    """
    exp, log1p, zero = base["exp"], base["log1p"], T(0)

    @inline
    def step(total, rest, value):  # type: ignore[no-untyped-def]
        stays = (total >= value) | (total != total)
        larger = total if stays else value
        more = log1p(exp(-abs(total - value))) + (rest if stays else zero)
        found = larger + more
        lost = more - (found - larger)
        # Of two infinities of one sign the difference is NaN, and the larger is the sum; nothing is lost of what is infinite or NaN.
        found = larger if (total == value) & (total - total != zero) else found
        return found, (lost if found - found == zero else zero)

    return step
