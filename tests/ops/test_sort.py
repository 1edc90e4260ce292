"""Sorting, selection and search on tensors: PyTorch's values and signatures, gradients to the elements selected, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck

DIFFERENTIABLE = {
    "sort": lambda x: x.sort(1)[0],
    "sort descending": lambda x: ng.sort(x, 0, descending=True).values,
    "msort": lambda x: x.msort(),
    "topk": lambda x: x.topk(2, 1)[0],
    "topk smallest": lambda x: x.topk(2, dim=1, largest=False).values,
    "kthvalue": lambda x: x.kthvalue(2, 1)[0],
    "median": lambda x: x.median(),
    "median dim": lambda x: x.median(1, True)[0],
    "nanmedian": lambda x: x.nanmedian(1).values,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name):
    x = ng.tensor(np.random.default_rng(0).permutation(24).reshape(2, 4, 3) / 2.0, requires_grad=True)
    for f in (DIFFERENTIABLE[name], lambda x: DIFFERENTIABLE[name](x * x)):
        assert gradcheck(f, (x,))
        assert gradgradcheck(f, (x,))


def test_values_and_signatures_match_torch():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((3, 7, 5)).astype(np.float32)
    calls = [
        lambda m, x: m.sort(x)[0],
        lambda m, x: x.sort(1, True)[1],
        lambda m, x: m.sort(x, dim=0, stable=True).indices,
        lambda m, x: x.argsort(1),
        lambda m, x: m.argsort(x, dim=-1, descending=True),
        lambda m, x: m.msort(x),
        lambda m, x: m.topk(x, 3, 1)[1],
        lambda m, x: x.topk(2, largest=False).values,
        lambda m, x: m.kthvalue(x, 3, 1, True)[0],
        lambda m, x: x.median(),
        lambda m, x: m.median(x, 1)[1],
        lambda m, x: x.nanmedian(dim=0, keepdim=True).values,
        lambda m, x: (x * 2).int().unique(),
        lambda m, x: m.unique((x * 2).int(), return_inverse=True)[1],
        lambda m, x: m.unique((x * 2).int(), return_inverse=True, return_counts=True)[2],
        lambda m, x: m.unique((x * 2).int(), return_counts=True)[1],
        lambda m, x: m.searchsorted(m.sort(x[0, 0])[0], x),
        lambda m, x: m.searchsorted(m.sort(x, 2)[0], x, right=True),
        lambda m, x: m.searchsorted(m.sort(x[0, 0])[0], 0.3, side="right", out_int32=True),
        lambda m, x: m.searchsorted(x[0, 0], x, sorter=m.argsort(x[0, 0])),
        lambda m, x: m.bucketize(x, m.tensor([-1.0, 0.0, 1.0]), right=True),
    ]
    for i, call in enumerate(calls):
        ours, theirs = call(ng, ng.tensor(values)), call(torch, torch.tensor(values))
        assert tuple(ours.shape) == tuple(theirs.shape), i
        assert str(ours.dtype).partition(".")[2] == str(theirs.dtype).partition(".")[2], i
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=str(i))


def test_median_of_all_shares_among_ties_and_lets_nan_win():
    x = ng.tensor([1.0, 2.0, 2.0, 5.0], requires_grad=True)
    x.median().backward()
    assert x.grad.tolist() == [0, 0.5, 0.5, 0]
    assert math.isnan(ng.tensor([1.0, math.nan]).median().item()) and ng.tensor([1.0, math.nan, 3.0]).nanmedian().item() == 1
    assert math.isnan(ng.zeros(0).median().item())


def test_scalars_and_nothing():
    s = ng.tensor(2.0, requires_grad=True)
    (s.sort()[0] + s.topk(1).values + s.kthvalue(1)[0] + s.median(0).values).backward()
    assert s.grad.item() == 4
    assert ng.zeros(0, 3).sort(0).values.shape == (0, 3)
    assert ng.zeros(0).unique().shape == (0,)


def test_search_among_other_dtypes():
    """Compared in the dtype that holds both: 2.5 is not 2 because the boundaries are integers."""
    whole, real = ng.tensor([1, 2, 3]), ng.tensor([1.0, 2.0, 3.0])
    assert ng.bucketize(2.5, whole).item() == 2 and ng.searchsorted(whole, 2.5, right=True).item() == 2
    assert ng.searchsorted(whole, ng.tensor([1.5, 2.0, 9.0])).tolist() == [1, 1, 3]
    assert ng.bucketize(ng.tensor([1, 4]), real, right=True).tolist() == [1, 3]
    assert ng.searchsorted(real, ng.tensor([2.5], dtype=ng.float64)).tolist() == [2]


def test_bad_input():
    x = ng.ones(2, 3)
    with pytest.raises(IndexError, match="out of range"):
        x.sort(2)
    with pytest.raises(TypeError, match="dim"):
        x.sort("a")
    with pytest.raises(RuntimeError, match="k out of range"):
        x.topk(4)
    with pytest.raises(RuntimeError, match="out of range"):
        x.kthvalue(4)
    with pytest.raises(RuntimeError, match="side"):
        ng.searchsorted(x[0], x, side="middle")
    with pytest.raises(RuntimeError, match="opposites"):
        ng.searchsorted(x[0], x, side="left", right=True)
    with pytest.raises(RuntimeError, match="sorter"):
        ng.searchsorted(x[0], x, sorter=ng.tensor([0.0, 1.0, 2.0]))
    with pytest.raises(RuntimeError, match="1 dimension"):
        ng.bucketize(x, x)
