"""One step of a recurrent layer on CUDA, behind its product: an element of the state per thread and turn, all its gates at once; bound by memory.

The arrays are contiguous rows of float32 or float64.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline
from .._cuda.launch import blocks, kernel, launch, pointer


@functools.lru_cache(maxsize=None)
def _kernels(dtype: np.dtype) -> SimpleNamespace:
    T, array = dtype.type, pointer(dtype)
    functions = functions_for(dtype, {"tanh", "sigmoid"})
    tanh, sigmoid = functions["tanh"], functions["sigmoid"]
    zero, one = T(0), T(1)

    @inline
    def first():
        return np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)

    @inline
    def stride():
        return np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)

    @kernel(array, array, array, np.bool_, np.int64)
    def rnn(y, x, s, rectified, size):
        k = first()
        while k < size:
            v = x[k] + s[k]
            if rectified:
                y[k] = zero if v <= zero else v
            else:
                y[k] = tanh(v)
            k += stride()

    @kernel(array, array, array, array, np.bool_, np.bool_, np.int64)
    def rnn_backward(d, g, h, y, both, rectified, size):
        k = first()
        while k < size:
            v, out = h[k], y[k]
            if both:
                v += g[k]
            if rectified:
                d[k] = zero if out <= zero else v
            else:
                d[k] = v * (one - out * out)
            k += stride()

    @kernel(array, array, array, array, array, array, array, np.int64, np.int64)
    def lstm(h, c, squashed, gates, x, s, before, width, size):
        k = first()
        while k < size:
            at = k + np.int64(3) * width * (k // width)  # of gate i: a row of gates is four of the state's
            at_f, at_g, at_o = at + width, at + np.int64(2) * width, at + np.int64(3) * width
            i, f = sigmoid(x[at] + s[at]), sigmoid(x[at_f] + s[at_f])
            g, o = tanh(x[at_g] + s[at_g]), sigmoid(x[at_o] + s[at_o])
            new = f * before[k] + i * g
            t = tanh(new)
            gates[at], gates[at_f], gates[at_g], gates[at_o] = i, f, g, o
            c[k], squashed[k], h[k] = new, t, o * t
            k += stride()

    @kernel(array, array, array, array, array, array, array, np.bool_, np.int64, np.int64)
    def lstm_backward(d, dc, g_y, g_h, gates, squashed, before, both, width, size):
        k = first()
        while k < size:
            at = k + np.int64(3) * width * (k // width)
            at_f, at_g, at_o = at + width, at + np.int64(2) * width, at + np.int64(3) * width
            i, f, g, o, t = gates[at], gates[at_f], gates[at_g], gates[at_o], squashed[k]
            h = g_h[k]
            if both:
                h += g_y[k]
            c = dc[k] + h * o * (one - t * t)
            d[at], d[at_f] = c * g * i * (one - i), c * before[k] * f * (one - f)
            d[at_g], d[at_o] = c * i * (one - g * g), h * t * o * (one - o)
            dc[k] = c * f
            k += stride()

    @kernel(array, array, array, array, array, array, np.int64, np.int64)
    def gru(h, gates, x, s, bias, before, width, size):
        k = first()
        while k < size:
            row = k // width
            j = k - row * width
            at, to = k + np.int64(2) * width * row, k + np.int64(3) * width * row
            at_z, at_n, j_n = at + width, at + np.int64(2) * width, j + np.int64(2) * width
            r, z = sigmoid(x[at] + (s[at] + bias[j])), sigmoid(x[at_z] + (s[at_z] + bias[j + width]))
            inner = s[at_n] + bias[j_n]
            n = tanh(x[at_n] + r * inner)
            gates[to], gates[to + width] = r, z
            gates[to + np.int64(2) * width], gates[to + np.int64(3) * width] = n, inner
            h[k] = (one - z) * n + z * before[k]
            k += stride()

    @kernel(array, array, array, array, array, array, array, np.bool_, np.int64, np.int64)
    def gru_backward(dx, ds, direct, g_y, g_h, gates, before, both, width, size):
        k = first()
        while k < size:
            row = k // width
            at, of = k + np.int64(2) * width * row, k + np.int64(3) * width * row
            at_z, at_n = at + width, at + np.int64(2) * width
            r, z, n, inner = gates[of], gates[of + width], gates[of + np.int64(2) * width], gates[of + np.int64(3) * width]
            h = g_h[k]
            if both:
                h += g_y[k]
            d_z, d_n = h * (before[k] - n) * z * (one - z), h * (one - z) * (one - n * n)
            d_r = d_n * inner * r * (one - r)
            dx[at], dx[at_z], dx[at_n] = d_r, d_z, d_n
            ds[at], ds[at_z], ds[at_n] = d_r, d_z, d_n * r
            direct[k] = h * z
            k += stride()

    return SimpleNamespace(rnn=rnn, rnn_backward=rnn_backward, lstm=lstm, lstm_backward=lstm_backward, gru=gru, gru_backward=gru_backward)


def _pointers(*arrays: Any) -> tuple[int, ...]:
    return tuple(0 if a is None else a.pointer for a in arrays)


def rnn_step(y: Any, x: Any, s: Any, rectified: bool) -> None:
    if y.size:
        launch(_kernels(y.dtype).rnn, *blocks(y.size), (*_pointers(y, x, s), rectified, y.size))


def rnn_step_backward(d: Any, g: Any, h: Any, y: Any, rectified: bool) -> None:
    if d.size:
        launch(_kernels(d.dtype).rnn_backward, *blocks(d.size), (*_pointers(d, g, h, y), g is not None, rectified, d.size))


def lstm_step(h: Any, c: Any, squashed: Any, gates: Any, x: Any, s: Any, before: Any) -> None:
    if h.size:
        arrays = _pointers(h, c, squashed, gates, x, s, before)
        launch(_kernels(h.dtype).lstm, *blocks(h.size), (*arrays, h.shape[1], h.size))


def lstm_step_backward(d: Any, dc: Any, g: Any, h: Any, gates: Any, squashed: Any, before: Any) -> None:
    if dc.size:
        arrays = _pointers(d, dc, g, h, gates, squashed, before)
        launch(_kernels(d.dtype).lstm_backward, *blocks(dc.size), (*arrays, g is not None, dc.shape[1], dc.size))


def gru_step(h: Any, gates: Any, x: Any, s: Any, bias: Any, before: Any) -> None:
    if h.size:
        arrays = _pointers(h, gates, x, s, bias, before)
        launch(_kernels(h.dtype).gru, *blocks(h.size), (*arrays, h.shape[1], h.size))


def gru_step_backward(dx: Any, ds: Any, direct: Any, g: Any, h: Any, gates: Any, before: Any) -> None:
    if direct.size:
        arrays = _pointers(dx, ds, direct, g, h, gates, before)
        launch(_kernels(dx.dtype).gru_backward, *blocks(direct.size), (*arrays, g is not None, direct.shape[1], direct.size))
