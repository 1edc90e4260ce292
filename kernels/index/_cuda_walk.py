"""How kernels on CUDA walk what is indexed: kept dimensions, the listed places, kept dimensions.

A result of advanced indexing is contiguous: its element u is (outer, place, inner), where outer and inner count off the dimensions in front of and
behind the places.  What is indexed has strides of its own there; dimensions that lie as one in it are merged, so one on either side is the rule.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, Sequence

import numpy as np

from .._cuda.array import CudaArray
from .._cuda.faults import RECORD, kind, record
from .._cuda.intrinsics import inline

__all__ = ["LEAST", "LOST", "REPORTING", "WORDS", "Walk", "counter", "lanes_of", "parameters", "reporting", "walked", "walker"]

# The offset of a place that an index out of range leads to, which is read as 0 and not written; whatever is added to it, it stays below LEAST.
LOST, LEAST = np.int64(-(1 << 62)), np.int64(-(1 << 61))

# As what elements of each size are moved, bit for bit.
WORDS: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}

INNER, OUTER = 3, 2


class Walk(NamedTuple):
    """The kept dimensions as (size, stride in what is indexed), the last first: behind the places and in front of them."""

    inner: tuple[tuple[int, int], ...]
    outer: tuple[tuple[int, int], ...]

    @property
    def row(self) -> int:
        """The elements of a place."""
        return math.prod(n for n, _ in self.inner)

    @property
    def columns(self) -> int:
        """All that is read or written for one place."""
        return self.row * math.prod(n for n, _ in self.outer)

    def vectors(self, lanes: int) -> Walk:
        """The same in vectors: the innermost dimension, whose stride is 1, counts them."""
        if lanes == 1:
            return self
        return Walk(((self.inner[0][0] // lanes, lanes), *self.inner[1:]), self.outer)

    def arguments(self, places: int) -> tuple[int, ...]:
        """What ``walker``'s function takes behind the number of the element."""
        inner = [v for dim in (*self.inner, *[(1, 0)] * (INNER - len(self.inner))) for v in dim]
        outer = [v for dim in (*self.outer, *[(1, 0)] * (OUTER - len(self.outer))) for v in dim]
        return (*inner, places, *outer)


def _merged(dims: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The fewest dimensions that walk the same elements in the same order, the last first."""
    out: list[tuple[int, int]] = []
    for size, stride in dims:
        if size == 1:
            continue
        if out and out[-1][1] == stride * size:
            size *= out.pop()[0]
        out.append((size, stride))
    return tuple(reversed(out))


def walked(before: Sequence[tuple[int, int]], after: Sequence[tuple[int, int]]) -> Walk | None:
    """The walk over dimensions (size, stride) in front of the places and behind them; None where there are too many for a kernel."""
    walk = Walk(_merged(after), _merged(before))
    return None if len(walk.inner) > INNER or len(walk.outer) > OUTER else walk


def reporting(refusal: Any, dim: int) -> tuple[int, int, int]:
    """What a kernel takes to refuse an index of dimension ``dim``: REPORTING are the types.  Raises what an earlier one has reported."""
    return record(), kind(refusal.error, refusal.text), dim


REPORTING = RECORD, np.int32, np.int64


def counter(n: int) -> Any:
    """The type in which a kernel counts to ``n``, and some way beyond."""
    return np.uint32 if n < 1 << 31 else np.int64


def lanes_of(walk: Walk, *arrays: CudaArray) -> int:
    """How many elements lie next to each other in all ``arrays`` and begin where a vector of 16 bytes, or less, may."""
    if not walk.inner or walk.inner[0][1] != 1:
        return 1
    item = arrays[0].itemsize
    bits = walk.inner[0][0] * item | 16
    for x in arrays:
        bits |= x.pointer
    return max(1, (bits & -bits) // item)


def parameters(I: Any) -> list[Any]:
    """The types of ``Walk.arguments``."""
    return [*[I, np.int64] * INNER, I, *[I, np.int64] * OUTER]


@functools.lru_cache(maxsize=None)
def walker(inner: int, outer: int, I: Any) -> Any:
    """The function from the number of an element to its place and its offset, the place's apart, for so many dimensions on either side."""

    @inline
    def step(left, size):  # type: ignore[no-untyped-def]
        """What is left in front of a dimension, and the coordinate in it."""
        rest = I(left // size)
        return rest, I(left - I(rest * size))

    @inline
    def walk(u, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1):  # type: ignore[no-untyped-def]
        left = I(u)
        offset = np.int64(0)
        if inner > 0:
            left, at = step(left, n0)
            offset += np.int64(at) * s0
        if inner > 1:
            left, at = step(left, n1)
            offset += np.int64(at) * s1
        if inner > 2:
            left, at = step(left, n2)
            offset += np.int64(at) * s2
        left, place = step(left, places)
        if outer > 0:
            left, at = step(left, m0)
            offset += np.int64(at) * t0
        if outer > 1:
            left, at = step(left, m1)
            offset += np.int64(at) * t1
        return place, offset

    return walk
