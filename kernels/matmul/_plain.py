"""Matrix products of integers and complex numbers: three plain loops, with the rows of B in vector registers.

The rows of B and C pass through the inner loop, ``DEPTH`` rows of B at a time so that they stay in the second-level cache; LLVM
vectorises it.  Integers wrap around.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import address_of, array_from, compiled, kernel, load
from .._cpu.types import intp, signature

DEPTH = 64


@functools.lru_cache(maxsize=None)
def plain(dtype: Any) -> Any:
    """The product of ``dtype`` matrices as a launch over the rows of C of all products (see ``rows`` for its arguments)."""
    itemsize, element = np.dtype(dtype).itemsize, np.dtype(dtype).type

    @kernel(source=f"matmul plain {np.dtype(dtype).name}")
    def rows(lo, hi, c_id, a_id, b_id, d_id, places_id, batch, m, n, k, a_row, a_col, b_row, d_row):
        """Rows of C[t] = D + A[t]·B[t]; the rows of B (and of D) are contiguous, ``places`` as in ``_gemm``."""
        a, b, c = address_of(a_id), address_of(b_id), address_of(c_id)
        for row in range(lo, hi):
            out = array_from(c + row * n * itemsize, n, element)
            if d_id != 0:
                start = array_from(address_of(d_id) + row % m * d_row, n, element)
                for j in range(n):
                    out[j] = start[j]
            else:
                for j in range(n):
                    out[j] = element(0)
        for k0 in range(0, k, DEPTH):
            for row in range(lo, hi):
                t, i = row // m, row % m
                a_here, b_here = a + i * a_row, b
                if places_id != 0:
                    places = array_from(address_of(places_id), 2 * batch, np.int64)
                    a_here, b_here = a_here + places[t], b + places[batch + t]
                out = array_from(c + row * n * itemsize, n, element)
                for p in range(k0, min(k0 + DEPTH, k)):
                    x = load(a_here + p * a_col, element)
                    right = array_from(b_here + p * b_row, n, element)
                    for j in range(n):
                        out[j] += x * right[j]

    return compiled(rows, signature(*[intp] * 13))
