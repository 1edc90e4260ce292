"""Attention on CUDA, in the simulator, against the same functions on the CPU: tiles that are whole, cut off, above the diagonal, masked, dropped."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import attention as A
from numbagrad.kernels._cuda.transfer import to_device, to_host
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU

CASES = {  # heads of q and of k, L, S, E, Ev; causal; shape of the mask; probability of dropout
    "whole": ((2,), (2,), 8, 8, 4, 4, False, None, 0.0),
    "cut": ((1,), (1,), 5, 7, 3, 6, False, None, 0.0),
    "causal": ((1,), (1,), 6, 9, 5, 4, True, None, 0.0),
    "row mask": ((2, 1), (1, 2), 3, 6, 4, 4, False, (6,), 0.0),
    "full mask": ((2,), (1,), 3, 6, 4, 4, False, (2, 3, 6), 0.0),
    "dropout": ((1,), (1,), 6, 6, 4, 4, True, None, 0.4),
}


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def put(x):
    return to_device(np.ascontiguousarray(x), 0).reshape(x.shape) if isinstance(x, np.ndarray) else x


@pytest.mark.parametrize("case", CASES)
def test_both_ways(case: str):
    q_heads, k_heads, length, count, inner, outer, causal, shape, p = CASES[case]
    q, k, v = numbers(*q_heads, length, inner), numbers(*k_heads, count, inner, seed=1), numbers(*k_heads, count, outer, seed=2)
    mask = None if shape is None else numbers(*shape, seed=3)
    if case == "full mask":
        mask[0, 1] = -np.inf
    settings = 0.4, causal, (p, 7, 11)
    y, lse = A.attention(q, k, v, mask, *settings)
    found = A.attention(*map(put, (q, k, v, mask)), *settings)
    for here, there in zip(found, (y, lse)):
        np.testing.assert_allclose(to_host(here), there, rtol=1e-5, atol=1e-5)
    g = numbers(*y.shape, seed=4)
    expected = A.attention_backward(g, q, k, v, mask, y, lse, *settings)
    gradients = A.attention_backward(*map(put, (g, q, k, v, mask, y, lse)), *settings)
    for here, there in zip(gradients, expected):
        assert here.shape == there.shape
        np.testing.assert_allclose(to_host(here), there, rtol=2e-5, atol=2e-5)
