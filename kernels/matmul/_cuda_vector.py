"""Products of a matrix and a vector on CUDA: each element of the matrix is read once and used once, so memory bandwidth bounds them.

``row_dots``, where the unit stride is along k: a warp for each result, its lanes side by side along k, 16 bytes each, and a fold at the end.
``column_sums``, where it is across k: a thread for neighbouring results, 16 bytes of a row at a time; the warps of a block take rows in turn, and
add up what they have found through shared memory.  Where there are too few results for the device, k is cut into parts (``_cuda_parts``).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.collectives import WARP, add, team, warp_fold
from .._cuda.intrinsics import cuda, inline, load_vector
from .._cuda.launch import Kernel, kernel, pointer
from .._cuda.tiles import each_add, head, pushed, repeat, rotated
from ._cuda_kind import Ending, computed, finishing, widening

THREADS = team(256)
WARPS = THREADS // WARP
MOST_LANES = 8
_PARAMETERS = 13 * (np.int64,)


def lanes_of(dtype: np.dtype) -> int:
    """The elements of ``dtype`` that a thread loads at once."""
    return min(MOST_LANES, 16 // dtype.itemsize)


@functools.lru_cache(maxsize=None)
def _summed(kind: np.dtype) -> Any:
    """The sum of a value over a warp."""
    T: Any = kind.type
    if kind not in _dtypes.COMPLEXES:
        return warp_fold(add(T))
    part: Any = _dtypes.real_dtype(kind).type
    total = warp_fold(add(part))

    @inline
    def both(z):  # type: ignore[no-untyped-def]
        return T(complex(total(z.real), total(z.imag)))

    return both


@functools.lru_cache(maxsize=None)
def _loader(dtype: np.dtype, lanes: int) -> Any:
    """``lanes`` elements of a pointer as the sums' type."""
    T, widen = computed(dtype).type, widening(dtype)
    zero = T(0)

    @inline
    def load(x, at):  # type: ignore[no-untyped-def]
        found, loaded = repeat(zero, lanes), load_vector(x, at, lanes)
        for _ in range(lanes):
            found = pushed(found, repeat(widen(head(loaded, 1)[0]), 1))
            loaded = rotated(loaded, 1)
        return found

    return load


@functools.lru_cache(maxsize=None)
def row_dots(dtype: np.dtype, lanes: int, out_dtype: np.dtype, ending: Ending) -> Kernel:
    """y[z, j] = f(d[j] + Σ_p matrix[z, j, p]·x[z, p]), a warp for each.  With ``lanes`` > 1 both unit strides are along k.

    ``rows`` of each of ``batch`` products, ``splits`` parts of ``part_k`` elements; strides of the matrix from row to row and along k, of x along k,
    and of both from product to product.
    """
    T, load = computed(dtype).type, _loader(dtype, lanes)
    total, zero, finish = _summed(computed(dtype)), T(0), finishing(out_dtype, ending)
    across = WARP * lanes

    @kernel(*[pointer(out_dtype), pointer(dtype), pointer(dtype), pointer(out_dtype)], *_PARAMETERS, np.uint32, bounds=THREADS)
    def dots(out, matrix, x, d, rows, k, part_k, m_row, m_step, x_step, d_step, m_outer, m_inner, x_outer, x_inner, inner, batch, splits):
        thread = np.uint32(cuda.threadIdx.x)
        lane = np.int64(thread % np.uint32(WARP))
        unit = np.int64(cuda.blockIdx.x) * WARPS + np.int64(thread // np.uint32(WARP))
        if unit < rows * batch * splits:  # all of a warp or none
            j, rest = unit % rows, unit // rows
            z, part = rest % batch, rest // batch
            p, end = part * part_k + lane * lanes, min(k, (part + 1) * part_k)
            m_at = z // inner * m_outer + z % inner * m_inner + j * m_row
            x_at = z // inner * x_outer + z % inner * x_inner
            sums = repeat(zero, lanes)
            while p < end:
                sums = each_add(sums, load(matrix, m_at + p * m_step), load(x, x_at + p * x_step))
                p += across
            value = zero
            for _ in range(lanes):
                value = T(value + head(sums, 1)[0])
                sums = rotated(sums, 1)
            value = total(value)
            if lane == 0:
                out[unit] = finish(value, d, j * d_step)

    return dots


@functools.lru_cache(maxsize=None)
def column_sums(dtype: np.dtype, lanes: int, out_dtype: np.dtype, ending: Ending) -> Kernel:
    """The same, with the unit stride of the matrix from one result to the next (``m_row`` is 1): a block for WARP x ``lanes`` results."""
    T, load = computed(dtype).type, _loader(dtype, lanes)
    zero, widen, finish = T(0), widening(dtype), finishing(out_dtype, ending)
    across = WARP * lanes
    size = WARPS * across

    @kernel(*[pointer(out_dtype), pointer(dtype), pointer(dtype), pointer(out_dtype)], *_PARAMETERS, np.uint32, bounds=THREADS)
    def sums(out, matrix, x, d, rows, k, part_k, m_row, m_step, x_step, d_step, m_outer, m_inner, x_outer, x_inner, inner, batch, splits):
        parts = cuda.shared.array(size, dtype=T)
        thread = np.uint32(cuda.threadIdx.x)
        lane, warp = np.int64(thread % np.uint32(WARP)), np.int64(thread // np.uint32(WARP))
        groups = (rows + (across - 1)) // across
        unit = np.int64(cuda.blockIdx.x)
        j, rest = unit % groups * across + lane * lanes, unit // groups
        z, part = rest % batch, rest // batch
        p, end = part * part_k + warp, min(k, (part + 1) * part_k)
        m_at = z // inner * m_outer + z % inner * m_inner + j * m_row
        x_at = z // inner * x_outer + z % inner * x_inner
        found = repeat(zero, lanes)
        if j < rows:
            while p < end:
                found = each_add(found, load(matrix, m_at + p * m_step), repeat(widen(x[x_at + p * x_step]), lanes))
                p += WARPS
        own = np.uint32(np.uint32(warp * across) + np.uint32(lane * lanes))
        for q in range(lanes):
            parts[np.uint32(own + np.uint32(q))] = head(found, 1)[0]
            found = rotated(found, 1)
        cuda.syncthreads()
        at = thread
        while at < across:
            j = unit % groups * across + np.int64(at)
            if j < rows:
                value = parts[at]
                for w in range(1, WARPS):
                    value = T(value + parts[np.uint32(at + np.uint32(w * across))])
                out[rest * rows + j] = finish(value, d, j * d_step)
            at = np.uint32(at + np.uint32(THREADS))

    return sums
