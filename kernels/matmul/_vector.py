"""Matrix times vector and dot products in float32 and float64: each element of the matrix is used once, so memory bounds them.

``row_dots`` reads rows that are contiguous in k, four at a time so that one load of the vector serves four rows; ``column_sums`` reads a
matrix whose rows lie across k, eight rows at a time so that the sums in the first-level cache are loaded and stored once for eight.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import address_of, compiled, inline, kernel, load, simd, store
from .._cpu.types import intp, signature

# Sums run over blocks of this many elements and the blocks' sums are then added, which keeps long sums accurate.
BLOCK = 4096
# Rows and vectors of columns that one index of the launches stands for.
ROWS, VECTORS = 4, 16


@functools.lru_cache(maxsize=None)
def row_dots(dtype: Any) -> Any:
    """y[i] = d[i] + Σ_k a[i, k]·x[i, k] as a launch over groups of ``ROWS`` rows; a and x have unit stride in k, x_row is usually 0."""
    lanes, itemsize, element = simd.lanes(dtype), np.dtype(dtype).itemsize, np.dtype(dtype).type
    v = simd.vectors(dtype)
    zero, get, get_part, fma, add, total = v.zero, v.load, v.load_part, v.fma, v.add, v.total
    vector_bytes = simd.VECTOR_BYTES

    @inline
    def one(a: int, x: int, k: int) -> Any:
        result = element(0)
        for k0 in range(0, k, BLOCK):
            end = min(k, k0 + BLOCK)
            s0, s1, s2, s3 = zero(), zero(), zero(), zero()
            p = k0
            while p + 4 * lanes <= end:
                at = p * itemsize
                s0 = fma(get(a + at), get(x + at), s0)
                s1 = fma(get(a + at + vector_bytes), get(x + at + vector_bytes), s1)
                s2 = fma(get(a + at + 2 * vector_bytes), get(x + at + 2 * vector_bytes), s2)
                s3 = fma(get(a + at + 3 * vector_bytes), get(x + at + 3 * vector_bytes), s3)
                p += 4 * lanes
            while p < end:
                at = p * itemsize
                s0 = fma(get_part(a + at, end - p), get_part(x + at, end - p), s0)
                p += lanes
            result += total(add(add(s0, s1), add(s2, s3)))
        return result

    @inline
    def four(a: int, a_row: int, x: int, k: int) -> Any:
        r0, r1, r2, r3 = element(0), element(0), element(0), element(0)
        a1, a2, a3 = a + a_row, a + 2 * a_row, a + 3 * a_row
        for k0 in range(0, k, BLOCK):
            end = min(k, k0 + BLOCK)
            s0, s1, s2, s3 = zero(), zero(), zero(), zero()
            t0, t1, t2, t3 = zero(), zero(), zero(), zero()
            p = k0
            while p + 2 * lanes <= end:
                at, then = p * itemsize, p * itemsize + vector_bytes
                x0, x1 = get(x + at), get(x + then)
                s0, t0 = fma(get(a + at), x0, s0), fma(get(a + then), x1, t0)
                s1, t1 = fma(get(a1 + at), x0, s1), fma(get(a1 + then), x1, t1)
                s2, t2 = fma(get(a2 + at), x0, s2), fma(get(a2 + then), x1, t2)
                s3, t3 = fma(get(a3 + at), x0, s3), fma(get(a3 + then), x1, t3)
                p += 2 * lanes
            while p < end:
                at, left = p * itemsize, end - p
                x0 = get_part(x + at, left)
                s0, s1 = fma(get_part(a + at, left), x0, s0), fma(get_part(a1 + at, left), x0, s1)
                s2, s3 = fma(get_part(a2 + at, left), x0, s2), fma(get_part(a3 + at, left), x0, s3)
                p += lanes
            r0, r1 = r0 + total(add(s0, t0)), r1 + total(add(s1, t1))
            r2, r3 = r2 + total(add(s2, t2)), r3 + total(add(s3, t3))
        return r0, r1, r2, r3

    @kernel(source=f"matmul row_dots {np.dtype(dtype).name}")
    def rows(lo, hi, y_id, a_id, x_id, d_id, m, k, a_row, x_row, d_step):
        y, a, x = address_of(y_id), address_of(a_id), address_of(x_id)
        d = address_of(d_id) if d_id != 0 else 0
        for group in range(lo, hi):
            top = group * ROWS
            if x_row == 0 and top + ROWS <= m:
                r0, r1, r2, r3 = four(a + top * a_row, a_row, x, k)
                store(y + top * itemsize, r0)
                store(y + (top + 1) * itemsize, r1)
                store(y + (top + 2) * itemsize, r2)
                store(y + (top + 3) * itemsize, r3)
            else:
                for i in range(top, min(top + ROWS, m)):
                    store(y + i * itemsize, one(a + i * a_row, x + i * x_row, k))
            if d != 0:
                for i in range(top, min(top + ROWS, m)):
                    store(y + i * itemsize, load(d + i * d_step, element) + load(y + i * itemsize, element))

    return compiled(rows, signature(*[intp] * 9))


@functools.lru_cache(maxsize=None)
def column_sums(dtype: Any) -> Any:
    """y[j] = d[j] + Σ_k x[k]·b[k, j] as a launch over groups of ``VECTORS`` vectors of columns; b, d and y have unit stride in j."""
    lanes, itemsize, element = simd.lanes(dtype), np.dtype(dtype).itemsize, np.dtype(dtype).type
    v = simd.vectors(dtype)
    zero, splat, get, get_part, put, put_part, fma, add = (
        v.zero, v.splat, v.load, v.load_part, v.store, v.store_part, v.fma, v.add,
    )  # fmt: skip
    group_bytes = VECTORS * simd.VECTOR_BYTES

    @kernel(source=f"matmul column_sums {np.dtype(dtype).name}")
    def columns(lo, hi, y_id, x_id, b_id, d_id, n, k, x_step, b_row):
        x, b = address_of(x_id), address_of(b_id) + lo * group_bytes
        y = address_of(y_id) + lo * group_bytes
        width = min(n, hi * VECTORS * lanes) - lo * VECTORS * lanes
        for j in range(0, width, lanes):
            put_part(y + j * itemsize, zero(), width - j)
        for k0 in range(0, k, 8):
            if k - k0 < 8:
                for p in range(k0, k):
                    xp = splat(load(x + p * x_step, element))
                    row = b + p * b_row
                    for j in range(0, width, lanes):
                        at, left = j * itemsize, width - j
                        put_part(y + at, fma(get_part(row + at, left), xp, get_part(y + at, left)), left)
                break
            at_x = x + k0 * x_step
            x0, x1 = splat(load(at_x, element)), splat(load(at_x + x_step, element))
            x2, x3 = splat(load(at_x + 2 * x_step, element)), splat(load(at_x + 3 * x_step, element))
            x4, x5 = splat(load(at_x + 4 * x_step, element)), splat(load(at_x + 5 * x_step, element))
            x6, x7 = splat(load(at_x + 6 * x_step, element)), splat(load(at_x + 7 * x_step, element))
            b0 = b + k0 * b_row
            b1, b2, b3, b4, b5, b6, b7 = (
                b0 + b_row, b0 + 2 * b_row, b0 + 3 * b_row, b0 + 4 * b_row, b0 + 5 * b_row, b0 + 6 * b_row, b0 + 7 * b_row,
            )  # fmt: skip
            for j in range(0, width, lanes):
                at, left = j * itemsize, width - j
                if left >= lanes:
                    s = fma(get(b1 + at), x1, fma(get(b0 + at), x0, get(y + at)))
                    s = fma(get(b3 + at), x3, fma(get(b2 + at), x2, s))
                    s = fma(get(b5 + at), x5, fma(get(b4 + at), x4, s))
                    put(y + at, fma(get(b7 + at), x7, fma(get(b6 + at), x6, s)))
                else:
                    s = fma(get_part(b1 + at, left), x1, fma(get_part(b0 + at, left), x0, get_part(y + at, left)))
                    s = fma(get_part(b3 + at, left), x3, fma(get_part(b2 + at, left), x2, s))
                    s = fma(get_part(b5 + at, left), x5, fma(get_part(b4 + at, left), x4, s))
                    put_part(y + at, fma(get_part(b7 + at, left), x7, fma(get_part(b6 + at, left), x6, s)), left)
        if d_id != 0:
            d = address_of(d_id) + lo * group_bytes
            for j in range(0, width, lanes):
                at, left = j * itemsize, width - j
                put_part(y + at, add(get_part(d + at, left), get_part(y + at, left)), left)

    return compiled(columns, signature(*[intp] * 8))
