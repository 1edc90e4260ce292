"""Writing at listed places on CUDA: the same results always, though threads write in any order and floats are not added by atomics.

The places are sorted by where they lead, stably, so that those that lead to one element stand next to each other, in order of occurrence.  Then the
last of each run is the one that writes; or each run is summed, in ascending order, in pieces of RUN: a piece adds the runs that lie in it to what is
there, and passes what it has of runs that go on beyond it to the next level, where it is one of fewer values (a segmented sum by a tree; G. E.
Blelloch, "Prefix Sums and Their Applications", 1990, section 1.5, has the idea).  Bound by the sort and the scattered accesses.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty
from .._cuda.driver import SIMULATED
from .._cuda.faults import report
from .._cuda.intrinsics import cuda, inline, load_vector, store_vector
from .._cuda.launch import blocks, kernel, launch, pointer
from .._cuda.radix import sort_pairs
from ..copy.cuda import fill, move, packed
from ._combine import combine, identity
from ._cuda_positions import spread
from ._cuda_read import kept, lines
from ._cuda_walk import LEAST, LOST, REPORTING, WORDS, Walk, counter, lanes_of, parameters, reporting, walked, walker
from ._errors import Refusal

RUN = 4 if SIMULATED else 32


# ---- places in the order of where they lead -------------------------------------------------------------------------------------------------------


class Sorted(NamedTuple):
    """Listed places in the order of where they lead: the element low + keys[r] * unit; ``lost`` and above are nowhere."""

    keys: CudaArray
    places: CudaArray
    low: int
    unit: int
    lost: int


@functools.lru_cache(maxsize=None)
def _keyer(K: Any) -> Any:
    @kernel(pointer(K), pointer(np.int64), *[np.int64] * 4)
    def make_keys(keys, where, low, unit, lost, n):
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            at = where[i]
            keys[i] = K((at - low) // unit) if at > LEAST else K(lost)
            i += step

    return make_keys


def sorted_places(where: CudaArray, low: int, high: int, unit: int = 1) -> Sorted:
    """``where``, offsets in [low, high) that are multiples of ``unit`` apart, sorted."""
    lost = -(-(high - low) // unit)
    keys = empty(where.size, np.uint32 if lost < 1 << 32 else np.uint64)
    K: Any = keys.dtype.type
    launch(_keyer(K), *blocks(where.size), (keys.pointer, where.pointer, low, unit, lost, where.size))
    return Sorted(*sort_pairs(keys, lost.bit_length()), low, unit, lost)


def _sorted_into(x: CudaArray, where: CudaArray, dims: list[tuple[int, int, int]]) -> Sorted:
    """The places ``where`` in ``x``, by the element of each that the kept dimensions ``dims`` begin with."""
    strides = [s // x.itemsize for s in x.strides]
    reach = [(n - 1) * s for n, s in zip(x.shape, strides)]
    unit = 0
    if x.flags.c_contiguous:  # fewer bits to sort by: places are at least as far apart as the indexed dimensions let them be
        unit = math.gcd(*[s for n, s in zip(x.shape, strides) if n > 1 and not any(inner <= s < inner * m for m, inner, _ in dims)])
    return sorted_places(where, sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + 1, unit or 1)


# ---- the last one writes --------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _writer(W: Any, lanes: int, inner: int, outer: int, I: Any) -> Any:
    walk = walker(inner, outer, I)

    @kernel(pointer(W), pointer(W), pointer(np.int64), np.int64, I, *parameters(I))
    def write(x, values, where, apart, units, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1):
        """Each place is listed once, or all values are one (``apart`` is 0)."""
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        u = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while u < units:
            place, offset = walk(u, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1)
            at = where[place]
            if at > LEAST:
                offset += at
                source = np.int64(u) * apart
                if lanes > 1 and offset % lanes == 0:
                    store_vector(x, offset, load_vector(values, source, lanes))
                else:
                    for k in range(lanes):
                        x[offset + k] = values[source + k]
            u = I(u + step)

    return write


@functools.lru_cache(maxsize=None)
def _last_writer(W: Any, K: Any, P: Any, lanes: int, inner: int, outer: int, I: Any) -> Any:
    walk = walker(inner, outer, I)

    @kernel(pointer(W), pointer(W), pointer(K), pointer(P), *[np.int64] * 4, I, *parameters(I))
    def write_last(x, values, keys, order, low, unit, lost, row, units, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1):
        """A thread takes a vector of the values of the r-th place in order, unless a later place has the same key; ``row``: vectors of a place."""
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        u = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while u < units:
            r, offset = walk(u, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1)
            key = keys[r]
            last = r == I(places - I(1))
            if not last:
                last = keys[np.int64(r) + 1] != key
            if last and np.int64(key) < lost:
                offset += low + np.int64(key) * unit
                source = (np.int64(u) + (np.int64(order[r]) - np.int64(r)) * row) * lanes
                if lanes > 1 and offset % lanes == 0:
                    store_vector(x, offset, load_vector(values, source, lanes))
                else:
                    for k in range(lanes):
                        x[offset + k] = values[source + k]
            u = I(u + step)

    return write_last


def _write(x: CudaArray, where: CudaArray, values: CudaArray, walk: Walk) -> None:
    single = values.size == 1
    lanes = 1 if single else lanes_of(walk, x, values)
    units = where.size * walk.columns // lanes
    I = counter(units)
    of_kind = _writer(WORDS[x.itemsize], lanes, len(walk.inner), len(walk.outer), I)
    arguments = x.pointer, values.pointer, where.pointer, 0 if single else lanes, units
    launch(of_kind, *blocks(units), (*arguments, *walk.vectors(lanes).arguments(where.size)))


def _write_last(x: CudaArray, found: Sorted, values: CudaArray, walk: Walk) -> None:
    lanes = lanes_of(walk, x, values)
    count = found.keys.size
    units = count * walk.columns // lanes
    K: Any
    P: Any
    K, P, I = found.keys.dtype.type, found.places.dtype.type, counter(units)
    of_kind = _last_writer(WORDS[x.itemsize], K, P, lanes, len(walk.inner), len(walk.outer), I)
    listed = x.pointer, values.pointer, found.keys.pointer, found.places.pointer, found.low, found.unit, found.lost
    launch(of_kind, *blocks(units), (*listed, walk.row // lanes, units, *walk.vectors(lanes).arguments(count)))


# ---- all are added --------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _adder(dtype: np.dtype, K: Any, P: Any, first: bool, scaled: bool, inner: int, outer: int, I: Any, name: str = "sum") -> Any:
    T = dtype.type
    walk, nothing, both = walker(inner, outer, I), T(identity(name, dtype)), inline(combine(name))
    arrays = pointer(T), pointer(T), pointer(T), pointer(K), pointer(P), pointer(T), pointer(K)

    @kernel(*arrays, *[np.int64] * 5, I, I, *parameters(I))
    def add_runs(
        x, alpha, values, keys, order, parts, part_keys, low, unit, lost, columns, count, row_size, units,
        n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1,
    ):  # fmt: skip
        """A thread sums one column of RUN neighbouring places in order.  Runs that begin and end here go to ``x``; of a run from the piece before
        and one that goes on in the next (which may be the same) the sums so far are the piece's two values at the next level."""
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        u = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while u < units:
            piece, offset = walk(u, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1)
            # Column (q, a) of place i is value (q * count + i) * row + a at the first level, i * columns + column at those above.
            rows = I(u // row_size)
            row = np.int64(row_size)
            ahead, within = np.int64(I(rows // places)), np.int64(I(u - I(rows * row_size)))
            column = ahead * row + within
            base, pitch = (ahead * count * row + within, row) if first else (column, columns)
            start = np.int64(piece) * RUN
            stop = min(start + RUN, count)
            key = keys[start]
            head_key = key
            begun = start == 0
            if not begun:
                begun = keys[start - 1] != key
            head = total = nothing
            for r in range(start, stop):
                here = keys[r]
                if here != key:
                    if not begun:
                        head = total
                    elif np.int64(key) < lost:
                        x[offset + low + np.int64(key) * unit] = T(both(x[offset + low + np.int64(key) * unit], total))
                    key, begun, total = here, True, nothing
                i = np.int64(order[r]) if first else r
                value = values[base + i * pitch]
                if scaled:
                    value = T(value * alpha[0])
                total = T(both(total, value))
            goes_on = False
            if stop < count:
                goes_on = keys[stop] == key
            tail = nothing
            if not begun:
                head = total
            elif goes_on:
                tail = total
            elif np.int64(key) < lost:
                x[offset + low + np.int64(key) * unit] = T(both(x[offset + low + np.int64(key) * unit], total))
            if np.int64(places) > 1:
                parts[(2 * np.int64(piece)) * columns + column] = head
                parts[(2 * np.int64(piece) + 1) * columns + column] = tail
                if column == 0:
                    part_keys[2 * np.int64(piece)] = head_key
                    part_keys[2 * np.int64(piece) + 1] = key
            u = I(u + step)

    return add_runs


def add(x: CudaArray, found: Sorted, values: CudaArray, walk: Walk, alpha: Any = 1, name: str = "sum") -> None:
    """Add ``values`` (of each column, of each place, of each element of a row) to where their places lead, times ``alpha``; or combine them otherwise."""
    keys, count, columns, first = found.keys, found.keys.size, walk.columns, True
    K: Any
    P: Any
    K, P = keys.dtype.type, found.places.dtype.type
    factor = x
    if alpha != 1:
        factor = empty((), x.dtype)
        fill(factor, alpha)
    while True:
        pieces = -(-count // RUN)
        units = pieces * columns
        several = 2 * pieces if pieces > 1 else 0
        parts, part_keys = empty(several * columns, x.dtype), empty(several, keys.dtype)
        of_kind = _adder(x.dtype, K, P, first, first and alpha != 1, len(walk.inner), len(walk.outer), counter(units), name)
        pointers = [a.pointer for a in (x, factor, values, keys, found.places, parts, part_keys)]
        sizes = columns, count, walk.row
        arguments = (*pointers, found.low, found.unit, found.lost, *sizes, units, *walk.arguments(pieces))
        launch(of_kind, *blocks(units), arguments)
        if pieces == 1:
            return
        keys, values, count, first = part_keys, parts, several, False


# ---- what the contract calls ----------------------------------------------------------------------------------------------------------------------


def put(
    x: CudaArray,
    where: CudaArray,
    values: CudaArray,
    dims: list[tuple[int, int, int]],
    places: int,
    alpha: Any = None,
    distinct: bool = False,
) -> None:
    """x[p + where[i]] = values[q + i*places], or += alpha * values[...] where ``alpha`` is given; ``dims`` as in ``get``.

    ``values`` has x's dtype and is C-contiguous, or one value, all of whose strides are 0 here.  ``distinct`` says that no place occurs twice; the last
    of several values for one is what stays in any case.
    """
    _put(x, where, values, dims, places, alpha, distinct, "sum")


def _put(
    x: CudaArray, where: CudaArray, values: CudaArray, dims: list[tuple[int, int, int]], places: int, alpha: Any, distinct: bool, name: str
) -> None:
    """``put``, where ``alpha`` says that values are to be combined by ``name``."""
    if where.size == 0 or any(d[0] == 0 for d in dims):
        return
    before, after = kept(dims, places)
    walk = walked(before, after)
    if walk is None:
        where, walk, dims = spread(where, before, after), Walk((), ()), []
    if alpha is not None:
        if values.size == 1:
            values = _repeated(values, where.size * walk.columns)
        add(x, _sorted_into(x, where, dims), values, walk, alpha, name)
    elif distinct or values.size == 1:
        _write(x, where, values, walk)
    else:
        _write_last(x, _sorted_into(x, where, dims), values, walk)


def _repeated(value: CudaArray, n: int) -> CudaArray:
    return packed(value.reshape(1).as_strided((n,), (0,)))


@functools.lru_cache(maxsize=None)
def _line_offsetter(inner: int, outer: int, I: Any) -> Any:
    walk = walker(inner, outer, I)

    @kernel(*REPORTING, pointer(np.int64), pointer(np.int64), np.int64, np.int64, I, *parameters(I))
    def line_offsets(record, refusal, dim, where, index, size, stride, units, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1):
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        u = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while u < units:
            _, offset = walk(u, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1)
            v = index[u]
            if 0 <= v < size:
                offset += v * stride
            else:
                report(record, refusal, v, size, dim)
                offset = LOST
            where[u] = offset
            u = I(u + step)

    return line_offsets


def _scatter(x: CudaArray, dim: int, index: CudaArray, src: CudaArray, refusal: Refusal, alpha: int | None, name: str = "sum") -> None:
    walk = lines(x, dim, index)
    if walk is None:  # strides of too many kinds: by way of a packed copy of what the index reaches
        part = x[tuple(slice(None) if j == dim else slice(0, n) for j, n in enumerate(index.shape))]
        target = packed(part)
        _scatter(target, dim, index, src, refusal, alpha, name)
        move(part, target)
        return
    where = empty(index.size, _dtypes.int64)
    I = counter(index.size)
    of_kind = _line_offsetter(len(walk.inner), len(walk.outer), I)
    arguments = (where.pointer, index.pointer, x.shape[dim], x.strides[dim] // x.itemsize, index.size)
    launch(of_kind, *blocks(index.size), (*reporting(refusal, dim), *arguments, *walk.arguments(index.shape[dim])))
    one = not any(src.strides[j] for j, n in enumerate(src.shape) if n > 1)
    values = src[(0,) * src.ndim] if one else src if src.flags.c_contiguous else packed(src)
    _put(x, where, values, [], 1, alpha, False, name)


def scatter(x: CudaArray, dim: int, index: CudaArray, src: CudaArray, refusal: Refusal) -> None:
    """x[..., index[..., i, ...], ...] = src[..., i, ...] along ``dim``, of ``src`` of the index's shape, with any strides.

    An index out of range is refused, and what goes with it not written.
    """
    _scatter(x, dim, index, src, refusal, None)


def scatter_reduce(x: CudaArray, dim: int, index: CudaArray, src: CudaArray, refusal: Refusal, name: str) -> None:
    """x[..., index[..., i, ...], ...] combined with src[..., i, ...] along ``dim`` by ``_combine.combine(name)``; else as ``scatter``."""
    _scatter(x, dim, index, src, refusal, 1, name)
