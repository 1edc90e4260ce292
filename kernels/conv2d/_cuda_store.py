"""How a thread stores its results of a tile, rows of which are planes of the output: run after run of its columns, each where its pixels lie.

Where a run's pixels lie is worked out when it is stored, and held no longer: it would take as many registers as a quarter of the results.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda.intrinsics import divide, inline, store_vector
from .._cuda.tiles import picked
from .._cuda.unrolled import in_turn, joined
from ..matmul._cuda_kind import computed, narrowing, widening
from ._cuda_units import Units

__all__ = ["storing"]


@inline
def _place(n, sizes, steps):  # type: ignore[no-untyped-def]
    """Where pixel ``n`` of all images lies in the first plane."""
    _, area, area_m, area_s, width, width_m, width_s = sizes
    image_step, row_step, column_step, _ = steps
    image = divide(n, area_m, area_s)
    pixel = np.uint32(n - np.uint32(image * area))
    p = divide(pixel, width_m, width_s)
    q = np.uint32(pixel - np.uint32(p * width))
    return np.int64(image) * image_step + np.int64(p) * row_step + np.int64(q) * column_step


def _bias_loader(dtype: np.dtype, offset: int) -> Any:
    T, widen = computed(dtype).type, widening(dtype)

    @inline
    def load(bias, biased, m, m_count, own):  # type: ignore[no-untyped-def]
        """The bias of the row ``offset`` behind m, whose number among all is ``own``."""
        value = T(0)
        if biased and np.uint32(m + np.uint32(offset)) < m_count:
            value = widen(bias[own + np.int64(offset)])
        return (value,)

    return load


def _finished(k: int, narrow: Any) -> Any:
    @inline
    def finish(values, more):  # type: ignore[no-untyped-def]
        return (narrow(values[k] + more),)

    return finish


def _stored_together(i: int, offset: int, run: int, finish: Any) -> Any:
    """Stores a run of row i by one instruction."""
    first = i * run

    @inline
    def store(out, at, plane, m, m_count, values, more):  # type: ignore[no-untyped-def]
        if np.uint32(m + np.uint32(offset)) < m_count:
            store_vector(out, at + np.int64(offset) * plane, finish(picked(values, first, 1, 1, run), more[i]))

    return store


def _stored_alone(i: int, offset: int, finish: Any) -> Any:
    """Stores one result of row i."""

    @inline
    def store(out, at, plane, m, m_count, values, more):  # type: ignore[no-untyped-def]
        if np.uint32(m + np.uint32(offset)) < m_count:
            out[at + np.int64(offset) * plane] = finish(picked(values, i, 1, 1, 1), more[i])[0]

    return store


def _column(e: int, rows: int, run: int, store_rows: Any) -> Any:
    """Stores column ``e`` of a run."""

    @inline
    def store(out, base, n, m, m_count, sizes, steps, values, more):  # type: ignore[no-untyped-def]
        n = np.uint32(n + np.uint32(e))
        if n < sizes[0]:
            store_rows(out, base + _place(n, sizes, steps), steps[3], m, m_count, picked(values, e, rows, run, 1), more)

    return store


def _run(offset: int, which: tuple[int, int, int, int], store_rows: Any, store_columns: Any) -> Any:
    """Stores the run of columns ``offset`` behind a thread's first."""
    first, groups, step, width = which

    @inline
    def store(out, base, n, m, m_count, whole, sizes, steps, sums, more):  # type: ignore[no-untyped-def]
        n = np.uint32(n + np.uint32(offset))
        values = picked(sums, first, groups, step, width)
        if whole:
            if n < sizes[0]:
                store_rows(out, base + _place(n, sizes, steps), steps[3], m, m_count, values, more)
        else:
            store_columns(out, base, n, m, m_count, sizes, steps, values, more)

    return store


def storing(dtype: np.dtype, u: Units) -> Any:
    """The function that stores a thread's sums, from pixel ``n`` and row ``m`` of a group on, each with the bias of its output channel.

    ``sizes``: the number of pixels, and that of an image and of a row, each with its divider; ``steps``: in the output, between images, rows, columns
    and channels; ``whole``: runs of pixels lie one behind the other, and are stored together.
    """
    narrow, run, offsets, rows = narrowing(dtype), u.run, u.row_offsets, len(u.row_offsets)
    load_bias = joined([_bias_loader(dtype, offset) for offset in offsets])
    one = _finished(0, narrow)
    several = joined([_finished(k, narrow) for k in range(run)])
    together = in_turn([_stored_together(i, offset, run, several) for i, offset in enumerate(offsets)])
    alone = in_turn([_stored_alone(i, offset, one) for i, offset in enumerate(offsets)])
    columns = in_turn([_column(e, rows, run, alone) for e in range(run)])
    runs = in_turn([_run(offset, u.of_run(g), together, columns) for g, offset in enumerate(u.column_offsets[::run])])

    @inline
    def write(sums, n, m, out, bias, biased, whole, m_count, group, sizes, steps):  # type: ignore[no-untyped-def]
        own = np.int64(group) * np.int64(m_count) + np.int64(m)
        more = load_bias(bias, biased, m, m_count, own)
        runs(out, own * steps[3], n, m, m_count, whole, sizes, steps, sums, more)

    return write
