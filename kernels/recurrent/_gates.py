"""What happens to a row behind its product: the gates' nonlinearities and the new state, and their gradients.

Rows come as addresses.  Every loop writes one array and reads few: with more of them LLVM would not ask at run time whether they overlap, and not
vectorise; the row stays in the first-level cache from one loop to the next.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from .._cpu import array_from, inline
from .._cpu.functions import functions_for


@functools.cache
def passes(dtype: np.dtype) -> SimpleNamespace:
    """The passes over a row of ``dtype`` as inline helpers; ``width`` is that of the state, and each gate has as much of a row of gates."""
    real, itemsize = dtype.type, dtype.itemsize
    functions = functions_for(dtype, {"tanh", "sigmoid"})
    tanh, sigmoid = functions["tanh"], functions["sigmoid"]
    zero, one = real(0), real(1)

    @inline
    def part(row, k, width):
        """Part k of a row whose parts have ``width`` elements."""
        return array_from(row + k * width * itemsize, width, real)

    @inline
    def add(to, x, width):
        """to += x"""
        out, more = part(to, 0, width), part(x, 0, width)
        for j in range(out.size):
            out[j] += more[j]

    @inline
    def copy(to, x, width):
        """to = x"""
        out, source = part(to, 0, width), part(x, 0, width)
        for j in range(out.size):
            out[j] = source[j]

    @inline
    def rnn(y, x, s, rectified, width):
        """y = tanh(x + s), or relu."""
        out, first, second = part(y, 0, width), part(x, 0, width), part(s, 0, width)
        if rectified:
            for j in range(out.size):
                v = first[j] + second[j]
                out[j] = zero if v <= zero else v
        else:
            for j in range(out.size):
                out[j] = tanh(first[j] + second[j])

    @inline
    def rnn_backward(d, h, y, rectified, width):
        """d = h · the slope at y."""
        slope, state, out = part(d, 0, width), part(h, 0, width), part(y, 0, width)
        if rectified:
            for j in range(slope.size):
                slope[j] = zero if out[j] <= zero else state[j]
        else:
            for j in range(slope.size):
                slope[j] = state[j] * (one - out[j] * out[j])

    @inline
    def lstm(h, c, t, gates, x, s, before, width):
        """From x + s the gates i, f, g, o; from them and the cells ``before`` the cells c, t = tanh(c) and the state h."""
        i, f, g, o = part(gates, 0, width), part(gates, 1, width), part(gates, 2, width), part(gates, 3, width)
        i_and_f, x_if, s_if = part(gates, 0, 2 * width), part(x, 0, 2 * width), part(s, 0, 2 * width)
        x_g, x_o, s_g, s_o = part(x, 2, width), part(x, 3, width), part(s, 2, width), part(s, 3, width)
        old, new, squashed, out = part(before, 0, width), part(c, 0, width), part(t, 0, width), part(h, 0, width)
        for j in range(i_and_f.size):
            i_and_f[j] = sigmoid(x_if[j] + s_if[j])
        for j in range(g.size):
            g[j] = tanh(x_g[j] + s_g[j])
        for j in range(o.size):
            o[j] = sigmoid(x_o[j] + s_o[j])
        for j in range(new.size):
            new[j] = f[j] * old[j] + i[j] * g[j]
        for j in range(squashed.size):
            squashed[j] = tanh(new[j])
        for j in range(out.size):
            out[j] = o[j] * squashed[j]

    @inline
    def lstm_backward(d, dc, dh, gates, t, before, width):
        """The gradients d of the pre-activations from those of the state, dh, and of the cells, dc, which becomes that of the cells ``before``."""
        d_i, d_f, d_g, d_o = part(d, 0, width), part(d, 1, width), part(d, 2, width), part(d, 3, width)
        i, f, g, o = part(gates, 0, width), part(gates, 1, width), part(gates, 2, width), part(gates, 3, width)
        squashed, old, cell, state = part(t, 0, width), part(before, 0, width), part(dc, 0, width), part(dh, 0, width)
        for j in range(cell.size):
            cell[j] += state[j] * o[j] * (one - squashed[j] * squashed[j])
        for j in range(d_o.size):
            d_o[j] = state[j] * squashed[j] * o[j] * (one - o[j])
        for j in range(d_i.size):
            d_i[j] = cell[j] * g[j] * i[j] * (one - i[j])
        for j in range(d_g.size):
            d_g[j] = cell[j] * i[j] * (one - g[j] * g[j])
        for j in range(d_f.size):
            d_f[j] = cell[j] * old[j] * f[j] * (one - f[j])
        for j in range(cell.size):
            cell[j] *= f[j]

    @inline
    def gru(h, gates, x, s, bias, before, width):
        """From x and s + bias the gates r, z, n and s_n + bias_n; from them and the state ``before`` the state h."""
        r, z, n, inner = part(gates, 0, width), part(gates, 1, width), part(gates, 2, width), part(gates, 3, width)
        r_and_z, x_rz, s_rz, b_rz = part(gates, 0, 2 * width), part(x, 0, 2 * width), part(s, 0, 2 * width), part(bias, 0, 2 * width)
        x_n, s_n, b_n, old, out = part(x, 2, width), part(s, 2, width), part(bias, 2, width), part(before, 0, width), part(h, 0, width)
        for j in range(r_and_z.size):
            r_and_z[j] = sigmoid(x_rz[j] + (s_rz[j] + b_rz[j]))
        for j in range(inner.size):
            inner[j] = s_n[j] + b_n[j]
        for j in range(n.size):
            n[j] = tanh(x_n[j] + r[j] * inner[j])
        for j in range(out.size):
            out[j] = (one - z[j]) * n[j] + z[j] * old[j]

    @inline
    def gru_backward(dx, ds, dh, gates, before, width):
        """The gradients of x and s from that of the state, dh, which becomes what reaches the state ``before`` past the product."""
        x_r, x_z, x_n, s_n = part(dx, 0, width), part(dx, 1, width), part(dx, 2, width), part(ds, 2, width)
        r, z, n, inner = part(gates, 0, width), part(gates, 1, width), part(gates, 2, width), part(gates, 3, width)
        old, state = part(before, 0, width), part(dh, 0, width)
        for j in range(x_z.size):
            x_z[j] = state[j] * (old[j] - n[j]) * z[j] * (one - z[j])
        for j in range(x_n.size):
            x_n[j] = state[j] * (one - z[j]) * (one - n[j] * n[j])
        for j in range(x_r.size):
            x_r[j] = x_n[j] * inner[j] * r[j] * (one - r[j])
        for j in range(s_n.size):
            s_n[j] = x_n[j] * r[j]
        for j in range(state.size):
            state[j] *= z[j]
        copy(ds, dx, 2 * width)

    return SimpleNamespace(
        add=add, copy=copy, rnn=rnn, rnn_backward=rnn_backward, lstm=lstm, lstm_backward=lstm_backward, gru=gru,
        gru_backward=gru_backward,
    )  # fmt: skip
