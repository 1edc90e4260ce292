"""Reductions and scans on the CPU: which loop runs on which shape, and the small loops before and after it.

All arrays are flat and contiguous; (outer, n, inner) says how they are read.
"""

from __future__ import annotations

import functools
import math
import struct
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .. import _dtypes
from .._cpu import array_at, capi, compiled, empty, full, inline, kernel, launch, layout, load
from .._cpu.functions import functions_for
from .._cpu.simd import COMPILED
from .._cpu.simd_rows import ROW_OPERATIONS
from .._cpu.threads import PARALLEL_WORK
from .._cpu.types import IN_SOURCE, int64, signature
from ..copy import cast, fill
from . import _entry, _fold, _running, _scan
from ._fold import ROW_BLOCK, SHORT, TILE, blocking
from ._plan import CONTINUES
from ._quick import VALUES, Quick
from ._scan import SCAN_TILE, cumprod, cumsum, cumsum_rows, integer_cumsum_rows, linear

_BYTE = np.dtype(np.uint8)
_BOOL = np.dtype(np.bool_)
_WORD = np.dtype(np.int64)
# One, of the type that a running product of floats or complex numbers is multiplied in.
_ONE = {"f": 1.0, "c": 1 + 0j}
# The types whose rows are folded in registers.
_FOLDED = (np.dtype(np.float32), np.dtype(np.float64))
# How the exponent of a power is packed into a word, by the type of the arithmetic.
_POWERS = {np.dtype(np.float32): "=f4x", np.dtype(np.float64): "=d"}
_IDS, _ROWS_WORDS, _COLUMNS_WORDS = (struct.Struct(layout).pack for layout in ("=QQ", "=QQQq", "=QQQ4q"))
_MOST_ROUTES = 4096
# Where the bytes of a bytes object stand behind its head.
_BYTES = bytes.__basicsize__ - 1
_blocking = getattr(blocking, "py_func", blocking)


class Pass(NamedTuple):
    """One launch: a kernel of ``_fold`` over [0, tasks) that makes ``size`` elements of ``dtype``."""

    start: Callable[..., None]  # (tasks, address of the words, work=)
    tasks: int
    size: int | tuple[int, ...]
    dtype: np.dtype
    words: bytes  # what the kernel is given behind the ids of its two arrays
    work: int


@functools.lru_cache(maxsize=None)
def _launcher(function: Any) -> Callable[..., None]:
    """A kernel ``(lo, hi, words)`` as a function of n, the address of the words and ``work=``."""
    return compiled(function, signature(int64))


def _kernel_for(name: str, source: np.dtype, target: np.dtype, n: int, inner: int) -> tuple[int, Any]:
    """The kernel for a middle axis of n, and which it is: 0 for short rows, 1 for rows folded in registers, 2 for all else."""
    if inner == 1 and n <= SHORT:
        return 0, _fold.short_rows(name, source, target)
    if inner == 1 and COMPILED and name in ROW_OPERATIONS and source == target and target in _FOLDED:
        return 1, _fold.row_blocks(name, target)
    return 2, _fold.blocks(name, source, target)


@functools.lru_cache(maxsize=4096)
def _passes(name: str, source: np.dtype, target: np.dtype, outer: int, n: int, inner: int, power: float) -> list[Pass]:
    """The launches that combine elements of ``source`` over n >= 1 into ``target``; neither is bool."""
    found: list[Pass] = []
    while n or not found:
        which, function = _kernel_for(name, source, target, n, inner)
        real = np.empty(0, source).real.dtype
        words = struct.pack(_POWERS.get(real, "=q"), power if real in _POWERS else 0)
        parts, tasks = 1, outer
        if which == 0:
            words += struct.pack("=q", n)
        elif which == 1:
            parts = -(-n // ROW_BLOCK)
            tasks *= parts
            words += struct.pack("=2q", n, parts)
        else:
            fold, rows, parts, tile, tiles = _blocking(n, inner)
            tasks *= parts * tiles
            words += struct.pack("=7q", n, inner, fold, rows, parts, tile, tiles)
        found.append(Pass(_launcher(function), tasks, outer * parts * inner, target, words, outer * n * inner))
        name, source, n = CONTINUES.get(name, name), target, 0 if parts == 1 else parts
    return found


def operand(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``x`` as ``reduce`` reads it for accumulators of ``dtype``."""
    return cast(x, dtype)


def reduce(name: str, x: np.ndarray, outer: int, n: int, inner: int, dtype: np.dtype, power: float) -> np.ndarray:
    """``x`` (outer, n, inner) combined over n >= 1 into (outer, inner) of ``dtype`` by the operation ``name`` of ``_operations.OPERATIONS``."""
    source = x.dtype
    if source.kind == "c" and name == "sum":  # real and imaginary parts are columns of their own
        source = x.real.dtype
        return _run(_passes(name, source, source, outer, n, 2 * inner, power), x).view(dtype)
    if dtype == _BOOL:
        return _run(_passes(name, _BYTE if source == _BOOL else source, _BYTE, outer, n, inner, power), x).view(_BOOL)
    return _run(_passes(name, _BYTE if source == _BOOL else source, dtype, outer, n, inner, power), x)


def _run(steps: Sequence[Pass], x: np.ndarray) -> np.ndarray:
    """``x``, contiguous, after these passes, one behind the other."""
    for start, tasks, size, dtype, words, work in steps:
        out = np.empty(size, dtype) if tasks == 1 else empty(size, dtype)  # of one task there is little
        packed = _IDS(id(out), id(x)) + words
        start(tasks, id(packed) + _BYTES, work=work)
        x = out
    return x


def first_extremum(name: str, x: np.ndarray, outer: int, n: int, inner: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The largest ("amax") or smallest ("amin") of n elements, or NaN, and the index of the first of them: two passes, the second of which stops
    early."""
    best = reduce(name, x, outer, n, inner, dtype, 0.0)
    return best, _first_match(x, best, outer, n, inner)


def _first_match(x: np.ndarray, best: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    """The index along n of the first element of ``x`` that equals its ``best`` (outer, inner) or is NaN."""
    dtype = _BYTE if x.dtype == _BOOL else x.dtype
    index = empty(outer * inner, np.int64)
    if inner == 1:
        packed = _ROWS_WORDS(id(index), id(x), id(best), n)
        _launcher(_scan.first_in_rows(dtype))(outer, id(packed) + _BYTES, work=outer * n)
    else:
        tile = min(inner, TILE)
        tiles = -(-inner // tile)
        packed = _COLUMNS_WORDS(id(index), id(x), id(best), n, inner, tile, tiles)
        _launcher(_scan.first_in_columns(dtype))(outer * tiles, id(packed) + _BYTES, work=outer * n * inner)
    return index


def learn(quick: Quick, op: str, x: np.ndarray, dim: Any, keepdim: bool, y: np.ndarray) -> None:
    """Let compiled code take over from ``quick``'s general way for arrays like ``x``, of which ``op`` made ``y``."""
    target = y.dtype if quick.wanted == VALUES else x.dtype  # of the accumulators
    if type(x) is not np.ndarray or not x.flags.c_contiguous or not x.size or not capi.SUPPORTED:
        return
    if _dtypes.compute_dtype(x.dtype) is not x.dtype or target.kind == "c":
        return  # what has to be converted first, or is reduced as something else
    outer, n, inner = 1, x.size, 1
    if type(dim) is int and -x.ndim <= dim < x.ndim:
        first = dim % x.ndim
        outer, n, inner = math.prod(x.shape[:first]), x.shape[first], math.prod(x.shape[first + 1 :])
    elif dim is not None:
        return
    source, target = (_BYTE if dtype == _BOOL else dtype for dtype in (x.dtype, target))
    function, mean = ("sum", True) if op == "mean" else (op, False)
    _take_over(quick)
    if x.size < PARALLEL_WORK:
        _teach(quick, function, mean, x.dtype, source, target, y.dtype, outer, n, inner)
    elif quick.wanted == VALUES:
        steps = _passes(function, source, target, outer, n, inner, 0.0)
        if len(quick.routes) >= _MOST_ROUTES:
            quick.routes.clear()
        # The last pass allocates the result in its shape and type.
        last = steps[-1]._replace(size=y.shape, dtype=y.dtype)
        quick.routes[layout.layout(x), dim, keepdim] = [*steps[:-1], last], n if mean else 0


def _take_over(quick: Quick) -> None:
    """Put compiled code in place of both functions."""
    if quick.rows is not None:
        return
    rows, routes, general = _entry.Rows(), quick.routes, quick.general

    def large(x: np.ndarray, dim: Any, keepdim: bool) -> Any:
        found = routes.get((layout.layout(x), dim, keepdim))
        if found is None:
            return general(x, dim, keepdim)
        steps, divisor = found
        y = _run(steps, x)
        return divide(y, divisor) if divisor else y

    quick.call = _entry.builtin(quick.name, quick.wanted, rows, general, large, None)
    if quick.box is not None:
        quick.boxed = _entry.builtin(quick.name, quick.wanted, rows, quick.boxed_general, large, quick.box)
    quick.rows = rows


def _teach(
    quick: Quick, op: str, mean: bool, dtype: np.dtype, source: np.dtype, target: np.dtype, result: np.dtype, outer: int, n: int, inner: int
) -> None:
    """Tell the compiled code about the kernels for (outer, n, inner)."""
    rows = quick.rows
    further = CONTINUES.get(op, op)
    by_rows = [_kernel_for(name, kind, target, SHORT + 1, 1)[0] == 1 for name, kind in ((op, source), (further, target))]
    at = rows.row(dtype, result, target, (by_rows[0], by_rows[1]))
    if at is None:
        return
    if quick.wanted != VALUES:
        rows.find(at, inner == 1, (_scan.first_in_rows if inner == 1 else _scan.first_in_columns)(source))
    if mean:
        rows.divide(at, _divide(target))
    which, function = _kernel_for(op, source, target, n, inner)
    parts = 1 if which == 0 else -(-n // ROW_BLOCK) if which == 1 else _blocking(n, inner)[2]
    if parts > 1:
        rows.second(at, *_kernel_for(further, target, target, parts, inner))
    rows.first(at, which, function)


def scan(name: str, x: np.ndarray, outer: int, n: int, inner: int, dtype: np.dtype) -> np.ndarray:
    """The running sum ("cumsum") or product ("cumprod") of ``x`` along n, in ``dtype``."""
    if x.dtype == _BOOL:
        x = x.view(_BYTE)
    out = empty(x.size, dtype)
    if inner == 1 and name == "cumsum":
        launch(cumsum_rows if dtype.kind in "fc" else integer_cumsum_rows, outer, out, x, n, work=3 * x.size)
        return out
    tile = min(inner, SCAN_TILE)
    tiles = -(-inner // tile)
    if name == "cumsum":
        launch(cumsum, outer * tiles, out, x, n, inner, tile, tiles, work=x.size)
    else:
        launch(cumprod, outer * tiles, out, x, n, inner, tile, tiles, _ONE.get(dtype.kind, 1), work=x.size)
    return out


def linear_scan(a: np.ndarray, b: np.ndarray, outer: int, n: int, inner: int, reverse: bool) -> np.ndarray:
    """y_j = b_j + a_j · y_(j-1) along n, from the end if ``reverse``."""
    out = empty(b.size, b.dtype)
    tile = min(inner, SCAN_TILE)
    tiles = -(-inner // tile)
    launch(linear, outer * tiles, out, a, b, n, inner, tile, tiles, int(reverse), work=2 * b.size)
    return out


def running_extremum(op: str, x: np.ndarray, outer: int, n: int, inner: int) -> tuple[np.ndarray, np.ndarray]:
    """The running maximum ("cummax") or minimum ("cummin") of ``x`` along n, and where each is."""
    values, indices = empty(x.size, x.dtype), empty(x.size, _dtypes.int64)
    if inner == 1:
        along = _running.largest_of_rows if op == "cummax" else _running.smallest_of_rows
        launch(along, outer, values, indices, x, n, work=3 * x.size)
        return values, indices
    tile = min(inner, _running.TILE)
    tiles = -(-inner // tile)
    function = _running.largest if op == "cummax" else _running.smallest
    launch(function, outer * tiles, values, indices, x, n, inner, tile, tiles, work=3 * x.size)
    return values, indices


def running_logsumexp(x: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    """The running log Σ exp of ``x`` along n."""
    out = empty(x.size, x.dtype)
    if inner == 1:
        launch(_running.logsumexp_of_rows(x.dtype), outer, out, x, n, work=20 * x.size)
        return out
    tile = min(inner, _running.TILE)
    tiles = -(-inner // tile)
    launch(_running.logsumexp(x.dtype), outer * tiles, out, x, n, inner, tile, tiles, work=20 * x.size)
    return out


def filled(shape: tuple[int, ...], value: Any, dtype: np.dtype) -> np.ndarray:
    """An array of the identity of a reduction over no elements."""
    if dtype not in _dtypes.HALVES:
        return full(shape, value, dtype)
    out = empty(shape, dtype)
    fill(out, value)
    return out


@functools.lru_cache(maxsize=None)
def _divide(dtype: np.dtype) -> Any:
    """The kernel of x / divisor.  words: out, x, divisor"""
    kind, word = IN_SOURCE[dtype], IN_SOURCE[_WORD]

    @kernel(source=f"reduce divide {dtype}")
    def divide(lo, hi, words):
        out, x = array_at(load(words, word), hi, kind), array_at(load(words + 8, word), hi, kind)
        divisor = load(words + 16, kind)
        for i in range(np.uint64(lo), np.uint64(hi)):
            out[i] = x[i] / divisor

    return divide


def divide(x: np.ndarray, divisor: float) -> np.ndarray:
    """x / divisor, in place; 0 / 0 is NaN."""
    real = x.real.dtype
    size = x.size if real is x.dtype else 2 * x.size
    packed = _IDS(id(x), id(x)) + struct.pack(_POWERS[real], divisor)
    _launcher(_divide(real))(size, id(packed) + _BYTES, work=size)
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


def deviations(x: np.ndarray, centre: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    """Σ |x - centre|² over n, of x (outer, n, inner) and centre (outer, inner)."""
    apart = _apart("difference", 1, x, centre, outer, n, inner)
    return reduce("squared", apart, outer, n, inner, x.real.dtype, 0.0)


def exponentials(x: np.ndarray, centre: np.ndarray, outer: int, n: int, inner: int) -> np.ndarray:
    """Σ exp(x - centre) over n, of x (outer, n, inner) and centre (outer, inner)."""
    return reduce("sum", _apart("exp", 8, x, centre, outer, n, inner), outer, n, inner, x.dtype, 0.0)


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


# Up to so many bytes the result of ``spread`` is an array of its own.
_WRITTEN_BYTES = 1 << 15


def spread(g: np.ndarray, shape: tuple[int, ...], dims: tuple[int, ...]) -> np.ndarray:
    """Contiguous ``g``, the result of reducing ``dims`` of ``shape``, as ``shape``: a view in which the strides of those dims are 0, or, of one number,
    a small array."""
    if g.size == 1 and g.dtype.kind in "fc" and math.prod(shape) * g.dtype.itemsize <= _WRITTEN_BYTES:
        return filled(shape, g.item(), g.dtype)
    strides, step = [0] * len(shape), g.dtype.itemsize
    for j in range(len(shape) - 1, -1, -1):
        if j not in dims:
            strides[j] = step
            step *= shape[j]
    if 0 in shape or g.dtype.names is not None:  # nothing to point at, or bfloat16, which NumPy does not lend as bytes
        return np.lib.stride_tricks.as_strided(g, shape, strides)
    return np.ndarray(shape, g.dtype, g, 0, tuple(strides))
