"""Functions of functions, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng

torch = pytest.importorskip("torch")

A, B = np.random.default_rng(0).normal(size=(2, 3))
M = np.random.default_rng(1).normal(size=(4, 3))


def arrays(tree):
    """Tensors of either library as arrays, in the same form."""
    if isinstance(tree, dict):
        return {key: arrays(value) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return tuple(map(arrays, tree))
    return tree.detach().numpy() if hasattr(tree, "detach") else tree


def compare(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        ours, theirs = tuple(ours.values()), tuple(theirs.values())
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            compare(a, b)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def both(run):
    compare(*[arrays(run(library.func, library, *map(library.from_numpy, (A.copy(), B.copy(), M.copy())))) for library in (ng, torch)])


CASES = {
    "grad": lambda f, t, a, b, m: f.grad(lambda a, b: (a * b.exp()).sum(), argnums=(0, 1))(a, b),
    "grad of one": lambda f, t, a, b, m: f.grad(lambda a, b: (a * b.exp()).sum(), argnums=-1)(a, b),
    "grad of grad": lambda f, t, a, b, m: f.grad(lambda x: f.grad(lambda y: (y**3).sum())(x).sum())(a),
    "grad of a dict": lambda f, t, a, b, m: f.grad(lambda d: (d["a"] * d["b"] ** 2).sum())({"a": a, "b": b}),
    "grad of nothing": lambda f, t, a, b, m: f.grad(lambda a, b: (b * b).sum())(a, b),
    "grad with aux": lambda f, t, a, b, m: f.grad_and_value(lambda a: (a.sin().sum(), {"a": a * 2}), has_aux=True)(a),
    "perturbations of two levels": lambda f, t, a, b, m: f.grad(lambda x: (x * f.grad(lambda y: (x * y).sum())(x)).sum())(a),
    "vjp": lambda f, t, a, b, m: f.vjp(lambda a, b: (a * b, a), a, b)[1]((b, a)),
    "vjp with aux": lambda f, t, a, b, m: f.vjp(lambda a: (a * 2, a), a, has_aux=True)[2],
    "jvp": lambda f, t, a, b, m: f.jvp(lambda a, b: {"y": a * b.exp(), "z": a}, (a, b), (b, a)),
    "grad of jvp": lambda f, t, a, b, m: f.grad(lambda x: f.jvp(lambda y: y.exp() * y, (x,), (b,))[1].sum())(a),
    "jacrev": lambda f, t, a, b, m: f.jacrev(lambda a, b: (a * b, {"s": (a * a).sum()}), argnums=(0, 1))(a, b),
    "jacrev with aux": lambda f, t, a, b, m: f.jacrev(lambda a: (m @ a, a), has_aux=True)(a),
    "jacfwd": lambda f, t, a, b, m: f.jacfwd(lambda a: m @ a.exp())(a),
    "hessian": lambda f, t, a, b, m: f.hessian(lambda a, b: (a * b.exp()).sum(), argnums=(0, 1))(a, b),
    "vmap": lambda f, t, a, b, m: f.vmap(lambda row, b: (row * b).sum(), in_dims=(0, None))(m, b),
    "vmap of columns": lambda f, t, a, b, m: f.vmap(lambda c: (c * 2, c.sum()), in_dims=1, out_dims=(1, 0))(m),
    "vmap of a dict": lambda f, t, a, b, m: f.vmap(lambda d, x: {"y": d["m"] * x}, in_dims=({"m": 1}, None))({"m": m}, 2.0),
    "vmap of vmap": lambda f, t, a, b, m: f.vmap(lambda x: f.vmap(lambda y: x * y)(b))(a),
    "vmap of grad": lambda f, t, a, b, m: f.vmap(f.grad(lambda a, row: (a @ row).exp()), in_dims=(None, 0))(a, m),
    "vmap of nothing": lambda f, t, a, b, m: f.vmap(lambda x: x.sum())(m[:0]),
    "vmap of the last": lambda f, t, a, b, m: f.vmap(lambda x: x, out_dims=-1)(m),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    both(CASES[name])


def test_history_of_results():
    """Results require a gradient where something outside does, and not otherwise."""
    for library in (ng, torch):
        f = library.func
        w = library.ones(3, requires_grad=True)
        x = library.full((3,), 2.0)
        cube = lambda x, w=w: (w * x**3).sum()
        plain = lambda x: (x**3).sum()
        assert not f.grad(plain)(x).requires_grad and not f.vjp(plain, x)[0].requires_grad and not f.jacrev(plain)(x).requires_grad
        slope = f.grad(cube)(x)
        assert slope.requires_grad
        slope.sum().backward()
        assert w.grad.tolist() == [12, 12, 12]
        y = x.clone().requires_grad_()
        f.grad(plain)(y).sum().backward()
        assert y.grad.tolist() == [12, 12, 12]
        with library.no_grad():
            slope = f.grad(cube)(y)
        assert slope.tolist() == [12, 12, 12] and not slope.requires_grad


def test_functional_call():
    for library in (ng, torch):
        call = library.func.functional_call
        net = library.nn.Sequential(library.nn.Linear(3, 2), library.nn.Linear(2, 2))
        net[1].weight = library.nn.Parameter(library.eye(2))
        before = net[0].weight
        x = library.ones(1, 3)
        changed = {"0.weight": library.zeros(2, 3, requires_grad=True), "0.bias": library.ones(2), "1.bias": library.zeros(2)}
        y = call(net, changed, x)
        assert y.tolist() == [[1, 1]] and net[0].weight is before
        y.sum().backward()
        assert changed["0.weight"].grad.tolist() == [[1, 1, 1], [1, 1, 1]] and before.grad is None
        for given, error in ((changed, RuntimeError), ({**changed, "1.weight": before, "none": before}, RuntimeError)):
            with pytest.raises(error, match="reparametrizing for Sequential"):
                call(net, given, x, strict=True)
        for given in (3, [changed, changed]):
            with pytest.raises(ValueError):
                call(net, given, x)
        tied = library.nn.Sequential(net[1], library.nn.Identity())
        tied.other = net[1]
        assert call(tied, {"0.weight": library.ones(2, 2), "0.bias": library.zeros(2)}, library.ones(1, 2)).tolist() == [[4, 4]]


def test_ensemble():
    for library in (ng, torch):
        models = [library.nn.Linear(3, 2) for _ in range(4)]
        parameters, buffers = library.func.stack_module_state(models)
        x = library.ones(3)
        found = library.func.vmap(lambda p, models=models, x=x, library=library: library.func.functional_call(models[0], p, (x,)))(
            parameters
        )
        assert not buffers and parameters["weight"].requires_grad
        np.testing.assert_allclose(found.detach().numpy(), np.stack([m(x).detach().numpy() for m in models]), rtol=1e-5)


def test_randomness():
    x = ng.ones(4, 3)
    f = lambda x: x + ng.rand(3)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        ng.func.vmap(f)(x)
    same, different = ng.func.vmap(f, randomness="same")(x), ng.func.vmap(f, randomness="different")(x)
    assert (same == same[:1]).all() and not (different == different[:1]).all()


REFUSED = [
    lambda f, t, x: f.vjp(lambda a, b: (a * b, a), x, x)[1](x),
    lambda f, t, x: f.vjp(lambda a: 3, x),
    lambda f, t, x: f.grad(lambda a: a)(x),
    lambda f, t, x: f.grad(lambda a: (a.sum(), a.sum()))(x),
    lambda f, t, x: f.grad(lambda a: 3)(x),
    lambda f, t, x: f.grad(lambda a: a.sum(), argnums=1)(x),
    lambda f, t, x: f.grad(lambda a: a.sum(), argnums="a")(x),
    lambda f, t, x: f.grad(lambda a, b: a.sum(), argnums=1)(x, 3),
    lambda f, t, x: f.grad(lambda a: a.sum())(t.arange(3)),
    lambda f, t, x: f.jvp(lambda a: a, x, x),
    lambda f, t, x: f.jvp(lambda a: a, (x,), (x, x)),
    lambda f, t, x: f.jvp(lambda a: a, (x,), (x[:2],)),
    lambda f, t, x: f.vmap(lambda a: (a, 3))(x),
    lambda f, t, x: f.vmap(lambda a, b: a, in_dims=(None, None))(x, x),
    lambda f, t, x: f.vmap(lambda a, b: a)(x, x[:2]),
    lambda f, t, x: f.vmap(lambda a, b: a, in_dims=(0,))(x, x),
    lambda f, t, x: f.vmap(lambda a: a, in_dims=2)(x),
    lambda f, t, x: f.vmap(lambda a: a, in_dims="s")(x),
    lambda f, t, x: f.vmap(lambda a, b: a, in_dims=(0, 0))(x, 3),
    lambda f, t, x: f.vmap(lambda a: a, randomness="x")(x),
    lambda f, t, x: f.vmap(lambda a: a, out_dims=(0, 1))(x),
    lambda f, t, x: f.vmap(lambda a: a * 2, out_dims=None)(x),
    lambda f, t, x: f.vmap(lambda a: a, out_dims=5)(x),
    lambda f, t, x: f.vmap(lambda a: a, out_dims="s")(x),
    lambda f, t, x: f.vmap(lambda: 3)(),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_refused(number):
    with pytest.raises(Exception) as theirs:
        REFUSED[number](torch.func, torch, torch.ones(3))
    with pytest.raises(theirs.type):
        REFUSED[number](ng.func, ng, ng.ones(3))
