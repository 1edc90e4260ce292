"""Resizing and sampling on a GPU against the same on the CPU: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU

RNG = np.random.default_rng(0)
CLOSE = {ng.float32: 1e-5, ng.float64: 1e-13, ng.float16: 1e-2, ng.bfloat16: 6e-2}


def compare(function, dtype, *arrays):
    """Values and gradients."""
    tensors = [ng.tensor(a).to(dtype) for a in arrays]
    here, there = [t.clone().requires_grad_() for t in tensors], [t.cuda().requires_grad_() for t in tensors]
    expected, found = function(*here), function(*there)
    seed = ng.tensor(RNG.standard_normal(tuple(expected.shape))).to(dtype)
    expected.backward(seed)
    found.backward(seed.cuda())
    for a, b in zip((found, *[t.grad for t in there]), (expected, *[t.grad for t in here])):
        assert a.is_cuda and a.dtype is dtype
        np.testing.assert_allclose(a.detach().cpu().double().numpy(), b.detach().double().numpy(), atol=CLOSE[dtype])


@pytest.mark.parametrize(
    "shape, dtype, how",
    [
        ((1, 2, 3, 4), ng.float32, {"size": (5, 3), "mode": "nearest"}),
        ((1, 2, 3, 4), ng.float64, {"size": (5, 7), "mode": "bilinear"}),
        ((1, 1, 5, 4), ng.bfloat16, {"size": (2, 7), "mode": "bicubic", "align_corners": True}),
        ((1, 1, 5, 6), ng.float32, {"size": (2, 3), "mode": "bicubic", "antialias": True}),
        ((1, 1, 2, 3, 2), ng.float32, {"scale_factor": 1.5, "mode": "trilinear"}),
        ((1, 2, 5), ng.float16, {"scale_factor": 2, "mode": "linear"}),
        ((1, 1, 2, 2, 3), ng.float32, {"scale_factor": 2, "mode": "nearest-exact"}),
    ],
)
def test_interpolate(shape, dtype, how):
    compare(lambda x: F.interpolate(x, **how), dtype, RNG.standard_normal(shape))


def test_nearest_of_integers():
    assert F.interpolate(ng.arange(3).reshape(1, 1, 3).cuda(), 6).cpu().tolist() == [[[0, 0, 1, 1, 2, 2]]]


@pytest.mark.parametrize(
    "dims, mode, border, aligned, dtype",
    [
        (2, "bilinear", "zeros", False, ng.float32),
        (2, "bilinear", "reflection", True, ng.float64),
        (2, "bicubic", "border", False, ng.float32),
        (2, "nearest", "zeros", True, ng.float16),
        (3, "bilinear", "border", False, ng.float32),
        (3, "nearest", "reflection", False, ng.bfloat16),
    ],
)
def test_grid_sample(dims, mode, border, aligned, dtype):
    x, grid = RNG.standard_normal((2, 2, 2, 3, 2)[: 2 + dims]), RNG.uniform(-1.4, 1.4, (*(2, 2, 2, 2)[: 1 + dims], dims))
    compare(lambda x, grid: F.grid_sample(x, grid, mode, border, aligned), dtype, x, grid)
