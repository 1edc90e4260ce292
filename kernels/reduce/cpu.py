"""Reductions and scans on the CPU: which loop runs on which shape, and the small loops before and after it.

All arrays are flat and contiguous; (outer, n, inner) says how they are read.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .._cpu import empty, full, inline, kernel, launch
from .._cpu.functions import functions_for
from .._cpu.simd import COMPILED
from .._cpu.simd_rows import ROW_OPERATIONS
from ._fold import LANES, ROW_BLOCK, ROWS, SHORT, TILE, blocks, row_blocks, short_rows
from ._plan import CONTINUES
from ._scan import SCAN_TILE, cumprod, cumsum, cumsum_rows, first_in_columns, first_in_rows, linear

_BYTE = np.dtype(np.uint8)
_BOOL = np.dtype(np.bool_)
# The types whose rows are folded in registers.
_FOLDED = (np.dtype(np.float32), np.dtype(np.float64))


def _power_of_two(value: int) -> int:
    """The largest power of two not above ``value``, at least 1."""
    return 1 << max(0, value.bit_length() - 1)


@functools.lru_cache(maxsize=4096)
def _blocking(n: int, inner: int) -> tuple[int, int, int, int, int]:
    """(fold, rows per block, blocks, columns per tile, tiles): a function of the shape only, so that results do not depend on threads."""
    fold = min(_power_of_two(LANES // inner), _power_of_two(n // 8))
    rows = ROWS * fold
    tile = min(inner, TILE)
    return fold, rows, -(-n // rows), tile, -(-inner // tile)


def reduce(name: str, x: np.ndarray, outer: int, n: int, inner: int, dtype: np.dtype, power: float) -> np.ndarray:
    """``x`` (outer, n, inner) combined over n >= 1 into (outer, inner) of ``dtype`` by the operation ``name`` of ``_fold.OPERATIONS``."""
    if x.dtype == _BOOL:
        x = x.view(_BYTE)
    accumulator = _BYTE if dtype == _BOOL else dtype
    if x.dtype.kind == "c" and name == "sum":  # real and imaginary parts are columns of their own
        real = x.real.dtype
        return reduce(name, x.view(real), outer, n, 2 * inner, real, power).view(dtype)
    p = x.real.dtype.type(power) if name == "power" else 0.0
    while True:
        if inner == 1 and n <= SHORT:
            out = empty(outer, accumulator)
            launch(short_rows(name), outer, out, x, p, n, work=outer * n)
            break
        if inner == 1 and COMPILED and name in ROW_OPERATIONS and x.dtype == dtype and dtype in _FOLDED:
            parts = -(-n // ROW_BLOCK)
            out = empty(outer * parts, dtype)
            launch(row_blocks(name, dtype), outer * parts, out, x, n, parts, work=outer * n)
            if parts == 1:
                return out
            x, n, name = out, parts, CONTINUES.get(name, name)
            continue
        fold, rows, parts, tile, tiles = _blocking(n, inner)
        out = empty(outer * parts * inner, accumulator)
        launch(blocks(name), outer * parts * tiles, out, x, p, n, inner, fold, rows, parts, tile, tiles, work=outer * n * inner)
        if parts == 1:
            break
        x, n, name = out, parts, CONTINUES.get(name, name)
        if name != "power":
            p = 0.0
    return out if accumulator is dtype else out.view(dtype)


def first_match(x: np.ndarray, best: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    """The index along n of the first element of ``x`` that equals its ``best`` (outer, inner) or is NaN."""
    if x.dtype == _BOOL:
        x, best = x.view(_BYTE), best.view(_BYTE)
    index = empty(outer * inner, np.int64)
    if inner == 1:
        launch(first_in_rows, outer, index, x, best, n, work=outer * n)
    else:
        tile = min(inner, TILE)
        tiles = -(-inner // tile)
        launch(first_in_columns, outer * tiles, index, x, best, n, inner, tile, tiles, work=outer * n * inner)
    return index


def scan(name: str, x: np.ndarray, outer: int, n: int, inner: int, dtype: np.dtype) -> np.ndarray:
    """The running sum ("cumsum") or product ("cumprod") of ``x`` along n, in ``dtype``."""
    if x.dtype == _BOOL:
        x = x.view(_BYTE)
    out = empty(x.size, dtype)
    if inner == 1 and name == "cumsum":
        launch(cumsum_rows, outer, out, x, n, work=3 * x.size)
        return out
    tile = min(inner, SCAN_TILE)
    tiles = -(-inner // tile)
    launch(cumsum if name == "cumsum" else cumprod, outer * tiles, out, x, n, inner, tile, tiles, work=x.size)
    return out


def linear_scan(a: np.ndarray, b: np.ndarray, outer: int, n: int, inner: int, reverse: bool) -> np.ndarray:
    """y_j = b_j + a_j · y_(j-1) along n, from the end if ``reverse``."""
    out = empty(b.size, b.dtype)
    tile = min(inner, SCAN_TILE)
    tiles = -(-inner // tile)
    launch(linear, outer * tiles, out, a, b, n, inner, tile, tiles, int(reverse), work=2 * b.size)
    return out


def filled(shape: tuple[int, ...], value: Any, dtype: np.dtype) -> np.ndarray:
    """An array of the identity of a reduction over no elements."""
    return full(shape, value, dtype)


@kernel
def _divide(lo, hi, out, x, divisor):
    for i in range(np.uint64(lo), np.uint64(hi)):
        out[i] = x[i] / divisor


def divide(x: np.ndarray, divisor: float) -> np.ndarray:
    """x / divisor, in place; 0 / 0 is NaN."""
    real = x.real.dtype if x.dtype.kind == "c" else x.dtype
    parts = x.view(real)
    launch(_divide, parts.size, parts, parts, real.type(divisor), work=parts.size)
    return x


@kernel
def _sqrt(lo, hi, out, x):
    for i in range(np.uint64(lo), np.uint64(hi)):
        out[i] = math.sqrt(x[i])


@kernel
def _root(lo, hi, out, x, exponent):
    for i in range(np.uint64(lo), np.uint64(hi)):
        out[i] = x[i] ** exponent


def root(x: np.ndarray, p: float) -> np.ndarray:
    """x^(1/p), in place."""
    if p == 2.0:
        launch(_sqrt, x.size, x, x, work=x.size)
    else:
        launch(_root, x.size, x, x, x.dtype.type(1.0 / p), work=20 * x.size)
    return x


@kernel
def _add_scaled(lo, hi, out, x, y, scale):
    for i in range(np.uint64(lo), np.uint64(hi)):
        out[i] = x[i] + scale * y[i]


def add_scaled(x: np.ndarray, y: np.ndarray, scale: float) -> np.ndarray:
    """x + scale · y, in place of x."""
    launch(_add_scaled, x.size, x, x, y, x.dtype.type(scale), work=x.size)
    return x


@inline
def _difference(value, centre):
    return value - centre


def _exponential(dtype: np.dtype) -> Any:
    exp = functions_for(dtype, {"exp"})["exp"]

    @inline
    def formula(value, centre):
        return exp(value - centre)

    return formula


@functools.lru_cache(maxsize=None)
def _from_centre(name: str, dtype: np.dtype) -> Any:
    """The kernel of y[o, j, i] = f(x[o, j, i], c[o, i]).  A task is a stretch of one row: all of ``inner``, or of n where inner == 1."""
    formula = _difference if name == "difference" else _exponential(dtype)

    @kernel(source=f"reduce from centre {name} {dtype}")
    def from_centre(lo, hi, out, x, c, n, inner, stretch, parts):
        for task in range(lo, hi):
            if inner == 1:
                row = task // parts
                first = (task % parts) * stretch
                at = np.uint64(row * n + first)
                centre = c[row]
                for i in range(np.uint64(min(stretch, n - first))):
                    out[at + i] = formula(x[at + i], centre)
            else:
                at = np.uint64(task * inner)
                middle = np.uint64((task // n) * inner)
                for i in range(np.uint64(inner)):
                    out[at + i] = formula(x[at + i], c[middle + i])

    return from_centre


def _apart(name: str, cost: int, x: np.ndarray, c: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    out = empty(x.size, x.dtype)
    stretch = 4096
    parts = -(-n // stretch)
    tasks = outer * (parts if inner == 1 else n)
    launch(_from_centre(name, x.dtype), tasks, out, x, c, n, inner, stretch, parts, work=cost * x.size)
    return out


def centred(x: np.ndarray, centre: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    """x (outer, n, inner) - centre (outer, inner)."""
    return _apart("difference", 1, x, centre, outer, n, inner)


def centred_exp(x: np.ndarray, centre: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    """exp(x (outer, n, inner) - centre (outer, inner))."""
    return _apart("exp", 8, x, centre, outer, n, inner)


@kernel
def _finite(lo, hi, out, x):
    for i in range(np.uint64(lo), np.uint64(hi)):
        value = x[i]
        out[i] = value if value - value == 0 else x.dtype.type(0)


def finite(x: np.ndarray) -> np.ndarray:
    """x with infinities and NaN replaced by 0, in place."""
    launch(_finite, x.size, x, x, work=x.size)
    return x


@kernel
def _shifted_log(lo, hi, out, x, shift):
    for i in range(np.uint64(lo), np.uint64(hi)):
        out[i] = shift[i] + math.log(x[i])


def shifted_log(x: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """shift + log x, in place of x."""
    launch(_shifted_log, x.size, x, x, shift, work=20 * x.size)
    return x


def spread(g: np.ndarray, shape: tuple[int, ...], dims: tuple[int, ...]) -> np.ndarray:
    """Contiguous ``g``, the result of reducing ``dims`` of ``shape``, seen as ``shape``: the strides of those dims are 0."""
    strides, step = [0] * len(shape), g.dtype.itemsize
    for j in range(len(shape) - 1, -1, -1):
        if j not in dims:
            strides[j] = step
            step *= shape[j]
    if 0 in shape or g.dtype.names is not None:  # nothing to point at, or bfloat16, which NumPy does not lend as bytes
        return np.lib.stride_tricks.as_strided(g, shape, strides)
    return np.ndarray(shape, g.dtype, g, 0, tuple(strides))
