"""Padding by reflection, replication or wrapping on CUDA, one dimension after the other, and its gradient.

Along a dimension an array is (outer, n, inner).  Each output position shows one input position; the gradient of that is the sum over all positions
that show it, in ascending order.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import blocks, kernel, launch, pointer
from ._cuda_fill import WORDS

REFLECT, REPLICATE, CIRCULAR = 0, 1, 2


@inline
def _source(j, n, left, right, mode):
    """The input position that output position ``j`` of a dimension of ``n`` shows."""
    i = j - left
    if mode == REFLECT:
        i = abs(i)
        if i >= n:
            i = 2 * (n - 1) - i
    elif mode == REPLICATE:
        i = min(max(i, 0), n - 1)
    else:  # wrapping goes around what a negative padding leaves
        first = max(-left, 0)
        i = first + (i - first) % (n - first - max(-right, 0))
    return i


@functools.lru_cache(maxsize=None)
def _padder(item: int) -> Any:
    word = WORDS[item]

    @kernel(pointer(word), pointer(word), *[np.int64] * 7)
    def pad(out, x, n, left, right, padded, inner, mode, total):
        """``inner`` and ``total`` (of the output) count words."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        at = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while at < total:
            row = at // inner
            i = _source(row % padded, n, left, right, mode)
            out[at] = x[(row // padded * n + i) * inner + at % inner]
            at += step

    return pad


def pad(x: CudaArray, pads: tuple[tuple[int, int], ...], mode: int) -> CudaArray:
    """``x`` (N, D, H, W), contiguous, padded in D, H and W by ``pads`` = ((front, back), (top, bottom), (left, right))."""
    item = x.itemsize
    words = item // np.dtype(WORDS[item]).itemsize
    for dim, (left, right) in enumerate(pads, 1):
        if left or right:
            n, padded = x.shape[dim], x.shape[dim] + left + right
            out = empty((*x.shape[:dim], padded, *x.shape[dim + 1 :]), x.dtype)
            total, inner = out.size * words, math.prod(x.shape[dim + 1 :]) * words
            if total:
                launch(_padder(item), *blocks(total), (out.pointer, x.pointer, n, left, right, padded, inner, mode, total))
            x = out
    return x


@functools.lru_cache(maxsize=None)
def _gatherer(dtype: np.dtype) -> Any:
    zero = dtype.type(0)

    @kernel(pointer(dtype), pointer(dtype), *[np.int64] * 7)
    def gather(out, g, n, left, right, padded, inner, mode, total):
        """``padded`` is the size of ``g`` along the dimension, ``n`` that of ``out``, of which ``total`` elements are to be found."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        at = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while at < total:
            row = at // inner
            i = row % n
            base = row // n * padded * inner + at % inner
            own = i + left
            value = zero
            if mode == CIRCULAR:
                first, last = max(-left, 0), n - max(-right, 0)
                if first <= i < last:  # what is cut off nobody shows
                    for j in range(own % (last - first), padded, last - first):
                        value += g[base + j * inner]
            else:
                # Where it shows beside its own position, as ranges: in front of that, and behind it.
                start, stop, after, end = 0, 0, 0, 0
                if mode == REFLECT:
                    if i > 0:
                        start, stop = left - i, left - i + 1
                    if i < n - 1:
                        after, end = left + 2 * (n - 1) - i, left + 2 * (n - 1) - i + 1
                else:
                    if i == 0:
                        stop = own
                    if i == n - 1:
                        after, end = own + 1, padded
                for j in range(max(start, 0), min(stop, padded)):
                    value += g[base + j * inner]
                if 0 <= own < padded:
                    value += g[base + own * inner]
                for j in range(max(after, 0), min(end, padded)):
                    value += g[base + j * inner]
            out[at] = value
            at += step

    return gather


def pad_backward(g: CudaArray, shape: tuple[int, ...], pads: tuple[tuple[int, int], ...], mode: int) -> CudaArray:
    """The gradient of ``pad`` with respect to its input of ``shape``, given ``g``, contiguous, for its output."""
    kind = g.dtype
    parts = 2 if kind in _dtypes.COMPLEXES else 1  # a complex number is two real ones
    real = _dtypes.real_dtype(kind)
    for dim, (left, right) in enumerate(pads, 1):
        if left or right:
            n, padded = shape[dim], g.shape[dim]
            out = empty((*g.shape[:dim], n, *g.shape[dim + 1 :]), kind)
            total, inner = out.size * parts, math.prod(g.shape[dim + 1 :]) * parts
            if total:
                launch(_gatherer(real), *blocks(total), (out.pointer, g.pointer, n, left, right, padded, inner, mode, total))
            g = out
    return g
