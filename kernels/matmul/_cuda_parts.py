"""The second pass of a product whose sums were cut into parts: the parts are added in their order, so that the result is the same each time.

A thread adds up one element after the other; neighbours read neighbouring elements of every part.  Memory bandwidth bounds it.
"""

from __future__ import annotations

import functools

import numpy as np

from .._cuda.intrinsics import cuda
from .._cuda.launch import Kernel, kernel, pointer
from ._cuda_kind import Ending, computed, finishing


@functools.lru_cache(maxsize=None)
def add_parts(dtype: np.dtype, ending: Ending) -> Kernel:
    """out[i] = f(d + Σ_s parts[s·size + i]), with d[row·d_row + column·d_column] for the element in that row and column of its matrix, m x n."""
    T, finish = computed(dtype).type, finishing(dtype, ending)

    @kernel(pointer(dtype), pointer(T), pointer(dtype), *[np.int64] * 6)
    def add(out, parts, d, size, splits, m, n, d_row, d_column):
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < size:
            total = parts[i]
            at = i + size
            for _ in range(1, splits):
                total = T(total + parts[at])
                at += size
            out[i] = finish(total, d, i // n % m * d_row + i % n * d_column)
            i += step

    return add
