"""Running a family on 16-bit floats: widen to float32, compute, narrow the results."""

from __future__ import annotations

import functools
from typing import Any, Callable

import numpy as np

from . import _dtypes
from ._device import on_cpu


def through_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """A contract function that also takes float16 and bfloat16 arrays: they are widened before it and float32 results narrowed after it."""
    return _through_float32(function, False)


def float32_on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """As ``through_float32``, but for CUDA, whose kernels of this function read and write 16-bit floats themselves."""
    return _through_float32(function, True)


def _through_float32(function: Callable[..., Any], on_cpu_only: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def widened(*args: Any, **kwargs: Any) -> Any:
        half = None
        for a in args:
            dtype = getattr(a, "dtype", None)
            if dtype is not None and dtype.itemsize == 2 and dtype in _dtypes.HALVES:
                half = dtype
                break
        if half is None or (on_cpu_only and not on_cpu(a)):
            return function(*args, **kwargs)
        from .copy import cast

        def narrow(value: Any) -> Any:
            return cast(value, half) if getattr(value, "dtype", None) == np.float32 else value

        wide = [cast(a, _dtypes.float32) if getattr(a, "dtype", None) in _dtypes.HALVES else a for a in args]
        result = function(*wide, **kwargs)
        return tuple(narrow(r) for r in result) if isinstance(result, tuple) else narrow(result)

    return widened
