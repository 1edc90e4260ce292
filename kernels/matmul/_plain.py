"""Matrix products of integers and complex numbers: three plain loops, with the rows of B in vector registers.

The rows of B and C pass through the inner loop, four rows of B together so that a row of C is loaded and stored once for four, and
``DEPTH`` of them for every row of C so that they stay in the second-level cache; LLVM vectorises it.  Integers wrap around.
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
                end = min(k0 + DEPTH, k)
                whole = k0 + (end - k0) // 4 * 4
                for p in range(k0, whole, 4):
                    at, right = a_here + p * a_col, b_here + p * b_row
                    x0, x1 = load(at, element), load(at + a_col, element)
                    x2, x3 = load(at + 2 * a_col, element), load(at + 3 * a_col, element)
                    right0, right1 = array_from(right, n, element), array_from(right + b_row, n, element)
                    right2, right3 = array_from(right + 2 * b_row, n, element), array_from(right + 3 * b_row, n, element)
                    for j in range(n):
                        out[j] += element(x0 * right0[j] + x1 * right1[j] + x2 * right2[j] + x3 * right3[j])
                for p in range(whole, end):
                    x, right0 = load(a_here + p * a_col, element), array_from(b_here + p * b_row, n, element)
                    for j in range(n):
                        out[j] += x * right0[j]

    return compiled(rows, signature(*[intp] * 13))
