"""Reductions and scans on tensors: PyTorch's values, signatures and errors, and derivatives of first and second order."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck

NAN, INF = math.nan, math.inf


def leaf(values, dtype=ng.float64):
    return ng.tensor(values, dtype=dtype, requires_grad=True)


def sample(*shape, seed=0):
    return leaf(np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape) / 3.0 - 1.7)


def zeros_among(*shape):
    x = np.random.default_rng(1).standard_normal(shape)
    x[..., 1] = 0
    x.reshape(-1)[-2:] = 0
    return leaf(x)


DIFFERENTIABLE = {
    "sum": lambda x: x.sum(),
    "sum dims": lambda x: x.sum((0, -1)),
    "sum keepdim": lambda x: x.sum(1, keepdim=True),
    "mean": lambda x: x.mean(),
    "mean dims": lambda x: x.mean((1, 2), True),
    "amax": lambda x: x.amax((0, 2)),
    "amin": lambda x: x.amin(1, True),
    "max": lambda x: x.max(),
    "min": lambda x: ng.min(x),
    "max dim": lambda x: x.max(1)[0],
    "min dim": lambda x: x.min(-1, keepdim=True).values,
    "var": lambda x: x.var(),
    "var dim": lambda x: x.var(1, unbiased=False),
    "var correction": lambda x: x.var((0, 2), correction=0.5, keepdim=True),
    "std": lambda x: x.std((0, 1)),
    "var_mean": lambda x: sum(ng.var_mean(x, 1)),
    "norm": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(1, 1),
    "norm 3": lambda x: x.norm(3, (0, 2), True),
    "norm 1.5": lambda x: x.norm(1.5, -1),
    "norm -2": lambda x: x.norm(-2, 0),
    "norm inf": lambda x: x.norm(INF, 1),
    "norm -inf": lambda x: x.norm(-INF, 1),
    "logsumexp": lambda x: x.logsumexp((0, 2)),
    "cumsum": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(1),
    "prod": lambda x: x.prod(),
    "prod dim": lambda x: x.prod(1, True),
    "nansum": lambda x: x.nansum(0),
    "nanmean": lambda x: x.nanmean(),
    "transposed": lambda x: x.permute(2, 0, 1).sum(1) * x.permute(2, 0, 1).cumsum(0).mean(1),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name):
    x = sample(2, 3, 2)
    assert gradcheck(DIFFERENTIABLE[name], (x,))
    assert gradgradcheck(DIFFERENTIABLE[name], (x,))


@pytest.mark.parametrize("f", [lambda x: x.prod(1), lambda x: x.prod(), lambda x: x.cumprod(1), lambda x: x.cumprod(0)])
def test_products_with_zeros(f):
    x = zeros_among(3, 4)
    assert gradcheck(f, (x,))
    assert gradgradcheck(f, (x,))


def test_products_of_complex_numbers():
    x = leaf(np.random.default_rng(0).standard_normal((3, 4)) + 1j * np.random.default_rng(1).standard_normal((3, 4)), ng.complex128)
    for f in (lambda x: x.cumprod(1), lambda x: x.prod(0), lambda x: x.sum(1), lambda x: x.norm(2, 1), lambda x: x.var(1)):
        assert gradcheck(f, (x,))


def test_gradients_at_ties_zeros_and_constants():
    x = leaf([[3.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    (g,) = ng.autograd.grad(x.amax(1).sum(), x)
    np.testing.assert_allclose(g.numpy(), [[0.5, 0.5, 0], [1 / 3] * 3])
    (g,) = ng.autograd.grad(x.max(), x)
    np.testing.assert_allclose(g.numpy(), [[0.5, 0.5, 0], [0, 0, 0]])
    (g,) = ng.autograd.grad(x.max(1).values.sum(), x)
    np.testing.assert_array_equal(g.numpy(), [[1, 0, 0], [1, 0, 0]])
    zeros = leaf([0.0, 0.0, 0.0])
    for p in (0, 0.5, 1, 1.5, 2, 3, INF):
        y = zeros.norm(p)
        (g,) = ng.autograd.grad(y, zeros, create_graph=True, allow_unused=True)
        np.testing.assert_array_equal(g.detach().numpy(), [0, 0, 0])
        if g.requires_grad:
            (gg,) = ng.autograd.grad(g.sum(), zeros, allow_unused=True)
            assert gg is None or np.isfinite(gg.numpy()).all()
    (g,) = ng.autograd.grad(zeros.std(), zeros)
    np.testing.assert_array_equal(g.numpy(), [0, 0, 0])
    low = leaf([-INF, -INF])
    (g,) = ng.autograd.grad(low.logsumexp(0), low)
    np.testing.assert_array_equal(g.numpy(), [0, 0])


@pytest.mark.parametrize("p", ["fro", 0, 1, 1.5, 2, 3, INF, -INF, 0.5])
def test_norm_gradients_match_torch(p):
    torch = pytest.importorskip("torch")
    values = np.array([[1.0, -2.0, 0.0, 2.0], [0.5, 3.0, -1.0, 2.0]])
    x, t = leaf(values), torch.tensor(values, requires_grad=True)
    x.norm(p, 1).sum().backward()
    torch.norm(t, 2 if p == "fro" else p, 1).sum().backward()
    expected = np.zeros_like(values) if t.grad is None else t.grad.numpy()  # PyTorch leaves the gradient of a count undefined
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_values_and_signatures_match_torch():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    calls = [
        lambda m, x: x.sum(),
        lambda m, x: m.sum(x, 1),
        lambda m, x: m.sum(x, dim=(0, 2), keepdim=True),
        lambda m, x: x.sum(1, dtype=m.float64),
        lambda m, x: x.sum(axis=1),
        lambda m, x: m.mean(x, (0, 1)),
        lambda m, x: x.mean(-1, True),
        lambda m, x: m.max(x),
        lambda m, x: m.max(x, 1)[1],
        lambda m, x: m.max(x, 1, True).values,
        lambda m, x: x.min(dim=2).indices,
        lambda m, x: m.max(x, x * 0),
        lambda m, x: x.min(x * 0),
        lambda m, x: x.amax(),
        lambda m, x: m.amin(x, (0, 1), True),
        lambda m, x: m.aminmax(x, dim=1).max,
        lambda m, x: x.argmax(),
        lambda m, x: m.argmin(x, 1, True),
        lambda m, x: (x > 3).any(),
        lambda m, x: m.all(x > -1, 2),
        lambda m, x: x.var(),
        lambda m, x: x.var(False),
        lambda m, x: x.var(unbiased=False),
        lambda m, x: m.var(x, 1, False),
        lambda m, x: m.std(x, (0, 2), True, True),
        lambda m, x: m.std(x, dim=1, correction=0),
        lambda m, x: m.var_mean(x, 1)[1],
        lambda m, x: m.std_mean(x)[0],
        lambda m, x: x.norm(),
        lambda m, x: m.norm(x, 1, dim=1),
        lambda m, x: x.norm(p=3, dim=(0, 1), keepdim=True),
        lambda m, x: m.logsumexp(x, 1),
        lambda m, x: x.logsumexp((0, 1), keepdim=True),
        lambda m, x: m.cumsum(x, -1),
        lambda m, x: x.cumprod(0),
        lambda m, x: (x * 10).int().cumsum(1),
        lambda m, x: (x * 10).int().sum(),
        lambda m, x: x.count_nonzero(),
        lambda m, x: m.count_nonzero(x > 0, dim=(0, 1)),
        lambda m, x: x.prod(),
        lambda m, x: m.prod(x, 1, keepdim=True),
        lambda m, x: m.nansum(x, 1),
        lambda m, x: m.nanmean(x, (0, 2)),
        lambda m, x: m.sum(m.ones(3, dtype=m.bool)),
    ]
    for i, call in enumerate(calls):
        ours, theirs = call(ng, ng.tensor(values)), call(torch, torch.tensor(values))
        assert tuple(ours.shape) == tuple(theirs.shape), i
        assert str(ours.dtype).partition(".")[2] == str(theirs.dtype).partition(".")[2], i
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=2e-5, atol=1e-6, err_msg=str(i))


@pytest.mark.cpu
def test_named_results():
    result = ng.tensor([[1.0, 5.0], [7.0, 2.0]]).max(1)
    values, indices = result
    assert values.tolist() == result.values.tolist() == [5, 7] and indices.tolist() == result.indices.tolist() == [1, 0]
    assert repr(result).startswith("numbagrad.return_types.max(\nvalues=tensor([5., 7.]),\nindices=")
    assert not indices.requires_grad


def test_result_of_other_dtype_sends_its_gradient_back():
    x = leaf([1.0, 2.0], ng.float32)
    x.sum(dtype=ng.float64).backward()
    assert x.grad.dtype is ng.float32 and x.grad.tolist() == [1, 1]
    half = leaf([1.0, 2.0], ng.float16)
    half.mean().backward()
    assert half.grad.dtype is ng.float16 and half.grad.tolist() == [0.5, 0.5]


def test_nothing_and_scalars():
    empty = ng.zeros(0, 3)
    assert empty.sum().item() == 0 and empty.sum(0).tolist() == [0, 0, 0] and empty.prod().item() == 1 and math.isnan(empty.mean().item())
    assert empty.max(1).values.shape == (0,)
    x = leaf(np.zeros((0, 3)))
    x.sum().backward()
    assert x.grad.shape == (0, 3)
    s = leaf(2.0)
    (s.sum() + s.mean() + s.amax() + s.max(0).values + s.cumsum(0) + s.cumprod(0) + s.prod() + s.norm() + s.logsumexp(0)).backward()
    assert s.grad.item() == pytest.approx(9)
    for f in (lambda: empty.max(), lambda: empty.amin()):
        with pytest.raises(RuntimeError, match="numel"):
            f()
    with pytest.raises(IndexError, match="numel"):
        empty.argmax()
    with pytest.raises(IndexError, match="non-zero size"):
        empty.max(0)


def test_bad_input():
    x = ng.ones(2, 3)
    with pytest.raises(IndexError, match=r"\[-2, 1\], but got 5"):
        x.sum(5)
    with pytest.raises(RuntimeError, match="dim 0 appears multiple times"):
        x.mean((0, 0))
    with pytest.raises(TypeError, match="dim"):
        x.sum("a")
    with pytest.raises(TypeError, match="dim"):
        x.max((0, 1))
    with pytest.raises(TypeError, match="input"):
        ng.sum([1.0])
    with pytest.raises(RuntimeError, match="mean"):
        ng.ones(3, dtype=ng.int64).mean()
    with pytest.raises(RuntimeError, match="std"):
        ng.ones(3, dtype=ng.int64).std()
    with pytest.raises(TypeError, match="both"):
        x.var(1, unbiased=True, correction=0)
    with pytest.raises(NotImplementedError, match="complex"):
        ng.ones(3, dtype=ng.complex64).amax()
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert math.isnan(ng.ones(1).var().item())


@pytest.mark.parametrize("dtype", [ng.bfloat16, ng.float16, ng.float32])
def test_identities_in_every_floating_dtype(dtype):
    empty = ng.zeros(3, 0, dtype=dtype)
    expected = {"sum": 0.0, "prod": 1.0, "mean": math.nan, "var": math.nan, "std": math.nan, "logsumexp": -math.inf}
    for name, value in expected.items():
        found = getattr(empty, name)(1)
        assert found.dtype == dtype
        np.testing.assert_array_equal(np.array(found.tolist()), np.full(3, value))
