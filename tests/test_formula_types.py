"""The dtypes and refusals of a formula are those of its operations one by one, whatever simplification drops."""

from __future__ import annotations

import pytest

import numbagrad as ng

ANY = [
    lambda x: x * 1.0, lambda x: x / 1, lambda x: x - 0.0, lambda x: x**1.0, lambda x: x**2.0, lambda x: -1.0 * x, lambda x: x * 1, lambda x: (x > 1) * 1,
    lambda x: (x > 1) * 2, lambda x: (x > 1) * 0.5, lambda x: ng.where(x > 1, 1, 0), lambda x: ng.sign(x), lambda x: ng.sign(x) * 2, lambda x: x * (1 + 0j),
    lambda x: ng.floor(x) * 1.0,
]  # fmt: skip


@pytest.mark.parametrize("formula", ANY)
@pytest.mark.parametrize("values", [[1, 2, 3], [1.0, -2.0, 0.5], [-0.0, 0.0, 2.0]], ids=["integers", "floats", "zeros"])
def test_as_eager(formula, values):
    x = ng.tensor(values)
    found, want = ng.elementwise(formula)(x), formula(x)
    assert (found.dtype, str(found.tolist())) == (want.dtype, str(want.tolist()))


def test_zero_keeps_its_sign():
    assert str(ng.elementwise(lambda x: x + 0)(ng.tensor([-0.0])).tolist()) == "[0.0]"
    assert str(ng.elementwise(lambda x: x - 0)(ng.tensor([-0.0])).tolist()) == "[-0.0]"


def test_each_result_has_its_own_dtype():
    results = ng.elementwise(lambda x, n: (x > 0, n + 1, x * n, n / 2))(ng.ones(2), ng.ones(2, dtype=ng.int32))
    assert [r.dtype for r in results] == [ng.bool, ng.int32, ng.float32, ng.float32]


def test_bits_of_floats_are_refused():
    for formula in (lambda x: x & 1, lambda x: x << 1, lambda x: ~x):
        with pytest.raises(NotImplementedError, match="not implemented for 'Float'"):
            ng.elementwise(formula)(ng.ones(2))


def test_long_shifts():
    x = ng.tensor([-1, 2, 3])
    assert (x << 70).tolist() == [0, 0, 0]
    assert (x >> 70).tolist() == [-1, 0, 0]
    assert (ng.tensor([255], dtype=ng.uint8) >> 9).tolist() == [0]


@pytest.mark.cpu
def test_integers_divided_by_zero():
    quotient = ng.elementwise(lambda x, n: x // n + 1)
    for divisor in (0, ng.tensor([1, 0])):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            quotient(ng.tensor([1, 2]), divisor)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        ng.elementwise(lambda x: x % 0)(ng.tensor([1, 2]))

    def remainder(x):
        return x + 1

    assert ng.elementwise(remainder, result="same")(ng.tensor([1])).tolist() == [2]


@pytest.mark.parametrize("f", [lambda a, b: a / b, lambda a, b: 3 / b, lambda a, b: b**0.5], ids=["a/b", "3/b", "b**0.5"])
def test_results_may_be_changed_in_place(f):
    """The gradients of a quotient and of a root do not read the result, as PyTorch's do not."""
    a, b = ng.tensor([1.0, 2.0], requires_grad=True), ng.tensor([4.0, 9.0], requires_grad=True)
    want = ng.autograd.grad(f(a, b).sum(), (a, b), allow_unused=True)
    y = f(a, b)
    y.add_(1)
    found = ng.autograd.grad(y.sum(), (a, b), allow_unused=True)
    assert [g is None or g.tolist() for g in found] == [g is None or g.tolist() for g in want]


@pytest.mark.parametrize("dtype", [ng.int8, ng.int32, ng.int64, ng.float64])
def test_remainders_of_negative_numbers(dtype):
    """fmod has the sign of the dividend, remainder that of the divisor, in integers as in floats, eager and in a formula."""
    x, n = ng.tensor([7, -7, -8, 7, -7, 6], dtype=dtype), ng.tensor([3, 3, 3, -3, -3, -3], dtype=dtype)
    for fmod in (ng.fmod, ng.elementwise(lambda a, b: ng.fmod(a, b))):
        assert fmod(x, n).tolist() == [1, -1, -2, 1, -1, 0]
    for remainder in (ng.remainder, ng.elementwise(lambda a, b: ng.remainder(a, b))):
        assert remainder(x, n).tolist() == [1, 2, 1, -2, -1, 0]
    assert ng.div(x, n, rounding_mode="trunc").tolist() == [2, -2, -2, -2, 2, -2]
