"""Sequential computes a Linear and the ReLU behind it as one operation: nobody can tell but by the clock."""

from __future__ import annotations

import copy
import pickle

import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.nn.modules import container


def model(inplace=False):
    ng.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(inplace), nn.Linear(7, 6, bias=False), nn.ReLU(), nn.Linear(6, 3))


def one_by_one(m, x):
    for module in m:
        x = module(x)
    return x


@pytest.fixture
def fused(monkeypatch):
    """How many pairs were computed as one operation."""
    calls = []

    def counted(*args):
        calls.append(args)
        return original(*args)

    original = container.linear_relu
    monkeypatch.setattr(container, "linear_relu", counted)
    return calls


def bits(tensors):
    return [t.tolist() for t in tensors]


@pytest.mark.parametrize("inplace", [False, True], ids=["new", "inplace"])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (0, 5), (2, 3, 5)], ids=str)
def test_values_and_gradients_are_the_same(fused, shape, inplace):
    found = []
    for run in (lambda m, x: m(x), one_by_one):
        m = model(inplace)
        x = ng.arange(ng.ones(shape).numel()).reshape(shape).div(7).sub(1).requires_grad_()
        y = run(m, x)
        (y * y).sum().backward()
        found.append(bits([y, x.grad, *(p.grad for p in m.parameters())]))
    assert found[0] == found[1]
    assert len(fused) == 2


def test_second_derivatives_are_the_same():
    found = []
    for run in (lambda m, x: m(x), one_by_one):
        m, x = model(), ng.linspace(-1, 1, 20).reshape(4, 5).requires_grad_()
        (slope,) = ng.autograd.grad((run(m, x) ** 2).sum(), x, create_graph=True)
        (slope**2).sum().backward()
        found.append(bits([slope, x.grad, *(p.grad for p in m.parameters() if p.grad is not None)]))
    assert found[0] == found[1]


HOOKS = {
    "forward": lambda module, seen: module.register_forward_hook(lambda m, args, y: seen.append(m)),
    "forward_pre": lambda module, seen: module.register_forward_pre_hook(lambda m, args: seen.append(m)),
    "full_backward": lambda module, seen: module.register_full_backward_hook(lambda m, gi, go: seen.append(m)),
    "full_backward_pre": lambda module, seen: module.register_full_backward_pre_hook(lambda m, g: seen.append(m)),
}


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_see_the_modules(fused, kind, position):
    m, x, seen = model(), ng.ones(4, 5, requires_grad=True), []
    expected = m(x).tolist()
    handle = HOOKS[kind](m[position], seen)
    y = m(x)
    y.sum().backward()
    assert seen == [m[position]] and y.tolist() == expected
    assert len(fused) == 3
    handle.remove()
    m(x)
    assert len(fused) == 5


class Doubled(nn.Linear):
    def forward(self, input):
        return 2 * super().forward(input)


class Leaky(nn.ReLU):
    def forward(self, input):
        return nn.functional.leaky_relu(input)


@pytest.mark.parametrize("first, second", [(Doubled, nn.ReLU), (nn.Linear, Leaky), (nn.Linear, nn.ReLU6)], ids=["Linear", "ReLU", "ReLU6"])
def test_other_classes_are_called(fused, first, second):
    m = nn.Sequential(first(5, 3) if first is nn.Linear else Doubled(5, 3), second())
    x = ng.linspace(-1, 1, 20).reshape(4, 5)
    assert m(x).tolist() == one_by_one(m, x).tolist()
    assert not fused


@pytest.mark.parametrize("position", [0, 1])
def test_a_forward_of_ones_own_is_called(fused, monkeypatch, position):
    m, x = model()[:2], ng.ones(4, 5)
    m[position].forward = lambda input: input[:1]
    assert m(x).shape[0] == 1
    del m[position].forward
    monkeypatch.setattr(type(m[position]), "forward", lambda self, input: input[:2])
    assert m(x).shape[0] == 2
    monkeypatch.undo()
    monkeypatch.setattr(nn.Module, "__call__", lambda self, input: input[:3])
    assert m.forward(x).shape[0] == 3
    assert not fused


def test_hooks_on_all_modules_see_what_is_between(fused):
    m, seen = model(), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: seen.append(type(module)))
    try:
        m(ng.ones(4, 5))
    finally:
        handle.remove()
    assert seen == [*map(type, m), nn.Sequential] and not fused
    m(ng.ones(4, 5))
    assert fused


def test_a_replaced_weight_is_used():
    m, x = model()[:2], ng.ones(4, 5)
    del m[0].weight
    m[0].weight = -ng.ones(2, 5)
    m[0].bias = None
    assert m(x).tolist() == [[0, 0]] * 4
    m[0].weight = ng.ones(5)
    assert m(x).tolist() == [5] * 4


def test_structure_is_unaffected(fused):
    m = model()
    m(ng.ones(4, 5))
    assert [name for name, _ in m.named_modules()] == ["", "0", "1", "2", "3", "4"]
    assert list(m.state_dict()) == ["0.weight", "0.bias", "2.weight", "4.weight", "4.bias"]
    assert [type(module) for module in m[1:4]] == [nn.ReLU, nn.Linear, nn.ReLU]
    x = ng.linspace(-1, 1, 20).reshape(4, 5)
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert other(x).tolist() == m(x).tolist()
    assert m[:1](x).tolist() == m[0](x).tolist()  # a Linear at the end
    assert m[:1](x).grad_fn.name() == "LinearBackward0" and m[:2](x).grad_fn.name() == "ReluBackward0"


def test_retain_grad_and_anomaly_mode(fused):
    m, x = model(), ng.ones(4, 5)
    with ng.autograd.detect_anomaly():
        hidden = m[:2](x)
        hidden.retain_grad()
        m[2:](hidden).sum().backward()
    assert hidden.grad.shape == (4, 7) and len(fused) == 2


def test_errors_are_those_of_the_modules():
    for x in (ng.ones(4, 6), [1.0], ng.ones(4, 5).double()):
        m = model()
        with pytest.raises((RuntimeError, TypeError)) as expected:
            m[0](x)
        with pytest.raises(type(expected.value)) as error:
            m(x)
        assert str(error.value) == str(expected.value)
