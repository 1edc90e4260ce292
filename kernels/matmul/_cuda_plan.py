"""How a matrix product is cut into blocks on CUDA, and how its operands are walked.

All of that follows from dtypes, shapes and strides, and from nothing of the device, so that results are the same on every one.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Sequence

import numpy as np

from .._cuda.driver import SIMULATED
from ._cuda_kind import Tile, computed

# Multiprocessors that a grid should fill: those of an H100 or H200, and more than an A100 has.
MULTIPROCESSORS = 132
_FILLED = MULTIPROCESSORS * 3 // 4
# The fewest elements along k that are worth a block, and into how many parts k is cut: each is written and read once more.
_LEAST_PART = 256
_FEW_PARTS, _MOST_PARTS = 4, 64
# Elements along k of one part, which kernels count in 32 bits.
_LONGEST = 1 << 30

# By the size of a sum's type, from the tile that needs the fewest loads for its arithmetic to the one that gives small products the most blocks.
# A thread has at most 64 sums of 4 bytes, or 32 of 8, beside which 128 registers leave room for the elements that it multiplies.
TILES = {
    4: (Tile(128, 128, 8, 8, 8), Tile(64, 64, 8, 8, 4), Tile(32, 32, 8, 4, 4)),
    8: (Tile(128, 64, 8, 8, 4), Tile(32, 32, 8, 4, 4)),
    16: (Tile(64, 64, 8, 4, 4), Tile(32, 32, 8, 4, 4)),
}
SIMULATED_TILES = (Tile(16, 32, 8, 4, 4),)  # one warp


class Cut(NamedTuple):
    """The tile that a block computes, and the number of parts that k is cut into."""

    tile: Any
    splits: int


def cut(tiles: Sequence[Any], products: int, m: int, n: int, k: int) -> Cut:
    """The first of ``tiles`` whose blocks fill the device, k cut into a few parts if need be; of the last, as many as that takes."""
    for tile in tiles:
        if tile is not tiles[-1] and (2 * m <= tile.rows or 2 * n <= tile.columns):
            continue  # it would be half empty
        blocks = products * -(-m // tile.rows) * -(-n // tile.columns)
        most = max(1, min(_FEW_PARTS if tile is not tiles[-1] else _MOST_PARTS, k // _LEAST_PART))
        if blocks >= _FILLED:
            return Cut(tile, splits_at_least(1, k))
        if blocks * most >= _FILLED:
            break
    return Cut(tile, splits_at_least(min(most, -(-MULTIPROCESSORS // blocks)), k))


def splits_at_least(splits: int, k: int) -> int:
    """As many parts, or as many as it takes for each to be counted in 32 bits."""
    return max(splits, -(-k // _LONGEST))


def parts(k: int, splits: int, depth: int) -> tuple[int, int]:
    """The elements along k of each part but the last, a multiple of ``depth``, and how many parts that makes: ``splits`` or fewer."""
    size = -(-k // (splits * depth)) * depth
    return size, -(-k // size)


def tiles_for(dtype: np.dtype) -> Sequence[Tile]:
    """The tiles for a type of elements."""
    return SIMULATED_TILES if SIMULATED else TILES[computed(dtype).itemsize]


class Batch(NamedTuple):
    """A batch of products as two dimensions, which kernels walk: how many there are, the size of the inner one, and for A and for B the strides in elements
    of the outer and the inner one.  ``starts``: how many elements behind the first each array begins, once for every launch."""

    products: int
    inner: int
    a: tuple[int, int]
    b: tuple[int, int]
    starts: tuple[tuple[int, int], ...]


def _steps(batch: tuple[int, ...], shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> list[int]:
    """The strides in elements along ``batch`` of an array whose leading dimensions, of this shape and strides, broadcast to it."""
    missing = len(batch) - len(shape)
    return [0] * missing + [0 if size == 1 else step // itemsize for size, step in zip(shape, strides)]


@functools.lru_cache(maxsize=4096)
def batched(batch: tuple[int, ...], a: tuple[Any, ...], b: tuple[Any, ...], itemsize: int) -> Batch:
    """The batch of products of arrays whose leading dimensions have the shapes and strides ``a`` and ``b``; dimensions that lie one behind the other
    are one, and those beyond two are walked by launches."""
    dims: list[tuple[int, int, int]] = []
    for size, step_a, step_b in zip(batch, _steps(batch, a[0], a[1], itemsize), _steps(batch, b[0], b[1], itemsize)):
        if size == 1:
            continue
        if dims and dims[-1][1] == step_a * size and dims[-1][2] == step_b * size:
            size *= dims.pop()[0]
        dims.append((size, step_a, step_b))
    walked = [(1, 0, 0)] * (2 - len(dims)) + dims[-2:]
    (outer, a_outer, b_outer), (inner, a_inner, b_inner) = walked
    starts = [
        (sum(i * d[1] for i, d in zip(at, dims)), sum(i * d[2] for i, d in zip(at, dims))) for at in np.ndindex(*(d[0] for d in dims[:-2]))
    ]
    return Batch(outer * inner, inner, (a_outer, a_inner), (b_outer, b_inner), tuple(starts))


class Walk(NamedTuple):
    """How kernels walk a matrix of A or of B: strides in elements across k and along it, whether the unit stride is along k, and whether vectors of
    ``lanes`` elements may be loaded where the array is aligned to them."""

    across: int
    step: int
    along_k: bool
    lanes: int


def walk(
    extent: int, k: int, across: int, step: int, batch: tuple[int, int], starts: Sequence[int], lanes: int, ragged: bool = False
) -> Walk:
    """The walk of an operand of ``extent`` x ``k`` elements with such strides.  ``ragged``: the last vector of a row may reach behind it."""
    if extent == 1:
        across = 0
    if k == 1:
        step = 0 if across == 1 else 1
    along_k = step == 1 or across != 1
    unit, other, size = (step, across, k) if along_k else (across, step, extent)
    whole = unit == 1 and (ragged or not size % lanes) and not any(s % lanes for s in (other, *batch, *starts))
    return Walk(across, step, along_k, lanes if whole else 1)


def vector_splits(results: int, k: int, by_columns: bool) -> int:
    """Into how many parts k is cut for products with a vector: as many as give each multiprocessor sixteen warps, while a part is worth one."""
    wanted = 16 * MULTIPROCESSORS
    groups = -(-results // 16) if by_columns else results  # a warp has the sums of many columns, and an eighth of their rows
    least = 64 if by_columns else 1024
    return splits_at_least(max(1, min(_MOST_PARTS, -(-wanted // groups), k // least)), k)
