"""Comparing tensors in tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from .tensor import Tensor

# (rtol, atol) by dtype where none are given: PyTorch's.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def _pairs(actual: Any, expected: Any, where: str) -> Any:
    """The tensors of two equal structures, side by side, with where they stand."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        if actual.keys() != expected.keys():
            raise AssertionError(
                f"The keys of the mappings do not match{where}: {sorted(map(str, actual))} and {sorted(map(str, expected))}"
            )
        for key in actual:
            yield from _pairs(actual[key], expected[key], f"{where} at {key!r}")
    elif isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        if len(actual) != len(expected):
            raise AssertionError(f"The length of the sequences mismatch{where}: {len(actual)} != {len(expected)}")
        for i, (a, e) in enumerate(zip(actual, expected)):
            yield from _pairs(a, e, f"{where} at {i}")
    else:
        yield actual, expected, where


def _values(value: Any) -> tuple[np.ndarray, str]:
    if isinstance(value, Tensor):
        return value.detach()._numpy_values(), value.dtype.name
    array = np.asarray(value)
    return array, array.dtype.name


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Any = None,
) -> None:
    """Raise AssertionError unless |actual − expected| ≤ atol + rtol · |expected| everywhere, and shapes, dtypes and devices agree.

    Takes tensors, numbers, arrays, and dicts, lists and tuples of them.  Without tolerances they follow from the dtype; give both or neither (else ValueError).
    """
    if (rtol is None) != (atol is None):
        raise ValueError("Both `rtol` and `atol` must be specified or none of them: one alone has no default to go with it.")
    for a, e, where in _pairs(actual, expected, ""):
        (left, kind), (right, other) = _values(a), _values(e)
        problem = None
        if left.shape != right.shape:
            problem = f"The values for attribute 'shape' do not match{where}: {left.shape} != {right.shape}."
        elif check_device and isinstance(a, Tensor) and isinstance(e, Tensor) and a.device != e.device:
            problem = f"The values for attribute 'device' do not match{where}: {a.device} != {e.device}."
        elif check_dtype and isinstance(a, Tensor) and isinstance(e, Tensor) and kind != other:
            problem = f"The values for attribute 'dtype' do not match{where}: {kind} != {other}."
        elif check_stride and isinstance(a, Tensor) and isinstance(e, Tensor) and a.stride() != e.stride():
            problem = f"The values for attribute 'stride()' do not match{where}: {a.stride()} != {e.stride()}."
        else:
            defaults = max(_TOLERANCES.get(kind, (0.0, 0.0)), _TOLERANCES.get(other, (0.0, 0.0)))
            r, t = (rtol, atol) if rtol is not None and atol is not None else defaults
            close = np.isclose(left, right, rtol=r, atol=t, equal_nan=equal_nan)
            if not close.all():
                gap = np.abs(np.subtract(left, right, dtype=np.result_type(left, right, np.float64)))
                worst = np.unravel_index(np.nanargmax(np.where(close, -1.0, np.nan_to_num(gap, nan=np.inf))), gap.shape) if gap.ndim else ()
                problem = (
                    f"Tensor-likes are not close{where}!\n\nMismatched elements: {(~close).sum()} / {close.size}\n"
                    f"Greatest absolute difference: {gap[worst]} at index {tuple(map(int, worst))} (up to {t} allowed; relative tolerance {r})"
                )
        if problem is not None:
            raise AssertionError(problem if msg is None else msg(problem) if callable(msg) else msg)
