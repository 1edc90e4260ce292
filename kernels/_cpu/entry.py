"""What a call on small arrays costs is Python, not arithmetic; here is the short way from Python into a compiled kernel.

An ``Entry`` is a table of kernels by the types of their operands, behind one function written in C's calling convention for Python
(METH_FASTCALL) but in Python, compiled by Numba like every kernel.  Called with operands, it looks at their types; finds the kernel;
sees that the arrays are contiguous and of one shape; allocates the results; runs the kernel.  All of that takes some 80 ns, about what one
attribute of an array takes Python to look at, and a microsecond more where a result is big enough to come from the caching allocator.  What
has so many elements that the work should be split it hands to a Python function that goes with the kernel, anything else (an unknown type, a
broadcast) to ``general``, another.

What ``a + b`` on tensors of ten elements costs, in nanoseconds on a 2.6 GHz Zen 4, each part measured by leaving it out or calling it alone:
Python's operator and the frame of ``__add__`` 110, the entry 160 (65 of them for boxes, 60 for the result's memory, 10 for the kernel), which
makes 270.  Recorded for autograd, 1250: these 270, the call back into Python and its frame 150, the look at each operand 200, whether recording
is on 55, how gradients flow back 30, the result's shape and dtype 235, the node 290, its link to the result 20.  The general way, as for a
transposed operand, 3500: the operator, its frame and the entry's finding that this is not for it 240, the arrays out of the tensors 180, a key
of dtypes, shapes and strides and the plan that is kept by it 150, the result's memory 700, packing the arguments and Numba's own entry point
1200, the box 130, the look at each operand and at recording 340, the frames of the functions between and what they check 560.

Arrays may come boxed: inside objects of a class that has them in a slot, such as a tensor.  Then the results are boxed as well, and where
an operand is ``marked`` (one of some other slots is not as in a new object: a tensor in a graph), ``marked(result, *operands)`` is called
for the last word.

An entry may work in place: the first operand's array is the result.  Then a call with a marked operand goes to ``general``, and any other ends
with ``marked(*operands)``.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from . import capi
from .capi import (
    DATA,
    DESCR,
    DIMENSIONS,
    FLAGS,
    NDIM,
    PLAIN,
    TYPE,
    WRITEABLE,
    call_empty,
    call_kernel,
    call_new,
    call_no_arguments,
    call_object,
    call_pack,
    call_set_item,
    call_to_double,
    call_to_integer,
    call_vector,
    half_word,
    scratch,
    set_single,
    set_word,
    word,
)
from .jit import address, inline, kernel
from .memory import POOLED_BYTES, empty
from .types import int64

SUPPORTED = capi.SUPPORTED
MOST_OPERANDS = 4
MOST_RESULTS = 4

# The table, in words: constants, then a head, then rows.
_CONSTANTS = (
    "ARRAY", "NONE", "ZERO", "NOTHING", "EMPTY", "TO_DOUBLE", "TO_INTEGER", "ERROR", "CLEAR", "HOLD", "DROP", "VECTOR", "NEW", "TUPLE", "SET_ITEM",
)  # fmt: skip
_ARRAY, _NONE, _ZERO, _NOTHING, _EMPTY, _TO_DOUBLE, _TO_INTEGER, _ERROR, _CLEAR, _HOLD, _DROP, _VECTOR, _NEW, _TUPLE, _SET_ITEM = range(
    0, 120, 8
)
_ROWS, _INS, _OUTS, _GENERAL, _MARKED, _BOX, _BOX_TOO, _INSIDE, _MARKS, _SLOTS, _IN_PLACE, _ALLOCATE = range(120, 216, 8)
_SLOT = 216  # up to seven pairs: the offset of a slot, what it holds in a new object; those that are marks come first
_FIRST_ROW = 384
_ROW = 168  # bytes; within a row:
_KERNEL, _LARGEST, _KEYS, _AS, _RESULTS, _LARGE, _PLAIN_LARGEST, _SIZES, _LARGE_ARRAY = 0, 8, 16, 48, 80, 112, 120, 128, 160
_ROOM = 32  # rows; calls of further types take the general way

# How a Python number is passed to a kernel.
NOT_A_NUMBER, SINGLE, DOUBLE, INTEGER = range(4)


class Box(NamedTuple):
    """A class whose objects hold an array in slot ``inside``."""

    cls: type
    inside: str
    new: dict[str, Any]  # the other slots, and what they hold in a new object
    marks: tuple[str, ...] = ()  # those in which anything else is a mark
    too: type | None = None  # a subclass whose objects are taken as well


def _slot_offset(cls: type, name: str) -> int:
    """Where in an object of ``cls`` the slot ``name`` stands."""
    probe: Any = object.__new__(cls)
    value = object()
    setattr(probe, name, value)
    for offset in range(capi.HEAD, cls.__basicsize__, 8):
        if ctypes.c_size_t.from_address(id(probe) + offset).value == id(value):
            return offset
    raise TypeError(f"{cls.__name__}.{name} is not a slot")


# In the functions below a number is an address, an object's or a table's.


@inline
def _same_shape(a: int, b: int) -> bool:
    ndim = half_word(a, NDIM)
    if half_word(b, NDIM) != ndim:
        return False
    here, there = word(a, DIMENSIONS), word(b, DIMENSIONS)
    for k in range(ndim):  # noqa: SIM110  (Numba compiles no generators)
        if word(here, 8 * k) != word(there, 8 * k):
            return False
    return True


@inline
def _size(a: int) -> int:
    n, dimensions = 1, word(a, DIMENSIONS)
    for k in range(half_word(a, NDIM)):
        n *= word(dimensions, 8 * k)
    return n


@inline
def _marked(table: int, box: int) -> bool:
    for k in range(word(table, _MARKS)):  # noqa: SIM110
        if word(box, word(table, _SLOT + 16 * k)) != word(table, _SLOT + 16 * k + 8):
            return True
    return False


@inline
def _row(table: int, keys: int, ins: int) -> int:
    """The address of the row for operands of these types, or 0."""
    for r in range(word(table, _ROWS)):
        row = table + _FIRST_ROW + _ROW * r
        same = True
        for k in range(ins):
            if word(row, _KEYS + 8 * k) != word(keys, 8 * k):
                same = False
                break
        if same:
            return row
    return 0


@inline
def _convert(table: int, row: int, words: int, ins: int) -> bool:
    """Put Python numbers into ``words`` in the form that the kernel takes; False for one that cannot be."""
    for k in range(ins):
        form = word(row, _AS + 8 * k)
        if form == INTEGER:
            whole = call_to_integer(word(table, _TO_INTEGER), word(words, 8 * k))
            if whole == -1 and call_no_arguments(word(table, _ERROR)) != 0:
                call_no_arguments(word(table, _CLEAR))
                return False
            set_word(words, 8 * k, whole)
        elif form != NOT_A_NUMBER:
            value = call_to_double(word(table, _TO_DOUBLE), word(words, 8 * k))
            if value == -1.0 and call_no_arguments(word(table, _ERROR)) != 0:
                call_no_arguments(word(table, _CLEAR))
                return False
            if form == SINGLE:
                set_single(words, 8 * k, value)
            else:
                set_word(words, 8 * k, value)
    return True


@inline
def _boxed(table: int, array: int) -> int:
    """A new box around ``array``, which it takes over; 0 with an exception set on failure."""
    cls = word(table, _BOX)
    box = call_new(word(table, _NEW), cls, word(table, _NOTHING), 0)
    if box == 0:
        call_object(word(table, _DROP), array)
        return 0
    set_word(box, word(table, _INSIDE), array)
    for k in range(word(table, _SLOTS)):
        value = word(table, _SLOT + 16 * k + 8)
        call_object(word(table, _HOLD), value)
        set_word(box, word(table, _SLOT + 16 * k), value)
    return box


@inline
def _collect(table: int, arrays: int, outs: int, boxing: bool) -> int:
    """The result of a call: the only array, or a tuple of them, boxed if the operands were.  0 with an exception set on failure."""
    if outs == 1:
        return _boxed(table, word(arrays, 0)) if boxing else word(arrays, 0)
    found = call_pack(word(table, _TUPLE), outs)
    for k in range(outs):
        array = word(arrays, 8 * k)
        one = _boxed(table, array) if boxing else array
        if one == 0 or found == 0:
            if one != 0:
                call_object(word(table, _DROP), one)
            if found != 0:
                call_object(word(table, _DROP), found)
            found = 0
        else:
            call_set_item(word(table, _SET_ITEM), found, k, one)
    return found


@inline
def _apart(row: int, words: int, ins: int, n: int) -> bool:
    """Whether the array in the first of ``words`` is writable, and lies apart from the other operands or is the very same elements."""
    target = word(words, 0)
    if half_word(target, FLAGS) & WRITEABLE == 0:
        return False
    start, end = word(target, DATA), word(target, DATA) + n * word(row, _SIZES)
    for k in range(1, ins):
        x = word(words, 8 * k)
        if word(x, TYPE) == word(target, TYPE):  # no number
            first, last = word(x, DATA), word(x, DATA) + n * word(row, _SIZES + 8 * k)
            if first != start and first < end and start < last:
                return False
    return True


@inline
def _new_array(table: int, row: int, lead: int, k: int, n: int) -> int:
    """A new array for result ``k``, shaped as ``lead``; 0 with an exception set on failure."""
    descr = word(row, _RESULTS + 8 * k)
    if n <= word(row, _PLAIN_LARGEST):
        call_object(word(table, _HOLD), descr)  # the array takes a reference over
        return call_empty(word(table, _EMPTY), half_word(lead, NDIM), word(lead, DIMENSIONS), descr, 0)
    arguments = scratch(2)
    set_word(arguments, 0, lead)
    set_word(arguments, 8, descr)
    return call_vector(word(table, _VECTOR), word(table, _ALLOCATE), arguments, 2, 0)


@inline
def _refer(table: int, row: int, words: int, ins: int, how: int) -> None:
    """Take (``how`` is _HOLD) or give back (_DROP) a reference to each operand's array in ``words``."""
    for k in range(ins):
        if word(row, _AS + 8 * k) == NOT_A_NUMBER:
            call_object(word(table, how), word(words, 8 * k))


@inline
def _allocated(table: int, row: int, lead: int, words: int, n: int, outs: int) -> bool:
    """New arrays for the results, shaped as ``lead``, in front of ``words``.  False with an exception set when memory is out."""
    for k in range(outs):
        array = _new_array(table, row, lead, k, n)
        if array == 0:
            for j in range(k):
                call_object(word(table, _DROP), word(words, 8 * j))
            return False
        set_word(words, 8 * k, array)
    return True


@inline
def _compute(table: int, row: int, lead: int, words: int, n: int, outs: int) -> bool:
    """Allocate the results, shaped as ``lead``, in front of ``words`` (in place, the first operand is the result), and run the kernel.

    False with an exception set when memory is out.
    """
    if word(table, _IN_PLACE) != 0:
        set_word(words, 0, word(words, 8))
        call_kernel(word(row, _KERNEL), 0, n, words)
        return True
    # The operands hold their arrays, but a big result is allocated in Python, where another thread may give them others.
    ins, python = word(table, _INS), n > word(row, _PLAIN_LARGEST)
    if python:
        _refer(table, row, words + 8 * outs, ins, _HOLD)
    done = _allocated(table, row, lead, words, n, outs)
    if done:
        call_kernel(word(row, _KERNEL), 0, n, words)
    if python:
        _refer(table, row, words + 8 * outs, ins, _DROP)
    return done


def _dispatch(self: int, operands: int, count: int) -> int:
    """``PyObject *dispatch(PyObject *table, PyObject *const *operands, Py_ssize_t count)``"""
    table = word(self, DATA)
    ins, outs = word(table, _INS), word(table, _OUTS)
    words, keys = scratch(8), scratch(4)
    lead, marked, boxing, fits = np.int64(0), False, False, count == ins
    if fits:
        for k in range(ins):
            x = word(operands, 8 * k)
            kind = word(x, TYPE)
            if kind == word(table, _BOX) or kind == word(table, _BOX_TOO):
                boxing = True
                marked = marked or _marked(table, x)
                x = word(x, word(table, _INSIDE))
                if x == 0:
                    fits = False
                    break
                kind = word(x, TYPE)
            if kind == word(table, _ARRAY):
                kind = word(x, DESCR)
                if half_word(x, FLAGS) & PLAIN != PLAIN or (lead != 0 and not _same_shape(x, lead)):
                    fits = False
                    break
                lead = x
            set_word(keys, 8 * k, kind)
            set_word(words, 8 * (outs + k), x)
    in_place = word(table, _IN_PLACE) != 0
    if fits and lead != 0 and not (in_place and marked):
        row, n = _row(table, keys, ins), _size(lead)
        fits = row != 0 and n > 0 and (not in_place or _apart(row, words + 8 * outs, ins, n))
        if fits and n > word(row, _LARGEST) and boxing and not marked and word(row, _LARGE_ARRAY) != 0:
            array = call_vector(word(table, _VECTOR), word(row, _LARGE_ARRAY), words + 8 * outs, count, 0)
            return _boxed(table, array) if array != 0 else 0
        if fits and n > word(row, _LARGEST):
            return call_vector(word(table, _VECTOR), word(row, _LARGE), operands, count, 0)
        if fits and _convert(table, row, words + 8 * outs, ins):
            if not _compute(table, row, lead, words, n, outs):
                return 0
            if in_place:
                return call_vector(word(table, _VECTOR), word(table, _MARKED), operands, count, 0)
            result = _collect(table, words, outs, boxing)
            if not marked or result == 0:
                return result
            set_word(words, 0, result)
            for k in range(ins):
                set_word(words, 8 * (k + 1), word(operands, 8 * k))
            last = call_vector(word(table, _VECTOR), word(table, _MARKED), words, ins + 1, 0)
            call_object(word(table, _DROP), result)
            return last
    return call_vector(word(table, _VECTOR), word(table, _GENERAL), operands, count, 0)


def _constants() -> list[int]:
    named = (
        "PyFloat_AsDouble", "PyLong_AsLongLong", "PyErr_Occurred", "PyErr_Clear", "Py_IncRef", "Py_DecRef", "PyObject_Vectorcall",
    )  # fmt: skip
    to_double, to_integer, error, clear, hold, drop, vector = map(capi.function_address, named)
    tuple_new, set_item = map(capi.function_address, ("PyTuple_New", "PyTuple_SetItem"))
    empty, new = capi.numpy_empty_address(), capi.new_address(object)
    return [
        id(np.ndarray),
        id(None),
        id(0),
        id(()),
        empty,
        to_double,
        to_integer,
        error,
        clear,
        hold,
        drop,
        vector,
        new,
        tuple_new,
        set_item,
    ]


def _allocate(like: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return empty(like.shape, dtype)


class _Table(np.ndarray):
    """The words of a table, and the objects they point at."""

    keeps: list[Any]


class Entry:
    """A table of kernels and its ``call``: a function of ``ins`` operands with ``outs`` results; see the module's head."""

    def __init__(
        self, name: str, ins: int, outs: int, general: Callable[..., Any], marked: Callable[..., Any], box: Box, in_place: bool = False
    ):
        if len(box.new) > 7:
            raise ValueError(f"{name}: a box may have up to seven slots beside its array, but has {len(box.new)}")
        self.table = np.zeros((_FIRST_ROW + _ROOM * _ROW) // 8, np.int64).view(_Table)
        self.table.keeps = [general, marked, box]
        self.table[: len(_CONSTANTS)] = _constants()
        head = {
            _INS: ins, _OUTS: outs, _GENERAL: id(general), _MARKED: id(marked), _BOX: id(box.cls), _BOX_TOO: id(box.too or box.cls),
            _INSIDE: _slot_offset(box.cls, box.inside), _MARKS: len(box.marks), _SLOTS: len(box.new), _IN_PLACE: in_place,
            _ALLOCATE: id(_allocate),
        }  # fmt: skip
        for at, value in head.items():
            self.table[at // 8] = value
        for k, slot in enumerate(sorted(box.new, key=lambda slot: slot not in box.marks)):
            self.table[_SLOT // 8 + 2 * k : _SLOT // 8 + 2 * k + 2] = _slot_offset(box.cls, slot), id(box.new[slot])
        self._known: set[tuple[Any, ...]] = set()
        self.call = capi.builtin(name, address(_compiled_dispatch, (int64, int64, int64)), self.table)

    def leave_to(self, general: Callable[..., Any]) -> None:
        """Let ``call`` leave to ``general`` what is not plain, from now on."""
        self.table.keeps.append(general)
        self.table[_GENERAL // 8] = id(general)

    def add(
        self,
        keys: Sequence[Any],
        numbers: Sequence[int],
        results: Sequence[np.dtype],
        kernel_address: int,
        largest: int,
        large: Callable[..., Any],
        large_array: Callable[..., Any] | None = None,
    ) -> None:
        """Let ``call`` run the kernel at ``kernel_address`` on up to ``largest`` elements of operands of these types, and ``large(*operands)``,
        which need look at nothing again, on more.  If given, ``large_array`` takes arrays and numbers and returns an array, in place of
        ``large`` where that is only to be boxed.

        ``keys``: per operand its dtype, or the class of a Python number; ``numbers``: the form the number is passed in; ``results``: dtypes.
        The kernel is ``void f(lo, hi, words)``, where ``words`` is the address of one word per result and operand: an array, or a number.
        """
        count = int(self.table[_ROWS // 8])
        if count == _ROOM or tuple(keys) in self._known:
            return
        self._known.add(tuple(keys))
        at = (_FIRST_ROW + _ROW * count) // 8
        self.table[at], self.table[at + 1] = kernel_address, largest
        self.table[at + _PLAIN_LARGEST // 8] = (POOLED_BYTES - 1) // max(dtype.itemsize for dtype in results)
        for k, (key, form) in enumerate(zip(keys, numbers)):
            self.table[at + _KEYS // 8 + k], self.table[at + _AS // 8 + k] = id(key), form
            self.table[at + _SIZES // 8 + k] = key.itemsize if isinstance(key, np.dtype) else 0
        for k, dtype in enumerate(results):
            self.table[at + _RESULTS // 8 + k] = id(dtype)
        self.table[at + _LARGE // 8] = id(large)
        self.table[at + _LARGE_ARRAY // 8] = 0 if large_array is None else id(large_array)
        self.table.keeps.append((tuple(keys), tuple(results), large, large_array))
        self.table[_ROWS // 8] = count + 1


_compiled_dispatch = kernel(_dispatch)
