"""What the attention kernels on the CPU share: the sizes of their blocks, packing, and one row of scores.

All products are made of whole register tiles (``_cpu.simd.tile``), so operands are packed into rows and columns padded to them.  The scratch of one unit
of work is a few blocks, and in the backward pass a few rows per query: nothing grows with the product of the lengths.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import array_from, inline, simd, store
from .._cpu.functions import functions_for
from ..matmul._gemm import TILES
from ..random._philox import philox
from ..softmax._scalar import scalars

# Rows of queries in one chunk, which the forward pass takes a block of keys through at a time; and the bytes that a block's scores may take of a
# second-level cache.
CHUNK = 256
KEYS = 128

# The words of ``plan``: batch, L, S, E, Ev; the strides in bytes of rows of q, k, v, y, g, dq, dk, dv, of rows and columns of the mask; causal, and
# of dropout: the threshold below which a random word keeps a weight (−1: all are kept), seed and offset.  ``places``: the byte offsets of all heads
# of q, then of k, v, mask, y, and for the backward pass of g, dq, dk and dv.
PLAN_SIZE = 19
# Rows this far apart, or a multiple of it, fight over the same sets of a first-level cache: they are copied before they are read many times.
FIGHTING = 4096


def rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


@functools.cache
def blocks(dtype: np.dtype) -> SimpleNamespace:
    """The sizes and functions for float32 or float64."""
    real, size, lanes = dtype.type, dtype.itemsize, simd.lanes(dtype)
    tile_rows, vectors, _ = TILES[0]
    width = vectors * lanes
    rows, keys = tile_rows * max(1, 64 // tile_rows), width * max(1, KEYS // width)
    pitch = rounded(keys, tile_rows) + lanes  # of a block of scores: not a power of two, whose rows would fight over cache sets
    tile, square = simd.tile(dtype, tile_rows, vectors), simd.transpose(dtype)
    exp = functions_for(dtype, {"exp"})["exp"]
    largest = scalars(dtype).row_max  # of a row with a NaN it may be that, or what else is the largest: the sum will be NaN
    words = inline(philox)
    zero = real(0)

    @inline
    def upto(n, unit):
        return (n + unit - 1) // unit * unit

    @inline
    def clear(at, count):
        line = array_from(at, count, real)
        for j in range(line.size):
            line[j] = zero

    @inline
    def pack_rows(to, to_row, x, x_row, count, n, total, factor):
        """``count`` rows of ``n`` elements, times ``factor``, each padded with zeros to ``to_row`` bytes; then rows of zeros, ``total`` in all."""
        for r in range(min(count, total)):
            source, target = array_from(x + r * x_row, n, real), array_from(to + r * to_row, n, real)
            for j in range(source.size):
                target[j] = source[j] * factor
            clear(to + r * to_row + n * size, to_row // size - n)
        if count < total:
            clear(to + count * to_row, (total - count) * (to_row // size))

    @inline
    def pack_columns(to, to_row, x, x_row, count, n, total):
        """The transpose: element j of row r goes to to[j, r]; zeros where there is no such row, ``total`` in all, in squares of a register."""
        for r in range(0, total, lanes):
            for j in range(0, n, lanes):
                square(to + j * to_row + r * size, to_row, x + r * x_row + j * size, x_row, count - r, n - j)

    @inline
    def product(c, c_row, a, a_row, a_col, b, b_row, m, n, k, start, start_row):
        """c = start + a·b in whole tiles."""
        for i in range(0, m, tile_rows):
            for j in range(0, n, width):
                d = start + i * start_row + j * size
                tile(k, a + i * a_row, a_row, a_col, b + j * size, b_row, c + i * c_row + j * size, c_row, d, start_row, 0)

    @inline
    def add_mask(scores, mask, column):
        """The scores of a row of keys with what a mask's row at the address ``mask`` adds to them."""
        if column == size:
            added = array_from(mask, scores.size, real)
            for j in range(scores.size):
                scores[j] += added[j]
        else:
            for j in range(scores.size):
                scores[j] += array_from(mask + j * column, 1, real)[0]

    @inline(reassociate=True)
    def exponentials(scores, top):
        """scores = exp(scores − top); their sum."""
        total = zero
        for j in range(scores.size):
            e = exp(scores[j] - top)
            scores[j] = e
            total += e
        return total

    @inline
    def draw(kept, seed, block, threshold, factor):
        """``factor`` where an element of a row of weights is kept, 0 where it is dropped: four elements to a block of random words."""
        for j in range(0, kept.size, 4):
            a, b, c, d = words(np.uint64(seed), np.uint64(block + j // 4))
            at = np.intp(kept.ctypes.data) + j * size
            store(at, factor if np.int64(a) < threshold else zero)
            store(at + size, factor if np.int64(b) < threshold else zero)
            store(at + 2 * size, factor if np.int64(c) < threshold else zero)
            store(at + 3 * size, factor if np.int64(d) < threshold else zero)

    names: dict[str, Any] = dict(locals())
    return SimpleNamespace(**{n: v for n, v in names.items() if n not in ("dtype", "vectors", "words")})
