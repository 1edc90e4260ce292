"""Hooks on the tensors that operations keep for the backward pass, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import graph

torch = pytest.importorskip("torch")


def inputs(library, *shapes):
    rng = np.random.default_rng(0)
    return [library.from_numpy(rng.normal(size=shape)).requires_grad_() for shape in shapes]


def halved(library, packed):
    """Hooks that keep half of what is saved, so that the gradients tell which values were asked for."""
    return library.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t.shape) or t * 0.5, lambda t: t * 1)


FUNCTIONS = {
    "product": lambda library, x, y: x * y,
    "exp": lambda library, x, y: x.exp(),
    "tanh": lambda library, x, y: (x + y).tanh(),
    "matmul": lambda library, x, y: x @ y.T,
    "linear": lambda library, x, y: library.nn.functional.linear(x, y),
    "softmax": lambda library, x, y: x.softmax(-1) * y,
    "max": lambda library, x, y: x.max(1).values,
    "cat": lambda library, x, y: library.cat([x, y]) ** 2,
    "relu": lambda library, x, y: (x * y).relu(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hooks_that_change_nothing(name):
    gradients = []
    for library in (ng, torch):
        x, y = inputs(library, (3, 4), (3, 4))
        with library.autograd.graph.saved_tensors_hooks(
            lambda t: t.detach().numpy().copy(), lambda a, library=library: library.from_numpy(a)
        ):
            z = FUNCTIONS[name](library, x, y).sum()
        gradients.append([None if g is None else g.numpy() for g in library.autograd.grad(z, (x, y), allow_unused=True)])
    for ours, theirs in zip(*gradients):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", ["product", "exp", "matmul", "softmax"])
def test_what_is_packed_is_used(name):
    found = []
    for library in (ng, torch):
        x, y = inputs(library, (3, 4), (3, 4))
        packed: list = []
        with halved(library, packed):
            z = FUNCTIONS[name](library, x, y)
        z.sum().backward()
        found.append((sorted(map(tuple, packed)), x.grad.numpy()))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12)


@pytest.mark.parametrize("name", ["product", "exp", "tanh", "matmul", "softmax", "cat"])
def test_second_derivatives_go_where_the_packed_tensor_came_from(name):
    found = []
    for library in (ng, torch):
        x, y = inputs(library, (3, 4), (3, 4))
        with library.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
            z = (FUNCTIONS[name](library, x * 2, y) ** 2).sum()
            (slope,) = library.autograd.grad(z, (x,), create_graph=True)
            slope.pow(2).sum().backward()
        found.append((x.grad.numpy(), None if y.grad is None else y.grad.numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-10)
    if found[1][1] is not None:
        np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-10)


def test_each_is_unpacked_once():
    x, y = inputs(ng, (3, 4), (4, 5))
    unpacked = []
    with graph.saved_tensors_hooks(lambda t: t, lambda t: unpacked.append(1) or t):
        z = x @ y
    z.sum().backward()
    assert len(unpacked) == 2


def test_the_innermost_pair_alone_is_called():
    outer, inner = [], []
    x, y = inputs(ng, (2,), (2,))
    with graph.saved_tensors_hooks(lambda t: outer.append(t) or t, lambda t: t):
        with graph.saved_tensors_hooks(lambda t: inner.append(t) or t, lambda t: t):
            x * y
        x.exp()
    assert (len(outer), len(inner)) == (1, 2) and inner[0] is x
    x * y
    assert (len(outer), len(inner)) == (1, 2)


def test_function_of_ones_own():
    class Square(ng.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * x
            ctx.save_for_backward(x, y, None)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y, nothing = ctx.saved_tensors
            assert nothing is None and y.shape == x.shape
            return 2 * x * g

    (x,) = inputs(ng, (3,))
    packed = []
    with graph.saved_tensors_hooks(lambda t: packed.append(t) or t.detach().numpy().copy(), ng.from_numpy):
        y = Square.apply(x)
    assert len(packed) == 2
    (slope,) = ng.autograd.grad(y.sum(), (x,), create_graph=True)
    (second,) = ng.autograd.grad(slope.sum(), (x,))
    np.testing.assert_allclose(slope.detach().numpy(), 2 * x.detach().numpy())
    np.testing.assert_allclose(second.numpy(), [2, 2, 2])


def test_save_on_cpu():
    for settings in ({}, {"pin_memory": True}):
        x, y = inputs(ng, (3, 4), (4, 2))
        with graph.save_on_cpu(**settings):
            z = (x @ y).exp().sum()
        z.backward()
        a, b = inputs(torch, (3, 4), (4, 2))
        (a @ b).exp().sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), a.grad.numpy(), rtol=1e-10)


def test_what_is_refused():
    for library in (ng, torch):
        graph = library.autograd.graph
        (x,) = inputs(library, (2,))
        with graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
            y = x.exp()
        with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of type int"):
            y.sum().backward()
        with graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t), pytest.raises(RuntimeError, match="modifying its input in place"):
            (x + 1).exp()
        with graph.disable_saved_tensors_hooks("not here"):
            with pytest.raises(RuntimeError, match="not here"), graph.saved_tensors_hooks(lambda t: t, lambda t: t):
                pass
            x.exp().sum().backward()
        hooks, refusal = graph.saved_tensors_hooks(lambda t: t, lambda t: t), graph.disable_saved_tensors_hooks("not here")
        with hooks, pytest.raises(RuntimeError, match="not here"), refusal:
            pass
        with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            y = x.exp()
        y.sum().backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            y.sum().backward()
