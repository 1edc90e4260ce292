"""Matrix products on the CPU: which of the kernels takes a product, and how it is cut into pieces for the threads."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cpu import empty, full, get_num_threads, simd
from ..copy import contiguous
from . import _gemm, _vector
from ._plain import plain

# Multiply-adds below which a product is not worth a second thread.
_SERIAL = 300_000
_DOT_BLOCK = 16_384
_FLOATS = (_dtypes.float32, _dtypes.float64)


def _blocked(dtype: np.dtype) -> bool:
    return dtype in _FLOATS and simd.COMPILED


@functools.lru_cache(maxsize=4096)
def _plan(
    dtype: np.dtype, batch: int, m: int, n: int, k: int, a_row: int, a_col: int, b_row: int, b_col: int, threads: int
) -> tuple[Any, int, int, np.ndarray]:
    """How ``threads`` threads share a product: (kernel, workers, bytes of workspace, a ``_gemm.Plan`` as an array)."""
    lanes, itemsize = simd.lanes(dtype), dtype.itemsize
    workers = 1 if batch * m * n * k < _SERIAL else threads
    pieces = -(-workers // batch)
    best = None
    for style, tile in enumerate(_gemm.TILES):
        width = tile.vectors * lanes
        for split in range(1, pieces + 1):
            tall, wide = min(m, _rounded(-(-m // split), tile.rows)), min(n, _rounded(-(-n // (pieces // split)), width))
            # Multiply-adds of the largest piece; packing an element costs about as much as sixteen.
            cost = _rounded(tall, tile.rows) * _rounded(wide, width) * tile.waste + 16 * (tall + wide)
            if best is None or cost < best[0]:
                best = cost, style, tall, wide
    assert best is not None
    _, style, tall, wide = best
    tile = _gemm.TILES[style]
    tiles_m, tiles_n = -(-m // tall), -(-n // wide)
    workers = min(workers, batch * tiles_m * tiles_n)
    clashes = a_col == itemsize and a_row % 2048 == 0 and tall > tile.rows  # the rows of a tile would share a set of the cache
    used_often = wide >= 128 and tall * k * itemsize > 1 << 20
    packs_a = m < tile.rows or (clashes and wide >= 64) or used_often
    packs_b = n < tile.vectors * lanes or b_col != itemsize or tall >= 8 * tile.rows
    slot = _gemm.workspace(dtype, tile, tall, wide, k, packs_a, packs_b)
    plan = _gemm.Plan(workers, batch, m, n, k, a_row, a_col, b_row, b_col, style, packs_a, packs_b, tiles_m, tiles_n, tall, wide, slot)
    return _gemm.gemm(dtype), workers, workers * slot + 64, np.array(plan, np.int64)


def _rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _offsets(batch: tuple[int, ...], shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """Byte offset of each matrix of an operand whose leading dimensions, of this shape and strides, broadcast to ``batch``."""
    offsets = np.zeros(batch, np.int64)
    for dim in range(-len(shape), 0):
        if shape[dim] != 1:
            offsets += (np.arange(batch[dim]) * strides[dim]).reshape(-1, *[1] * (-dim - 1))
    return offsets.reshape(-1)


@functools.lru_cache(maxsize=256)
def _places(batch: tuple[int, ...], a: tuple[Any, ...], b: tuple[Any, ...]) -> np.ndarray:
    """The offsets of every matrix of a, then of every matrix of b."""
    return np.concatenate([_offsets(batch, *a), _offsets(batch, *b)])


def _initial_rows(initial: Any, n: int) -> tuple[Any, int]:
    """``initial`` with contiguous rows of n elements, and the bytes from one row to the next: 0 where there is but one."""
    if initial.ndim == 0 or initial.shape[-1] != n:
        initial = np.broadcast_to(initial, (*initial.shape[:-1], n))
    if n > 1 and initial.strides[-1] != initial.itemsize:
        initial = contiguous(initial)
    return initial, initial.strides[0] if initial.ndim == 2 and initial.shape[0] != 1 else 0


def matmul(a: Any, b: Any, batch: tuple[int, ...], initial: Any) -> Any:
    """out[..., m, n] = initial + Σ_k a[..., m, k]·b[..., k, n].

    ``batch`` is what the leading dimensions of a and b broadcast to; ``initial`` broadcasts to [m, n] or is None.
    """
    if batch:
        m, k = a.shape[-2:]
        a_row, a_col = a.strides[-2:]
        b_row, b_col = b.strides[-2:]
    else:
        m, k = a.shape
        a_row, a_col = a.strides
        b_row, b_col = b.strides
    n = b.shape[-1]
    dtype, itemsize = a.dtype, a.itemsize
    out = empty((*batch, m, n), dtype)
    if out.size == 0:
        return out
    blocked = _blocked(dtype)
    if blocked and a_row != itemsize and a_col != itemsize:
        a = contiguous(a)
        a_row, a_col = a.strides[-2:]
    if b_col != itemsize and (b_row != itemsize or not blocked):
        b = contiguous(b)
        b_row, b_col = b.strides[-2:]
    d_id = d_row = 0
    if initial is not None:
        initial, d_row = _initial_rows(initial, n)
        d_id = id(initial)
    products, places_id = 1, 0
    if batch:
        products = out.size // (m * n)
        places = _places(batch, (a.shape[:-2], a.strides[:-2]), (b.shape[:-2], b.strides[:-2]))
        places_id = id(places)
    work = products * m * n * k
    if not blocked:
        plain(dtype)(products * m, id(out), id(a), id(b), d_id, places_id, products, m, n, k, a_row, a_col, b_row, d_row, work=work)
        return out
    if products == 1 and (m == 1 or n == 1) and _thin(out, a, b, d_id, d_row, m, n, k):
        return out
    gemm, workers, bytes_, plan = _plan(dtype, products, m, n, k, a_row, a_col, b_row, b_col, get_num_threads())
    space = empty(bytes_, np.uint8)
    gemm(workers, id(plan), id(out), id(a), id(b), d_id, d_row, places_id, id(space), work=work)
    return out


def _thin(out: Any, a: Any, b: Any, d_id: int, d_row: int, m: int, n: int, k: int) -> bool:
    """A product with one row or one column, by the vector kernels where a stride of the matrix allows it; whether it was done."""
    dtype, itemsize = a.dtype, a.itemsize
    if n == 1:  # the matrix is a
        matrix, vector, vector_step, count, d_step = a.swapaxes(-1, -2), b, b.strides[-2], m, d_row
    else:
        matrix, vector, vector_step, count, d_step = b, a, a.strides[-1], n, itemsize
    across, along = matrix.strides[-2:]  # from one k to the next, from one result to the next
    if k <= 1:
        return False
    if across == itemsize and vector_step == itemsize:
        groups = -(-count // _vector.ROWS)
        _vector.row_dots(dtype)(groups, id(out), id(matrix), id(vector), d_id, count, k, along, 0, d_step, work=count * k)
        return True
    if along == itemsize and (d_id == 0 or d_step == itemsize):
        groups = -(-count // (_vector.VECTORS * simd.lanes(dtype)))
        _vector.column_sums(dtype)(groups, id(out), id(vector), id(matrix), d_id, count, k, vector_step, across, work=count * k)
        return True
    return False


def dot(a: Any, b: Any) -> Any:
    """Σ_k a[k]·b[k], summed in blocks."""
    dtype, k = a.dtype, a.shape[0]
    if not _blocked(dtype):
        return matmul(a[None, :], b[:, None], (), None).reshape(())
    out = empty((), dtype)
    a, b = contiguous(a), contiguous(b)
    dots = _vector.row_dots(dtype)
    if k < 2 * _DOT_BLOCK:
        dots(1, id(out), id(a), id(b), 0, 1, k, 0, 0, 0)
        return out
    blocks = k // _DOT_BLOCK
    rest = k - blocks * _DOT_BLOCK
    sums, ones = empty(blocks + 1, dtype), full(blocks + 1, 1, dtype)
    row = _DOT_BLOCK * dtype.itemsize
    dots(-(-blocks // _vector.ROWS), id(sums), id(a), id(b), 0, blocks, _DOT_BLOCK, row, row, 0, work=k)
    last_a, last_b, last_sum = a[blocks * _DOT_BLOCK :], b[blocks * _DOT_BLOCK :], sums[blocks:]
    dots(1, id(last_sum), id(last_a), id(last_b), 0, 1, rest, 0, 0, 0)
    dots(1, id(out), id(sums), id(ones), 0, 1, blocks + 1, 0, 0, 0)
    return out
