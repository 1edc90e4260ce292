"""Cross entropy on CUDA, forward: one kernel finds a sample's maximum, the sum of its exponentials and its loss.

With b the weights that the classes have in a loss (weight[target] at the target; with smoothing, or for class probabilities, some for every class), a
sample's loss is Σ b_c (log(total) + top - x_c), and the slope of its scores exp(x - top) / total · Σ b - b.  So two numbers of each sample are kept, top and
Σ b / total, and the gradient reads the scores again: that is less than to write the log-softmax and to read it.

``saved``: the maxima of the samples, their Σ b / total, and in the last place the weights counted.  Rows are shared out as for softmax
(``_cuda_rows``, ``_cuda_columns``); bound by memory bandwidth.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda import faults
from .._cuda.elements import narrow, widen
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from . import _cuda_columns, _cuda_rows


@functools.lru_cache(maxsize=None)
def _conclude(dtype: np.dtype, stored: np.dtype, soft: bool, weighted: bool, smoothing: bool) -> Any:
    """What one thread of a sample's writes: its loss (as ``stored``), its weight, and what the gradient needs."""
    T = _dtypes.compute_dtype(dtype).type
    read, write = widen(dtype), narrow(stored)
    zero, one = T(0), T(1)

    @inline
    def probabilities(losses, counts, saved, r, samples, top, total, spread, mass):  # type: ignore[no-untyped-def]
        losses[r] = write(spread)
        counts[r] = one
        saved[r] = top
        saved[samples + r] = mass / total

    @inline
    def indices(  # type: ignore[no-untyped-def]
        losses,
        counts,
        saved,
        r,
        samples,
        top,
        total,
        log_total,
        spread,
        mass,
        x,
        base,
        step,
        classes,
        target,
        weight,
        ignore,
        keep,
        each,
        record,
        outside,
    ):
        t = target[r]
        loss, counted, share = zero, zero, zero
        if t != ignore:
            if 0 <= t < classes:
                counted = read(weight[t]) if weighted else one
                loss = counted * ((top - read(x[base + t * step])) + log_total)
                share = counted
                if smoothing:
                    loss = keep * loss + each * spread
                    share = keep * counted + each * mass
                share = share / total
            else:
                faults.report(record, outside, t, classes, np.int64(0))
        losses[r] = write(loss)
        counts[r] = counted
        saved[r] = top
        saved[samples + r] = share

    return probabilities if soft else indices


def _types(dtype: np.dtype, stored: np.dtype, soft: bool, T: Any) -> list[Any]:
    """Of a kernel's parameters, from ``losses`` to ``outside``."""
    target = pointer(dtype) if soft else pointer(np.int64)
    return [pointer(stored), pointer(T), pointer(T), pointer(dtype), target, pointer(dtype), np.int64, T, T, faults.RECORD, np.int32]


@functools.lru_cache(maxsize=None)
def rows(dtype: np.dtype, stored: np.dtype, plan: _cuda_rows.Plan, soft: bool, weighted: bool, smoothing: bool) -> Any:
    """The losses of ``samples`` rows of ``classes`` scores.  ``keep`` and ``each``: what smoothing leaves to the target, and gives to every class."""
    t = _cuda_rows.tools(dtype, plan)
    T, I, log, hold, chunk, held, step = t.T, t.I, t.log, t.hold, t.chunk, plan.held, t.step
    load, find_member, find_first, find_total, rows_at_once = t.load, t.member, t.first, t.total_too, t.rows
    find, conclude, read = _cuda_rows.peak(dtype, plan), _conclude(dtype, stored, soft, weighted, smoothing), widen(dtype)
    lanes, vectors, none, zero, one = plan.lanes, plan.vectors, t.none, t.zero, t.one
    spreads = soft or smoothing

    @inline
    def spread_over(values, wanted, at, classes, weight, top, log_total, keep, each, spread, mass):  # type: ignore[no-untyped-def]
        """Add the b (log(total) + top - x), and the b, of the classes that the thread holds, from number ``at`` on."""
        for v in range(vectors):
            if at < classes:
                for k in range(lanes):
                    b = read(weight[np.int64(at) + k]) if weighted else one
                    if soft:
                        b *= keep * wanted[v * lanes + k] + each
                    spread += b * ((top - values[v * lanes + k]) + log_total)
                    mass += b
            at = I(at + step)
        return spread, mass

    # Told the bounds, the compiler would rather spill than take more than 64 registers: in float64, and for odd rows in blocks of 256 on sm_80.  512
    # threads have 128, and 768 have 80.
    bounds, most = (None, 128) if dtype == _dtypes.float64 else (None, 80) if (plan.block, plan.lanes) == (256, 1) else (plan.block, None)

    @kernel(*_types(dtype, stored, soft, T), np.int64, I, bounds=bounds, registers=most)
    def cross_entropy_rows(losses, counts, saved, x, target, weight, ignore, keep, each, record, outside, samples, classes):
        values = cuda.local.array(hold, T)
        wanted = cuda.local.array(hold, T)
        member, first = find_member(), find_first()
        block = np.int64(cuda.blockIdx.x) * rows_at_once
        while block < samples:
            row = block + member
            own = classes if row < samples else I(0)
            base = row * np.int64(classes)
            if held:
                load(values, x, base, first, own, none)
            top, total = find(values, x, base, first, own)
            log_total = log(total)
            spread, mass = zero, zero
            if spreads:
                at = first
                while at < own:
                    if not held:
                        load(values, x, base, at, own, none)
                    if soft:
                        load(wanted, target, base, at, own, zero)
                    spread, mass = spread_over(values, wanted, at, own, weight, top, log_total, keep, each, spread, mass)
                    at = own if held else I(at + chunk)
                spread, mass = find_total(spread), find_total(mass)
            if first == 0 and row < samples:
                if soft:
                    conclude(losses, counts, saved, row, samples, top, total, spread, mass)
                else:
                    conclude(
                        losses, counts, saved, row, samples, top, total, log_total, spread, mass,
                        x, base, np.int64(1), np.int64(classes), target, weight, ignore, keep, each, record, outside,
                    )  # fmt: skip
            block += np.int64(cuda.gridDim.x) * rows_at_once

    return cross_entropy_rows


@functools.lru_cache(maxsize=None)
def columns(dtype: np.dtype, stored: np.dtype, plan: _cuda_columns.Plan, soft: bool, weighted: bool, smoothing: bool) -> Any:
    """The losses of scores (samples, classes, positions), one for each of ``count`` = samples * positions."""
    t = _cuda_columns.tools(dtype, plan)
    T, log, find_column, peak, find_total, zero, one, down = t.T, t.log, t.column, t.peak, t.total_too, t.zero, t.one, t.down
    conclude, read = _conclude(dtype, stored, soft, weighted, smoothing), widen(dtype)
    spreads = soft or smoothing

    @kernel(*_types(dtype, stored, soft, T), np.int64, np.int64, np.int64, bounds=plan.across * plan.down)
    def cross_entropy_columns(losses, counts, saved, x, target, weight, ignore, keep, each, record, outside, count, classes, positions):
        q = find_column()
        own = classes if q < count else np.int64(0)
        base = q // positions * classes * positions + q % positions
        top, total = peak(x, base, own, positions)
        log_total = log(total)
        spread, mass = zero, zero
        if spreads:
            c = np.int64(cuda.threadIdx.y)
            at = base + c * positions
            while c < own:
                b = read(weight[c]) if weighted else one
                if soft:
                    b *= keep * read(target[at]) + each
                spread += b * ((top - read(x[at])) + log_total)
                mass += b
                at += positions * down
                c += down
            spread, mass = find_total(spread), find_total(mass)
        if np.int64(cuda.threadIdx.y) == 0 and q < count:
            if soft:
                conclude(losses, counts, saved, q, count, top, total, spread, mass)
            else:
                conclude(
                    losses, counts, saved, q, count, top, total, log_total, spread, mass,
                    x, base, positions, classes, target, weight, ignore, keep, each, record, outside,
                )  # fmt: skip

    return cross_entropy_columns
