"""Resizing and sampling on the CPU."""

from __future__ import annotations

import math

import numpy as np

from .._cpu import empty, launch
from . import _lines, _sampling
from ._tables import Table

_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def pick(x: np.ndarray, tables: tuple[Table, Table, Table]) -> np.ndarray:
    kind = _WORDS.get(x.itemsize, x.dtype)
    y = empty((x.shape[0], *[t.new for t in tables]), x.dtype)
    launch(_lines.picked, y.size // y.shape[3], y.view(kind), x.view(kind), *[t.first for t in tables], work=y.size)
    return y


def resample(x: np.ndarray, tables: tuple[Table, Table, Table]) -> np.ndarray:
    along, *rest = tables
    if along.identity:
        return _planes(x, *rest)
    if along.new < along.old:  # what is smaller goes on
        return _planes(_slices(x, along), *rest)
    return _slices(_planes(x, *rest), along)


def _slices(x: np.ndarray, along: Table) -> np.ndarray:
    planes, depth, height, width = x.shape
    return _rows(x.reshape(planes, depth, height * width), along).reshape(planes, along.new, height, width)


def _planes(x: np.ndarray, rows: Table, columns: Table) -> np.ndarray:
    planes, depth, height, width = x.shape
    x = x.reshape(planes * depth, height, width)
    if columns.identity:
        y = x if rows.identity else _rows(x, rows)
    elif rows.identity:
        y = _columns(x.reshape(-1, width), columns)
    else:
        y = _both(x, rows, columns)
    return y.reshape(planes, depth, rows.new, columns.new)


def _rows(x: np.ndarray, rows: Table) -> np.ndarray:
    y = empty((x.shape[0], rows.new, x.shape[2]), x.dtype)
    launch(_lines.rows_only, y.shape[0] * y.shape[1], y, x, rows.first, rows.starts, rows.weights, work=y.size * rows.most)
    return y


def _columns(x: np.ndarray, columns: Table) -> np.ndarray:
    y = empty((x.shape[0], columns.new), x.dtype)
    numbers = columns.first, columns.starts, columns.weights, columns.even
    launch(_lines.columns_only, len(y), y, x, *numbers, work=4 * y.size * columns.most)
    return y


def _both(x: np.ndarray, rows: Table, columns: Table) -> np.ndarray:
    y = empty((x.shape[0], rows.new, columns.new), x.dtype)
    down, across = (rows.first, rows.starts, rows.weights), (columns.first, columns.starts, columns.weights, columns.even)
    lines, work = y.shape[0] * y.shape[1], y.size * (rows.most + 4 * columns.most)
    if rows.new < rows.old:
        launch(_lines.rows_first, lines, y, x, *down, *across, work=work)
    else:
        launch(_lines.rows_last, lines, y, x, *down, rows.most, *across, work=work)
    return y


# ---- sampling ----------------------------------------------------------------------------------------------------------------------------


def _blocks(grid: np.ndarray) -> int:
    return len(grid) * -(-grid.shape[1] // _sampling.BLOCK)


def _counter(sizes: tuple[int, ...]) -> type:
    """The type that the elements of a channel are counted in."""
    return np.int32 if math.prod(sizes) < 1 << 31 else np.int64


def sample(x: np.ndarray, grid: np.ndarray, sizes: tuple[int, ...], mode: str, border: int, aligned: bool) -> np.ndarray:
    y = empty((*x.shape[:2], grid.shape[1]), x.dtype)
    found = _sampling.sample_of(x.dtype, _counter(sizes), mode, len(sizes))
    launch(found, _blocks(grid), y, x, grid, sizes, border, aligned, work=8 * y.size)
    return y


def sample_input_gradient(grad: np.ndarray, grid: np.ndarray, sizes: tuple[int, ...], mode: str, border: int, aligned: bool) -> np.ndarray:
    dx = empty((*grad.shape[:2], math.prod(sizes)), grad.dtype)
    found = _sampling.spread_of(grad.dtype, _counter(sizes), mode, len(sizes))
    launch(found, dx.shape[0] * dx.shape[1], dx, grad, grid, sizes, border, aligned, work=8 * grad.size)
    return dx


def sample_grid_gradient(
    grad: np.ndarray, x: np.ndarray, grid: np.ndarray, sizes: tuple[int, ...], mode: str, border: int, aligned: bool
) -> np.ndarray:
    turned = empty(grid.shape, grid.dtype)
    found = _sampling.turn_of(grad.dtype, _counter(sizes), mode, len(sizes))
    launch(found, _blocks(grid), turned, grad, x, grid, sizes, border, aligned, work=8 * grad.size)
    return turned
