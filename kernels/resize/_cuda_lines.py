"""Resizing on CUDA: a thread for each element of the result, which sums over the runs of places that the tables of its dimensions say.

Neighbouring threads read neighbouring places of the same rows, which the caches hand out again and again; bound by memory.  Elements are counted in a
type ``I`` without a sign, uint32 where that suffices.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.elements import narrow, quotient, widen
from .._cuda.intrinsics import cuda
from .._cuda.launch import kernel, pointer


@functools.lru_cache(maxsize=None)
def resample(dtype: np.dtype, I: Any) -> Any:
    """y[p, d, h, w] = Σ_k wd[k] Σ_l wh[l] Σ_m ww[m] · x[p, fd + k, fh + l, fw + m].  Of each dimension: the first places, where the weights of each run
    start, the weights, the size of ``x``, and what divides by the size of ``y`` (see ``_cuda.elements``)."""
    kind = _dtypes.compute_dtype(dtype)
    T: Any = kind.type
    read, write, divided, zero, one = widen(dtype), narrow(dtype), quotient(I), T(0), np.int32(1)
    dimension = pointer(np.int32), pointer(np.int32), pointer(kind), I, I, I, I

    @kernel(pointer(dtype), pointer(dtype), *dimension, *dimension, *dimension, I)
    def resample_elements(
        y, x,
        fd, sd, wd, depth, slices, slices_m, slices_s,
        fh, sh, wh, height, rows, rows_m, rows_s,
        fw, sw, ww, width, columns, columns_m, columns_s,
        n,
    ):  # fmt: skip
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            line = divided(i, columns, columns_m, columns_s)
            w = I(i - I(line * columns))
            sheet = divided(line, rows, rows_m, rows_s)
            h = I(line - I(sheet * rows))
            p = divided(sheet, slices, slices_m, slices_s)
            d = I(sheet - I(p * slices))
            first, begin, end = I(fw[w]), sw[w], sw[w + one]
            total = zero
            at_d, source_d = sd[d], I(I(p * depth) + I(fd[d]))
            while at_d < sd[d + one]:
                across = zero
                at_h, source_h = sh[h], I(I(source_d * height) + I(fh[h]))
                while at_h < sh[h + one]:
                    along = zero
                    at, source = begin, I(I(source_h * width) + first)
                    while at < end:
                        along += ww[at] * read(x[source])
                        at, source = np.int32(at + one), I(source + I(1))
                    across += wh[at_h] * along
                    at_h, source_h = np.int32(at_h + one), I(source_h + I(1))
                total += wd[at_d] * across
                at_d, source_d = np.int32(at_d + one), I(source_d + I(1))
            y[i] = write(total)
            i = I(i + step)

    return resample_elements


@functools.lru_cache(maxsize=None)
def pick(W: Any, I: Any) -> Any:
    """y[p, d, h, w] = x[p, fd, fh, fw], as words ``W``; of each dimension: the places, the size of ``x``, and what divides by the size of ``y``."""
    divided = quotient(I)
    dimension = pointer(np.int32), I, I, I, I

    @kernel(pointer(W), pointer(W), *dimension, *dimension, *dimension, I)
    def pick_elements(
        y, x, fd, depth, slices, slices_m, slices_s, fh, height, rows, rows_m, rows_s, fw, width, columns, columns_m, columns_s, n
    ):
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        i = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            line = divided(i, columns, columns_m, columns_s)
            sheet = divided(line, rows, rows_m, rows_s)
            p = divided(sheet, slices, slices_m, slices_s)
            source = I(I(p * depth) + I(fd[I(sheet - I(p * slices))]))
            source = I(I(source * height) + I(fh[I(line - I(sheet * rows))]))
            source = I(I(source * width) + I(fw[I(i - I(line * columns))]))
            y[i] = x[source]
            i = I(i + step)

    return pick_elements
