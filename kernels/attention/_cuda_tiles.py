"""The attention kernels on CUDA: tiles of queries by keys, whose scores meet in shared memory.

A block of threads owns a tile of rows of its result, keeps it in global memory, where it is its alone, and passes over the other operand tile by tile.
The scores of a pair of tiles are sums of products of rows that are staged in shared memory, ``DEPTH`` elements at a time; each thread has four of them
in registers.  Bound by shared memory.  The method is that of ``_forward`` and ``_backward`` of the CPU.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from .._cuda.driver import SIMULATED
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import kernel, pointer
from ..random._philox import philox

# Rows and columns of a tile of scores, elements of a row that are staged at once, and threads, each of which has four scores.
TILE = 4 if SIMULATED else 32
DEPTH = 4 if SIMULATED else 16
THREADS = TILE * TILE // 4


@functools.lru_cache(maxsize=None)
def kernels(dtype: np.dtype, masked: bool, causal: bool, dropping: bool) -> SimpleNamespace:
    """``forward``, ``backward_keys`` (dk and dv) and ``backward_queries`` (dq).  ``masked``: a mask is added to the scores; ``causal``: a query meets the
    keys up to its own place; ``dropping``: weights are dropped."""
    T, array = dtype.type, pointer(dtype)
    functions = functions_for(dtype, {"exp", "log"})
    exp, log = functions["exp"], functions["log"]
    words = inline(philox)
    zero, one, minus, infinite = T(0), T(1), T(-np.inf), T(np.inf)
    quarter, pitch, staged = TILE // 4, TILE + 1, DEPTH + 1
    settings = [np.int64] * 7  # length, count, inner, outer, and of the mask the steps from a head, a row and a column to the next
    drawing = [np.int64, np.int64, np.int64, T]  # threshold, seed, offset, and what a weight that is kept is multiplied by

    @inline
    def stage(tile, x, base, first, rows, width, start):  # type: ignore[no-untyped-def]
        """tile[r, e] = element start + e of row first + r of the matrix at x[base], zero outside."""
        at = np.int64(cuda.threadIdx.x)
        while at < TILE * DEPTH:
            r, e = at // DEPTH, at % DEPTH
            inside = first + r < rows and start + e < width
            tile[r, e] = x[base + (first + r) * width + start + e] if inside else zero
            at += THREADS

    @inline
    def scores(left, right, a, a_at, i0, a_rows, b, b_at, j0, b_rows, width):  # type: ignore[no-untyped-def]
        """a[i0 + i]·b[j0 + j], rows of the matrices at a[a_at] and b[b_at], for the four pairs of this thread."""
        thread = np.int64(cuda.threadIdx.x)
        i, j = thread // quarter, thread % quarter
        s0, s1, s2, s3 = zero, zero, zero, zero
        start = np.int64(0)
        while start < width:
            cuda.syncthreads()
            stage(left, a, a_at, i0, a_rows, width, start)
            stage(right, b, b_at, j0, b_rows, width, start)
            cuda.syncthreads()
            for e in range(DEPTH):
                v = left[i, e]
                s0 += v * right[j, e]
                s1 += v * right[j + quarter, e]
                s2 += v * right[j + 2 * quarter, e]
                s3 += v * right[j + 3 * quarter, e]
            start += DEPTH
        return s0, s1, s2, s3

    @inline
    def allowed(row, column, length, count):  # type: ignore[no-untyped-def]
        return row < length and column < count and (not causal or column <= row)

    @inline
    def scored(s, scale, mask, n, row, column, length, count, m_head, m_row, m_col):  # type: ignore[no-untyped-def]
        """A product of a query and a key as a score: −∞ where they do not meet."""
        if not allowed(row, column, length, count):
            return minus
        v = s * scale
        if masked:
            v += mask[n * m_head + row * m_row + column * m_col]
        return v

    @inline
    def kept_factor(n, row, column, length, count, threshold, seed, offset, kept):  # type: ignore[no-untyped-def]
        """What dropout multiplies a weight by."""
        block = offset + (n * length + row) * ((count + np.int64(3)) // np.int64(4)) + column // np.int64(4)
        a, b, c, d = words(np.uint64(seed), np.uint64(block))
        k = column % np.int64(4)
        word = a if k == np.int64(0) else b if k == np.int64(1) else c if k == np.int64(2) else d
        return kept if np.int64(word) < threshold else zero

    @kernel(array, array, array, array, array, array, *settings, *drawing, T, bounds=(THREADS, 1))
    def forward(y, lse, q, k, v, mask, length, count, inner, outer, m_head, m_row, m_col, threshold, seed, offset, kept, scale):
        left = cuda.shared.array((TILE, staged), dtype=T)
        right = cuda.shared.array((TILE, staged), dtype=T)
        weights = cuda.shared.array((TILE, pitch), dtype=T)
        best = cuda.shared.array(TILE, dtype=T)
        sums = cuda.shared.array(TILE, dtype=T)
        shrunk = cuda.shared.array(TILE, dtype=T)
        thread = np.int64(cuda.threadIdx.x)
        i, j = thread // quarter, thread % quarter
        tiles = (length + TILE - 1) // TILE
        n, top = np.int64(cuda.blockIdx.x) // tiles, np.int64(cuda.blockIdx.x) % tiles * TILE
        q_at, k_at, v_at, y_at = n * length * inner, n * count * inner, n * count * outer, n * length * outer
        at = i * outer + j
        while at < (i + np.int64(1)) * outer:
            if top + i < length:
                y[y_at + top * outer + at] = zero
            at += quarter
        if thread < TILE:
            best[thread], sums[thread] = minus, zero
        first = np.int64(0)
        while first < count and (not causal or first < top + TILE):
            columns = min(np.int64(TILE), count - first)
            s0, s1, s2, s3 = scores(left, right, q, q_at, top, length, k, k_at, first, count, inner)
            weights[i, j] = scored(s0, scale, mask, n, top + i, first + j, length, count, m_head, m_row, m_col)
            j1, j2, j3 = j + quarter, j + 2 * quarter, j + 3 * quarter
            weights[i, j1] = scored(s1, scale, mask, n, top + i, first + j1, length, count, m_head, m_row, m_col)
            weights[i, j2] = scored(s2, scale, mask, n, top + i, first + j2, length, count, m_head, m_row, m_col)
            weights[i, j3] = scored(s3, scale, mask, n, top + i, first + j3, length, count, m_head, m_row, m_col)
            cuda.syncthreads()
            if thread < TILE:
                highest = best[thread]
                for c in range(columns):
                    s = weights[thread, c]
                    highest = s if s > highest or s != s else highest
                base = highest if highest != minus else zero
                factor = exp(best[thread] - base)
                total = zero
                for c in range(columns):
                    p = exp(weights[thread, c] - base)
                    total += p
                    if dropping:
                        p *= kept_factor(n, top + thread, first + c, length, count, threshold, seed, offset, kept)
                    weights[thread, c] = p
                best[thread], sums[thread], shrunk[thread] = highest, sums[thread] * factor + total, factor
            cuda.syncthreads()
            at = i * outer + j
            while at < (i + np.int64(1)) * outer:
                r, d = i, at - i * outer
                if top + r < length:
                    total = y[y_at + top * outer + at] * shrunk[r]
                    for c in range(columns):
                        total += weights[r, c] * v[v_at + (first + c) * outer + d]
                    y[y_at + top * outer + at] = total
                at += quarter
            first += TILE
        cuda.syncthreads()
        at = i * outer + j
        while at < (i + np.int64(1)) * outer:
            r = i
            if top + r < length:
                y[y_at + top * outer + at] = y[y_at + top * outer + at] / sums[r] if sums[r] != zero else zero
            at += quarter
        if thread < TILE and top + thread < length:
            # Infinity where there was nothing to attend to: all weights, exp(score - infinity), are zero.
            lse[n * length + top + thread] = best[thread] + log(sums[thread]) if sums[thread] != zero else infinite

    @inline
    def slope(s, dp, lse, mean, factor):  # type: ignore[no-untyped-def]
        """The weight, as it was dropped or not, and the gradient of its score."""
        p = exp(s - lse)
        return p * factor, p * (dp * factor - mean)

    @inline
    def pair(s, dp, lse, means, scale, mask, n, row, column, length, count, m_head, m_row, m_col, threshold, seed, offset, kept):  # type: ignore[no-untyped-def]
        v = scored(s, scale, mask, n, row, column, length, count, m_head, m_row, m_col)
        if v == minus:
            return zero, zero
        factor = one
        if dropping:
            factor = kept_factor(n, row, column, length, count, threshold, seed, offset, kept)
        return slope(v, dp, lse[n * length + row], means[n * length + row], factor)

    @kernel(array, array, array, array, array, array, array, array, *settings, *drawing, T, bounds=(THREADS, 1))
    def backward_queries(
        dq, g, lse, means, q, k, v, mask, length, count, inner, outer, m_head, m_row, m_col, threshold, seed, offset, kept, scale
    ):
        left = cuda.shared.array((TILE, staged), dtype=T)
        right = cuda.shared.array((TILE, staged), dtype=T)
        slopes = cuda.shared.array((TILE, pitch), dtype=T)
        thread = np.int64(cuda.threadIdx.x)
        i, j = thread // quarter, thread % quarter
        tiles = (length + TILE - 1) // TILE
        n, top = np.int64(cuda.blockIdx.x) // tiles, np.int64(cuda.blockIdx.x) % tiles * TILE
        q_at, k_at, v_at, g_at = n * length * inner, n * count * inner, n * count * outer, n * length * outer
        at = i * inner + j
        while at < (i + np.int64(1)) * inner:
            if top + i < length:
                dq[q_at + top * inner + at] = zero
            at += quarter
        first = np.int64(0)
        while first < count and (not causal or first < top + TILE):
            columns = min(np.int64(TILE), count - first)
            s = scores(left, right, q, q_at, top, length, k, k_at, first, count, inner)
            dp = scores(left, right, g, g_at, top, length, v, v_at, first, count, outer)
            for x in range(4):
                c = j + x * quarter
                _, t = pair(
                    s[x],
                    dp[x],
                    lse,
                    means,
                    scale,
                    mask,
                    n,
                    top + i,
                    first + c,
                    length,
                    count,
                    m_head,
                    m_row,
                    m_col,
                    threshold,
                    seed,
                    offset,
                    kept,
                )
                slopes[i, c] = t
            cuda.syncthreads()
            at = i * inner + j
            while at < (i + np.int64(1)) * inner:
                r, d = i, at - i * inner
                if top + r < length:
                    total = zero
                    for c in range(columns):
                        total += slopes[r, c] * k[k_at + (first + c) * inner + d]
                    dq[q_at + top * inner + at] += total * scale
                at += quarter
            first += TILE

    @kernel(array, array, array, array, array, array, array, array, array, *settings, *drawing, T, bounds=(THREADS, 1))
    def backward_keys(
        dk, dv, g, lse, means, q, k, v, mask, length, count, inner, outer, m_head, m_row, m_col, threshold, seed, offset, kept, scale
    ):
        left = cuda.shared.array((TILE, staged), dtype=T)
        right = cuda.shared.array((TILE, staged), dtype=T)
        weights = cuda.shared.array((TILE, pitch), dtype=T)
        slopes = cuda.shared.array((TILE, pitch), dtype=T)
        thread = np.int64(cuda.threadIdx.x)
        i, j = thread // quarter, thread % quarter
        tiles = (count + TILE - 1) // TILE
        n, first = np.int64(cuda.blockIdx.x) // tiles, np.int64(cuda.blockIdx.x) % tiles * TILE
        q_at, k_at, v_at, g_at = n * length * inner, n * count * inner, n * count * outer, n * length * outer
        at = i * inner + j
        while at < (i + np.int64(1)) * inner:
            if first + i < count:
                dk[k_at + first * inner + at] = zero
            at += quarter
        at = i * outer + j
        while at < (i + np.int64(1)) * outer:
            if first + i < count:
                dv[v_at + first * outer + at] = zero
            at += quarter
        top = first if causal else np.int64(0)
        while top < length:
            rows = min(np.int64(TILE), length - top)
            s = scores(left, right, q, q_at, top, length, k, k_at, first, count, inner)
            dp = scores(left, right, g, g_at, top, length, v, v_at, first, count, outer)
            for x in range(4):
                c = j + x * quarter
                w, t = pair(
                    s[x],
                    dp[x],
                    lse,
                    means,
                    scale,
                    mask,
                    n,
                    top + i,
                    first + c,
                    length,
                    count,
                    m_head,
                    m_row,
                    m_col,
                    threshold,
                    seed,
                    offset,
                    kept,
                )
                weights[i, c] = w
                slopes[i, c] = t
            cuda.syncthreads()
            at = i * outer + j
            while at < (i + np.int64(1)) * outer:
                r, d = i, at - i * outer
                if first + r < count:
                    total = zero
                    for c in range(rows):
                        total += weights[c, r] * g[g_at + (top + c) * outer + d]
                    dv[v_at + first * outer + at] += total
                at += quarter
            at = i * inner + j
            while at < (i + np.int64(1)) * inner:
                r, d = i, at - i * inner
                if first + r < count:
                    total = zero
                    for c in range(rows):
                        total += slopes[c, r] * q[q_at + (top + c) * inner + d]
                    dk[k_at + first * inner + at] += total * scale
                at += quarter
            top += TILE

    return SimpleNamespace(forward=forward, backward_queries=backward_queries, backward_keys=backward_keys)
