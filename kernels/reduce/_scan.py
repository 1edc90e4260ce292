"""Running sums and products over the middle axis of (outer, n, inner), and the search for an extremum's index.

A scan is a chain of dependent operations; a task is one outer index and one tile of columns, so long single rows run on one thread.
Sums start again from zero in every chunk of 64 rows and add to it the compensated (Knuth's TwoSum) sum of the chunks before, so the
error does not grow with n.  Bound by the latency of addition for inner == 1, by bandwidth otherwise.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import array_at, kernel, load
from .._cpu.types import IN_SOURCE

int64 = IN_SOURCE[np.dtype(np.int64)]

CHUNK = 64
SCAN_TILE = 512


@kernel
def cumsum_rows(lo, hi, out, x, n):
    """inner == 1.  Four chunks are summed side by side, which hides the latency of addition, and then raised by what came before them."""
    kind = out.dtype.type
    zero = kind(0)
    chunk = np.uint64(CHUNK)
    for row in range(lo, hi):
        at = np.uint64(row * n)
        end = at + np.uint64(n)
        before = zero
        lost = zero
        while at < end:
            if at + np.uint64(4) * chunk <= end:
                span = chunk
                b1, b2, b3 = at + chunk, at + np.uint64(2) * chunk, at + np.uint64(3) * chunk
                s0, s1, s2, s3 = zero, zero, zero, zero
                for i in range(chunk):
                    s0 = kind(s0 + kind(x[at + i]))
                    s1 = kind(s1 + kind(x[b1 + i]))
                    s2 = kind(s2 + kind(x[b2 + i]))
                    s3 = kind(s3 + kind(x[b3 + i]))
                    out[at + i] = s0
                    out[b1 + i] = s1
                    out[b2 + i] = s2
                    out[b3 + i] = s3
                last = at + np.uint64(4) * chunk
            else:
                span = min(chunk, end - at)
                s0 = zero
                for i in range(span):
                    s0 = kind(s0 + kind(x[at + i]))
                    out[at + i] = s0
                last = at + span
            while at < last:
                tail = out[at + span - np.uint64(1)]
                for i in range(span):
                    out[at + i] = before + (lost + out[at + i])
                addend = tail + lost
                total = before + addend
                shadow = total - before
                error = (before - (total - shadow)) + (addend - shadow)
                lost = error if error == error else zero  # an infinite total has no error
                before = total
                at += span


@kernel
def integer_cumsum_rows(lo, hi, out, x, n):
    """``cumsum_rows`` of integers, whose sums are exact in any order: one addition after another keeps up with memory."""
    kind = out.dtype.type
    for row in range(lo, hi):
        total = kind(0)
        for j in range(np.uint64(row * n), np.uint64((row + 1) * n)):
            total = kind(total + kind(x[j]))
            out[j] = total


@kernel
def cumsum(lo, hi, out, x, n, inner, tile, tiles):
    local = np.empty(tile, out.dtype)
    before = np.empty(tile, out.dtype)
    lost = np.empty(tile, out.dtype)
    zero = out.dtype.type(0)
    for task in range(lo, hi):
        column = (task % tiles) * tile
        w = np.uint64(min(tile, inner - column))
        at = np.uint64((task // tiles) * n * inner + column)
        before[:] = zero
        lost[:] = zero
        for chunk in range(0, n, CHUNK):
            local[:] = zero
            for _ in range(min(CHUNK, n - chunk)):
                for i in range(w):
                    local[i] = local[i] + out.dtype.type(x[at + i])
                    out[at + i] = before[i] + (lost[i] + local[i])
                at += np.uint64(inner)
            for i in range(w):
                addend = local[i] + lost[i]
                total = before[i] + addend
                shadow = total - before[i]
                error = (before[i] - (total - shadow)) + (addend - shadow)
                lost[i] = error if error == error else zero  # an infinite total has no error
                before[i] = total


@kernel
def cumprod(lo, hi, out, x, n, inner, tile, tiles, one):
    """``one`` is of the type to multiply in, which is wider than that of single-precision results: nothing is lost from step to step."""
    if inner == 1:
        for row in range(lo, hi):
            product = one
            for j in range(np.uint64(row * n), np.uint64((row + 1) * n)):
                product = product * out.dtype.type(x[j])
                out[j] = product
        return
    acc = np.full(tile, one)
    for task in range(lo, hi):
        column = (task % tiles) * tile
        w = np.uint64(min(tile, inner - column))
        at = np.uint64((task // tiles) * n * inner + column)
        acc[:] = one
        for _ in range(n):
            for i in range(w):
                acc[i] = acc[i] * out.dtype.type(x[at + i])
                out[at + i] = acc[i]
            at += np.uint64(inner)


@functools.lru_cache(maxsize=None)
def first_in_rows(dtype: np.dtype) -> Any:
    """The kernel that finds, for each contiguous row of ``dtype``, where its extremum (or first NaN) is: stretches of 128 are tested as a
    whole, then the one that has it.  words: index, x, best, n
    """
    kind = IN_SOURCE[dtype]

    @kernel(source=f"reduce first in rows {dtype}")
    def first_in_rows(lo, hi, words):
        n = load(words + 24, int64)
        index, x = array_at(load(words, int64), hi, int64), array_at(load(words + 8, int64), hi * n, kind)
        best = array_at(load(words + 16, int64), hi, kind)
        for row in range(lo, hi):
            wanted = best[row]
            start = np.uint64(row * n)
            end = start + np.uint64(n)
            at = start
            while at + np.uint64(128) <= end:
                found = np.uint8(0)
                for i in range(np.uint64(128)):
                    value = x[at + i]
                    found |= np.uint8(value == wanted) | np.uint8(value != value)
                if found:
                    break
                at += np.uint64(128)
            while at + np.uint64(1) < end and x[at] == x[at] and x[at] != wanted:
                at += np.uint64(1)
            index[row] = np.int64(at - start)

    return first_in_rows


@functools.lru_cache(maxsize=None)
def first_in_columns(dtype: np.dtype) -> Any:
    """The same for each column, from the last row to the first, so that the first match is written last.

    words: index, x, best, n, inner, tile, tiles
    """
    kind = IN_SOURCE[dtype]

    @kernel(source=f"reduce first in columns {dtype}")
    def first_in_columns(lo, hi, words):
        n, inner, tile, tiles = load(words + 24, int64), load(words + 32, int64), load(words + 40, int64), load(words + 48, int64)
        most = (hi - 1) // tiles + 1  # of outer, as far as this range goes
        index, best = array_at(load(words, int64), most * inner, int64), array_at(load(words + 16, int64), most * inner, kind)
        x = array_at(load(words + 8, int64), most * n * inner, kind)
        for task in range(lo, hi):
            outer = task // tiles
            column = (task % tiles) * tile
            w = np.uint64(min(tile, inner - column))
            result = np.uint64(outer * inner + column)
            for j in range(n - 1, -1, -1):
                at = np.uint64((outer * n + j) * inner + column)
                for i in range(w):
                    value = x[at + i]
                    if value == best[result + i] or value != value:
                        index[result + i] = j

    return first_in_columns


@kernel
def linear(lo, hi, out, a, b, n, inner, tile, tiles, reverse):
    """out_j = b_j + a_j * out_(j-1), or out_(j+1) if ``reverse``."""
    for task in range(lo, hi):
        column = (task % tiles) * tile
        w = np.uint64(min(tile, inner - column))
        base = np.uint64((task // tiles) * n * inner + column)
        step = np.uint64(inner)
        first = base + np.uint64(n - 1) * step if reverse else base
        for i in range(w):
            out[first + i] = b[first + i]
        for j in range(1, n):
            at = base + np.uint64(n - 1 - j if reverse else j) * step
            before = at + step if reverse else at - step
            for i in range(w):
                out[at + i] = b[at + i] + a[at + i] * out[before + i]
