"""Optimizer steps on the CPU.

Each kernel runs over chunks of at most 2048 elements and streams every array once from memory, which is what bounds it.  Loops that would
touch more than four arrays are split in two over the same chunk, which is then in the first-level cache: LLVM tests at run time that
the arrays do not overlap before it takes the vector path, and gives up beyond eight pairs.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Sequence

import numpy as np

from .._cpu import empty, inline, kernel, launch
from ._table import GRADIENT, Table, piece

__all__ = ["Table", "adagrad", "adam", "amsgrad", "norms", "rmsprop", "scale", "sgd", "sgd_momentum", "zero"]


@inline
def u(i):
    """An unsigned index, which needs no test for negative ones."""
    return np.uint64(i)


@inline
def gradient(g, p, sign, weight_decay):
    """The gradient that is stepped along.  Without weight decay p takes no part: it may be infinite."""
    return g * sign + weight_decay * p if weight_decay != 0 else g * sign


def _launch(body: Any, table: Table, *args: Any, cost: int = 4) -> None:
    launch(body, len(table.chunks), table.ids, table.chunks, table.like, *args, work=cost * table.total)


@kernel
def _sgd(lo, hi, ids, chunks, like, rate, sign, weight_decay):
    for c in range(lo, hi):
        p = piece(ids, 0, chunks, c, like)
        g = piece(ids, GRADIENT, chunks, c, like)
        for i in range(p.size):
            p[u(i)] += rate * gradient(g[u(i)], p[u(i)], sign, weight_decay)


def sgd(table: Table, rate: float, sign: float, weight_decay: float) -> None:
    real = table.like.dtype.type
    _launch(_sgd, table, real(rate), real(sign), real(weight_decay))


@kernel
def _sgd_momentum(lo, hi, ids, chunks, like, gains, rate, sign, weight_decay, momentum, nesterov):
    real = like.dtype.type
    for c in range(lo, hi):
        p = piece(ids, 0, chunks, c, like)
        g = piece(ids, GRADIENT, chunks, c, like)
        b = piece(ids, GRADIENT + 1, chunks, c, like)
        gain = real(gains[0, chunks[c, 0]])
        for i in range(p.size):
            d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
            moved = b[u(i)] * momentum + gain * d
            b[u(i)] = moved
            p[u(i)] += rate * (d + momentum * moved if nesterov else moved)


def sgd_momentum(
    table: Table, gains: float | Sequence[float], rate: float, sign: float, weight_decay: float, momentum: float, nesterov: bool
) -> None:
    """``gains`` is what the gradient is multiplied with on its way into the buffer."""
    real = table.like.dtype.type
    _launch(_sgd_momentum, table, table.values(gains), real(rate), real(sign), real(weight_decay), real(momentum), bool(nesterov))


@inline
def toward(a, b, weight, rest):
    """``a + weight (b - a)`` with ``rest = 1 - weight``, reckoned from the nearer end, so that weight 1 gives b exactly."""
    return a + weight * (b - a) if weight < 0.5 else b - (b - a) * rest


@inline
def moments(p, g, m, v, sign, weight_decay, weight1, rest1, beta2, weight2):
    for i in range(p.size):
        d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
        m[u(i)] = toward(m[u(i)], d, weight1, rest1)
        v[u(i)] = v[u(i)] * beta2 + weight2 * d * d


@kernel
def _adam(lo, hi, ids, chunks, like, scalars, sign, weight_decay, decay, weight1, rest1, beta2, weight2, eps):
    real = like.dtype.type
    for c in range(lo, hi):
        p = piece(ids, 0, chunks, c, like)
        g = piece(ids, GRADIENT, chunks, c, like)
        m = piece(ids, GRADIENT + 1, chunks, c, like)
        v = piece(ids, GRADIENT + 2, chunks, c, like)
        rate, root = real(scalars[0, chunks[c, 0]]), real(scalars[1, chunks[c, 0]])
        moments(p, g, m, v, sign, weight_decay, weight1, rest1, beta2, weight2)
        for i in range(p.size):
            p[u(i)] = p[u(i)] * decay + rate * m[u(i)] / (np.sqrt(v[u(i)]) / root + eps)


@kernel
def _amsgrad(lo, hi, ids, chunks, like, scalars, sign, weight_decay, decay, weight1, rest1, beta2, weight2, eps):
    real = like.dtype.type
    for c in range(lo, hi):
        p = piece(ids, 0, chunks, c, like)
        g = piece(ids, GRADIENT, chunks, c, like)
        m = piece(ids, GRADIENT + 1, chunks, c, like)
        v = piece(ids, GRADIENT + 2, chunks, c, like)
        largest = piece(ids, GRADIENT + 3, chunks, c, like)
        rate, root = real(scalars[0, chunks[c, 0]]), real(scalars[1, chunks[c, 0]])
        moments(p, g, m, v, sign, weight_decay, weight1, rest1, beta2, weight2)
        for i in range(p.size):
            a, b = largest[u(i)], v[u(i)]
            a = a if (a >= b) | (a != a) else b  # NaN of either side stays
            largest[u(i)] = a
            p[u(i)] = p[u(i)] * decay + rate * m[u(i)] / (np.sqrt(a) / root + eps)


def _adam_arguments(real: Any, sign: float, weight_decay: float, decay: float, beta1: float, beta2: float, eps: float) -> list[Any]:
    weight1 = real(1.0 - beta1)
    return [real(sign), real(weight_decay), real(decay), weight1, real(1) - weight1, real(beta2), real(1.0 - beta2), real(eps)]


def adam(
    table: Table, rates: Any, roots: Any, sign: float, weight_decay: float, decay: float, beta1: float, beta2: float, eps: float
) -> None:
    """``rates`` (negative) and ``roots`` carry the bias corrections; ``decay`` multiplies the parameter first."""
    arguments = _adam_arguments(table.like.dtype.type, sign, weight_decay, decay, beta1, beta2, eps)
    _launch(_adam, table, table.values(rates, roots), *arguments, cost=12)


def amsgrad(
    table: Table, rates: Any, roots: Any, sign: float, weight_decay: float, decay: float, beta1: float, beta2: float, eps: float
) -> None:
    arguments = _adam_arguments(table.like.dtype.type, sign, weight_decay, decay, beta1, beta2, eps)
    _launch(_amsgrad, table, table.values(rates, roots), *arguments, cost=12)


@kernel
def _adagrad(lo, hi, ids, chunks, like, scalars, sign, weight_decay, eps):
    real = like.dtype.type
    for c in range(lo, hi):
        p = piece(ids, 0, chunks, c, like)
        g = piece(ids, GRADIENT, chunks, c, like)
        s = piece(ids, GRADIENT + 1, chunks, c, like)
        rate = real(scalars[0, chunks[c, 0]])
        for i in range(p.size):
            d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
            total = s[u(i)] + d * d
            s[u(i)] = total
            p[u(i)] += rate * d / (np.sqrt(total) + eps)


def adagrad(table: Table, rates: Any, sign: float, weight_decay: float, eps: float) -> None:
    real = table.like.dtype.type
    _launch(_adagrad, table, table.values(rates), real(sign), real(weight_decay), real(eps), cost=10)


@functools.lru_cache(maxsize=None)
def _rmsprop(centered: bool, buffered: bool) -> Any:
    """The kernel for one choice of states: the columns after the gradient are the squares, then the averages, then the buffers, as there
    are."""
    averages, buffers = GRADIENT + 2, GRADIENT + 2 + centered

    @kernel(source=f"update.rmsprop centered={centered} buffered={buffered}")
    def rmsprop(lo, hi, ids, chunks, like, rate, sign, weight_decay, alpha, weight, rest, eps, momentum):
        for c in range(lo, hi):
            p = piece(ids, 0, chunks, c, like)
            g = piece(ids, GRADIENT, chunks, c, like)
            s = piece(ids, GRADIENT + 1, chunks, c, like)
            a = piece(ids, averages, chunks, c, like) if centered else s
            for i in range(p.size):
                d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
                s[u(i)] = s[u(i)] * alpha + weight * d * d
                if centered:
                    a[u(i)] = toward(a[u(i)], d, weight, rest)
            b = piece(ids, buffers, chunks, c, like) if buffered else s
            for i in range(p.size):
                d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
                square = s[u(i)] - a[u(i)] * a[u(i)] if centered else s[u(i)]
                root = np.sqrt(square) + eps
                if buffered:
                    moved = b[u(i)] * momentum + d / root
                    b[u(i)] = moved
                    p[u(i)] += rate * moved
                else:
                    p[u(i)] += rate * d / root

    return rmsprop


def rmsprop(centered: bool, buffered: bool) -> Any:
    """The step for one choice of states: a function of (table, rate, sign, weight_decay, alpha, eps, momentum)."""

    def step(table: Table, rate: float, sign: float, weight_decay: float, alpha: float, eps: float, momentum: float) -> None:
        real = table.like.dtype.type
        weight = real(1.0 - alpha)
        values = (real(rate), real(sign), real(weight_decay), real(alpha), weight, real(1) - weight, real(eps), real(momentum))
        _launch(_rmsprop(centered, buffered), table, *values, cost=12)

    return step


@kernel(reassociate=True)
def _squares(lo, hi, ids, chunks, like, sums):
    """Squares of float32 may overflow where their float64 sum does not; each chunk is summed on its own, whatever thread it falls to."""
    real = like.dtype.type
    for c in range(lo, hi):
        x = piece(ids, 0, chunks, c, like)
        total = real(0)
        for i in range(x.size):
            total += x[u(i)] * x[u(i)]
        sums[c] = total


@kernel
def _powers(lo, hi, ids, chunks, like, sums, power, parts):
    """Sums of |x|^power (or the largest, or the smallest |x|) per chunk, in float64.  ``parts`` is 2 for complex numbers."""
    for c in range(lo, hi):
        x = piece(ids, 0, chunks, c, like)
        k = parts[chunks[c, 0]]
        total = np.inf if power == -np.inf else 0.0
        for i in range(x.size // k):
            value = abs(np.float64(x[u(i)])) if k == 1 else math.hypot(np.float64(x[u(2 * i)]), np.float64(x[u(2 * i + 1)]))
            if power == np.inf:
                total = value if (value > total) | (value != value) else total
            elif power == -np.inf:
                total = value if (value < total) | (value != value) else total
            elif power == 0.0:
                total += 1.0 if value != 0.0 else 0.0
            elif power == 1.0:
                total += value
            else:
                total += value**power
        sums[c] = total


def norms(table: Table, power: float, parts: Sequence[int]) -> list[float]:
    """The norm of each array of the table's first column.

    The square sums of a chunk are taken in the arrays' own type, in vector lanes: for the squares the number of parts does not matter.
    """
    n = table.ids.shape[1]
    sums = empty((len(table.chunks),), np.float64)
    if power == 2.0:
        _launch(_squares, table, sums, cost=2)
    else:
        _launch(_powers, table, sums, power, np.asarray(parts, np.int64), cost=10 if abs(power) in (0.0, 1.0, math.inf) else 60)
    found = []
    starts = np.searchsorted(table.chunks[:, 0], np.arange(n + 1))
    for i in range(n):
        values = sums[starts[i] : starts[i + 1]]
        if math.isinf(power):
            found.append(float(values.max() if power > 0 else values.min()) if len(values) else 0.0)
        else:
            total = float(values.sum())
            found.append(total if power == 0.0 else math.sqrt(total) if power == 2.0 else total ** (1.0 / power) if total else 0.0)
    return found


@kernel
def _scale(lo, hi, ids, chunks, like, factor):
    for c in range(lo, hi):
        x = piece(ids, 0, chunks, c, like)
        for i in range(x.size):
            x[u(i)] *= factor


def scale(table: Table, factor: float) -> None:
    _launch(_scale, table, table.like.dtype.type(factor), cost=1)


@kernel
def _zero(lo, hi, ids, chunks, like):
    zero = like.dtype.type(0)
    for c in range(lo, hi):
        x = piece(ids, 0, chunks, c, like)
        for i in range(x.size):
            x[u(i)] = zero


def zero(table: Table) -> None:
    _launch(_zero, table, cost=1)
