"""Resizing and sampling: values and gradients against PyTorch, derivatives of both orders against differences, infinities and places that are no numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
FILTERS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def drawn(*shape):
    return ng.tensor(RNG.standard_normal(shape), requires_grad=True)


def agrees(ours, theirs, *arrays):
    """Values and gradients of a function of float64 tensors, in numbagrad and in PyTorch."""
    torch = pytest.importorskip("torch")
    here = [ng.tensor(a, requires_grad=True) for a in arrays]
    there = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = ours(*here), theirs(torch.nn.functional)(*there)
    seed = RNG.standard_normal(tuple(expected.shape))
    y.backward(ng.tensor(seed))
    expected.backward(torch.tensor(seed))
    for a, b in zip((y, *[t.grad for t in here]), (expected, *[t.grad for t in there])):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-11, atol=1e-11)


# ---- resizing ---------------------------------------------------------------------------------------------------------------------------

SHAPES = {1: (2, 3, 7), 2: (2, 3, 5, 8), 3: (1, 2, 3, 5, 4)}
HOW = [
    {"size": (14, 3, 5)},
    {"size": (5, 16, 1)},
    {"size": (1, 1, 9)},
    {"scale_factor": 1.7},
    {"scale_factor": 0.6, "recompute_scale_factor": True},
]
RESIZES = [
    *[(mode, dims, {}) for mode in ("nearest", "nearest-exact") for dims in (1, 2, 3)],
    *[(mode, dims, {"align_corners": aligned}) for mode, dims in FILTERS.items() for aligned in (False, True)],
    *[(mode, 2, {"antialias": True, "align_corners": aligned}) for mode in ("bilinear", "bicubic") for aligned in (False, True)],
]


@pytest.mark.parametrize("mode, dims, options", RESIZES)
def test_interpolate(mode, dims, options):
    for how in HOW:
        how = how | {"size": how["size"][:dims]} if "size" in how else how
        call = lambda library: lambda x: library.interpolate(x, mode=mode, **how, **options)
        agrees(call(F), call, RNG.standard_normal(SHAPES[dims]))


@pytest.mark.parametrize("mode, dims", [("nearest", 3), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3)])
def test_derivatives_of_resizing(mode, dims):
    x = drawn(*(1, 2, 3, 2, 3)[: 2 + dims])
    for size in ((4, 5, 2), (2, 1, 2)):
        assert gradcheck(lambda x: F.interpolate(x, size[:dims], mode=mode), x)
        assert gradgradcheck(lambda x: F.interpolate(x, size[:dims], mode=mode), x)


@pytest.mark.parametrize("dtype", [ng.bool, ng.uint8, ng.int64, ng.float16, ng.bfloat16, ng.complex64, ng.complex128])
def test_nearest_takes_elements_of_any_dtype(dtype):
    x = ng.tensor([[[0.0, 1.0, 2.0]]]).to(dtype)
    assert F.interpolate(x, 6).dtype is dtype
    assert F.interpolate(x, 6).tolist() == ng.tensor([[[0.0, 0.0, 1.0, 1.0, 2.0, 2.0]]]).to(dtype).tolist()


def test_strides_and_empty_batches():
    x = drawn(3, 2, 8, 5)
    turned = x.detach().transpose(2, 3)[:, :, ::2].requires_grad_()
    for mode in ("nearest", "bilinear"):
        assert ng.equal(F.interpolate(turned, (4, 9), mode=mode), F.interpolate(turned.contiguous(), (4, 9), mode=mode))
        assert tuple(F.interpolate(ng.ones(0, 2, 4, 4), scale_factor=2.0, mode=mode).shape) == (0, 2, 8, 8)


def test_an_infinity_reaches_no_further_than_its_weights():
    x = ng.tensor([[[1.0, math.inf, 3.0, 4.0, 5.0]]])
    assert F.interpolate(x, 5, mode="linear").tolist() == x.tolist()  # the size stays
    assert F.interpolate(x, 10, mode="linear").isfinite().tolist() == [[[*[False] * 5, *[True] * 5]]]
    x = ng.zeros(1, 1, 4, requires_grad=True)
    F.interpolate(x, 2).backward(ng.tensor([[[math.inf, 1.0]]]))
    assert x.grad.tolist() == [[[math.inf, 0.0, 1.0, 0.0]]]  # elements that nothing is taken from


# ---- sampling ---------------------------------------------------------------------------------------------------------------------------

SAMPLES = [(dims, mode) for dims in (2, 3) for mode in ("bilinear", "nearest", "bicubic") if (dims, mode) != (3, "bicubic")]


def places(*shape):
    """Inside, outside, far outside, and on edges and centres."""
    found = RNG.uniform(-1.6, 1.6, shape)
    found[:, -1] *= 5
    found.reshape(-1)[:6] = [-1, 1, 0, 1, -1, 0]
    return found


@pytest.mark.parametrize("dims, mode", SAMPLES)
@pytest.mark.parametrize("border", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [False, True])
def test_grid_sample(dims, mode, border, aligned):
    call = lambda library: lambda x, grid: library.grid_sample(x, grid, mode, border, aligned)
    # More places than are worked out together, several images; a single element.
    agrees(call(F), call, RNG.standard_normal((2, 3, 5, 4, 6)[: 2 + dims]), places(*(2, 12, 13, 2)[: 1 + dims], dims))
    agrees(call(F), call, RNG.standard_normal((1, 2, *[1] * dims)), places(*(1, 3, 2, 2)[: 1 + dims], dims))


@pytest.mark.parametrize("dims, mode", SAMPLES)
def test_derivatives_of_sampling(dims, mode):
    x, grid = drawn(*(1, 2, 3, 2, 3)[: 2 + dims]), ng.tensor(RNG.uniform(-0.9, 0.9, (1, 2, *[1] * (dims - 1), dims)), requires_grad=True)
    sample = lambda x, grid: F.grid_sample(x, grid, mode, "border", False)
    assert gradcheck(sample, (x, grid))
    assert gradgradcheck(sample, (x, grid))


def test_places_that_are_no_numbers():
    x = ng.ones(1, 1, 2, 2, requires_grad=True)
    grid = ng.tensor([[[[math.nan, 0.0], [math.inf, 0.0], [-1e30, 0.0], [0.0, 0.0]]]], requires_grad=True)
    for border in ("zeros", "border", "reflection"):
        for mode in ("nearest", "bilinear", "bicubic"):
            y = F.grid_sample(x, grid, mode, border, False)
            y.backward(ng.ones_like(y))  # reads and writes stay within the image
            assert y[0, 0, 0, 3] == 1 or (mode, border) == ("bicubic", "zeros")  # whose filter reaches beyond the image
    assert F.grid_sample(x, grid, "nearest", "zeros", False).tolist() == [[[[0.0, 0.0, 0.0, 1.0]]]]


def test_an_infinity_outside_of_a_place_is_not_read():
    x = ng.tensor([[[[math.inf, 1.0], [1.0, 1.0]]]])
    y = F.grid_sample(x, ng.tensor([[[[1.4, 1.4], [0.5, 0.5]]]]), align_corners=False)
    assert y.isfinite().all()


def test_sampling_empty_batches_and_halves():
    assert tuple(F.grid_sample(ng.ones(0, 2, 3, 3), ng.ones(0, 4, 5, 2), align_corners=False).shape) == (0, 2, 4, 5)
    x, grid = ng.ones(1, 1, 4, 4, dtype=ng.float16), ng.zeros(1, 1, 1, 2, dtype=ng.float16)
    assert F.grid_sample(x, grid, align_corners=False).dtype is ng.float16
