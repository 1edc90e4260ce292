"""Attention on the CPU, forward: an online softmax over blocks of keys, bound by arithmetic.

T. Dao et al., "FlashAttention: fast and memory-efficient exact attention with IO-awareness" (2022); M. Milakov, N. Gimelshein, "Online normalizer
calculation for softmax" (2018).  A unit of work is a chunk of the queries of one head.  A block of keys and values, packed once, meets all its rows; the
sums of a row are scaled down whenever a later block holds a larger score.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .._cpu import address_of, array_at, array_from, compiled, kernel
from .._cpu.types import BY_DTYPE, intp, signature
from ._blocks import CHUNK, FIGHTING, PLAN_SIZE, blocks

_SIGNATURE = signature(*[intp] * 8, BY_DTYPE[np.dtype(np.float64)], BY_DTYPE[np.dtype(np.float64)])


@functools.cache
def forward(dtype: np.dtype) -> Any:
    """y and the logarithms of the rows' sums, over batch · chunks units: ``(n, y, lse, q, k, v, mask, places, plan, scale, kept)``; ids, and ``kept`` is
    what a weight that is not dropped is multiplied by."""
    b = blocks(dtype)
    real, size, width, tile_rows, rows, keys, pitch = b.real, b.size, b.width, b.tile_rows, b.rows, b.keys, b.pitch
    lanes, pack_rows, pack_columns, product, upto = b.lanes, b.pack_rows, b.pack_columns, b.product, b.upto
    add_mask, largest, exponentials, draw, exp, clear = b.add_mask, b.largest, b.exponentials, b.draw, b.exp, b.clear
    zero, one, minus = real(0), real(1), real(-np.inf)

    @kernel
    def attention(lo, hi, y_id, lse_id, q_id, k_id, v_id, mask_id, places_id, plan_id, scale, kept):
        plan = array_at(plan_id, PLAN_SIZE, np.int64)
        batch, length, count, inner, outer = plan[0], plan[1], plan[2], plan[3], plan[4]
        q_row, k_row, v_row, y_row, m_row, m_col = plan[5], plan[6], plan[7], plan[8], plan[13], plan[14]
        causal, threshold, seed, offset = plan[15], plan[16], plan[17], plan[18]
        places = array_at(places_id, 5 * batch, np.int64)
        out_row = upto(outer, width) * size
        chunks = (length + CHUNK - 1) // CHUNK
        space = np.empty(
            (CHUNK + tile_rows) * (inner + out_row // size) + rows * pitch + keys * (upto(inner, lanes) + out_row // size), real
        )
        state = np.empty((3, max(CHUNK, keys)), real)
        best, sums, factors = state[0], state[1], state[2]
        none = np.zeros(keys, real)
        q_pack = np.intp(space.ctypes.data)
        acc = q_pack + (CHUNK + tile_rows) * inner * size
        scores = acc + (CHUNK + tile_rows) * out_row
        k_pack = scores + rows * pitch * size
        v_pack = k_pack + keys * upto(inner, lanes) * size
        for unit in range(lo, hi):
            n, top = unit // chunks, unit % chunks * CHUNK
            mine = min(CHUNK, length - top)
            pack_rows(
                q_pack, inner * size, address_of(q_id) + places[n] + top * q_row, q_row, mine, inner, upto(mine, tile_rows), real(scale)
            )
            clear(acc, upto(mine, tile_rows) * (out_row // size))
            for i in range(mine):
                best[i], sums[i] = minus, zero
            for first in range(0, min(count, top + mine) if causal else count, keys):
                here = min(keys, count - first)
                pack_columns(
                    k_pack, keys * size, address_of(k_id) + places[batch + n] + first * k_row, k_row, here, inner, upto(here, width)
                )
                v_here, v_step = address_of(v_id) + places[2 * batch + n] + first * v_row, v_row
                if outer % width != 0 or v_row % FIGHTING == 0:
                    pack_rows(v_pack, out_row, v_here, v_row, here, outer, here, one)
                    v_here, v_step = v_pack, out_row
                for start in range(0, mine, rows):
                    these = min(rows, mine - start)
                    if causal and first >= top + start + these:
                        continue
                    q_here = q_pack + start * inner * size
                    product(
                        scores, pitch * size, q_here, inner * size, size, k_pack, keys * size, these, here, inner, np.intp(none.ctypes.data), 0
                    )  # fmt: skip
                    for i in range(these):
                        row, at = top + start + i, start + i
                        valid = min(here, row - first + 1) if causal else here
                        line = array_from(scores + i * pitch * size, max(valid, 0), real)
                        clear(scores + (i * pitch + max(valid, 0)) * size, here - max(valid, 0))
                        if mask_id != 0:
                            add_mask(line, address_of(mask_id) + places[3 * batch + n] + row * m_row + first * m_col, m_col)
                        before = best[at]
                        highest = max(before, largest(line)) if line.size else before
                        if highest == minus:  # nothing to attend to so far (or NaN, which the sum finds)
                            highest = zero
                        else:
                            best[at] = highest
                        total = exponentials(line, highest)
                        if before != highest and before != minus:  # a larger score than those of the blocks before
                            shrunk = exp(before - highest)
                            sums[at] *= shrunk
                            part = array_from(acc + at * out_row, out_row // size, real)
                            for j in range(part.size):
                                part[j] *= shrunk
                        sums[at] += total
                        if threshold >= 0:
                            block = offset + (n * length + row) * ((count + 3) // 4) + first // 4
                            draw(factors[: upto(here, 4)], seed, block, threshold, real(kept))
                            for j in range(line.size):
                                line[j] *= factors[j]
                    to = acc + start * out_row
                    product(to, out_row, scores, pitch * size, size, v_here, v_step, these, outer, here, to, out_row)
            y_at = address_of(y_id) + places[4 * batch + n] + top * y_row
            lse = array_from(address_of(lse_id) + (n * length + top) * size, mine, real)
            for i in range(mine):
                part, line = array_from(acc + i * out_row, outer, real), array_from(y_at + i * y_row, outer, real)
                share = one / sums[i] if sums[i] != zero else zero
                for j in range(line.size):
                    line[j] = part[j] * share
                # Infinity where there was nothing to attend to: all weights, exp(score - infinity), are zero.
                lse[i] = best[i] + real(math.log(sums[i])) if sums[i] != zero else real(np.inf)

        space[0] = none[0]  # a use behind the loop: Numba frees an array behind its last one, and knows nothing of addresses

    return compiled(attention, _SIGNATURE)
