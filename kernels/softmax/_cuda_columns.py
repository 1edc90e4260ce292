"""Softmax along another dimension than the last on CUDA: arrays are (outer, width, inner), and neighbouring threads take neighbouring columns of inner.

A block is ``across`` columns, of each of which ``down`` threads take every ``down``-th element, so that few long columns occupy the device as well; what
those find meets in shared memory.  A column is read twice: for its maximum and the sum of its exponentials, which is scaled anew whenever the maximum
grows, and to be written.  Bound by memory bandwidth; what is read again often lies in the second-level cache.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda.collectives import add, largest
from .._cuda.driver import SIMULATED
from .._cuda.elements import narrow, widen
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ._cuda_rows import added_as_well

# So many columns, or so short ones, need one thread each.
_MANY, _SHORT = 1 << 17, 8


class Plan(NamedTuple):
    """The threads of a block."""

    across: int
    down: int


def plan(columns: int, width: int) -> Plan:
    """How ``columns`` of ``width`` elements are shared out."""
    alone = columns >= _MANY or width <= _SHORT
    if SIMULATED:
        return Plan(4, 1 if alone else 2)
    return Plan(128, 1) if alone else Plan(32, 16)


def grid(columns: int, plan: Plan) -> int:
    """The blocks for ``columns``."""
    return -(-columns // plan.across)


@functools.lru_cache(maxsize=None)
def _fold(combine: Any, T: Any, across: int, down: int) -> Any:
    """The function that combines the values of the threads that share a column, in the threads' order."""
    threads = across * down

    @inline
    def alone(value):  # type: ignore[no-untyped-def]
        return value

    @inline
    def fold(value):  # type: ignore[no-untyped-def]
        parts = cuda.shared.array(threads, dtype=T)
        x, y = np.uint32(cuda.threadIdx.x), np.uint32(cuda.threadIdx.y)
        cuda.syncthreads()  # the parts of a fold before this have been read
        parts[np.uint32(np.uint32(y * across) + x)] = value
        cuda.syncthreads()
        value = parts[x]
        for k in range(1, down):
            value = combine(value, parts[np.uint32(np.uint32(k * across) + x)])
        return value

    return alone if down == 1 else fold


@functools.lru_cache(maxsize=None)
def tools(dtype: np.dtype, plan: Plan) -> SimpleNamespace:
    """The parts that kernels over columns are made of: ``T``, ``exp``, ``log``; ``column()``, the thread's; ``peak(x, base, width, inner)``, its maximum
    and the sum of its exponentials; ``total`` and ``total_too``, which add up what the threads of a column found."""
    T: Any = _dtypes.compute_dtype(dtype).type
    functions = functions_for(np.dtype(T), {"exp", "log"})
    exp, log, read = functions["exp"], functions["log"], widen(dtype)
    find_top, find_total, find_total_too = (_fold(c, T, *plan) for c in (largest(T), add(T), added_as_well(T)))
    across, down = plan
    lowest, zero, one = T(np.finfo(T).min), T(0), T(1)

    @inline
    def column():  # type: ignore[no-untyped-def]
        return np.int64(cuda.blockIdx.x) * across + np.int64(cuda.threadIdx.x)

    @inline
    def peak(x, base, width, inner):  # type: ignore[no-untyped-def]
        """The maximum begins with a finite number: -inf - -inf would be NaN."""
        top, total = lowest, zero
        c = np.int64(cuda.threadIdx.y)
        at = base + c * inner
        while c < width:
            value = read(x[at])
            if value > top:
                total = total * exp(top - value) + one
                top = value
            else:
                total += exp(value - top)
            at += inner * down
            c += down
        highest = find_top(top)
        total = find_total(T(total * exp(top - highest)))
        return highest, T(total + (highest - highest))  # NaN if that is infinite

    return SimpleNamespace(
        T=T, exp=exp, log=log, column=column, peak=peak, total=find_total, total_too=find_total_too, zero=zero, one=one, down=down
    )


@functools.lru_cache(maxsize=None)
def softmax(dtype: np.dtype, plan: Plan, log: bool) -> Any:
    """y = exp(x - top) / total, or ``log``: (x - top) - log(total), for each of ``columns``."""
    t = tools(dtype, plan)
    exp, logarithm, column, peak, one, down = t.exp, t.log, t.column, t.peak, t.one, t.down
    read, write = widen(dtype), narrow(dtype)

    @kernel(pointer(dtype), pointer(dtype), np.int64, np.int64, np.int64, bounds=plan.across * plan.down)
    def softmax_columns(y, x, columns, width, inner):
        q = column()
        own = width if q < columns else np.int64(0)
        base = q // inner * width * inner + q % inner
        top, total = peak(x, base, own, inner)
        scale = logarithm(total) if log else one / total
        c = np.int64(cuda.threadIdx.y)
        at = base + c * inner
        while c < own:
            below = read(x[at]) - top
            y[at] = write(below - scale if log else exp(below) * scale)
            at += inner * down
            c += down

    return softmax_columns


@functools.lru_cache(maxsize=None)
def softmax_backward(dtype: np.dtype, plan: Plan, log: bool) -> Any:
    """dx = y * (g - Σ g y), or ``log``: g - exp(y) * Σ g."""
    t = tools(dtype, plan)
    exp, column, find_total, zero, down = t.exp, t.column, t.total, t.zero, t.down
    read, write = widen(dtype), narrow(dtype)

    @kernel(*[pointer(dtype)] * 3, np.int64, np.int64, np.int64, bounds=plan.across * plan.down)
    def softmax_columns_backward(dx, g, y, columns, width, inner):
        q = column()
        own = width if q < columns else np.int64(0)
        base = q // inner * width * inner + q % inner
        total = zero
        c = np.int64(cuda.threadIdx.y)
        at = base + c * inner
        while c < own:
            total += read(g[at]) if log else read(g[at]) * read(y[at])
            at += inner * down
            c += down
        total = find_total(total)
        c = np.int64(cuda.threadIdx.y)
        at = base + c * inner
        while c < own:
            grad, out = read(g[at]), read(y[at])
            dx[at] = write(grad - exp(out) * total if log else out * (grad - total))
            at += inner * down
            c += down

    return softmax_columns_backward
