"""Matrix products on the CPU: which of the kernels takes a product, and how it is cut into pieces for the threads.

All of that follows from dtypes, shapes and strides, so it is decided once for each combination: ``prepare`` returns the function to call.
"""

from __future__ import annotations

import functools
import math
import threading
from typing import Any, Callable

import numpy as np

from .._cpu import empty, full, get_num_threads, simd
from ..copy import contiguous
from ..elementwise import activations
from . import _gemm, _plain, _plan, _vector

_DOT_BLOCK = 16_384
_MOST_SPACE = 1 << 22
# Sums longer than this are cut into segments of about a quarter of it where the result is too small to be shared by the threads.
_LONG = 16_384
_MOST_SEGMENTS = 32

Product = Callable[[Any, Any, Any], Any]


class _Local(threading.local):
    """The workspace of a thread that launches products."""

    space = np.empty(0, np.uint8)


_local = _Local()


def _workspace(size: int) -> np.ndarray:
    """``size`` bytes that nobody else uses during the next launch of this thread."""
    if size > _MOST_SPACE:
        return empty(size, np.uint8)
    if _local.space.size < size:
        _local.space = empty(size, np.uint8)
    return _local.space


def _offsets(batch: tuple[int, ...], shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """Byte offset of each matrix of an operand whose leading dimensions, of this shape and strides, broadcast to ``batch``."""
    offsets = np.zeros(batch, np.int64)
    for dim in range(-len(shape), 0):
        if shape[dim] != 1:
            offsets += (np.arange(batch[dim]) * strides[dim]).reshape(-1, *[1] * (-dim - 1))
    return offsets.reshape(-1)


@functools.lru_cache(maxsize=4096)
def _places(batch: tuple[int, ...], a: tuple[Any, ...], b: tuple[Any, ...]) -> np.ndarray:
    """The offsets of every matrix of a, then of every matrix of b."""
    return np.concatenate([_offsets(batch, *a), _offsets(batch, *b)])


def _ready(x: Any) -> bool:
    """Whether rows or columns are contiguous."""
    return x.itemsize in _plan.strides_of(x)


def _readable(x: Any) -> Any:
    return x if _ready(x) else contiguous(x)


def _row_stride(initial: Any, n: int) -> int | None:
    """Bytes from one row of ``initial`` to the next, 0 where there is but one; None where a row is not n contiguous elements."""
    if initial.ndim == 0 or initial.shape[-1] != n or (n > 1 and initial.strides[-1] != initial.itemsize):
        return None
    return initial.strides[0] if initial.ndim == 2 and initial.shape[0] != 1 else 0


def _in_rows(initial: Any, n: int) -> Any:
    return contiguous(np.broadcast_to(initial, (*initial.shape[:-1], n)))


def _by_columns(x: Any) -> Any:
    return contiguous(x.swapaxes(-1, -2)).swapaxes(-1, -2)


def matmul(a: Any, b: Any, batch: tuple[int, ...], initial: Any, activation: str = "") -> Any:
    """out[..., m, n] = f(initial + Σ_k a[..., m, k]·b[..., k, n]).

    ``batch`` is what the leading dimensions of a and b broadcast to; ``initial`` broadcasts to [m, n] or is None; ``activation`` names f,
    one of ``_gemm.ACTIVATIONS``.
    """
    return prepare(a, b, batch, initial, activation)(a, b, initial)


def _filled(shape: tuple[int, ...], dtype: np.dtype, values: Any) -> Any:
    out = empty(shape, dtype)
    out[...] = values
    return out


def prepare(a: Any, b: Any, batch: tuple[int, ...], initial: Any, activation: str = "") -> Product:
    """``matmul`` for operands of these dtypes, shapes and strides: a function of a, b and initial, which ends in ``activation``."""
    (m, k), n, dtype = a.shape[-2:], b.shape[-1], a.dtype
    shape = (*batch, m, n)
    if activation and (k == 0 or not _plan.is_blocked(dtype)):
        return _activated(prepare(a, b, batch, initial), activation)
    if 0 in shape:
        return lambda a, b, initial: empty(shape, dtype)
    if k == 0:
        return lambda a, b, initial: _filled(shape, dtype, 0 if initial is None else initial)
    d_row = 0 if initial is None else _row_stride(initial, n)
    if d_row is None:
        in_rows = prepare(a, b, batch, _in_rows(initial, n), activation)
        return lambda a, b, initial: in_rows(a, b, _in_rows(initial, n))
    blocked = _plan.is_blocked(dtype)
    if blocked and not (_ready(a) and _ready(b)):
        readable = prepare(_readable(a), _readable(b), batch, initial, activation)
        return lambda a, b, initial: readable(_readable(a), _readable(b), initial)
    if not blocked and _plan.strides_of(b)[1] != b.itemsize:
        copied = prepare(a, contiguous(b), batch, initial)
        return lambda a, b, initial: copied(a, contiguous(b), initial)
    products, places = math.prod(batch), None
    if batch:
        places = _places(batch, (a.shape[:-2], a.strides[:-2]), (b.shape[:-2], b.strides[:-2]))
    if not blocked:
        return _plainly(shape, a, b, products, places, d_row)
    if not batch and k >= _LONG and m * n <= 4096:
        return _segmented(a, b, initial, activation)
    return _chosen(shape, a, b, products, places, initial, d_row, activation)


def _activated(product: Product, activation: str) -> Product:
    """``product`` and then ``activation``, where the kernels of the product do not know it."""
    function = getattr(activations, activation)
    return lambda a, b, initial: function(product(a, b, initial))


def _chosen(shape: tuple[int, ...], a: Any, b: Any, products: int, places: Any, initial: Any, d_row: int, activation: str = "") -> Product:
    """The vector kernels for few rows or columns, else tiles."""
    thin = None
    if a.shape[-1] > 1 and min(shape[-2:]) <= _vector.FEW:
        thin = _thinly(shape, a, b, products, places, initial, d_row, activation)
    return thin or _tiled(shape, a, b, products, places, d_row, activation)


def _segmented(a: Any, b: Any, initial: Any, activation: str) -> Product:
    """A small product of long sums as a batch of segments, whose results are then added in order; however many threads there are."""
    (m, k), n, dtype = a.shape, b.shape[-1], a.dtype
    count = min(_MOST_SEGMENTS, 4 * k // _LONG)
    size = -(-k // count)
    count = -(-k // size) - 1  # whole ones; the last, which may be shorter, begins with ``initial``
    done = count * size
    places = np.concatenate([np.arange(count) * size * a.strides[-1], np.arange(count) * size * b.strides[-2]])
    parts = _chosen((count, m, n), a[:, :size], b[:size], count, places, None, 0)
    last = prepare(a[:, done:], b[done:], (), initial)
    ones = full((1, count), 1, dtype)
    added = prepare(ones, empty((count, m * n), dtype), (), empty(m * n, dtype), activation)

    def product(a: Any, b: Any, initial: Any) -> Any:
        start = last(a[:, done:], b[done:], initial).reshape(m * n)
        return added(ones, parts(a, b, None).reshape(count, m * n), start).reshape(m, n)

    return product


def _tiled(shape: tuple[int, ...], a: Any, b: Any, products: int, places: Any, d_row: int, activation: str) -> Product:
    dtype, (m, k), n = a.dtype, a.shape[-2:], b.shape[-1]
    work = products * m * n * k
    places_at = 0 if places is None else places.ctypes.data
    facts = (dtype, products, m, n, k, _plan.strides_of(a), _plan.strides_of(b), d_row, places_at, _gemm.ACTIVATIONS.index(activation))
    gemm, new = _gemm.gemm(dtype), _plan.allocator(shape, dtype)
    _, space, plan_at, plan = _plan.tiling(*facts, get_num_threads())

    def small(a: Any, b: Any, initial: Any) -> Any:
        out = new(shape, dtype)
        gemm(1, plan_at, id(out), id(a), id(b), 0 if initial is None else id(initial), 0)
        return out

    plans: dict[int, Any] = {}

    def product(a: Any, b: Any, initial: Any) -> Any:
        threads = get_num_threads()
        workers, space, plan_at, _ = plans.get(threads) or plans.setdefault(threads, _plan.tiling(*facts, threads))
        out = new(shape, dtype)
        d_id, room = 0 if initial is None else id(initial), _workspace(space) if space else None
        gemm(workers, plan_at, id(out), id(a), id(b), d_id, id(room) if space else 0, work=work)
        return out

    return _keeping(small if work < _plan.SERIAL and not space else product, plan, places)


def _keeping(product: Any, *arrays: Any) -> Product:
    """``product``, with the arrays of which it or its plan holds the address."""
    product.arrays = arrays
    return product


def _plainly(shape: tuple[int, ...], a: Any, b: Any, products: int, places: Any, d_row: int) -> Product:
    dtype, (m, k), n = a.dtype, a.shape[-2:], b.shape[-1]
    (a_row, a_col), b_row = a.strides[-2:], b.strides[-2]
    places_id, kernel = 0 if places is None else id(places), _plain.plain(dtype)

    def product(a: Any, b: Any, initial: Any) -> Any:
        out = empty(shape, dtype)
        d_id = 0 if initial is None else id(initial)
        kernel(
            products * m, id(out), id(a), id(b), d_id, places_id, products, m, n, k, a_row, a_col, b_row, d_row, work=products * m * n * k
        )  # fmt: skip
        return out

    return _keeping(product, places)


def _thinly(
    shape: tuple[int, ...], a: Any, b: Any, products: int, places: Any, initial: Any, d_row: int, activation: str
) -> Product | None:
    """A product with few rows or few columns, by the vector kernels where the strides allow it."""
    dtype, itemsize, (m, k), n = a.dtype, a.itemsize, a.shape[-2:], b.shape[-1]
    turned = n < m  # the matrix is a, the vectors are the columns of b
    matrix, vectors = (a.swapaxes(-1, -2), b.swapaxes(-1, -2)) if turned else (b, a)
    few, count = vectors.shape[-2], matrix.shape[-1]
    across, along = _plan.strides_of(matrix)  # from one k to the next, from one result to the next
    x_vector, x_step = _plan.strides_of(vectors)
    y_vector, y_step, d_vector, d_step = (itemsize, n * itemsize, itemsize, d_row) if turned else (n * itemsize, itemsize, d_row, itemsize)
    in_rows = across == itemsize
    if in_rows and x_step != itemsize:
        if places is not None and a.ndim == 2:  # segments of one matrix
            return None
        if turned:
            columns = prepare(a, _by_columns(b), shape[:-2], initial, activation)
            return lambda a, b, initial: columns(a, _by_columns(b), initial)
        rows = prepare(contiguous(a), b, shape[:-2], initial, activation)
        return lambda a, b, initial: rows(contiguous(a), b, initial)
    if turned and not in_rows and n > 1 and initial is None and not shape[:-2] and m * k * itemsize > 1 << 19:
        across_first = prepare(vectors, matrix, (), None, activation)
        return lambda a, b, initial: contiguous(across_first(b.swapaxes(0, 1), a.swapaxes(0, 1), None).swapaxes(0, 1))
    if not in_rows and (along != itemsize or (y_step != itemsize and count > 1) or (initial is not None and d_step != itemsize)):
        return None
    if places is not None and not turned:
        places = np.concatenate([places[products:], places[:products]])
    groups = -(-count // (_vector.ROWS if in_rows else _vector.VECTORS * simd.lanes(dtype)))
    kernel = _vector.row_dots(dtype) if in_rows else _vector.column_sums(dtype)
    places_at, ending = 0 if places is None else places.ctypes.data, _gemm.ACTIVATIONS.index(activation)
    row = along if in_rows else across
    plan = _vector.Thin(
        groups, products, few, count, k, row, x_vector, x_step, 0, y_vector, y_step, d_vector, d_step, places_at, ending
    )  # fmt: skip
    return _thin_product(kernel, plan, shape, dtype, turned, places)


def _thin_product(kernel: Any, plan: _vector.Thin, shape: tuple[int, ...], dtype: np.dtype, turned: bool, places: Any) -> Product:
    words = np.array(plan, np.int64)
    plan_at, indices, new = words.ctypes.data, plan.groups * plan.batch, _plan.allocator(shape, dtype)
    work = plan.batch * plan.few * plan.extent * plan.k

    def product(a: Any, b: Any, initial: Any) -> Any:
        out = new(shape, dtype)
        d_id = 0 if initial is None else id(initial)
        if turned:
            a, b = b, a
        kernel(indices, plan_at, id(out), id(a), id(b), d_id, work=work)
        return out

    return _keeping(product, words, places)


def dot(a: Any, b: Any) -> Any:
    """Σ_k a[k]·b[k], summed in blocks."""
    dtype, k = a.dtype, a.shape[0]
    if not _plan.is_blocked(dtype):
        return matmul(a[None, :], b[:, None], (), None).reshape(())
    out = empty((), dtype)
    a, b = contiguous(a), contiguous(b)
    if k < 2 * _DOT_BLOCK:
        _dots(out, a, b, 1, k)
        return out
    blocks = k // _DOT_BLOCK
    sums, ones = empty(blocks + 1, dtype), full(blocks + 1, 1, dtype)
    _dots(sums, a, b, blocks, _DOT_BLOCK)
    done = blocks * _DOT_BLOCK
    _dots(sums[blocks:], a[done:], b[done:], 1, k - done)
    _dots(out, sums, ones, 1, blocks + 1)
    return out


def _dots(out: Any, a: Any, b: Any, rows: int, k: int) -> None:
    """out[i] = Σ a[i·k + p]·b[i·k + p] for p < k."""
    plan = _dots_plan(rows, k, a.itemsize)
    _vector.row_dots(a.dtype)(-(-rows // _vector.ROWS), plan.ctypes.data, id(out), id(b), id(a), 0, work=rows * k)


@functools.lru_cache(maxsize=256)
def _dots_plan(rows: int, k: int, itemsize: int) -> np.ndarray:
    groups, row = -(-rows // _vector.ROWS), k * itemsize
    return np.array(_vector.Thin(groups, 1, 1, rows, k, row, 0, itemsize, row, 0, itemsize, 0, 0, 0, 0), np.int64)
