"""Optimizer steps on the CPU: what a step is told, and its launch over the chunks of a table."""

from __future__ import annotations

import functools
import math
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._cpu import empty
from ._loops import rule_kernel
from ._steps import list_kernels, rmsprop_kernel, step_kernels
from ._table import Table

__all__ = [
    "Table", "adagrad", "adam", "amsgrad", "norms", "rmsprop", "rule", "scale", "sgd", "sgd_momentum", "total_norm", "unscale", "work_dtype", "zero",
]  # fmt: skip


def work_dtype(dtype: np.dtype) -> np.dtype:
    """The real type of the elements that kernels walk: float32 for the 16-bit floats, the parts' type for complex numbers."""
    return _dtypes.real_dtype(_dtypes.compute_dtype(dtype))


def sgd(table: Table, rate: float, sign: float, weight_decay: float) -> None:
    table.set(rate, sign, weight_decay)
    step_kernels(table.dtype).sgd(len(table.chunks), table.address, work=4 * table.total)


def sgd_momentum(
    table: Table, gains: float | Sequence[float], rate: float, sign: float, weight_decay: float, momentum: float, nesterov: bool
) -> None:
    """``gains`` is what the gradient is multiplied with on its way into the buffer."""
    table.give(gains)
    table.set(rate, sign, weight_decay, momentum, nesterov)
    step_kernels(table.dtype).sgd_momentum(len(table.chunks), table.address, work=4 * table.total)


def adam(
    table: Table, rates: Any, scales: Any, sign: float, weight_decay: float, decay: float, beta1: float, beta2: float, eps: float
) -> None:
    """``rates`` (negative) and ``scales`` (of the root of the second moment) carry the bias corrections; ``decay`` multiplies the parameter first."""
    table.give(rates, scales)
    table.set(sign, weight_decay, decay, 1.0 - beta1, beta2, 1.0 - beta2, eps)
    step_kernels(table.dtype).adam(len(table.chunks), table.address, work=12 * table.total)


def amsgrad(
    table: Table, rates: Any, scales: Any, sign: float, weight_decay: float, decay: float, beta1: float, beta2: float, eps: float
) -> None:
    table.give(rates, scales)
    table.set(sign, weight_decay, decay, 1.0 - beta1, beta2, 1.0 - beta2, eps)
    step_kernels(table.dtype).amsgrad(len(table.chunks), table.address, work=12 * table.total)


def adagrad(table: Table, rates: Any, sign: float, weight_decay: float, eps: float) -> None:
    table.give(rates)
    table.set(sign, weight_decay, eps)
    step_kernels(table.dtype).adagrad(len(table.chunks), table.address, work=10 * table.total)


@functools.cache
def rmsprop(centered: bool, buffered: bool) -> Any:
    """The step for one choice of states: a function of (table, rate, sign, weight_decay, alpha, eps, momentum)."""

    def step(table: Table, rate: float, sign: float, weight_decay: float, alpha: float, eps: float, momentum: float) -> None:
        table.set(rate, sign, weight_decay, alpha, 1.0 - alpha, eps, momentum)
        rmsprop_kernel(table.dtype, centered, buffered)(len(table.chunks), table.address, work=12 * table.total)

    return step


def rule(name: str, table: Table, numbers: Sequence[Any], *settings: float) -> None:
    """The step ``name`` of ``_rules``; ``numbers``: each one for all arrays, or a list."""
    table.give(*numbers)
    table.set(*settings)
    rule_kernel(name, table.dtype)(len(table.chunks), table.address, work=12 * table.total)


def norms(table: Table, power: float, parts: Sequence[int]) -> Any:
    """The norm of each array of the table's first column.

    The square sums of a chunk are taken in the arrays' own type, in vector lanes: for the squares the number of parts does not matter.
    """
    n = table.ids.shape[1]
    sums, kernels = empty((len(table.chunks),), np.float64), list_kernels(table.dtype)
    if power == 2.0:
        kernels.squares(len(table.chunks), table.address, sums.ctypes.data, work=2 * table.total)
    else:
        table.set(power)
        each = np.asarray(parts, np.int64)
        cost = 10 if abs(power) in (0.0, 1.0, math.inf) else 60
        kernels.powers(len(table.chunks), table.address, sums.ctypes.data, each.ctypes.data, work=cost * table.total)
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


def total_norm(norms: Any, power: float) -> Any:
    """The norm of the norms of several arrays, as a 0-d array of float64; NaN if there is one among them."""
    return np.array(_norm_of(norms if type(norms) is list else norms.tolist(), power))


def _norm_of(norms: list[float], order: float) -> float:
    if any(math.isnan(n) for n in norms):
        return math.nan
    if math.isinf(order):
        return max(norms) if order > 0 else min(norms)
    if order == 0:
        return float(sum(n != 0 for n in norms))
    largest = max(norms)
    if largest == 0 or math.isinf(largest):  # nothing to scale by
        return largest if order > 0 else sum(n**order if n else math.inf for n in norms) ** (1 / order)
    return largest * sum((n / largest) ** order if n or order > 0 else math.inf for n in norms) ** (1 / order)


def scale(table: Table, factor: Any) -> None:
    table.set(factor)
    list_kernels(table.dtype).scale(len(table.chunks), table.address, work=table.total)


def unscale(table: Table, factor: Any, found: Any) -> None:
    """As ``scale``; found[()] = 1 where an element was not finite."""
    table.set(factor)
    list_kernels(table.dtype).unscale(len(table.chunks), table.address, found.ctypes.data, work=2 * table.total)


def zero(table: Table) -> None:
    list_kernels(table.dtype).zero(len(table.chunks), table.address, work=table.total)
