"""Convolutions of one input and one output channel per group, on small planes.

Tile: one register of output columns, summed over the taps in order.  Data movement: each plane is copied once, with its padding, to a buffer
that stays in the L1 cache, from which every tap reads whole registers without a mask; loads bound it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import kernel, simd, simd_conv
from .._cpu.simd_pool import weighted_windows_row
from ._plan import Geometry

# Output pixels of a plane from which on the tiles of ``_engine`` are as fast, and elements of a buffer beyond which it leaves the L1 cache.
_SMALL, _NEAR = 400, 4096


@functools.lru_cache(maxsize=None)
def kernels(dtype: Any, step: int) -> Any:
    """The kernel for a column stride of ``step``, 1 or 2."""
    row, f = weighted_windows_row(dtype, step), simd.vectors(dtype)
    size, lanes, load_part, store_part = np.dtype(dtype).itemsize, f.lanes, f.load_part, f.store_part

    @kernel
    def depthwise(lo, hi, out, x, w, bias, sizes, table, places, steps):
        """The range is over images and groups; ``sizes`` and ``table``: see ``planned``."""
        groups, height, width, origin, pitch, elements, stride_h = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6]
        out_height, out_width = out.shape[2], out.shape[3]
        padded, taps, start = np.zeros(elements, x.dtype), np.empty(places.size, x.dtype), np.zeros(1, x.dtype)
        buffer, weights, begin, offsets = padded.ctypes.data, taps.ctypes.data, start.ctypes.data, table.ctypes.data
        for plane in range(lo, hi):
            group = plane % groups
            for t in range(places.size):
                taps[t] = w[group * steps[0] + places[t]]
            if bias.size:
                start[0] = bias[group]
            source, inside = x.ctypes.data + plane * height * width * size, buffer + origin * size
            for h in range(height):
                for v in range(0, width, lanes):
                    store_part(inside + (h * pitch + v) * size, load_part(source + (h * width + v) * size, width - v), width - v)
            for r in range(out_height):
                to = out.ctypes.data + (plane * out_height + r) * out_width * size
                row(buffer + r * stride_h * pitch * size, to, out_width, offsets, places.size, weights, begin)

    return depthwise


@functools.lru_cache(maxsize=1024)
def planned(q: Geometry, itemsize: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The integers for the kernel, (its sizes, the byte offset of each tap), or None where the tiles of ``_engine`` are faster.

    Measured (Zen 4, AVX-512, float32, one thread, microseconds, tiles / this): 16 x 256, 7x7, k3: 585 / 349;
    16 x 64, 28x28, k3, stride 2: 350 / 286, its input gradient 1480 / 841; 16 x 128, 14x14, k5: 716 / 677; 16 x 64, 28x28, k3: 470 / 600.
    """
    if not q.flat or q.channels != 1 or q.out != 1 or q.stride_w > 2 or q.out_height * q.out_width >= _SMALL:
        return None
    lanes = simd_conv.lanes(np.float32 if itemsize == 4 else np.float64)
    above, left = max(0, -min(q.rows)), max(0, -min(q.columns))
    rows = above + max(q.height, (q.out_height - 1) * q.stride_h + max(q.rows) + 1)
    read = (-(-q.out_width // lanes) * lanes - 1) * q.stride_w + max(q.columns) + q.stride_w
    pitch = left + max(q.width, read)
    if rows * pitch > _NEAR:
        return None
    sizes = q.groups, q.height, q.width, above * pitch + left, pitch, (rows + 1) * pitch + 2 * lanes, q.stride_h
    table = [((above + a) * pitch + left + b) * itemsize for a in q.rows for b in q.columns]
    return np.array(sizes, np.int64), np.array(table, np.int64)
