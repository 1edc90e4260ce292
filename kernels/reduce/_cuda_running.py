"""Running extrema with their places, and running log-sums of exponentials, down the middle axis of (outer, n, inner) on CUDA.

A thread goes down its column.  Neighbouring threads read neighbouring columns, so inner > 1 is bound by bandwidth; few or contiguous rows are bound by the
latency of a load per step.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import blocks, kernel, launch, pointer
from . import _log_sum


@functools.lru_cache(maxsize=None)
def _extremum(dtype: np.dtype, largest: bool) -> Any:
    @kernel(pointer(dtype), pointer(_dtypes.int64), pointer(dtype), np.int64, np.int64, np.int64)
    def running_extremum(out, index, x, n, inner, columns):
        column = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while column < columns:
            at = (column // inner) * n * inner + column % inner
            best = x[at]
            place = np.int64(0)
            for j in range(n):
                value = x[at]
                if (value >= best if largest else value <= best) or value != value:
                    best = value
                    place = np.int64(j)
                out[at] = best
                index[at] = place
                at += inner
            column += np.int64(cuda.gridDim.x) * cuda.blockDim.x

    return running_extremum


@functools.lru_cache(maxsize=None)
def _logsumexp(dtype: np.dtype) -> Any:
    T = dtype.type
    step = _log_sum.build(inline, T, functions_for(dtype, _log_sum.USED))

    @kernel(pointer(dtype), pointer(dtype), np.int64, np.int64, np.int64)
    def running_logsumexp(out, x, n, inner, columns):
        column = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while column < columns:
            at = (column // inner) * n * inner + column % inner
            total, rest = x[at], T(0)
            out[at] = total
            for _ in range(1, n):
                at += inner
                total, rest = step(total, rest, x[at])
                out[at] = total
            column += np.int64(cuda.gridDim.x) * cuda.blockDim.x

    return running_logsumexp


def extremum(op: str, x: CudaArray, outer: int, n: int, inner: int) -> tuple[CudaArray, CudaArray]:
    """(values, places) of the running maximum ("cummax") or minimum ("cummin")."""
    x = x.view(np.dtype(np.uint8)) if x.dtype == _dtypes.bool_ else x
    values, places = empty(x.size, x.dtype), empty(x.size, _dtypes.int64)
    columns = outer * inner
    launch(_extremum(x.dtype, op == "cummax"), *blocks(columns), (values.pointer, places.pointer, x.pointer, n, inner, columns))
    return values, places


def logsumexp(x: CudaArray, outer: int, n: int, inner: int) -> CudaArray:
    """log Σ exp of the elements up to each."""
    out = empty(x.size, x.dtype)
    columns = outer * inner
    launch(_logsumexp(x.dtype), *blocks(columns), (out.pointer, x.pointer, n, inner, columns))
    return out
