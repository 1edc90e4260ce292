"""Joining, padding and rearranging tensors against PyTorch, with first and second derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.ops.copy import pad


def leaf(*shape, seed=0):
    return ng.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


CASES = [
    ("cat0", lambda m, x, y: m.cat([x, y, x]), [(2, 3), (1, 3)]),
    ("cat1", lambda m, x, y: m.cat((x, y), dim=-1), [(2, 3), (2, 1)]),
    ("cat of views", lambda m, x, y: m.concat([x.T, y], 0), [(3, 2), (2, 3)]),
    ("stack", lambda m, x, y: m.stack([x, y], 1), [(2, 3), (2, 3)]),
    ("stack of scalars", lambda m, x, y: m.stack([x, y]), [(), ()]),
    ("hstack", lambda m, x, y: m.hstack([x, y]), [(2,), (3,)]),
    ("hstack of matrices", lambda m, x, y: m.hstack([x, y]), [(2, 1), (2, 3)]),
    ("vstack", lambda m, x, y: m.vstack([x, y]), [(3,), (2, 3)]),
    ("dstack", lambda m, x, y: m.dstack([x, y]), [(2, 3), (2, 3, 2)]),
    ("dstack of vectors", lambda m, x, y: m.dstack([x, y]), [(2,), (2,)]),
    ("column_stack", lambda m, x, y: m.column_stack([x, y]), [(2,), (2, 3)]),
    ("atleast_3d", lambda m, x: m.atleast_3d(x), [(2, 3)]),
    ("atleast_2d", lambda m, x: m.atleast_2d(x), [()]),
    ("flip", lambda m, x: m.flip(x, (0, -1)), [(2, 3, 2)]),
    ("flip method", lambda m, x: x.flip(1), [(2, 3)]),
    ("fliplr", lambda m, x: m.fliplr(x), [(2, 3)]),
    ("flipud", lambda m, x: m.flipud(x), [(2, 3)]),
    ("rot90", lambda m, x: m.rot90(x, 1, (0, 1)), [(2, 3)]),
    ("rot90 thrice", lambda m, x: m.rot90(x, -1, (1, 2)), [(2, 3, 2)]),
    ("roll", lambda m, x: m.roll(x, (1, -2), (0, 1)), [(2, 3)]),
    ("roll flat", lambda m, x: m.roll(x, 4), [(2, 3)]),
    ("repeat", lambda m, x: x.repeat(2, 1, 3), [(2, 3)]),
    ("repeat by list", lambda m, x: x.repeat([2, 2]), [(3,)]),
    ("repeat of a scalar", lambda m, x: x.repeat(2), [()]),
    ("tile", lambda m, x: m.tile(x, (2,)), [(2, 3)]),
    ("tile method", lambda m, x: x.tile(2, 1, 2), [(2, 3)]),
    ("tril", lambda m, x: m.tril(x, -1), [(2, 3, 3)]),
    ("triu", lambda m, x: x.triu(1), [(3, 4)]),
]


@pytest.mark.parametrize("function, shapes", [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_values_and_derivatives(function, shapes):
    torch = pytest.importorskip("torch")
    inputs = tuple(leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    expected = function(torch, *(torch.tensor(x.detach().numpy()) for x in inputs))
    found = function(ng, *inputs)
    assert tuple(found.shape) == tuple(expected.shape) and np.array_equal(found.detach().numpy(), expected.numpy())
    assert gradcheck(lambda *x: function(ng, *x), inputs)
    assert gradgradcheck(lambda *x: function(ng, *x) ** 2, inputs)


@pytest.mark.parametrize(
    "shape, pads, mode",
    [
        ((3, 4), (1, 2, 0, 1), "constant"),
        ((3, 4), (-1, 2), "constant"),
        ((2, 4), (2, 1), "reflect"),
        ((2, 4), (2, -1), "replicate"),
        ((1, 3, 4), (1, 2, 2, 0), "circular"),
    ],
)
def test_pad(shape, pads, mode):
    torch = pytest.importorskip("torch")
    x = leaf(*shape)
    value = 1.5 if mode == "constant" else None
    expected = torch.nn.functional.pad(torch.tensor(x.detach().numpy()), pads, mode, value)
    assert np.array_equal(pad(x, pads, mode, value).detach().numpy(), expected.numpy())
    assert gradcheck(lambda t: pad(t, pads, mode, value), (x,))
    assert gradgradcheck(lambda t: pad(t, pads, mode, value) ** 2, (x,))


def test_cat_promotes_and_gradients_keep_their_dtype():
    a, b = ng.ones(2, requires_grad=True), ng.ones(3, dtype=ng.float64, requires_grad=True)
    c = ng.cat([a, b, ng.tensor([1])])
    assert c.dtype == ng.float64
    (c * ng.arange(6.0)).sum().backward()
    assert a.grad.dtype == ng.float32 and a.grad.tolist() == [0, 1] and b.grad.tolist() == [2, 3, 4]
    empty = ng.empty(0, requires_grad=True)
    ng.cat([empty, ng.ones(2, 3, requires_grad=True)]).sum().backward()
    assert empty.grad is None or empty.grad.shape == (0,)
    out = ng.empty(5)
    assert ng.cat([ng.ones(2), ng.zeros(3)], out=out) is out and out.tolist() == [1, 1, 0, 0, 0]


def test_triangles_in_place():
    x = leaf(3, 3)
    y = x * 2
    y.tril_()
    y[1:].triu_()
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), [[2, 0, 0], [2, 2, 0], [0, 2, 2]])


@pytest.mark.parametrize(
    "expression",
    [
        "m.cat([])", "m.cat([x, y])", "m.cat([x, 1])", "m.cat(x)", "m.cat([x], 2)", "m.stack([])", "m.stack([x, y])", "m.flip(x, (0, 0))", "m.fliplr(x[0])",
        "m.flip(x, (2,))", "m.roll(x, (1, 2), (0,))", "x.repeat(2)", "x.repeat(1, -1)", "m.tril(x[0])", "m.rot90(x, 1, (0, 0))", "m.stack([x], 3)",
        "m.cat([x[0, 0], x[0, 0]])", "m.rot90(x, 1, (0,))", "x.repeat('a')",
    ],
)  # fmt: skip
def test_errors_as_torch(expression):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as error:
        eval(expression, {"m": torch, "x": torch.zeros(2, 3), "y": torch.zeros(3, 2)})
    with pytest.raises(type(error.value)):
        eval(expression, {"m": ng, "x": ng.zeros(2, 3), "y": ng.zeros(3, 2)})


def test_pad_errors():
    x = ng.zeros(2, 3)
    for pads, mode, error in [((1,), "constant", RuntimeError), ((3, 3), "reflect", RuntimeError), ((1, 1), "mirror", NotImplementedError)]:
        with pytest.raises(error):
            pad(x, pads, mode)
    with pytest.raises(RuntimeError, match="value"):
        pad(x, (1, 1), "reflect", 1.0)
