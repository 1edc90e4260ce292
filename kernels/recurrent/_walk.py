"""All steps of a layer in one launch on the CPU: the sequences of a batch know nothing of one another, so each thread takes some of them from the first
step to the last, and the threads meet once.

A step is the product of ``_product`` and the passes of ``_gates`` over its rows.  What the product gives stays in the caches; the rest is read and written
row after row.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, NamedTuple, Sequence

import numpy as np

from .._cpu import address_of, compiled, empty, get_num_threads, inline, kernel, load, simd
from .._cpu.capi import call_range
from .._cpu.types import intp, signature
from ..copy import contiguous
from ._gates import passes
from ._product import panels, product_address

# The most rows of a batch that one turn of a launch takes, where there are enough for all threads, and the fewest that are worth a thread.
_MOST_ROWS, _FEWEST_ROWS = 32, 4
# The fewest steps for which bringing W_hh into panels pays.
_FEWEST_STEPS = 4
# Bytes of a W_hh which is read from the second-level cache anew in each step, and of one for which a farther cache will do.
_NEAR, _FAR = 1 << 20, 1 << 23
# Scalar operations of a gate, and of its gradient.
_GATE, _SLOPE = 40, 10


class Walk(NamedTuple):
    """What a launch is told; the words of ``_step_words`` come behind."""

    groups: int  # of the batch's rows, one for each index
    batch: int
    steps: int
    width: int  # of the state
    product: int  # the address of the product's code
    k: int  # the product, as it takes it
    n: int
    c_row: int
    a_row: int


_GROUPS, _BATCH, _STEP_COUNT, _WIDTH, _PRODUCT, _SHAPE = (8 * position for position in range(6))
_STEPS, _STEP = 8 * len(Walk._fields), 24


def takes(x: Any, w_hh: Any, sizes: Sequence[int]) -> bool:
    """Whether a layer is to be walked in one launch: on the CPU, compiled, of several steps and with weights that the caches hold."""
    if type(x) is not np.ndarray or not simd.COMPILED or len(sizes) < _FEWEST_STEPS or 0 in w_hh.shape or sizes[0] == 0:
        return False
    return w_hh.nbytes <= (_FAR if sizes[0] >= _FEWEST_ROWS * get_num_threads() else _NEAR)


def _step_words(sizes: tuple[int, ...], reverse: bool) -> np.ndarray:
    """For each step in the order of the walk: its first row, its number of rows, and the first row of the step before that leads to it, or -1."""
    starts, count = np.cumsum([0, *sizes[:-1]]), len(sizes)
    order = np.arange(count)[::-1] if reverse else np.arange(count)
    return np.stack([starts[order], np.array(sizes)[order], np.concatenate([[-1], starts[order[:-1]]])], 1).reshape(-1)


def _groups(batch: int, threads: int) -> int:
    groups = max(1, min(threads, batch // _FEWEST_ROWS))
    return groups * -(-batch // (groups * _MOST_ROWS))


@functools.lru_cache(maxsize=256)
def _plan(dtype: np.dtype, width: int, sizes: tuple[int, ...], reverse: bool, threads: int, k: int, n: int) -> np.ndarray:
    """The words of a ``Walk`` whose steps multiply rows of ``k`` elements and give rows of ``n``."""
    shape = k, n, n * dtype.itemsize, k * dtype.itemsize
    walk = Walk(_groups(sizes[0], threads), sizes[0], len(sizes), width, product_address(dtype), *shape)
    return np.concatenate([np.array(walk), _step_words(sizes, reverse)], dtype=np.int64)


# ---- kernels -----------------------------------------------------------------------------------------------------------------------


@inline
def _word(plan, field):
    return load(plan + field, np.int64)


@inline
def _rows_of(plan, group):
    """The rows of a batch that a group has."""
    batch, groups = _word(plan, _BATCH), _word(plan, _GROUPS)
    return batch * group // groups, batch * (group + 1) // groups


@inline
def _step(plan, t):
    """First row, number of rows, and first row of the step before, or -1."""
    step = plan + _STEPS + t * _STEP
    return load(step, np.int64), load(step + 8, np.int64), load(step + 16, np.int64)


@inline
def _multiply(plan, first, last, c, d, d_row, a, panels):
    """Rows first to last of c = d + a·W; of rows that have ended by now there are none."""
    if first < last:
        call_range(_word(plan, _PRODUCT), first, last, plan + _SHAPE, c, d, d_row, a, panels)


@functools.cache
def _forward(dtype: np.dtype) -> SimpleNamespace:
    itemsize, gates_of = dtype.itemsize, passes(dtype)
    rnn_row, lstm_row, gru_row = gates_of.rnn, gates_of.lstm, gates_of.gru

    @kernel
    def rnn(lo, hi, plan, y_id, x_id, s_id, h0_id, panels_id, rectified):
        width = _word(plan, _WIDTH)
        row, s = width * itemsize, address_of(s_id)
        for group in range(lo, hi):
            first, end = _rows_of(plan, group)
            for t in range(_word(plan, _STEP_COUNT)):
                start, rows, before = _step(plan, t)
                last, y, x = min(rows, end), address_of(y_id) + start * row, address_of(x_id) + start * row
                h = address_of(h0_id) if before < 0 else address_of(y_id) + before * row
                _multiply(plan, first, last, s, 0, 0, h, address_of(panels_id))
                for r in range(first, last):
                    rnn_row(y + r * row, x + r * row, s + r * row, rectified, width)

    @kernel
    def lstm(lo, hi, plan, y_id, c_id, t_id, gates_id, x_id, s_id, h0_id, c0_id, panels_id):
        width = _word(plan, _WIDTH)
        row, wide, s = width * itemsize, 4 * width * itemsize, address_of(s_id)
        for group in range(lo, hi):
            first, end = _rows_of(plan, group)
            for t in range(_word(plan, _STEP_COUNT)):
                start, rows, before = _step(plan, t)
                last, gates, x = min(rows, end), address_of(gates_id) + start * wide, address_of(x_id) + start * wide
                y, cells, squashed = address_of(y_id) + start * row, address_of(c_id) + start * row, address_of(t_id) + start * row
                h, c = address_of(h0_id), address_of(c0_id)
                if before >= 0:
                    h, c = address_of(y_id) + before * row, address_of(c_id) + before * row
                _multiply(plan, first, last, s, 0, 0, h, address_of(panels_id))
                for r in range(first, last):
                    own, of_gates = r * row, r * wide
                    lstm_row(y + own, cells + own, squashed + own, gates + of_gates, x + of_gates, s + of_gates, c + own, width)

    @kernel
    def gru(lo, hi, plan, y_id, gates_id, x_id, s_id, bias_id, h0_id, panels_id):
        width = _word(plan, _WIDTH)
        row, wide, s, bias = width * itemsize, 3 * width * itemsize, address_of(s_id), address_of(bias_id)
        for group in range(lo, hi):
            first, end = _rows_of(plan, group)
            for t in range(_word(plan, _STEP_COUNT)):
                start, rows, before = _step(plan, t)
                last, y, x = min(rows, end), address_of(y_id) + start * row, address_of(x_id) + start * wide
                gates, h = address_of(gates_id) + start * 4 * row, address_of(h0_id) if before < 0 else address_of(y_id) + before * row
                _multiply(plan, first, last, s, 0, 0, h, address_of(panels_id))
                for r in range(first, last):
                    gru_row(y + r * row, gates + r * 4 * row, x + r * wide, s + r * wide, bias, h + r * row, width)

    return SimpleNamespace(rnn=_launchable(rnn, 7), lstm=_launchable(lstm, 10), gru=_launchable(gru, 8))


@functools.cache
def _backward(dtype: np.dtype) -> SimpleNamespace:
    itemsize, gates_of = dtype.itemsize, passes(dtype)
    add, rnn_row, lstm_row, gru_row = gates_of.add, gates_of.rnn_backward, gates_of.lstm_backward, gates_of.gru_backward

    @kernel
    def rnn_backward(lo, hi, plan, dx_id, dh_id, g_id, y_id, panels_id, rectified):
        width = _word(plan, _WIDTH)
        row, dh = width * itemsize, address_of(dh_id)
        for group in range(lo, hi):
            first, end = _rows_of(plan, group)
            for t in range(_word(plan, _STEP_COUNT) - 1, -1, -1):
                start, rows, _ = _step(plan, t)
                last, dx, y = min(rows, end), address_of(dx_id) + start * row, address_of(y_id) + start * row
                if g_id != 0:
                    for r in range(first, last):
                        add(dh + r * row, address_of(g_id) + (start + r) * row, width)
                for r in range(first, last):
                    rnn_row(dx + r * row, dh + r * row, y + r * row, rectified, width)
                _multiply(plan, first, last, dh, 0, 0, dx, address_of(panels_id))

    @kernel
    def lstm_backward(lo, hi, plan, dx_id, dh_id, dc_id, g_id, gates_id, t_id, c_id, c0_id, panels_id):
        width = _word(plan, _WIDTH)
        row, wide, dh, dc = width * itemsize, 4 * width * itemsize, address_of(dh_id), address_of(dc_id)
        for group in range(lo, hi):
            first, end = _rows_of(plan, group)
            for t in range(_word(plan, _STEP_COUNT) - 1, -1, -1):
                start, rows, before = _step(plan, t)
                last, dx, gates = min(rows, end), address_of(dx_id) + start * wide, address_of(gates_id) + start * wide
                squashed, c = address_of(t_id) + start * row, address_of(c0_id) if before < 0 else address_of(c_id) + before * row
                if g_id != 0:
                    for r in range(first, last):
                        add(dh + r * row, address_of(g_id) + (start + r) * row, width)
                for r in range(first, last):
                    own, of_gates = r * row, r * wide
                    lstm_row(dx + of_gates, dc + own, dh + own, gates + of_gates, squashed + own, c + own, width)
                _multiply(plan, first, last, dh, 0, 0, dx, address_of(panels_id))

    @kernel
    def gru_backward(lo, hi, plan, dx_id, ds_id, dh_id, g_id, gates_id, y_id, h0_id, panels_id):
        width = _word(plan, _WIDTH)
        row, wide, dh = width * itemsize, 3 * width * itemsize, address_of(dh_id)
        for group in range(lo, hi):
            first, end = _rows_of(plan, group)
            for t in range(_word(plan, _STEP_COUNT) - 1, -1, -1):
                start, rows, before = _step(plan, t)
                last, dx, ds = min(rows, end), address_of(dx_id) + start * wide, address_of(ds_id) + start * wide
                gates, h = address_of(gates_id) + start * 4 * row, address_of(h0_id) if before < 0 else address_of(y_id) + before * row
                if g_id != 0:
                    for r in range(first, last):
                        add(dh + r * row, address_of(g_id) + (start + r) * row, width)
                for r in range(first, last):
                    gru_row(dx + r * wide, ds + r * wide, dh + r * row, gates + r * 4 * row, h + r * row, width)
                _multiply(plan, first, last, dh, dh, row, ds, address_of(panels_id))

    return SimpleNamespace(rnn=_launchable(rnn_backward, 7), lstm=_launchable(lstm_backward, 10), gru=_launchable(gru_backward, 9))


def _launchable(function: Any, arguments: int) -> Any:
    return compiled(function, signature(*[intp] * arguments))


# ---- launches ----------------------------------------------------------------------------------------------------------------------


def _id(array: Any) -> int:
    return 0 if array is None else id(array)


def _launch(walk: Any, plan: np.ndarray, arrays: Sequence[Any], *further: int, work: int) -> None:
    walk(int(plan[0]), plan.ctypes.data, *map(_id, arrays), *further, work=work)


def rnn(y: Any, x: Any, h0: Any, w_hh: Any, sizes: tuple[int, ...], reverse: bool, rectified: bool) -> None:
    """The states y."""
    dtype, width = y.dtype, y.shape[1]
    plan, sums = _plan(dtype, width, sizes, reverse, get_num_threads(), width, width), empty(h0.shape, dtype)
    arrays = y, x, sums, h0, panels(contiguous(w_hh), True)
    _launch(_forward(dtype).rnn, plan, arrays, rectified, work=x.size * (width + _GATE))


def rnn_backward(dx: Any, dh: Any, g: Any, w_hh: Any, y: Any, sizes: tuple[int, ...], reverse: bool, rectified: bool) -> None:
    """The gradient dx of x; dh goes from that of the last states to that of the first."""
    dtype, width = y.dtype, y.shape[1]
    plan = _plan(dtype, width, sizes, reverse, get_num_threads(), width, width)
    arrays = dx, dh, g, y, panels(contiguous(w_hh))
    _launch(_backward(dtype).rnn, plan, arrays, rectified, work=dx.size * (width + _SLOPE))


def lstm(y: Any, cells: Any, squashed: Any, gates: Any, x: Any, h0: Any, c0: Any, w_hh: Any, sizes: tuple[int, ...], reverse: bool) -> None:
    """The gates, the cells, tanh(cells) and the states y."""
    dtype, width = y.dtype, y.shape[1]
    plan, sums = _plan(dtype, width, sizes, reverse, get_num_threads(), width, 4 * width), empty((sizes[0], 4 * width), dtype)
    arrays = y, cells, squashed, gates, x, sums, h0, c0, panels(contiguous(w_hh), True)
    _launch(_forward(dtype).lstm, plan, arrays, work=x.size * (width + _GATE))


def lstm_backward(
    dx: Any, dh: Any, dc: Any, g: Any, c0: Any, w_hh: Any, gates: Any, cells: Any, squashed: Any, sizes: tuple[int, ...], reverse: bool
) -> None:
    """The gradient dx of x; dh and dc go from those of the last states to those of the first."""
    dtype, width = dx.dtype, cells.shape[1]
    plan = _plan(dtype, width, sizes, reverse, get_num_threads(), 4 * width, width)
    arrays = dx, dh, dc, g, gates, squashed, cells, c0, panels(contiguous(w_hh))
    _launch(_backward(dtype).lstm, plan, arrays, work=dx.size * (width + _SLOPE))


def gru(y: Any, gates: Any, x: Any, bias: Any, h0: Any, w_hh: Any, sizes: tuple[int, ...], reverse: bool) -> None:
    """The gates and the states y."""
    dtype, width = y.dtype, y.shape[1]
    plan, sums = _plan(dtype, width, sizes, reverse, get_num_threads(), width, 3 * width), empty((sizes[0], 3 * width), dtype)
    arrays = y, gates, x, sums, bias, h0, panels(contiguous(w_hh), True)
    _launch(_forward(dtype).gru, plan, arrays, work=x.size * (width + _GATE))


def gru_backward(dx: Any, ds: Any, dh: Any, g: Any, h0: Any, w_hh: Any, y: Any, gates: Any, sizes: tuple[int, ...], reverse: bool) -> None:
    """The gradients of x and s; dh goes from that of the last states to that of the first."""
    dtype, width = dx.dtype, y.shape[1]
    plan = _plan(dtype, width, sizes, reverse, get_num_threads(), 3 * width, width)
    arrays = dx, ds, dh, g, gates, y, h0, panels(contiguous(w_hh))
    _launch(_backward(dtype).gru, plan, arrays, work=dx.size * (width + _SLOPE))
