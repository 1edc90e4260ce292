"""Gradient clipping, and parameters as one vector."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.nn import utils

SHAPES = [(3, 4), (5,), (), (0, 2)]
ORDERS = [2, 1, 3.5, 0, math.inf, -math.inf, -1]


def gradients(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]


def parameters(library, grads):
    made = []
    for grad in grads:
        p = library.nn.Parameter(library.zeros(*grad.shape) if grad.shape else library.tensor(0.0))
        p.grad = library.from_numpy(grad.copy()) if grad.shape else library.tensor(float(grad))
        made.append(p)
    return [*made, library.nn.Parameter(library.zeros(2))]  # the last has no gradient


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clip_grad_norm_as_torch(order, limit):
    torch = pytest.importorskip("torch")
    grads = [g for g in gradients() if g.size or order > 0 and order != math.inf]  # torch has no max of nothing
    found = []
    for library in (torch, ng):
        each = parameters(library, grads)
        total = library.nn.utils.clip_grad_norm_(each, limit, norm_type=order)
        assert tuple(total.shape) == () and each[-1].grad is None
        found.append([total.numpy(), *[p.grad.numpy() for p in each[:-1]]])
    for ours, theirs in zip(found[1], found[0]):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_clipped_norm():
    each = parameters(ng, gradients())
    before = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients()))
    total = utils.clip_grad_norm_((p for p in each), 1.0)
    assert total.item() == pytest.approx(before) and not total.requires_grad
    assert utils.get_total_norm([p.grad for p in each[:-1]]).item() == pytest.approx(1, abs=1e-5)
    same = [p.grad.clone() for p in each[:-1]]
    utils.clip_grad_norm_(each, 2.0)  # already below: not a bit changes
    assert all(ng.equal(p.grad, s) for p, s in zip(each, same))


def test_one_tensor_other_dtypes_and_layouts():
    p = nn.Parameter(ng.zeros(4, 3, dtype=ng.float64))
    p.grad = ng.ones(3, 4, dtype=ng.float64).T
    total = utils.clip_grad_norm_(p, 1.0)
    assert total.dtype is ng.float64 and total.item() == pytest.approx(math.sqrt(12))
    np.testing.assert_allclose(p.grad.numpy(), np.full((4, 3), 1 / math.sqrt(12)), rtol=1e-6)
    half = nn.Parameter(ng.zeros(2, dtype=ng.float16))
    half.grad = ng.tensor([3.0, 4.0], dtype=ng.float16)
    assert utils.clip_grad_norm_(half, 1.0).item() == 5 and half.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-3)


def test_nothing_to_clip():
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    assert utils.clip_grad_norm_([nn.Parameter(ng.zeros(2))], 1.0).item() == 0
    zero = nn.Parameter(ng.zeros(2))
    zero.grad = ng.zeros(2)
    assert utils.clip_grad_norm_(zero, 1.0).item() == 0 and zero.grad.tolist() == [0, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("order", [2, math.inf])
def test_non_finite(bad, order):
    p = nn.Parameter(ng.zeros(2))
    p.grad = ng.tensor([1.0, bad])
    with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
        utils.clip_grad_norm_(p, 1.0, order, error_if_nonfinite=True)
    assert p.grad[0].item() == 1
    total = utils.clip_grad_norm_(p, 1.0, order)
    assert not math.isfinite(total.item()) and math.isnan(p.grad[1].item())
    assert math.isnan(p.grad[0].item()) if math.isnan(bad) else p.grad[0].item() == 0


def test_clipping_counts_as_a_change():
    """A gradient that is part of a graph and is clipped before that graph is walked is an error, as after any in-place change."""
    p = nn.Parameter(ng.ones(2))
    p.grad = ng.ones(2) * 3
    q = ng.ones(2, requires_grad=True)
    y = (q * p.grad).sum()
    utils.clip_grad_norm_(p, 1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_clip_grad_value():
    p, none = nn.Parameter(ng.zeros(3)), nn.Parameter(ng.zeros(1))
    p.grad = ng.tensor([-5.0, 0.25, 5.0])
    utils.clip_grad_value_([p, none], 0.5)
    assert p.grad.tolist() == [-0.5, 0.25, 0.5] and none.grad is None


def test_parameters_as_vector():
    net = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,) and vector.requires_grad and ng.equal(vector[:6].reshape(3, 2), net.weight)
    utils.vector_to_parameters(ng.arange(9.0), net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net.bias.tolist() == [6, 7, 8] and net.weight.is_leaf
    with pytest.raises(TypeError, match=r"expected numbagrad\.Tensor, but got: .*list"):
        utils.vector_to_parameters([1.0], net.parameters())
