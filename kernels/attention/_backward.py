"""Attention on the CPU, backward: the weights are computed again from the scores and the saved logarithms of their sums.

With P the weights, D_i = g_i·y_i and dP = g·Vᵀ:  dS = P∘(dP − D),  dQ = scale · dS·K,  dK = scale · dSᵀ·Q,  dV = Pᵀ·g  (Dao et al., 2022, algorithm 4).
A unit of work is a head, so that every sum is one thread's; bound by arithmetic.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import address_of, array_at, array_from, compiled, inline, kernel
from .._cpu.types import BY_DTYPE, intp, signature
from ._blocks import FIGHTING, PLAN_SIZE, blocks, rounded

_SIGNATURE = signature(*[intp] * 12, BY_DTYPE[np.dtype(np.float64)], BY_DTYPE[np.dtype(np.float64)])


@functools.cache
def backward(dtype: np.dtype) -> Any:
    """dq, dk and dv, over the heads: ``(n, dq, dk, dv, g, y, lse, q, k, v, mask, places, plan, scale, kept)``."""
    b = blocks(dtype)
    real, size, width, tile_rows, rows, keys, pitch = b.real, b.size, b.width, b.tile_rows, b.rows, b.keys, b.pitch
    lanes, pack_rows, pack_columns, product, upto = b.lanes, b.pack_rows, b.pack_columns, b.product, b.upto
    add_mask, draw, exp, clear = b.add_mask, b.draw, b.exp, b.clear
    zero, one = real(0), real(1)
    most = rounded(keys, tile_rows)

    @inline
    def put_rows(to, to_row, n, source, source_row, count, factor):
        for i in range(count):
            line, part = array_from(to + i * to_row, n, real), array_from(source + i * source_row, n, real)
            for j in range(line.size):
                line[j] = part[j] * factor

    @inline(reassociate=True)
    def dot(a, b):
        total = zero
        for j in range(a.size):
            total += a[j] * b[j]
        return total

    @inline
    def weights(line, slopes, total, mean):
        """line = P = exp(scores − total), slopes = P∘(dP − mean)"""
        for j in range(line.size):
            p = exp(line[j] - total)
            line[j] = p
            slopes[j] = p * (slopes[j] - mean)

    @inline
    def dropped_weights(line, slopes, total, mean, factors):
        """The same with weights that were multiplied by ``factors``, and so are their gradients."""
        for j in range(line.size):
            p = exp(line[j] - total)
            line[j] = p * factors[j]
            slopes[j] = p * (slopes[j] * factors[j] - mean)

    @kernel
    def attention_backward(lo, hi, dq_id, dk_id, dv_id, g_id, y_id, lse_id, q_id, k_id, v_id, mask_id, places_id, plan_id, scale, kept):
        plan = array_at(plan_id, PLAN_SIZE, np.int64)
        batch, length, count, inner, outer = plan[0], plan[1], plan[2], plan[3], plan[4]
        q_row, k_row, v_row, y_row, g_row, dq_row, dk_row, dv_row = (
            plan[5],
            plan[6],
            plan[7],
            plan[8],
            plan[9],
            plan[10],
            plan[11],
            plan[12],
        )
        m_row, m_col, causal, threshold, seed, offset = plan[13], plan[14], plan[15], plan[16], plan[17], plan[18]
        places = array_at(places_id, 9 * batch, np.int64)
        in_wide, out_wide, tall = upto(inner, width), upto(outer, width), upto(length, tile_rows) + rows
        in_row, out_row = in_wide * size, out_wide * size
        scratch = 2 * rows * pitch + keys * (upto(inner, lanes) + upto(outer, lanes) + in_wide) + (most + lanes) * (in_wide + out_wide)
        space = np.empty(tall * (2 * in_wide + out_wide) + scratch, real)
        means, factors, none = np.empty(length, real), np.empty(keys + 4, real), np.zeros(keys, real)
        nothing = np.intp(none.ctypes.data)
        q_pack = np.intp(space.ctypes.data)
        dq, g_pack = q_pack + tall * in_row, q_pack + 2 * tall * in_row
        scores = g_pack + tall * out_row
        slopes = scores + rows * pitch * size
        k_turned = slopes + rows * pitch * size
        v_turned = k_turned + keys * upto(inner, lanes) * size
        k_pack = v_turned + keys * upto(outer, lanes) * size
        dk = k_pack + keys * in_row
        dv = dk + (most + lanes) * in_row
        for n in range(lo, hi):
            pack_rows(q_pack, in_row, address_of(q_id) + places[n], q_row, length, inner, upto(length, tile_rows), real(scale))
            pack_rows(g_pack, out_row, address_of(g_id) + places[5 * batch + n], g_row, length, outer, upto(length, tile_rows), one)
            clear(dq, tall * in_wide)
            y_at, lse = address_of(y_id) + places[4 * batch + n], array_from(address_of(lse_id) + n * length * size, length, real)
            for i in range(length):
                means[i] = dot(array_from(g_pack + i * out_row, outer, real), array_from(y_at + i * y_row, outer, real))
            for first in range(0, count, keys):
                here = min(keys, count - first)
                k_at, v_at = address_of(k_id) + places[batch + n] + first * k_row, address_of(v_id) + places[2 * batch + n] + first * v_row
                pack_columns(k_turned, keys * size, k_at, k_row, here, inner, upto(here, width))
                pack_columns(v_turned, keys * size, v_at, v_row, here, outer, upto(here, width))
                k_here, k_step = k_at, k_row
                if inner % width != 0 or k_row % FIGHTING == 0:
                    pack_rows(k_pack, in_row, k_at, k_row, here, inner, here, one)
                    k_here, k_step = k_pack, in_row
                clear(dk, upto(here, tile_rows) * in_wide)
                clear(dv, upto(here, tile_rows) * out_wide)
                for start in range(0, length, rows):
                    these = min(rows, length - start)
                    if causal and first >= start + these:
                        continue
                    q_here, g_here = q_pack + start * in_row, g_pack + start * out_row
                    product(scores, pitch * size, q_here, in_row, size, k_turned, keys * size, these, here, inner, nothing, 0)
                    product(slopes, pitch * size, g_here, out_row, size, v_turned, keys * size, these, here, outer, nothing, 0)
                    for i in range(these):
                        row = start + i
                        valid = max(0, min(here, row - first + 1)) if causal else here
                        line, slope = array_from(scores + i * pitch * size, valid, real), array_from(slopes + i * pitch * size, valid, real)
                        clear(scores + (i * pitch + valid) * size, here - valid)
                        clear(slopes + (i * pitch + valid) * size, here - valid)
                        if mask_id != 0:
                            add_mask(line, address_of(mask_id) + places[3 * batch + n] + row * m_row + first * m_col, m_col)
                        if threshold >= 0:
                            block = offset + (n * length + row) * ((count + 3) // 4) + first // 4
                            draw(factors[: upto(here, 4)], seed, block, threshold, real(kept))
                            dropped_weights(line, slope, lse[row], means[row], factors)
                        else:
                            weights(line, slope, lse[row], means[row])
                    product(dv, out_row, scores, size, pitch * size, g_here, out_row, here, outer, these, dv, out_row)
                    product(dk, in_row, slopes, size, pitch * size, q_here, in_row, here, inner, these, dk, in_row)
                    to = dq + start * in_row
                    product(to, in_row, slopes, pitch * size, size, k_here, k_step, these, inner, here, to, in_row)
                put_rows(address_of(dk_id) + places[7 * batch + n] + first * dk_row, dk_row, inner, dk, in_row, here, one)
                put_rows(address_of(dv_id) + places[8 * batch + n] + first * dv_row, dv_row, outer, dv, out_row, here, one)
            put_rows(address_of(dq_id) + places[6 * batch + n], dq_row, inner, dq, in_row, length, real(scale))

        space[0] = none[0]  # a use behind the loop: Numba frees an array behind its last one, and knows nothing of addresses

    return compiled(attention_backward, _SIGNATURE)
