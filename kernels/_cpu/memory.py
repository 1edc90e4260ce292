"""Every buffer on the CPU comes through here."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np


def empty(shape: Sequence[int] | int, dtype: Any) -> np.ndarray:
    """An uninitialised C-contiguous array."""
    return np.empty(shape, dtype)


def zeros(shape: Sequence[int] | int, dtype: Any) -> np.ndarray:
    """An array of zeros."""
    return np.zeros(shape, dtype)


def full(shape: Sequence[int] | int, value: Any, dtype: Any) -> np.ndarray:
    """An array filled with ``value``."""
    out = empty(shape, dtype)
    out.fill(value)
    return out
