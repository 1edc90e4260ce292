"""The steps of recurrent layers on CUDA, in the simulator, against the same functions on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import recurrent
from numbagrad.kernels._cuda.transfer import to_device, to_host
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU

SIZES = {"dense": ((3, 3), False), "reverse": ((2, 2), True), "packed": ((3, 2, 1), False)}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
WIDTH = 5


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def put(x):
    return to_device(np.ascontiguousarray(x), 0).reshape(x.shape) if isinstance(x, np.ndarray) else x


def same(found, expected) -> None:
    assert len(found) == len(expected)
    for here, there in zip(found, expected):
        assert (here is None) == (there is None)
        if there is not None:
            np.testing.assert_allclose(to_host(here), there, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("kind", ["rnn", "relu", "lstm", "projected", "gru"])
def test_layers(kind: str, case: str):
    sizes, reverse = SIZES[case]
    name = {"relu": "rnn", "projected": "lstm"}.get(kind, kind)
    rows, batch, state = sum(sizes), sizes[0], 3 if kind == "projected" else WIDTH
    x, h0, w = numbers(rows, GATES[name] * WIDTH), numbers(batch, state, seed=1), numbers(GATES[name] * WIDTH, state, seed=2)
    c0, w_hr, bias = (
        numbers(batch, WIDTH, seed=3),
        numbers(state, WIDTH, seed=4) if kind == "projected" else None,
        numbers(3 * WIDTH, seed=5),
    )
    inputs = {"rnn": (x, h0, w), "lstm": (x, h0, c0, w, w_hr), "gru": (x, h0, w, bias)}[name]
    settings = (sizes, reverse, kind == "relu") if name == "rnn" else (sizes, reverse)
    forward, backward = getattr(recurrent, name), getattr(recurrent, f"{name}_backward")
    results = forward(*inputs, *settings)
    same(forward(*map(put, inputs), *settings), results)
    g, g_last = numbers(*results[0].shape, seed=6), numbers(batch, state, seed=7)
    back = {
        "rnn": lambda: (g, g_last, h0, w, results[0]),
        "lstm": lambda: (None, g_last, c0, h0, c0, w, w_hr, results[0], *results[3:]),
        "gru": lambda: (g, None, h0, w, *results[::2]),
    }[name]()
    same(backward(*map(put, back), *settings), backward(*back, *settings))
