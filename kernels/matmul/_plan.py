"""How a matrix product is cut into pieces for the threads, and which of the register tiles takes it."""

from __future__ import annotations

import functools
import math
from typing import Any, Callable

import numpy as np

from .. import _dtypes
from .._cpu import empty, simd
from .._cpu.memory import POOLED_BYTES
from .._cpu.threads import BALANCED_WORK
from . import _gemm

# Multiply-adds below which a product is not worth a second thread.
SERIAL = 300_000
# Tiles of rows from which on a big B is worth packing.
_OFTEN = 8
_FLOATS = (_dtypes.float32, _dtypes.float64)


def is_blocked(dtype: np.dtype) -> bool:
    """Whether products of this type are made of register tiles."""
    return dtype in _FLOATS and simd.COMPILED


def allocator(shape: tuple[int, ...], dtype: np.dtype) -> Callable[..., Any]:
    """What makes a result: ``empty``, or NumPy itself where ``empty`` would only ask it."""
    return np.empty if math.prod(shape) * dtype.itemsize < POOLED_BYTES else empty


def strides_of(x: Any) -> tuple[int, int]:
    """The strides of a matrix; where a dimension has but one element, its stride is what suits the kernels."""
    row, col = x.strides[-2:]
    if x.shape[-1] == 1:
        return row, x.itemsize
    return (x.itemsize if x.shape[-2] == 1 and col != x.itemsize else row), col


def _rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _cut(dtype: np.dtype, m: int, n: int, k: int, pieces: int, b_lies: bool) -> tuple[int, int, int]:
    """How one product is cut into at most ``pieces``, each with a thread of its own: (style of tile, rows, columns), by estimated cycles."""
    lanes, best = simd.lanes(dtype), None
    for style, tile in enumerate(_gemm.TILES):
        width = tile.vectors * lanes
        for split in range(1, pieces + 1):
            tall, wide = min(m, _rounded(-(-m // split), tile.rows)), min(n, _rounded(-(-n // (pieces // split)), width))
            tiles = -(-tall // tile.rows) * -(-wide // width)
            # A tile's sums are loaded and stored; packing moves about two elements in a cycle; what is read comes from a farther cache.
            cost = tiles * (tile.rows * tile.vectors * (tile.waste * k + 3) + 30) + 0.05 * k * (tall + wide)
            if not b_lies or n < width:
                cost += 0.45 * k * _rounded(wide, width)
            if m < tile.rows:
                cost += 0.5 * k * tile.rows
            if best is None or cost < best[0]:
                best = cost, style, tall, wide
    assert best is not None
    return best[1:]


@functools.lru_cache(maxsize=4096)
def tiling(
    dtype: np.dtype,
    batch: int,
    m: int,
    n: int,
    k: int,
    a: tuple[int, int],
    b: tuple[int, int],
    d_row: int,
    places: int,
    activation: int,
    threads: int,
) -> tuple[int, int, int, np.ndarray]:
    """How ``threads`` threads share a product: (workers, bytes of workspace, address of the ``_gemm.Plan``, and the array that holds it)."""
    itemsize, (a_row, a_col), (b_row, b_col) = dtype.itemsize, a, b
    work = batch * m * n * k
    # Large products get more shares than threads, so that a thread that is held up does not hold up the rest.
    workers = 1 if work < SERIAL or threads == 1 else threads if work < BALANCED_WORK else 4 * threads
    style, tall, wide = _cut(dtype, m, n, k, -(-workers // batch), b_col == itemsize)
    tile = _gemm.TILES[style]
    width = tile.vectors * simd.lanes(dtype)
    tiles_m, tiles_n = -(-m // tall), -(-n // wide)
    workers = min(workers, batch * tiles_m * tiles_n)
    # Rows of a big B, far apart, fight over cache sets and address translations; A, read a tile's rows at a time, does not.
    packs_a = m < tile.rows
    packs_b = n < width or b_col != itemsize or (k * n * itemsize > 1 << 20 and tall >= _OFTEN * tile.rows)
    blocks = -(-wide * itemsize // _gemm.BLOCK_ROW)
    block = _rounded(-(-wide // blocks), width)
    slot = _gemm.workspace(dtype, tile, min(block, wide), k) if packs_b else 0
    plan = _gemm.Plan(
        workers, batch, m, n, k, a_row, a_col, b_row, b_col, d_row, style, packs_a, packs_b, tiles_m, tiles_n, tall, wide, block, slot, places, activation
    )  # fmt: skip
    words = np.array(plan, np.int64)
    return workers, workers * slot + 64 if slot else 0, words.ctypes.data, words
