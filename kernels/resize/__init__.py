"""Resizing lines, images and volumes, and sampling images and volumes at given places.

A resized array is a linear map of each of its last dimensions, which a table says (``_tables``); the gradient is the same by the adjoints of the tables.
"""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._device import family
from .._half import float32_on_cpu
from ..copy import contiguous, zeros
from . import _tables
from ._places import BORDER, REFLECTION, ZEROS

__all__ = [
    "BORDER",
    "REFLECTION",
    "ZEROS",
    "pick",
    "resample",
    "sample",
    "sample_grid_gradient",
    "sample_input_gradient",
    "tables_for",
]

_on = family(__name__)


def tables_for(
    old: Sequence[int],
    new: Sequence[int],
    factors: Sequence[float | None],
    mode: str,
    align_corners: bool,
    antialias: bool,
    dtype: np.dtype,
) -> tuple[_tables.Table, ...]:
    """The tables by which arrays of ``dtype`` with last dimensions ``old`` are resized to ``new``, one for each.

    ``mode``: "nearest", "nearest-exact", "linear", "cubic" or, with ``antialias``, "lanczos".  ``factors``: new / old where it is not to be the ratio of the
    sizes.
    """
    kind = _dtypes.float64 if dtype == _dtypes.float64 else _dtypes.float32
    return tuple([_tables.table(o, n, f, mode, align_corners, antialias, kind) for o, n, f in zip(old, new, factors)])


def _volumes(x: Any, tables: Sequence[_tables.Table]) -> tuple[Any, tuple[_tables.Table, ...], tuple[int, ...]]:
    """``x`` as (planes, D, H, W), a table for each of D, H and W, and the shape of the result."""
    kept = x.ndim - len(tables)
    if not 1 <= len(tables) <= 3 or tuple(x.shape[kept:]) != tuple(t.old for t in tables):
        raise RuntimeError(f"resize: expected last dimensions of sizes {[t.old for t in tables]}, but got {list(x.shape)}")
    shape = (*x.shape[:kept], *[t.new for t in tables])
    filled = (*[_tables.one(tables[0].weights.dtype)] * (3 - len(tables)), *tables)
    planes = math.prod(x.shape[:kept])
    return contiguous(x).reshape((planes, *[t.old for t in filled])), filled, shape


def pick(x: Any, tables: Sequence[_tables.Table]) -> Any:
    """The element of ``x`` that each place of the result takes its value from, by tables of mode "nearest" or "nearest-exact"; of any dtype."""
    volumes, filled, shape = _volumes(x, tables)
    if volumes.shape[0] == 0:
        return volumes.reshape(shape)
    return _on(x).pick(volumes, filled).reshape(shape)


@float32_on_cpu
def resample(x: Any, tables: Sequence[_tables.Table]) -> Any:
    """Each of the last dimensions of ``x`` mapped by its table; floating dtypes, else NotImplementedError.  The gradient is ``resample`` by the tables'
    adjoints."""
    if x.dtype not in _dtypes.FLOATS:
        raise NotImplementedError(f"resize: not implemented for {_dtypes.name(x.dtype)}")
    volumes, filled, shape = _volumes(x, tables)
    if volumes.shape[0] == 0:
        return volumes.reshape(shape)
    return _on(x).resample(volumes, filled).reshape(shape)


# ---- sampling ----------------------------------------------------------------------------------------------------------------------------

# ``x`` is (N, C, H, W) or (N, C, D, H, W), ``grid`` (N, ..., 2) or (N, ..., 3) with coordinates from −1 to 1, that along the last dimension of ``x`` first, and
# results are (N, C, ...).  ``mode``: "nearest", "linear", "cubic" (images only); ``border``: what lies outside, ZEROS, BORDER or REFLECTION.


def _checked(op: str, x: Any, grid: Any, mode: str) -> None:
    dims = x.ndim - 2
    if x.dtype not in _dtypes.FLOATS or x.dtype != grid.dtype:
        raise RuntimeError(f"{op}: expected arrays of one floating dtype, but got {_dtypes.name(x.dtype)} and {_dtypes.name(grid.dtype)}")
    if (
        dims not in (2, 3)
        or grid.ndim != x.ndim
        or grid.shape[-1] != dims
        or grid.shape[0] != x.shape[0]
        or (mode == "cubic" and dims == 3)
    ):
        raise RuntimeError(f"{op}: shapes {list(x.shape)} and {list(grid.shape)} do not go together ({mode})")


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    """Of an image or a volume, as a grid counts: that of the last dimension first."""
    return tuple(int(n) for n in reversed(shape[2:]))


def _listed(x: Any) -> Any:
    """(N, C, ...) as (N, C, elements)."""
    return contiguous(x).reshape((*x.shape[:2], math.prod(x.shape[2:])))


def _places(grid: Any) -> Any:
    return contiguous(grid).reshape((grid.shape[0], math.prod(grid.shape[1:-1]), grid.shape[-1]))


@float32_on_cpu
def sample(x: Any, grid: Any, mode: str, border: int, aligned: bool) -> Any:
    """y[n, c, p] = Σ over the elements around grid[n, p] of their weights times x[n, c]"""
    _checked("sample", x, grid, mode)
    shape = (*x.shape[:2], *grid.shape[1:-1])
    if 0 in shape:
        return zeros(shape, x.dtype, x)
    return _on(x, grid).sample(_listed(x), _places(grid), _sizes(x.shape), mode, border, bool(aligned)).reshape(shape)


@float32_on_cpu
def sample_input_gradient(grad: Any, grid: Any, shape: Sequence[int], mode: str, border: int, aligned: bool) -> Any:
    """The gradient of ``sample``'s first argument, of ``shape``: linear in ``grad``, and the adjoint of ``sample`` there."""
    shape = tuple(shape)
    if 0 in grad.shape:
        return zeros(shape, grad.dtype, grad)
    return _on(grad, grid).sample_input_gradient(_listed(grad), _places(grid), _sizes(shape), mode, border, bool(aligned)).reshape(shape)


@float32_on_cpu
def sample_grid_gradient(grad: Any, x: Any, grid: Any, mode: str, border: int, aligned: bool) -> Any:
    """The gradient of ``sample``'s second argument: linear in ``grad`` and in ``x``."""
    _checked("sample", x, grid, mode)
    if 0 in grad.shape or mode == "nearest":  # whose values change by jumps
        return zeros(grid.shape, grid.dtype, grid)
    found = _on(grad, x, grid).sample_grid_gradient(_listed(grad), _listed(x), _places(grid), _sizes(x.shape), mode, border, bool(aligned))
    return found.reshape(grid.shape)
