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
from ..copy import contiguous, dense_order
from ..reduce import sum as sum_over
from . import _layer, matmul

__all__ = ["linear_gradients", "small_linear_gradients"]


def _rows(x: Any, order: list[int]) -> Any:
    """``x`` [..., k] as a matrix, its rows in the ``order`` of the leading dimensions."""
    ordered = contiguous(x.transpose(order))
    return ordered.reshape(math.prod(ordered.shape[:-1]), x.shape[-1])  # which -1 could not tell where k is 0


def _common_order(g: Any, input: Any) -> list[int]:
    """An order of dimensions in which the rows of ``g``, and of ``input`` unless it is None, lie one behind the other; without one, that of the shape."""
    order = None if g.flags.c_contiguous else dense_order(g)
    if order is None or order[-1] != g.ndim - 1 or not (input is None or input.transpose(order).flags.c_contiguous):
        return list(range(g.ndim))
    return order


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
    if g.ndim == 2:
        return _gradients_of_rows(wanted, g, input, weight)
    order = _common_order(g, input if wanted[1] else None)
    slope, *slopes = _gradients_of_rows(wanted, _rows(g, order), _rows(input, order) if wanted[1] else None, weight)
    if slope is not None:  # which lies in memory as g does
        shape = [g.shape[d] for d in order[:-1]]
        slope = slope.reshape(*shape, weight.shape[1]).transpose(sorted(range(g.ndim), key=order.__getitem__))
    return slope, *slopes


def _gradients_of_rows(wanted: tuple[bool, bool, bool], g: Any, x: Any, weight: Any) -> tuple[Any, Any, Any]:
    small = small_linear_gradients(wanted, g, None, x, weight)
    if small is not None:
        return small
    return matmul(g, weight) if wanted[0] else None, matmul(g.T, x) if wanted[1] else None, _column_sums(g) if wanted[2] else None
