"""The gradients of the fused forms, from arrays to arrays: for a backward pass that is not itself recorded.

The products are those of the rules in ``numbagrad.ops.matmul``, without a tensor made for each step between them.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import _dtypes
from .._cpu import get_num_threads, layout
from ..copy import contiguous
from ..reduce import sum as sum_over
from . import _layer, matmul

__all__ = ["linear_gradients", "small_linear_gradients"]


def _rows(x: Any) -> Any:
    """``x`` [..., k] as a matrix."""
    if x.ndim == 2:
        return x
    return contiguous(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])  # which -1 could not tell where k is 0


@functools.lru_cache(maxsize=64)
def _ones(count: int, dtype: Any) -> Any:
    ones = np.ones((1, count), dtype)
    ones.flags.writeable = False
    return ones


def _column_sums(rows: Any) -> Any:
    """Σ_rows of a matrix [m, n]: of few rows as a product with a row of ones, which is called in a third of the time that ``sum`` takes."""
    m = rows.shape[0]
    if type(rows) is not np.ndarray or not 0 < m <= _layer.MOST_ROWS or rows.dtype in _dtypes.HALVES:
        return sum_over(rows, 0)
    return matmul(_ones(m, rows.dtype), rows).reshape(rows.shape[1])


# Layers that ``_layer`` takes, or does not take (None), by all that it looks at.
_prepared: dict[Any, Any] = {}
_MOST_PREPARED = 4096


def small_linear_gradients(wanted: tuple[bool, bool, bool], g: Any, y: Any, input: Any, weight: Any) -> tuple[Any, Any, Any] | None:
    """``linear_gradients``, or with ``y``, the result, those of relu(x·Wᵀ + b), where the layer is small and plain; None where it is not."""
    key = layout.layout(g, y, input, weight), wanted, get_num_threads()
    prepared = _prepared.get(key, key)
    if prepared is key:
        if len(_prepared) >= _MOST_PREPARED:
            _prepared.clear()
        prepared = _prepared[key] = _layer.prepare(wanted, g, y, input, weight)
    return None if prepared is None else prepared(g, y, input, weight)


def linear_gradients(wanted: tuple[bool, bool, bool], g: Any, input: Any, weight: Any) -> tuple[Any, Any, Any] | None:
    """For y = x·Wᵀ + b the gradients g·W of x, gᵀ·x of W and Σ_rows g of b, each where ``wanted`` says so; None for complex numbers.

    ``g`` [..., n], ``input`` [..., k] (needed for that of W), ``weight`` [n, k] (for that of x).
    """
    if g.dtype in _dtypes.COMPLEXES:
        return None
    small = small_linear_gradients(wanted, g, None, input, weight)
    if small is not None:
        return small
    rows = _rows(g)
    return (
        matmul(g, weight) if wanted[0] else None,
        matmul(rows.T, _rows(input)) if wanted[1] else None,
        _column_sums(rows) if wanted[2] else None,
    )
