"""What the softmax kernels need from one floating type: exp and an order-preserving map to integers for a fast maximum.

A maximum over floats does not vectorise without declaring that NaN never occurs.  The same maximum over integers does: reading a
float's bits as a two's-complement integer and flipping the low bits of the negative ones keeps the order, so ``max`` of the keys is
the key of the ``max``.  (A positive NaN is the largest key of all, which makes the row NaN as it should be; a negative one is
caught by the sum that follows.)
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import inline
from .._cpu.exp32 import exp_normal
from .._cpu.functions import functions_for

_INTEGER: dict[Any, Any] = {np.float32: np.int32, np.float64: np.int64}


@functools.cache
def scalars(dtype: np.dtype) -> SimpleNamespace:
    """``real`` (the scalar type), ``exp``, ``near_exp`` (which is quicker, for arguments from -85 to 0), ``row_max`` and ``row_range`` for float32 or
    float64."""
    real = dtype.type
    integer = _INTEGER[real]
    sign_shift = integer(8 * dtype.itemsize - 1)
    low_bits = integer(np.iinfo(integer).max)
    smallest = integer(np.iinfo(integer).min)
    exp = functions_for(dtype, {"exp"})["exp"]
    near_exp, reach = (exp_normal, real(85)) if real is np.float32 else (exp, real(np.inf))

    @inline
    def row_max(row):
        best = smallest
        for j in range(row.size):
            bits = real(row[j]).view(integer)
            best = max(best, integer(bits ^ ((bits >> sign_shift) & low_bits)))
        return integer(best ^ ((best >> sign_shift) & low_bits)).view(real)

    @inline
    def row_range(row):
        """The maximum, and whether all elements are so near to it that ``near_exp`` is exact."""
        best, least = smallest, low_bits
        for j in range(row.size):
            bits = real(row[j]).view(integer)
            key = integer(bits ^ ((bits >> sign_shift) & low_bits))
            best, least = max(best, key), min(least, key)
        top = integer(best ^ ((best >> sign_shift) & low_bits)).view(real)
        return top, top - integer(least ^ ((least >> sign_shift) & low_bits)).view(real) < reach

    return SimpleNamespace(real=real, exp=exp, near_exp=near_exp, row_max=row_max, row_range=row_range)
