"""From a place in [−1, 1] to the elements around it, one dimension at a time, for both targets.

−1 and 1 are the outer edges of the first and last element or, aligned, their centres.  ``mode``: "nearest", "linear" or "cubic" (Keys' filter with
a = −3/4), which read 1, 2 or 4 elements (taps) along a dimension.  What lies outside is zero, the border repeated, or the inside mirrored at its edges.
"""

from __future__ import annotations

from typing import Any, Mapping

ZEROS, BORDER, REFLECTION = 0, 1, 2
TAPS = {"nearest": 1, "linear": 2, "cubic": 4}
USED = {"floor", "rint"}  # functions that ``build`` asks for


def build(inline: Any, T: Any, I: Any, base: Mapping[str, Any], mode: str) -> tuple[Any, Any]:
    """Two functions of scalars of type ``T``, elements being counted in ``I``:

    ``locate(place, size, border, aligned)``: the whole number that the taps are counted from, what the place has beyond it, and the derivative of that;
    ``tap(t, whole, rest, size, border, aligned)``: the element that tap ``t`` reads (−1 outside), its weight, and the derivative of that by ``rest``.
    """
    floor, rint = base["floor"], base["rint"]
    nearest, linear = mode == "nearest", mode == "linear"
    zero, half, one, two, three, outside, most = T(0), T(0.5), T(1), T(2), T(3), T(-100), T(1 << 30)
    a, a4, a5, a8, b, c = T(-0.75), T(-3), T(-3.75), T(-6), T(1.25), T(2.25)

    # Without early returns, so that loops of these become vector code.

    @inline
    def limited(source, size):  # type: ignore[no-untyped-def]
        """Within the centres of the first and last element, and its derivative, which is zero on both."""
        last = T(size - 1)
        inside = (source > zero) & (source < last)
        return (source if inside else (last if source >= last else zero)), (one if inside else zero)

    @inline
    def mirrored(source, size, aligned):  # type: ignore[no-untyped-def]
        """Mirrored at the outer edges, or at the outer centres, until it lies between them, and its derivative."""
        low, span = (zero, T(size - 1)) if aligned else (-half, T(size))
        distance = abs(source - low)
        turns = floor(distance / span)
        rest = distance - turns * span
        step = one if source >= low else -one
        odd = turns != two * floor(turns * half)
        found, step = (span - rest if odd else rest) + low, (-step if odd else step)
        return (found if span > zero else zero), (step if span > zero else zero)

    @inline
    def bordered(source, size, border, aligned):  # type: ignore[no-untyped-def]
        step = one
        if border != ZEROS:
            if border == REFLECTION:
                source, step = mirrored(source, size, aligned)
            source, inside = limited(source, size)
            step = step * inside
        return source, step

    @inline
    def locate(place, size, border, aligned):  # type: ignore[no-untyped-def]
        scale = (T(size - 1) if aligned else T(size)) * half
        source = (place + one) * scale if aligned else ((place + one) * T(size) - one) * half
        if mode != "cubic":
            source, step = bordered(source, size, border, aligned)
            scale = scale * step
        whole = rint(source) if nearest else floor(source)
        return (whole if abs(whole) < most else outside), source - whole, scale  # outside, too, what is not a number

    @inline
    def tap(t, whole, rest, size, border, aligned):  # type: ignore[no-untyped-def]
        if nearest:
            at, weight, slope = whole, one, zero
        elif linear:
            at, weight, slope = whole + T(t), (rest if t == 1 else one - rest), (one if t == 1 else -one)
        else:
            at, _ = bordered(whole + T(t) - one, size, border, aligned)
            at = floor(at + half)
            x = abs(rest + one - T(t))  # from the tap's centre
            if t == 0 or t == 3:
                weight, slope = ((a * x - a5) * x + a8) * x - a4, (three * a * x - two * a5) * x + a8
            else:
                weight, slope = (b * x - c) * x * x + one, (three * b * x - two * c) * x
            slope = -slope if t >= 2 else slope  # on the other side
        return (I(at) if (at >= zero) & (at <= T(size - 1)) else I(-1)), weight, slope

    return locate, tap
