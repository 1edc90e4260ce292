"""A matrix times a few vectors and dot products in float32 and float64: memory bounds them.

``row_dots`` reads rows that are contiguous in k, four at a time so that one load of the vector serves four rows; ``column_sums`` reads a
matrix whose rows lie across k, eight rows at a time so that the sums in the first-level cache are loaded and stored once for eight.
Both read the matrix from memory once, in the order in which it lies, and again from the first-level cache for each further vector.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._cpu import address_of, array_from, compiled, inline, kernel, load, simd, store
from .._cpu.types import intp, signature

# Sums run over blocks of this many elements and the blocks' sums are then added, which keeps long sums accurate.
BLOCK = 4096
# Rows and vectors of columns that one index of the launches stands for.
ROWS, VECTORS = 4, 16
# With more vectors than this, the tiles of ``_gemm`` are faster.
FEW = 4


class Thin(NamedTuple):
    """``few`` vectors x times a matrix of ``extent`` rows or columns: y[t][v, i] = f(d[v, i] + Σ_k x[t][v, k]·matrix[t][i, k]); strides in bytes."""

    groups: int  # launch indices for each product
    batch: int
    few: int
    extent: int
    k: int
    row: int  # of the matrix: what is not contiguous
    x_vector: int
    x_step: int
    x_row: int  # how x moves with the rows of the matrix: 0, but for the blocks of a dot product
    y_vector: int
    y_step: int
    d_vector: int
    d_step: int
    places: int  # the address of the byte offsets of every matrix, then of every x; 0 for one product
    activation: int  # applied to what is complete, while it is in the first-level cache: a place in ``_gemm.ACTIVATIONS``


THIN_SIZE = len(Thin._fields)


@functools.lru_cache(maxsize=None)
def row_dots(dtype: Any) -> Any:
    """The products of a ``Thin`` plan as a launch over groups of ``ROWS`` rows; the matrix [extent, k] and x have unit stride in k."""
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
    def rows(lo, hi, plan_at, y_id, x_id, a_id, d_id):
        plan = array_from(plan_at, THIN_SIZE, np.int64)
        groups, batch, few, m, k, a_row, x_vector, x_row = plan[0], plan[1], plan[2], plan[3], plan[4], plan[5], plan[6], plan[8]
        y_vector, y_step, d_vector, d_step, places_at, activation = plan[9], plan[10], plan[11], plan[12], plan[13], plan[14]
        for index in range(lo, hi):
            t, top = index // groups, index % groups * ROWS
            a, x = address_of(a_id) + top * a_row, address_of(x_id) + top * x_row
            if places_at != 0:
                places = array_from(places_at, 2 * batch, np.int64)
                a, x = a + places[t], x + places[batch + t]
            size = min(m - top, ROWS)
            for v in range(few):
                y = address_of(y_id) + t * few * m * itemsize + v * y_vector + top * y_step
                if x_row == 0 and size == ROWS:
                    r0, r1, r2, r3 = four(a, a_row, x + v * x_vector, k)
                    store(y, r0)
                    store(y + y_step, r1)
                    store(y + 2 * y_step, r2)
                    store(y + 3 * y_step, r3)
                else:
                    for i in range(size):
                        store(y + i * y_step, one(a + i * a_row, x + v * x_vector + i * x_row, k))
                if d_id != 0:
                    d = address_of(d_id) + v * d_vector + top * d_step
                    for i in range(size):
                        store(y + i * y_step, load(d + i * d_step, element) + load(y + i * y_step, element))
                if activation == 1:
                    for i in range(size):
                        if load(y + i * y_step, element) <= 0:
                            store(y + i * y_step, element(0))

    return compiled(rows, signature(*[intp] * 5))


@functools.lru_cache(maxsize=None)
def column_sums(dtype: Any) -> Any:
    """The products of a ``Thin`` plan as a launch over groups of ``VECTORS`` vectors of columns; the matrix [k, extent], d and y have unit
    stride along extent."""
    lanes, itemsize, element = simd.lanes(dtype), np.dtype(dtype).itemsize, np.dtype(dtype).type
    v = simd.vectors(dtype)
    zero, splat, get, get_part, put, put_part, fma, add, relu = (
        v.zero, v.splat, v.load, v.load_part, v.store, v.store_part, v.fma, v.add, v.relu,
    )  # fmt: skip

    @inline
    def eight(y: int, x: int, x_step: int, b: int, b_row: int, width: int) -> None:
        """y[j] += Σ x[p]·b[p, j] for p < 8, j < width."""
        x0, x1, x2, x3 = (
            splat(load(x, element)), splat(load(x + x_step, element)),
            splat(load(x + 2 * x_step, element)), splat(load(x + 3 * x_step, element)),
        )  # fmt: skip
        x4, x5, x6, x7 = (
            splat(load(x + 4 * x_step, element)), splat(load(x + 5 * x_step, element)),
            splat(load(x + 6 * x_step, element)), splat(load(x + 7 * x_step, element)),
        )  # fmt: skip
        b1, b2, b3, b4, b5, b6, b7 = b + b_row, b + 2 * b_row, b + 3 * b_row, b + 4 * b_row, b + 5 * b_row, b + 6 * b_row, b + 7 * b_row
        for j in range(0, width, lanes):
            at, left = j * itemsize, width - j
            if left >= lanes:
                s = fma(get(b1 + at), x1, fma(get(b + at), x0, get(y + at)))
                s = fma(get(b3 + at), x3, fma(get(b2 + at), x2, s))
                s = fma(get(b5 + at), x5, fma(get(b4 + at), x4, s))
                put(y + at, fma(get(b7 + at), x7, fma(get(b6 + at), x6, s)))
            else:
                s = fma(get_part(b1 + at, left), x1, fma(get_part(b + at, left), x0, get_part(y + at, left)))
                s = fma(get_part(b3 + at, left), x3, fma(get_part(b2 + at, left), x2, s))
                s = fma(get_part(b5 + at, left), x5, fma(get_part(b4 + at, left), x4, s))
                put_part(y + at, fma(get_part(b7 + at, left), x7, fma(get_part(b6 + at, left), x6, s)), left)

    @kernel(source=f"matmul column_sums {np.dtype(dtype).name}")
    def columns(lo, hi, plan_at, y_id, x_id, b_id, d_id):
        plan = array_from(plan_at, THIN_SIZE, np.int64)
        groups, batch, few, n, k, b_row, x_vector, x_step = plan[0], plan[1], plan[2], plan[3], plan[4], plan[5], plan[6], plan[7]
        y_vector, d_vector, places_at, activation = plan[9], plan[11], plan[13], plan[14]
        index = lo
        while index < hi:
            # As many neighbouring groups as there are: the longer the stretch of each row, the better it is prefetched.
            t, group = index // groups, index % groups
            end = min(groups, group + min(hi - index, max(1, 4 // few)))
            left_column = group * VECTORS * lanes
            width, shift = min(n, end * VECTORS * lanes) - left_column, left_column * itemsize
            b, x, y = address_of(b_id) + shift, address_of(x_id), address_of(y_id) + t * few * n * itemsize + shift
            if places_at != 0:
                places = array_from(places_at, 2 * batch, np.int64)
                b, x = b + places[t], x + places[batch + t]
            whole = k // 8 * 8
            if whole != 0:
                for v in range(few):
                    for j in range(0, width, lanes):
                        put_part(y + v * y_vector + j * itemsize, zero(), width - j)
            for p in range(0, whole, 8):
                for v in range(few):
                    eight(y + v * y_vector, x + v * x_vector + p * x_step, x_step, b + p * b_row, b_row, width)
            if whole < k or d_id != 0:
                for v in range(few):
                    for j in range(0, width, lanes):
                        at, left = j * itemsize, width - j
                        s = get_part(y + v * y_vector + at, left) if whole != 0 else zero()
                        for p in range(whole, k):
                            s = fma(get_part(b + p * b_row + at, left), splat(load(x + v * x_vector + p * x_step, element)), s)
                        if d_id != 0:
                            s = add(get_part(address_of(d_id) + v * d_vector + shift + at, left), s)
                        put_part(y + v * y_vector + at, s, left)
            if activation == 1:
                for v in range(few):
                    for j in range(0, width, lanes):
                        here = y + v * y_vector + j * itemsize
                        put_part(here, relu(get_part(here, width - j)), width - j)
            index += end - group

    return compiled(columns, signature(*[intp] * 5))
