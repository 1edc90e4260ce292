"""The seam between kernels and tensors: rules, what they keep, and gradients that are computed together."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.ops._operation import differentiable


def scaled_product(calls, decline=False):
    """a·b, whose gradients are computed together; ``calls`` collects what was wanted."""

    def together(wanted, g, b, a):
        calls.append(wanted)
        if decline:
            return None
        return (g * b if wanted[0] else None), (g * a if wanted[1] else None)

    return differentiable("product", lambda a, b: a * b, a=lambda g, b: g * b, b=lambda g, a: g * a, together=together)


def leaf(*values):
    return ng.tensor([float(v) for v in values], dtype=ng.float64, requires_grad=True)


@pytest.mark.cpu
def test_together_takes_the_place_of_the_rules():
    calls = []
    x, y = leaf(1, 2), leaf(3, 4)
    scaled_product(calls)(x, y).sum().backward()
    assert x.grad.tolist() == [3, 4] and y.grad.tolist() == [1, 2] and calls == [(True, True)]


@pytest.mark.parametrize(("first", "wanted"), [(True, (True, False)), (False, (False, True))])
@pytest.mark.cpu
def test_together_is_told_what_is_wanted(first, wanted):
    calls = []
    x, y = leaf(1, 2), leaf(3, 4)
    operands = (x, y.detach()) if first else (x.detach(), y)
    scaled_product(calls)(*operands).sum().backward()
    assert calls == [wanted]
    assert (x.grad if first else y.grad).tolist() == ([3, 4] if first else [1, 2])


@pytest.mark.cpu
def test_together_may_decline():
    calls = []
    x, y = leaf(1, 2), leaf(3, 4)
    scaled_product(calls, decline=True)(x, y).sum().backward()
    assert x.grad.tolist() == [3, 4] and y.grad.tolist() == [1, 2] and calls == [(True, True)]


@pytest.mark.cpu
def test_a_recorded_backward_runs_the_rules():
    calls = []
    product = scaled_product(calls)
    x, y = leaf(1, 2), leaf(3, 4)
    (dx,) = ng.autograd.grad(product(x, y).sum(), x, create_graph=True)
    (dxy,) = ng.autograd.grad(dx.sum(), y)
    assert calls == [] and dxy.tolist() == [1, 1]


@pytest.mark.cpu
def test_together_sees_what_was_changed_in_place():
    x, y = leaf(1, 2), leaf(3, 4)
    kept = y * 1
    result = scaled_product([])(x, kept)
    kept.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


@pytest.mark.cpu
def test_together_keeps_no_more_than_the_rules_of_what_is_wanted():
    x, y = leaf(1, 2), leaf(3, 4)
    left, right = x * 1, (y * 1).detach()
    gone = weakref.ref(left._data)
    result = scaled_product([])(left, right)
    del left
    gc.collect()
    assert gone() is None  # only the gradient of y reads it, and y wants none
    result.sum().backward()
    assert x.grad.tolist() == [3, 4]


LINEAR = {
    "matrix": ((5, 3), (4, 3), (4,)),
    "vector": ((3,), (4, 3), (4,)),
    "batches": ((2, 5, 3), (4, 3), (4,)),
    "no rows": ((0, 3), (4, 3), (4,)),
    "no features": ((5, 0), (4, 0), (4,)),
    "one bias for all": ((5, 3), (4, 3), ()),
    "no bias": ((5, 3), (4, 3), None),
}


@pytest.mark.parametrize("case", LINEAR)
@pytest.mark.parametrize("dtype", [ng.float64, ng.bfloat16, ng.complex128], ids=str)
@pytest.mark.parametrize("wanted", ["all", "weight"])
def test_gradients_of_linear_agree_with_its_rules(case, dtype, wanted):
    ng.manual_seed(0)
    shapes = LINEAR[case]
    operands = [None if s is None else ng.randn(s, dtype=ng.float64).to(dtype) for s in shapes]
    for i, t in enumerate(operands):
        if t is not None:
            t.requires_grad_(wanted == "all" or i == 1)
    leaves = [t for t in operands if t is not None and t.requires_grad]
    y = ng.nn.functional.linear(*operands)
    seed = ng.randn(y.shape, dtype=ng.float64).to(dtype)
    for g in (seed, seed.mT.contiguous().mT if seed.ndim > 1 else seed, ng.ones((), dtype=dtype).expand(y.shape)):
        ruled = ng.autograd.grad(y, leaves, g, create_graph=True)
        found = ng.autograd.grad(y, leaves, g, retain_graph=True)
        for a, b in zip(found, ruled):
            assert a.shape == b.shape and a.dtype == b.dtype
            ng.testing.assert_close(a, b.detach())


def test_kernels_do_not_write_into_what_was_kept():
    x = ng.randn(4, 3, requires_grad=True)
    weight = ng.randn(2, 3, requires_grad=True)
    y = ng.nn.functional.linear(x, weight)
    before = [t.detach().numpy().copy() for t in (x, weight, y)]
    y.sum().backward()
    for t, then in zip((x, weight, y), before):
        np.testing.assert_array_equal(t.detach().numpy(), then)
