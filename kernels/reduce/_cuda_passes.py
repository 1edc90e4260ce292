"""Which kernel of ``_cuda_fold`` or ``_cuda_scan`` runs on which shape, in how many passes: shape logic and launches.

The numbers of partial results depend on the shape alone and not on the device, so that every device finds the same sums.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty
from .._cuda.driver import SIMULATED
from .._cuda.elements import NARROW, divisor
from .._cuda.launch import blocks, launch
from . import _cuda_first, _cuda_scan
from ._cuda_fold import columns, row_blocks, row_groups
from ._cuda_steps import FIRST, FROM_CENTRE, THREADS, lanes_for
from ._plan import CONTINUES

_WARP_SHIFT = 5
_AT_ONCE = 4  # loads of a thread that are under way together
LONG = THREADS * 4  # rows of more elements are a block's, or several blocks'
# So many blocks fill the largest devices: fewer leave multiprocessors idle, more are more partial results.
_ENOUGH_BLOCKS = 4 if SIMULATED else 1024
# A thread combines so many loads one after the other at most, which bounds the error of sums; for more there are more parts.
_MOST_LOADS = 32 * _AT_ONCE
_MOST_BLOCKS = 1 << 20
# Scans: the tiles of a row that a block goes through, and so many threads fill a device.
_TILES = 2 if SIMULATED else 16
_ENOUGH_THREADS = 16 if SIMULATED else 1 << 15

_BYTE, _LONG = np.dtype(np.uint8), np.dtype(np.int64)
_CONTINUES = CONTINUES | FROM_CENTRE | FIRST


class Pass(NamedTuple):
    """One launch, and the partial results that it leaves for each result."""

    kernel: Any
    grid: int
    scalars: tuple[int, ...]
    parts: int


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _log2_above(n: int) -> int:
    """The least k with 2**k >= n."""
    return max(n - 1, 0).bit_length()


def _stored(dtype: np.dtype) -> np.dtype:
    return _BYTE if dtype == _dtypes.bool_ else dtype


def _aligned_lanes(most: int, count: int, skew: int) -> int:
    """The most elements at once, up to ``most``, that divide ``count`` and ``skew``, the place of the first element."""
    lanes = most
    while lanes > 1 and (count % lanes or skew % lanes):
        lanes //= 2
    return lanes


def _groups(name: str, source: np.dtype, target: np.dtype, rows: int, n: int, skew: int, wide: bool) -> Pass:
    lanes = _aligned_lanes(lanes_for(source), n, skew)
    shift = min(_WARP_SHIFT, _log2_above(_ceil(n // lanes, 2)))  # two loads a lane, or more
    grid = min(_ceil(rows << shift, THREADS), _MOST_BLOCKS)
    turns = _ceil(rows, grid * THREADS >> shift)
    return Pass(row_groups(name, source, target, lanes, wide), grid, (rows, n, shift, turns), 1)


def _cut(n: int, unit: int, blocks: int) -> tuple[int, int]:
    """(elements of a part, parts) of an axis of n, of which a block takes ``unit`` with a load of each thread, where there are ``blocks`` without cutting
    it."""
    wanted = min(n // (unit * _AT_ONCE), _ceil(_ENOUGH_BLOCKS, blocks))
    parts = max(wanted, _ceil(n, unit * _MOST_LOADS), 1)
    size = _ceil(n, parts)
    return size, _ceil(n, size)


def _blocks(
    name: str, source: np.dtype, target: np.dtype, rows: int, n: int, skew: int, wide: bool, cut: tuple[int, int] | None = None
) -> Pass:
    lanes = lanes_for(source)
    chunk, parts = cut or _cut(n, THREADS * lanes, rows)
    tasks = rows * parts
    return Pass(row_blocks(name, source, target, lanes, wide), min(tasks, _MOST_BLOCKS), (n, chunk, parts, tasks, skew), parts)


def _columns(
    name: str,
    source: np.dtype,
    target: np.dtype,
    outer: int,
    n: int,
    inner: int,
    skew: int,
    wide: bool,
    cut: tuple[int, int] | None = None,
) -> Pass:
    lanes = _aligned_lanes(lanes_for(source, target), inner, skew)
    threads = inner // lanes  # of a row
    room = THREADS.bit_length() - 1
    across = min(_WARP_SHIFT, _log2_above(threads), room)
    if threads > 1 << across:  # the widest tile that leaves no more threads idle than a narrower one
        across = min((across, across - 1, across - 2), key=lambda k: (_ceil(threads, 1 << k) << k, -k))
    tiles = _ceil(threads, 1 << across)
    down = min(room - across, max((cut[0] if cut else n) // _AT_ONCE, 1).bit_length() - 1)
    slots = THREADS >> (across + down)
    rows, parts = cut or _cut(n, 1 << down, _ceil(outer * tiles, slots))
    tasks = outer * tiles * parts
    scalars = (n, inner, rows, *divisor(parts), *divisor(tiles), tasks, across, down)
    return Pass(columns(name, source, target, lanes, wide), min(_ceil(tasks, slots), _MOST_BLOCKS), scalars, parts)


@functools.lru_cache(maxsize=4096)
def _pass(
    name: str, source: np.dtype, target: np.dtype, outer: int, n: int, inner: int, skew: int, cut: tuple[int, int] | None = None
) -> Pass:
    """``cut``: (elements of a part, parts), if the axis has to be cut like that."""
    wide = _is_wide(outer * n * inner)
    if inner > 1 or target in _dtypes.COMPLEXES:  # lanes exchange no complex numbers
        return _columns(name, source, target, outer, n, inner, skew, wide, cut)
    if n <= LONG and cut is None:
        return _groups(name, source, target, outer, n, skew, wide)
    return _blocks(name, source, target, outer, n, skew, wide, cut)


def _is_wide(size: int) -> bool:
    """Whether 32 bits are too few for the indices.  A kernel goes a step past the end before it notices."""
    return size + _MOST_BLOCKS * THREADS >= NARROW


def _skew(x: CudaArray) -> int:
    """How many elements ``x`` begins behind a multiple of 16 bytes."""
    return x.pointer // x.itemsize % lanes_for(x.dtype) if x.pointer % x.itemsize == 0 else 1


def _launch(step: Pass, out: CudaArray, x: CudaArray, power: float = 0.0, centre: CudaArray | None = None) -> None:
    about = 0 if centre is None else centre.pointer
    launch(step.kernel, step.grid, THREADS, (out.pointer, x.pointer, about, power, *step.scalars))


def fold(
    name: str, x: CudaArray, outer: int, n: int, inner: int, dtype: np.dtype, power: float = 0.0, centre: CudaArray | None = None
) -> CudaArray:
    """``x`` (outer, n, inner), contiguous, combined over n >= 1 into a flat (outer, inner) of ``dtype`` by an operation of ``_operations`` or of
    ``FROM_CENTRE``; the latter compare with ``centre`` (outer, inner)."""
    target = _stored(dtype)
    while True:
        step = _pass(name, _stored(x.dtype), target, outer, n, inner, _skew(x))
        out = empty(outer * step.parts * inner, target)
        _launch(step, out, x, power, centre)
        if step.parts == 1:
            return out if target == dtype else out.view(dtype)
        name, x, n = _CONTINUES.get(name, name), out, step.parts


def first_extremum(name: str, x: CudaArray, outer: int, n: int, inner: int, dtype: np.dtype) -> tuple[CudaArray, CudaArray]:
    """(values, places) of the first extremum ("amax" or "amin") of n elements: in one pass where they and their places have room in a word, else in
    two, the second of which looks for what the first has found."""
    source = _stored(x.dtype)
    wide = _is_wide(outer * n * inner)
    if wide or not _cuda_first.packs(source):
        best = fold(name, x, outer, n, inner, dtype)
        return best, fold("place", x, outer, n, inner, _LONG, centre=best)
    words = fold(f"first {name}", x, outer, n, inner, _LONG)
    results = outer * inner
    values, places = empty(results, dtype), empty(results, _LONG)
    made = _cuda_first.unpacked(source, _stored(dtype), wide)
    launch(made, *blocks(results), (values.pointer, places.pointer, words.pointer, x.pointer, n, *divisor(inner), results))
    return values, places


# ---- scans ----------------------------------------------------------------------------------------------------------------------------------


def _through(name: str, x: CudaArray, outer: int, n: int, inner: int, cut: tuple[int, int], dtype: np.dtype) -> CudaArray | None:
    """The scan of the totals of parts, (outer, parts, inner); None where there is one part."""
    if cut[1] == 1:
        return None
    totals = empty(outer * cut[1] * inner, dtype)
    _launch(_pass("sum" if name == "cumsum" else "part", x.dtype, dtype, outer, n, inner, _skew(x), cut), totals, x)
    return scan("cumsum" if name == "cumsum" else "parts", totals, outer, cut[1], inner, dtype)


def _parts_of_columns(outer: int, n: int, inner: int) -> tuple[int, int]:
    """(rows of a part, parts) such that there are threads enough."""
    chunk = _cuda_scan.CHUNK
    parts = min(_ceil(n, chunk), _ceil(_ENOUGH_THREADS, outer * inner))
    rows = _ceil(_ceil(n, parts), chunk) * chunk
    return rows, _ceil(n, rows)


def scan(name: str, x: CudaArray, outer: int, n: int, inner: int, dtype: np.dtype) -> CudaArray:
    """The running sum ("cumsum") or product ("cumprod"; "parts": of products of parts) of ``x`` (outer, n, inner) along n, flat, in ``dtype``."""
    x = x.view(_stored(x.dtype))
    out = empty(outer * n * inner, dtype)
    wide = _is_wide(out.size)
    if inner > 1 or dtype in _dtypes.COMPLEXES:
        cut = _parts_of_columns(outer, n, inner)
        if name == "cumsum":
            made = _cuda_scan.sum_columns(x.dtype, dtype, wide)
        else:
            made = _cuda_scan.multiply_columns(name, x.dtype, dtype, wide)
        tasks = outer * cut[1] * inner
        grid = blocks(tasks)
        scalars: tuple[int, ...] = (n, inner, *cut, tasks)
    else:
        lanes = lanes_for(x.dtype, dtype)
        chunk = THREADS * lanes * _TILES
        cut = chunk, _ceil(n, chunk)
        vectors = lanes > 1 and n % lanes == 0 and x.pointer % (lanes * x.itemsize) == 0
        made = _cuda_scan.scan_rows(name, x.dtype, dtype, lanes, vectors, wide)
        tasks = outer * cut[1]
        grid, scalars = (min(tasks, _MOST_BLOCKS), THREADS), (n, *cut, tasks)
    through = _through(name, x, outer, n, inner, cut, dtype)
    launch(made, *grid, (out.pointer, x.pointer, 0 if through is None else through.pointer, *scalars))
    return out


def recurrence(a: CudaArray, b: CudaArray, outer: int, n: int, inner: int, reverse: bool, totals: bool = False) -> CudaArray:
    """y_j = b_j + a_j · y_(j-1) along n, from the end if ``reverse``; ``totals``: a and b are factors and totals of parts."""
    out = empty(outer * n * inner, b.dtype)
    rows, parts = _parts_of_columns(outer, n, inner)
    tasks, wide = outer * parts * inner, _is_wide(out.size)
    scalars = (n, inner, rows, parts, tasks, reverse)
    through = None
    if parts > 1:
        factor, total = empty(tasks, b.dtype), empty(tasks, b.dtype)
        launch(_cuda_scan.linear_totals(b.dtype, wide), *blocks(tasks), (factor.pointer, total.pointer, a.pointer, b.pointer, *scalars))
        through = recurrence(factor, total, outer, parts, inner, False, True)
    about = 0 if through is None else through.pointer
    launch(_cuda_scan.linear_columns(b.dtype, wide), *blocks(tasks), (out.pointer, a.pointer, b.pointer, about, *scalars, totals))
    return out
