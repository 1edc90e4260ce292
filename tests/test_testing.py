"""numbagrad.testing.assert_close: what it accepts, what it refuses, and what it says."""

from __future__ import annotations

import pytest

import numbagrad as ng
from numbagrad.testing import assert_close


def test_equal_structures_pass():
    x = ng.randn(3, 2)
    assert_close(x, x.clone())
    assert_close({"a": [x, 1.0]}, {"a": [x + 1e-7, 1.0]})
    assert_close(ng.tensor([float("nan")]), ng.tensor([float("nan")]), equal_nan=True)
    assert_close(ng.tensor([1, 2]), ng.tensor([1, 2]))


@pytest.mark.parametrize(
    ("actual", "expected", "settings", "message"),
    [
        (ng.tensor([1.0, 2.0]), ng.tensor([1.0, 2.1]), {}, r"Mismatched elements: 1 / 2(.|\n)*at index \(1,\)"),
        (ng.tensor([1.0]), ng.tensor([1.0, 1.0]), {}, "'shape' do not match"),
        (ng.tensor([1.0]), ng.tensor([1]), {}, "'dtype' do not match"),
        (ng.tensor([1, 2]), ng.tensor([1, 3]), {}, "not close"),
        (ng.tensor([float("nan")]), ng.tensor([float("nan")]), {}, "not close"),
        ([1.0], [1.0, 2.0], {}, "length of the sequences"),
        ({"a": 1.0}, {"b": 1.0}, {}, "keys of the mappings"),
        (ng.tensor(1.0), ng.tensor(1.1), {"rtol": 0.0, "atol": 0.01}, "not close"),
        (ng.ones(2, 3), ng.ones(3, 2).t(), {"check_stride": True}, "stride"),
        (ng.tensor(1.0), ng.tensor(2.0), {"msg": "my words"}, "my words"),
    ],
)
def test_differences_are_found(actual, expected, settings, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected, **settings)


def test_one_tolerance_alone_is_refused():
    with pytest.raises(ValueError, match="rtol"):
        assert_close(1.0, 1.0, rtol=0.1)
