"""Activation checkpointing gives the gradients of the function itself, and keeps less."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential, set_checkpoint_early_stop

BOTH = pytest.mark.parametrize("reentrant", [True, False])


def network():
    ng.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def gradients(net, run):
    """The result and the gradients of ``run(net, x)``, each time from the same seed."""
    x = ng.linspace(-1, 1, 20).reshape(4, 5).requires_grad_()
    net.zero_grad()
    ng.manual_seed(3)
    y = run(net, x)
    (y**2).sum().backward()
    return [y.detach().float().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in net.parameters()]]


def same(ours, expected):
    for a, b in zip(ours, expected):
        np.testing.assert_array_equal(a, b)


@BOTH
def test_gradients_with_dropout(reentrant):
    net = network()
    same(gradients(net, lambda f, x: checkpoint(f, x, use_reentrant=reentrant)), gradients(net, lambda f, x: f(x)))


@BOTH
@pytest.mark.parametrize("segments", [1, 2, 3, 6])
def test_sequential(reentrant, segments):
    net = network()
    same(gradients(net, lambda f, x: checkpoint_sequential(f, segments, x, use_reentrant=reentrant)), gradients(net, lambda f, x: f(x)))


@pytest.mark.filterwarnings("ignore:None of the inputs")  # what is inside runs unrecorded the first time
@BOTH
def test_nested(reentrant):
    net = network()

    def run(f, x):
        inner = lambda x: checkpoint(f[3:], f[:3](x), use_reentrant=reentrant)
        return checkpoint(lambda x: checkpoint(inner, x, use_reentrant=reentrant), x, use_reentrant=reentrant)

    same(gradients(net, run), gradients(net, lambda f, x: f(x)))


@BOTH
def test_autocast(reentrant):
    net = network()

    def run(f, x):
        with ng.autocast("cpu"):
            y = checkpoint(f, x, use_reentrant=reentrant) if reentrant is not None else f(x)
        return y.float()

    found = gradients(net, run)
    reentrant = None
    same(found, gradients(net, run))


def test_random_numbers_need_not_be_kept():
    drawn = []

    def f(x):
        drawn.append(ng.rand(3))
        return (x * drawn[-1]).exp()

    for settings, equal in (({}, True), ({"preserve_rng_state": False}, False)):
        drawn.clear()
        before = ng.ones(3, requires_grad=True)
        y = checkpoint(f, before, use_reentrant=False, **settings).sum()
        state = ng.get_rng_state()
        y.backward()
        assert ng.equal(drawn[0], drawn[1]) is equal and ng.equal(state, ng.get_rng_state()) is equal


def test_what_is_kept():
    """The tensors that a checkpointed function makes are let go, and made again once, as far as they are needed."""
    calls, kept = [], []

    def f(x):
        calls.append(1)
        y = x.exp()
        calls.append(2)
        z = (y * 2).sin()
        kept.append(z)
        return z + 1

    x = ng.ones(3, requires_grad=True)
    y = checkpoint(f, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    assert calls == [1, 2, 1, 2] and len(kept) == 1  # the repetition ended before its end
    y.backward()
    assert calls == [1, 2] * 3
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos(2 * np.e) * 2 * np.e * np.ones(3), rtol=1e-5)
    with set_checkpoint_early_stop(False):
        y = checkpoint(f, x, use_reentrant=False).sum()
    y.backward()
    assert len(kept) == 3


def test_higher_derivatives_and_grad():
    x = ng.tensor([0.3, 0.7], dtype=ng.float64, requires_grad=True)
    w = ng.tensor([0.5, 0.2], dtype=ng.float64, requires_grad=True)

    def f(x, scale=1.0):
        return (x * w).exp() * x * scale

    def second(run):
        (slope,) = ng.autograd.grad(run(x, scale=2.0).sum(), (x,), create_graph=True)
        return [slope, *ng.autograd.grad((slope**2).sum(), (x, w))]

    for ours, plain in zip(second(lambda *a, **k: checkpoint(f, *a, use_reentrant=False, **k)), second(f)):
        np.testing.assert_allclose(ours.detach().numpy(), plain.detach().numpy(), rtol=1e-12)


def test_arguments_that_are_no_tensors_and_several_results():
    x = ng.ones(2, requires_grad=True)
    for reentrant in (True, False):
        x.grad = None
        y, nothing, z = checkpoint(lambda x, n, none: (x * n, none, (x * n).exp()), x, 3, None, use_reentrant=reentrant)
        assert nothing is None
        (y + z).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 3 + 3 * np.exp(3.0) * np.ones(2), rtol=1e-5)
    with ng.no_grad():
        assert not checkpoint(ng.exp, x, use_reentrant=False).requires_grad


def test_contexts():
    entered = []

    class Note:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            entered.append(self.name)

        def __exit__(self, *error):
            pass

    x = ng.ones(2, requires_grad=True)
    checkpoint(ng.exp, x, use_reentrant=False, context_fn=lambda: (Note("first"), Note("again"))).sum().backward()
    assert entered == ["first", "again"]


def test_changed_in_place_since():
    x = ng.ones(2, requires_grad=True)
    y = x * 1
    z = checkpoint(lambda y: y.exp(), y, use_reentrant=False)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_what_is_refused_and_warned_of():
    modules = [ng]
    try:
        import torch

        modules.append(torch)
    except ImportError:
        pass
    for library in modules:
        tools = __import__(f"{library.__name__}.utils.checkpoint", fromlist=["checkpoint"])
        checkpoint = tools.checkpoint
        x = library.ones(2, requires_grad=True)
        with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
            checkpoint(library.exp, x)
        with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
            tools.checkpoint_sequential([library.exp], 1, x)
        with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
            assert not checkpoint(library.exp, library.ones(2), use_reentrant=True).requires_grad
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            checkpoint(library.exp, library.ones(2), use_reentrant=False)
        for settings in (
            {"use_reentrant": True, "foo": 1},
            {"use_reentrant": True, "debug": True},
            {"use_reentrant": False, "determinism_check": "x"},
        ):
            with pytest.raises(ValueError):
                checkpoint(library.exp, x, **settings)
        with pytest.raises(RuntimeError, match=r"incompatible with \.grad"):
            library.autograd.grad(checkpoint(library.exp, x, use_reentrant=True).sum(), x)
        with pytest.raises(RuntimeError, match="none of output has requires_grad=True"):
            checkpoint(lambda x: x.detach(), x, use_reentrant=True).sum().backward()
        for again, message in ((lambda x: x * 2, "different number of tensors"), (lambda x: x[:1].exp(), "different metadata")):
            functions = iter([lambda x: x.exp(), again])
            with pytest.raises(tools.CheckpointError, match=message):
                checkpoint(lambda x, functions=functions: next(functions)(x), x, use_reentrant=False).sum().backward()
    assert issubclass(CheckpointError, RuntimeError)
