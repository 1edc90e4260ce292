"""Where windows lie, for pooling on CUDA: the window of an output, and the windows that an input belongs to.

Elements are counted in a type ``I`` without a sign, uint32 where that suffices, and places along an axis in ``J``, with one.  What is divided by is known to
the host, so that nothing is divided in the loops (``_cuda.elements``).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._cuda.elements import NARROW, divisor, quotient
from .._cuda.intrinsics import inline

Pair = tuple[int, int]


class Counting(NamedTuple):
    """The types that elements and places are counted in."""

    I: Any
    J: Any


SHORT, LONG = Counting(np.uint32, np.int32), Counting(np.uint64, np.int64)


def counting(elements: int, size: Pair, output: Pair) -> Counting:
    """The types for ``elements`` in all, in planes of ``size`` with windows for ``output``."""
    reach = max((2 * n + 2) * (m + 1) for n, m in zip(size, output))  # sizes times counts, as adaptive windows are found with
    return SHORT if max(elements, 2 * size[0] * size[1], reach) < NARROW else LONG


def split_by(height: int, width: int) -> tuple[int, ...]:
    """The arguments by which a kernel finds plane, row and column of an element: see ``splitting``."""
    return *divisor(height), *divisor(width)


@functools.lru_cache(maxsize=None)
def splitting(count: Counting) -> Any:
    """``(i, six arguments of split_by)``: the plane (int64), the row and the column of element ``i``."""
    I, J = count
    divided = quotient(I)

    @inline
    def split(i, height, height_m, height_s, width, width_m, width_s):  # type: ignore[no-untyped-def]
        line = divided(i, width, width_m, width_s)
        plane = divided(line, height, height_m, height_s)
        return np.int64(plane), J(line - I(plane * height)), J(i - I(line * width))

    return split


def covering_by(adaptive: bool, size: int, output: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[int, ...]:
    """The arguments by which a kernel finds the windows along an axis that a place belongs to: see ``covering``."""
    if adaptive:
        return 0, 0, output, *divisor(size)
    return padding, (kernel - 1) * dilation, output, *divisor(stride)


@functools.lru_cache(maxsize=None)
def covering(count: Counting, adaptive: bool) -> Any:
    """``(place, six arguments of covering_by)``: the first and the last window along an axis that reach over ``place``; none if the last is before the
    first.  With dilation, it may lie between a window's elements."""
    I, J = count
    divided = quotient(I)

    @inline
    def given(place, padding, reach, windows, stride, stride_m, stride_s):  # type: ignore[no-untyped-def]
        inside = J(place + padding)
        last = J(divided(I(inside), stride, stride_m, stride_s))
        before = J(inside - reach)
        first = J(divided(I(J(before + J(stride) - J(1))), stride, stride_m, stride_s)) if before > 0 else J(0)
        return first, min(last, J(windows - J(1)))

    @inline
    def shared_out(place, padding, reach, windows, size, size_m, size_s):  # type: ignore[no-untyped-def]
        """Window o is from floor(o size / windows) up to ceil((o + 1) size / windows)."""
        first = divided(I(J(place * windows)), size, size_m, size_s)
        last = divided(I(J(J(J(place + J(1)) * windows) - J(1))), size, size_m, size_s)
        return J(first), J(last)

    return shared_out if adaptive else given


@functools.lru_cache(maxsize=None)
def share(count: Counting) -> Any:
    """``(o, size, windows as divided by)``: from where and up to where window ``o`` of an axis shared out among ``windows`` reaches."""
    I, J = count
    divided = quotient(I)

    @inline
    def extent(o, size, windows, windows_m, windows_s):  # type: ignore[no-untyped-def]
        start = divided(I(J(o * size)), windows, windows_m, windows_s)
        last = divided(I(J(J(J(o + J(1)) * size) - J(1))), windows, windows_m, windows_s)
        return J(start), J(J(last) + J(1))

    return extent
