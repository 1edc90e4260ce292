"""Nested sequences of Python's numbers as arrays."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from . import dtypes
from .kernels import _dtypes
from .kernels import copy as copy_kernels
from .tensor import Tensor


def from_sequence(data: Any, op: str, full_precision: bool = False) -> np.ndarray:
    """Nested sequences of numbers, in PyTorch's inferred dtype: bool, int64, the default float or complex for Python's numbers; where arrays, NumPy's numbers
    or tensors are among them, what their dtypes are promoted to."""
    kinds: set[Any] = set()
    data = _plain(data, kinds)
    try:
        array = np.array(data)
    except ValueError:
        raise _ragged(data, op) from None
    if array.dtype == object or array.dtype.kind in "USMm":
        if array.size == 0:
            array = array.astype(np.float64)
        elif isinstance(data, str) or array.dtype.kind in "US":
            raise TypeError(f"{op}: too many dimensions 'str'" if not isinstance(data, str) else f"{op}: invalid data type 'str'")
        else:
            names = sorted({type(v).__name__ for v in array.reshape(-1)})
            if names == ["int"]:
                raise ValueError("Overflow when unpacking long long")
            raise RuntimeError(f"Could not infer dtype of {names[0]}")
    kind = array.dtype.kind
    if full_precision and kind in "fc":  # narrowed once, to the dtype that was asked for
        return array
    if array.dtype != np.uint64 and not kinds <= _PYTHON:
        return copy_kernels.cast(array, _promoted(kinds))
    if kind == "f":
        return array.astype(dtypes.get_default_dtype().numpy if dtypes.get_default_dtype() is not dtypes.bfloat16 else np.float32)
    if kind == "c":
        return array.astype(_dtypes.complex_dtype(dtypes.get_default_dtype().numpy))
    if array.dtype == np.uint64:
        raise ValueError("Overflow when unpacking long long")
    return array if kind == "b" else array.astype(np.int64)


def _ragged(data: Any, op: str) -> Exception:
    """The error of nested sequences that do not have one shape: numbers beside sequences, or lengths that differ."""
    level = [data]
    while all(isinstance(v, (list, tuple)) for v in level):
        if len({len(v) for v in level}) > 1:
            break
        level = [v for values in level for v in values]
    if any(isinstance(v, (list, tuple)) for v in level) and not all(isinstance(v, (list, tuple)) for v in level):
        return TypeError(f"{op}: a number stands beside a sequence, which is not a sequence of one shape")
    return ValueError(f"{op}: expected sequences of equal length at each level, but got a ragged one")


_PYTHON = {bool, int, float, complex}


def _plain(data: Any, kinds: set[Any]) -> Any:
    """``data`` with a number for every tensor inside; ``kinds`` becomes the types of Python's numbers and the dtypes of the others that it holds."""
    if isinstance(data, Tensor):
        if data.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        kinds.add(data._data.dtype)
        return data.item()
    if isinstance(data, (list, tuple)):
        found = set(map(type, data))
        kinds |= found & _PYTHON
        if not found <= _PYTHON:
            kinds.update(v.dtype for v in data if isinstance(v, (np.generic, np.ndarray)))
            if any(isinstance(v, (Tensor, list, tuple)) for v in data):
                return [_plain(v, kinds) for v in data]
    return data


def _promoted(kinds: set[Any]) -> np.dtype:
    """The dtype that all of ``kinds`` convert to, types of Python's numbers and dtypes; one that tensors lack counts as Python's number of its kind."""
    default = dtypes.get_default_dtype().numpy
    of_python = {
        "b": np.dtype(np.bool_),
        "i": np.dtype(np.int64),
        "u": np.dtype(np.int64),
        "f": default,
        "c": _dtypes.complex_dtype(default),
    }
    each = []
    for kind in kinds:
        native = kind.newbyteorder("=") if isinstance(kind, np.dtype) else np.dtype(kind)
        each.append(of_python[native.kind] if kind in _PYTHON or native not in _dtypes.ALL else native)
    return functools.reduce(_dtypes.promote, each)


def cast_values(array: np.ndarray, target: np.dtype, op: str) -> np.ndarray:
    """``array`` as ``target``.  Raises RuntimeError for a value that it cannot hold."""
    if array.dtype == target:
        return array
    if array.dtype.kind == "f" and target.kind in "iu" and array.size and not np.isfinite(array).all():
        raise RuntimeError(f"{op}: value cannot be converted to type {_dtypes.name(target)} without overflow")
    if array.dtype.kind == "i" and target.kind in "iu" and array.size:
        info = np.iinfo(target)
        low = -int(info.max) if target.kind == "u" else int(info.min)  # as in PyTorch, -1 becomes 255
        if array.min() < low or array.max() > info.max:
            raise RuntimeError(f"{op}: value cannot be converted to type {_dtypes.name(target)} without overflow")
    return copy_kernels.cast(array, target)
