"""One key for what decides how a call is done: the dtypes, shapes and strides of its arrays.

Plans are kept by such keys.  Asking NumPy for three tuples per array and hashing them takes longer than many a small kernel, so the key is made
by compiled code that reads the arrays' fields: 100 ns for two matrices instead of 600.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from . import capi
from .capi import DATA, DESCR, DIMENSIONS, NDIM, STRIDES, TYPE, call_bytes, call_vector, half_word, scratch, set_word, word
from .jit import address, inline, kernel
from .types import int64

_WORDS = 160  # of a key; longer ones are made in Python
# Of a dtype: the word with its kind, letter, byte order and number.  It says all there is to say of a number; not of a structure.
_KIND = capi.HEAD + 8
_STRUCTURE = ord("V")
# What is told by its class; anything else, such as an array of another device, is looked at in Python.
_PLAIN = (float, int, bool, complex, type(None))
_PLAIN_CLASSES = len(_PLAIN)
_ARRAY = 1 << 62  # a bit that no address of a class has


def _slowly(*operands: Any) -> Any:
    """The key in Python, of operands of any kind."""
    return tuple([_look(x) for x in operands])


def _look(x: Any) -> Any:
    if isinstance(x, np.generic) or not hasattr(x, "strides"):
        return type(x)
    return type(x), x.dtype, x.shape, x.strides, getattr(x, "device_index", None)


@inline
def _describe(x: int, key: int, at: int) -> int:
    """Write what array ``x`` is to word ``at`` of ``key``; the next free word."""
    descr, ndim = word(x, DESCR), half_word(x, NDIM)
    kind = word(descr, _KIND)
    set_word(key, 8 * at, (descr if kind & 0xFF == _STRUCTURE else kind) | _ARRAY)
    set_word(key, 8 * at + 8, ndim)
    at += 2
    for k in range(ndim):
        set_word(key, 8 * (at + k), word(word(x, DIMENSIONS), 8 * k))
        set_word(key, 8 * (at + ndim + k), word(word(x, STRIDES), 8 * k))
    return at + 2 * ndim


def _layout(self: int, operands: int, count: int) -> int:
    """``PyObject *layout(PyObject *table, PyObject *const *operands, Py_ssize_t count)``"""
    table, key = word(self, DATA), scratch(_WORDS)
    array, at = word(table, 0), 0
    for k in range(count):
        x = word(operands, 8 * k)
        kind = word(x, TYPE)
        if kind == array:
            if at + 2 + 2 * half_word(x, NDIM) > _WORDS:
                return call_vector(word(table, 16), word(table, 24), operands, count, 0)
            at = _describe(x, key, at)
        else:
            known = False
            for j in range(_PLAIN_CLASSES):
                known = known or kind == word(table, 32 + 8 * j)
            if not known or at == _WORDS:
                return call_vector(word(table, 16), word(table, 24), operands, count, 0)
            set_word(key, 8 * at, kind)
            at += 1
    return call_bytes(word(table, 8), key, 8 * at)


def _first_call(*operands: Any) -> Any:
    """Compile the function (or load it), put it in this one's place, and call it."""
    global layout
    if capi.SUPPORTED:
        functions = [capi.function_address(name) for name in ("PyBytes_FromStringAndSize", "PyObject_Vectorcall")]
        table = np.array([id(np.ndarray), *functions, id(_slowly), *map(id, _PLAIN)], np.int64)
        layout = capi.builtin("layout", address(kernel(_layout), (int64, int64, int64)), table)
    else:
        layout = _slowly
    return layout(*operands)


# ``layout.layout(*operands)``: a hashable that tells apart calls whose operands differ in dtype, shape or strides (arrays) or in class (all
# else).  To be called by way of the module, since the first call binds the name to what is compiled.
layout: Callable[..., Any] = _first_call
