"""From indices and masks to positions in memory, checked before anything is read or written through them."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .._cpu import array_at, compiled, empty, kernel, launch, u, zeros
from .._cpu.types import intp, signature
from . import _few
from ._errors import Refusal

# Masks are counted and listed in blocks of this many elements, so that the list does not depend on the number of threads.
BLOCK = 8192


@kernel
def _offsets(lo, hi, where, index, low, size, stride, first, bad):
    """where[i] (+)= (index[i], wrapped if negative) * stride; ``bad`` is set if an index lies outside [low, size)."""
    outside = 0
    for i in range(lo, hi):
        v = index[u(i)]
        wrong = (v < low) | (v >= size)
        outside |= wrong
        v = v + size if v < 0 else v
        v = 0 if wrong else v
        where[u(i)] = v * stride if first else where[u(i)] + v * stride
    if outside:
        bad[0] = 1


@kernel
def _inside(lo, hi, index, low, size, bad):
    outside = 0
    for i in range(lo, hi):
        v = index[u(i)]
        outside |= (v < low) | (v >= size)
    if outside:
        bad[0] = 1


def refused(refusal: Refusal, index: np.ndarray, low: int, size: int, dim: int) -> Exception:
    """The error for ``index``, of which some element is outside [low, size): it names the first."""
    return refusal.of(next(int(v) for v in index.reshape(-1) if v < low or v >= size), size, dim)


def check(index: np.ndarray, size: int, refusal: Refusal, dim: int) -> None:
    """Raise if an element of ``index`` (int64, contiguous) is outside [0, size)."""
    n = index.size
    bad = zeros(1, np.int64)
    launch(_inside, n, index.reshape(-1), 0, size, bad, work=n)
    if bad[0]:
        raise refused(refusal, index, 0, size, dim)


def offsets(
    indices: list[np.ndarray], sizes: list[int], strides: list[int], dims: Sequence[int], wrap: bool, refusal: Refusal
) -> np.ndarray:
    """Σ_j indices[j] * strides[j] for flat int64 ``indices`` of one length.

    ``wrap`` lets an index count from the end when it is negative.  One that is out of range is refused, as one of dimension dims[j].
    """
    n = indices[0].size
    where = empty(n, np.int64)
    bad = zeros(1, np.int64)
    for j, (index, size, stride) in enumerate(zip(indices, sizes, strides)):
        low = -size if wrap else 0
        launch(_offsets, n, where, index, low, size, stride, j == 0, bad, work=n)
        if bad[0]:
            raise refused(refusal, index, low, size, dims[j])
    return where


@kernel
def _count(lo, hi, counts, mask):
    for block in range(lo, hi):
        total = 0
        for i in range(block * BLOCK, min(block * BLOCK + BLOCK, mask.size)):
            total += np.int64(mask[u(i)])
        counts[block] = total


@kernel
def _sum_before(lo, hi, counts):
    """Counts to the sum of those before; the last element becomes the total."""
    total = 0
    for i in range(counts.size):
        count = counts[i]
        counts[i] = total
        total += count


@kernel
def _list(lo, hi, out, counts, mask):
    for block in range(lo, hi):
        at = counts[block]
        end = counts[block + 1]
        if at < end:
            for i in range(block * BLOCK, min(block * BLOCK + BLOCK, mask.size)):
                out[u(at)] = i  # written for every element and kept for the true ones: no branch to mispredict
                at += np.int64(mask[u(i)])
                if at == end:
                    break


def true_positions(mask: np.ndarray) -> np.ndarray:
    """The flat positions, ascending, at which ``mask`` (bool, contiguous) is true: count per block, sum the counts, list."""
    if mask.size <= _few.FEW:
        return _few.true_positions(mask)
    flat = mask.reshape(-1).view(np.uint8)
    blocks = -(-flat.size // BLOCK)
    counts = zeros(blocks + 1, np.int64)
    launch(_count, blocks, counts, flat, work=flat.size)
    _sum_before(0, 1, counts)
    out = empty(int(counts[blocks]), np.int64)
    launch(_list, blocks, out, counts, flat, work=2 * flat.size)
    return out


@kernel
def _unravel(lo, hi, out_id, positions_id, count, shape_id, ndim, dim_stride, stride):
    """Coordinates of row-major positions: coordinate j of position i goes to out[i * stride + j * dim_stride].

    Ascending positions often share all but the last coordinate with the one before, which spares the divisions.
    """
    out, positions = array_at(out_id, count * ndim, np.int64), array_at(positions_id, count, np.int64)
    shape = array_at(shape_id, ndim, np.int64)
    last = ndim - 1
    n = shape[last]
    row = -n - 1  # the position at which the current row begins
    for i in range(lo, hi):
        position = positions[u(i)]
        at = i * stride
        if row <= position < row + n:
            for j in range(last):
                out[u(at + j * dim_stride)] = out[u(at - stride + j * dim_stride)]
        else:
            left = position // n
            row = left * n
            for j in range(last - 1, -1, -1):
                out[u(at + j * dim_stride)] = left % shape[j]
                left //= shape[j]
        out[u(at + last * dim_stride)] = position - row


_run_unravel = compiled(_unravel, signature(*[intp] * 7))


def unravel(positions: np.ndarray, shape: tuple[int, ...], by_dim: bool) -> np.ndarray:
    """The coordinates of flat ``positions`` in an array of ``shape``: (count, ndim), or (ndim, count) where ``by_dim``."""
    n, ndim = positions.size, len(shape)
    out = empty((ndim, n) if by_dim else (n, ndim), np.int64)
    strides = (n, 1) if by_dim else (1, ndim)
    if ndim:
        sizes = np.array(shape, np.int64)
        _run_unravel(n, id(out), id(positions), n, id(sizes), ndim, *strides, work=4 * n * ndim)
    return out
