"""One step of a recurrent layer on the CPU, behind its product: a pass over the rows of a batch, which the functions of the gates bound.

The arrays are contiguous rows of float32 or float64, and come as ids.  The loops vectorise.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import address_of, array_from, compiled, inline, kernel
from .._cpu.functions import functions_for
from .._cpu.types import intp, signature

# What a gate costs, in the scalar operations that decide whether threads are worth it.
_GATE = 40


@functools.cache
def _kernels(dtype: np.dtype) -> SimpleNamespace:
    real, itemsize = dtype.type, dtype.itemsize
    functions = functions_for(dtype, {"tanh", "sigmoid"})
    tanh, sigmoid = functions["tanh"], functions["sigmoid"]
    zero, one = real(0), real(1)

    @inline
    def row_of(array, r, part, parts, width):
        """Part ``part`` of row r of an array whose rows have ``parts`` of ``width`` elements."""
        return array_from(address_of(array) + (r * parts + part) * width * itemsize, width, real)

    @kernel
    def rnn(lo, hi, y, x, s, rectified, width):
        for r in range(lo, hi):
            out, first, second = row_of(y, r, 0, 1, width), row_of(x, r, 0, 1, width), row_of(s, r, 0, 1, width)
            if rectified:
                for j in range(out.size):
                    v = first[j] + second[j]
                    out[j] = zero if v <= zero else v
            else:
                for j in range(out.size):
                    out[j] = tanh(first[j] + second[j])

    @kernel
    def rnn_backward(lo, hi, d, g, h, y, rectified, width):
        for r in range(lo, hi):
            slope, state, out = row_of(d, r, 0, 1, width), row_of(h, r, 0, 1, width), row_of(y, r, 0, 1, width)
            grad = row_of(g, r, 0, 1, width) if g != 0 else state
            both = one if g != 0 else zero
            if rectified:
                for j in range(slope.size):
                    slope[j] = zero if out[j] <= zero else state[j] + both * grad[j]
            else:
                for j in range(slope.size):
                    slope[j] = (state[j] + both * grad[j]) * (one - out[j] * out[j])

    @kernel
    def lstm(lo, hi, h, c, t, gates, x, s, before, width):
        for r in range(lo, hi):
            x_i, x_f, x_g, x_o = row_of(x, r, 0, 4, width), row_of(x, r, 1, 4, width), row_of(x, r, 2, 4, width), row_of(x, r, 3, 4, width)
            s_i, s_f, s_g, s_o = row_of(s, r, 0, 4, width), row_of(s, r, 1, 4, width), row_of(s, r, 2, 4, width), row_of(s, r, 3, 4, width)
            i, f, g = row_of(gates, r, 0, 4, width), row_of(gates, r, 1, 4, width), row_of(gates, r, 2, 4, width)
            o, old, new = row_of(gates, r, 3, 4, width), row_of(before, r, 0, 1, width), row_of(c, r, 0, 1, width)
            squashed, out = row_of(t, r, 0, 1, width), row_of(h, r, 0, 1, width)
            for j in range(i.size):
                i[j] = sigmoid(x_i[j] + s_i[j])
            for j in range(f.size):
                f[j] = sigmoid(x_f[j] + s_f[j])
            for j in range(g.size):
                g[j] = tanh(x_g[j] + s_g[j])
            for j in range(o.size):
                o[j] = sigmoid(x_o[j] + s_o[j])
            for j in range(new.size):
                new[j] = f[j] * old[j] + i[j] * g[j]
            for j in range(out.size):
                v = tanh(new[j])
                squashed[j] = v
                out[j] = o[j] * v

    @kernel
    def lstm_backward(lo, hi, d, dc, g_y, g_h, gates, t, before, width):
        for r in range(lo, hi):
            d_i, d_f, d_g, d_o = row_of(d, r, 0, 4, width), row_of(d, r, 1, 4, width), row_of(d, r, 2, 4, width), row_of(d, r, 3, 4, width)
            i, f, g = row_of(gates, r, 0, 4, width), row_of(gates, r, 1, 4, width), row_of(gates, r, 2, 4, width)
            o, squashed, old = row_of(gates, r, 3, 4, width), row_of(t, r, 0, 1, width), row_of(before, r, 0, 1, width)
            cell, state = row_of(dc, r, 0, 1, width), row_of(g_h, r, 0, 1, width)
            grad = row_of(g_y, r, 0, 1, width) if g_y != 0 else state
            both = one if g_y != 0 else zero
            for j in range(cell.size):
                h = state[j] + both * grad[j]
                k = cell[j] + h * o[j] * (one - squashed[j] * squashed[j])
                d_o[j] = h * squashed[j] * o[j] * (one - o[j])
                d_i[j] = k * g[j] * i[j] * (one - i[j])
                d_g[j] = k * i[j] * (one - g[j] * g[j])
                d_f[j] = k * old[j] * f[j] * (one - f[j])
                cell[j] = k * f[j]

    @kernel
    def gru(lo, hi, h, gates, x, s, bias, before, width):
        b_r, b_z, b_n = row_of(bias, 0, 0, 3, width), row_of(bias, 0, 1, 3, width), row_of(bias, 0, 2, 3, width)
        for row in range(lo, hi):
            x_r, x_z, x_n = row_of(x, row, 0, 3, width), row_of(x, row, 1, 3, width), row_of(x, row, 2, 3, width)
            s_r, s_z, s_n = row_of(s, row, 0, 3, width), row_of(s, row, 1, 3, width), row_of(s, row, 2, 3, width)
            r, z, n = row_of(gates, row, 0, 4, width), row_of(gates, row, 1, 4, width), row_of(gates, row, 2, 4, width)
            inner, old, out = row_of(gates, row, 3, 4, width), row_of(before, row, 0, 1, width), row_of(h, row, 0, 1, width)
            for j in range(r.size):
                r[j] = sigmoid(x_r[j] + (s_r[j] + b_r[j]))
            for j in range(z.size):
                z[j] = sigmoid(x_z[j] + (s_z[j] + b_z[j]))
            for j in range(n.size):
                v = s_n[j] + b_n[j]
                inner[j] = v
                n[j] = tanh(x_n[j] + r[j] * v)
            for j in range(out.size):
                out[j] = (one - z[j]) * n[j] + z[j] * old[j]

    @kernel
    def gru_backward(lo, hi, dx, ds, direct, g_y, g_h, gates, before, width):
        for row in range(lo, hi):
            x_r, x_z, x_n = row_of(dx, row, 0, 3, width), row_of(dx, row, 1, 3, width), row_of(dx, row, 2, 3, width)
            s_r, s_z, s_n = row_of(ds, row, 0, 3, width), row_of(ds, row, 1, 3, width), row_of(ds, row, 2, 3, width)
            r, z, n = row_of(gates, row, 0, 4, width), row_of(gates, row, 1, 4, width), row_of(gates, row, 2, 4, width)
            inner, old, past = row_of(gates, row, 3, 4, width), row_of(before, row, 0, 1, width), row_of(direct, row, 0, 1, width)
            state = row_of(g_h, row, 0, 1, width)
            grad = row_of(g_y, row, 0, 1, width) if g_y != 0 else state
            both = one if g_y != 0 else zero
            for j in range(past.size):
                h = state[j] + both * grad[j]
                d_z = h * (old[j] - n[j]) * z[j] * (one - z[j])
                d_n = h * (one - z[j]) * (one - n[j] * n[j])
                d_r = d_n * inner[j] * r[j] * (one - r[j])
                x_r[j], x_z[j], x_n[j] = d_r, d_z, d_n
                s_r[j], s_z[j], s_n[j] = d_r, d_z, d_n * r[j]
                past[j] = h * z[j]

    def launchable(function: Any, arguments: int) -> Any:
        return compiled(function, signature(*[intp] * arguments))

    return SimpleNamespace(
        rnn=launchable(rnn, 5),
        rnn_backward=launchable(rnn_backward, 6),
        lstm=launchable(lstm, 8),
        lstm_backward=launchable(lstm_backward, 8),
        gru=launchable(gru, 7),
        gru_backward=launchable(gru_backward, 8),
    )


def _id(array: Any) -> int:
    return 0 if array is None else id(array)


def rnn_step(y: Any, x: Any, s: Any, rectified: bool) -> None:
    """y = tanh(x + s), or relu."""
    rows, width = y.shape
    _kernels(y.dtype).rnn(rows, id(y), id(x), id(s), rectified, width, work=y.size * _GATE)


def rnn_step_backward(d: Any, g: Any, h: Any, y: Any, rectified: bool) -> None:
    """d = (g + h) · the slope at y; g may be None."""
    rows, width = d.shape
    _kernels(d.dtype).rnn_backward(rows, id(d), _id(g), id(h), id(y), rectified, width, work=d.size)


def lstm_step(h: Any, c: Any, squashed: Any, gates: Any, x: Any, s: Any, before: Any) -> None:
    """From x + s and the cells ``before``: the gates, the cells c, tanh(c) and h."""
    rows, width = h.shape
    work = gates.size * _GATE
    _kernels(h.dtype).lstm(rows, id(h), id(c), id(squashed), id(gates), id(x), id(s), id(before), width, work=work)


def lstm_step_backward(d: Any, dc: Any, g: Any, h: Any, gates: Any, squashed: Any, before: Any) -> None:
    """The gradient d of x + s from that of h, which is g + h (g may be None), and of c, ``dc``, which becomes that of the cells ``before``."""
    rows, width = dc.shape
    work = d.size * 4
    _kernels(d.dtype).lstm_backward(rows, id(d), id(dc), _id(g), id(h), id(gates), id(squashed), id(before), width, work=work)


def gru_step(h: Any, gates: Any, x: Any, s: Any, bias: Any, before: Any) -> None:
    """From x, s + bias and the state ``before``: the gates and h."""
    rows, width = h.shape
    _kernels(h.dtype).gru(rows, id(h), id(gates), id(x), id(s), id(bias), id(before), width, work=gates.size * _GATE)


def gru_step_backward(dx: Any, ds: Any, direct: Any, g: Any, h: Any, gates: Any, before: Any) -> None:
    """The gradients of x and s from that of h, which is g + h (g may be None), and what reaches the state ``before`` past them."""
    rows, width = direct.shape
    work = gates.size * 4
    _kernels(dx.dtype).gru_backward(rows, id(dx), id(ds), id(direct), _id(g), id(h), id(gates), id(before), width, work=work)
