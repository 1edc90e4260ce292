"""gather, scatter and scatter_reduce: along one dimension of an array, element by element, under an index of the same number of dimensions.

A line is what one index column addresses: all elements of the array that differ in ``dim`` only.  A unit of the range owns whole lines,
so several writes to one element come in the index's order on any number of threads.  Lines are taken PIECE at a time along the last other
dimension, so that index and values are read along memory whichever dimension is indexed.  Bound by the random accesses.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from .._cpu import inline, kernel, launch, u
from .._cpu.intrinsics import address_of, array_from
from ..copy._move import CARRIERS, place
from . import _combine
from ._errors import Refusal
from ._positions import check, refused

PIECE = 64

# So many indices of a gather are checked before they are used.
CHECKED = 512


class Line(NamedTuple):
    """A dimension: its size in the index and its strides, in elements, in the addressed array, the index and the other array."""

    size: int
    x: int
    at: int
    other: int


def _layout(x: np.ndarray, index: np.ndarray, other: np.ndarray, dim: int) -> tuple[list[Line], Line]:
    """The dimensions besides ``dim``, merged where they can be, and ``dim`` itself."""
    lines = [
        Line(n, sx // x.itemsize, si // 8, so // other.itemsize)
        for n, sx, si, so in zip(index.shape, x.strides, index.strides, other.strides)
    ]
    along = lines.pop(dim)
    dims: list[Line] = []
    for line in lines:
        if line.size == 1:
            continue
        if dims and all(outer == inner * line.size for outer, inner in zip(dims[-1][1:], line[1:])):
            line = Line(dims.pop().size * line.size, *line[1:])
        dims.append(line)
    return dims, along


def _arguments(x: np.ndarray, index: np.ndarray, other: np.ndarray, dim: int) -> tuple[int, tuple[Any, ...]]:
    dims, along = _layout(x, index, other, dim)
    row = dims.pop() if dims else Line(1, 0, 0, 0)
    table = np.array([v for d in dims for v in d], np.int64)
    # Along the index's innermost dimension a piece has enough elements with few lines.
    piece = PIECE if row.at <= along.at else max(1, PIECE // along.size)
    units = math.prod(d.size for d in dims) * -(-row.size // piece)
    return units, (table, *place(x), id(index), index.size, *place(other), *along, *row, piece)


@inline
def _outside(index, start, step, n, size):
    """Whether one of ``n`` indices lies outside [0, size)."""
    found = False
    if step == 1:
        for k in range(n):
            found |= np.uint64(index[u(start + k)]) >= np.uint64(size)
    else:
        for k in range(n):
            found |= np.uint64(index[u(start + k * step)]) >= np.uint64(size)
    return found


@functools.lru_cache(maxsize=None)
def _gather(item: int) -> Any:
    dtype = CARRIERS[item].type

    @kernel(source=f"index.gather of {item} bytes")
    def gather(lo, hi, size, bad, table, x_id, x0, x_span, i_id, i_span, o_id, o0, o_span, n, xa, ia, oa, m, xr, ir, outr, piece):
        """Indices are checked, by loops that vectorise, just before they are used: ``out`` is new, so one found wrong later spoils nothing."""
        x = array_from(address_of(x_id) - x0 * item, x_span, dtype)
        index = array_from(address_of(i_id), i_span, np.int64)
        out = array_from(address_of(o_id) - o0 * item, o_span, dtype)
        pieces = (m + piece - 1) // piece
        for unit in range(lo, hi):
            left = unit // pieces
            p, q, o = x0, 0, o0
            for j in range(table.size - 4, -1, -4):
                at = left % table[j]
                left //= table[j]
                p += at * table[j + 1]
                q += at * table[j + 2]
                o += at * table[j + 3]
            first = (unit % pieces) * piece
            last = min(first + piece, m)
            if ia < ir or m == 1:
                for r in range(first, last):
                    for start in range(0, n, CHECKED):
                        end = min(start + CHECKED, n)
                        at = q + r * ir
                        if _outside(index, at + start * ia, ia, end - start, size):
                            bad[0] = 1
                            return
                        source, to = p + r * xr, o + r * outr
                        if ia == 1 and oa == 1 and xa == 1:
                            for a in range(start, end):
                                out[u(to + a)] = x[u(source + index[u(at + a)])]
                        else:
                            for a in range(start, end):
                                out[u(to + a * oa)] = x[u(source + index[u(at + a * ia)] * xa)]
            else:
                for a in range(n):
                    if _outside(index, q + first * ir + a * ia, ir, last - first, size):
                        bad[0] = 1
                        return
                    if ir == 1 and outr == 1:
                        at, to = q + a * ia, o + a * oa
                        for r in range(first, last):
                            out[u(to + r)] = x[u(p + r * xr + index[u(at + r)] * xa)]
                    else:
                        for r in range(first, last):
                            out[u(o + r * outr + a * oa)] = x[u(p + r * xr + index[u(q + r * ir + a * ia)] * xa)]

    return gather


def gather(x: np.ndarray, dim: int, index: np.ndarray, out: np.ndarray, refusal: Refusal) -> None:
    """out[..., i, ...] = x[..., index[..., i, ...], ...] along ``dim``; ``index`` (int64) and ``out`` are contiguous.

    An index out of range is refused.
    """
    units, args = _arguments(x, index, out, dim)
    bad = np.zeros(1, np.int64)
    size = x.shape[dim]
    launch(_gather(x.itemsize), units, size, bad, *args, work=4 * index.size)
    if bad[0]:
        raise refused(refusal, index, 0, size, dim)


@functools.lru_cache(maxsize=None)
def _scatter(item: int) -> Any:
    dtype = CARRIERS[item].type

    @kernel(source=f"index.scatter of {item} bytes")
    def scatter(lo, hi, table, x_id, x0, x_span, i_id, i_span, s_id, s0, s_span, n, xa, ia, sa, m, xr, ir, sr, piece):
        x = array_from(address_of(x_id) - x0 * item, x_span, dtype)
        index = array_from(address_of(i_id), i_span, np.int64)
        src = array_from(address_of(s_id) - s0 * item, s_span, dtype)
        pieces = (m + piece - 1) // piece
        for unit in range(lo, hi):
            left = unit // pieces
            p, q, s = x0, 0, s0
            for j in range(table.size - 4, -1, -4):
                at = left % table[j]
                left //= table[j]
                p += at * table[j + 1]
                q += at * table[j + 2]
                s += at * table[j + 3]
            first = (unit % pieces) * piece
            last = min(first + piece, m)
            if ia == 1 and sa == 1 and xa == 1:
                for r in range(first, last):
                    to, at, source = p + r * xr, q + r * ir, s + r * sr
                    for a in range(n):
                        x[u(to + index[u(at + a)])] = src[u(source + a)]
            elif ia < ir or m == 1:
                for r in range(first, last):
                    for a in range(n):
                        x[u(p + r * xr + index[u(q + r * ir + a * ia)] * xa)] = src[u(s + r * sr + a * sa)]
            else:
                for a in range(n):
                    for r in range(first, last):
                        x[u(p + r * xr + index[u(q + r * ir + a * ia)] * xa)] = src[u(s + r * sr + a * sa)]

    return scatter


def scatter(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, refusal: Refusal) -> None:
    """x[..., index[..., i, ...], ...] = src[..., i, ...] along ``dim``, of ``src`` of the index's shape, with any strides.

    An index out of range is refused, and nothing written.
    """
    check(index, x.shape[dim], refusal, dim)
    units, args = _arguments(x, index, src, dim)
    launch(_scatter(x.itemsize), units, *args, work=4 * index.size)


@functools.lru_cache(maxsize=None)
def _scatter_reduce(name: str) -> Any:
    combine = inline(_combine.combine(name))

    @kernel(source=f"index.scatter_{name}")
    def scatter_reduce(lo, hi, like, item, table, x_id, x0, x_span, i_id, i_span, s_id, s0, s_span, n, xa, ia, sa, m, xr, ir, sr, piece):
        """As ``scatter``, combining; ``like`` is any array of the dtype."""
        x = array_from(address_of(x_id) - x0 * item, x_span, like.dtype)
        index = array_from(address_of(i_id), i_span, np.int64)
        src = array_from(address_of(s_id) - s0 * item, s_span, like.dtype)
        pieces = (m + piece - 1) // piece
        for unit in range(lo, hi):
            left = unit // pieces
            p, q, s = x0, 0, s0
            for j in range(table.size - 4, -1, -4):
                at = left % table[j]
                left //= table[j]
                p += at * table[j + 1]
                q += at * table[j + 2]
                s += at * table[j + 3]
            first = (unit % pieces) * piece
            last = min(first + piece, m)
            if ia == 1 and sa == 1 and xa == 1:
                for r in range(first, last):
                    to, at, source = p + r * xr, q + r * ir, s + r * sr
                    for a in range(n):
                        spot = u(to + index[u(at + a)])
                        x[spot] = combine(x[spot], src[u(source + a)])
            elif ia < ir or m == 1:
                for r in range(first, last):
                    for a in range(n):
                        spot = u(p + r * xr + index[u(q + r * ir + a * ia)] * xa)
                        x[spot] = combine(x[spot], src[u(s + r * sr + a * sa)])
            else:
                for a in range(n):
                    for r in range(first, last):
                        spot = u(p + r * xr + index[u(q + r * ir + a * ia)] * xa)
                        x[spot] = combine(x[spot], src[u(s + r * sr + a * sa)])

    return scatter_reduce


def scatter_reduce(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, refusal: Refusal, name: str) -> None:
    """x[..., index[..., i, ...], ...] combined with src[..., i, ...] along ``dim`` by ``_combine.combine(name)``; else as ``scatter``."""
    check(index, x.shape[dim], refusal, dim)
    units, args = _arguments(x, index, src, dim)
    launch(_scatter_reduce(name), units, np.empty(0, x.dtype), x.itemsize, *args, work=4 * index.size)
