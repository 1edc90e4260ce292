"""Kernels that rearrange rather than move: padding by reflection, replication or wrapping, with its gradient, and triangles.

All are bound by memory bandwidth.  Padding is separable: one index map per padded dimension says where each position comes from.  Its
gradient gathers instead of scattering: the inverse maps list, for each input position, the outputs that copied it, in order, so that
rows are summed independently and always in the same order.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import empty, inline, kernel, launch, u
from .._cpu.memory import POOLED_BYTES
from ._move import CARRIERS, is_small, move, movers

REFLECT, REPLICATE, CIRCULAR = 0, 1, 2


def fill(dst: np.ndarray, value: Any) -> None:
    """dst[...] = value, a number that ``dst``'s dtype can hold or a 0-d array of that dtype."""
    if not isinstance(value, np.ndarray):
        if dst.nbytes < POOLED_BYTES and dst.dtype.fields is None:  # bigger ones the kernel fills quicker
            dst.fill(value)
            return
        value = number(value, dst.dtype)
    if dst.flags.c_contiguous and not is_small(dst):
        launch(movers(dst.itemsize).line, dst.size, id(dst), 0, dst.size, 1, id(value), 0, 1, 0, work=dst.size)
    else:
        move(dst, value)


def number(value: Any, dtype: np.dtype) -> np.ndarray:
    """``value`` as a 0-d array."""
    if dtype.fields is None:
        return np.array(value, dtype)
    from ._cast import convert

    return convert(np.array(value, np.float32), dtype)


@kernel
def _ramp(lo, hi, out, start, step):
    for i in range(lo, hi):
        out[u(i)] = start + i * step


def ramp(out: np.ndarray, start: float, step: float) -> None:
    """out[i] = start + i * step for flat ``out``, in integers or in float64, as ``start`` and ``step`` are."""
    launch(_ramp, out.size, out, start, step, work=out.size)


@inline
def _source(j, n, left, right, mode):
    """The input position that output position ``j`` of a dimension of ``n`` shows."""
    if mode == REFLECT:
        i = abs(j - left)
        return i if i < n else 2 * (n - 1) - i
    if mode == REPLICATE:
        return min(max(j - left, 0), n - 1)
    first = max(-left, 0)  # wrapping goes around what a negative padding leaves
    return first + (j - max(left, 0)) % (n - first - max(-right, 0))


@kernel
def _map(lo, hi, out, n, left, right, mode):
    for j in range(lo, hi):
        out[j] = _source(j, n, left, right, mode)


@kernel
def _invert(lo, hi, starts, items, source):
    """Counting sort of the outputs by their source: items[starts[i] : starts[i + 1]] are the outputs that show input i, ascending."""
    n = starts.size - 1
    for i in range(n + 1):
        starts[i] = 0
    for j in range(source.size):
        starts[source[j] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    for j in range(source.size - 1, -1, -1):  # backwards: each bucket is filled from its end
        i = source[j] + 1
        starts[i] -= 1
        items[starts[i]] = j
    for i in range(1, n):
        starts[i] = starts[i + 1]
    starts[n] = source.size


def _maps(shape: tuple[int, ...], pads: tuple[tuple[int, int], ...], mode: int) -> list[np.ndarray]:
    maps = []
    for n, (left, right) in zip(shape[1:], pads):
        out = empty(n + left + right, np.int64)
        launch(_map, out.size, out, n, left, right, mode)
        maps.append(out)
    return maps


@kernel
def _pad_rows(lo, hi, out, x, maps0, maps1, maps2, left, inside, start, d, h, w):
    """Row (n, i, j) of ``out`` from row (n, maps0[i], maps1[j]) of ``x``: ``inside`` elements from its element ``start`` on are copied as
    they are to behind the first ``left``; only those at the two ends are looked up in ``maps2``."""
    od, oh, ow = maps0.size, maps1.size, maps2.size
    j = lo % oh
    i = (lo // oh) % od
    n = lo // (oh * od)
    for row in range(lo, hi):
        to = row * ow
        base = ((n * d + maps0[u(i)]) * h + maps1[u(j)]) * w
        for k in range(inside):
            out[u(to + left + k)] = x[u(base + start + k)]
        for k in range(left):
            out[u(to + k)] = x[u(base + maps2[u(k)])]
        for k in range(left + inside, ow):
            out[u(to + k)] = x[u(base + maps2[u(k)])]
        j += 1
        if j == oh:
            j = 0
            i += 1
            if i == od:
                i = 0
                n += 1


def pad(x: np.ndarray, pads: tuple[tuple[int, int], ...], mode: int) -> np.ndarray:
    """``x`` (N, D, H, W), contiguous, padded in D, H and W by ``pads`` = ((front, back), (top, bottom), (left, right))."""
    n, d, h, w = x.shape
    maps = _maps(x.shape, pads, mode)
    out = empty((n, *(m.size for m in maps)), x.dtype)
    carrier = CARRIERS[x.itemsize]
    rows = n * maps[0].size * maps[1].size
    left, right = pads[2]
    start = max(-left, 0)
    inside = max(w - start - max(-right, 0), 0)
    flat = [a.reshape(-1).view(carrier) for a in (out, x)]
    launch(_pad_rows, rows, *flat, *maps, max(left, 0), inside, start, d, h, w, work=out.size)
    return out


@kernel
def _pad_rows_backward(lo, hi, out, g, s0, i0, s1, i1, s2, i2, od, oh, ow):
    """Row (n, i, j) of the input's gradient: the sum over every output that showed it."""
    d, h, w = s0.size - 1, s1.size - 1, s2.size - 1
    for row in range(lo, hi):
        j = row % h
        i = (row // h) % d
        n = row // (h * d)
        for k in range(w):
            total = out.dtype.type(0)
            for a in range(s0[i], s0[i + 1]):
                for b in range(s1[j], s1[j + 1]):
                    base = ((n * od + i0[a]) * oh + i1[b]) * ow
                    for c in range(s2[k], s2[k + 1]):
                        total += g[u(base + i2[c])]
            out[u(row * w + k)] = total


def pad_backward(g: np.ndarray, shape: tuple[int, ...], pads: tuple[tuple[int, int], ...], mode: int) -> np.ndarray:
    """The gradient of ``pad`` with respect to its input of ``shape``, given ``g``, contiguous, for its output."""
    inverse = []
    for n, source in zip(shape[1:], _maps(shape, pads, mode)):
        starts, items = empty(n + 1, np.int64), empty(source.size, np.int64)
        _invert(0, 1, starts, items, source)
        inverse += [starts, items]
    out = empty(shape, g.dtype)
    rows = shape[0] * shape[1] * shape[2]
    launch(_pad_rows_backward, rows, out.reshape(-1), g.reshape(-1), *inverse, *g.shape[1:], work=2 * g.size)
    return out


@functools.lru_cache(maxsize=None)
def _triangle(item: int) -> Any:
    dtype = CARRIERS[item].type

    @kernel(source=f"copy.triangle of {item} bytes")
    def triangle(lo, hi, out, x, rows, columns, diagonal, upper):
        """Keep the columns of each row from (upper) or up to (lower) the diagonal, and clear the others."""
        zero = dtype(0)
        for row in range(lo, hi):
            edge = row % rows + diagonal + (0 if upper else 1)
            edge = min(max(edge, 0), columns)
            base = row * columns
            first, last = (edge, columns) if upper else (0, edge)
            for k in range(first):
                out[u(base + k)] = zero
            for k in range(first, last):
                out[u(base + k)] = x[u(base + k)]
            for k in range(last, columns):
                out[u(base + k)] = zero

    return triangle


def triangle(x: np.ndarray, diagonal: int, upper: bool) -> np.ndarray:
    """``x`` (..., rows, columns), contiguous, with zeros below (``upper``) or above the diagonal."""
    rows, columns = x.shape[-2:]
    out = empty(x.shape, x.dtype)
    if x.size:
        carrier = CARRIERS[x.itemsize]
        diagonal = min(max(diagonal, -rows - 1), columns + 1)
        args = (out.reshape(-1).view(carrier), x.reshape(-1).view(carrier), rows, columns, diagonal, upper)
        launch(_triangle(x.itemsize), x.size // columns, *args, work=x.size)
    return out
