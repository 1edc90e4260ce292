"""The gradients of a small linear layer in two launches instead of four or five.

What y = relu(x·Wᵀ + b) needs backward is g where y is positive and the sums of its columns, one pass over g, and then the products g·W and
gᵀ·x, which do not depend on one another.  In a small network each of them takes no longer than the way to it through Python, and the
threads would meet after each; so the products are one launch whose indices are the pieces of both.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple

import numpy as np

from .._cpu import address_of, array_at, array_from, compiled, get_num_threads, kernel, load
from .._cpu.capi import call_range
from .._cpu.types import intp, signature
from . import _gemm, _vector
from ._plan import allocator, is_blocked, strides_of, tiling

# Columns are summed row after row: sums over more rows are left to a tree, whose rounding error is small.
MOST_ROWS = 1024
# Elements of g up to which one thread passes over it; for more it is worth sharing.
MOST_ELEMENTS = 1 << 15

Gradients = Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]


@functools.lru_cache(maxsize=None)
def _flow(dtype: Any) -> Any:
    """The pass over g, as a launch over its rows that stays on one thread."""
    real, itemsize = np.dtype(dtype).type, np.dtype(dtype).itemsize

    @kernel
    def flow(lo, hi, columns, flowing_id, sums_id, g_id, y_id):
        """flowing = g where not y <= 0, else 0; sums = Σ_rows flowing.  No sums if their id is 0; flowing is g if y's is."""
        sums = array_at(sums_id, columns, real) if sums_id != 0 else array_from(0, 0, real)
        for j in range(sums.size):
            sums[j] = real(0)
        for r in range(lo, hi):
            g = array_from(address_of(g_id) + r * columns * itemsize, columns, real)
            if y_id != 0:
                y = array_from(address_of(y_id) + r * columns * itemsize, columns, real)
                flowing = array_from(address_of(flowing_id) + r * columns * itemsize, columns, real)
                for j in range(flowing.size):
                    flowing[j] = real(0) if y[j] <= real(0) else g[j]
                g = flowing
            for j in range(sums.size):
                sums[j] += g[j]

    return compiled(flow, signature(intp, intp, intp, intp, intp))


@kernel
def _two_products(lo, hi, plans, dx_id, dw_id, g_id, x_id, w_id):
    """dx = g·w and dw = gᵀ·x.  ``plans``: the code of ``_gemm``, the number of pieces of dx, and the addresses of the plans."""
    gemm, pieces = load(plans, np.int64), load(plans + 8, np.int64)
    if lo < pieces:
        call_range(gemm, lo, min(hi, pieces), load(plans + 16, np.int64), dx_id, g_id, w_id, 0, 0)
    if hi > pieces:
        call_range(gemm, max(lo - pieces, 0), hi - pieces, load(plans + 24, np.int64), dw_id, g_id, x_id, 0, 0)


_launch_two = compiled(_two_products, signature(*[intp] * 6))


class _Product(NamedTuple):
    """One of the two products, as ``_gemm`` is to make it."""

    shape: tuple[int, int]
    pieces: int
    plan_at: int
    plan: np.ndarray


def _product(a: Any, b: Any, threads: int) -> _Product | None:
    """How a·b is cut; None for a product that ``_gemm`` does not take, or needs a workspace for."""
    (m, k), n = a.shape, b.shape[1]
    if 0 in (m, k, n) or a.itemsize not in strides_of(a) or b.itemsize not in strides_of(b) or (k > 1 and min(m, n) <= _vector.FEW):
        return None
    pieces, space, plan_at, plan = tiling(a.dtype, 1, m, n, k, strides_of(a), strides_of(b), 0, 0, 0, threads)
    return None if space else _Product((m, n), pieces, plan_at, plan)


def prepare(wanted: tuple[bool, bool, bool], g: Any, y: Any, x: Any, weight: Any) -> Gradients | None:
    """A function of g, y (None: no relu), x and the weight that returns the gradients of x, weight and bias, each where ``wanted`` says so; None
    where the layer is not small or not plain.  It holds for operands of the same dtypes, shapes and strides and the present number of threads.
    """
    arrays = [g] + ([] if y is None else [y]) + ([x] if wanted[1] else []) + ([weight] if wanted[0] else [])
    if not is_blocked(g.dtype) or any(type(a) is not np.ndarray or a.dtype != g.dtype or a.ndim != 2 for a in arrays):
        return None
    if not g.flags.c_contiguous or not (y is None or y.flags.c_contiguous) or len(g) > MOST_ROWS or not 0 < g.size <= MOST_ELEMENTS:
        return None
    threads = get_num_threads()
    dx = _product(g, weight, threads) if wanted[0] else _NOTHING
    dw = _product(g.T, x, threads) if wanted[1] else _NOTHING
    return None if dx is None or dw is None else _prepared(wanted, g.shape, g.dtype, dx, dw)


_NOTHING = _Product((0, 0), 0, 0, np.empty(0, np.int64))


def _prepared(wanted: tuple[bool, bool, bool], shape: tuple[int, int], dtype: np.dtype, dx: _Product, dw: _Product) -> Gradients:
    rows, columns = shape
    plans = np.array([_gemm.gemm_address(dtype), dx.pieces, dx.plan_at, dw.plan_at], np.int64)
    plans_at, pieces, flow = plans.ctypes.data, dx.pieces + dw.pieces, _flow(dtype)
    work = rows * columns * (dx.shape[1] + dw.shape[1])
    new_dx, new_dw = allocator(dx.shape, dtype), allocator(dw.shape, dtype)

    def gradients(g: Any, y: Any, x: Any, weight: Any) -> tuple[Any, Any, Any]:
        sums = np.empty(columns, dtype) if wanted[2] else None
        if y is not None or wanted[2]:
            flowing = g if y is None else np.empty(shape, dtype)
            flow(rows, columns, id(flowing), id(sums) if wanted[2] else 0, id(g), 0 if y is None else id(y))
            g = flowing
        slope_x = new_dx(dx.shape, dtype) if wanted[0] else None
        slope_w = new_dw(dw.shape, dtype) if wanted[1] else None
        if pieces:
            _launch_two(pieces, plans_at, id(slope_x), id(slope_w), id(g), id(x), id(weight), work=work)
        return slope_x, slope_w, sums

    gradients.plans = plans, dx.plan, dw.plan  # type: ignore[attr-defined]  # of which it holds the addresses
    return gradients
