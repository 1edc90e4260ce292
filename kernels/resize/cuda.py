"""Resizing and sampling on CUDA."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty
from .._cuda.elements import divisor, index_type
from .._cuda.launch import blocks, launch
from .._cuda.radix import sort_pairs
from .._cuda.streams import current_handle
from .._cuda.transfer import to_device
from . import _cuda_lines, _cuda_sampling
from ._tables import Table

_WORDS: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}


def _there(table: Table, device: int) -> list[CudaArray]:
    """First places, starts of the runs and weights on ``device``, where they stay for the current stream's work as long as the table."""
    key = device, current_handle(device)
    if key not in table.elsewhere:
        parts = table.first.astype(np.int32), table.starts.astype(np.int32), table.weights
        table.elsewhere[key] = [to_device(part, device) for part in parts]
    return table.elsewhere[key]


def pick(x: CudaArray, tables: tuple[Table, Table, Table]) -> CudaArray:
    y = empty((x.shape[0], *[t.new for t in tables]), x.dtype)
    numbers = [n for t in tables for n in (_there(t, x.device_index)[0].pointer, t.old, *divisor(t.new))]
    found = _cuda_lines.pick(_WORDS[x.itemsize], index_type(max(x.size, y.size)))
    launch(found, *blocks(y.size), (y.pointer, x.pointer, *numbers, y.size))
    return y


def resample(x: CudaArray, tables: tuple[Table, Table, Table]) -> CudaArray:
    y = empty((x.shape[0], *[t.new for t in tables]), x.dtype)
    numbers = [n for t in tables for n in (*[part.pointer for part in _there(t, x.device_index)], t.old, *divisor(t.new))]
    found = _cuda_lines.resample(x.dtype, index_type(max(x.size, y.size)))
    launch(found, *blocks(y.size), (y.pointer, x.pointer, *numbers, y.size))
    return y


# ---- sampling ----------------------------------------------------------------------------------------------------------------------------


def _corners(grid: CudaArray, sizes: tuple[int, ...], mode: str, border: int, aligned: bool, sloped: bool) -> tuple[CudaArray, ...]:
    """Elements, weights and, if ``sloped``, derivatives of the weights: (corners, places), (corners, places), (dims, corners, places)."""
    dims, n = len(sizes), grid.shape[0] * grid.shape[1]
    corners = _cuda_sampling.corners_of(mode, dims)
    kind = _dtypes.compute_dtype(grid.dtype)
    index, weights, slopes = empty((corners, n), np.int64), empty((corners, n), kind), empty((dims * sloped, corners, n), kind)
    found = _cuda_sampling.places(grid.dtype, mode, dims, sloped)
    launch(found, *blocks(n), (index.pointer, weights.pointer, slopes.pointer, grid.pointer, *(*sizes, 1)[:3], border, aligned, n))
    return index, weights, slopes


def sample(x: CudaArray, grid: CudaArray, sizes: tuple[int, ...], mode: str, border: int, aligned: bool) -> CudaArray:
    index, weights, _ = _corners(grid, sizes, mode, border, aligned, False)
    places = grid.shape[1]
    y = empty((*x.shape[:2], places), x.dtype)
    numbers = *divisor(places), *divisor(x.shape[1]), x.shape[2], index.shape[1], y.size
    found = _cuda_sampling.sample(x.dtype, index.shape[0], index_type(y.size))
    launch(found, *blocks(y.size), (y.pointer, x.pointer, index.pointer, weights.pointer, *numbers))
    return y


def sample_input_gradient(grad: CudaArray, grid: CudaArray, sizes: tuple[int, ...], mode: str, border: int, aligned: bool) -> CudaArray:
    index, weights, _ = _corners(grid, sizes, mode, border, aligned, False)
    (images, channels, places), size = grad.shape, math.prod(sizes)
    lost = images * size
    keys = empty(index.size, np.uint32 if lost < 1 << 32 else np.uint64)
    K: Any = keys.dtype.type
    numbers = *divisor(index.shape[1]), *divisor(places), size, lost, index.size
    launch(_cuda_sampling.number(K, index_type(index.size)), *blocks(index.size), (keys.pointer, index.pointer, *numbers))
    keys, order = sort_pairs(keys, lost.bit_length())
    starts = empty(lost + 1, np.int64)
    launch(_cuda_sampling.begin(K), *blocks(index.size + 1), (starts.pointer, keys.pointer, lost, index.size))
    dx = empty((images, channels, size), grad.dtype)
    numbers = *divisor(size), *divisor(channels), places, index.shape[1], dx.size
    P: Any = order.dtype.type
    found = _cuda_sampling.collect(grad.dtype, P, index_type(dx.size))
    launch(found, *blocks(dx.size), (dx.pointer, grad.pointer, starts.pointer, order.pointer, weights.pointer, *numbers))
    return dx


def sample_grid_gradient(
    grad: CudaArray, x: CudaArray, grid: CudaArray, sizes: tuple[int, ...], mode: str, border: int, aligned: bool
) -> CudaArray:
    index, _, slopes = _corners(grid, sizes, mode, border, aligned, True)
    turned = empty(grid.shape, grid.dtype)
    found = _cuda_sampling.turn(grad.dtype, index.shape[0], len(sizes))
    pointers = turned.pointer, grad.pointer, x.pointer, index.pointer, slopes.pointer
    launch(found, *blocks(index.shape[1]), (*pointers, grid.shape[1], grad.shape[1], x.shape[2], index.shape[1]))
    return turned
