"""What the optimizers do to one element, in the arithmetic of the CPU's kernels and in their order."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.functions import functions_for
from .._cuda.intrinsics import inline
from ._cuda_source import Loop, looped
from ._rules import RULES, shared


@functools.lru_cache(maxsize=None)
def _shared(real: Any) -> tuple[Any, ...]:
    """The gradient that is stepped along, the way from a to b, and Adam's moments."""
    gradient, toward = shared(real, inline)

    @inline
    def moments(p, g, m, v, sign, weight_decay, weight1, beta2, weight2):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        return toward(m, d, weight1), v * beta2 + weight2 * d * d

    return gradient, toward, moments


@functools.lru_cache(maxsize=None)
def step_kernels(dtype: np.dtype) -> SimpleNamespace:
    """The steps for arrays of ``dtype``.  Each has the numbers of an array first, then the settings in the order in which ``cuda`` passes them."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero, root = real(0), functions_for(kind, {"sqrt"})["sqrt"]
    gradient, _, moments = _shared(real)

    @inline
    def sgd(p, g, rate, sign, weight_decay):  # type: ignore[no-untyped-def]
        return p + rate * gradient(g, p, sign, weight_decay)

    @inline
    def sgd_momentum(p, g, b, gain, rate, sign, weight_decay, momentum, nesterov):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        moved = b * momentum + gain * d
        return p + rate * (d + momentum * moved if nesterov != zero else moved), moved

    @inline
    def adam(p, g, m, v, rate, scale, sign, weight_decay, decay, weight1, beta2, weight2, eps):  # type: ignore[no-untyped-def]
        m, v = moments(p, g, m, v, sign, weight_decay, weight1, beta2, weight2)
        return p * decay + rate * m / (root(v) * scale + eps), m, v

    @inline
    def amsgrad(p, g, m, v, most, rate, scale, sign, weight_decay, decay, weight1, beta2, weight2, eps):  # type: ignore[no-untyped-def]
        m, v = moments(p, g, m, v, sign, weight_decay, weight1, beta2, weight2)
        most = most if most >= v or most != most else v  # NaN of either side stays
        return p * decay + rate * m / (root(most) * scale + eps), m, v, most

    @inline
    def adagrad(p, g, s, rate, sign, weight_decay, eps):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        total = s + d * d
        return p + rate * d / (root(total) + eps), total

    return SimpleNamespace(
        sgd=looped("sgd", dtype, sgd, Loop((0, 1), (0,), 0, 3)),
        sgd_momentum=looped("sgd_momentum", dtype, sgd_momentum, Loop((0, 1, 2), (0, 2), 1, 5)),
        adam=looped("adam", dtype, adam, Loop((0, 1, 2, 3), (0, 2, 3), 2, 7)),
        amsgrad=looped("amsgrad", dtype, amsgrad, Loop((0, 1, 2, 3, 4), (0, 2, 3, 4), 2, 7)),
        adagrad=looped("adagrad", dtype, adagrad, Loop((0, 1, 2), (0, 2), 1, 3)),
    )


@functools.lru_cache(maxsize=None)
def rmsprop_kernel(dtype: np.dtype, centered: bool, buffered: bool) -> Any:
    """RMSprop for one choice of states: the roles after the gradient are the squares, then the averages, then the buffers, as there are."""
    kind = _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    root = functions_for(kind, {"sqrt"})["sqrt"]
    gradient, toward, _ = _shared(real)

    @inline
    def plain(p, g, s, rate, sign, weight_decay, alpha, weight, eps, momentum):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        s = s * alpha + weight * d * d
        return p + rate * d / (root(s) + eps), s

    @inline
    def with_average(p, g, s, a, rate, sign, weight_decay, alpha, weight, eps, momentum):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        s, a = s * alpha + weight * d * d, toward(a, d, weight)
        return p + rate * d / (root(s - a * a) + eps), s, a

    @inline
    def with_buffer(p, g, s, b, rate, sign, weight_decay, alpha, weight, eps, momentum):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        s = s * alpha + weight * d * d
        b = b * momentum + d / (root(s) + eps)
        return p + rate * b, s, b

    @inline
    def with_both(p, g, s, a, b, rate, sign, weight_decay, alpha, weight, eps, momentum):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        s, a = s * alpha + weight * d * d, toward(a, d, weight)
        b = b * momentum + d / (root(s - a * a) + eps)
        return p + rate * b, s, a, b

    function = {(False, False): plain, (True, False): with_average, (False, True): with_buffer, (True, True): with_both}[centered, buffered]
    states = tuple(range(2, 3 + centered + buffered))
    return looped("rmsprop", dtype, function, Loop((0, 1, *states), (0, *states), 0, 7))


@functools.lru_cache(maxsize=None)
def rule_kernel(name: str, dtype: np.dtype) -> Any:
    """The step ``name`` of ``_rules``, with the settings in the order in which ``cuda`` passes them."""
    rule, kind = RULES[name], _dtypes.compute_dtype(dtype)
    function = rule.make(kind.type, inline, functions_for(kind, {"sqrt"})["sqrt"])
    states = tuple(range(2, 2 + rule.states))
    return looped(name, dtype, inline(function), Loop((0, 1, *states), (0, *states), rule.numbers, rule.settings(function)))


@functools.lru_cache(maxsize=None)
def list_kernels(dtype: np.dtype) -> SimpleNamespace:
    """What is done to the arrays of a list."""
    nothing = _dtypes.compute_dtype(dtype).type(0)

    @inline
    def scale(x, factor):  # type: ignore[no-untyped-def]
        return x * factor

    @inline
    def zero():  # type: ignore[no-untyped-def]
        return nothing

    return SimpleNamespace(
        scale=looped("scale", dtype, scale, Loop((0,), (0,), 1, 0)),
        zero=looped("zero", dtype, zero, Loop((), (0,), 0, 0)),
    )
