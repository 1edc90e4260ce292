"""The one loop behind every reduction, and the operations it is instantiated for.

An array seen as (outer, n, inner) is reduced over its middle axis.  A task is one block of rows of one outer index and one tile of
columns, so [0, tasks) splits over threads while the blocks, and with them every rounding, depend on the shape alone.  Within a block
the rows are combined as trees of eight, one tree after another, into a line of accumulators that stays in the first-level cache.

A narrow ``inner`` (a row reduction has inner == 1) would leave the vector units idle, so ``fold`` consecutive rows are treated as one
wide row: the accumulators are ``fold * inner`` lanes, combined pairwise at the end.  Nothing is combined across lanes before that, so
any combine function vectorises, NaN rules included, and the result is the same for every vector width.  Bound by memory bandwidth.
Rows of float32 and float64 skip the line of accumulators in memory: ``row_blocks`` folds them in registers.

Every kernel here is a function of a range and the address of some words: the ids of the array it writes and of the one it reads, what
``_power`` raises to, then sizes.  One argument instead of a dozen spares a microsecond of unpacking, and lets ``_entry`` call the kernels.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

import numpy as np

from .._cpu import address_of, array_at, inline, kernel, load
from .._cpu.simd_rows import fold_row
from .._cpu.types import IN_SOURCE
from . import _operations

int64 = IN_SOURCE[np.dtype(np.int64)]

LANES = 512  # accumulators wanted per task when inner is narrow
TILE = 1024  # columns per task when inner is wide
ROWS = 128  # (folded) rows per block
SHORT = 16  # contiguous rows up to this length are combined one element after another


@inline
def blocking(n, inner):
    """(fold, rows per block, blocks, columns per tile, tiles): a function of the shape only, so that results do not depend on threads."""
    fold = 1
    while 2 * fold <= min(LANES // inner, n // 8):
        fold *= 2
    rows = ROWS * fold
    tile = min(inner, TILE)
    return fold, rows, (n + rows - 1) // rows, tile, (inner + tile - 1) // tile


# What is done to an element, and how two of them are combined.
OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    name: (inline(element), inline(combine)) for name, (element, combine) in _operations.OPERATIONS.items()
}


def _in_source(source: np.dtype, target: np.dtype) -> tuple[Any, Any, Any]:
    """How a kernel's source names the types of what it reads, of what it writes, and of a power."""
    power = np.empty(0, source).real.dtype
    return IN_SOURCE[source], IN_SOURCE[target], IN_SOURCE[power] if power.kind == "f" else int64


@functools.lru_cache(maxsize=None)
def blocks(name: str, source: np.dtype, target: np.dtype) -> Any:
    """The kernel that reduces blocks of rows: out (outer, parts, inner) from x (outer, n, inner).

    words: out, x, power, n, inner, fold, rows, parts, tile, tiles
    """
    element, combine = OPERATIONS[name]
    given, kind, real = _in_source(source, target)

    @kernel(source=f"reduce blocks {name} {source} {target}")
    def reduce_blocks(lo, hi, words):
        n, inner, fold = load(words + 24, int64), load(words + 32, int64), load(words + 40, int64)
        rows, parts = load(words + 48, int64), load(words + 56, int64)
        tile, tiles = load(words + 64, int64), load(words + 72, int64)
        most = (hi - 1) // (tiles * parts) + 1  # of outer, as far as this range goes
        out = array_at(load(words, int64), most * parts * inner, kind)
        x = array_at(load(words + 8, int64), most * n * inner, given)
        p = load(words + 16, real)
        acc = np.empty(fold * tile, kind)
        for task in range(lo, hi):
            part = (task // tiles) % parts
            outer = task // (tiles * parts)
            column = (task % tiles) * tile
            columns = min(tile, inner - column)
            first = part * rows
            length = min(n - first, rows)
            narrow = fold
            while narrow > length:
                narrow //= 2
            # unsigned indices: a signed one would be tested for counting from the end, which stops vectorisation
            w = np.uint64(columns * narrow)
            step = np.uint64(inner * narrow)
            at = np.uint64((outer * n + first) * inner + column)
            rest = length - narrow
            for i in range(w):
                acc[i] = kind(element(x[at + i], p))
            at += step
            while rest >= 8 * narrow:
                a1, a2, a3 = at + step, at + np.uint64(2) * step, at + np.uint64(3) * step
                a4, a5, a6 = at + np.uint64(4) * step, at + np.uint64(5) * step, at + np.uint64(6) * step
                a7 = at + np.uint64(7) * step
                for i in range(w):
                    left = combine(
                        combine(kind(element(x[at + i], p)), kind(element(x[a1 + i], p))),
                        combine(kind(element(x[a2 + i], p)), kind(element(x[a3 + i], p))),
                    )
                    right = combine(
                        combine(kind(element(x[a4 + i], p)), kind(element(x[a5 + i], p))),
                        combine(kind(element(x[a6 + i], p)), kind(element(x[a7 + i], p))),
                    )
                    acc[i] = combine(acc[i], combine(left, right))
                at += np.uint64(8) * step
                rest -= 8 * narrow
            while rest > 0:  # whole folded rows, then the part of one that is left
                some = w if rest >= narrow else np.uint64(rest * inner)
                for i in range(some):
                    acc[i] = combine(acc[i], kind(element(x[at + i], p)))
                at += step
                rest -= narrow
            while narrow > 1:
                narrow //= 2
                half = np.uint64(narrow * columns)
                for i in range(half):
                    acc[i] = combine(acc[i], acc[half + i])
            at = np.uint64((outer * parts + part) * inner + column)
            for i in range(np.uint64(columns)):
                out[at + i] = acc[i]

    return reduce_blocks


@functools.lru_cache(maxsize=None)
def short_rows(name: str, source: np.dtype, target: np.dtype) -> Any:
    """The kernel for short contiguous rows: out (outer,) from x (outer, n).  words: out, x, power, n"""
    element, combine = OPERATIONS[name]
    given, kind, real = _in_source(source, target)

    @kernel(source=f"reduce short rows {name} {source} {target}")
    def reduce_short_rows(lo, hi, words):
        p, n = load(words + 16, real), load(words + 24, int64)
        out, x = array_at(load(words, int64), hi, kind), array_at(load(words + 8, int64), hi * n, given)
        for row in range(lo, hi):
            at = np.uint64(row * n)
            acc = kind(element(x[at], p))
            for j in range(np.uint64(1), np.uint64(n)):
                acc = kind(combine(acc, kind(element(x[at + j], p))))
            out[row] = acc

    return reduce_short_rows


# Contiguous rows are cut into blocks of this many elements.
ROW_BLOCK = 8192


@functools.lru_cache(maxsize=None)
def row_blocks(name: str, dtype: np.dtype) -> Any:
    """The kernel for longer contiguous rows of floats: out (outer, parts) from x (outer, n), a block per task, folded in registers.

    words: out, x, power, n, parts
    """
    fold = fold_row(name, dtype)
    itemsize, kind = dtype.itemsize, IN_SOURCE[dtype]

    @kernel(source=f"reduce row blocks {name} {dtype}")
    def reduce_row_blocks(lo, hi, words):
        base, n, parts = address_of(load(words + 8, int64)), load(words + 24, int64), load(words + 32, int64)
        out = array_at(load(words, int64), hi, kind)
        for task in range(lo, hi):
            row = task // parts
            first = (task - row * parts) * ROW_BLOCK
            out[task] = fold(base + (row * n + first) * itemsize, min(ROW_BLOCK, n - first))

    return reduce_row_blocks
