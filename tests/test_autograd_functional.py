"""Jacobians, Hessians and their products with vectors, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng

torch = pytest.importorskip("torch")

A, B = np.random.default_rng(0).normal(size=(2, 3))
CASES = [
    ("jacobian", lambda x: x.exp() * x.sum(), (A,), ()),
    ("jacobian", lambda x, y: (x * y, x.sum()), (A, B), ()),
    ("jacobian", lambda x, y: x * 2, (A, B), ()),
    ("hessian", lambda x: (x**3).sum(), (A,), ()),
    ("hessian", lambda x, y: (x**3 * y).sum(), (A, B), ()),
    ("hessian", lambda x: x.sum(), (A,), ()),
    ("vjp", lambda x, y: x * y.exp(), (A, B), (B,)),
    ("vjp", lambda x: x.exp().sum(), (A,), ()),
    ("jvp", lambda x, y: x * y.exp(), (A, B), ((B, A),)),
    ("jvp", lambda x, y: (x * y.exp(), y), (A, B), ((B, A),)),
    ("vhp", lambda x, y: (x**3 * y).sum(), (A, B), ((B, A),)),
    ("hvp", lambda x, y: (x**3 * y).sum(), (A, B), ((B, A),)),
]


def flat(x):
    return [t for part in x for t in flat(part)] if isinstance(x, tuple) else [x]


def nesting(x):
    return tuple(nesting(part) for part in x) if isinstance(x, tuple) else None


def both(name, function, inputs, args=(), **settings):
    def run(library):
        made = tuple(library.from_numpy(x.copy()) for x in inputs)
        vectors = [tuple(map(library.from_numpy, v)) if isinstance(v, tuple) else library.from_numpy(v) for v in args]
        return getattr(library.autograd.functional, name)(function, made if len(made) > 1 else made[0], *vectors, **settings)

    return run(ng), run(torch)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name, function, inputs, args", CASES)
def test_as_pytorch(name, function, inputs, args, create_graph):
    ours, theirs = both(name, function, inputs, args, create_graph=create_graph)
    assert nesting(ours) == nesting(theirs)
    for a, b in zip(flat(ours), flat(theirs)):
        assert tuple(a.shape) == tuple(b.shape) and a.requires_grad == b.requires_grad
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


ERRORS = [
    ("jacobian", lambda x: 3, (A,), (), {}, TypeError),
    ("vjp", lambda x: x, (A,), (), {}, RuntimeError),
    ("vjp", lambda x: x, (A,), (B[:2],), {}, RuntimeError),
    ("vjp", lambda x: x, (A,), ((B, B),), {}, RuntimeError),
    ("jvp", lambda x: x, (A,), (), {}, RuntimeError),
    ("hessian", lambda x: x, (A,), (), {}, RuntimeError),
    ("hessian", lambda x: (x.sum(), x.sum()), (A,), (), {}, RuntimeError),
    ("vhp", lambda x: x, (A,), (B,), {}, RuntimeError),
    ("jacobian", lambda x: x.detach(), (A,), (), {"strict": True}, RuntimeError),
    ("jacobian", lambda x, y: x * 1, (A, B), (), {"strict": True}, RuntimeError),
    ("hessian", lambda x: x.sum(), (A,), (), {"strict": True}, RuntimeError),
    ("jacobian", lambda x: x * 2, (A,), (), {"strict": True, "create_graph": True}, RuntimeError),
    ("hvp", lambda x: (x * x).sum(), (A,), (B,), {"strict": True, "create_graph": True}, RuntimeError),
    ("jacobian", lambda x: x, (A,), (), {"strict": True, "vectorize": True}, RuntimeError),
    ("jacobian", lambda x: x, (A,), (), {"strategy": "forward-mode"}, NotImplementedError),
]


@pytest.mark.parametrize("name, function, inputs, args, settings, kind", ERRORS)
def test_errors(name, function, inputs, args, settings, kind):
    for library in (ng, torch):
        made = tuple(library.from_numpy(x.copy()) for x in inputs)
        vectors = [tuple(map(library.from_numpy, v)) if isinstance(v, tuple) else library.from_numpy(v) for v in args]
        with pytest.raises(kind):
            getattr(library.autograd.functional, name)(function, made if len(made) > 1 else made[0], *vectors, **settings)


def test_inputs_and_modes():
    with pytest.raises(TypeError, match="either a Tensor or a tuple of Tensors"):
        ng.autograd.functional.jacobian(lambda x: x, [1.0])
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    assert ng.autograd.functional.jacobian(lambda t: t * t, x).tolist() == [[2, 0], [0, 4]] and x.grad is None
    found = ng.autograd.functional.jacobian(lambda t: t * t, x, create_graph=True)
    assert ng.autograd.grad(found.sum(), x)[0].tolist() == [2, 2]
    with ng.no_grad():
        assert ng.autograd.functional.hessian(lambda t: (t**3).sum(), x.detach()).tolist() == [[6, 0], [0, 12]]
    assert ng.autograd.functional.jacobian(lambda t: t.exp(), ng.ones(0)).shape == (0, 0)
