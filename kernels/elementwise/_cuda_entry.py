"""The short way into elementwise kernels on CUDA: a compiled function that does all between tensors and the driver.

What ``kernels._cpu.entry`` is to arrays of the host this is to those of a GPU.  Called with operands it looks at them; finds the row for their forms;
makes the results; writes their addresses, and whatever numbers were passed, where the row's launch has them; and calls the driver.  That takes half
a microsecond, where the general way, all in Python, takes seven.

A row is what one call by the general way has shown: for these forms (shape, strides and dtype) and classes of numbers, on this stream, that kernel in
that grid, with results of those forms.  Nothing of it can come to be wrong, since whatever it depends on is what it is found by, and kept by it.  An
``Entry`` keeps the rows used last, some hundred of them.

What is not plain goes to ``general``: a call that there is no row for, addresses that are not aligned, arrays of another device, memory that has to be
asked of the driver, anybody who observes launches, autocast.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from .._cpu import capi
from .._cpu.capi import (
    DATA,
    TYPE,
    call_get,
    call_no_arguments,
    call_object,
    call_pack,
    call_set_item,
    call_to_double,
    call_to_integer,
    call_vector,
    scratch,
    set_single,
    set_word,
    word,
)
from .._cpu.entry import INTEGER, NOT_A_NUMBER, SINGLE, _slot_offset
from .._cpu.jit import inline
from .._cuda import array, driver, objects
from .._cuda.array import CudaArray
from .._cuda.launch import call_driver, observers
from .._cuda.objects import CLEAR, DROP, FROM_INTEGER, HOLD, NEW, NOTHING, SIZE, TO_INTEGER, VECTOR, current_desk, number_in, slot
from ._declare import Caller

SUPPORTED = objects.SUPPORTED and not driver.SIMULATED
MOST_OPERANDS, MOST_RESULTS, MOST_ARGUMENTS = 6, 4, 48

# The table is that of ``objects``, with these words more.
TO_DOUBLE, ERROR, GET_ITEM, TUPLE, SET_ITEM, ROWS, INS, OUTS, IN_PLACE, GENERAL, MARKED, OBSERVERS, LAUNCHED, ASIDE, ASIDE_NAME, FALSE = (
    range(objects.END, objects.END + 128, 8)
)
BOX, BOX_TOO, INSIDE, MARKS, SLOTS = range(objects.END + 128, objects.END + 168, 8)
SLOT = objects.END + 168  # up to seven pairs: the offset of a slot, what it holds in a new object; those that are marks come first
FIRST = SLOT + 112  # the rows, in sets of so many, the one added last at the head of its set
_WAYS, _SETS = 4, 64
_SIZE = FIRST + 8 * _WAYS * _SETS

# The words of a row, an array of its own: by what it is found (the address of each operand's form or class, and of the desk), then
# how operands are passed, the bits of addresses that have to be zero, the forms of results, and the launch, packed.
KEYS, DESK, COUNT, KERNEL, REFUSED, AS, MASKS, RESULTS, LAUNCH = 0, 48, 56, 64, 72, 80, 128, 176, 208
_ARGUMENTS = 56  # in the launch, behind its head
_LAUNCH_WORDS, _KEY_WORDS = _ARGUMENTS // 8 + MOST_ARGUMENTS, MOST_OPERANDS + 1
_SPREAD = 0x9E3779B97F4A7C15 - (1 << 64)  # 2^64 over the golden ratio: to multiply by it brings low bits to the top


@inline
def _marked(table: int, box: int) -> bool:
    for k in range(word(table, MARKS)):  # noqa: SIM110  (Numba compiles no generators)
        if word(box, word(table, SLOT + 16 * k)) != word(table, SLOT + 16 * k + 8):
            return True
    return False


@inline
def _row(table: int, keys: int) -> int:
    """The row (an array) for these keys and the desk behind them, or 0."""
    h, ins = np.int64(0), word(table, INS)
    for k in range(ins):
        h = (h ^ word(keys, 8 * k)) * _SPREAD
    first = table + FIRST + 8 * _WAYS * ((h >> 40) & (_SETS - 1))
    for way in range(_WAYS):
        found = word(first, 8 * way)
        if found == 0:
            break
        row = word(found, DATA)
        same = word(row, DESK) == word(keys, 8 * MOST_OPERANDS)
        for k in range(ins):
            same = same and word(row, KEYS + 8 * k) == word(keys, 8 * k)
        if same:
            return found
    return 0


@inline
def _passed(table: int, row: int, desk: int, xs: int, launch: int) -> bool:
    """Write the operands' addresses and numbers to the packed launch; False where one cannot be passed like that."""
    ins, outs = word(table, INS), word(table, OUTS)
    device = slot(table, desk, objects.DESK_DEVICE)
    pointer, number = _ARGUMENTS + 8 * outs, _ARGUMENTS + 8 * outs
    for k in range(ins):
        number += 8 * (word(row, AS + 8 * k) == NOT_A_NUMBER)
    for k in range(ins):
        x, way = word(xs, 8 * k), word(row, AS + 8 * k)
        if way == NOT_A_NUMBER:
            at = number_in(table, x, objects.X_POINTER)
            if at & word(row, MASKS + 8 * k) != 0 or slot(table, slot(table, x, objects.X_ALLOCATION), objects.A_DEVICE) != device:
                return False
            set_word(launch, pointer, at)
            pointer += 8
        elif way == INTEGER:
            whole = call_to_integer(word(table, TO_INTEGER), x)
            if whole == -1 and call_no_arguments(word(table, ERROR)) != 0:
                call_no_arguments(word(table, CLEAR))
                return False
            set_word(launch, number, whole)
            number += 8
        else:
            value = call_to_double(word(table, TO_DOUBLE), x)
            if value == -1.0 and call_no_arguments(word(table, ERROR)) != 0:
                call_no_arguments(word(table, CLEAR))
                return False
            if way == SINGLE:
                set_single(launch, number, value)
            else:
                set_word(launch, number, value)
            number += 8
    return True


@inline
def _apart(table: int, xs: int, keys: int) -> bool:
    """Whether the first operand, which is written to, lies apart from each of the others or is the very same elements.  All are contiguous."""
    target = number_in(table, word(xs, 0), objects.X_POINTER)
    end = target + number_in(table, word(keys, 0), objects.F_NBYTES)
    for k in range(1, word(table, INS)):
        if word(word(xs, 8 * k), TYPE) == word(table, objects.ARRAY):
            first = number_in(table, word(xs, 8 * k), objects.X_POINTER)
            last = first + number_in(table, word(keys, 8 * k), objects.F_NBYTES)
            if first != target and first < end and target < last:
                return False
    return True


@inline
def _new_results(table: int, row: int, desk: int, arrays: int, launch: int) -> bool:
    """New arrays, whose addresses go to the packed launch.  False where they take more than free blocks."""
    for k in range(word(table, OUTS)):
        made = objects.new_array(table, desk, word(row, RESULTS + 8 * k))
        if made == 0:
            for j in range(k):
                call_object(word(table, DROP), word(arrays, 8 * j))
            return False
        set_word(arrays, 8 * k, made)
        set_word(launch, _ARGUMENTS + 8 * k, number_in(table, made, objects.X_POINTER))
    return True


@inline
def _launched(table: int, row: int, launch: int) -> bool:
    """Launch; False with an exception set where the driver refuses."""
    arguments = scratch(1)
    set_word(arguments, 0, word(row, KERNEL))
    done = call_vector(word(table, VECTOR), word(table, LAUNCHED), arguments, 1, 0)
    if done == 0:
        return False
    call_object(word(table, DROP), done)
    code = call_driver(launch, word(row, COUNT))
    if code == 0:
        return True
    set_word(arguments, 0, call_pack(word(table, FROM_INTEGER), code))
    call_vector(word(table, VECTOR), word(row, REFUSED), arguments, 1, 0)  # it raises
    call_object(word(table, DROP), word(arguments, 0))
    return False


@inline
def _boxed(table: int, array: int) -> int:
    """A new box around ``array``, which it takes over; 0 with an exception set on failure."""
    box = objects.call_new(word(table, NEW), word(table, BOX), word(table, NOTHING), 0)
    if box == 0:
        call_object(word(table, DROP), array)
        return 0
    set_word(box, word(table, INSIDE), array)
    for k in range(word(table, SLOTS)):
        value = word(table, SLOT + 16 * k + 8)
        call_object(word(table, HOLD), value)
        set_word(box, word(table, SLOT + 16 * k), value)
    return box


@inline
def _collected(table: int, arrays: int, boxing: bool) -> int:
    """The result of a call: the only array, or a tuple of them, boxed if the operands were.  0 with an exception set on failure."""
    outs = word(table, OUTS)
    if outs == 1:
        return _boxed(table, word(arrays, 0)) if boxing else word(arrays, 0)
    found = call_pack(word(table, TUPLE), outs)
    for k in range(outs):
        one = _boxed(table, word(arrays, 8 * k)) if boxing else word(arrays, 8 * k)
        if one == 0 or found == 0:
            if one != 0:
                call_object(word(table, DROP), one)
            if found != 0:
                call_object(word(table, DROP), found)
            found = 0
        else:
            call_set_item(word(table, SET_ITEM), found, k, one)
    return found


_SLOW, _FAILED = 0, -1


@inline
def _run(table: int, row: int, desk: int, xs: int, keys: int, boxing: bool) -> int:
    """The result (in place: what ``_launched`` leaves, None), _SLOW if this is not the way, or _FAILED with an exception set."""
    launch, arrays = scratch(_LAUNCH_WORDS), scratch(MOST_RESULTS)
    for k in range(_ARGUMENTS // 8 + word(row, COUNT)):
        set_word(launch, 8 * k, word(row, LAUNCH + 8 * k))
    if not _passed(table, row, desk, xs, launch):
        return _SLOW
    if word(table, IN_PLACE) != 0:
        if not _apart(table, xs, keys):
            return _SLOW
        set_word(launch, _ARGUMENTS, number_in(table, word(xs, 0), objects.X_POINTER))
        return word(table, objects.NONE) if _launched(table, row, launch) else _FAILED
    if not _new_results(table, row, desk, arrays, launch):
        return _SLOW
    if not _launched(table, row, launch):
        for k in range(word(table, OUTS)):
            call_object(word(table, DROP), word(arrays, 8 * k))
        return _FAILED
    found = _collected(table, arrays, boxing)
    return found if found != 0 else _FAILED


@inline
def _short(table: int, xs: int, keys: int, boxing: bool) -> int:
    """``_run``, if there is a row for the operands.  They are held meanwhile, as is the row: to make an object may run any finaliser."""
    desk = current_desk(table)
    if desk == 0:
        return _SLOW
    set_word(keys, 8 * MOST_OPERANDS, desk)
    found, ins = _row(table, keys), word(table, INS)
    result = np.int64(_SLOW)
    if found != 0:
        call_object(word(table, HOLD), found)
        for k in range(ins):
            call_object(word(table, HOLD), word(xs, 8 * k))
        result = _run(table, word(found, DATA), desk, xs, keys, boxing)
        for k in range(ins):
            call_object(word(table, DROP), word(xs, 8 * k))
        call_object(word(table, DROP), found)
    call_object(word(table, DROP), desk)
    return result


@objects.compiled
def _dispatch(self, operands, count):  # type: ignore[no-untyped-def]
    """``PyObject *dispatch(PyObject *table, PyObject *const *operands, Py_ssize_t count)``"""
    table = word(self, DATA)
    ins = word(table, INS)
    xs, keys, last = scratch(MOST_OPERANDS), scratch(_KEY_WORDS), scratch(_KEY_WORDS)
    marked, boxing, fits = False, False, count == ins
    if fits:
        aside = call_get(word(table, GET_ITEM), word(table, ASIDE), word(table, ASIDE_NAME))
        fits = aside == word(table, FALSE) and call_to_integer(word(table, SIZE), word(table, OBSERVERS)) == 0
    if fits:
        for k in range(ins):
            x = word(operands, 8 * k)
            kind = word(x, TYPE)
            if kind == word(table, BOX) or kind == word(table, BOX_TOO):
                boxing = True
                marked = marked or _marked(table, x)
                x = word(x, word(table, INSIDE))
                if x == 0:
                    fits = False
                    break
                kind = word(x, TYPE)
            if kind == word(table, objects.ARRAY):
                kind = slot(table, x, objects.X_FORM)
            set_word(keys, 8 * k, kind)
            set_word(xs, 8 * k, x)
    in_place = word(table, IN_PLACE) != 0
    result = np.int64(_SLOW)
    if fits and not (in_place and marked):
        result = _short(table, xs, keys, boxing)
    if result == _FAILED:
        return 0
    if result == _SLOW:
        return call_vector(word(table, VECTOR), word(table, GENERAL), operands, count, 0)
    if in_place:
        return call_vector(word(table, VECTOR), word(table, MARKED), operands, count, 0)
    if not marked:
        return result
    set_word(last, 0, result)
    for k in range(ins):
        set_word(last, 8 * (k + 1), word(operands, 8 * k))
    recorded = call_vector(word(table, VECTOR), word(table, MARKED), last, ins + 1, 0)
    call_object(word(table, DROP), result)
    return recorded


# ---- the table --------------------------------------------------------------------------------------------------------------------------------


def has_room(operands: Sequence[Any], results: Sequence[Any]) -> bool:
    """Whether a row has room for so many."""
    return len(operands) <= MOST_OPERANDS and len(results) <= MOST_RESULTS


def _keys(operands: Sequence[Any]) -> list[Any]:
    return [x.form if isinstance(x, CudaArray) else type(x) for x in operands]


class Entry:
    """The rows of one operation and its ``call``: a function of ``ins`` operands with ``outs`` results; see the module's head."""

    def __init__(self, name: str, ins: int, outs: int, caller: Caller, in_place: bool):
        box = caller.box
        self.table = array.table(_SIZE)
        names = ("PyFloat_AsDouble", "PyErr_Occurred", "PyDict_GetItem", "PyTuple_New", "PyTuple_SetItem")
        self.table[TO_DOUBLE // 8 : TO_DOUBLE // 8 + len(names)] = [capi.function_address(each) for each in names]
        head = {
            INS: ins, OUTS: outs, IN_PLACE: in_place, INSIDE: _slot_offset(box.cls, box.inside), MARKS: len(box.marks), SLOTS: len(box.new),
        }  # fmt: skip
        for at, value in head.items():
            self.table[at // 8] = value
        variables, variable = caller.aside
        for at, kept in (
            (GENERAL, caller.general), (MARKED, caller.marked), (OBSERVERS, observers), (LAUNCHED, driver.launched.append),
            (ASIDE, variables), (ASIDE_NAME, variable), (FALSE, False), (BOX, box.cls), (BOX_TOO, box.too or box.cls),
        ):  # fmt: skip
            self.table.refer(at, kept)
        for k, each in enumerate(sorted(box.new, key=lambda each: each not in box.marks)):
            self.table[SLOT // 8 + 2 * k] = _slot_offset(box.cls, each)
            self.table.refer(SLOT + 16 * k + 8, box.new[each])
        self._rows: list[dict[Any, Any]] = [{} for _ in range(_SETS)]  # by operands and desk, each set
        self._known: set[Any] = set()
        self.call = objects.builtin(name, _dispatch, self.table)

    def knows(self, operands: Sequence[Any], desk: Any) -> bool:
        """Whether there is a row for operands like these."""
        return (*_keys(operands), desk) in self._known

    def add(
        self,
        operands: Sequence[Any],
        desk: Any,
        ways: Sequence[int],
        masks: Sequence[int],
        results: Sequence[CudaArray],
        launch: bytes,
        kernel: Any,
        refused: Callable[[int], None],
    ) -> None:
        """Let ``call`` on operands like these, the ``desk``'s stream being the current one, make arrays like the ``results`` and launch.

        ``ways``: how each operand is passed to the kernel; ``masks``: the bits of its address that have to be zero; ``launch``: the words of such a
        launch, as ``Kernel.pack`` makes them; ``refused``: what raises the error for a code of the driver.
        """
        keys = _keys(operands)
        row = np.zeros((LAUNCH + len(launch)) // 8, np.int64).view(objects.Table)
        row.keeps = []
        forms = [] if self.table[IN_PLACE // 8] else [r.form for r in results]
        for first, kept in ((KEYS, keys), (DESK, [desk]), (KERNEL, [kernel, refused]), (RESULTS, forms)):
            for k, value in enumerate(kept):
                row.refer(first + 8 * k, value)
        row[COUNT // 8] = kernel.count
        row[AS // 8 : AS // 8 + len(ways)] = ways
        row[MASKS // 8 : MASKS // 8 + len(masks)] = masks
        row[LAUNCH // 8 :] = np.frombuffer(launch, np.int64)
        self._insert((*keys, desk), row)

    def _insert(self, key: tuple[Any, ...], row: Any) -> None:
        """Put ``row`` at the head of its set, and the one that was added first out of it if the set is full."""
        h = 0
        for k in range(len(key) - 1):
            h = (h ^ id(key[k])) * _SPREAD & (1 << 64) - 1
        number = h >> 40 & _SETS - 1
        before = self._rows[number]
        after = dict([(key, row), *before.items()][:_WAYS])
        # Whatever interrupts this, the rows that the table names are kept.
        self._rows[number] = {**before, key: row}
        at = FIRST // 8 + _WAYS * number
        self.table[at : at + len(after)] = [id(each) for each in after.values()]
        self._rows[number] = after
        self._known.add(key)
        self._known.difference_update(before.keys() - after.keys())
