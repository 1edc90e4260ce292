"""What the graph frees, keeps and refuses, each beside PyTorch."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import numbagrad as ng

from .op_table import ELEMENTWISE

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).uniform(0.1, 0.9, (4, 3))
SAVES_NOTHING = {
    "add a number": lambda m, x: x + 1,
    "add, scaled": lambda m, x: x.add(x, alpha=2),
    "sub": lambda m, x: 1 - x,
    "neg": lambda m, x: -x,
    "sum": lambda m, x: x.sum(),
    "sum of rows": lambda m, x: x.sum(1, keepdim=True),
    "mean": lambda m, x: x.mean(0),
    "t": lambda m, x: x.t(),
    "view": lambda m, x: x.view(2, 6),
    "slice": lambda m, x: x[1:, 0],
    "expand": lambda m, x: x.unsqueeze(0).expand(2, 4, 3),
    "diagonal": lambda m, x: x.diagonal(),
    "chunk": lambda m, x: x.chunk(2)[1],
    "unbind": lambda m, x: x.unbind(1)[0],
    "repeat": lambda m, x: x.repeat(2, 1),
    "cat": lambda m, x: m.cat([x, x]),
    "stack": lambda m, x: m.stack([x, x], 1),
    "flip": lambda m, x: x.flip(0),
    "roll": lambda m, x: x.roll(1, 0),
    "tril": lambda m, x: x.tril(),
    "pad": lambda m, x: m.nn.functional.pad(x, (1, 2)),
    "clone": lambda m, x: x.clone(),
    "float": lambda m, x: x.float(),
    "cumsum": lambda m, x: x.cumsum(0),
    "add_": lambda m, x: (x + 0).add_(x),
    "zero_": lambda m, x: (x + 0).zero_(),
}
SAVES = {
    "mul": lambda m, x: x * x,
    "mul by a number": lambda m, x: x * 2,
    "exp": lambda m, x: x.exp(),
    "matmul": lambda m, x: x @ x.t(),
    "relu": lambda m, x: x.relu(),
    "softmax": lambda m, x: x.softmax(0),
    "max": lambda m, x: x.max(0)[0],
    "index": lambda m, x: x[m.tensor([0, 2])],
    "gather": lambda m, x: x.gather(0, m.tensor([[0, 1, 2]])),
    "masked_fill": lambda m, x: x.masked_fill(x > 0.5, 0.0),
    "var": lambda m, x: x.var(),
    "sort": lambda m, x: x.sort(0)[0],
}


def leaf(m, values=X):
    return m.tensor(values.tolist(), dtype=m.float64, requires_grad=True)


@pytest.mark.parametrize("name", SAVES_NOTHING)
def test_a_graph_that_saved_nothing_is_walked_again(name):
    grads = []
    for m in (ng, torch):
        x = leaf(m)
        y = SAVES_NOTHING[name](m, x + 0)
        for _ in range(2):
            (y * y).sum().backward()
        grads.append(x.grad.tolist())
    np.testing.assert_allclose(*grads, rtol=1e-6)


@pytest.mark.parametrize("name", SAVES)
def test_a_graph_that_saved_values_is_not(name):
    for m in (ng, torch):
        total = SAVES[name](m, leaf(m) + 0).sum()
        total.backward()
        with pytest.raises(RuntimeError, match="second time"):
            total.backward()


def second_order(m, values, operation):
    """Gradients of |∂(w·operation)|² by the leaves behind its arguments: lists, or None for one that is in no graph."""
    leaves = [leaf(m, v) for v in values]
    behind = [x + 0 for x in leaves]
    y = operation(m, *behind)
    weights = m.arange(1, y.numel() + 1, dtype=m.float64).reshape(y.shape)
    first = m.autograd.grad((y * weights).sum(), behind, create_graph=True)
    total = sum((g**2).sum() for g in first)
    if not total.requires_grad:
        return None
    return [None if g is None else g.numpy(force=True) for g in m.autograd.grad(total, leaves, allow_unused=True)]


REFUSED = {"hardsigmoid"}  # by PyTorch, which has no second derivative of it
CONSTANT = {"maximum", "minimum", "fmax", "fmin"}  # whose first derivative PyTorch takes for a constant


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if op.gradient and op.name not in REFUSED], ids=lambda op: op.id)
def test_what_is_flat_has_a_gradient_of_zero(op):
    """A slope that does not change with an operand that it reads has a derivative of zero in it, not none."""
    values = op.samples((4, 3))
    ours, theirs = (second_order(m, values, lambda m, *args: op.of(m)(*args, **op.settings)) for m in (ng, torch))
    if theirs is None:
        assert ours is None or (op.name in CONSTANT and not np.any(ours))
        return
    assert [g is None for g in ours] == [g is None for g in theirs]
    for a, b in zip(ours, theirs):
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["ReLU", "ReLU6", "LeakyReLU", "Hardtanh", "Tanh"])
def test_gradient_penalty(activation):
    """The gradient of a network's slope: zero for a bias under a ReLU, none for the last bias."""
    found = []
    for m in (ng, torch):
        net = m.nn.Sequential(m.nn.Linear(3, 3), getattr(m.nn, activation)(), m.nn.Linear(3, 1)).double()
        with m.no_grad():
            for p in net.parameters():
                p.copy_(m.arange(p.numel()).reshape(p.shape) * 0.1 - 0.2)
        x = leaf(m)
        (g,) = m.autograd.grad(net(x).sum(), x, create_graph=True)
        (g**2).sum().backward()
        found.append([None if p.grad is None else p.grad.numpy() for p in net.parameters()])
    for ours, theirs in zip(*found):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def _hook_first(y):
    y.register_hook(lambda g: g * 10)
    y.retain_grad()


def _hook_after(y):
    y.retain_grad()
    y.register_hook(lambda g: g * 10)


def _changed(y):
    y.retain_grad()
    y.register_hook(lambda g: g * 10)  # stays with the old value
    y.mul_(4)


def _view_changed(y):
    y.retain_grad()
    y[:2].mul_(5)


def _replaced(y):
    y.retain_grad()
    y.copy_(y.detach() + 1)


@pytest.mark.parametrize("prepare", [_hook_first, _hook_after, _changed, _view_changed, _replaced])
def test_retained_gradient(prepare):
    """After all hooks, and of the value that the tensor has now."""
    found = []
    for m in (ng, torch):
        x = leaf(m)
        y = x * 2
        z = y + 1  # the old value is used too
        prepare(y)
        (y * 3 + z).sum().backward()
        found.append((y.grad.tolist(), x.grad.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("changed", ["view", "base"])
def test_retained_gradient_of_a_view(changed):
    found = []
    for m in (ng, torch):
        base = leaf(m) * 2
        view = base[:2]
        view.retain_grad()
        (view if changed == "view" else base).mul_(5)
        (view * 3).sum().backward()
        found.append(view.grad.tolist())
    assert found[0] == found[1]


def test_retained_gradient_is_a_copy():
    x, seen = leaf(ng), []
    y = x * 2
    y.retain_grad()
    y.register_hook(seen.append)
    y.sum().backward()
    y.grad.mul_(7)
    assert seen[0].tolist() == np.ones((4, 3)).tolist()


@pytest.mark.parametrize(
    "hook,error,match",
    [
        (lambda g: g.float(), RuntimeError, "has changed the type of value .was .* got"),
        (lambda g: g[:2], RuntimeError, "has changed the size of value"),
        (lambda g: g[:2].float(), RuntimeError, "has changed the type of value"),
        (lambda g: 5, TypeError, "expected Variable, but hook returned 'int'"),
    ],
    ids=["dtype", "shape", "both", "no tensor"],
)
@pytest.mark.parametrize("of", ["leaf", "result"])
def test_hooks_that_return_something_else(of, hook, error, match):
    for m in (ng, torch):
        x = leaf(m)
        y = x * 2
        (x if of == "leaf" else y).register_hook(hook)
        with pytest.raises(error, match=match):
            y.sum().backward()


def test_a_tensor_is_not_its_own_gradient():
    for m in (ng, torch):
        x = leaf(m)
        with pytest.raises(RuntimeError, match="can't assign Variable as its own grad"):
            x.grad = x


@pytest.mark.parametrize(
    "divide", [lambda m, x: m.floor_divide(x, 0.3), lambda m, x: x // x, lambda m, x: 2.0 // x, lambda m, x: (x + 0).floor_divide_(2)]
)
def test_floor_divide_has_no_derivative(divide):
    for m in (ng, torch):
        y = divide(m, leaf(m))
        assert y.requires_grad and "NotImplemented" in repr(y.grad_fn)
        with pytest.raises(RuntimeError, match=r"derivative for .*floor_divide_? is not implemented"):
            y.sum().backward()


def test_floored_quotients_are_flat():
    for m in (ng, torch):
        x = leaf(m)
        x.div(0.3, rounding_mode="floor").sum().backward()
        assert x.grad.tolist() == np.zeros((4, 3)).tolist()


@pytest.mark.parametrize("count", [2**31, 2**40, 2**70])
def test_thread_counts_beyond_an_int(count):
    for m in (ng, torch):
        with pytest.raises(ValueError):
            m.set_num_threads(count)
    script = [sys.executable, "-c", "import numbagrad"]
    ran = subprocess.run(script, env={**os.environ, "NUMBAGRAD_NUM_THREADS": str(count)}, capture_output=True, text=True)
    assert ran.returncode and "NUMBAGRAD_NUM_THREADS: expected at most 2147483647" in ran.stderr


def test_no_machine_is_asked_for_a_million_threads():
    before = ng.get_num_threads()
    try:
        ng.set_num_threads(10**6)
        assert 256 <= ng.get_num_threads() < 10**5
    finally:
        ng.set_num_threads(before)


@pytest.mark.parametrize("replaced", [None, (None,)])
def test_backward_hook_without_gradients_of_inputs(replaced):
    linear = ng.nn.Linear(2, 2)
    linear.register_full_backward_hook(lambda m, gi, go: replaced)
    linear(ng.ones(1, 2)).sum().backward()
    assert linear.bias.grad.tolist() == [1.0, 1.0]


def test_backward_hook_that_makes_up_a_gradient_of_inputs():
    linear = ng.nn.Linear(2, 2)
    linear.register_full_backward_hook(lambda m, gi, go: go)
    with pytest.raises(RuntimeError, match="should always return None or None for all gradients"):
        linear(ng.ones(1, 2)).sum().backward()


LEAVES = {
    "contiguous": lambda m: m.ones(3, 4),
    "transposed": lambda m: m.ones(4, 3).t(),
    "with gaps": lambda m: m.ones(6, 4)[::2],
    "expanded": lambda m: m.ones(3, 1).expand(3, 4),
}
USES = {
    "transposed": lambda m, x: m.ones(2, 4) @ x.t(),
    "permuted": lambda m, x: x.permute(1, 0) * 2,
    "as it is": lambda m, x: x * 3,
    "summed": lambda m, x: x.sum(),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("leaf", LEAVES)
def test_gradients_lie_as_their_leaves_do(leaf, use, create_graph):
    found = []
    for lib in (torch, ng):
        x = LEAVES[leaf](lib).detach().requires_grad_()
        USES[use](lib, x).sum().backward(create_graph=create_graph)
        found.append((x.grad.stride(), x.grad.tolist()))
    assert found[1] == found[0] or (create_graph and leaf != "contiguous" and found[1][1] == found[0][1])


def test_gradients_kept_with_their_graph_are_not_shared():
    x, y, seed = ng.ones(3, requires_grad=True), ng.ones(3, requires_grad=True), ng.ones(3)
    (x + y).backward(seed, create_graph=True)
    x.grad.detach().zero_()
    assert y.grad.tolist() == seed.tolist() == [1, 1, 1]


@pytest.mark.parametrize("lib", [torch, ng], ids=["torch", "ng"])
@pytest.mark.parametrize("walked", [False, True])
def test_contexts_go_with_their_graph(lib, walked):
    """Without the garbage collector: a context may hold a lot, and so may what is behind its node."""

    class Held:
        pass

    class Own(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.held = Held()
            seen.append(weakref.ref(ctx.held))
            y = x * 2
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    seen: list = []
    layer = lib.nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda *args: None)
    seen.append(weakref.ref(layer.weight))
    gc.disable()
    try:
        y = layer(Own.apply(lib.ones(1, 2, requires_grad=True))).sum()
        if walked:
            y.backward()
        del y, layer
        assert [each() for each in seen] == [None, None]
    finally:
        gc.enable()
