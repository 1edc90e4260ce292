"""Reductions and scans on CUDA: ``_cuda_passes`` runs the loops of ``_cuda_fold``; scans are in ``_cuda_scan``.

All arrays are flat and contiguous; (outer, n, inner) says how they are read.  What is done to results is elementwise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _dtypes, _formula
from .._cuda.array import CudaArray, empty
from ..copy import cast, fill
from ..elementwise import elementwise
from . import _cuda_passes as passes
from . import _cuda_running
from ._cuda_passes import first_extremum
from ._quick import Quick

__all__ = [
    "add_scaled", "deviations", "divide", "exponentials", "filled", "finite", "first_extremum", "learn", "linear_scan", "operand", "reduce", "root",
    "running_extremum", "running_logsumexp", "scan", "shifted_log", "spread",
]  # fmt: skip


def operand(x: CudaArray, dtype: np.dtype) -> CudaArray:
    """``x`` as ``reduce`` reads it for accumulators of ``dtype``: 16-bit floats as they are, since they become float32 where they are read."""
    return x if x.dtype in _dtypes.HALVES and dtype == _dtypes.float32 else cast(x, dtype)


def reduce(name: str, x: CudaArray, outer: int, n: int, inner: int, dtype: np.dtype, power: float) -> CudaArray:
    """``x`` (outer, n, inner) combined over n >= 1 into (outer, inner) of ``dtype`` by the operation ``name`` of ``_operations.OPERATIONS``."""
    if name == "sum" and x.dtype in _dtypes.COMPLEXES:  # real and imaginary parts are columns of their own
        part = _dtypes.real_dtype(x.dtype)
        return passes.fold(name, x.view(part), outer, n, 2 * inner, part).view(dtype)
    return passes.fold(name, x, outer, n, inner, dtype, power)


def deviations(x: CudaArray, centre: CudaArray, outer: int, n: int, inner: int) -> CudaArray:
    """Σ |x - centre|² over n, of x (outer, n, inner) and centre (outer, inner)."""
    return passes.fold("deviation", x, outer, n, inner, _dtypes.real_dtype(centre.dtype), centre=centre)


def exponentials(x: CudaArray, centre: CudaArray, outer: int, n: int, inner: int) -> CudaArray:
    """Σ exp(x - centre) over n, of x (outer, n, inner) and centre (outer, inner)."""
    return passes.fold("exponential", x, outer, n, inner, centre.dtype, centre=centre)


def learn(quick: Quick, op: str, x: CudaArray, dim: Any, keepdim: bool, y: CudaArray) -> None:
    """Nothing: the quick way from Python into a kernel is for arrays of the host."""


def scan(name: str, x: CudaArray, outer: int, n: int, inner: int, dtype: np.dtype) -> CudaArray:
    """The running sum ("cumsum") or product ("cumprod") of ``x`` along n, in ``dtype``."""
    if name == "cumsum" and dtype in _dtypes.COMPLEXES:  # real and imaginary parts are columns of their own
        part = _dtypes.real_dtype(dtype)
        return passes.scan(name, x.view(part), outer, n, 2 * inner, part).view(dtype)
    return passes.scan(name, x, outer, n, inner, dtype)


def linear_scan(a: CudaArray, b: CudaArray, outer: int, n: int, inner: int, reverse: bool) -> CudaArray:
    """y_j = b_j + a_j · y_(j-1) along n, from the end if ``reverse``."""
    return passes.recurrence(a, b, outer, n, inner, reverse)


def running_extremum(op: str, x: CudaArray, outer: int, n: int, inner: int) -> tuple[CudaArray, CudaArray]:
    """The running maximum ("cummax") or minimum ("cummin") of ``x`` along n, and where each is."""
    return _cuda_running.extremum(op, x, outer, n, inner)


def running_logsumexp(x: CudaArray, outer: int, n: int, inner: int) -> CudaArray:
    """The running log Σ exp of ``x`` along n."""
    return _cuda_running.logsumexp(x, outer, n, inner)


def filled(shape: tuple[int, ...], value: Any, dtype: np.dtype) -> CudaArray:
    """An array of the identity of a reduction over no elements."""
    out = empty(shape, dtype)
    fill(out, value)
    return out


@elementwise(accepts="f")
def _quotient(x, divisor: float):
    """x / divisor"""
    return x / divisor


def divide(x: CudaArray, divisor: float) -> CudaArray:
    """x / divisor, in place; 0 / 0 is NaN."""
    parts = x.view(_dtypes.real_dtype(x.dtype))
    _quotient(parts, divisor, out=(parts,))
    return x


@elementwise(accepts="f")
def _square_root(x):
    """sqrt(x)"""
    return _formula.sqrt(x)


@elementwise(accepts="f")
def _raised(x, exponent: float):
    """x to the power of exponent"""
    return _formula.pow(x, exponent)


def root(x: CudaArray, p: float) -> CudaArray:
    """x^(1/p), in place."""
    if p == 2.0:
        _square_root(x, out=(x,))
    else:
        _raised(x, 1.0 / p, out=(x,))
    return x


@elementwise(accepts="f")
def _scaled_sum(x, y, scale: float):
    """x + scale y"""
    return x + scale * y


def add_scaled(x: CudaArray, y: CudaArray, scale: float) -> CudaArray:
    """x + scale · y, in place of x."""
    _scaled_sum(x, y, scale, out=(x,))
    return x


@elementwise(accepts="f")
def _finite_or_zero(x):
    """x where it is a number, else 0"""
    return _formula.where((x < math.inf) & (x > -math.inf), x, 0)


def finite(x: CudaArray) -> CudaArray:
    """x with infinities and NaN replaced by 0, in place."""
    _finite_or_zero(x, out=(x,))
    return x


@elementwise(accepts="f")
def _log_plus(x, shift):
    """shift + log x"""
    return shift + _formula.log(x)


def shifted_log(x: CudaArray, shift: CudaArray) -> CudaArray:
    """shift + log x, in place of x."""
    _log_plus(x, shift, out=(x,))
    return x


def spread(g: CudaArray, shape: tuple[int, ...], dims: tuple[int, ...]) -> CudaArray:
    """Contiguous ``g``, the result of reducing ``dims`` of ``shape``, as ``shape``: a view in which the strides of those dims are 0."""
    strides, step = [0] * len(shape), g.dtype.itemsize
    for j in range(len(shape) - 1, -1, -1):
        if j not in dims:
            strides[j] = step
            step *= shape[j]
    return g.as_strided(shape, strides)
