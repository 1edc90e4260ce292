"""The kernels of optimizer steps, for one working dtype.

Each runs over chunks of at most 2048 elements of a ``Table`` and streams every array once from memory, which is what bounds it.  Loops that
would touch more than four arrays are split in two over the same chunk, which is then in the first-level cache: LLVM tests at run time that
the arrays do not overlap before it takes the vector path, and gives up beyond eight pairs.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import compiled, inline, kernel, load, store, u
from .._cpu.types import intp, signature
from ._table import GRADIENT, accessors, number, setting


@inline
def gradient(g, p, sign, weight_decay):
    """The gradient that is stepped along.  Without weight decay p takes no part: it may be infinite."""
    return g * sign + weight_decay * p if weight_decay != 0 else g * sign


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


def launched(body: Any) -> Any:
    """``body(lo, hi, table)`` as a function of the number of chunks and the table's address."""
    return compiled(body, signature(intp))


@functools.cache
def step_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The steps in float32 or float64.  Each reads its settings in the order in which ``cpu`` sets them."""
    access = accessors(dtype)
    real, piece = access.real, access.piece

    @kernel
    def sgd(lo, hi, table):
        rate, sign, weight_decay = real(setting(table, 0)), real(setting(table, 1)), real(setting(table, 2))
        for c in range(lo, hi):
            p, g = piece(table, 0, c), piece(table, GRADIENT, c)
            for i in range(p.size):
                p[u(i)] += rate * gradient(g[u(i)], p[u(i)], sign, weight_decay)

    @kernel
    def sgd_momentum(lo, hi, table):
        rate, sign, weight_decay = real(setting(table, 0)), real(setting(table, 1)), real(setting(table, 2))
        momentum, nesterov = real(setting(table, 3)), real(setting(table, 4)) != real(0)
        for c in range(lo, hi):
            p, g, b = piece(table, 0, c), piece(table, GRADIENT, c), piece(table, GRADIENT + 1, c)
            gain = real(number(table, 0, c))
            for i in range(p.size):
                d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
                moved = b[u(i)] * momentum + gain * d
                b[u(i)] = moved
                p[u(i)] += rate * (d + momentum * moved if nesterov else moved)

    @inline
    def estimate(table, c):
        """The first and second moments of Adam; returns the parameter, its moments, the rate, and what the second's root is scaled by."""
        sign, weight_decay = real(setting(table, 0)), real(setting(table, 1))
        weight1, beta2, weight2 = real(setting(table, 3)), real(setting(table, 4)), real(setting(table, 5))
        p, g = piece(table, 0, c), piece(table, GRADIENT, c)
        m, v = piece(table, GRADIENT + 1, c), piece(table, GRADIENT + 2, c)
        moments(p, g, m, v, sign, weight_decay, weight1, real(1) - weight1, beta2, weight2)
        return p, m, v, real(number(table, 0, c)), real(number(table, 1, c))

    @kernel
    def adam(lo, hi, table):
        decay, eps = real(setting(table, 2)), real(setting(table, 6))
        for c in range(lo, hi):
            p, m, v, rate, scale = estimate(table, c)
            for i in range(p.size):
                p[u(i)] = p[u(i)] * decay + rate * m[u(i)] / (np.sqrt(v[u(i)]) * scale + eps)

    @kernel
    def amsgrad(lo, hi, table):
        decay, eps = real(setting(table, 2)), real(setting(table, 6))
        for c in range(lo, hi):
            p, m, v, rate, scale = estimate(table, c)
            largest = piece(table, GRADIENT + 3, c)
            for i in range(p.size):
                a, b = largest[u(i)], v[u(i)]
                a = a if (a >= b) | (a != a) else b  # NaN of either side stays
                largest[u(i)] = a
                p[u(i)] = p[u(i)] * decay + rate * m[u(i)] / (np.sqrt(a) * scale + eps)

    @kernel
    def adagrad(lo, hi, table):
        sign, weight_decay, eps = real(setting(table, 0)), real(setting(table, 1)), real(setting(table, 2))
        for c in range(lo, hi):
            p, g, s = piece(table, 0, c), piece(table, GRADIENT, c), piece(table, GRADIENT + 1, c)
            rate = real(number(table, 0, c))
            for i in range(p.size):
                d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
                total = s[u(i)] + d * d
                s[u(i)] = total
                p[u(i)] += rate * d / (np.sqrt(total) + eps)

    steps = {"sgd": sgd, "sgd_momentum": sgd_momentum, "adam": adam, "amsgrad": amsgrad, "adagrad": adagrad}
    return SimpleNamespace(**{name: launched(step) for name, step in steps.items()})


@functools.cache
def rmsprop_kernel(dtype: np.dtype, centered: bool, buffered: bool) -> Any:
    """RMSprop for one choice of states: the columns after the gradient are the squares, then the averages, then the buffers, as there are."""
    averages, buffers = GRADIENT + 2, GRADIENT + 2 + centered
    access = accessors(dtype)
    real, piece = access.real, access.piece

    @kernel(source=f"update.rmsprop {dtype} centered={centered} buffered={buffered}")
    def rmsprop(lo, hi, table):
        rate, sign, weight_decay = real(setting(table, 0)), real(setting(table, 1)), real(setting(table, 2))
        alpha, weight = real(setting(table, 3)), real(setting(table, 4))
        eps, momentum, rest = real(setting(table, 5)), real(setting(table, 6)), real(1) - weight
        for c in range(lo, hi):
            p, g, s = piece(table, 0, c), piece(table, GRADIENT, c), piece(table, GRADIENT + 1, c)
            a = piece(table, averages, c) if centered else s
            for i in range(p.size):
                d = gradient(g[u(i)], p[u(i)], sign, weight_decay)
                s[u(i)] = s[u(i)] * alpha + weight * d * d
                if centered:
                    a[u(i)] = toward(a[u(i)], d, weight, rest)
            b = piece(table, buffers, c) if buffered else s
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

    return launched(rmsprop)


@functools.cache
def list_kernels(dtype: np.dtype) -> SimpleNamespace:
    """What is done to the arrays of a list: ``scale``, ``zero``, and per chunk ``squares`` and ``powers``, with float64 results at an address."""
    access = accessors(dtype)
    real, piece, whole = access.real, access.piece, access.whole

    @kernel
    def scale(lo, hi, table):
        factor = real(setting(table, 0))
        for c in range(lo, hi):
            x = piece(table, 0, c)
            for i in range(x.size):
                x[u(i)] *= factor

    @kernel
    def unscale(lo, hi, table, found):
        """At ``found`` a float32 becomes 1 where an element was infinite or NaN; every thread that finds one writes the same."""
        factor = real(setting(table, 0))
        for c in range(lo, hi):
            x = piece(table, 0, c)
            trace = real(0)
            for i in range(x.size):
                trace += x[u(i)] * real(0)  # NaN of what is not finite
                x[u(i)] *= factor
            if trace != real(0):
                store(found, np.float32(1))

    @kernel
    def zero(lo, hi, table):
        for c in range(lo, hi):
            x = piece(table, 0, c)
            for i in range(x.size):
                x[u(i)] = real(0)

    @kernel(reassociate=True)
    def squares(lo, hi, table, sums):
        """Squares of float32 may overflow where their float64 sum does not; each chunk is summed on its own, whatever thread it falls to."""
        for c in range(lo, hi):
            x = piece(table, 0, c)
            total = real(0)
            for i in range(x.size):
                total += x[u(i)] * x[u(i)]
            store(sums + 8 * c, np.float64(total))

    @kernel
    def powers(lo, hi, table, sums, parts):
        """Sums of |x|^power (or the largest, or the smallest |x|) per chunk, in float64.  At ``parts`` there is a 2 for each array of complex numbers,
        else a 1."""
        power = setting(table, 0)
        for c in range(lo, hi):
            x = piece(table, 0, c)
            k = load(parts + 8 * whole(table, c), np.int64)
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
            store(sums + 8 * c, total)

    return SimpleNamespace(
        scale=launched(scale),
        zero=launched(zero),
        unscale=compiled(unscale, signature(intp, intp)),
        squares=compiled(squares, signature(intp, intp)),
        powers=compiled(powers, signature(intp, intp, intp)),
    )
