"""Softmax along rows on CUDA: how a row is shared out among threads, and the kernels for softmax, its logarithm and their gradients.

A row that fits is held in registers: it is read once, and written once.  Up to 32 threads of a warp share a short row, and several rows a warp; longer
rows have a block each.  A thread holds a constant number of vectors of up to 16 bytes, a team apart, so that a warp's loads are one run of memory.  A
row that does not fit is read twice, in chunks of what would fit: first for its maximum and the sum of its exponentials, which is scaled anew whenever
the maximum grows (M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", 2018), then to be written.

What bounds them is memory bandwidth.  Sums are in the computing type, float32 for 16-bit floats; each thread adds its own, then the team adds theirs
in a fixed order.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda.collectives import WARP, add, block_fold, largest, team, warp_fold
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.lanes import access, registers
from .._cuda.launch import kernel, pointer

# Threads of a block whose teams are parts of a warp.
_SHARED_BLOCK = 128
# Elements of one array that a thread holds, by their bytes: in a warp's team, where several rows are under way at once, and in a block's.
_WARP_HELD, _BLOCK_HELD = {4: 32, 8: 8}, {4: 16, 8: 8}
# Threads of a block whose team is all of it; exponentials in float64 take more registers than 1024 threads have.
_TEAMS = {4: (256, 512, 1024), 8: (256, 512)}
MOST_BLOCKS = 1 << 20


class Plan(NamedTuple):
    """How rows of a width are shared out."""

    team: int  # threads that share a row
    block: int  # threads of a block
    lanes: int  # elements of a vector
    vectors: int  # that a thread holds at once
    held: bool  # whether that is the whole row

    @property
    def rows(self) -> int:
        """Rows that a block does at a time."""
        return self.block // self.team


def _power_above(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


@functools.lru_cache(maxsize=1024)
def plan(width: int, lanes: int, dtype: np.dtype) -> Plan:
    """How rows of ``width`` elements of ``dtype`` are done in vectors of ``lanes``."""
    size = _dtypes.compute_dtype(dtype).itemsize
    vectors = max(1, -(-width // lanes))
    if vectors <= WARP * (_WARP_HELD[size] // lanes):
        threads = min(WARP, _power_above(vectors))
        return Plan(threads, team(_SHARED_BLOCK), lanes, _power_above(-(-vectors // threads)), True)
    each = _BLOCK_HELD[size] // lanes
    for threads in _TEAMS[size]:
        if vectors <= team(threads) * each:
            return Plan(team(threads), team(threads), lanes, each, True)
    threads = team(_TEAMS[size][-1])
    return Plan(threads, threads, lanes, each, False)


def grid(rows: int, plan: Plan) -> int:
    """The blocks for ``rows``."""
    return max(1, min(MOST_BLOCKS, -(-rows // plan.rows)))


@functools.lru_cache(maxsize=None)
def added_as_well(T: Any) -> Any:
    """As ``collectives.add``.  A fold in shared memory that a kernel calls itself and by way of another function too would be linked twice, and its memory
    must not be: this makes another of it."""

    @inline
    def added(a, b):  # type: ignore[no-untyped-def]
        return T(a + b)

    return added


@functools.lru_cache(maxsize=None)
def tools(dtype: np.dtype, plan: Plan) -> SimpleNamespace:
    """The parts that kernels over rows are made of: ``T`` (the computing type), ``exp``, ``log``, ``lowest`` (a finite number), ``load`` and ``store`` for
    what a thread holds, ``top``, ``total`` and ``total_too`` for what the team finds, ``hold`` numbers and ``chunk`` elements of the team."""
    T: Any = _dtypes.compute_dtype(dtype).type
    functions = functions_for(np.dtype(T), {"exp", "log"})
    lanes, vectors, threads = plan.lanes, plan.vectors, plan.team
    I = np.uint32 if plan.held else np.int64
    step = I(lanes * threads)
    (read, write), (put, take) = access(dtype, lanes), registers(lanes)
    folds = [warp_fold(c, threads) if threads <= WARP else block_fold(c, T, threads) for c in (largest(T), add(T), added_as_well(T))]

    @inline
    def load(values, pointer, base, first, width, pad):  # type: ignore[no-untyped-def]
        """The thread's elements of the row at ``base``, whose first is number ``first``; ``pad`` where there are none."""
        at = first
        for v in range(vectors):
            if at < width:
                put(values, np.uint64(v * lanes), read(pointer, np.uint64(base + at)))
            else:
                for k in range(lanes):
                    values[v * lanes + k] = pad
            at = I(at + step)

    @inline
    def store(pointer, base, first, width, values):  # type: ignore[no-untyped-def]
        at = first
        for v in range(vectors):
            if at < width:
                write(pointer, np.uint64(base + at), take(values, np.uint64(v * lanes)))
            at = I(at + step)

    @inline
    def first():  # type: ignore[no-untyped-def]
        """Where in a row the thread begins."""
        return I(np.uint32(np.uint32(cuda.threadIdx.x) % np.uint32(threads)) * np.uint32(lanes))

    @inline
    def member():  # type: ignore[no-untyped-def]
        """Which of the rows that the block does at a time is the thread's."""
        return np.int64(np.uint32(np.uint32(cuda.threadIdx.x) // np.uint32(threads)))

    return SimpleNamespace(
        T=T, I=I, exp=functions["exp"], log=functions["log"], load=load, store=store, top=folds[0], total=folds[1], total_too=folds[2], hold=vectors * lanes,
        chunk=I(vectors * lanes * threads), step=step, first=first, member=member, rows=plan.rows,
        lowest=T(np.finfo(T).min), none=T(-np.inf), zero=T(0), one=T(1),
    )  # fmt: skip


# ---- the maximum and the sum of a row ---------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def peak(dtype: np.dtype, plan: Plan, keep: str = "scores") -> Any:
    """``peak(values, x, base, first, width)``: the row's maximum and Σ exp(x - maximum).

    ``values`` are the thread's elements if all are held.  They stay ("scores"), become x - maximum ("below") or exp(x - maximum) ("powers"); if not all
    are held, they are overwritten.
    """
    t = tools(dtype, plan)
    T, I, exp, load, find_top, find_total, hold, chunk = t.T, t.I, t.exp, t.load, t.top, t.total, t.hold, t.chunk
    lowest, none, zero = t.lowest, t.none, t.zero

    @inline
    def held(values, x, base, first, width):  # type: ignore[no-untyped-def]
        top = none
        for k in range(hold):
            top = values[k] if values[k] > top else top
        top = find_top(top)
        total = zero
        for k in range(hold):
            below = values[k] - top
            power = exp(below)
            total += power
            if keep != "scores":
                values[k] = below if keep == "below" else power
        return top, find_total(total)

    @inline
    def online(values, x, base, first, width):  # type: ignore[no-untyped-def]
        """The maximum begins with a finite number: -inf - -inf would be NaN."""
        top, total = lowest, zero
        at = first
        while at < width:
            load(values, x, base, at, width, none)
            higher = top
            for k in range(hold):
                higher = values[k] if values[k] > higher else higher
            total *= exp(top - higher)
            for k in range(hold):
                total += exp(values[k] - higher)
            top = higher
            at = I(at + chunk)
        highest = find_top(top)
        total = find_total(T(total * exp(top - highest)))
        return highest, T(total + (highest - highest))  # NaN if that is infinite, as if all were held

    return held if plan.held else online


# ---- the kernels ------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def softmax(dtype: np.dtype, plan: Plan, log: bool) -> Any:
    """y = exp(x - top) / total, or ``log``: (x - top) - log(total), for rows of ``width``.

    A warp stays together to the end: the team of a row that does not exist works on an empty one.
    """
    t = tools(dtype, plan)
    T, I, exp, logarithm, hold, chunk, held = t.T, t.I, t.exp, t.log, t.hold, t.chunk, plan.held
    load, store, find_member, find_first, step, none, one = t.load, t.store, t.member, t.first, t.rows, t.none, t.one
    find = peak(dtype, plan, "below" if log else "powers")

    @kernel(pointer(dtype), pointer(dtype), np.int64, I, bounds=plan.block)
    def softmax(y, x, rows, width):
        values = cuda.local.array(hold, T)
        member, first = find_member(), find_first()
        block = np.int64(cuda.blockIdx.x) * step
        while block < rows:
            row = block + member
            own = width if row < rows else I(0)
            base = row * np.int64(width)
            if held:
                load(values, x, base, first, own, none)
            top, total = find(values, x, base, first, own)
            scale = logarithm(total) if log else one / total
            if held:
                for k in range(hold):
                    values[k] = values[k] - scale if log else values[k] * scale
                store(y, base, first, own, values)
            else:
                at = first
                while at < own:
                    load(values, x, base, at, own, none)
                    for k in range(hold):
                        values[k] = (values[k] - top) - scale if log else exp(values[k] - top) * scale
                    store(y, base, at, own, values)
                    at = I(at + chunk)
            block += np.int64(cuda.gridDim.x) * step

    return softmax


@functools.lru_cache(maxsize=None)
def softmax_backward(dtype: np.dtype, plan: Plan, log: bool) -> Any:
    """dx = y * (g - Σ g y), or ``log``: g - exp(y) * Σ g."""
    t = tools(dtype, plan)
    T, I, exp, hold, chunk, held = t.T, t.I, t.exp, t.hold, t.chunk, plan.held
    load, store, find_member, find_first, find_total, step, zero = t.load, t.store, t.member, t.first, t.total, t.rows, t.zero

    @inline
    def weigh(grads, outs, total):  # type: ignore[no-untyped-def]
        for k in range(hold):
            total += grads[k] if log else grads[k] * outs[k]
        return total

    @inline
    def finish(grads, outs, total):  # type: ignore[no-untyped-def]
        for k in range(hold):
            grads[k] = grads[k] - exp(outs[k]) * total if log else outs[k] * (grads[k] - total)

    @kernel(pointer(dtype), pointer(dtype), pointer(dtype), np.int64, I, bounds=plan.block)
    def softmax_backward(dx, g, y, rows, width):
        grads = cuda.local.array(hold, T)
        outs = cuda.local.array(hold, T)
        member, first = find_member(), find_first()
        block = np.int64(cuda.blockIdx.x) * step
        while block < rows:
            row = block + member
            own = width if row < rows else I(0)
            base = row * np.int64(width)
            total = zero
            at = first
            if held:
                load(grads, g, base, first, own, zero)
                load(outs, y, base, first, own, zero)
                total = weigh(grads, outs, total)
            else:
                while at < own:
                    load(grads, g, base, at, own, zero)
                    if not log:
                        load(outs, y, base, at, own, zero)
                    total = weigh(grads, outs, total)
                    at = I(at + chunk)
                at = first
            total = find_total(total)
            while at < own:
                if not held:
                    load(grads, g, base, at, own, zero)
                    load(outs, y, base, at, own, zero)
                finish(grads, outs, total)
                store(dx, base, at, own, grads)
                at = own if held else I(at + chunk)
            block += np.int64(cuda.gridDim.x) * step

    return softmax_backward
