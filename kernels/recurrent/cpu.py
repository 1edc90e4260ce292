"""One step of a recurrent layer on the CPU, behind its product, where the steps are not walked in one launch (see ``_walk``).

The arrays are contiguous rows of float32 or float64, and come as ids.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cpu import address_of, compiled, kernel
from .._cpu.types import intp, signature
from ._gates import passes

# What a gate costs, in the scalar operations that decide whether threads are worth it.
_GATE = 40


@functools.cache
def _kernels(dtype: np.dtype) -> SimpleNamespace:
    itemsize, gate = dtype.itemsize, passes(dtype)
    add, copy = gate.add, gate.copy
    rnn_row, rnn_row_backward, lstm_row, lstm_row_backward = gate.rnn, gate.rnn_backward, gate.lstm, gate.lstm_backward
    gru_row, gru_row_backward = gate.gru, gate.gru_backward

    @kernel
    def rnn(lo, hi, y, x, s, rectified, width):
        for r in range(lo, hi):
            shift = r * width * itemsize
            rnn_row(address_of(y) + shift, address_of(x) + shift, address_of(s) + shift, rectified, width)

    @kernel
    def rnn_backward(lo, hi, d, g, h, y, rectified, width):
        for r in range(lo, hi):
            shift = r * width * itemsize
            if g != 0:
                add(address_of(h) + shift, address_of(g) + shift, width)
            rnn_row_backward(address_of(d) + shift, address_of(h) + shift, address_of(y) + shift, rectified, width)

    @kernel
    def lstm(lo, hi, h, c, t, gates, x, s, before, width):
        for r in range(lo, hi):
            shift = r * width * itemsize
            y, cells, squashed, row = address_of(h) + shift, address_of(c) + shift, address_of(t) + shift, address_of(gates) + 4 * shift
            lstm_row(y, cells, squashed, row, address_of(x) + 4 * shift, address_of(s) + 4 * shift, address_of(before) + shift, width)

    @kernel
    def lstm_backward(lo, hi, d, dc, g_y, g_h, gates, t, before, width):
        for r in range(lo, hi):
            shift = r * width * itemsize
            dh, squashed, row = address_of(g_h) + shift, address_of(t) + shift, address_of(gates) + 4 * shift
            if g_y != 0:
                add(dh, address_of(g_y) + shift, width)
            lstm_row_backward(address_of(d) + 4 * shift, address_of(dc) + shift, dh, row, squashed, address_of(before) + shift, width)

    @kernel
    def gru(lo, hi, h, gates, x, s, bias, before, width):
        for r in range(lo, hi):
            shift = r * width * itemsize
            y, row, old = address_of(h) + shift, address_of(gates) + 4 * shift, address_of(before) + shift
            gru_row(y, row, address_of(x) + 3 * shift, address_of(s) + 3 * shift, address_of(bias), old, width)

    @kernel
    def gru_backward(lo, hi, dx, ds, direct, g_y, g_h, gates, before, width):
        for r in range(lo, hi):
            shift = r * width * itemsize
            dh, row = address_of(direct) + shift, address_of(gates) + 4 * shift
            copy(dh, address_of(g_h) + shift, width)
            if g_y != 0:
                add(dh, address_of(g_y) + shift, width)
            gru_row_backward(address_of(dx) + 3 * shift, address_of(ds) + 3 * shift, dh, row, address_of(before) + shift, width)

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
    """d = (g + h) · the slope at y; g may be None.  h is not needed any more."""
    rows, width = d.shape
    _kernels(d.dtype).rnn_backward(rows, id(d), _id(g), id(h), id(y), rectified, width, work=d.size)


def lstm_step(h: Any, c: Any, squashed: Any, gates: Any, x: Any, s: Any, before: Any) -> None:
    """From x + s and the cells ``before``: the gates, the cells c, tanh(c) and h."""
    rows, width = h.shape
    work = gates.size * _GATE
    _kernels(h.dtype).lstm(rows, id(h), id(c), id(squashed), id(gates), id(x), id(s), id(before), width, work=work)


def lstm_step_backward(d: Any, dc: Any, g: Any, h: Any, gates: Any, squashed: Any, before: Any) -> None:
    """The gradient d of x + s from that of h, which is g + h (g may be None), and of c, ``dc``, which becomes that of the cells ``before``.
    h is not needed any more."""
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
