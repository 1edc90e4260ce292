"""The loops behind every reduction on CUDA: x (outer, n, inner) is combined over its middle axis, in an order that the shape alone decides.

Three kernels.  ``row_groups``: short contiguous rows, a few lanes of a warp each.  ``row_blocks``: long ones, a block for each or for each part.
``columns``: inner > 1, a thread for a few neighbouring columns and every so many rows.  All load 16 bytes at a time where memory is aligned to that,
four loads before the first is used, and combine as trees: what a thread adds up one after the other is some ten values, so the error of a sum of
float32 in float32 hardly grows with n.  Parts are combined by another pass.  Bound by memory bandwidth.
M. Harris, "Optimizing Parallel Reduction in CUDA" (NVIDIA, 2007).

Kernels count in ``I``: 32 bits where the elements are fewer than 2**31, else 64.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.collectives import block_fold
from .._cuda.elements import quotient
from .._cuda.intrinsics import cuda, load_vector, shuffle_xor, store_vector
from .._cuda.launch import kernel, pointer
from ._cuda_steps import THREADS, lanes_of, steps


@functools.lru_cache(maxsize=None)
def row_groups(name: str, source: np.dtype, target: np.dtype, lanes: int, wide: bool) -> Any:
    """The kernel of out (rows,) from x (rows, n) for short rows: 2**shift lanes a row, so a warp reads several neighbouring rows at once and lanes combine
    by shuffles.  ``lanes`` elements at once divide n.  All of a warp go ``turns`` times to rows that lie a grid apart."""
    I: Any = np.uint64 if wide else np.uint32
    act, many = steps(name, source, target), lanes_of(name, source, target, lanes)
    both, tree, centre_of, store, identity = act.both, many.tree, many.centre, act.store, act.identity

    @kernel(
        pointer(target), pointer(source), pointer(act.centre), act.power, I, I, np.uint32, np.uint32, bounds=THREADS, source=many.source
    )
    def reduce_row_groups(out, x, centre, p, rows, n, shift, turns):
        thread = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        apart = I(I(cuda.gridDim.x * cuda.blockDim.x) >> I(shift))
        width = np.uint32(np.uint32(1) << shift)
        row = I(thread >> I(shift))
        first = I((thread & I(width - np.uint32(1))) * I(lanes))
        step = I(I(width) * I(lanes))
        for _ in range(turns):
            value = identity
            if row < rows:
                c = centre_of(centre, row)
                at = I(row * n)
                j = first
                while I(j + I(3) * step) < n:
                    j1, j2, j3 = I(j + step), I(j + I(2) * step), I(j + I(3) * step)
                    v0 = load_vector(x, I(at + j), lanes)
                    v1 = load_vector(x, I(at + j1), lanes)
                    v2 = load_vector(x, I(at + j2), lanes)
                    v3 = load_vector(x, I(at + j3), lanes)
                    left = both(tree(v0, p, c, j), tree(v1, p, c, j1))
                    right = both(tree(v2, p, c, j2), tree(v3, p, c, j3))
                    value = both(value, both(left, right))
                    j = I(j + I(4) * step)
                while j < n:
                    value = both(value, tree(load_vector(x, I(at + j), lanes), p, c, j))
                    j = I(j + step)
            distance = np.uint32(width >> np.uint32(1))
            while distance > np.uint32(0):
                value = both(value, shuffle_xor(value, distance))
                distance = np.uint32(distance >> np.uint32(1))
            if row < rows and first == I(0):
                out[row] = store(value)
            row = I(row + apart)

    return reduce_row_groups


@functools.lru_cache(maxsize=None)
def row_blocks(name: str, source: np.dtype, target: np.dtype, lanes: int, wide: bool) -> Any:
    """The kernel of out (rows, parts) from x (rows, n) for long rows: a block for each part of ``chunk`` elements of a row.  Where a part does not begin
    at a multiple of 16 bytes (``skew``: how many elements x itself lies behind one), the few elements in front of the first, and those behind the last
    whole load, are taken one by one."""
    I: Any = np.uint64 if wide else np.uint32
    act, many = steps(name, source, target), lanes_of(name, source, target, lanes)
    one, both, tree, centre_of, store, identity = act.one, act.both, many.tree, many.centre, act.store, act.identity
    over = block_fold(both, act.register, THREADS)

    @kernel(
        pointer(target), pointer(source), pointer(act.centre), act.power, *[I] * 5, bounds=THREADS, source=many.source
    )  # fmt: skip
    def reduce_row_blocks(out, x, centre, p, n, chunk, parts, tasks, skew):
        thread = I(cuda.threadIdx.x)
        task = I(cuda.blockIdx.x)
        while task < tasks:
            row = I(task // parts)
            first = I(I(task - row * parts) * chunk)
            count = min(chunk, I(n - first))
            at = I(row * n + first)
            c = centre_of(centre, row)
            head = min(count, I(I(lanes) - (at + skew) % I(lanes)) % I(lanes))
            whole = I(head + I(I(count - head) // I(lanes)) * I(lanes))
            value = identity
            j = I(head + thread * I(lanes))
            step = I(THREADS * lanes)
            while I(j + I(3) * step) < whole:
                j1, j2, j3 = I(j + step), I(j + I(2) * step), I(j + I(3) * step)
                v0 = load_vector(x, I(at + j), lanes)
                v1 = load_vector(x, I(at + j1), lanes)
                v2 = load_vector(x, I(at + j2), lanes)
                v3 = load_vector(x, I(at + j3), lanes)
                left = both(tree(v0, p, c, I(first + j)), tree(v1, p, c, I(first + j1)))
                right = both(tree(v2, p, c, I(first + j2)), tree(v3, p, c, I(first + j3)))
                value = both(value, both(left, right))
                j = I(j + I(4) * step)
            while j < whole:
                value = both(value, tree(load_vector(x, I(at + j), lanes), p, c, I(first + j)))
                j = I(j + step)
            if thread < head:
                value = both(value, one(x[I(at + thread)], p, c, I(first + thread)))
            if I(whole + thread) < count:
                value = both(value, one(x[I(at + whole + thread)], p, c, I(first + whole + thread)))
            value = over(value)
            if thread == I(0):
                out[task] = store(value)
            task = I(task + I(cuda.gridDim.x))

    return reduce_row_blocks


@functools.lru_cache(maxsize=None)
def columns(name: str, source: np.dtype, target: np.dtype, lanes: int, wide: bool) -> Any:
    """The kernel of out (outer, parts, inner) from x (outer, n, inner), where ``lanes`` elements at once divide ``inner``.

    A task is one outer index, one part of ``rows`` rows and one tile of 2**across threads' columns; 2**down threads take its rows in turn, and are
    combined through shared memory.  A block has as many tasks as it has room for.
    """
    I: Any = np.uint64 if wide else np.uint32
    act, many = steps(name, source, target), lanes_of(name, source, target, lanes)
    each, join, start, stored, centres = many.each, many.join, many.start, many.stored, many.centres
    put, take, register, room = many.put, many.take, act.register, THREADS * lanes
    over = quotient(I)

    @kernel(
        pointer(target), pointer(source), pointer(act.centre), act.power, *[I] * 10, np.uint32, np.uint32, bounds=THREADS, source=many.source
    )  # fmt: skip
    def reduce_columns(out, x, centre, p, n, inner, rows, parts, m_parts, s_parts, tiles, m_tiles, s_tiles, tasks, across, down):
        shared = cuda.shared.array(room, dtype=register)
        thread = np.uint32(cuda.threadIdx.x)
        slots = I(np.uint32(THREADS) >> np.uint32(across + down))
        x_mask = np.uint32((np.uint32(1) << across) - np.uint32(1))
        tall = np.uint32(np.uint32(1) << down)
        y = np.uint32((thread >> across) & np.uint32(tall - np.uint32(1)))
        base = I(I(cuda.blockIdx.x) * slots)
        while base < tasks:
            task = I(base + I(thread >> np.uint32(across + down)))
            rest = over(task, tiles, m_tiles, s_tiles)
            o = over(rest, parts, m_parts, s_parts)
            part = I(rest - o * parts)
            column = I(((I(task - rest * tiles) << I(across)) + I(thread & x_mask)) * I(lanes))
            inside = task < tasks and column < inner
            values = start()
            if inside:
                c = centres(centre, I(o * inner + column))
                j = I(part * rows + I(y))
                end = min(n, I(part * rows + rows))
                step = I(tall)
                stride = I(step * inner)
                at = I(I(o * n + j) * inner + column)
                while I(j + I(3) * step) < end:
                    v0 = load_vector(x, at, lanes)
                    v1 = load_vector(x, I(at + stride), lanes)
                    v2 = load_vector(x, I(at + I(2) * stride), lanes)
                    v3 = load_vector(x, I(at + I(3) * stride), lanes)
                    left = join(each(v0, p, c, j), each(v1, p, c, I(j + step)))
                    right = join(each(v2, p, c, I(j + I(2) * step)), each(v3, p, c, I(j + I(3) * step)))
                    values = join(values, join(left, right))
                    j = I(j + I(4) * step)
                    at = I(at + I(4) * stride)
                while j < end:
                    values = join(values, each(load_vector(x, at, lanes), p, c, j))
                    j = I(j + step)
                    at = I(at + stride)
            reach = np.uint32(tall >> np.uint32(1))
            while reach > np.uint32(0):
                if y >= reach and y < np.uint32(reach + reach):
                    put(shared, thread, values)
                cuda.syncthreads()
                if y < reach:
                    values = join(values, take(shared, np.uint32(thread + (reach << across))))
                cuda.syncthreads()
                reach = np.uint32(reach >> np.uint32(1))
            if inside and y == np.uint32(0):
                store_vector(out, I(I(o * parts + part) * inner + column), stored(values))
            base = I(base + I(cuda.gridDim.x) * slots)

    return reduce_columns
