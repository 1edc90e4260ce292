"""The short way into reductions of small arrays: a compiled function that does all between a tensor and its sum.

What ``kernels._cpu.entry`` is to elementwise operations this is to reductions of contiguous arrays over all dims or one: called with (x, dim,
keepdim), it looks at the type of x, finds the kernels, works out the sizes, allocates the result and runs one or two passes on the calling
thread, with what stands between them on the stack.  That takes 0.2 microseconds; the general way took 4, nearly all of it Python's.
Contiguous arrays of many elements it hands to ``large``, a Python function of arrays that may split the work.  Whatever else (an operand in
a graph, a tuple of dims, strides, an unknown type, an error) goes to ``general``.

The sizes and blocks are those of the general way, and so is every bit of the result.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .._cpu import capi, entry
from .._cpu.capi import (
    DATA,
    DESCR,
    DIMENSIONS,
    FLAGS,
    NDIM,
    PLAIN,
    TYPE,
    call_empty,
    call_kernel,
    call_no_arguments,
    call_object,
    call_to_integer,
    call_vector,
    half_word,
    scratch,
    set_single,
    set_word,
    word,
)
from .._cpu.jit import address, inline, kernel
from .._cpu.memory import POOLED_BYTES
from .._cpu.threads import PARALLEL_WORK
from .._cpu.types import int64
from ._fold import ROW_BLOCK, SHORT, TILE, blocking
from ._quick import BOTH, INDICES, VALUES

# The table is an entry's, whose boxes are made the same way, with these words more in its head, of which one says where the rows are.
_TRUE, _FALSE, _LONG, _WANTED, _HERE, _LARGE = range(328, 376, 8)
_HEAD = 384
# A row is for one type of x.  Its words, of bytes:
_ROW = 112
_DTYPE, _RESULT, _SIZE, _FIRST, _SECOND, _DIVIDE, _FOUND_IN_ROWS, _FOUND_IN_COLUMNS, _INDEX = 0, 8, 16, 24, 48, 72, 80, 88, 96
_ROOM = 16
_UNKNOWN = 1  # in place of the address of a kernel that there is, but that nobody has asked for yet
# Bytes on the stack for what the first pass leaves to the second, and for the values where only indices are wanted.
_SPACE = 16384  # the size of ``space`` in ``_reduce``
_MOST_DIMS = 16  # the size of ``shape`` there


@inline
def _fake(head: int, data: int) -> int:
    """What a kernel takes for an array: an object of which it reads the data pointer."""
    set_word(head, DATA, data)
    return head


@inline
def _geometry(x: int, first: int, last: int, sizes: int) -> int:
    """Write (outer, n, inner) of a reduction over the dims from ``first`` up to ``last``; the number of elements."""
    outer, n, inner = 1, 1, 1
    shape = word(x, DIMENSIONS)
    for k in range(half_word(x, NDIM)):
        size = word(shape, 8 * k)
        if k < first:
            outer *= size
        elif k < last:
            n *= size
        else:
            inner *= size
    set_word(sizes, 0, outer)
    set_word(sizes, 8, n)
    set_word(sizes, 16, inner)
    return outer * n * inner


@inline
def _plan_pass(kernels: int, outer: int, n: int, inner: int, words: int, launch: int) -> int:
    """Write the kernel's words from the third on, and (its address, its tasks) to ``launch``.  The number of parts that the pass makes of n.

    ``kernels``: where the addresses of the three kinds of kernel stand (see ``cpu._kernel_for``); without the second, the third does its work.
    """
    set_word(words, 24, n)
    if inner == 1 and n <= SHORT:
        set_word(launch, 0, word(kernels, 0))
        set_word(launch, 8, outer)
        return 1
    if inner == 1 and word(kernels, 8) != 0:
        parts = (n + ROW_BLOCK - 1) // ROW_BLOCK
        set_word(words, 32, parts)
        set_word(launch, 0, word(kernels, 8) if word(kernels, 8) != _UNKNOWN else 0)
        set_word(launch, 8, outer * parts)
        return parts
    fold, rows, parts, tile, tiles = blocking(n, inner)
    set_word(words, 32, inner)
    set_word(words, 40, fold)
    set_word(words, 48, rows)
    set_word(words, 56, parts)
    set_word(words, 64, tile)
    set_word(words, 72, tiles)
    set_word(launch, 0, word(kernels, 16))
    set_word(launch, 8, outer * parts * tiles)
    return parts


@inline
def _find(row: int, x: int, values: int, index: int, outer: int, n: int, inner: int, words: int) -> None:
    """Run the kernel that writes to ``index`` where in ``x`` the ``values`` are."""
    set_word(words, 0, index)
    set_word(words, 8, x)
    set_word(words, 16, values)
    set_word(words, 24, n)
    if inner == 1:
        call_kernel(word(row, _FOUND_IN_ROWS), 0, outer, words)
    else:
        tile = min(inner, TILE)
        tiles = (inner + tile - 1) // tile
        set_word(words, 32, inner)
        set_word(words, 40, tile)
        set_word(words, 48, tiles)
        call_kernel(word(row, _FOUND_IN_COLUMNS), 0, outer * tiles, words)


@inline
def _new(table: int, descr: int, ndim: int, shape: int) -> int:
    """A new array; 0 with an exception set on failure."""
    call_object(word(table, entry._HOLD), descr)  # the array takes a reference over
    return call_empty(word(table, entry._EMPTY), ndim, shape, descr, 0)


@inline
def _result_shape(x: int, first: int, last: int, keep: bool, shape: int) -> int:
    """Write the shape of the result; how many dims it has."""
    ndim = 0
    for k in range(half_word(x, NDIM)):
        if k < first or k >= last:
            set_word(shape, 8 * ndim, word(word(x, DIMENSIONS), 8 * k))
            ndim += 1
        elif keep:
            set_word(shape, 8 * ndim, 1)
            ndim += 1
    return ndim


@inline
def _dims(table: int, dim: int, ndim: int, range_: int) -> bool:
    """Write the first and the last (exclusive) dim that ``dim`` stands for; False where it is no plain int in range."""
    set_word(range_, 0, 0)
    set_word(range_, 8, ndim)
    if dim == word(table, entry._NONE):
        return True
    if word(dim, TYPE) != word(table, _LONG) or ndim == 0:
        return False
    value = call_to_integer(word(table, entry._TO_INTEGER), dim)
    if value == -1 and call_no_arguments(word(table, entry._ERROR)) != 0:
        call_no_arguments(word(table, entry._CLEAR))
        return False
    value = value + ndim if value < 0 else value
    set_word(range_, 0, value)
    set_word(range_, 8, value + 1)
    return 0 <= value < ndim


@inline
def _row_of(table: int, descr: int) -> int:
    rows = word(table, _HERE)
    for r in range(word(rows, 0)):
        row = rows + 8 + _ROW * r
        if word(row, _DTYPE) == descr:
            return row
    return 0


def _reduce(self: int, operands: int, count: int) -> int:
    """``PyObject *reduce(PyObject *table, PyObject *const *operands, Py_ssize_t count)``"""
    table = word(self, DATA)
    sizes, words, shape, launch, again = scratch(3), scratch(10), scratch(16), scratch(2), scratch(2)
    arrays, head, other, space = scratch(3), scratch(3), scratch(3), scratch(2048)
    boxing, fits = word(table, entry._BOX) != 0, count == 3
    if fits:
        x, keep = word(operands, 0), word(operands, 16)
        kind = word(x, TYPE)
        if boxing:
            fits = (kind == word(table, entry._BOX) or kind == word(table, entry._BOX_TOO)) and not entry._marked(table, x)
            x = word(x, word(table, entry._INSIDE)) if fits else x
            fits = fits and x != 0
        fits = fits and word(x, TYPE) == word(table, entry._ARRAY) and (keep == word(table, _TRUE) or keep == word(table, _FALSE))
        fits = fits and half_word(x, FLAGS) & PLAIN == PLAIN and half_word(x, NDIM) <= _MOST_DIMS
        if fits and _dims(table, word(operands, 8), half_word(x, NDIM), sizes):
            first, last = word(sizes, 0), word(sizes, 8)
            size = _geometry(x, first, last, sizes)
            outer, n, inner = word(sizes, 0), word(sizes, 8), word(sizes, 16)
            row = _row_of(table, word(x, DESCR))
            wanted = word(table, _WANTED)
            if size >= PARALLEL_WORK and wanted == VALUES:
                set_word(arrays, 0, x)
                set_word(arrays, 8, word(operands, 8))
                set_word(arrays, 16, keep)
                found = call_vector(word(table, entry._VECTOR), word(table, _LARGE), arrays, 3, 0)
                if found == 0 or not boxing:
                    return found
                return entry._boxed(table, found)
            most = POOLED_BYTES if wanted == VALUES else _SPACE
            if row != 0 and 0 < size < PARALLEL_WORK and outer * inner * 16 <= most:
                itemsize = word(row, _SIZE)
                set_word(words, 16, 0)
                parts = _plan_pass(row + _FIRST, outer, n, inner, words, launch)
                fits = word(launch, 0) != 0 and outer * parts * inner * itemsize <= _SPACE // 2
                if fits and wanted != VALUES:
                    fits = word(row, _FOUND_IN_ROWS if inner == 1 else _FOUND_IN_COLUMNS) != 0
                if fits and parts > 1:  # can the second pass be the last?
                    others = scratch(10)
                    fits = _plan_pass(row + _SECOND, outer, parts, inner, others, again) == 1 and word(again, 0) != 0
                if fits:
                    ndim = _result_shape(x, first, last, keep == word(table, _TRUE), shape)
                    if wanted == INDICES:
                        values = _fake(other, space + _SPACE // 2)
                    else:
                        values = _new(table, word(row, _RESULT), ndim, shape)
                        if values == 0:
                            return 0
                    set_word(words, 8, x)
                    if parts == 1:
                        set_word(words, 0, values)
                        call_kernel(word(launch, 0), 0, word(launch, 8), words)
                    else:
                        set_word(words, 0, _fake(head, space))
                        call_kernel(word(launch, 0), 0, word(launch, 8), words)
                        _plan_pass(row + _SECOND, outer, parts, inner, words, again)
                        set_word(words, 0, values)
                        set_word(words, 8, head)
                        call_kernel(word(again, 0), 0, word(again, 8), words)
                    if word(row, _DIVIDE) != 0:
                        set_word(words, 0, values)
                        set_word(words, 8, values)
                        if itemsize == 4:
                            set_single(words, 16, float(n))
                        else:
                            set_word(words, 16, float(n))
                        call_kernel(word(row, _DIVIDE), 0, outer * inner, words)
                    if wanted == VALUES:
                        set_word(arrays, 0, values)
                        return entry._collect(table, arrays, 1, boxing)
                    index = _new(table, word(row, _INDEX), ndim, shape)
                    if index == 0:
                        if wanted == BOTH:
                            call_object(word(table, entry._DROP), values)
                        return 0
                    _find(row, x, values, index, outer, n, inner, words)
                    if wanted == INDICES:
                        set_word(arrays, 0, index)
                        return entry._collect(table, arrays, 1, boxing)
                    set_word(arrays, 0, values)
                    set_word(arrays, 8, index)
                    return entry._collect(table, arrays, 2, boxing)
    return call_vector(word(table, entry._VECTOR), word(table, entry._GENERAL), operands, count, 0)


_compiled_reduce = kernel(_reduce)


class Rows:
    """The kernels of one reduction, by the type of x; for one or several tables."""

    def __init__(self) -> None:
        self.words = np.zeros(1 + _ROOM * _ROW // 8, np.int64)
        self.keeps: list[Any] = []
        self._known: dict[np.dtype, int] = {}

    def row(self, dtype: np.dtype, result: np.dtype, partial: np.dtype, by_rows: tuple[bool, bool]) -> int | None:
        """Where the row of ``dtype`` begins, a new one if need be; None where there is no room.  ``partial``: the type that is reduced in.
        ``by_rows``: whether the first and the second pass have a kernel of the second kind, which is left to none of the third until it is known.
        """
        at = self._known.get(dtype)
        if at is None:
            count = int(self.words[0])
            if count == _ROOM:
                return None
            at = self._known[dtype] = 1 + count * _ROW // 8
            index = np.dtype(np.int64)
            self.keeps.append((dtype, result, index))
            for offset, value in {_DTYPE: id(dtype), _RESULT: id(result), _SIZE: partial.itemsize, _INDEX: id(index)}.items():
                self.words[at + offset // 8] = value
            for offset, has_one in zip((_FIRST, _SECOND), by_rows):
                self.words[at + offset // 8 + 1] = _UNKNOWN if has_one else 0
            self.words[0] = count + 1
        return at

    def _set(self, at: int, offset: int, function: Any) -> None:
        if self.words[at + offset // 8] in (0, _UNKNOWN):
            self.keeps.append(function)
            self.words[at + offset // 8] = address(function, (int64, int64, int64))

    def first(self, at: int, which: int, function: Any) -> None:
        """The kernel of a first pass, and of which kind it is."""
        self._set(at, _FIRST + 8 * which, function)

    def second(self, at: int, which: int, function: Any) -> None:
        self._set(at, _SECOND + 8 * which, function)

    def divide(self, at: int, function: Any) -> None:
        """The kernel that divides the result by the number of elements."""
        self._set(at, _DIVIDE, function)

    def find(self, at: int, in_rows: bool, function: Any) -> None:
        """The kernel that finds where the values are."""
        self._set(at, _FOUND_IN_ROWS if in_rows else _FOUND_IN_COLUMNS, function)


class _Table(np.ndarray):
    """The words of a table, and the objects they point at."""

    keeps: tuple[Any, ...]


def builtin(
    name: str, wanted: int, rows: Rows, general: Callable[..., Any], large: Callable[..., Any], box: entry.Box | None
) -> Callable[..., Any]:
    """The short way, as a Python function (x, dim, keepdim) of arrays, or of boxes."""
    table = np.zeros(_HEAD // 8, np.int64).view(_Table)
    table.keeps = (rows, general, large, box)
    constants = entry._constants()
    table[: len(constants)] = constants
    head = {
        entry._GENERAL: id(general), _TRUE: id(True), _FALSE: id(False), _LONG: id(int), _WANTED: wanted, _HERE: rows.words.ctypes.data,
        _LARGE: id(large),
    }  # fmt: skip
    if box is not None:
        head |= {
            entry._BOX: id(box.cls), entry._BOX_TOO: id(box.too or box.cls), entry._INSIDE: entry._slot_offset(box.cls, box.inside),
            entry._MARKS: len(box.marks), entry._SLOTS: len(box.new),
        }  # fmt: skip
        for k, slot in enumerate(sorted(box.new, key=lambda slot: slot not in box.marks)):
            head |= {entry._SLOT + 16 * k: entry._slot_offset(box.cls, slot), entry._SLOT + 16 * k + 8: id(box.new[slot])}
    for at, value in head.items():
        table[at // 8] = value
    return capi.builtin(name, address(_compiled_reduce, (int64, int64, int64)), table)
