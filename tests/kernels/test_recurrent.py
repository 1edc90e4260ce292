"""Recurrent layers against their equations in NumPy: dense, reversed and packed batches, one backward pass against differences; the walk of all steps in
one launch against the steps one by one."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels import recurrent
from numbagrad.kernels._cpu import get_num_threads, set_num_threads, simd
from numbagrad.kernels.recurrent import _product, _walk

SIZES = {
    "dense": ((4, 4, 4), False),
    "reverse": ((4, 4, 4), True),
    "packed": ((4, 3, 3, 1), False),
    "one step": ((2,), False),
    "long": ((11,) * 5, False),
    "long reverse": ((6,) * 5, True),
    "long packed": ((13, 9, 9, 6, 5, 1), False),
}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
WIDTH = 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(kind, x, states, w, further):
    """The states after one step."""
    h, s = states[0], states[0] @ w.T
    if kind == "rnn":
        return (np.maximum(x + s, 0) if further else np.tanh(x + s),)
    if kind == "gru":
        s = s + further
        (x_r, x_z, x_n), (s_r, s_z, s_n) = np.split(x, 3, -1), np.split(s, 3, -1)
        r, z = sigmoid(x_r + s_r), sigmoid(x_z + s_z)
        return ((1 - z) * np.tanh(x_n + r * s_n) + z * h,)
    i, f, g, o = np.split(x + s, 4, -1)
    c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h if further is None else h @ further.T), c


def expected(kind, x, states, w, further, sizes, reverse):
    """All states, and the last of each sequence."""
    states = [np.array(s) for s in states]
    starts = np.cumsum([0, *sizes])
    y = np.zeros((len(x), states[0].shape[1]), x.dtype)
    for t in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        n = sizes[t]
        for state, new in zip(states, step(kind, x[starts[t] : starts[t + 1]], [s[:n] for s in states], w, further)):
            state[:n] = new
        y[starts[t] : starts[t + 1]] = states[0][:n]
    return (y, *states)


def case(kind: str, sizes, dtype=np.float64, projected: bool = False, width: int = WIDTH):
    rng = np.random.default_rng(0)
    state = 3 if projected else width

    def numbers(*shape):
        return rng.standard_normal(shape).astype(dtype)

    x, w = numbers(sum(sizes), GATES[kind] * width), numbers(GATES[kind] * width, state) * dtype(0.4)
    states = (numbers(sizes[0], state), numbers(sizes[0], width))[: 2 if kind == "lstm" else 1]
    return x, states, w, numbers(state, width) if projected else numbers(3 * width) if kind == "gru" else None


def run(kind, x, states, w, further, sizes, reverse):
    if kind == "rnn":
        return recurrent.rnn(x, *states, w, sizes, reverse, bool(further))
    return getattr(recurrent, kind)(x, *states, w, further, sizes, reverse)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", ["rnn", "relu", "lstm", "projected", "gru"])
def test_forward(kind, sizes, dtype):
    sizes, reverse = SIZES[sizes]
    name = {"relu": "rnn", "projected": "lstm"}.get(kind, kind)
    x, states, w, further = case(name, sizes, dtype, kind == "projected")
    further = True if kind == "relu" else further
    found = run(name, x, states, w, further, sizes, reverse)
    for here, there in zip(found, expected(name, x, states, w, further, sizes, reverse)):
        np.testing.assert_allclose(here, there, rtol=1e-5 if dtype is np.float32 else 1e-12, atol=1e-6 if dtype is np.float32 else 1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_backward(kind, sizes):
    """The directional derivative along a random direction of all inputs."""
    sizes, reverse = SIZES[sizes]
    x, states, w, further = case(kind, sizes)
    results = run(kind, x, states, w, further, sizes, reverse)
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(r.shape) for r in results[: 1 + len(states)]]
    if kind == "rnn":
        gradients = recurrent.rnn_backward(*weights, *states, w, results[0], sizes, reverse, False)
    elif kind == "lstm":
        gradients = recurrent.lstm_backward(*weights, *states, w, None, results[0], *results[3:], sizes, reverse)
    else:
        gradients = recurrent.gru_backward(*weights, *states, w, results[0], results[2], sizes, reverse)
    inputs = [x, *states, w] + ([further] if further is not None else [])
    ways = [rng.standard_normal(v.shape) for v in inputs]

    def total(t):
        moved = [v + t * d for v, d in zip(inputs, ways)]
        found = run(
            kind,
            moved[0],
            moved[1 : 1 + len(states)],
            moved[1 + len(states)],
            moved[2 + len(states)] if further is not None else None,
            sizes,
            reverse,
        )
        return sum((r * k).sum() for r, k in zip(found, weights))

    slope = sum((g * d).sum() for g, d in zip(gradients, ways))
    np.testing.assert_allclose(slope, (total(1e-6) - total(-1e-6)) / 2e-6, rtol=1e-6)


def test_strides_and_bad_input():
    x, (h0,), w, _ = case("rnn", (2, 2))
    same = recurrent.rnn(np.asfortranarray(x), np.asfortranarray(h0), np.asfortranarray(w), (2, 2), False, False)[0]
    np.testing.assert_allclose(same, recurrent.rnn(x, h0, w, (2, 2), False, False)[0])
    with pytest.raises(RuntimeError, match="dtype"):
        recurrent.rnn(x.astype(np.float32), h0, w, (2, 2), False, False)
    with pytest.raises(RuntimeError, match="shapes"):
        recurrent.rnn(x, h0, w, (2, 1), False, False)
    with pytest.raises(RuntimeError, match="do not grow"):
        recurrent.rnn(x, h0[:1], w, (1, 3), False, False)


def found(kind, sizes, reverse, dtype, width):
    """The results of a layer and its gradients."""
    x, states, w, further = case(kind, sizes, dtype, width=width)
    results = run(kind, x, states, w / dtype(width**0.5), further, sizes, reverse)
    rng = np.random.default_rng(1)
    g, *last = [rng.standard_normal(r.shape).astype(dtype) for r in results[: 1 + len(states)]]
    if kind == "rnn":
        return [*results, *recurrent.rnn_backward(g, *last, *states, w, results[0], sizes, reverse, False)]
    if kind == "lstm":
        return [*results, *recurrent.lstm_backward(None, *last, *states, w, None, results[0], *results[3:], sizes, reverse)[:4]]
    return [*results, *recurrent.gru_backward(g, *last, *states, w, results[0], results[2], sizes, reverse)]


@pytest.mark.skipif(not simd.COMPILED, reason="there is no vector code under NUMBA_DISABLE_JIT")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(7,) * 4, (21, 18, 17, 15, 12, 11, 10, 8, 3), (70,) * 5], ids=["few", "packed", "many"])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_walk_gives_what_its_steps_give(kind, sizes, dtype, monkeypatch):
    """With a width that fills no panel, in more than one block of k, on one thread and on three."""
    width, threads = 67, get_num_threads()
    try:
        set_num_threads(3)
        shared = found(kind, sizes, False, dtype, width)
        set_num_threads(1)
        alone = found(kind, sizes, False, dtype, width)
    finally:
        set_num_threads(threads)
    monkeypatch.setattr(_walk, "takes", lambda x, w_hh, sizes: False)
    for here, there, steps in zip(shared, alone, found(kind, sizes, False, dtype, width), strict=True):
        np.testing.assert_array_equal(here, there)
        scale, tolerance = np.abs(steps).max(), 2e-6 if dtype is np.float32 else 1e-14
        np.testing.assert_allclose(here, steps, rtol=0, atol=10 * tolerance * scale)


def test_which_layers_are_walked():
    x, w = np.zeros((80, 12), np.float32), np.zeros((12, 3), np.float32)
    assert _walk.takes(x, w, (20,) * 4) == simd.COMPILED
    assert not _walk.takes(x, w, (80,))  # it would take as long to bring w into panels as to multiply with it
    assert not _walk.takes(x, np.zeros((12, 0), np.float32), (20,) * 4)
    assert not _walk.takes(x, np.broadcast_to(w[:1, :1], (1 << 12, 1 << 10)), (20,) * 4)


@pytest.mark.skipif(not simd.COMPILED, reason="there is no vector code under NUMBA_DISABLE_JIT")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k, n", [(1, 1), (3, 40), (130, 33), (64, 64)])
def test_panels(k, n, dtype):
    w = np.random.default_rng(0).standard_normal((k, n)).astype(dtype)
    for panels in (_product.panels(w), _product.panels(np.ascontiguousarray(w.T), True)):
        columns = panels[:, :k].transpose(1, 0, 2).reshape(k, -1)
        np.testing.assert_array_equal(columns[:, :n], w)
        assert not columns[:, n:].any()


def test_reversed_rows():
    """Rows of sequences a, b and c of lengths 3, 2 and 1, step by step: a0 b0 c0 a1 b1 a2."""
    where = recurrent.reversed_rows((3, 2, 1))
    assert where.tolist() == [5, 4, 2, 3, 1, 0]
    assert where[where].tolist() == list(range(6))
