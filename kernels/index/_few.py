"""Reading and writing few elements at listed places: one call that checks the indices and does the work.

For few elements it is Python that takes the time: turning indices into offsets, merging dimensions, an array of arguments here and there.  So
what is contiguous and small comes here, on one thread, with all that a kernel needs to know in one row of words, packed by ``struct``.  The
first word, zero, is where the kernel says that an index is out of range; then nothing has been written to an array that was there before, and
the long way finds out which index it is.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Sequence

import numpy as np

from .._cpu import array_from, compiled, inline, kernel, load, u
from .._cpu.intrinsics import address_of
from .._cpu.types import int64, signature
from ..copy._move import CARRIERS

# So many elements are few: no more than the caching allocator would leave to NumPy anyway.
FEW = 2048

# Read into the other array; write it, or add it.
GET, PUT, ADD = range(3)

# Where the bytes of a bytes object stand behind its head.
_BYTES = bytes.__basicsize__ - 1
_pack = [struct.Struct(f"={n}q").pack for n in range(32)]

_pack_one, _pack_two = _pack[13], _pack[17]

# The words.  ``step`` is 0 where the other array is a single value, else 1.
_BAD, _X, _OTHER, _STEP = range(4)
_COUNT, _ROW, _OUTER, _SLAB, _INDICES = range(4, 9)
_FIRST = 9  # then for each index: its array, the size of its dimension, the lowest index allowed, the stride of its dimension
_INDEX, _N, _INNER, _SIZE, _LINES = range(4, 9)
MOST_INDICES = 5


@inline
def _place(table, i):
    """The offset of place ``i``, or -1 where an index is out of range."""
    place = 0
    for j in range(table[_INDICES]):
        at = _FIRST + 4 * j
        index = load(address_of(table[u(at)]) + 8 * i, np.int64)
        size = table[u(at + 1)]
        if index < table[u(at + 2)] or index >= size:
            return -1
        place += (index + size if index < 0 else index) * table[u(at + 3)]
    return place


def _kernel(build: Any, how: int, x: np.ndarray) -> Any:
    """What ``build`` makes for elements like those of ``x``: to move them, only their size matters."""
    key = x.dtype.num if how == ADD else x.itemsize
    found = build.found[how].get(key)
    if found is None:
        found = build.found[how][key] = build(how, x.dtype if how == ADD else CARRIERS[x.itemsize])
    return found


def _rows(how: int, dtype: np.dtype) -> Any:
    item, kind = dtype.itemsize, dtype.type

    @kernel(source=f"index.few rows {how} {dtype}")
    def rows(lo, hi, words):
        table = array_from(words, _FIRST + 4 * MOST_INDICES, np.int64)
        count, row, step = table[_COUNT], table[_ROW], table[_STEP]
        if how != GET:
            for i in range(count):
                if _place(table, i) < 0:
                    table[_BAD] = 1
                    return
        for o in range(table[_OUTER]):
            for i in range(count):
                place = _place(table, i)
                if place < 0:
                    table[_BAD] = 1
                    return
                x = array_from(address_of(table[_X]) + (o * table[_SLAB] + place) * item, row, kind)
                other = array_from(address_of(table[_OTHER]) + (o * count + i) * row * step * item, row, kind)
                for k in range(row):
                    if how == GET:
                        other[u(k)] = x[u(k)]
                    elif how == PUT:
                        x[u(k)] = other[u(k * step)]
                    else:
                        x[u(k)] += other[u(k * step)]

    return compiled(rows, signature(int64))


_rows.found = {}, {}, {}  # type: ignore[attr-defined]


def rows(how: int, x: np.ndarray, other: np.ndarray, indices: Sequence[np.ndarray], dim: int, wrap: bool) -> bool:
    """``other[o, i, :] = x[o, place i, :]``, or the other way round, for all o of the dimensions of ``x`` before ``dim``, where ``indices``
    (int64, of one size) give places in the dimensions from ``dim`` on; False where one of them is out of range.

    All arrays are contiguous; ``other`` has the dtype of ``x``, or is one value that goes everywhere.
    """
    shape, index = x.shape, indices[0]
    count = index.size
    if dim == 0 and len(indices) == 1:
        size = shape[0]
        row = x.size // size
        step = 1 if other.size == count * row else 0
        packed = _pack_one(0, id(x), id(other), step, count, row, 1, 0, 1, id(index), size, -size if wrap else 0, row)
    elif dim == 0 and len(indices) == 2:
        size, inner = shape[0], shape[1]
        row = x.size // (size * inner)
        step = 1 if other.size == count * row else 0
        first = id(index), size, -size if wrap else 0, inner * row
        packed = _pack_two(0, id(x), id(other), step, count, row, 1, 0, 2, *first, id(indices[1]), inner, -inner if wrap else 0, row)
    else:
        end = dim + len(indices)
        stride = row = math.prod(shape[end:])
        words: list[int] = []
        for j in range(len(indices) - 1, -1, -1):
            size = shape[dim + j]
            words += id(indices[j]), size, -size if wrap else 0, stride
            stride *= size
        outer = math.prod(shape[:dim])
        step = 1 if other.size == outer * count * row else 0
        packed = _pack[_FIRST + len(words)](0, id(x), id(other), step, count, row, outer, stride, len(indices), *words)
    _kernel(_rows, how, x)(1, id(packed) + _BYTES)
    return packed[0] == 0


def _lines(how: int, dtype: np.dtype) -> Any:
    kind = dtype.type

    @kernel(source=f"index.few lines {how} {dtype}")
    def lines(lo, hi, words):
        table = array_from(words, _LINES + 1, np.int64)
        step, n, inner, size, outer = table[_STEP], table[_N], table[_INNER], table[_SIZE], table[_LINES]
        total = outer * n * inner
        index = array_from(address_of(table[_INDEX]), total, np.int64)
        outside = False
        for i in range(total):
            outside |= np.uint64(index[u(i)]) >= np.uint64(size)
        if outside:
            table[_BAD] = 1
            return
        x = array_from(address_of(table[_X]), outer * size * inner, kind)
        other = array_from(address_of(table[_OTHER]), total, kind)
        at = 0
        for o in range(outer):
            for _ in range(n):
                for r in range(inner):
                    place = (o * size + index[u(at)]) * inner + r
                    if how == GET:
                        other[u(at)] = x[u(place)]
                    elif how == PUT:
                        x[u(place)] = other[u(at * step)]
                    else:
                        x[u(place)] += other[u(at * step)]
                    at += 1

    return compiled(lines, signature(int64))


_lines.found = {}, {}, {}  # type: ignore[attr-defined]


def lines(how: int, x: np.ndarray, other: np.ndarray, index: np.ndarray, dim: int) -> bool:
    """``other[o, a, r] = x[o, index[o, a, r], r]``, or the other way round, along ``dim``; False where an index is out of range.

    All arrays are contiguous; ``other`` has the dtype of ``x`` and the shape of ``index``, or is one value that goes everywhere.
    """
    shape = x.shape
    if len(shape) == 2:
        outer, inner = (1, shape[1]) if dim == 0 else (shape[0], 1)
    else:
        outer, inner = math.prod(shape[:dim]), math.prod(shape[dim + 1 :])
    step = 1 if other.size == index.size else 0
    packed = _pack[9](0, id(x), id(other), step, id(index), index.shape[dim], inner, shape[dim], outer)
    _kernel(_lines, how, x)(1, id(packed) + _BYTES)
    return packed[0] == 0


@kernel
def _list_true(lo, hi, words):
    table = array_from(words, 4, np.int64)
    n = table[3]
    mask = array_from(address_of(table[1]), n, np.uint8)
    out = array_from(address_of(table[2]), n, np.int64)
    at = 0
    for i in range(n):
        out[u(at)] = i  # written for every element and kept for the true ones: no branch to mispredict
        at += np.int64(mask[u(i)])
    table[0] = at


_run_list_true = compiled(_list_true, signature(int64))
_first_word = struct.Struct("=q").unpack_from


def true_positions(mask: np.ndarray) -> np.ndarray:
    """The flat positions at which the contiguous ``mask`` is true."""
    out = np.empty(mask.size, np.int64)
    packed = _pack[4](0, id(mask), id(out), mask.size)
    _run_list_true(1, id(packed) + _BYTES)
    return out[: _first_word(packed)[0]]


_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)


def _plan(x: np.ndarray, indices: Sequence[Any]) -> tuple[np.ndarray, Sequence[np.ndarray], int, tuple[int, ...]] | None:
    """(x, indices, dim, shape of the result) as ``rows`` takes them; None for what has to go the long way."""
    dim = 0
    while indices[dim] is None:
        dim += 1
        if dim == len(indices):
            return None
    if dim:
        indices = indices[dim:]
    index, k, shape = indices[0], len(indices), x.shape
    if index is None or not x.flags.c_contiguous or not x.size or not 0 < index.size <= FEW:
        return None
    if index.dtype == _BOOL:
        end = dim + index.ndim
        if k > 1 or index.shape != shape[dim:end] or not index.flags.c_contiguous:
            return None
        positions = true_positions(index)
        if index.ndim > 1:
            x = x.reshape(shape[:dim] + (index.size,) + shape[end:])
        return x, (positions,), dim, shape[:dim] + positions.shape + shape[end:]
    if k == 1:
        if index.dtype != _INT64 or dim >= len(shape) or not index.flags.c_contiguous:
            return None
    else:
        for other in indices:
            if other is None or other.dtype != _INT64 or other.shape != index.shape or not other.flags.c_contiguous:
                return None
        if dim + k > len(shape) or k > MOST_INDICES:
            return None
    return x, indices, dim, shape[:dim] + index.shape + shape[dim + k :]


def _rows_of(x: np.ndarray, index: np.ndarray, wrap: bool) -> np.ndarray | None:
    """``get_few`` of the most frequent expression, one index for the first dimension, without a detour."""
    shape, n, total = x.shape, index.size, x.size
    if not n or not total or not shape or not x.flags.c_contiguous or not index.flags.c_contiguous:
        return None
    size = shape[0]
    row = total // size
    if n * row > FEW:
        return None
    out = np.empty(index.shape + shape[1:], x.dtype)
    packed = _pack_one(0, id(x), id(out), 1, n, row, 1, 0, 1, id(index), size, -size if wrap else 0, row)
    _kernel(_rows, GET, x)(1, id(packed) + _BYTES)
    return out if packed[0] == 0 else None


def get_few(x: np.ndarray, indices: Sequence[Any], wrap: bool) -> np.ndarray | None:
    """``x`` at ``indices``, as ``index_get`` takes them; None where they are not for this module, or one of them is out of range."""
    index = indices[0]
    if len(indices) == 1 and index is not None and index.dtype == _INT64:
        return _rows_of(x, index, wrap)
    plan = _plan(x, indices)
    if plan is None:
        return None
    x, indices, dim, shape = plan
    if math.prod(shape) > FEW:
        return None
    out = np.empty(shape, x.dtype)
    return out if out.size == 0 or rows(GET, x, out, indices, dim, wrap) else None


def _is_apart(x: np.ndarray, values: np.ndarray) -> bool:
    """Whether two arrays share no memory: most own theirs, and need not be looked at more closely."""
    if values.base is None and x.base is None:
        return values is not x
    return not np.may_share_memory(x, values)


def _adds(dtype: np.dtype) -> bool:
    """Whether numbers of ``dtype`` are added in it."""
    return dtype.kind in "iu" or (dtype.kind in "fc" and dtype.itemsize > 2)


def put_few(x: np.ndarray, indices: Sequence[Any], values: np.ndarray, add: bool, wrap: bool) -> bool:
    """Write ``values`` to, or add them to, ``x`` at ``indices``; False, with nothing done, where it is not for this module."""
    plan = _plan(x, indices)
    if plan is None or not values.flags.c_contiguous or (add and not _adds(x.dtype)) or values.dtype != x.dtype:
        return False
    target, indices, dim, shape = plan
    if (values.shape != shape and (values.size != 1 or values.ndim > len(shape))) or math.prod(shape) > FEW:
        return False
    if 0 in shape:
        return True
    if x.dtype == _INT64 and not all(_is_apart(x, index) for index in indices):  # what is written would change where to write
        return False
    return _is_apart(x, values) and rows(ADD if add else PUT, target, values, indices, dim, wrap)


def _fits(x: np.ndarray, dim: int, index: np.ndarray) -> bool:
    """Whether ``lines`` takes these."""
    here, there = index.shape, x.shape
    if len(here) != len(there) or not 0 < index.size <= FEW or not x.size or index.dtype != _INT64:
        return False
    if len(here) == 2:
        if here[1 - dim] != there[1 - dim]:
            return False
    elif here[:dim] != there[:dim] or here[dim + 1 :] != there[dim + 1 :]:
        return False
    return x.flags.c_contiguous and index.flags.c_contiguous


def gather_few(x: np.ndarray, dim: int, index: np.ndarray) -> np.ndarray | None:
    """``gather`` along ``dim`` (counted from the front); None where it is not for this module, or an index is out of range."""
    if not x.ndim or not _fits(x, dim, index):
        return None
    out = np.empty(index.shape, x.dtype)
    return out if lines(GET, x, out, index, dim) else None


def scatter_few(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, add: bool) -> bool:
    """``scatter_into``, or ``scatter_add_into``, of an array shaped as ``index`` or of one value; False, with nothing done, where it is not
    for this module."""
    if not x.ndim or not _fits(x, dim, index) or src.dtype != x.dtype or (src.shape != index.shape and src.ndim):
        return False
    if not src.flags.c_contiguous or (add and not _adds(x.dtype)) or not _is_apart(x, src):
        return False
    if x.dtype == _INT64 and not _is_apart(x, index):
        return False
    return lines(ADD if add else PUT, x, src, index, dim)
