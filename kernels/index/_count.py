"""The small kernels of the index family: embedding's gradient, masked fill, one-hot rows, counts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import array_at, compiled, empty, get_num_threads, kernel, launch, u, zeros
from .._cpu.types import intp, signature
from ..copy._move import CARRIERS
from ._errors import Refusal
from ._positions import check
from ._rows import NARROW

# Columns of an embedding's gradient that one unit sums.
COLUMNS = 64


@kernel
def _embedding_backward(lo, hi, out, g, index, padding, scale, rows, columns, pieces, stretches):
    """A unit owns some columns of a stretch of rows, and adds to them in the order in which the rows occur in ``index``."""
    for unit in range(lo, hi):
        stretch = unit % stretches
        low, high = rows * stretch // stretches, rows * (stretch + 1) // stretches
        first = (unit // stretches) * columns // pieces
        last = (unit // stretches + 1) * columns // pieces
        for i in range(index.size):
            row = index[i]
            if low <= row < high and row != padding:
                d, s = row * columns, i * columns
                if scale.size:
                    factor = scale[row]
                    for k in range(first, last):
                        out[u(d + k)] += factor * g[u(s + k)]
                else:
                    for k in range(first, last):
                        out[u(d + k)] += g[u(s + k)]


def embedding_backward(g: np.ndarray, index: np.ndarray, rows: int, padding: int, by_frequency: bool, refusal: Refusal) -> np.ndarray:
    """out[r] = Σ over i with index[i] = r of g[i], divided by how many there are where ``by_frequency``; row ``padding`` stays zero.

    ``g`` (n, columns) and ``index`` (n,), int64, are contiguous.  An index out of range is refused.
    """
    check(index, rows, refusal, 0)
    columns = g.shape[1]
    out = zeros((rows, columns), g.dtype)
    if not g.size:
        return out
    scale = np.empty(0, g.dtype)
    if by_frequency:
        scale = empty(rows, g.dtype)
        _inverse(0, 1, scale, bincount(index, rows))
    threads = get_num_threads() if g.size > 50_000 else 1
    pieces = max(1, min(columns // COLUMNS, threads))
    stretches = 1 if pieces >= threads or columns < NARROW else threads
    launch(
        _embedding_backward,
        pieces * stretches,
        out.reshape(-1),
        g.reshape(-1),
        index,
        padding,
        scale,
        rows,
        columns,
        pieces,
        stretches,
        work=g.size,
    )
    return out


@kernel
def _inverse(lo, hi, out, counts):
    for i in range(out.size):
        out[i] = 1 / max(counts[i], 1)


@functools.lru_cache(maxsize=None)
def _fill(item: int) -> Any:
    kind = CARRIERS[item].type

    @kernel(source=f"index.masked_fill of {item} bytes")
    def fill(lo, hi, out_id, x_id, mask_id, value_id):
        out, x, mask = array_at(out_id, hi, kind), array_at(x_id, hi, kind), array_at(mask_id, hi, np.uint8)
        v = array_at(value_id, 1, kind)[0]
        for i in range(lo, hi):
            out[u(i)] = v if mask[u(i)] else x[u(i)]

    return compiled(fill, signature(*[intp] * 4))


@functools.lru_cache(maxsize=None)
def _fill_in_place(item: int) -> Any:
    kind = CARRIERS[item].type

    @kernel(source=f"index.masked_fill in place of {item} bytes")
    def fill(lo, hi, x_id, mask_id, value_id):
        """One array, not ``_fill`` with ``x`` twice: two that overlap are never worked on with vectors."""
        x, mask = array_at(x_id, hi, kind), array_at(mask_id, hi, np.uint8)
        v = array_at(value_id, 1, kind)[0]
        for i in range(lo, hi):
            x[u(i)] = v if mask[u(i)] else x[u(i)]

    return compiled(fill, signature(*[intp] * 3))


def masked_fill(x: np.ndarray, mask: np.ndarray, value: np.ndarray, in_place: bool = False) -> np.ndarray:
    """``value`` (0-d, x's dtype) where ``mask``, ``x`` elsewhere; all contiguous, ``x`` and ``mask`` of one shape.

    The result is ``x`` itself when ``in_place``; ``value`` may then be one of its elements, which is only overwritten with itself.
    """
    n = x.size
    if in_place:
        _fill_in_place(x.itemsize)(n, id(x), id(mask), id(value), work=n)
        return x
    out = empty(x.shape, x.dtype)
    _fill(x.itemsize)(n, id(out), id(x), id(mask), id(value), work=n)
    return out


@kernel
def _ones(lo, hi, out, index, classes):
    for i in range(lo, hi):
        out[u(i * classes + index[u(i)])] = 1


def one_hot(index: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes) of int64 zeros with a one at each row's index."""
    out = zeros((index.size, classes), np.int64)
    launch(_ones, index.size, out.reshape(-1), index, classes, work=index.size)
    return out


@kernel
def _bincount(lo, hi, out, index):
    for i in range(index.size):
        out[index[i]] += 1


@kernel
def _bincount_weighted(lo, hi, out, index, weights):
    for i in range(index.size):
        out[index[i]] += weights[i]


def bincount(index: np.ndarray, n: int, weights: np.ndarray | None = None) -> np.ndarray:
    """How often each of 0 .. n-1 occurs, or the sum of its weights (in their dtype), in order of occurrence: one thread."""
    if weights is None:
        out = zeros(n, np.int64)
        _bincount(0, 1, out, index)
    else:
        out = zeros(n, weights.dtype)
        _bincount_weighted(0, 1, out, index, weights)
    return out


@kernel
def _extremes(lo, hi, out, index):
    low = high = index[0]
    for i in range(index.size):
        low = min(low, index[i])
        high = max(high, index[i])
    out[0] = low
    out[1] = high


def extremes(index: np.ndarray) -> tuple[int, int]:
    """The smallest and the largest element of a non-empty flat int64 array."""
    out = empty(2, np.int64)
    _extremes(0, 1, out, index)
    return int(out[0]), int(out[1])
