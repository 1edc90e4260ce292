"""Edges of the graph as objects, hooks on several tensors, batches of gradients, and the rules of Function: told of numbagrad and, where it is installed, of
PyTorch."""

from __future__ import annotations

import gc
import importlib
import warnings
import weakref
from typing import Any

import pytest

import numbagrad as ng

NAMES = ["numbagrad", "torch"]


@pytest.fixture(params=NAMES)
def lib(request):
    return importlib.import_module(request.param) if request.param == "numbagrad" else pytest.importorskip("torch")


def _leaves(lib: Any) -> tuple[Any, ...]:
    a = lib.tensor([1.0, 2.0], requires_grad=True)
    b = lib.tensor([3.0, 4.0], requires_grad=True)
    return a, b, a * b, a * b


# ---- edges -------------------------------------------------------------------------------------------------------------------------


def test_edges_in_the_place_of_tensors(lib):
    a, b, c, _ = _leaves(lib)
    graph, e = lib.autograd.graph, c * 2
    edge, leaf = graph.get_gradient_edge(c), graph.get_gradient_edge(a)
    assert (
        isinstance(edge, graph.GradientEdge)
        and edge.node is c.grad_fn
        and edge.output_nr == 0
        and type(leaf.node).__name__ == "AccumulateGrad"
    )
    assert lib.autograd.grad(e.sum(), edge, retain_graph=True)[0].tolist() == [2, 2]
    found = lib.autograd.grad(e.sum(), [leaf, b], retain_graph=True)
    assert [g.tolist() for g in found] == [[6, 8], [2, 4]]
    assert lib.autograd.grad(edge, a, grad_outputs=lib.ones(2), retain_graph=True)[0].tolist() == [3, 4]
    lib.autograd.backward(edge, lib.ones(2), inputs=[leaf], retain_graph=True)
    assert a.grad.tolist() == [3, 4] and b.grad is None
    lib.autograd.backward(e.sum(), inputs=[edge], retain_graph=True)
    assert a.grad.tolist() == [3, 4] and c.is_leaf is False
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        lib.autograd.grad(edge, a, grad_outputs=lib.ones(3), retain_graph=True)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.get_gradient_edge(lib.ones(1))
    assert isinstance(c.grad_fn, graph.Node)
    v = lib.ones(1)
    before = v._version
    graph.increment_version(v)
    graph.increment_version([v, v])
    assert v._version == before + 3


# ---- hooks on several tensors --------------------------------------------------------------------------------------------------------


def test_hook_on_several_tensors(lib):
    a, b, c, d = _leaves(lib)
    told: list[Any] = []
    handle = lib.autograd.graph.register_multi_grad_hook(
        (a, b, c, d), lambda grads: told.append([g is not None and g.tolist() for g in grads])
    )
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    (c + d).sum().backward(retain_graph=True)
    assert told == [
        [[3, 4], [1, 2], [1, 1], False],
        [[3, 4], False, [1, 1], False],
        [[6, 8], [2, 4], [1, 1], [1, 1]],
    ]
    handle.remove()
    c.sum().backward(retain_graph=True)
    assert len(told) == 3
    with pytest.raises(ValueError, match="Expects mode to be one of"):
        lib.autograd.graph.register_multi_grad_hook((a,), print, mode="some")


def test_when_a_hook_on_several_tensors_is_called(lib):
    a, _, c, _ = _leaves(lib)
    told: list[str] = []
    c.register_hook(lambda g: told.append("c"))
    a.register_hook(lambda g: told.append("a"))
    with lib.autograd.graph.register_multi_grad_hook((c,), lambda grads: told.append("several")):
        (c * 2).sum().backward(retain_graph=True)
    assert told == ["c", "several", "a"]
    told.clear()
    with lib.autograd.graph.register_multi_grad_hook((a, c), lambda grad: told.append(grad.tolist()), mode="any"):
        for _ in range(2):
            c.sum().backward(retain_graph=True)
    assert [t for t in told if isinstance(t, list)] == [[1, 1], [1, 1]]


def test_a_hook_on_several_tensors_keeps_no_graph():
    a = ng.ones(2, requires_grad=True)
    ng.autograd.graph.register_multi_grad_hook((a,), lambda grads: None)
    y = a * 2
    node = weakref.ref(y.grad_fn)
    y.sum().backward()
    del y
    gc.collect()
    assert node() is None


def test_a_gradient_that_turns_out_to_be_none():
    """Of a tensor on the way that receives none the hook does not wait."""

    class Half(ng.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g, None

    a, b, _, _ = _leaves(ng)
    c = b * 2
    told = []
    ng.autograd.graph.register_multi_grad_hook((a, c), lambda grads: told.append([g is None for g in grads]))
    Half.apply(a, c).sum().backward()
    assert told == [[False, True]]


# ---- saved tensors that change -------------------------------------------------------------------------------------------------------


def test_saved_tensors_may_change(lib):
    allow = lib.autograd.graph.allow_mutation_on_saved_tensors
    with allow():
        p = lib.tensor([1.0, 2.0], requires_grad=True)
        q = p.clone()
        out = (q**2).sum()
        q.sin_()
        out.backward()
    assert p.grad.tolist() == [2, 4]
    with allow():
        late = (p.clone() ** 2).sum()
        with pytest.raises(RuntimeError, match="cannot be nested"), allow():
            pass
    with pytest.raises(AssertionError, match="outside of the 'allow_mutation_on_saved_tensors' context"):
        late.backward()
    q = p.clone()
    out = (q**2).sum()
    q.sin_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


# ---- batches of gradients ------------------------------------------------------------------------------------------------------------


def test_gradients_of_a_batch(lib):
    a, b, c, _ = _leaves(lib)
    x = lib.ones(1, requires_grad=True)
    seeds = lib.eye(2)
    found = lib.autograd.grad(c, (a, b), grad_outputs=seeds, is_grads_batched=True, retain_graph=True)
    assert [g.tolist() for g in found] == [[[3, 0], [0, 4]], [[1, 0], [0, 2]]]
    found = lib.autograd.grad(c, (a, x), grad_outputs=seeds, is_grads_batched=True, retain_graph=True, allow_unused=True)
    assert found[1] is None
    squares = lib.autograd.grad(c * c, a, grad_outputs=seeds, is_grads_batched=True, create_graph=True)[0]
    assert lib.autograd.grad(squares.sum(), a)[0].tolist() == [18, 32]
    with pytest.raises(RuntimeError, match=r"interpret the first dimension.*grad_output\[0\]"):
        lib.autograd.grad(c, a, grad_outputs=lib.ones(2, 3), is_grads_batched=True)
    with pytest.raises(ValueError):
        lib.autograd.grad(c.sum(), a, is_grads_batched=True)
    jacobian = lib.autograd.functional.jacobian(lambda x: x**2, a, vectorize=True)
    assert jacobian.tolist() == [[2, 0], [0, 4]]


def test_graph_of_a_batch_is_freed():
    a, _, c, _ = _leaves(ng)
    ng.autograd.grad(c, a, grad_outputs=ng.eye(2), is_grads_batched=True)
    with pytest.raises(RuntimeError, match="second time"):
        ng.autograd.grad(c, a, grad_outputs=ng.eye(2), is_grads_batched=True)
    with pytest.warns(FutureWarning, match="only_inputs"):
        ng.autograd.grad((a * a).sum(), a, only_inputs=False)
    none = ng.autograd.grad(a * a, a, grad_outputs=ng.ones(0, 2), is_grads_batched=True)
    assert none[0].shape == (0, 2)


# ---- Function -----------------------------------------------------------------------------------------------------------------------


def _function(lib: Any, forward: Any, backward: Any = lambda ctx, g: g) -> Any:
    return type("Own", (lib.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def test_differentiated_once(lib):
    once = importlib.import_module(f"{lib.__name__}.autograd.function").once_differentiable

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x * x * g

    cube = _function(lib, forward, once(backward))
    x = lib.tensor(2.0, requires_grad=True)
    (slope,) = lib.autograd.grad(cube.apply(x) ** 2, x, create_graph=True)
    assert slope.item() == 192 and slope.requires_grad
    with pytest.raises(RuntimeError, match="trying to differentiate twice a function"):
        slope.backward()
    (plain,) = lib.autograd.grad(cube.apply(x), x)
    assert plain.item() == 12 and not plain.requires_grad


def test_changed_arguments(lib):
    def add(ctx, x):
        ctx.mark_dirty(x.add_(1))
        return x

    own = _function(lib, add)
    leaf = lib.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad has been used in an in-place operation"):
        own.apply(leaf)
    inner = lib.ones(1, requires_grad=True) * 1
    assert own.apply(inner) is inner

    def forget(ctx, x):
        ctx.mark_dirty(x)
        return x + 1

    with pytest.raises(RuntimeError, match="Some elements marked as dirty"):
        _function(lib, forget).apply(lib.ones(1, requires_grad=True) * 1)

    def other(ctx, x):
        y = x + 1
        ctx.mark_dirty(y)
        return y

    with pytest.warns(UserWarning, match="received a tensor that was not an input"):
        _function(lib, other).apply(lib.ones(1, requires_grad=True) * 1)


def test_mistakes_in_functions(lib):
    one = lib.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match="different than None at position 2, but the corresponding forward input was not a Variable"):
        _function(lib, lambda ctx, x, k: x * k, lambda ctx, g: (g, g)).apply(one, 2).sum().backward()
    with pytest.raises(RuntimeError, match=r"expected Variable or None \(got int\)"):
        _function(lib, lambda ctx, x: x * 2, lambda ctx, g: 3).apply(one).sum().backward()
    with pytest.raises(NotImplementedError, match="either the backward or vjp method"):
        type("Own", (lib.autograd.Function,), {"forward": staticmethod(lambda ctx, x: x * 2)}).apply(one).sum().backward()
    with (
        pytest.warns(DeprecationWarning, match="should not be instantiated"),
        pytest.raises(RuntimeError, match="Legacy autograd function"),
    ):
        _function(lib, lambda ctx, x: x * 2)()(one)


def test_what_a_call_remembers(lib):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        ctx.factor = 3
        return x * 2

    one = lib.ones(1, requires_grad=True)
    node = _function(lib, forward).apply(one).grad_fn
    assert node.name() == type(node).__name__ == "OwnBackward"
    assert node.saved_tensors[0] is one and node.factor == 3 and node.needs_input_grad == (True,)
    assert not hasattr(node, "nothing")
    assert issubclass(importlib.import_module(f"{lib.__name__}.autograd.function").FunctionCtx, object)


def test_decorated_classes_warn(lib):
    class Holder:
        def __init__(self):
            self.value = lib.ones(1, requires_grad=True) * 2

    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):
        quiet = lib.no_grad()(Holder)
    assert not quiet().value.requires_grad
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @lib.inference_mode()
        def double(x):
            return x * 2

        @lib.inference_mode
        def triple(x):
            return x * 3

    one = lib.ones(1, requires_grad=True)
    assert not double(one).requires_grad and not triple(one).requires_grad


def test_changing_an_argument_that_a_function_returned_changes_the_argument():
    """PyTorch refuses it; here the change is recorded as one of the argument, too."""

    class Same(ng.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return 10 * g

    one = ng.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        Same.apply(one).mul_(3)
    assert one.tolist() == [1, 1, 1]
    for chosen in (0, 1):
        x = one * 1
        y = Same.apply(x)
        y.mul_(3)
        (slope,) = ng.autograd.grad((x, y)[chosen].sum(), one)
        assert slope.tolist() == [30, 30, 30]
