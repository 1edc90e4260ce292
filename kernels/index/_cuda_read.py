"""Reading at listed places on CUDA.  A thread moves 16 bytes of a row, or one element, and finds out where from; bound by memory, whose accesses
are as scattered as the indices.  Indices are checked where they are used; what one out of range leads to is read as 0."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.array import CudaArray
from .._cuda.faults import report
from .._cuda.intrinsics import cuda, inline, load_vector, store_vector
from .._cuda.launch import blocks, kernel, launch, pointer
from ..copy.cuda import packed
from ._cuda_positions import spread
from ._cuda_walk import LEAST, REPORTING, WORDS, Walk, counter, lanes_of, parameters, reporting, walked, walker
from ._errors import Refusal


@functools.lru_cache(maxsize=None)
def _mover(W: Any, lanes: int) -> Any:
    zero = W(0)

    @inline
    def move(out, u, x, offset, found):  # type: ignore[no-untyped-def]
        """Vector u of ``out`` is what begins at x[offset]; 0 unless ``found``."""
        if not found:
            for k in range(lanes):
                out[u * lanes + k] = zero
        elif lanes == 1:
            out[u] = x[offset]
        elif offset % lanes == 0:
            store_vector(out, u * lanes, load_vector(x, offset, lanes))
        else:
            for k in range(lanes):
                out[u * lanes + k] = x[offset + k]

    return move


@functools.lru_cache(maxsize=None)
def _taker(W: Any, lanes: int, I: Any) -> Any:
    move = _mover(W, lanes)

    @kernel(*REPORTING, pointer(W), pointer(W), pointer(np.int64), I, I, np.int64, np.int64, I)
    def take(record, refusal, dim, out, x, index, count, vectors, size, low, units):
        """``vectors`` of a row; ``low``: the lowest index allowed."""
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        u = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while u < units:
            rows = I(u // vectors)
            o = I(rows // count)
            v = index[I(rows - I(o * count))]
            found = low <= v < size
            if not found:
                report(record, refusal, v, size, dim)
            v += size if v < 0 else 0
            offset = ((np.int64(o) * size + v) * np.int64(vectors) + np.int64(I(u - I(rows * vectors)))) * lanes
            move(out, np.int64(u), x, offset, found)
            u = I(u + step)

    return take


def take(out: CudaArray, x: CudaArray, index: CudaArray, size: int, row: int, wrap: bool, refusal: Refusal, dim: int) -> None:
    """out[o, i, :] = x[o, index[i], :] of ``x`` (outer, size, row) and int64 ``index``, all contiguous and none empty.

    ``wrap`` lets negative indices count from the end.  One that is out of range is refused, as one of dimension ``dim``.
    """
    lanes = lanes_of(Walk(((row, 1),), ()), out, x)
    units = out.size // lanes
    W, I = WORDS[x.itemsize], counter(units)
    arguments = (
        *reporting(refusal, dim),
        out.pointer,
        x.pointer,
        index.pointer,
        index.size,
        row // lanes,
        size,
        -size if wrap else 0,
        units,
    )
    launch(_taker(W, lanes, I), *blocks(units), arguments)


@functools.lru_cache(maxsize=None)
def _getter(W: Any, lanes: int, inner: int, outer: int, I: Any) -> Any:
    move, walk = _mover(W, lanes), walker(inner, outer, I)

    @kernel(pointer(W), pointer(W), pointer(np.int64), I, *parameters(I))
    def get(out, x, where, units, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1):
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        u = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while u < units:
            place, offset = walk(u, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1)
            at = where[place]
            move(out, np.int64(u), x, offset + at, at > LEAST)
            u = I(u + step)

    return get


def kept(dims: list[tuple[int, int, int]], places: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The dimensions (size, stride) in front of the listed places and behind them, of (size, stride, the other array's stride)."""
    dims = [d for d in dims if d[0] != 1]
    return [d[:2] for d in dims if d[2] >= max(places, 1)], [d[:2] for d in dims if d[2] < max(places, 1)]


def get(x: CudaArray, where: CudaArray, out: CudaArray, dims: list[tuple[int, int, int]], places: int) -> None:
    """out[q + i*places] = x[p + where[i]] for every i and every (p, q) that ``dims`` = (size, x's stride, out's stride) lead to.

    Strides are in elements; ``out`` is contiguous.
    """
    if out.size == 0:
        return
    before, after = kept(dims, places)
    walk = walked(before, after)
    if walk is None:
        where, walk = spread(where, before, after), Walk((), ())
    lanes = lanes_of(walk, out, x)
    units = out.size // lanes
    I = counter(units)
    of_kind = _getter(WORDS[x.itemsize], lanes, len(walk.inner), len(walk.outer), I)
    launch(of_kind, *blocks(units), (out.pointer, x.pointer, where.pointer, units, *walk.vectors(lanes).arguments(where.size)))


@functools.lru_cache(maxsize=None)
def _gatherer(W: Any, inner: int, outer: int, I: Any) -> Any:
    walk, zero = walker(inner, outer, I), W(0)

    @kernel(*REPORTING, pointer(W), pointer(W), pointer(np.int64), np.int64, np.int64, I, *parameters(I))
    def gather(record, refusal, dim, out, x, index, size, stride, units, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1):
        step = I(cuda.gridDim.x * cuda.blockDim.x)
        u = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while u < units:
            _, offset = walk(u, n0, s0, n1, s1, n2, s2, places, m0, t0, m1, t1)
            v = index[u]
            value = zero
            if 0 <= v < size:
                value = x[offset + v * stride]
            else:
                report(record, refusal, v, size, dim)
            out[u] = value
            u = I(u + step)

    return gather


def lines(x: CudaArray, dim: int, index: CudaArray) -> Walk | None:
    """The walk over the elements of ``index``, whose coordinates but ``dim``'s are those of ``x``."""
    steps = [(n, s // x.itemsize) for n, s in zip(index.shape, x.strides)]
    return walked(steps[:dim], steps[dim + 1 :])


def gather(x: CudaArray, dim: int, index: CudaArray, out: CudaArray, refusal: Refusal) -> None:
    """out[..., i, ...] = x[..., index[..., i, ...], ...] along ``dim``; ``index`` (int64) and ``out`` are contiguous.

    An index out of range is refused.
    """
    walk = lines(x, dim, index)
    if walk is None:
        x = packed(x[tuple(slice(None) if j == dim else slice(0, n) for j, n in enumerate(index.shape))])
        walk = lines(x, dim, index)
        assert walk is not None
    I = counter(index.size)
    arguments = (out.pointer, x.pointer, index.pointer, x.shape[dim], x.strides[dim] // x.itemsize, index.size)
    of_kind = _gatherer(WORDS[x.itemsize], len(walk.inner), len(walk.outer), I)
    launch(of_kind, *blocks(index.size), (*reporting(refusal, dim), *arguments, *walk.arguments(index.shape[dim])))
