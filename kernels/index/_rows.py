"""Reading and writing at listed positions: the rest of advanced indexing once the indices have become offsets.

An array is seen as kept dimensions, walked as they are, and listed places ``where`` (offsets in elements).  The last kept dimension, if it
is innermost in the result, is the row that is copied at a time, so that rows move at the speed of memory.  Writing may meet one place
many times, so a unit of the range owns elements, not places: it walks every place, in order, for its own columns (and, where there are too
few columns to share out, only for the places in its own stretch of memory).  The last writer wins and sums are added in order of
occurrence, whatever the number of threads.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from .._cpu import get_num_threads, kernel, launch, u
from .._cpu.intrinsics import address_of, array_from
from ..copy._move import CARRIERS, place
from ._errors import Refusal
from ._positions import refused

# Columns are shared out in pieces of at least this many elements, a few cache lines.
PIECE = 64

# Rows shorter than this are written by one thread: finding out whose they are costs as much as writing them.
NARROW = 16

# From so many places on, walking them is worth a unit of its own for each element of a row.
MANY = 16

# So many indices are checked before their rows are read.
CHECKED = 512

_NONE = np.empty(0, np.int64)


class Kept(NamedTuple):
    """A dimension walked as it is: its size, its stride in the indexed array and its stride in the result (or the values written)."""

    size: int
    x: int
    other: int


def merged(dims: list[Kept]) -> list[Kept]:
    """The fewest dimensions that walk the same elements in the same order."""
    out: list[Kept] = []
    for dim in dims:
        if dim.size == 1:
            continue
        if out and out[-1].x == dim.x * dim.size and out[-1].other == dim.other * dim.size:
            dim = Kept(out.pop().size * dim.size, dim.x, dim.other)
        out.append(dim)
    return out


def _split(dims: list[Kept], places_stride: int) -> tuple[np.ndarray, int, Kept]:
    """The outer dimensions as a table, their number of combinations, and the row."""
    if len(dims) == 1 and dims[0].other == 1:  # whole rows of a matrix, by far the most frequent
        return _NONE, 1, dims[0]
    dims = merged(dims)
    row = dims.pop() if dims and abs(dims[-1].other) <= abs(places_stride) else Kept(1, 0, 0)
    return np.array([v for d in dims for v in d], np.int64), math.prod(d.size for d in dims), row


@functools.lru_cache(maxsize=None)
def _take(item: int) -> Any:
    dtype = CARRIERS[item].type

    @kernel(source=f"index.take of {item} bytes")
    def take(lo, hi, out_id, x_id, index_id, count, size, row, low, bad_id):
        """A unit is one row of the result.  Some indices at a time are checked, by a loop that vectorises, and used while they are in the
        first-level cache: ``out`` is new, so an index found wrong later spoils nothing."""
        out = array_from(address_of(out_id), hi * row, dtype)
        x = array_from(address_of(x_id), -(-hi // count) * size * row, dtype)
        index = array_from(address_of(index_id), count, np.int64)
        wrap = size if low < 0 else 0
        unit = lo
        while unit < hi:
            i = unit % count
            end = min(count, i + hi - unit, i + CHECKED)
            outside = False
            for a in range(i, end):
                v = index[u(a)]
                outside |= (v < low) | (v >= size)
            if outside:
                array_from(address_of(bad_id), 1, np.int64)[0] = 1
                return
            slab = (unit // count) * size * row
            d = unit * row
            unit += end - i
            if row == 1:
                for a in range(i, end):
                    v = index[u(a)]
                    out[u(d + a - i)] = x[u(slab + v + (wrap if v < 0 else 0))]
            else:
                for a in range(i, end):
                    v = index[u(a)]
                    s = slab + (v + (wrap if v < 0 else 0)) * row
                    for k in range(row):
                        out[u(d + k)] = x[u(s + k)]
                    d += row

    return take


def take(out: np.ndarray, x: np.ndarray, index: np.ndarray, size: int, row: int, wrap: bool, refusal: Refusal, dim: int) -> None:
    """out[o, i, :] = x[o, index[i], :] of ``x`` (outer, size, row) and int64 ``index``, all contiguous and none empty.

    ``wrap`` lets negative indices count from the end.  One that is out of range is refused, as one of dimension ``dim``.
    """
    bad = np.zeros(1, np.int64)
    low = -size if wrap else 0
    launch(
        _take(x.itemsize), out.size // row, id(out), id(x), id(index), index.size, size, row, low, id(bad), work=2 * out.size + index.size
    )
    if bad[0]:
        raise refused(refusal, index, low, size, dim)


@functools.lru_cache(maxsize=None)
def _get(item: int) -> Any:
    dtype = CARRIERS[item].type

    @kernel(source=f"index.get of {item} bytes")
    def get(lo, hi, table, where, x_id, x0, x_span, out_id, out_span, places, n, xs, os):
        """A unit is one row: outer combination ``unit // count`` at place ``unit % count``."""
        x = array_from(address_of(x_id) - x0 * item, x_span, dtype)
        out = array_from(address_of(out_id), out_span, dtype)
        count = where.size
        unit = lo
        while unit < hi:
            i = unit % count
            end = min(count, i + hi - unit)
            left = unit // count
            p, q = x0, i * places
            for j in range(table.size - 3, -1, -3):
                at = left % table[j]
                left //= table[j]
                p += at * table[j + 1]
                q += at * table[j + 2]
            unit += end - i
            if n == 1:
                for a in range(i, end):
                    out[u(q)] = x[u(p + where[u(a)])]
                    q += places
            elif xs == 1 and os == 1:
                for a in range(i, end):
                    s = p + where[u(a)]
                    for k in range(n):
                        out[u(q + k)] = x[u(s + k)]
                    q += places
            else:
                for a in range(i, end):
                    s = p + where[u(a)]
                    for k in range(n):
                        out[u(q + k * os)] = x[u(s + k * xs)]
                    q += places

    return get


def get(x: np.ndarray, where: np.ndarray, out: np.ndarray, dims: list[tuple[int, int, int]], places: int) -> None:
    """out[q + i*places] = x[p + where[i]] for every i and every (p, q) that ``dims`` = (size, x's stride, out's stride) lead to.

    Strides are in elements; ``out`` is contiguous.
    """
    if out.size == 0:
        return
    table, outer, row = _split([Kept(*d) for d in dims], places)
    count = outer * where.size
    launch(_get(x.itemsize), count, table, where, *place(x), id(out), out.size, places, *row, work=2 * out.size)


@functools.lru_cache(maxsize=None)
def _put(item: int) -> Any:
    dtype = CARRIERS[item].type

    @kernel(source=f"index.put of {item} bytes")
    def put(lo, hi, table, where, x_id, x0, x_span, v_id, v0, v_span, places, n, xs, vs, pieces, stretches):
        x = array_from(address_of(x_id) - x0 * item, x_span, dtype)
        v = array_from(address_of(v_id) - v0 * item, v_span, dtype)
        for unit in range(lo, hi):
            stretch = unit % stretches
            low = -x0 + x_span * stretch // stretches
            high = -x0 + x_span * (stretch + 1) // stretches
            piece = (unit // stretches) % pieces
            first, last = n * piece // pieces, n * (piece + 1) // pieces
            left = unit // (stretches * pieces)
            p, q = x0, v0
            for j in range(table.size - 3, -1, -3):
                at = left % table[j]
                left //= table[j]
                p += at * table[j + 1]
                q += at * table[j + 2]
            for i in range(where.size):
                w = where[u(i)]
                if low <= w < high:
                    s, d = q + i * places, p + w
                    if n == 1:
                        x[u(d)] = v[u(s)]
                    elif xs == 1 and vs == 1:
                        for k in range(first, last):
                            x[u(d + k)] = v[u(s + k)]
                    else:
                        for k in range(first, last):
                            x[u(d + k * xs)] = v[u(s + k * vs)]

    return put


@kernel
def _put_add(lo, hi, x_like, alpha, table, where, x_id, x0, x_span, v_id, v0, v_span, places, n, xs, vs, pieces, stretches, item):
    """As ``put``, adding alpha * v; ``x_like`` is any array of the dtype."""
    x = array_from(address_of(x_id) - x0 * item, x_span, x_like.dtype)
    v = array_from(address_of(v_id) - v0 * item, v_span, x_like.dtype)
    factor = x_like.dtype.type(alpha)
    for unit in range(lo, hi):
        stretch = unit % stretches
        low = -x0 + x_span * stretch // stretches
        high = -x0 + x_span * (stretch + 1) // stretches
        piece = (unit // stretches) % pieces
        first, last = n * piece // pieces, n * (piece + 1) // pieces
        left = unit // (stretches * pieces)
        p, q = x0, v0
        for j in range(table.size - 3, -1, -3):
            at = left % table[j]
            left //= table[j]
            p += at * table[j + 1]
            q += at * table[j + 2]
        for i in range(where.size):
            w = where[u(i)]
            if low <= w < high:
                s, d = q + i * places, p + w
                if n == 1:
                    x[u(d)] += factor * v[u(s)]
                elif xs == 1 and vs == 1:
                    for k in range(first, last):
                        x[u(d + k)] += factor * v[u(s + k)]
                else:
                    for k in range(first, last):
                        x[u(d + k * xs)] += factor * v[u(s + k * vs)]


def put(
    x: np.ndarray,
    where: np.ndarray,
    values: np.ndarray,
    dims: list[tuple[int, int, int]],
    places: int,
    alpha: Any = None,
    distinct: bool = False,
) -> None:
    """x[p + where[i]] = values[q + i*places], or += alpha * values[...] where ``alpha`` is given; ``dims`` as in ``get``.

    ``values`` has x's dtype and is C-contiguous, or one value, all of whose strides are 0 here.  ``distinct`` says that no place occurs twice; the last
    of several values for one is what stays in any case.
    """
    if where.size == 0 or any(d[0] == 0 for d in dims):
        return
    kept = merged([Kept(*d) for d in dims])
    # The row: the dimension whose elements lie closest together in x.  Where they lie apart, there may be more to gain from the listed places.
    row = kept.pop(min(range(len(kept)), key=lambda j: abs(kept[j].x))) if kept else Kept(1, 0, 0)
    if abs(row.x) > 1 and abs(places) <= abs(row.other) and where.size >= MANY:
        kept.append(row)
        row = Kept(1, 0, 0)
    table = np.array([v for d in kept for v in d], np.int64)
    outer = math.prod(d.size for d in kept)
    threads = get_num_threads()
    pieces = 1 if outer >= threads else max(1, min(row.size // PIECE, -(-threads // outer)))
    stretches = 1 if outer * pieces >= threads or row.size < NARROW else threads
    work = 2 * where.size * outer * row.size
    if work < 100_000:
        pieces = stretches = 1
    args = (table, where, *place(x), *place(values), places, *row, pieces, stretches)
    if alpha is None:
        launch(_put(x.itemsize), outer * pieces * stretches, *args, work=work)
    else:
        launch(_put_add, outer * pieces * stretches, np.empty(0, x.dtype), alpha, *args, x.itemsize, work=work)
