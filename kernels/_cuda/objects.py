"""What every operation on a GPU makes, in compiled code: an allocation, and the array around it.

Both are Python's objects.  Made in Python they take two microseconds, more than the driver takes to launch a kernel; here 0.2.  As in
``_cpu.entry``, a number in the functions below is an address: an object's, or a table's, whose words say where all else is to be found.

The order of things is that of Python's objects: making one may collect garbage, and so run any finaliser, which may allocate and free as well.  So all
objects are made before a block is taken, and from there on to where the allocation knows its block no such thing can happen.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .._cpu import capi
from .._cpu.capi import (
    DATA,
    TYPE,
    call_get,
    call_new,
    call_no_arguments,
    call_object,
    call_pack,
    call_to_integer,
    call_vector,
    set_word,
    word,
)
from .._cpu.entry import _slot_offset
from .._cpu.jit import address, inline, kernel
from .._cpu.types import int64
from . import block_table

__all__ = ["SUPPORTED", "Table", "builtin", "compiled", "current_desk", "new_array", "table"]

SUPPORTED = capi.SUPPORTED

# The words of a table.
_FUNCTIONS = {
    "GET": "PyObject_GetAttr", "CLEAR": "PyErr_Clear", "HOLD": "Py_IncRef", "DROP": "Py_DecRef", "VECTOR": "PyObject_Vectorcall",
    "FROM_INTEGER": "PyLong_FromSsize_t", "TO_INTEGER": "PyLong_AsLongLong", "SIZE": "PyObject_Size",
}  # fmt: skip
GET, CLEAR, HOLD, DROP, VECTOR, FROM_INTEGER, TO_INTEGER, SIZE = range(0, 64, 8)
NONE, NOTHING, NEW, INTEGER_CLASS, THREAD, HERE, HERE_DESK, SLOWLY = range(64, 128, 8)
# A desk's slots.
DESK_DEVICE, DESK_SMALL, DESK_LARGE, DESK_BLOCKS, DESK_HEADS, DESK_RETURNED = range(128, 176, 8)
# An allocation's class and slots.
ALLOCATION, A_POINTER, A_NBYTES, A_DEVICE, A_OWNER, A_DESK, A_ROW, A_USERS = range(176, 240, 8)
# An array's class, its slots, and the slots of its form, which it shares the first of.
ARRAY, X_ALLOCATION, X_POINTER, X_FORM = range(240, 272, 8)
_SHARED = ("shape", "strides", "dtype", "flags")
X_SHARED, F_SHARED, F_NBYTES = 272, 304, 336
END = 344

_SMALL = 1 << 20  # blocks of up to so many bytes are cut finely, from segments of their own
_MOST_BYTES = 1 << 47


class Table(np.ndarray):
    """The words of a table, and the objects they point at."""

    keeps: list[Any]

    def refer(self, offset: int, value: Any) -> None:
        """Let the word at ``offset`` bytes be the address of an object, which is kept."""
        self[offset // 8] = id(value)
        self.keeps.append(value)


def table(
    thread: Any, here: type, desk: type, allocation: type, slowly: Any, array: Any = None, form: Any = None, size: int = END
) -> Table:
    """A table of ``size`` bytes for these classes (without ``array``, for allocations only); ``slowly`` is what is called for all that is rare."""
    found = np.zeros(size // 8, np.int64).view(Table)
    found.keeps = []
    for k, name in enumerate(_FUNCTIONS.values()):
        found[k] = capi.function_address(name)
    found[NEW // 8] = capi.new_address(object)
    for offset, value in (
        (NONE, None), (NOTHING, ()), (INTEGER_CLASS, int), (THREAD, thread), (HERE, "here"), (SLOWLY, slowly), (ALLOCATION, allocation), (ARRAY, array),
    ):  # fmt: skip
        found.refer(offset, value)
    slots: list[tuple[int, Any, tuple[str, ...]]] = [
        (HERE_DESK, here, ("desk",)),
        (DESK_DEVICE, desk, ("device", "small", "large", "blocks", "heads", "returned")),
        (A_POINTER, allocation, ("pointer", "nbytes", "device", "owner", "_desk", "_row", "_users")),
    ]
    if array is not None:
        slots += [
            (X_ALLOCATION, array, ("allocation", "pointer", "form")),
            (X_SHARED, array, _SHARED),
            (F_SHARED, form, (*_SHARED, "nbytes")),
        ]
    for first, cls, names in slots:
        found[first // 8 : first // 8 + len(names)] = _places(cls, names)
    return found


def _places(cls: type, names: Sequence[str]) -> list[int]:
    """Where in an object of ``cls`` its slots stand: where they stand in one of a class of the same slots that has no finaliser."""
    twin = type(cls.__name__, (), {"__slots__": cls.__slots__})  # type: ignore[attr-defined]
    return [_slot_offset(twin, name) for name in names]


def compiled(function: Any) -> Any:
    """``function(self, operands, count)``, to be compiled once."""
    return kernel(function)


def builtin(name: str, function: Any, of: Table) -> Any:
    """The function of Python that the ``compiled`` function is, compiled now: a finaliser must not be the first to call it."""
    return capi.builtin(name, address(function, (int64, int64, int64)), of)


# ---- in compiled code -------------------------------------------------------------------------------------------------------------------------


@inline
def slot(table: int, x: int, offset: int) -> int:
    """What stands in the slot of object ``x`` whose place the word at ``offset`` says."""
    return word(x, word(table, offset))


@inline
def number_in(table: int, x: int, offset: int) -> int:
    """The same, an int's value."""
    return call_to_integer(word(table, TO_INTEGER), slot(table, x, offset))


@inline
def fill(table: int, x: int, offset: int, value: int) -> None:
    """Let a new object's slot refer to ``value``."""
    call_object(word(table, HOLD), value)
    set_word(x, word(table, offset), value)


@inline
def current_desk(table: int) -> int:
    """Where memory for the thread's current stream comes from, with a reference that is to be dropped; 0 where there was none yet."""
    here = call_get(word(table, GET), word(table, THREAD), word(table, HERE))
    if here == 0:
        call_no_arguments(word(table, CLEAR))
        return 0
    desk = slot(table, here, HERE_DESK)
    if desk == word(table, NONE):
        desk = 0
    else:
        call_object(word(table, HOLD), desk)
    call_object(word(table, DROP), here)
    return desk


@inline
def new_allocation(table: int, desk: int, nbytes: int, nbytes_object: int) -> int:
    """An Allocation of ``nbytes`` > 0, an int that is given as an object too; 0 where it takes more than a free block."""
    if call_to_integer(word(table, SIZE), slot(table, desk, DESK_RETURNED)) != 0:
        return 0
    made = call_new(word(table, NEW), word(table, ALLOCATION), word(table, NOTHING), 0)
    if made == 0:
        call_no_arguments(word(table, CLEAR))
        return 0
    size = (nbytes + block_table.UNIT - 1) & -block_table.UNIT
    queue, rest = number_in(table, desk, DESK_LARGE), _SMALL
    if size <= _SMALL:
        queue, rest = number_in(table, desk, DESK_SMALL), block_table.UNIT
    blocks, heads = number_in(table, desk, DESK_BLOCKS), number_in(table, desk, DESK_HEADS)
    row, pointer = block_table.take(blocks, heads, queue, size, nbytes, rest)
    if row == 0:
        call_object(word(table, DROP), made)
        return 0
    set_word(made, word(table, A_ROW), call_pack(word(table, FROM_INTEGER), row))
    set_word(made, word(table, A_POINTER), call_pack(word(table, FROM_INTEGER), pointer))
    fill(table, made, A_NBYTES, nbytes_object)
    fill(table, made, A_DEVICE, slot(table, desk, DESK_DEVICE))
    fill(table, made, A_DESK, desk)
    fill(table, made, A_USERS, word(table, NONE))
    fill(table, made, A_OWNER, word(table, NONE))
    return made


@inline
def _lay_out(table: int, array: int, pointer: int, form: int) -> None:
    """Let a new array begin at ``pointer``, an int, and have that form."""
    fill(table, array, X_POINTER, pointer)
    fill(table, array, X_FORM, form)
    for k in range(4):
        fill(table, array, X_SHARED + 8 * k, slot(table, form, F_SHARED + 8 * k))


@inline
def new_array(table: int, desk: int, form: int) -> int:
    """A new CudaArray of that form; 0 where it takes more than a free block."""
    nbytes = number_in(table, form, F_NBYTES)
    if nbytes <= 0 or nbytes > _MOST_BYTES:
        return 0
    array = call_new(word(table, NEW), word(table, ARRAY), word(table, NOTHING), 0)
    if array == 0:
        call_no_arguments(word(table, CLEAR))
        return 0
    allocation = new_allocation(table, desk, nbytes, slot(table, form, F_NBYTES))
    if allocation == 0:
        call_object(word(table, DROP), array)
        return 0
    set_word(array, word(table, X_ALLOCATION), allocation)
    _lay_out(table, array, slot(table, allocation, A_POINTER), form)
    return array


@compiled
def allocate(self, operands, count):  # type: ignore[no-untyped-def]
    """``allocate(nbytes)``, where a free block is found at once."""
    table = word(self, DATA)
    made, asked = 0, word(operands, 0)
    if count == 1 and word(asked, TYPE) == word(table, INTEGER_CLASS):
        nbytes = call_to_integer(word(table, TO_INTEGER), asked)
        if nbytes == -1:  # perhaps more than 64 bits
            call_no_arguments(word(table, CLEAR))
        elif nbytes > 0 and nbytes <= _MOST_BYTES:
            desk = current_desk(table)
            if desk != 0:
                made = new_allocation(table, desk, nbytes, asked)
                call_object(word(table, DROP), desk)
    return made if made != 0 else call_vector(word(table, VECTOR), word(table, SLOWLY), operands, count, 0)


@compiled
def give_back(self, operands, count):  # type: ignore[no-untyped-def]
    """``give_back(allocation)``: its block is free, unless other streams may still use it."""
    table, x = word(self, DATA), word(operands, 0)
    row = slot(table, x, A_ROW)
    if row != 0:  # it is where the object was not finished
        row = call_to_integer(word(table, TO_INTEGER), row)
    if row != 0:
        desk = slot(table, x, A_DESK)
        if slot(table, x, A_USERS) != word(table, NONE):
            return call_vector(word(table, VECTOR), word(table, SLOWLY), operands, count, 0)
        block_table.give(number_in(table, desk, DESK_BLOCKS), number_in(table, desk, DESK_HEADS), row)
    call_object(word(table, HOLD), word(table, NONE))
    return word(table, NONE)


@compiled
def empty(self, operands, count):  # type: ignore[no-untyped-def]
    """``empty(form)``: a new array on the current device."""
    table, made = word(self, DATA), 0
    desk = current_desk(table)
    if desk != 0:
        made = new_array(table, desk, word(operands, 0))
        call_object(word(table, DROP), desk)
    return made if made != 0 else call_vector(word(table, VECTOR), word(table, SLOWLY), operands, count, 0)


@compiled
def viewed(self, operands, count):  # type: ignore[no-untyped-def]
    """``viewed(allocation, pointer, form)``: an array over memory that there is."""
    table = word(self, DATA)
    array = call_new(word(table, NEW), word(table, ARRAY), word(table, NOTHING), 0)
    if array != 0:
        fill(table, array, X_ALLOCATION, word(operands, 0))
        _lay_out(table, array, word(operands, 8), word(operands, 16))
    return array
