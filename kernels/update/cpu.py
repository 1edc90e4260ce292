"""Optimizer steps on the CPU.

Each kernel runs over chunks of at most 2048 elements and streams every array once from memory, which is what bounds it.  Loops that would touch
more than four arrays are split in two over the same chunk, which is then in the first-level cache: LLVM tests at run time that
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
def toward(a, b, weight):
    """``a + weight (b - a)``, from the nearer end, so that weight 1 gives b exactly."""
    half = type_of(weight, 0.5)
    return a + weight * (b - a) if weight < half else b - (b - a) * (type_of(weight, 1) - weight)
