"""Pooling operations: values and gradients against PyTorch, derivatives of both orders against differences."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.ops import pool


def distinct(*shape):
    """Values far enough apart that no difference quotient crosses a tie."""
    values = np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) * 0.1
    return ng.tensor(values, dtype=ng.float64, requires_grad=True)


CALLS = {
    "max_pool2d": ((2,), {}, (3, 2, 1), {}, (2, 1, 1, 2, True), {}),
    "avg_pool2d": ((2,), {}, (3, 2, 1, True, False), {}, (2,), {"divisor_override": 3}),
    "adaptive_avg_pool2d": ((1,), {}, ((3, 2),), {}, ((None, 4),), {}),
    "adaptive_max_pool2d": ((1,), {}, ((3, 2),), {}, ((None, 4),), {}),
}
CASES = [(name, args, options) for name, calls in CALLS.items() for args, options in zip(calls[::2], calls[1::2])]


@pytest.mark.parametrize(("name", "args", "options"), CASES)
@pytest.mark.parametrize("shape", [(2, 2, 5, 6), (2, 5, 6)])
def test_value_and_gradient(name, args, options, shape):
    torch = pytest.importorskip("torch")
    x = distinct(*shape)
    tx = torch.tensor(x.detach().numpy(), requires_grad=True)
    y, expected = getattr(pool, name)(x, *args, **options), getattr(torch.nn.functional, name)(tx, *args, **options)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-14)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(ng.tensor(g))
    expected.backward(torch.from_numpy(g))
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("name", "args", "options"), CASES)
def test_derivatives(name, args, options):
    x = distinct(1, 2, 5, 4)
    assert gradcheck(lambda x: getattr(pool, name)(x, *args, **options), (x,))
    assert gradgradcheck(lambda x: getattr(pool, name)(x, *args, **options), (x,))


def test_indices_come_along_and_take_no_part_in_the_graph():
    x = distinct(1, 1, 4, 4)
    for y, indices in (pool.max_pool2d(x, 2, return_indices=True), pool.adaptive_max_pool2d(x, 2, return_indices=True)):
        assert y.requires_grad and not indices.requires_grad and indices.dtype == ng.int64
        np.testing.assert_array_equal(x.detach().numpy().reshape(-1)[indices.numpy()], y.detach().numpy())


def test_a_transposed_image():
    x = distinct(2, 3, 4, 4)
    y = pool.max_pool2d(x.transpose(0, 1), 2)
    y.sum().backward()
    assert x.grad.sum().item() == y.numel()


def test_bad_arguments():
    x = distinct(1, 1, 4, 4)
    with pytest.raises(RuntimeError, match="at most half"):
        pool.max_pool2d(x, 2, 2, 2)
    with pytest.raises(RuntimeError, match="too small"):
        pool.avg_pool2d(x, 5)
    with pytest.raises(RuntimeError, match="3D or 4D"):
        pool.max_pool2d(x[0, 0], 2)
    with pytest.raises(NotImplementedError, match="int64"):
        pool.avg_pool2d(ng.ones(1, 1, 4, 4, dtype=ng.int64), 2)
