"""Sorting, selection and search on a GPU: exactly the CPU's results, in rows that a block sorts and in longer ones."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from tests.cuda.tensors import LAST, ON_A_GPU, same

pytestmark = ON_A_GPU

DTYPES = (ng.bool, ng.uint8, ng.int8, ng.int16, ng.int32, ng.int64, ng.float16, ng.bfloat16, ng.float32, ng.float64)
# In the simulator a block sorts 72 elements, and a chunk of the device's sort has 128.
SHORT = (((3, 1), 1), ((5, 7), -1), ((2, 40), 1), ((4, 10, 3), 1), ((72,), 0), ((2, 0), 1))


def few(dtype, *shape):
    """Numbers of which many are equal: with NaN, both infinities and both zeros where there are such."""
    rng = np.random.default_rng(sum(shape))
    if not dtype.is_floating_point:
        return ng.tensor(rng.integers(0, 200, shape)).to(dtype)
    x = rng.integers(-4, 5, shape) / 2
    for special in (np.nan, np.inf, -np.inf, -0.0):
        x[rng.random(shape) < 0.06] = special
    return ng.tensor(x).to(dtype)


def both(f, *tensors):
    """See that ``f`` finds the same on the CPU and on a GPU."""
    expected, found = f(*tensors), f(*(t.cuda(LAST) for t in tensors))
    if isinstance(expected, ng.Tensor):
        expected, found = (expected,), (found,)
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        same(a, b)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_short_rows(dtype):
    for shape, dim in SHORT if dtype in (ng.float32, ng.int16) else SHORT[1:2]:
        x = few(dtype, *shape)
        both(lambda t: t.sort(dim), x)
        both(lambda t: t.sort(dim, descending=True), x)
        both(lambda t: t.topk((shape[dim] + 1) // 2, dim), x)


@pytest.mark.parametrize("dtype", [ng.uint8, ng.int64, ng.bfloat16, ng.float64], ids=str)
def test_selected_in_short_rows(dtype):
    for shape, dim in SHORT[:4]:
        x = few(dtype, *shape)
        both(lambda t: t.kthvalue((shape[dim] + 1) // 2, dim), x)
        both(lambda t: t.median(dim, keepdim=True), x)
        both(lambda t: t.nanmedian(dim), x)
    both(lambda t: t.median(), few(dtype, 3, 5))
    both(lambda t: t.msort(), few(dtype, 5, 3))


@pytest.mark.parametrize("dtype, shape", [(ng.uint8, (300,)), (ng.float16, (2, 80))], ids=str)
def test_long_rows(dtype, shape):
    x = few(dtype, *shape)
    both(lambda t: t.sort(-1, descending=True), x)
    both(lambda t: t.topk(60), x)


def test_long_rows_of_64_bits():
    """``randperm`` sorts so many keys of 64 bits."""
    x = ng.tensor(np.random.default_rng(0).integers(-(1 << 63), (1 << 63) - 1, 80))
    both(lambda t: t.kthvalue(30), x)


@pytest.mark.parametrize("dtype, shape", [(ng.float32, (2, 80)), (ng.int16, (2, 80)), (ng.bfloat16, (300,))], ids=str)
def test_selected_in_long_rows(dtype, shape):
    x = few(dtype, *shape)
    both(lambda t: t.topk(shape[-1] // 9), x)
    both(lambda t: t.topk(2, largest=False), x)
    both(lambda t: t.median(-1), x)
    both(lambda t: t.nanmedian(-1), x)


def test_nothing_but_nan():
    for n in (9, 80):
        x = ng.full((2, n), float("nan"), dtype=ng.bfloat16)
        x[1, 5:] = 0
        both(lambda t: t.median(1), x)
        both(lambda t: t.nanmedian(1), x)
        both(lambda t: t.kthvalue(2, 1), x)


def test_along_the_first_dim():
    both(lambda t: t.topk(3, 0), few(ng.uint8, 80, 2))
    both(lambda t: t.kthvalue(9, 0), few(ng.uint8, 80, 2))
    both(lambda t: t.T.sort(1), few(ng.float32, 9, 4))


@pytest.mark.parametrize("dtype", [ng.bool, ng.int8, ng.int64, ng.bfloat16, ng.float64], ids=str)
def test_unique(dtype):
    for shape in ((0,), (1,), (4, 7)):
        both(lambda t: t.unique(return_inverse=True, return_counts=True), few(dtype, *shape))
    both(lambda t: t.unique(), few(dtype, 30))


def test_unique_of_many():
    both(lambda t: t.unique(return_inverse=True, return_counts=True), few(ng.float16, 150))
    both(lambda t: t.unique(), few(ng.uint8, 300))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_searchsorted(dtype):
    boundaries, values = few(dtype, 30).sort()[0], few(dtype, 4, 5)
    both(ng.searchsorted, boundaries, values)
    both(lambda s, v: ng.searchsorted(s, v, right=True, out_int32=True), boundaries, values)
    both(ng.searchsorted, few(dtype, 4, 11).sort()[0], values)
    both(lambda v, s: ng.bucketize(v, s), values.T, boundaries)
    both(lambda s: ng.searchsorted(s, 1), boundaries)
    both(ng.searchsorted, boundaries[:0], values)
    both(ng.searchsorted, boundaries, values[:0])
    x = few(dtype, 12)
    both(lambda t: ng.searchsorted(t, t, sorter=t.argsort()), x)


def test_searched_on_another_device():
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        ng.searchsorted(ng.arange(3.0).cuda(LAST), ng.zeros(2))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.sort(1, descending=True)[0],
        lambda x: x.topk(3, 1)[0],
        lambda x: x.kthvalue(2, 0)[0],
        lambda x: x.median(1)[0],
        lambda x: x.nanmedian(0)[0],
        lambda x: x.median(),
    ],
)
def test_derivatives(f):
    x = ng.tensor(np.random.default_rng(0).permutation(20).reshape(4, 5) / 4)

    def derived(t):
        t = t.detach().requires_grad_()
        y = f(t)
        (g,) = ng.autograd.grad((y * y * y).sum(), t, create_graph=True)
        (h,) = ng.autograd.grad((g * g).sum(), t)
        return y.detach(), g.detach(), h

    both(derived, x)
