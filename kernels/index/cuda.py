"""Indexing on CUDA.  The kernels are in ``_cuda_read``, ``_cuda_write``, ``_cuda_positions`` and ``_cuda_count``.

An index out of range is reported by the kernel that meets it and raised when the host next waits (``_cuda/faults``).
"""

from __future__ import annotations

from typing import Any, Sequence

from .._cuda.array import CudaArray, empty, zeros
from ..copy._fill import number
from ..copy.cuda import overlap
from ._cuda_count import bincount, embedding_backward, extremes, masked_fill, one_hot
from ._cuda_positions import offsets, true_positions, unravel
from ._cuda_read import gather, get, take
from ._cuda_write import put, scatter, scatter_reduce

__all__ = [
    "bincount",
    "embedding_backward",
    "empty",
    "expand",
    "extremes",
    "gather",
    "gather_few",
    "get",
    "get_few",
    "masked_fill",
    "number",
    "offsets",
    "one_hot",
    "overlap",
    "put",
    "put_few",
    "scatter",
    "scatter_few",
    "scatter_reduce",
    "take",
    "true_positions",
    "unravel",
    "zeros",
]


def expand(x: CudaArray, shape: Sequence[int]) -> CudaArray:
    """``x`` broadcast to ``shape``, without copying."""
    missing = len(shape) - x.ndim
    return x.as_strided(shape, [0] * missing + [s if n == m else 0 for n, m, s in zip(x.shape, shape[missing:], x.strides)])


# What is quicker for few elements on the CPU: nothing here.


def get_few(x: CudaArray, indices: Sequence[Any], wrap: bool) -> CudaArray | None:
    return None


def put_few(x: CudaArray, indices: Sequence[Any], values: CudaArray, add: bool, wrap: bool) -> bool:
    return False


def gather_few(x: CudaArray, dim: int, index: CudaArray) -> CudaArray | None:
    return None


def scatter_few(x: CudaArray, dim: int, index: CudaArray, src: CudaArray, add: bool) -> bool:
    return False
