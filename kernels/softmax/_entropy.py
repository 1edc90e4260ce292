"""Cross entropy of class indices on rows of scores: softmax, logarithm, choice and sum in one pass, and the gradient in another.

Sixteen rows at a time are brought below their maxima into ``saved``, exponentiated there in one run of memory, so that rows shorter than a
vector fill it, and summed row by row.  The gradient scales those exponentials, which is less than to compute them again; what is kept is as
large as the scores, as it would be if the log-softmax were kept.  Bound by the exponential.

``saved``: the exponentials, the rows' maxima, their sums, per block of rows what ``finish`` adds (loss, weights, whether an index was out of
range), and in the last two places whether one was at all, and the weights counted.
"""

from __future__ import annotations

import functools
import math
from operator import index
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .. import _cpu
from .._cpu import address_of, array_at, array_from, compiled, inline, kernel, layout, load, store, u
from .._cpu.memory import POOLED_BYTES
from .._cpu.threads import PARALLEL_WORK
from .._cpu.types import intp, signature
from ._scalar import scalars

# Rows per unit of work, each of which leaves partial sums: a constant, so that the loss does not depend on the threads.
BLOCK_ROWS = 16
# Elements of a run of exponentials: they and their scores stay in the first-level cache.
_RUN = 2048
# Rows from this length on are exponentiated as they are read.
_LONG = 128
# What an exponential weighs against an addition when a launch is judged worth splitting.
_EXP = 8


class Plan(NamedTuple):
    """A loss over (rows, classes) scores."""

    rows: int
    classes: int
    ignore: int  # the index that counts for nothing
    mean: int  # whether the sum is divided by the weights counted
    each: int  # the losses written one by one: rows, or 0
    weights: int  # the class weights there are: classes, or 0
    smoothing: float

    def words(self) -> np.ndarray:
        """As the kernels read it."""
        words = np.array(self[:-1] + (0,), np.int64)
        words[-1:].view(np.float64)[0] = self.smoothing
        return words


_ROWS, _CLASSES, _IGNORE, _MEAN, _EACH, _WEIGHTS, _SMOOTHING = range(0, 56, 8)


def _blocks(rows: int) -> int:
    return -(-rows // BLOCK_ROWS)


def _saved_size(rows: int, classes: int) -> int:
    return rows * classes + 2 * rows + 2 + 3 * _blocks(rows)


@functools.cache
def entropy_kernels(dtype: np.dtype, plain: bool, long: bool) -> SimpleNamespace:
    """``forward``, ``finish`` and ``backward`` for float32 or float64; ``plain`` ones know neither weights nor smoothing, and ``long`` is whether rows
    are.  (All in one kernel would take twice as long to compile.)"""
    scalar = scalars(dtype)
    real, exp, row_max, itemsize = scalar.real, scalar.exp, scalar.row_max, dtype.itemsize

    @inline
    def part(address, start, n):
        """``n`` elements from element ``start`` on; slices of arrays would do, and take twice as long to compile."""
        return array_from(address + itemsize * start, n, real)

    @inline(reassociate=True)
    def row_sum(address, start, n):
        total = 0.0  # float64, once per block: the blocks keep float32 sums short
        for first in range(0, n, 512):
            block = part(address, start + first, min(512, n - first))
            piece = real(0)
            for j in range(block.size):
                piece += block[j]
            total += piece
        return real(total)

    @inline(reassociate=True)
    def exponential_sum(x, e, start, n, top):
        """e = exp(x - top), and their sum."""
        total = 0.0
        for first in range(0, n, 512):
            source, target = part(x, start + first, min(512, n - first)), part(e, start + first, min(512, n - first))
            piece = real(0)
            for j in range(source.size):
                power = exp(source[j] - top)
                target[j] = power
                piece += power
            total += piece
        return real(total)

    @inline
    def exponentials(x, e, tops, totals, first, last, classes):
        """tops[r] = max x[r], e[r] = exp(x[r] - tops[r]) and totals[r] = Σ e[r] for rows ``first`` to ``last``."""
        for r in range(first, last):
            row = part(x, r * classes, classes)
            top = row_max(row)
            tops[u(r)] = top
            if long:
                totals[u(r)] = exponential_sum(x, e, r * classes, classes, top)
            else:
                powers = part(e, r * classes, classes)
                for j in range(powers.size):
                    powers[j] = row[j] - top
        if not long:
            run = part(e, first * classes, (last - first) * classes)
            for j in range(run.size):
                run[j] = exp(run[j])
            for r in range(first, last):
                totals[u(r)] = row_sum(e, r * classes, classes)

    @inline(reassociate=True)
    def smoothed(x, start, classes, weight, top, log_total, hit, smoothing):
        """(1 - s) hit + s / C · Σ weight · (-log softmax)."""
        spread = 0.0
        for first in range(0, classes, 512):
            block, piece = part(x, start + first, min(512, classes - first)), real(0)
            for j in range(block.size):
                piece += (weight[u(first + j)] if weight.size else real(1)) * ((top - block[j]) + log_total)
            spread += piece
        return real(1.0 - smoothing) * hit + real(smoothing / classes) * real(spread)

    @inline
    def behind(saved, rows, classes):
        """Of ``saved`` what is behind the exponentials: maxima, sums, partial sums, and the last two places."""
        start, partials = rows * classes, 3 * ((rows + BLOCK_ROWS - 1) // BLOCK_ROWS)
        end = start + 2 * rows + partials
        return part(saved, start, rows), part(saved, start + rows, rows), part(saved, start + 2 * rows, partials), part(saved, end, 2)

    @inline
    def add_up(plan, loss_id, partial, counted):
        """Add the blocks' sums, always in the same order."""
        losses = 0.0
        weights = 0.0
        wrong = 0.0
        for i in range(0, partial.size, 3):
            losses += partial[u(i)]
            weights += partial[u(i + 1)]
            wrong += partial[u(i + 2)]
        store(address_of(loss_id), real(losses / np.float64(weights) if load(plan + _MEAN, np.int64) != 0 else losses))
        counted[0] = wrong
        counted[1] = weights

    @kernel
    def forward(lo, hi, plan, loss_id, each_id, saved_id, x_id, target_id, weight_id):
        rows, classes, ignore = load(plan + _ROWS, np.int64), load(plan + _CLASSES, np.int64), load(plan + _IGNORE, np.int64)
        smoothing = load(plan + _SMOOTHING, np.float64)
        x, saved = address_of(x_id), address_of(saved_id)
        target, weight = array_at(target_id, rows, np.int64), array_at(weight_id, load(plan + _WEIGHTS, np.int64), real)
        each = array_at(each_id, load(plan + _EACH, np.int64), real)
        tops, totals, partial, counted = behind(saved, rows, classes)
        group = max(1, min(BLOCK_ROWS, _RUN // classes)) if classes > 0 else BLOCK_ROWS
        for block in range(lo, hi):
            loss_sum = 0.0
            weight_sum = 0.0
            wrong = 0.0
            stop = min(rows, (block + 1) * BLOCK_ROWS)
            for first in range(block * BLOCK_ROWS, stop, group):
                last = min(stop, first + group)
                exponentials(x, saved, tops, totals, first, last, classes)
                for r in range(first, last):
                    t = target[u(r)]
                    entropy = real(0)
                    if t == ignore:
                        pass
                    elif t < 0 or t >= classes:
                        wrong = 1.0
                    else:
                        row, top, log_total = part(x, r * classes, classes), tops[u(r)], real(math.log(totals[u(r)]))
                        w = weight[u(t)] if not plain and weight.size else real(1)
                        entropy = w * ((top - row[u(t)]) + log_total)
                        if not plain and smoothing != 0.0:
                            entropy = smoothed(x, r * classes, classes, weight, top, log_total, entropy, smoothing)
                        weight_sum += w
                    if each.size:
                        each[u(r)] = entropy
                    loss_sum += entropy
            partial[u(3 * block)], partial[u(3 * block + 1)], partial[u(3 * block + 2)] = loss_sum, weight_sum, wrong
        if lo == 0 and 3 * hi == partial.size:
            add_up(plan, loss_id, partial, counted)

    @kernel
    def finish(lo, hi, plan, loss_id, saved_id):
        for _ in range(lo, hi):
            _, _, partial, counted = behind(address_of(saved_id), load(plan + _ROWS, np.int64), load(plan + _CLASSES, np.int64))
            add_up(plan, loss_id, partial, counted)

    @kernel
    def backward(lo, hi, plan, dx_id, grad_id, saved_id, target_id, weight_id):
        rows, classes, ignore = load(plan + _ROWS, np.int64), load(plan + _CLASSES, np.int64), load(plan + _IGNORE, np.int64)
        smoothing, mean = load(plan + _SMOOTHING, np.float64), load(plan + _MEAN, np.int64)
        dx, saved = address_of(dx_id), address_of(saved_id)
        target, weight = array_at(target_id, rows, np.int64), array_at(weight_id, load(plan + _WEIGHTS, np.int64), real)
        each = load(plan + _EACH, np.int64)
        grad = array_at(grad_id, max(each, 1), real)
        _, totals, _, counted = behind(saved, rows, classes)
        keep, share = real(1.0 - smoothing), real(smoothing / classes)
        weight_total = row_sum(address_of(weight_id), 0, classes) if not plain and weight.size else real(classes)
        for r in range(lo, hi):
            powers, slope = part(saved, r * classes, classes), part(dx, r * classes, classes)
            t = target[u(r)]
            if t == ignore or t < 0 or t >= classes:
                for j in range(slope.size):
                    slope[j] = real(0)
                continue
            g = grad[u(r)] if each else grad[0]
            if mean != 0:
                g = g / counted[1]
            hit = g * keep * (weight[u(t)] if not plain and weight.size else real(1))
            scale = (hit + g * share * weight_total) / totals[u(r)]
            for j in range(slope.size):
                slope[j] = scale * powers[j]
            if not plain and smoothing != 0.0:
                for j in range(slope.size):
                    slope[j] -= g * share * (weight[u(j)] if weight.size else real(1))
            slope[u(t)] -= hit

    return SimpleNamespace(
        forward=compiled(forward, signature(intp, intp, intp, intp, intp, intp, intp)),
        finish=compiled(finish, signature(intp, intp, intp)),
        backward=compiled(backward, signature(intp, intp, intp, intp, intp, intp)),
    )


class RowEntropy:
    """The loss of scores of one shape and dtype with one set of options: ``forward`` and ``backward`` look at nothing again."""

    def __init__(self, shape: tuple[int, int], dtype: np.dtype, weighted: bool, ignore: int, smoothing: float, reduction: str):
        rows, classes = shape
        each = rows if reduction == "none" else 0
        self.shape, self.dtype, self.each, self.none = shape, dtype, each, reduction == "none"
        self.plan = Plan(rows, classes, index(ignore), reduction == "mean", each, classes if weighted else 0, smoothing).words()
        self.plan_at = self.plan.ctypes.data
        self.blocks, self.saved_size, self.status = _blocks(rows), _saved_size(rows, classes), _saved_size(rows, classes) - 2
        self.work = _EXP * rows * classes
        self.kernels = entropy_kernels(dtype, not weighted and smoothing == 0.0, classes >= _LONG)
        self.nothing = np.empty(0, dtype)
        self.scalar = layout.layout(np.empty((), dtype))  # what a gradient must be that comes without a check
        self.empty = _cpu.empty if self.saved_size * dtype.itemsize >= POOLED_BYTES else np.empty

    def forward(self, x: Any, target: Any, weight: Any) -> tuple[Any, Any, bool]:
        """The loss (a scalar, or one per row), what ``backward`` needs, and whether every index was in range."""
        loss, saved = np.empty((), self.dtype), self.empty(self.saved_size, self.dtype)
        losses = np.empty(self.each, self.dtype) if self.none else self.nothing
        chosen = self.nothing if weight is None else weight
        ids = id(loss), id(losses), id(saved), id(x), id(target), id(chosen)
        self.kernels.forward(self.blocks, self.plan_at, *ids, work=self.work)
        if self.work >= PARALLEL_WORK:
            self.kernels.finish(1, self.plan_at, id(loss), id(saved))
        return losses if self.none else loss, saved, saved.item(self.status) == 0.0

    def backward(self, grad: Any, x: Any, target: Any, saved: Any, weight: Any) -> Any:
        """The gradient of the scores ``x``, of which ``saved`` says all there is to know."""
        dx = self.empty(self.shape, self.dtype)
        ids = id(dx), id(grad), id(saved), id(target), id(self.nothing if weight is None else weight)
        self.kernels.backward(self.shape[0], self.plan_at, *ids, work=self.work)
        return dx


@functools.lru_cache(maxsize=1024)
def row_entropy(shape: tuple[int, int], dtype: np.dtype, weighted: bool, ignore: int, smoothing: float, reduction: str) -> RowEntropy:
    """The same object for the same arguments."""
    return RowEntropy(shape, dtype, weighted, ignore, smoothing, reduction)
