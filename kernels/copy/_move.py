"""Moving elements between strided arrays of one dtype.

Any pair of layouts is first reduced: dimensions are put in the order in which the destination lies in memory, neighbours that
advance together are merged, and what is left is one of three loops, whichever dtype it is, because only the element's size matters:

    line    one dimension                         bound by memory bandwidth (unit steps vectorise)
    rows    many rows, walked with an odometer     the same, plus a few ns per row
    blocks  the source's unit stride lies in another dimension (a transpose): 32 x 32 tiles of 8 x 8 blocks, transposed in
            registers, so every cache line of both sides is used whole while it is in the first-level cache; also for rows of
            fewer than 8 elements, which are walked down their columns
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, Sequence

import numpy as np

from .._cpu import empty, get_num_threads, kernel, launch, u
from .._cpu.intrinsics import address_of, array_from
from .._cpu.memory import POOLED_BYTES
from .._cpu.threads import PARALLEL_WORK
from .._cpu.transpose import BLOCK, transpose_block
from ._geometry import coalesce

# How elements of each size are carried.  NumPy has no 128-bit integer; a complex128 moves bit for bit as well.
CARRIERS: dict[int, Any] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.uint16),
    4: np.dtype(np.uint32),
    8: np.dtype(np.uint64),
    16: np.dtype(np.complex128),
}

# Copies of at most this many bytes are left to NumPy, which is done before the strides have been looked at here.  So are contiguous ones that are
# not split among threads: the C library's memcpy is as quick as any loop, and there is nothing to look at.
SMALL_BYTES = 16384

# So many elements are joined by NumPy, for the same reason: the pieces are what takes time, and a kernel has to be told where each is.
FEW = 65536

TILE = 32


class Movers(NamedTuple):
    """The three loops for one element size.  An array is passed as its ``id``, the elements before its first one and those it spans."""

    line: Any
    rows: Any
    blocks: Any


@functools.lru_cache(maxsize=None)
def movers(item: int) -> Movers:
    """The loops for elements of ``item`` bytes."""
    dtype = CARRIERS[item].type

    @kernel(source=f"copy.line of {item} bytes")
    def line(lo, hi, dst_id, d, d_span, ds, src_id, s, s_span, ss):
        """dst[i*ds] = src[i*ss]."""
        dst = array_from(address_of(dst_id) - d * item, d_span, dtype)
        src = array_from(address_of(src_id) - s * item, s_span, dtype)
        if ds == 1 and ss == 1:
            for i in range(lo, hi):
                dst[u(d + i)] = src[u(s + i)]
        elif ss == 0:
            value = src[u(s)]
            if ds == 1:
                for i in range(lo, hi):
                    dst[u(d + i)] = value
            else:
                for i in range(lo, hi):
                    dst[u(d + i * ds)] = value
        elif ds == 1 and ss == -1:
            for i in range(lo, hi):
                dst[u(d + i)] = src[u(s - i)]
        else:
            for i in range(lo, hi):
                dst[u(d + i * ds)] = src[u(s + i * ss)]

    @kernel(source=f"copy.rows of {item} bytes")
    def rows(lo, hi, dims, dst_id, d, d_span, ds, src_id, s, s_span, ss, n):
        """The same for rows lo..hi; ``dims`` holds (size, dst stride, src stride) of each outer dimension, outermost first."""
        dst = array_from(address_of(dst_id) - d * item, d_span, dtype)
        src = array_from(address_of(src_id) - s * item, s_span, dtype)
        k = dims.size // 3
        at = np.zeros(k, np.int64)
        left = lo
        for j in range(k - 1, -1, -1):
            at[j] = left % dims[3 * j]
            left //= dims[3 * j]
            d += at[j] * dims[3 * j + 1]
            s += at[j] * dims[3 * j + 2]
        for _ in range(lo, hi):
            if ds == 1 and ss == 1:
                for i in range(n):
                    dst[u(d + i)] = src[u(s + i)]
            elif ds == 1 and ss == 0:
                value = src[u(s)]
                for i in range(n):
                    dst[u(d + i)] = value
            elif ds == 1 and ss == -1:
                for i in range(n):
                    dst[u(d + i)] = src[u(s - i)]
            else:
                for i in range(n):
                    dst[u(d + i * ds)] = src[u(s + i * ss)]
            j = k - 1
            while j >= 0:
                at[j] += 1
                d += dims[3 * j + 1]
                s += dims[3 * j + 2]
                if at[j] < dims[3 * j]:
                    break
                d -= at[j] * dims[3 * j + 1]
                s -= at[j] * dims[3 * j + 2]
                at[j] = 0
                j -= 1

    @kernel(source=f"copy.blocks of {item} bytes")
    def blocks(lo, hi, dims, dst_id, d0, d_span, dsa, dsb, src_id, s0, s_span, ssa, ssb, na, nb):
        """dst[a*dsa + b*dsb] = src[a*ssa + b*ssb], small dsa and ssb; a unit of the range is a strip of TILE b's of one outer matrix."""
        to = address_of(dst_id)
        source = address_of(src_id)
        dst = array_from(to - d0 * item, d_span, dtype)
        src = array_from(source - s0 * item, s_span, dtype)
        strips = (nb + TILE - 1) // TILE
        k = dims.size // 3
        for unit in range(lo, hi):
            left = unit // strips
            d, s = d0, s0
            for j in range(k - 1, -1, -1):
                i = left % dims[3 * j]
                left //= dims[3 * j]
                d += i * dims[3 * j + 1]
                s += i * dims[3 * j + 2]
            first = (unit % strips) * TILE
            last = min(first + TILE, nb)
            if na < BLOCK:
                for a in range(na):
                    p, q = d + a * dsa, s + a * ssa
                    if ssb == 1:
                        for b in range(first, last):
                            dst[u(p + b * dsb)] = src[u(q + b)]
                    else:
                        for b in range(first, last):
                            dst[u(p + b * dsb)] = src[u(q + b * ssb)]
                continue
            for tile in range(0, na, TILE):
                for b0 in range(first, last, BLOCK):
                    for a0 in range(tile, min(tile + TILE, na), BLOCK):
                        p = d + a0 * dsa + b0 * dsb
                        q = s + a0 * ssa + b0 * ssb
                        if item <= 8 and dsa == 1 and ssb == 1 and a0 + BLOCK <= na and b0 + BLOCK <= last:
                            transpose_block(to + (p - d0) * item, dsb * item, source + (q - s0) * item, ssa * item, dtype)
                        else:
                            for b in range(min(BLOCK, last - b0)):
                                for a in range(min(BLOCK, na - a0)):
                                    dst[u(p + a * dsa + b * dsb)] = src[u(q + a * ssa + b * ssb)]

    return Movers(line, rows, blocks)


def place(x: np.ndarray) -> tuple[int, int, int]:
    """Of ``x``'s memory: the array's ``id``, how many elements lie before its first one, and how many from the lowest to the highest."""
    if x.flags.c_contiguous:
        return id(x), 0, x.size
    size = x.itemsize
    span, first = 1, 0
    for n, stride in zip(x.shape, x.strides):
        if stride % size:
            raise ValueError(f"copy: strides must be multiples of the element's {size} bytes, but got {x.strides}")
        steps = (n - 1) * stride // size
        if steps < 0:
            first -= steps
            span -= steps
        else:
            span += steps
    return id(x), first, span


def is_small(x: np.ndarray) -> bool:
    """Whether ``x`` is so small that NumPy copies it faster (a 16-bit float that NumPy does not know is copied field by field: it is not)."""
    return x.nbytes <= SMALL_BYTES and x.dtype.fields is None


def move(dst: np.ndarray, src: np.ndarray) -> None:
    """dst[...] = src, ``src`` of the same dtype and of a shape that broadcasts to dst's.  The memory must not overlap."""
    size = dst.size
    if size == 0:
        return
    item = dst.itemsize
    if is_small(dst):
        dst[...] = src
        return
    same = dst.shape == src.shape
    if same and dst.flags.c_contiguous and src.flags.c_contiguous:
        if (size < PARALLEL_WORK or get_num_threads() == 1) and dst.dtype.fields is None:
            dst[...] = src
            return
        launch(movers(item).line, size, id(dst), 0, size, 1, id(src), 0, size, 1, work=size)
        return
    to = [n // item for n in dst.strides]
    source = [n // item for n in src.strides]
    if not same:
        source = [0] * (dst.ndim - src.ndim) + [0 if n == 1 else stride for n, stride in zip(src.shape, source)]
    dims = coalesce(dst.shape, to, source)
    d, s = place(dst), place(src)
    if len(dims) <= 1:
        n, ds, ss = dims[0] if dims else (1, 1, 1)
        launch(movers(item).line, n, *d, ds, *s, ss, work=n)
        return
    n, ds, ss = dims[-1]
    nearest = -1
    if abs(ss) > 1:  # is the source's unit stride in another dimension?
        nearest = min(range(len(dims) - 1), key=lambda j: abs(dims[j][2]) or 1 << 62)
        if not 0 < abs(dims[nearest][2]) < abs(ss):
            nearest = -1
    elif n < BLOCK:  # rows too short to be worth one turn of the odometer each
        nearest = len(dims) - 2
    if nearest >= 0 and dims[nearest][0] >= 4:
        nb, dsb, ssb = dims[nearest]
        outer = dims[:nearest] + dims[nearest + 1 : -1]
        units = math.prod(o[0] for o in outer) * -(-nb // TILE)
        launch(movers(item).blocks, units, _table(outer), *d, ds, dsb, *s, ss, ssb, n, nb, work=size)
        return
    launch(movers(item).rows, size // n, _table(dims[:-1]), *d, ds, *s, ss, n, work=size)


def _table(dims: list[tuple[int, int, int]]) -> np.ndarray:
    return np.array([v for d in dims for v in d], np.int64)


@functools.lru_cache(maxsize=None)
def _joiner(item: int) -> Any:
    dtype = CARRIERS[item].type

    @kernel(source=f"copy.join of {item} bytes")
    def join(lo, hi, out_id, out_size, ids, widths, starts, outer):
        """Unit (row, piece): row ``row`` of piece ``piece``, ``widths[piece]`` elements, goes to column ``starts[piece]`` of the output's."""
        out = array_from(address_of(out_id), out_size, dtype)
        pieces = ids.size
        columns = out_size // outer
        for unit in range(lo, hi):
            row, piece = unit // pieces, unit % pieces
            n = widths[piece]
            src = array_from(address_of(int(ids[piece])), outer * n, dtype)
            d, s = row * columns + starts[piece], row * n
            for i in range(n):
                out[u(d + i)] = src[u(s + i)]

    return join


def join_few(arrays: Sequence[np.ndarray], dim: int) -> np.ndarray | None:
    """Arrays of one dtype and few elements one after another along ``dim`` by NumPy, which starts at once; None where they are no such
    arrays or do not fit together."""
    dtype, size = arrays[0].dtype, 0
    if dtype.fields is not None:
        return None
    for x in arrays:
        if type(x) is not np.ndarray or (x.dtype is not dtype and x.dtype != dtype):
            return None
        size += x.size
    if size > FEW:
        return None
    try:
        out = np.concatenate(arrays, dim)
    except (ValueError, TypeError):
        return None
    return out if out.flags.c_contiguous else None  # NumPy joins columns that lie one after another as they lie


def join(out: np.ndarray, arrays: Sequence[np.ndarray], outer: int) -> None:
    """Write contiguous ``arrays``, each ``outer`` rows of some width, side by side into ``out``, ``outer`` rows of their summed width.

    One launch for all of them, however many: a batch is put together from many small samples.
    """
    if out.size == 0:
        return
    widths = np.array([x.size // outer for x in arrays], np.int64)
    starts = np.cumsum(widths) - widths
    ids = np.array([id(x) for x in arrays], np.int64)
    launch(_joiner(out.itemsize), len(arrays) * outer, id(out), out.size, ids, widths, starts, outer, work=out.size)


def assign(dst: np.ndarray, src: np.ndarray) -> bool:
    """dst[...] = src by NumPy, which minds shared memory by itself: True, or False where that is not the quickest way."""
    if dst.dtype is not src.dtype or dst.dtype.fields is not None or dst.shape != src.shape:
        return False
    size = dst.size
    if size * dst.itemsize > SMALL_BYTES and (
        (size >= PARALLEL_WORK and get_num_threads() > 1) or not (dst.flags.c_contiguous and src.flags.c_contiguous)
    ):
        return False
    dst[...] = src
    return True


def packed(x: np.ndarray) -> np.ndarray:
    """A new C-contiguous array with the elements of ``x``."""
    size = x.nbytes
    if (size <= SMALL_BYTES or (size < POOLED_BYTES and x.flags.c_contiguous)) and x.dtype.fields is None:
        return x.copy()
    out = empty(x.shape, x.dtype)
    move(out, x)
    return out
