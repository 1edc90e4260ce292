"""The product of a step: a few rows of states times a matrix that is the same in every step, and so is brought into panels once for all of them.

A panel is as wide as a register tile and read from the second-level cache, ``DEPTH`` rows of it at a time, which stay in the first-level cache while
the rows of the batch go by.  Any number of rows from 12 on is made of tiles of 5 and 4; what is left of fewer is taken row by row.  Each element is
summed in the order of k, so it does not depend on how the batch is cut.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import address_of, compiled, empty, inline, kernel, load, simd
from .._cpu.jit import address
from .._cpu.types import intp, signature

VECTORS = 4 if simd.INSTRUCTION_SET == "neon" else 2
DEPTH = 128
_TALLEST = 5
_MOVE = 4  # scalar operations that moving an element is worth


def panels(w: Any, turned: bool = False) -> Any:
    """The contiguous matrix w [k, n], or the transpose of w [n, k] where ``turned``, as [panels, k, width]; zero beyond its last column.

    Of fewer rows than a vector has elements there is room for as many.
    """
    (n, k), width = w.shape if turned else w.shape[::-1], VECTORS * simd.lanes(w.dtype)
    count = -(-n // width)
    out = empty((count, max(k, simd.lanes(w.dtype)), width), w.dtype)
    _pack(w.dtype)(count, id(out), id(w), k, n, turned, work=_MOVE * w.size)
    return out


@functools.cache
def _pack(dtype: np.dtype) -> Any:
    lanes, itemsize, vector_bytes = simd.lanes(dtype), dtype.itemsize, simd.VECTOR_BYTES
    width, panel_row = VECTORS * lanes, VECTORS * vector_bytes
    square, vector = simd.transpose(dtype), simd.vectors(dtype)
    get_part, put = vector.load_part, vector.store

    @kernel(source=f"recurrent pack {dtype.name}")
    def pack(lo, hi, to_id, w_id, k, n, turned):
        for panel in range(lo, hi):
            to, left = address_of(to_id) + panel * max(k, lanes) * panel_row, n - panel * width
            for j in range(0, width, lanes):
                if turned:
                    source = address_of(w_id) + min(panel * width + j, n) * k * itemsize
                    for p in range(0, k, lanes):
                        at = min(p, max(0, k - lanes))
                        square(to + at * panel_row + j * itemsize, panel_row, source + at * itemsize, k * itemsize, left - j, k - at)
                else:
                    source = address_of(w_id) + min(panel * width + j, n) * itemsize
                    for p in range(k):
                        put(to + p * panel_row + j * itemsize, get_part(source + p * n * itemsize, left - j))

    return compiled(pack, signature(*[intp] * 5))


@functools.cache
def product_address(dtype: np.dtype) -> int:
    """Where the product begins as a C function, for compiled code to call with ``call_range``."""
    return address(_product(dtype), signature(*[intp] * 6).args)


@functools.cache
def _product(dtype: np.dtype) -> Any:
    lanes, itemsize, vector_bytes = simd.lanes(dtype), dtype.itemsize, simd.VECTOR_BYTES
    width, panel_row = VECTORS * lanes, VECTORS * vector_bytes
    five, four, one = (simd.tile(dtype, rows, VECTORS) for rows in (_TALLEST, 4, 1))
    vector = simd.vectors(dtype)
    get, get_part, put, put_part, add, zero = vector.load, vector.load_part, vector.store, vector.store_part, vector.add, vector.zero
    stack_space = simd.stack_space((_TALLEST + 1) * panel_row)

    @inline
    def copy_edge(c, c_row, scratch, d, d_row, rows, n):
        """C = D + the first n columns of a scratch tile."""
        for r in range(rows):
            for j in range(0, n, lanes):
                shift, left = j * itemsize, n - j
                put_part(c + r * c_row + shift, add(get_part(d + r * d_row + shift, left), get(scratch + r * panel_row + shift)), left)

    @kernel(source=f"recurrent product {dtype.name}")
    def product(lo, hi, shape, c, d, d_row, a, panels):
        """Rows lo to hi of c = d + a·b; ``shape``: the address of k, n and the strides of c and a.  Where d is 0 there is none."""
        k, n, c_row, a_row = load(shape, np.int64), load(shape + 8, np.int64), load(shape + 16, np.int64), load(shape + 24, np.int64)
        zeros = stack_space()
        scratch = zeros + panel_row
        for j in range(0, panel_row, vector_bytes):
            put(zeros + j, zero())
        pitch, blocks = max(k, lanes), max(1, (k + DEPTH - 1) // DEPTH)
        depth = (k + blocks - 1) // blocks
        for j in range(0, n, width):
            for k0 in range(0, max(k, 1), max(depth, 1)):
                b, k_block = panels + (j * pitch + k0 * width) * itemsize, min(depth, k - k0)
                r = lo
                while r < hi:
                    here, left = c + r * c_row + j * itemsize, hi - r
                    first, first_row = zeros, 0
                    if k0 != 0:
                        first, first_row = here, c_row
                    elif d != 0:
                        first, first_row = d + r * d_row + j * itemsize, d_row
                    to, to_row, start, start_row = here, c_row, first, first_row
                    if j + width > n:
                        to, to_row, start, start_row = scratch, panel_row, zeros, 0
                    source, rows = a + r * a_row + k0 * itemsize, 1
                    if left % 4 != 0 and left >= 5:
                        rows = 5
                        five(k_block, source, a_row, itemsize, b, panel_row, to, to_row, start, start_row, 0)
                    elif left >= 4:
                        rows = 4
                        four(k_block, source, a_row, itemsize, b, panel_row, to, to_row, start, start_row, 0)
                    else:
                        one(k_block, source, a_row, itemsize, b, panel_row, to, to_row, start, start_row, 0)
                    if j + width > n:
                        copy_edge(here, c_row, scratch, first, first_row, rows, n - j)
                    r += rows

    return product
