"""What a strided copy comes down to, whatever the device."""

from __future__ import annotations


def coalesce(shape: tuple[int, ...], to: list[int], source: list[int]) -> list[tuple[int, int, int]]:
    """(size, destination stride, source stride) of the fewest dimensions that describe the copy, outermost in the destination first."""
    dims: list[tuple[int, int, int]] = []
    for n, d, s in sorted(((n, d, s) for n, d, s in zip(shape, to, source) if n != 1), key=lambda t: (-abs(t[1]), -abs(t[2]))):
        if dims and dims[-1][1] == d * n and dims[-1][2] == s * n:
            dims[-1] = (dims[-1][0] * n, d, s)
        else:
            dims.append((n, d, s))
    return dims
