"""What several values for one place become: the operations of ``reduce`` that take two values of one type, and what changes nothing in each."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .. import _dtypes
from ..reduce._operations import OPERATIONS

NAMES = ("sum", "prod", "amax", "amin")


def combine(name: str) -> Callable[..., Any]:
    """(value so far, value) -> value.  NaN stays in all of them."""
    return OPERATIONS[name][1]


def identity(name: str, dtype: np.dtype) -> Any:
    """The value that ``combine(name)`` leaves another as it is with: a Python number."""
    if name in ("sum", "prod"):
        return int(name == "prod")
    if _dtypes.category(dtype) == 2:
        return float("-inf") if name == "amax" else float("inf")
    if dtype == np.bool_:
        return name == "amin"
    limits = np.iinfo(dtype)
    return int(limits.min if name == "amax" else limits.max)
