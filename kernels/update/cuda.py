"""Optimizer steps on CUDA: what a step is told, and its launch, a block for each chunk of a table."""

from __future__ import annotations

import functools
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty
from .._cuda.launch import Kernel, launch
from .._cuda.transfer import to_device
from . import _cuda_sums as sums
from ._cuda_source import COMMON, GIVEN, OWN
from ._cuda_steps import list_kernels, rmsprop_kernel, rule_kernel, step_kernels
from ._cuda_table import THREADS, Table

__all__ = [
    "Table", "adagrad", "adam", "amsgrad", "norms", "rmsprop", "rule", "scale", "sgd", "sgd_momentum", "total_norm", "unscale", "work_dtype", "zero",
]  # fmt: skip


def work_dtype(dtype: np.dtype) -> np.dtype:
    """The type of the elements that kernels walk: 16-bit floats are computed in float32, but read and written as they are."""
    return _dtypes.real_dtype(dtype)


def _address(x: CudaArray | None) -> int:
    """What a kernel is given of an array; it does not look at none."""
    return 0 if x is None else x.pointer


def _run(kernel: Kernel, table: Table, numbers: Sequence[Any] = (), *settings: float) -> None:
    """``numbers``: one for all arrays, or a list."""
    if table.chunks:
        own, held, given = table.numbers(*numbers) if numbers else (False, None, [])
        arrays = table.words.pointer, table.count, table.roles, _address(held), OWN if own else GIVEN
        launch(kernel, table.chunks, THREADS, (*arrays, *given, *settings))


def sgd(table: Table, rate: float, sign: float, weight_decay: float) -> None:
    _run(step_kernels(table.dtype).sgd, table, (), rate, sign, weight_decay)


def sgd_momentum(
    table: Table, gains: float | Sequence[float], rate: float, sign: float, weight_decay: float, momentum: float, nesterov: bool
) -> None:
    """``gains`` is what the gradient is multiplied with on its way into the buffer."""
    _run(step_kernels(table.dtype).sgd_momentum, table, (gains,), rate, sign, weight_decay, momentum, float(nesterov))


def adam(
    table: Table, rates: Any, scales: Any, sign: float, weight_decay: float, decay: float, beta1: float, beta2: float, eps: float
) -> None:
    """``rates`` (negative) and ``scales`` (of the root of the second moment) carry the bias corrections; ``decay`` multiplies the parameter first."""
    settings = sign, weight_decay, decay, 1.0 - beta1, beta2, 1.0 - beta2, eps
    _run(step_kernels(table.dtype).adam, table, (rates, scales), *settings)


def amsgrad(
    table: Table, rates: Any, scales: Any, sign: float, weight_decay: float, decay: float, beta1: float, beta2: float, eps: float
) -> None:
    settings = sign, weight_decay, decay, 1.0 - beta1, beta2, 1.0 - beta2, eps
    _run(step_kernels(table.dtype).amsgrad, table, (rates, scales), *settings)


def adagrad(table: Table, rates: Any, sign: float, weight_decay: float, eps: float) -> None:
    _run(step_kernels(table.dtype).adagrad, table, (rates,), sign, weight_decay, eps)


@functools.cache
def rmsprop(centered: bool, buffered: bool) -> Any:
    """The step for one choice of states: a function of (table, rate, sign, weight_decay, alpha, eps, momentum)."""

    def step(table: Table, rate: float, sign: float, weight_decay: float, alpha: float, eps: float, momentum: float) -> None:
        settings = rate, sign, weight_decay, alpha, 1.0 - alpha, eps, momentum
        _run(rmsprop_kernel(table.dtype, centered, buffered), table, (), *settings)

    return step


def rule(name: str, table: Table, numbers: Sequence[Any], *settings: float) -> None:
    """The step ``name`` of ``_rules``; ``numbers``: each one for all arrays, or a list."""
    _run(rule_kernel(name, table.dtype), table, numbers, *settings)


def norms(table: Table, power: float, parts: Sequence[int]) -> Any:
    """The norm of each array of the table's first column, in float64."""
    found = empty((table.count,), _dtypes.float64)
    kind = sums.kind_of(power)
    folded = sums.folded_dtype(kind, table.dtype)
    chunks = empty((table.chunks,), folded)
    arrays = table.words.pointer, table.count, table.roles
    if not table.chunks:
        pass
    elif kind == sums.SQUARES:
        launch(sums.squares(table.dtype), table.chunks, sums.FOLDERS, (*arrays, chunks.pointer))
    else:
        each = to_device(np.asarray(parts, np.int64), table.device)
        finite = power if kind == sums.POWERS else 0.0
        launch(sums.powers(table.dtype, kind), table.chunks, sums.FOLDERS, (*arrays, chunks.pointer, each.pointer, finite))
    if table.count:
        told = found.pointer, chunks.pointer, table.chunks, power
        launch(sums.join(kind, folded), table.count, sums.FOLDERS, (*arrays, *told))
    return found


def total_norm(norms: Any, power: float) -> Any:
    """The norm of the norms of several arrays, as a 0-d array of float64."""
    out = empty((), _dtypes.float64)
    launch(sums.total(sums.kind_of(power)), 1, sums.FOLDERS, (out.pointer, norms.pointer, norms.size, power))
    return out


def _factor(table: Table, factor: Any) -> tuple[Any, ...]:
    """Where a kernel finds one number for all arrays: (its address, COMMON) or (0, GIVEN), and the number."""
    from ..copy import cast

    if not isinstance(factor, CudaArray):
        return None, GIVEN, float(factor)
    return cast(factor, _dtypes.compute_dtype(table.dtype)), COMMON, 0.0


def scale(table: Table, factor: Any) -> None:
    """``factor``: a number, or a 0-d array of the device."""
    if table.chunks:
        held, where, given = _factor(table, factor)
        arrays = table.words.pointer, table.count, table.roles, _address(held), where
        launch(list_kernels(table.dtype).scale, table.chunks, THREADS, (*arrays, given))


def unscale(table: Table, factor: Any, found: Any) -> None:
    """As ``scale``; found[()] = 1 where an element was not finite."""
    if table.chunks:
        held, where, given = _factor(table, factor)
        arrays = table.words.pointer, table.count, table.roles, _address(held), where, found.pointer
        launch(sums.unscale(table.dtype), table.chunks, THREADS, (*arrays, given))


def zero(table: Table) -> None:
    _run(list_kernels(table.dtype).zero, table)
