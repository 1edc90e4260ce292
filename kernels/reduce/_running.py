"""Running extrema with their places, and running log-sums of exponentials, down the middle axis of (outer, n, inner) on the CPU.

A task is one outer index and one tile of columns.  Each element is a step of a chain, so long single rows run on one thread.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import kernel
from .._cpu.functions import functions_for

TILE = 512


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


@functools.lru_cache(maxsize=None)
def logsumexp(dtype: np.dtype) -> Any:
    """The kernel of out_j = log(e^out_(j-1) + e^x_j) in ``dtype``."""
    functions = functions_for(dtype, {"exp", "log1p"})
    exp, log1p = functions["exp"], functions["log1p"]

    @kernel
    def running_logsumexp(lo, hi, out, x, n, inner, tile, tiles):
        for task in range(lo, hi):
            column = (task % tiles) * tile
            w = np.uint64(min(tile, inner - column))
            at = np.uint64((task // tiles) * n * inner + column)
            step = np.uint64(inner)
            for i in range(w):
                out[at + i] = x[at + i]
            for _ in range(1, n):
                at += step
                for i in range(w):
                    a, b = out[at - step + i], x[at + i]
                    larger = a if (a > b) | (a != a) else b
                    # Of two infinities of one sign the difference is NaN, and the larger is the sum.
                    more = log1p(exp(-abs(a - b)))
                    out[at + i] = larger if (a == b) & (a - a != 0) else larger + more

    return running_logsumexp
