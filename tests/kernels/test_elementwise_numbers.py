"""Numbers as operands: Python integers of any size, and NumPy's scalars."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import numbagrad as ng

INTEGERS = [ng.int64, ng.int32, ng.uint8]


@pytest.fixture(params=["new", "known"], autouse=True)
def how(request):
    """A call of a kind not seen before, and one that the compiled entry knows."""
    if request.param == "known":
        for dtype in (*INTEGERS, ng.float32, ng.float64):
            for operation in (operator.add, operator.mul, operator.lt):
                operation(ng.ones(3, dtype=dtype), 5)
                operation(ng.ones(3, dtype=dtype), 5)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**400], ids=lambda v: f"{v.bit_length()} bits")
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("shape", [(3,), (), (2, 3)], ids=["vector", "0-d", "transposed"])
def test_integers_beyond_64_bits_are_refused(value, dtype, shape):
    x = ng.ones(shape, dtype=dtype).T if len(shape) == 2 else ng.ones(shape, dtype=dtype)
    for call in (lambda: x + value, lambda: value + x, lambda: x * value, lambda: x < value, lambda: x.add_(value)):
        with pytest.raises(OverflowError, match="int too big to convert"):
            call()
    assert (x == 1).all()


@pytest.mark.parametrize("value", [2**63, 2**63 + 7, 2**64 - 1, np.uint64(2**64 - 1)], ids=["2^63", "2^63 + 7", "2^64 - 1", "uint64"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_unsigned_integers_of_64_bits_wrap(value, dtype):
    wrapped = int(value) - 2**64
    x = ng.tensor([0, 1, 3], dtype=dtype)
    numbers = np.array([0, 1, 3], np.int64)
    with np.errstate(over="ignore"):
        assert np.array_equal((x + value).numpy(), (numbers + np.int64(wrapped)).astype(x.numpy().dtype))
        assert np.array_equal((x * value).numpy(), (numbers * np.int64(wrapped)).astype(x.numpy().dtype))
    assert (x + value).dtype == dtype
    if dtype == ng.int64:
        assert (x < value).tolist() == [False] * 3 and (value == x).tolist() == [False] * 3


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)], ids=["most", "least"])
def test_the_most_and_the_least_of_64_bits(value):
    x = ng.zeros(3, dtype=ng.int64)
    assert (x + value).tolist() == (value + x).tolist() == [value] * 3
    assert (x < value).tolist() == [value > 0] * 3


@pytest.mark.parametrize("dtype", [ng.float32, ng.float64], ids=str)
def test_large_integers_among_floats(dtype):
    x = ng.zeros(3, dtype=dtype)
    for value in (2**63, 2**64, -(2**70), 2**100):
        assert (x + value).tolist() == [float(value)] * 3
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        x + 10**400


@pytest.mark.parametrize("true", [True, np.True_], ids=["Python", "NumPy"])
def test_a_numpy_bool_is_a_python_bool(true):
    for dtype in (*INTEGERS, ng.float32, ng.float64):
        x = ng.tensor([0, 2], dtype=dtype)
        assert (x + true).tolist() == (true + x).tolist() == [1, 3] and (x + true).dtype == dtype
        assert (x * true).dtype == dtype and (x == true).tolist() == [False, False]
        for call in (lambda x=x: x - true, lambda x=x: true - x):
            with pytest.raises(RuntimeError, match="Subtraction, the `-` operator, with a bool tensor is not supported"):
                call()
    x = ng.tensor([False, True])
    assert (x & true).tolist() == [False, True] and (x | true).dtype == ng.bool and (x + true).dtype == ng.bool
