"""softmax, log_softmax and the losses made of them: values and gradients against PyTorch, derivatives of both orders against differences."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.ops import softmax as S

REDUCTIONS = ["none", "mean", "sum"]


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-13)
    return True


def sample(*shape, seed=0):
    return ng.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=ng.float64, requires_grad=True)


def probabilities(*shape):
    p = np.exp(np.random.default_rng(7).standard_normal(shape))
    return ng.tensor(p / p.sum(1 if len(shape) > 1 else 0, keepdims=True), dtype=ng.float64, requires_grad=True)


def indices(*shape, classes):
    return ng.tensor(np.random.default_rng(8).integers(0, classes, shape))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize(("shape", "dim"), [((3, 4), 1), ((3, 4), 0), ((2, 3, 9), -2), ((5,), 0)])
def test_softmax(name, shape, dim):
    torch = pytest.importorskip("torch")
    x = sample(*shape)
    function = getattr(S, name)
    expected = getattr(torch.nn.functional, name)(torch.tensor(x.detach().numpy()), dim)
    np.testing.assert_allclose(function(x, dim).detach().numpy(), expected.numpy(), rtol=1e-13)
    assert gradcheck(lambda x: function(x, dim), (x,))
    assert gradgradcheck(lambda x: function(x, dim), (x,))


def test_names_dtypes_and_the_implicit_dimension():
    x = ng.tensor([[1, 2, 3], [0, 0, 0]])
    y = ng.softmax(x, 1, ng.float64)
    assert y.dtype == ng.float64 and close(y, x.double().softmax(-1)) and close(x.log_softmax(1, dtype=ng.float64).exp(), y)
    with pytest.warns(UserWarning, match="Implicit dimension"):
        assert close(S.softmax(x.double()), y)
    with pytest.raises(NotImplementedError, match="int64"):
        ng.softmax(x, 1)
    with pytest.raises(IndexError, match="2"):
        S.softmax(x.double(), 2)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("shape", "weighted"), [((5,), False), ((6, 5), True), ((6, 5), False), ((2, 5, 3), True), ((2, 5, 3), False)])
def test_cross_entropy_of_indices(reduction, smoothing, shape, weighted):
    torch = pytest.importorskip("torch")
    x = sample(*shape)
    target = indices(*(shape[:1] + shape[2:] if len(shape) > 1 else ()), classes=5)
    weight = sample(5, seed=1).detach().abs() if weighted else None
    options = {"ignore_index": 2 if len(shape) > 1 else -100, "label_smoothing": smoothing, "reduction": reduction}

    def loss(x):
        return S.cross_entropy(x, target, weight, **options)

    tx = torch.tensor(x.detach().numpy(), requires_grad=True)
    tw = None if weight is None else torch.tensor(weight.numpy())
    expected = torch.nn.functional.cross_entropy(tx, torch.tensor(target.numpy()), tw, **options)
    y = loss(x)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-13)
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-12, atol=1e-14)
    assert gradcheck(loss, (x,))
    assert gradgradcheck(loss, (x,))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("shape", "weighted"), [((5,), True), ((4, 5), True), ((2, 5, 3), False)])
def test_cross_entropy_of_probabilities(reduction, shape, weighted):
    torch = pytest.importorskip("torch")
    x, target = sample(*shape), probabilities(*shape)
    weight = sample(5, seed=1).detach().abs() if weighted else None

    def loss(x, target):
        return S.cross_entropy(x, target, weight, reduction=reduction, label_smoothing=0.1)

    tx, tt = (torch.tensor(t.detach().numpy(), requires_grad=True) for t in (x, target))
    tw = None if weight is None else torch.tensor(weight.numpy())
    expected = torch.nn.functional.cross_entropy(tx, tt, tw, reduction=reduction, label_smoothing=0.1)
    y = loss(x, target)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-13)
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(target.grad.numpy(), tt.grad.numpy(), rtol=1e-12, atol=1e-14)
    assert gradcheck(loss, (x, target))
    assert gradgradcheck(loss, (x, target))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 5, 3)])
def test_nll_loss(reduction, shape):
    torch = pytest.importorskip("torch")
    x = sample(*shape)
    target = indices(*(shape[:1] + shape[2:] if len(shape) > 1 else ()), classes=5)
    weight = sample(5, seed=1).detach().abs()

    def loss(x):
        return S.nll_loss(x, target, weight, ignore_index=-1, reduction=reduction)

    expected = torch.nn.functional.nll_loss(
        torch.tensor(x.detach().numpy()), torch.tensor(target.numpy()), torch.tensor(weight.numpy()), reduction=reduction
    )
    np.testing.assert_allclose(loss(x).detach().numpy(), expected.numpy(), rtol=1e-13)
    assert gradcheck(loss, (x,))
    assert gradgradcheck(loss, (x,))


def test_cross_entropy_is_nll_of_log_softmax():
    x, target = sample(6, 5), indices(6, classes=5)
    assert close(S.cross_entropy(x, target), S.nll_loss(S.log_softmax(x, 1), target))


def test_a_scaled_loss_in_float32():
    x = ng.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], requires_grad=True)
    (S.cross_entropy(x, ng.tensor([2, 2])) * 4).backward()
    p = np.exp([[1.0, 2, 3], [3, 2, 1]])
    p /= p.sum(1, keepdims=True)
    p[:, 2] -= 1
    np.testing.assert_allclose(x.grad.numpy(), p * 2, rtol=1e-6)


def test_the_old_flags():
    x, target = sample(4, 5), indices(4, classes=5)
    with pytest.warns(UserWarning, match="size_average"):
        assert close(S.cross_entropy(x, target, size_average=False), S.cross_entropy(x, target, reduction="sum"))
    with pytest.warns(UserWarning, match="size_average"):
        assert S.nll_loss(x, target, reduce=False).shape == (4,)


def test_bad_input():
    x = sample(4, 5)
    with pytest.raises(IndexError, match=r"Target 5 is out of bounds."):
        S.cross_entropy(x, ng.tensor([0, 1, 5, 2])).item()  # a GPU tells it to who waits for the value
    with pytest.raises(IndexError, match=r"Target -1 is out of bounds."):
        S.nll_loss(x, ng.tensor([0, 1, -1, 2])).item()
    with pytest.raises(ValueError, match="batch_size"):
        S.cross_entropy(x, ng.tensor([0, 1]))
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        S.cross_entropy(x, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="'max'"):
        S.nll_loss(x, ng.tensor([0, 1, 2, 3]), reduction="max")
    assert np.isnan(S.cross_entropy(x, ng.tensor([-100] * 4)).item())


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_targets_that_are_all_ignored_have_no_gradient(create_graph, smoothing):
    x = ng.randn(4, 3, dtype=ng.float64, requires_grad=True)
    loss = S.cross_entropy(x, ng.tensor([-100] * 4), label_smoothing=smoothing)
    (slope,) = ng.autograd.grad(loss, x, create_graph=create_graph)
    assert np.isnan(loss.item()) and not slope.detach().numpy().any()
