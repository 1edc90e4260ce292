"""What a compiled function depends on besides the package's sources, as text: its code, the values it closes over, and the functions it
calls.

Two kernels made by one factory share file, name and line; only what they close over tells them apart in the cache.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.types import Type

PACKAGE = Path(__file__).resolve().parent.parent


class Unknown(Exception):
    """A value whose identity does not show: what depends on it is not cached."""


def _in_package(function: FunctionType) -> bool:
    return PACKAGE in Path(function.__code__.co_filename).resolve().parents


def _code(code: CodeType, seen: dict[int, int]) -> str:
    constants = ",".join(_code(value, seen) if isinstance(value, CodeType) else repr(value) for value in code.co_consts)
    return f"code({code.co_code.hex()}|{constants}|{code.co_names}|{code.co_varnames}|{code.co_freevars})"


def _all_names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            names |= _all_names(value)
    return names


def _function(function: FunctionType, seen: dict[int, int]) -> str:
    parts = [f"{function.__module__}.{function.__qualname__}:{function.__code__.co_firstlineno}"]
    try:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            parts.append(f"{name}={_value(cell.cell_contents, seen)}")
    except ValueError as error:  # a cell that is not filled yet
        raise Unknown(function.__qualname__) from error
    if not _in_package(function):  # its text and its globals are in nobody's digest
        parts.append(_code(function.__code__, seen))
        scope = function.__globals__
        parts.extend(f"{name}={_value(scope[name], seen)}" for name in sorted(_all_names(function.__code__)) if name in scope)
    return f"function({';'.join(parts)})"


def _value(value: Any, seen: dict[int, int]) -> str:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic, np.dtype, Type)):
        return f"{type(value).__name__}:{value!r}"
    if id(value) in seen:
        return f"again({seen[id(value)]})"
    seen[id(value)] = len(seen)
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({','.join(_value(item, seen) for item in value)})"
    if isinstance(value, FunctionType):
        return _function(value, seen)
    if isinstance(getattr(value, "py_func", None), FunctionType):  # a Numba dispatcher
        options = sorted((name, repr(option)) for name, option in value.targetoptions.items())
        return f"compiled({_function(value.py_func, seen)};{options})"
    if isinstance(getattr(value, "_defn", None), FunctionType):  # a Numba intrinsic
        return f"intrinsic({_function(value._defn, seen)})"
    if isinstance(value, ModuleType):
        return f"module({value.__name__})"
    if isinstance(value, np.ndarray):
        return f"array({value.dtype!r},{value.shape},{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()})"
    if isinstance(value, (type, BuiltinFunctionType, np.ufunc)):
        return f"{type(value).__name__}({getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)})"
    raise Unknown(repr(value))


def fingerprint(function: FunctionType) -> str:
    """The text that identifies ``function`` together with everything it calls.  Raises Unknown where that cannot be told."""
    return _function(function, {})
