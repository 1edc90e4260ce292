"""Batch norm and layer norm: values and gradients against PyTorch, derivatives of both orders against differences."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.ops.norm import batch_norm, layer_norm


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-13)
    return True


def sample(*shape, seed=0):
    return ng.tensor(np.random.default_rng(seed).standard_normal(shape) * 2 + 1, dtype=ng.float64, requires_grad=True)


def statistics():
    return ng.tensor(np.array([0.5, -1.0, 2.0])), ng.tensor(np.array([1.5, 0.3, 2.0]))


def to_torch(torch, *tensors):
    return [None if t is None else torch.tensor(t.detach().numpy(), requires_grad=t.requires_grad) for t in tensors]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (3, 3, 4), (2, 3, 3, 2)])
def test_batch_norm(training, affine, shape):
    torch = pytest.importorskip("torch")
    x, g = sample(*shape), sample(*shape, seed=1).detach()
    weight, bias = (sample(3, seed=2), sample(3, seed=3)) if affine else (None, None)
    mean, var = statistics()
    tx, tg, tw, tb, tm, tv = to_torch(torch, x, g, weight, bias, mean, var)
    y = batch_norm(x, mean, var, weight, bias, training, 0.3, 1e-2)
    expected = torch.nn.functional.batch_norm(tx, tm, tv, tw, tb, training, 0.3, 1e-2)
    y.backward(g)
    expected.backward(tg)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mean.numpy(), tm.numpy(), rtol=1e-13)
    np.testing.assert_allclose(var.numpy(), tv.numpy(), rtol=1e-13)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-11, atol=1e-12)
    if affine:
        np.testing.assert_allclose(weight.grad.numpy(), tw.grad.numpy(), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(bias.grad.numpy(), tb.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)])
def test_derivatives_of_batch_norm(training, shape):
    mean, var = (None, None) if training else statistics()
    inputs = sample(*shape), sample(3, seed=2), sample(3, seed=3)

    def affine(x, weight, bias):
        return batch_norm(x, mean, var, weight, bias, training, eps=1e-2)

    assert gradcheck(affine, inputs)
    assert gradgradcheck(affine, inputs)
    assert gradgradcheck(lambda x: batch_norm(x, mean, var, training=training, eps=1e-2), inputs[:1])


@pytest.mark.parametrize(("weighted", "biased"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("normalized", [(4,), (3, 4)])
def test_layer_norm(weighted, biased, normalized):
    torch = pytest.importorskip("torch")
    x, g = sample(2, 3, 4), sample(2, 3, 4, seed=1).detach()
    weight, bias = sample(*normalized, seed=2) if weighted else None, sample(*normalized, seed=3) if biased else None
    tx, tg, tw, tb = to_torch(torch, x, g, weight, bias)
    y, expected = layer_norm(x, normalized, weight, bias, 1e-2), torch.nn.functional.layer_norm(tx, normalized, tw, tb, 1e-2)
    y.backward(g)
    expected.backward(tg)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-11, atol=1e-12)
    if weighted:
        np.testing.assert_allclose(weight.grad.numpy(), tw.grad.numpy(), rtol=1e-11, atol=1e-12)
    if biased:
        np.testing.assert_allclose(bias.grad.numpy(), tb.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("normalized", [(4,), (3, 4)])
def test_derivatives_of_layer_norm(normalized):
    inputs = sample(2, 3, 4), sample(*normalized, seed=2), sample(*normalized, seed=3)

    def affine(x, weight, bias):
        return layer_norm(x, normalized, weight, bias, 1e-2)

    assert gradcheck(affine, inputs)
    assert gradgradcheck(affine, inputs)
    assert gradgradcheck(lambda x: layer_norm(x, normalized, eps=1e-2), inputs[:1])


def test_only_what_wants_a_gradient_gets_one():
    x, weight, bias = sample(4, 3), sample(3, seed=2).detach(), sample(3, seed=3)
    batch_norm(x, None, None, weight, bias, True).sum().backward()
    assert weight.grad is None and close(bias.grad, ng.full((3,), 4.0, dtype=ng.float64)) and x.grad.shape == x.shape
    x, weight = x.detach(), sample(3, seed=2)
    layer_norm(x, (3,), weight).sum().backward()
    h = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    assert close(weight.grad, h.sum(0))


def test_running_statistics_count_as_changed_in_place():
    mean, var = statistics()
    before = mean._version
    batch_norm(sample(4, 3), mean, var)
    assert mean._version == before
    batch_norm(sample(4, 3), mean, var, training=True)
    assert mean._version > before and var._version > before


def test_statistics_may_move_between_forward_and_backward():
    x, (mean, var) = sample(4, 3), statistics()
    y = batch_norm(x, mean, var)
    mean.zero_()
    var.fill_(9.0)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(1 / np.sqrt(np.array([1.5, 0.3, 2.0]) + 1e-5), (4, 3)), rtol=1e-12)


def test_bad_input():
    x = sample(1, 3)
    with pytest.raises(ValueError, match=r"more than 1 value per channel when training, got input size .*\[1, 3\]"):
        batch_norm(x, None, None, training=True)
    with pytest.raises(RuntimeError, match="running_mean must be defined"):
        batch_norm(x, None, None)
    with pytest.raises(RuntimeError, match="weight should contain 3 elements not 2"):
        batch_norm(x, *statistics(), weight=sample(2))
    with pytest.raises(RuntimeError, match="normalized_shape"):
        layer_norm(x, (2,))
    with pytest.raises(NotImplementedError, match="int64"):
        layer_norm(ng.ones(2, 3, dtype=ng.int64), (3,))
