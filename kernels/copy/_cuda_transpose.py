"""A copy on CUDA that turns memory around: the source's unit stride lies in another dimension than the destination's.

A tile goes through shared memory, so that both sides are read and written along their unit strides; a column more than needed keeps the threads that
read a column of the tile off each other's banks.  G. Ruetsch, P. Micikevicius, "Optimizing Matrix Transpose in CUDA" (NVIDIA, 2009).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .._cuda.array import CudaArray
from .._cuda.intrinsics import cuda
from .._cuda.launch import kernel, launch, pointer
from ._geometry import coalesce

TILE, ROWS = 32, 8  # a block of TILE x ROWS threads does a tile of TILE x TILE elements
_PADDED = (TILE, TILE + 1)
_WORDS: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_MOST_BLOCKS = 1 << 20
# Below so many elements, or in dimensions as short as this, the strided copy is as quick.
_LEAST, _SHORT = 1 << 10, 8


@functools.lru_cache(maxsize=None)
def _turner(item: int) -> Any:
    word = _WORDS[item]

    @kernel(pointer(word), pointer(word), *[np.int64] * 8, bounds=TILE * ROWS)
    def turn(dst, src, outer, dst_outer, src_outer, na, nb, dst_b, src_a, tiles):
        """dst[o * dst_outer + b * dst_b + a] = src[o * src_outer + a * src_a + b] for a < na, b < nb, o < outer; ``tiles`` in all."""
        tile = cuda.shared.array(_PADDED, dtype=word)
        x, y = np.int64(cuda.threadIdx.x), np.int64(cuda.threadIdx.y)
        across = (na + (TILE - 1)) // TILE
        down = (nb + (TILE - 1)) // TILE
        unit = np.int64(cuda.blockIdx.x)
        while unit < tiles:
            o = unit // (across * down)
            a0 = unit % across * TILE
            b0 = unit // across % down * TILE
            for k in range(0, TILE, ROWS):
                if b0 + x < nb and a0 + y + k < na:
                    tile[y + k, x] = src[o * src_outer + (a0 + y + k) * src_a + b0 + x]
            cuda.syncthreads()
            for k in range(0, TILE, ROWS):
                if a0 + x < na and b0 + y + k < nb:
                    dst[o * dst_outer + (b0 + y + k) * dst_b + a0 + x] = tile[x, y + k]
            cuda.syncthreads()
            unit += np.int64(cuda.gridDim.x)

    return turn


def transposed(dst: CudaArray, src: CudaArray) -> bool:
    """dst[...] = src, of one shape and dtype, if that is a transposition of matrices that is worth a tile: True; else nothing: False."""
    item = dst.itemsize
    if item not in _WORDS or dst.size < _LEAST:
        return False
    dims = coalesce(dst.shape, [s // item for s in dst.strides], [s // item for s in src.strides])
    rows = next((d for d in dims if d[2] == 1), None)
    columns = next((d for d in dims if d[1] == 1), None)
    if rows is None or columns is None or rows is columns or min(rows[0], columns[0]) < _SHORT or len(dims) > 3:
        return False
    na, _, src_a = columns
    nb, dst_b, _ = rows
    outer, dst_outer, src_outer = next((d for d in dims if d is not rows and d is not columns), (1, 0, 0))
    tiles = outer * math.ceil(na / TILE) * math.ceil(nb / TILE)
    arguments = (dst.pointer, src.pointer, outer, dst_outer, src_outer, na, nb, dst_b, src_a, tiles)
    launch(_turner(item), min(tiles, _MOST_BLOCKS), (TILE, ROWS), arguments)
    return True
