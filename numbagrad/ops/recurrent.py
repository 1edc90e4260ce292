"""Recurrent layers: a kernel family for one layer and direction, and what is made of it.

The gradients come from one backward kernel (``together``).  Where they are to be differentiated themselves the layer is computed again from its inputs,
step by step in differentiable operations (``composed``), and its gradients are those of that graph.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ..creation import from_numpy
from ..kernels import recurrent as kernels
from ..kernels.elementwise import activations
from . import elementwise as e
from ._composed import rules
from ._operation import differentiable
from .copy import cat, stack
from .matmul import linear

_relu = e.operation(activations.relu)

# ---- one step, composed ------------------------------------------------------------------------------------------------------------


def _rnn_step(x: Any, s: Any, h: Any, rectified: bool) -> Any:
    return _relu(x + s) if rectified else (x + s).tanh()


def _lstm_step(x: Any, s: Any, c: Any) -> tuple[Any, Any]:
    i, f, g, o = (x + s).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru_step(x: Any, s: Any, h: Any) -> Any:
    (x_r, x_z, x_n), (s_r, s_z, s_n) = x.chunk(3, -1), s.chunk(3, -1)
    r, z = (x_r + s_r).sigmoid(), (x_z + s_z).sigmoid()
    return (1 - z) * (x_n + r * s_n).tanh() + z * h


def _walked(step: Callable[..., tuple[Any, ...]], x: Any, states: tuple[Any, ...], sizes: Sequence[int], reverse: bool) -> tuple[Any, ...]:
    """All states, first to last step, and the last of each sequence: ``states`` after every ``step(rows of x, *states)``."""
    rows = list(x.split(list(sizes)))
    found: list[Any] = []
    ended: list[tuple[Any, ...]] = []  # the states of the sequences that end, the latest first
    for part in reversed(rows) if reverse else rows:
        if part.shape[0] < states[0].shape[0]:
            ended.insert(0, tuple(s[part.shape[0] :] for s in states))
            states = tuple(s[: part.shape[0]] for s in states)
        states = step(part, *states)
        found.append(states[0])
    last = tuple(cat([s, *(parts[k] for parts in ended)]) if ended else s for k, s in enumerate(states))
    return (cat(found[::-1] if reverse else found), *last)


# ---- one layer, one direction ------------------------------------------------------------------------------------------------------


def _composed_rnn(x: Any, h0: Any, w_hh: Any, *, sizes: Any, reverse: bool, rectified: bool) -> tuple[Any, ...]:
    return _walked(lambda part, h: (_rnn_step(part, linear(h, w_hh), h, rectified),), x, (h0,), sizes, reverse)


def _composed_lstm(x: Any, h0: Any, c0: Any, w_hh: Any, w_hr: Any, *, sizes: Any, reverse: bool) -> tuple[Any, ...]:
    def step(part: Any, h: Any, c: Any) -> tuple[Any, Any]:
        h, c = _lstm_step(part, linear(h, w_hh), c)
        return h if w_hr is None else linear(h, w_hr), c

    return _walked(step, x, (h0, c0), sizes, reverse)


def _composed_gru(x: Any, h0: Any, w_hh: Any, b_hh: Any, *, sizes: Any, reverse: bool) -> tuple[Any, ...]:
    return _walked(lambda part, h: (_gru_step(part, linear(h, w_hh, b_hh), h),), x, (h0,), sizes, reverse)


def _rnn_together(
    wanted: Any, g: Any, g_last: Any, h0: Any, w_hh: Any, y: Any, sizes: Any, reverse: bool, rectified: bool
) -> Sequence[Any]:
    return kernels.rnn_backward(g, g_last, h0, w_hh, y, sizes, reverse, rectified)


def _lstm_together(
    wanted: Any, g: Any, g_h: Any, g_c: Any, h0: Any, c0: Any, w_hh: Any, w_hr: Any, y: Any, gates: Any, cells: Any, squashed: Any, wide: Any,
    sizes: Any, reverse: bool,
) -> Sequence[Any]:  # fmt: skip
    return kernels.lstm_backward(g, g_h, g_c, h0, c0, w_hh, w_hr, y, gates, cells, squashed, wide, sizes, reverse)


def _gru_together(wanted: Any, g: Any, g_last: Any, h0: Any, w_hh: Any, y: Any, gates: Any, sizes: Any, reverse: bool) -> Sequence[Any]:
    return kernels.gru_backward(g, g_last, h0, w_hh, y, gates, sizes, reverse)


_rnn = differentiable(
    "rnn",
    kernels.rnn,
    results=("y", "last"),
    differentiable_results=("y", "last"),
    together=_rnn_together,
    **rules(_composed_rnn, grads=("g", "g_last"), keeps=("y",)),
)
_lstm = differentiable(
    "lstm",
    kernels.lstm,
    results=("y", "h", "c", "gates", "cells", "squashed", "wide"),
    differentiable_results=("y", "h", "c"),
    together=_lstm_together,
    **rules(_composed_lstm, grads=("g", "g_h", "g_c"), keeps=("y", "gates", "cells", "squashed", "wide")),
)
_gru = differentiable(
    "gru",
    kernels.gru,
    results=("y", "last", "gates"),
    differentiable_results=("y", "last"),
    together=_gru_together,
    **rules(_composed_gru, grads=("g", "g_last"), keeps=("y", "gates")),
)


# ---- layers ------------------------------------------------------------------------------------------------------------------------


def _one_direction(
    mode: str, x: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any, sizes: tuple[int, ...], reverse: bool
) -> tuple[Any, ...]:
    """The rows of one layer's result, and its last states."""
    if mode == "GRU":
        return _gru(linear(x, w_ih, b_ih), *states, w_hh, b_hh, sizes, reverse)[:2]
    x = linear(x, w_ih, None if b_ih is None else b_ih + b_hh)
    if mode == "LSTM":
        return _lstm(x, *states, w_hh, w_hr, sizes, reverse)[:3]
    return _rnn(x, *states, w_hh, sizes, reverse, mode == "RNN_RELU")


def layers(
    mode: str,
    x: Any,
    states: Sequence[Any],
    weights: Sequence[Sequence[Any]],
    sizes: tuple[int, ...],
    bidirectional: bool,
    between: Callable[[Any], Any],
) -> tuple[Any, ...]:
    """Stacked layers of one ``mode`` ("LSTM", "GRU", "RNN_TANH", "RNN_RELU"): the rows of the last one's result, and the last states of all.

    ``x`` [N, I]: the steps' rows one behind the other, ``sizes[t]`` of step t; ``states``: [layers · directions, B, H] each; ``weights``: for each layer
    and direction (w_ih, w_hh, b_ih, b_hh, w_hr), None for what there is not; ``between``: what is done to the rows between two layers (dropout).
    """
    directions = 2 if bidirectional else 1
    packed = sizes[0] != sizes[-1]
    turn = from_numpy(kernels.reversed_rows(sizes)).to(x.device) if bidirectional and packed else None
    last: list[tuple[Any, ...]] = []
    for k, weight in enumerate(weights):
        layer, direction = divmod(k, directions)
        if direction == 0:
            x, results = (between(x) if layer else x), []
        own = x.index_select(0, turn) if direction and turn is not None else x
        w_ih, w_hh, b_ih, b_hh, w_hr = weight
        y, *ends = _one_direction(mode, own, [s[k] for s in states], w_ih, w_hh, b_ih, b_hh, w_hr, sizes, bool(direction) and turn is None)
        results.append(y.index_select(0, turn) if direction and turn is not None else y)
        last.append(tuple(ends))
        if direction == directions - 1:
            x = cat(results, 1) if bidirectional else y
    if len(last) == 1:
        return (x, *(end.unsqueeze(0) for end in last[0]))
    return (x, *(stack(ends) for ends in zip(*last)))


def cell(mode: str, x: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[Any, ...]:
    """One step: the states after ``x`` [B, I]."""
    return _one_direction(mode, x, states, w_ih, w_hh, b_ih, b_hh, None, (x.shape[0],), False)[1:]
