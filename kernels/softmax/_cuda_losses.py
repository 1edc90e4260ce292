"""What the losses on CUDA share: the gradient of the scores, the choice of the targets' log-probabilities, and sums over samples.

The gradient is elementwise once a sample's two numbers are known (``_cuda_entropy``): each thread takes a vector of neighbouring scores.  Sums are made
in a fixed order: a thread adds every so many losses, a block its threads' sums, and one block the blocks' sums, if there are several.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda import faults
from .._cuda.collectives import add, block_fold, team
from .._cuda.elements import narrow, quotient, widen
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.lanes import access, registers
from .._cuda.launch import kernel, pointer

SUMMING = 1024  # threads
_EACH = 64  # losses that a thread adds before another block takes part


@functools.lru_cache(maxsize=None)
def nll(dtype: np.dtype, stored: np.dtype, weighted: bool) -> Any:
    """losses = -weight[target] * x[target] and counts = weight[target], for x (samples, classes, positions).  Bound by the latency of the choice."""
    T: Any = _dtypes.compute_dtype(dtype).type
    read, write = widen(dtype), narrow(stored)
    zero, one = T(0), T(1)
    sizes = [np.int64] * 4

    @kernel(pointer(stored), pointer(T), pointer(dtype), pointer(np.int64), pointer(dtype), *sizes, faults.RECORD, np.int32)
    def nll_loss(losses, counts, x, target, weight, count, classes, positions, ignore, record, outside):
        r = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while r < count:
            t = target[r]
            loss, counted = zero, zero
            if t != ignore:
                if 0 <= t < classes:
                    counted = read(weight[t]) if weighted else one
                    o = r // positions
                    loss = -counted * read(x[(o * classes + t) * positions + (r - o * positions)])
                else:
                    faults.report(record, outside, t, classes, np.int64(0))
            losses[r] = write(loss)
            counts[r] = counted
            r += np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)

    return nll_loss


def summing_blocks(n: int) -> int:
    """The blocks that add up ``n`` losses; more than one leave partial sums."""
    threads = team(SUMMING)
    return max(1, min(threads, -(-n // (threads * _EACH))))


@functools.lru_cache(maxsize=None)
def add_up(dtype: np.dtype, last: bool) -> Any:
    """The sums of ``losses`` and ``counts``, ``n`` each: a block's, or (``last``, one block) all, with ``mean`` their quotient."""
    T: Any = _dtypes.compute_dtype(dtype).type
    threads = team(SUMMING)
    total = block_fold(add(T), T, threads)
    write = narrow(dtype if last else np.dtype(T))
    zero = T(0)

    @kernel(pointer(dtype if last else T), *[pointer(T)] * 3, np.int64, np.bool_, bounds=threads)
    def add_up(loss, counted, losses, counts, n, mean):
        mine, weights = zero, zero
        r = np.int64(cuda.blockIdx.x) * threads + np.int64(cuda.threadIdx.x)
        while r < n:
            mine += losses[r]
            weights += counts[r]
            r += np.int64(cuda.gridDim.x) * threads
        mine, weights = total(mine), total(weights)
        if cuda.threadIdx.x == 0:
            counted[cuda.blockIdx.x] = weights
            loss[cuda.blockIdx.x] = write(mine / weights if mean else mine)

    return add_up


@functools.lru_cache(maxsize=None)
def slope(dtype: np.dtype, lanes: int, index: Any, across: bool, soft: bool, weighted: bool, smoothing: bool, powers: bool) -> Any:
    """dx = g * (exp(x - top) * share - b), b being the weights of the classes in a sample's loss; without ``powers`` (of nll_loss): -g * b.

    A vector is of ``lanes`` classes of a row or, ``across``, of that many positions of a class; ``n`` vectors.  ``g``: one for each sample, or
    (``step`` 0) one for all; ``mean`` divides it by the weights counted.
    """
    T: Any = _dtypes.compute_dtype(dtype).type
    I = index
    exp = functions_for(np.dtype(T), {"exp"})["exp"]
    (load, store), (put, take), read, divided = access(dtype, lanes), registers(lanes), widen(dtype), quotient(I)
    zero, one = T(0), T(1)

    @inline
    def share_of(g, counted, r, step, mean):  # type: ignore[no-untyped-def]
        grad = read(g[r * step])
        return grad / counted[0] if mean else grad

    @inline
    def of_probability(grad, score, wanted, top, share, w, keep, each):  # type: ignore[no-untyped-def]
        return grad * (exp(score - top) * share - w * (keep * wanted + each))

    @inline
    def of_index(grad, score, t, c, top, share, weight, keep, each):  # type: ignore[no-untyped-def]
        b = zero
        if c == t:
            b = keep * (read(weight[c]) if weighted else one)
        if smoothing:
            b += each * (read(weight[c]) if weighted else one)
        if powers:
            return grad * (exp(score - top) * share - b)
        return -grad * b if smoothing or c == t else zero  # an infinite gradient is the target's only

    pointers = [
        pointer(dtype),
        pointer(dtype),
        pointer(dtype),
        pointer(T),
        pointer(T),
        pointer(dtype) if soft else pointer(np.int64),
        pointer(dtype),
    ]

    @kernel(*pointers, *[I] * 7, *[np.int64] * 4, T, T, np.bool_)
    def slope(
        dx,
        g,
        x,
        saved,
        counted,
        target,
        weight,
        n,
        row,
        row_m,
        row_s,
        classes,
        class_m,
        class_s,
        positions,
        samples,
        step,
        ignore,
        keep,
        each,
        mean,
    ):
        """``row``: the vectors of a row of classes, or of positions."""
        values = cuda.local.array(lanes, T)
        wanted = cuda.local.array(lanes, T)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            at = np.uint64(i) * np.uint64(lanes)
            q = divided(i, row, row_m, row_s)
            place = np.int64(I(i - I(q * row))) * lanes
            r, c = np.int64(q), place
            if across:
                o = divided(q, classes, class_m, class_s)
                r, c = np.int64(o) * positions + place, np.int64(I(q - I(o * classes)))
            if powers:
                put(values, np.uint64(0), load(x, at))
            if soft:
                put(wanted, np.uint64(0), load(target, at))
            for k in range(lanes):
                s, j = (r + k, c) if across else (r, c + k)
                grad = share_of(g, counted, s, step, mean)
                top = saved[s] if powers else zero
                share = saved[samples + s] if powers else zero
                if soft:
                    w = read(weight[j]) if weighted else one
                    values[k] = of_probability(grad, values[k], wanted[k], top, share, w, keep, each)
                else:
                    t = target[s]
                    inside = t != ignore and 0 <= t < np.int64(classes)
                    values[k] = of_index(grad, values[k], t, j, top, share, weight, keep, each) if inside else zero
            store(dx, at, take(values, np.uint64(0)))
            i = I(i + I(cuda.gridDim.x * cuda.blockDim.x))

    return slope
