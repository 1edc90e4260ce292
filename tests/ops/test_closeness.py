"""isclose, allclose, equal, is_nonzero, meshgrid."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng

X = [1.0, 1.0, 0.0, math.inf, math.inf, -math.inf, math.nan, 1e-9, math.nan]
Y = [1.0, 1.00001, 1e-9, math.inf, 1.0, math.inf, math.nan, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [ng.float32, ng.float64])
@pytest.mark.parametrize("settings", [{}, {"equal_nan": True}, {"rtol": 0.0, "atol": 0.0}, {"rtol": 0.1}], ids=str)
def test_isclose(dtype, settings):
    x, y = ng.tensor(X, dtype=dtype), ng.tensor(Y, dtype=dtype)
    expected = np.isclose(x.numpy(), y.numpy(), **{"rtol": 1e-5, "atol": 1e-8, **settings})
    found = ng.isclose(x, y, **settings)
    assert found.dtype is ng.bool and found.tolist() == expected.tolist()
    assert ng.allclose(x, y, **settings) is bool(expected.all())
    assert ng.allclose(x[:1], y[:1]) is True and x.isclose(x).tolist()[0]


@pytest.mark.parametrize("settings", [{}, {"equal_nan": True}, {"rtol": 0.1}], ids=str)
def test_isclose_of_complex_numbers(settings):
    x, y = (ng.complex(*(ng.tensor(v, dtype=ng.float64) for v in parts)) for parts in ((X, Y), (Y, Y)))
    expected = np.isclose(x.numpy(), y.numpy(), **{"rtol": 1e-5, "atol": 1e-8, **settings})
    assert ng.isclose(x, y, **settings).tolist() == expected.tolist()
    assert ng.allclose(x[:2], y[:2], rtol=1e-4) and not ng.allclose(x[:2], y[:2] + 1j)


def test_isclose_of_others():
    assert ng.isclose(ng.tensor([1, 10**17]), ng.tensor([1, 10**17 + 1]), rtol=0, atol=0).tolist() == [True, False]
    assert ng.isclose(ng.tensor([100, 5]), ng.tensor([101, 6]), rtol=0.02).tolist() == [True, False]
    assert ng.isclose(ng.tensor([True]), ng.tensor([True])).item()
    assert ng.isclose(ng.ones(2, 1), ng.ones(3)).shape == (2, 3)
    assert ng.allclose(ng.zeros(0), ng.zeros(0))
    half = ng.ones(2, dtype=ng.bfloat16)
    assert ng.allclose(half, half)


def test_equal():
    a = ng.arange(6.0).reshape(2, 3)
    assert ng.equal(a, a.T.contiguous().T) is True and a.equal(a + 1) is False
    assert not ng.equal(a, a.reshape(3, 2)) and not ng.equal(ng.tensor([math.nan]), ng.tensor([math.nan]))
    assert ng.equal(ng.zeros(0), ng.zeros(0)) and ng.equal(a.requires_grad_(), a)


def test_is_nonzero():
    assert ng.is_nonzero(ng.tensor([3])) and not ng.tensor(0.0).is_nonzero()


REFUSED = {
    "dtype": (lambda: ng.isclose(ng.zeros(1), ng.zeros(1, dtype=ng.float64)), RuntimeError, "Float did not match Double"),
    "rtol": (lambda: ng.isclose(ng.zeros(1), ng.zeros(1), rtol=-1), RuntimeError, "rtol must be greater than or equal to zero, but got -1"),
    "atol": (lambda: ng.allclose(ng.zeros(1), ng.zeros(1), atol=-1), RuntimeError, "atol must be greater than or equal to zero"),
    "number": (lambda: ng.isclose(ng.zeros(1), 0.0), TypeError, r"isclose\(\): argument 'other' \(position 2\) must be Tensor, not float"),
    "equal": (lambda: ng.equal(3, ng.zeros(1)), TypeError, r"equal\(\): argument 'input' \(position 1\) must be Tensor, not int"),
    "many": (lambda: ng.is_nonzero(ng.zeros(2)), RuntimeError, "2 elements is ambiguous"),
    "grid axis": (lambda: ng.meshgrid(ng.zeros(2, 2)), RuntimeError, "scalar or 1D tensor"),
    "grid dtype": (lambda: ng.meshgrid(ng.zeros(2), ng.arange(2)), RuntimeError, "same dtype"),
    "grid order": (lambda: ng.meshgrid(ng.zeros(2), indexing="yx"), RuntimeError, "'yx'"),
    "no axes": (lambda: ng.meshgrid(), ValueError, "at least one"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    act, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        act()


@pytest.mark.parametrize("indexing", ["ij", "xy"])
def test_meshgrid(indexing):
    axes = [np.arange(n, dtype=np.float32) for n in (2, 3, 4)]
    for count in (1, 2, 3):
        found = ng.meshgrid(*map(ng.from_numpy, axes[:count]), indexing=indexing)
        for ours, theirs in zip(found, np.meshgrid(*axes[:count], indexing=indexing)):
            np.testing.assert_array_equal(ours.numpy(), theirs)
    x = ng.ones(2, requires_grad=True)
    grid = ng.meshgrid([x, ng.zeros(3)])
    grid[0].sum().backward()
    assert x.grad.tolist() == [3, 3]
