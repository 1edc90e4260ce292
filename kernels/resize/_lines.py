"""Resizing planes on the CPU, by rows of the result: each is a sum of rows, taken of rows that are sums of neighbours.

Rows are summed first where the result has fewer of them than there are, else last: the sums of neighbours, which cost most, are to be few.  They are
kept then in a ring, as the next row of the result reads nearly the same.
"""

from __future__ import annotations

import numpy as np

from .._cpu import inline, kernel


@inline(reassociate=True)
def _sum_rows(out, lines, first, count, weights, at):
    """out = Σ_k weights[at + k] · lines[(first + k) mod len(lines)]"""
    slots = len(lines)
    if count == 0:
        for w in range(out.size):
            out[w] = 0
        return
    a, wa = lines[first % slots], weights[at]
    if count == 1:
        for w in range(out.size):
            out[w] = wa * a[w]
        return
    b, wb = lines[(first + 1) % slots], weights[at + 1]
    for w in range(out.size):
        out[w] = wa * a[w] + wb * b[w]
    for k in range(2, count - 1, 2):
        a, wa = lines[(first + k) % slots], weights[at + k]
        b, wb = lines[(first + k + 1) % slots], weights[at + k + 1]
        for w in range(out.size):
            out[w] += wa * a[w] + wb * b[w]
    if count % 2:
        a, wa = lines[(first + count - 1) % slots], weights[at + count - 1]
        for w in range(out.size):
            out[w] += wa * a[w]


@inline(reassociate=True)
def _sum_any(out, line, lo, hi, first, starts, weights):
    for i in range(lo, hi):
        total = line.dtype.type(0)
        place = first[i]
        for at in range(starts[i], starts[i + 1]):
            total += weights[np.uintp(at)] * line[np.uintp(place)]
            place += 1
        out[np.uintp(i)] = total


@inline(reassociate=True)
def _sum_neighbours(out, line, first, starts, weights, even):
    """out[i] = Σ_k weights[starts[i] + k] · line[first[i] + k]; the runs from ``even[0]`` to before ``even[1]`` have one length."""
    lo, hi = even
    at = np.uintp(starts[lo])
    count = starts[lo + 1] - starts[lo]
    if count == 1:
        for i in range(lo, hi):
            out[np.uintp(i)] = weights[at] * line[np.uintp(first[i])]
            at += np.uintp(1)
    elif count == 2:
        for i in range(lo, hi):
            p = np.uintp(first[i])
            out[np.uintp(i)] = weights[at] * line[p] + weights[at + np.uintp(1)] * line[p + np.uintp(1)]
            at += np.uintp(2)
    elif count == 4:
        for i in range(lo, hi):
            p = np.uintp(first[i])
            low = weights[at] * line[p] + weights[at + np.uintp(1)] * line[p + np.uintp(1)]
            high = weights[at + np.uintp(2)] * line[p + np.uintp(2)] + weights[at + np.uintp(3)] * line[p + np.uintp(3)]
            out[np.uintp(i)] = low + high
            at += np.uintp(4)
    else:
        _sum_any(out, line, lo, hi, first, starts, weights)
    _sum_any(out, line, 0, lo, first, starts, weights)
    _sum_any(out, line, hi, out.size, first, starts, weights)


@kernel
def rows_last(lo, hi, y, x, rf, rs, rw, slots, cf, cs, cw, even):
    """Rows lo to hi of all planes of ``y`` (planes, H', W'); ``slots``: the most rows that one is a sum of."""
    height, rows = x.shape[1], y.shape[1]
    ring, kept = np.empty((slots, y.shape[2]), x.dtype), np.full(slots, -1)
    for r in range(lo, hi):
        p, i = r // rows, r % rows
        first, at = rf[i], rs[i]
        count = rs[i + 1] - at
        for h in range(first, first + count):
            if kept[h % slots] != p * height + h:
                kept[h % slots] = p * height + h
                _sum_neighbours(ring[h % slots], x[p, h], cf, cs, cw, even)
        _sum_rows(y[p, i], ring, first, count, rw, at)


@kernel
def rows_first(lo, hi, y, x, rf, rs, rw, cf, cs, cw, even):
    """The same, a row of ``x`` (planes, H, W) wide being summed for each row of ``y``."""
    rows = y.shape[1]
    line = np.empty(x.shape[2], x.dtype)
    for r in range(lo, hi):
        p, i = r // rows, r % rows
        _sum_rows(line, x[p], rf[i], rs[i + 1] - rs[i], rw, rs[i])
        _sum_neighbours(y[p, i], line, cf, cs, cw, even)


@kernel
def rows_only(lo, hi, y, x, rf, rs, rw):
    rows = y.shape[1]
    for r in range(lo, hi):
        p, i = r // rows, r % rows
        _sum_rows(y[p, i], x[p], rf[i], rs[i + 1] - rs[i], rw, rs[i])


@kernel
def columns_only(lo, hi, y, x, cf, cs, cw, even):
    """Lines lo to hi of ``y`` (lines, W') from those of ``x`` (lines, W)."""
    for r in range(lo, hi):
        _sum_neighbours(y[r], x[r], cf, cs, cw, even)


@kernel
def picked(lo, hi, y, x, depths, heights, widths):
    """Rows lo to hi of all slices of ``y`` (planes, D', H', W'): copies of single elements of ``x`` (planes, D, H, W)."""
    slices, rows, columns = y.shape[1:]
    before, known = y[0, 0, 0], -1
    for r in range(lo, hi):
        p, rest = r // (slices * rows), r % (slices * rows)
        d, h = depths[rest // rows], heights[rest % rows]
        out, source = y[p, rest // rows, rest % rows], (p * x.shape[1] + d) * x.shape[2] + h
        if source == known:
            for w in range(columns):
                out[w] = before[w]
        else:
            line = x[p, d, h]
            for w in range(columns):
                out[np.uintp(w)] = line[np.uintp(widths[w])]
        before, known = out, source
