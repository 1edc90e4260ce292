"""Running extrema with their places, and running log-sums of exponentials, down the middle axis of (outer, n, inner) on the CPU.

A task is one outer index and one tile of columns.  Each element is a step of a chain, so long single rows run on one thread.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import inline, kernel
from .._cpu.functions import functions_for
from . import _log_sum

TILE = 512
# Elements of a row whose exponentials are summed together.
BLOCK = 64


@kernel
def largest_of_rows(lo, hi, out, index, x, n):
    """inner == 1: up to the next element that takes its place, one value is written, and nothing waits for the step before."""
    for row in range(lo, hi):
        j, end = np.uint64(row * n), np.uint64((row + 1) * n)
        start = j
        while j < end:
            best, place = x[j], np.int64(j - start)
            out[j] = best
            index[j] = place
            j += np.uint64(1)
            while j < end and not (x[j] >= best or x[j] != x[j]):
                out[j] = best
                index[j] = place
                j += np.uint64(1)


@kernel
def smallest_of_rows(lo, hi, out, index, x, n):
    """inner == 1: up to the next element that takes its place, one value is written, and nothing waits for the step before."""
    for row in range(lo, hi):
        j, end = np.uint64(row * n), np.uint64((row + 1) * n)
        start = j
        while j < end:
            best, place = x[j], np.int64(j - start)
            out[j] = best
            index[j] = place
            j += np.uint64(1)
            while j < end and not (x[j] <= best or x[j] != x[j]):
                out[j] = best
                index[j] = place
                j += np.uint64(1)


@kernel
def largest(lo, hi, out, index, x, n, inner, tile, tiles):
    """The last one among equals; a NaN stays."""
    for task in range(lo, hi):
        column = (task % tiles) * tile
        w = np.uint64(min(tile, inner - column))
        at = np.uint64((task // tiles) * n * inner + column)
        step = np.uint64(inner)
        for i in range(w):
            out[at + i] = x[at + i]
            index[at + i] = 0
        for j in range(1, n):
            at += step
            for i in range(w):
                best, value = out[at - step + i], x[at + i]
                changes = (value >= best) | (value != value)
                out[at + i] = value if changes else best
                index[at + i] = j if changes else index[at - step + i]


@kernel
def smallest(lo, hi, out, index, x, n, inner, tile, tiles):
    """The last one among equals; a NaN stays."""
    for task in range(lo, hi):
        column = (task % tiles) * tile
        w = np.uint64(min(tile, inner - column))
        at = np.uint64((task // tiles) * n * inner + column)
        step = np.uint64(inner)
        for i in range(w):
            out[at + i] = x[at + i]
            index[at + i] = 0
        for j in range(1, n):
            at += step
            for i in range(w):
                best, value = out[at - step + i], x[at + i]
                changes = (value <= best) | (value != value)
                out[at + i] = value if changes else best
                index[at + i] = j if changes else index[at - step + i]


@functools.cache
def logsumexp(dtype: np.dtype) -> Any:
    """The kernel of out_j = log(e^out_(j-1) + e^x_j) in ``dtype``, for many columns."""
    step, zero = _log_sum.build(inline, dtype.type, functions_for(dtype, _log_sum.USED)), dtype.type(0)
    least = dtype.type(-np.inf)

    @kernel
    def running_logsumexp(lo, hi, out, x, n, inner, tile, tiles):
        totals, rests = np.empty(tile, x.dtype), np.empty(tile, x.dtype)
        for task in range(lo, hi):
            column = (task % tiles) * tile
            w = min(tile, inner - column)
            at = (task // tiles) * n * inner + column
            totals[:] = least
            rests[:] = zero
            for _ in range(n):
                line, to = x[at : at + w], out[at : at + w]
                for i in range(w):
                    total, rest = step(totals[i], rests[i], line[i])
                    totals[i] = total
                    rests[i] = rest
                for i in range(w):
                    to[i] = totals[i]
                at += inner

    return running_logsumexp


@functools.cache
def logsumexp_of_rows(dtype: np.dtype) -> Any:
    """The same for inner == 1, a block of the row at a time: with m the largest of its elements and of the sum before it, the sums of the exponentials
    less m are made one after another in float64, which takes an addition each; exponentials and logarithms are vector code.

    The first sum of a block is its smallest.  Where that lies too far below m for its digits, and at infinities and NaN, the elements are taken one by one.
    """
    step, real = _log_sum.build(inline, dtype.type, functions_for(dtype, _log_sum.USED)), dtype.type
    wide = functions_for(np.dtype(np.float64), {"exp", "log"})
    exp, log = wide["exp"], wide["log"]
    far = 600.0 if dtype == np.float32 else 32.0

    @kernel
    def running_logsumexp_of_rows(lo, hi, out, x, n):
        sums = np.empty(BLOCK, np.float64)
        for row in range(lo, hi):
            total, rest = real(-np.inf), real(0)
            for start in range(row * n, (row + 1) * n, BLOCK):
                stop = min(start + BLOCK, (row + 1) * n)
                block, to = x[start:stop], out[start:stop]
                before = np.float64(total) + np.float64(rest)
                top = before
                for j in range(block.size):
                    top = np.float64(block[j]) if block[j] > top else top
                first = block[0] if block[0] > before else before
                if top - first <= far:
                    running = exp(before - top)
                    for j in range(block.size):
                        sums[j] = exp(np.float64(block[j]) - top)
                    for j in range(block.size):
                        running += sums[j]
                        sums[j] = running
                    for j in range(block.size):
                        to[j] = top + log(sums[j])
                    found = top + log(running)
                    total = real(found)
                    rest = real(found - np.float64(total))
                else:
                    for j in range(block.size):
                        total, rest = step(total, rest, block[j])
                        to[j] = total

    return running_logsumexp_of_rows
