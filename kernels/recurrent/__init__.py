"""Recurrent layers, one layer and direction at a time: the loop over the time steps, forward and backward.

The input's part of the pre-activations, W_ih·x + b, is one product for all steps and no business of these functions: they take it as ``x``.  A step is
then a product of the state with W_hh and one pass over what comes of it: the gates' nonlinearities and the new state, or their gradients.

The N rows of ``x`` are the steps' batches one behind the other, of ``sizes[t]`` rows each, which may fall from step to step (a packed sequence): the
sequences that end first are the last ones of a batch.  ``reverse`` runs from the last step to the first, for steps of one size only.
"""

from __future__ import annotations

import functools
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._device import device_of, family
from .._half import through_float32
from ..copy import cat, clone, contiguous, copy_into, empty, transfer, zeros
from ..elementwise import formulas
from ..index import index_select
from ..matmul import addmm, matmul
from ..reduce import sum as sum_over
from . import _walk

__all__ = ["gru", "gru_backward", "lstm", "lstm_backward", "reversed_rows", "rnn", "rnn_backward"]

_on = family(__name__)


# ---- steps -------------------------------------------------------------------------------------------------------------------------


def _check(op: str, gates: int, x: Any, h0: Any, w_hh: Any, sizes: Sequence[int], reverse: bool) -> None:
    hidden, state = w_hh.shape[0] // gates, h0.shape[1]
    if any(a.dtype != x.dtype for a in (h0, w_hh)) or x.dtype not in (_dtypes.float32, _dtypes.float64):
        names = ", ".join(_dtypes.name(a.dtype) for a in (x, h0, w_hh))
        raise RuntimeError(f"{op}: expected an input, a state and weights of one floating point dtype, but got {names}")
    if x.shape != (sum(sizes), gates * hidden) or w_hh.shape != (gates * hidden, state) or not sizes or h0.shape[0] != sizes[0]:
        raise RuntimeError(
            f"{op}: expected shapes [{sum(sizes)}, {gates * hidden}] of x, [{sizes[0] if sizes else 'steps'}, {state}] of h0 and "
            f"[{gates * hidden}, {state}] of w_hh, but got {list(x.shape)}, {list(h0.shape)} and {list(w_hh.shape)}"
        )
    if any(after > before for before, after in zip(sizes, sizes[1:])) or (reverse and sizes[-1] != sizes[0]):
        raise RuntimeError(f"{op}: expected batch sizes that do not grow (and, for reverse, one size), but got {list(sizes)}")


@functools.lru_cache(maxsize=256)
def _steps(sizes: tuple[int, ...], reverse: bool) -> list[tuple[slice, slice | None]]:
    """For each step in the order of the walk its rows, and the rows of the step before that lead to them (None: the initial state)."""
    found: list[tuple[slice, slice | None]] = []
    starts = np.cumsum([0, *sizes]).tolist()
    order = range(len(sizes) - 1, -1, -1) if reverse else range(len(sizes))
    before = None
    for t in order:
        found.append((slice(starts[t], starts[t + 1]), None if before is None else slice(starts[before], starts[before] + sizes[t])))
        before = t
    return found


def _last(rows: Any, sizes: tuple[int, ...], reverse: bool) -> Any:
    """The rows of each sequence's last step, copied."""
    if sizes[0] == sizes[-1]:
        return clone(rows[: sizes[0]] if reverse else rows[rows.shape[0] - sizes[0] :])
    return _taken(rows, _last_rows(sizes))


@functools.lru_cache(maxsize=256)
def _last_rows(sizes: tuple[int, ...]) -> np.ndarray:
    ends = np.subtract(sizes, (*sizes[1:], 0))  # how many sequences end with each step
    lengths = np.repeat(np.arange(len(sizes)), ends)[::-1]
    starts = np.cumsum([0, *sizes[:-1]])
    return starts[lengths] + np.arange(sizes[0])


@functools.lru_cache(maxsize=256)
def _rows_before(sizes: tuple[int, ...]) -> np.ndarray:
    """Where each row's previous state lies in the initial state followed by all rows."""
    return np.concatenate([np.arange(b) + start for b, start in zip(sizes, np.cumsum([0, sizes[0], *sizes]))])


@functools.lru_cache(maxsize=256)
def reversed_rows(sizes: tuple[int, ...]) -> np.ndarray:
    """Which row takes the place of each where every sequence of a packed batch is turned around; doing it twice changes nothing."""
    starts, lengths = np.cumsum([0, *sizes[:-1]]), np.sum(np.greater.outer(sizes, np.arange(sizes[0])), 0)
    return np.concatenate([starts[lengths[:b] - 1 - t] + np.arange(b) for t, b in enumerate(sizes)])


def _taken(rows: Any, where: np.ndarray) -> Any:
    place = device_of(rows)
    return index_select(rows, 0, where if place == "cpu" else transfer(where, place))


def _before(initial: Any, rows: Any, sizes: tuple[int, ...], reverse: bool) -> Any:
    """The state before each row."""
    n, batch = rows.shape[0], sizes[0]
    if reverse:
        return cat([rows, initial])[batch:]
    both = cat([initial, rows])
    return both[:n] if sizes[-1] == batch else _taken(both, _rows_before(sizes))


class _Carried:
    """A gradient that is carried from step to step against the walk: of each sequence, as far as it has been met."""

    def __init__(self, g: Any, shape: tuple[int, int], like: Any):
        self.rows = zeros(shape, like.dtype, like) if g is None else clone(contiguous(g))

    def of(self, count: int) -> Any:
        return self.rows if count == self.rows.shape[0] else self.rows[:count]

    def set(self, rows: Any) -> None:
        if rows.shape[0] == self.rows.shape[0]:
            self.rows = rows
        else:
            copy_into(self.rows[: rows.shape[0]], rows)


def _new(x: Any, *shape: int) -> Any:
    return empty(shape, x.dtype, device_of(x))


# ---- the plain layer ---------------------------------------------------------------------------------------------------------------


@through_float32
def rnn(x: Any, h0: Any, w_hh: Any, sizes: tuple[int, ...], reverse: bool, rectified: bool) -> tuple[Any, Any]:
    """h' = tanh(x + W_hh·h), or relu where ``rectified``: the states y [N, H] and the last of each sequence [B, H].

    x [N, H], h0 [B, H], w_hh [H, H], float32 or float64.  Raises RuntimeError for other shapes and dtypes.
    """
    _check("rnn", 1, x, h0, w_hh, sizes, reverse)
    x, on = contiguous(x), _on(x, h0, w_hh)
    y = _new(x, *x.shape)
    if _walk.takes(x, w_hh, sizes):
        _walk.rnn(y, x, contiguous(h0), w_hh, sizes, reverse, rectified)
    else:
        w = contiguous(w_hh.swapaxes(0, 1))
        for rows, before in _steps(sizes, reverse):
            on.rnn_step(y[rows], x[rows], matmul(h0 if before is None else y[before], w), rectified)
    return y, _last(y, sizes, reverse)


@through_float32
def rnn_backward(
    g: Any, g_last: Any, h0: Any, w_hh: Any, y: Any, sizes: tuple[int, ...], reverse: bool, rectified: bool
) -> tuple[Any, Any, Any]:
    """The gradients of x, h0 and w_hh from those of y and of the last states (either may be None)."""
    on, h = _on(y, w_hh), _Carried(g_last, h0.shape, y)
    g, dx = None if g is None else contiguous(g), _new(y, *y.shape)
    if _walk.takes(y, w_hh, sizes):
        _walk.rnn_backward(dx, h.rows, g, w_hh, contiguous(y), sizes, reverse, rectified)
    else:
        for rows, _ in reversed(_steps(sizes, reverse)):
            part = dx[rows]
            on.rnn_step_backward(part, None if g is None else g[rows], h.of(part.shape[0]), y[rows], rectified)
            h.set(matmul(part, w_hh))
    return dx, h.rows, matmul(dx.swapaxes(0, 1), _before(h0, y, sizes, reverse))


# ---- long short-term memory --------------------------------------------------------------------------------------------------------


@through_float32
def lstm(x: Any, h0: Any, c0: Any, w_hh: Any, w_hr: Any, sizes: tuple[int, ...], reverse: bool) -> tuple[Any, Any, Any, Any, Any, Any, Any]:
    """i, f, o = σ and g = tanh of (x + W_hh·h)'s four parts i, f, g, o; c' = f c + i g; h' = o tanh(c').

    x [N, 4H], h0 and c0 [B, H], w_hh [4H, H].  With ``w_hr`` [P, H] the state is h' = W_hr·(o tanh(c')), and h0 [B, P], w_hh [4H, P].
    Returns the states y, the last h and c of each sequence, and what ``lstm_backward`` needs: gates [N, 4H], cells, tanh(cells) and o tanh(cells).
    Raises RuntimeError for other shapes and dtypes.  S. Hochreiter, J. Schmidhuber, "Long short-term memory" (1997); F. A. Gers et al., "Learning to
    forget" (2000); for ``w_hr``: H. Sak et al., "Long short-term memory recurrent neural network architectures for large scale acoustic modeling" (2014).
    """
    _check("lstm", 4, x, h0, w_hh, sizes, reverse)
    hidden = w_hh.shape[0] // 4
    if c0.shape != (sizes[0], hidden) or c0.dtype != x.dtype:
        raise RuntimeError(
            f"lstm: expected c0 of shape {[sizes[0], hidden]} and the dtype of x, but got {list(c0.shape)}, {_dtypes.name(c0.dtype)}"
        )
    x, c0, on = contiguous(x), contiguous(c0), _on(x, h0, c0, w_hh, w_hr)
    n = x.shape[0]
    gates, cells, squashed, wide = _new(x, n, 4 * hidden), _new(x, n, hidden), _new(x, n, hidden), _new(x, n, hidden)
    y = wide if w_hr is None else _new(x, n, w_hr.shape[0])
    if w_hr is None and _walk.takes(x, w_hh, sizes):
        _walk.lstm(y, cells, squashed, gates, x, contiguous(h0), c0, w_hh, sizes, reverse)
    else:
        w, narrow = contiguous(w_hh.swapaxes(0, 1)), None if w_hr is None else w_hr.swapaxes(0, 1)
        for rows, before in _steps(sizes, reverse):
            h, c = (h0, c0) if before is None else (y[before], cells[before])
            on.lstm_step(wide[rows], cells[rows], squashed[rows], gates[rows], x[rows], matmul(h, w), c)
            if narrow is not None:
                copy_into(y[rows], matmul(wide[rows], narrow))
    return y, _last(y, sizes, reverse), _last(cells, sizes, reverse), gates, cells, squashed, wide


@through_float32
def lstm_backward(
    g: Any, g_h: Any, g_c: Any, h0: Any, c0: Any, w_hh: Any, w_hr: Any, y: Any, gates: Any, cells: Any, squashed: Any, wide: Any,
    sizes: tuple[int, ...], reverse: bool,
) -> tuple[Any, Any, Any, Any, Any]:  # fmt: skip
    """The gradients of x, h0, c0, w_hh and w_hr from those of y and of the last h and c (any may be None)."""
    on, h, c = _on(y, w_hh), _Carried(g_h, h0.shape, y), _Carried(g_c, c0.shape, y)
    c0, g, dx = contiguous(c0), None if g is None else contiguous(g), _new(gates, *gates.shape)
    narrowed = None if w_hr is None else _new(y, *y.shape)  # the gradient of y with what comes from the step after it
    if w_hr is None and _walk.takes(y, w_hh, sizes):
        _walk.lstm_backward(dx, h.rows, c.rows, g, c0, w_hh, gates, cells, squashed, sizes, reverse)
    else:
        for rows, before in reversed(_steps(sizes, reverse)):
            part = dx[rows]
            count = part.shape[0]
            g_y, g_state = None if g is None else g[rows], h.of(count)
            if narrowed is not None:
                total = g_state if g_y is None else formulas.add(g_y, g_state)
                copy_into(narrowed[rows], total)
                g_y, g_state = None, matmul(total, w_hr)
            on.lstm_step_backward(part, c.of(count), g_y, g_state, gates[rows], squashed[rows], c0 if before is None else cells[before])
            h.set(matmul(part, w_hh))
    dw = matmul(dx.swapaxes(0, 1), _before(h0, y, sizes, reverse))
    return dx, h.rows, c.rows, dw, None if narrowed is None else matmul(narrowed.swapaxes(0, 1), wide)


# ---- gated recurrent unit ----------------------------------------------------------------------------------------------------------


@through_float32
def gru(x: Any, h0: Any, w_hh: Any, b_hh: Any, sizes: tuple[int, ...], reverse: bool) -> tuple[Any, Any, Any]:
    """With s = W_hh·h + b_hh: r, z = σ(x_r + s_r), σ(x_z + s_z); n = tanh(x_n + r s_n); h' = (1 − z) n + z h.

    x [N, 3H], h0 [B, H], w_hh [3H, H], b_hh [3H] or None.  Returns the states y, the last of each sequence, and for ``gru_backward`` r, z, n and s_n as
    gates [N, 4H].  Raises RuntimeError for other shapes and dtypes.
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation" (2014).
    """
    _check("gru", 3, x, h0, w_hh, sizes, reverse)
    hidden = w_hh.shape[0] // 3
    x, h0, on = contiguous(x), contiguous(h0), _on(x, h0, w_hh, b_hh)
    bias = zeros((3 * hidden,), x.dtype, x) if b_hh is None else contiguous(b_hh)
    y, gates = _new(x, x.shape[0], hidden), _new(x, x.shape[0], 4 * hidden)
    if _walk.takes(x, w_hh, sizes):
        _walk.gru(y, gates, x, bias, h0, w_hh, sizes, reverse)
        return y, _last(y, sizes, reverse), gates
    w = contiguous(w_hh.swapaxes(0, 1))
    for rows, before in _steps(sizes, reverse):
        h = h0 if before is None else y[before]
        on.gru_step(y[rows], gates[rows], x[rows], matmul(h, w), bias, h)
    return y, _last(y, sizes, reverse), gates


@through_float32
def gru_backward(
    g: Any, g_last: Any, h0: Any, w_hh: Any, y: Any, gates: Any, sizes: tuple[int, ...], reverse: bool
) -> tuple[Any, Any, Any, Any]:
    """The gradients of x, h0, w_hh and b_hh from those of y and of the last states (either may be None)."""
    on, carried = _on(y, w_hh), _Carried(g_last, h0.shape, y)
    hidden = y.shape[1]
    h0, g = contiguous(h0), None if g is None else contiguous(g)
    dx, ds = _new(y, y.shape[0], 3 * hidden), _new(y, y.shape[0], 3 * hidden)
    if _walk.takes(y, w_hh, sizes):
        _walk.gru_backward(dx, ds, carried.rows, g, h0, w_hh, contiguous(y), gates, sizes, reverse)
    else:
        for rows, before in reversed(_steps(sizes, reverse)):
            part = ds[rows]
            count = part.shape[0]
            direct = _new(y, count, hidden)  # what reaches the state before without passing its product
            h = h0 if before is None else y[before]
            on.gru_step_backward(dx[rows], part, direct, None if g is None else g[rows], carried.of(count), gates[rows], h)
            carried.set(addmm(direct, part, w_hh))
    return dx, carried.rows, matmul(ds.swapaxes(0, 1), _before(h0, y, sizes, reverse)), sum_over(ds, 0)
