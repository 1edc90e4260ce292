"""Python's and NumPy's C interfaces, as far as ``entry`` needs them: where the fields of their objects stand, and their functions by address.

Only what both promise to extensions is used: the head of an object, the fields of ``PyArrayObject`` and exported functions.  ``SUPPORTED``
says whether this interpreter is one where that holds; where it is not (no GIL, a debug build, nothing compiled), callers keep to Python.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

# Offsets in bytes, in objects with a head of two words (reference count, type).
HEAD = 16
TYPE = 8
DATA, NDIM, DIMENSIONS, STRIDES, DESCR, FLAGS = HEAD, HEAD + 8, HEAD + 16, HEAD + 24, HEAD + 40, HEAD + 48
PLAIN, WRITEABLE = 0x101, 0x400  # of FLAGS: C-contiguous and aligned; writable


def _int_at(address: int) -> int:
    return ctypes.c_int32.from_address(address).value


def _word_at(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _layout_holds() -> bool:
    """Whether an array's fields stand where NumPy's headers put them."""
    if object.__basicsize__ != HEAD or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    for probe in (np.zeros((3, 5), np.float32), np.zeros((4, 6))[1:, 2:]):
        at = id(probe)
        shape, strides = _word_at(at + DIMENSIONS), _word_at(at + STRIDES)
        if (
            _word_at(at + TYPE) != id(np.ndarray)
            or _word_at(at + DATA) != probe.__array_interface__["data"][0]
            or _int_at(at + NDIM) != 2
            or (_word_at(shape), _word_at(shape + 8)) != probe.shape
            or (_word_at(strides), _word_at(strides + 8)) != probe.strides
            or _word_at(at + DESCR) != id(probe.dtype)
            or bool(_int_at(at + FLAGS) & 1) != probe.flags.c_contiguous
            or (_word_at(id(probe.dtype) + HEAD + 8) & 0xFF, _int_at(id(probe.dtype) + HEAD + 12)) != (ord("f"), probe.dtype.num)
        ):
            return False
    return True


SUPPORTED = not config.DISABLE_JIT and getattr(sys, "_is_gil_enabled", lambda: True)() and _layout_holds()


def function_address(name: str) -> int:
    """Where the exported function ``name`` of the interpreter begins."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    assert address is not None
    return address


def numpy_empty_address() -> int:
    """Where ``PyArray_Empty(int nd, npy_intp *dims, PyArray_Descr *dtype, int fortran)`` begins: entry 184 of NumPy's table of functions."""
    core = sys.modules.get("numpy._core._multiarray_umath") or sys.modules["numpy.core._multiarray_umath"]
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
    table = ctypes.cast(get(core._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    address = table[184]
    assert address is not None
    return address


def new_address(cls: type) -> int:
    """Where ``cls``'s C function ``tp_new(type, args, kwargs)`` begins."""
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_int)(("PyType_GetSlot", ctypes.pythonapi))
    address = get(cls, 65)
    assert address is not None
    return address


class _MethodDef(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


_METH_FASTCALL = 0x80
_definitions: list[_MethodDef] = []  # the interpreter points into them for as long as the functions live


def builtin(name: str, address: int, of: Any) -> Any:
    """A Python function made of C code at ``address``: ``PyObject *f(PyObject *of, PyObject *const *args, Py_ssize_t count)``."""
    _definitions.append(_MethodDef(name.encode(), address, _METH_FASTCALL, None))
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(("PyCFunction_NewEx", ctypes.pythonapi))
    return make(ctypes.addressof(_definitions[-1]), of, None)


_WORD, _INT = ir.IntType(64), ir.IntType(32)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def word(typingctx: Any, address: Any, offset: Any) -> Any:
    """The 64-bit word ``offset`` bytes behind ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, builder.add(*args), _WORD))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def half_word(typingctx: Any, address: Any, offset: Any) -> Any:
    """The (not negative) 32-bit integer ``offset`` bytes behind ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.load(_pointer(builder, builder.add(*args), _INT)), _WORD)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def set_word(typingctx: Any, address: Any, offset: Any, value: Any) -> Any:
    """Write the 64-bit ``value`` (an integer, or a float64's bits) ``offset`` bytes behind ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = args[2] if args[2].type == _WORD else builder.bitcast(args[2], _WORD)
        builder.store(value, _pointer(builder, builder.add(args[0], args[1]), _WORD))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, value), codegen


@intrinsic
def set_single(typingctx: Any, address: Any, offset: Any, value: Any) -> Any:
    """Write the float64 ``value`` as a float32 ``offset`` bytes behind ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        single = builder.fptrunc(args[2], ir.FloatType())
        builder.store(single, _pointer(builder, builder.add(args[0], args[1]), ir.FloatType()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), codegen


@intrinsic(prefer_literal=True)
def scratch(typingctx: Any, size: Any) -> Any:
    """The address of ``size`` (a literal) words on the stack, for as long as the function runs."""
    count = size.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once(builder, _WORD, count), _WORD)

    return types.int64(types.IntegerLiteral(count)), codegen


def _call(count: int, kinds: Any, result: Any) -> Any:
    """An intrinsic ``(address, *words)`` that calls a C function whose parameters have these LLVM types."""
    arguments = (types.int64,) * count

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = _pointer(builder, args[0], ir.FunctionType(result, kinds))
        words = [builder.trunc(a, kind) if kind == _INT else a for a, kind in zip(args[1:], kinds)]
        value = builder.call(function, words)
        return context.get_dummy_value() if isinstance(result, ir.VoidType) else value

    returned = {str(_WORD): types.int64, "double": types.float64}.get(str(result), types.void)
    return returned(types.int64, *arguments), codegen


@intrinsic
def call_kernel(typingctx: Any, address: Any, lo: Any, hi: Any, words: Any) -> Any:
    """``void f(int64_t, int64_t, int64_t)``"""
    return _call(3, [_WORD] * 3, ir.VoidType())


@intrinsic
def call_range(typingctx: Any, address: Any, lo: Any, hi: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """``void f(int64_t lo, int64_t hi, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)``: a kernel of six more words"""
    return _call(8, [_WORD] * 8, ir.VoidType())


@intrinsic
def call_object(typingctx: Any, address: Any, x: Any) -> Any:
    """``void f(PyObject *)``"""
    return _call(1, [_WORD], ir.VoidType())


@intrinsic
def call_to_double(typingctx: Any, address: Any, x: Any) -> Any:
    """``double f(PyObject *)``"""
    return _call(1, [_WORD], ir.DoubleType())


@intrinsic
def call_to_integer(typingctx: Any, address: Any, x: Any) -> Any:
    """``long long f(PyObject *)``"""
    return _call(1, [_WORD], _WORD)


@intrinsic
def call_no_arguments(typingctx: Any, address: Any) -> Any:
    """``void *f(void)``"""
    return _call(0, [], _WORD)


@intrinsic
def call_bytes(typingctx: Any, address: Any, start: Any, size: Any) -> Any:
    """``PyObject *f(const char *, Py_ssize_t)``"""
    return _call(2, [_WORD] * 2, _WORD)


@intrinsic
def call_new(typingctx: Any, address: Any, kind: Any, args: Any, named: Any) -> Any:
    """``PyObject *f(PyTypeObject *, PyObject *, PyObject *)``"""
    return _call(3, [_WORD] * 3, _WORD)


@intrinsic
def call_get(typingctx: Any, address: Any, x: Any, key: Any) -> Any:
    """``PyObject *f(PyObject *, PyObject *)``"""
    return _call(2, [_WORD] * 2, _WORD)


@intrinsic
def call_pack(typingctx: Any, address: Any, count: Any) -> Any:
    """``PyObject *f(Py_ssize_t)``"""
    return _call(1, [_WORD], _WORD)


@intrinsic
def call_vector(typingctx: Any, address: Any, function: Any, args: Any, count: Any, names: Any) -> Any:
    """``PyObject *f(PyObject *, PyObject *const *, size_t, PyObject *)``"""
    return _call(4, [_WORD] * 4, _WORD)


@intrinsic
def call_empty(typingctx: Any, address: Any, ndim: Any, dims: Any, descr: Any, order: Any) -> Any:
    """``PyObject *f(int, npy_intp *, PyArray_Descr *, int)``"""
    return _call(4, [_INT, _WORD, _WORD, _INT], _WORD)


@intrinsic
def call_set_item(typingctx: Any, address: Any, sequence: Any, index: Any, x: Any) -> Any:
    """``int f(PyObject *, Py_ssize_t, PyObject *)``, of which the result is not looked at"""
    return _call(3, [_WORD] * 3, ir.VoidType())
