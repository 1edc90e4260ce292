"""Keys of calls: equal for operands alike in dtype, shape and strides, and for no others."""

from __future__ import annotations

import gc
import itertools
import sys

import numpy as np
import pytest

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cpu import capi, layout


def arrays():
    a = np.zeros((4, 6), np.float32)
    return {
        "a matrix": a,
        "its transpose": a.T,
        "another shape": np.zeros((6, 4), np.float32),
        "as many elements in a row": a.reshape(-1),
        "three dimensions": a.reshape(4, 2, 3),
        "a column step": a[:, ::2],
        "a row step": a[::2],
        "reversed": a[::-1],
        "broadcast": np.broadcast_to(a[0], (4, 6)),
        "no elements": a[:0],
        "no elements the other way": a[:, :0],
        "no dimensions": np.zeros((), np.float32),
        "another byte order": a.astype(a.dtype.newbyteorder()),
        **{_dtypes.name(d): np.zeros((4, 6), d) for d in _dtypes.ALL if d != np.float32},
    }


OTHERS = {"None": None, "int": 1, "bool": True, "float": 1.0, "complex": 1j}


def test_no_two_kinds_share_a_key():
    keys = {name: layout.layout(x) for name, x in (arrays() | OTHERS).items()}
    for (name, key), (other, same) in itertools.combinations(keys.items(), 2):
        assert key != same, (name, other)


@pytest.mark.parametrize("kind", [*arrays(), *OTHERS])
def test_alike_operands_share_a_key(kind):
    first, second = ((arrays() | OTHERS)[kind] for _ in range(2))
    assert layout.layout(first) == layout.layout(second) == layout.layout(first)
    assert hash(layout.layout(first)) == hash(layout.layout(second))


def test_order_and_number_count():
    a, b = np.zeros((2, 3)), np.zeros(5)
    keys = [layout.layout(*x) for x in ((a,), (b,), (a, b), (b, a), (a, a), (a, None), (None, a), (a, b, None), ())]
    assert len(set(keys)) == len(keys)


def test_what_is_no_plain_array_is_told_by_all_it_shows():
    class Elsewhere:
        def __init__(self, *shape):
            self.dtype, self.shape, self.strides = np.dtype(np.float32), shape, (4,) * len(shape)

    assert layout.layout(Elsewhere(2), 1.0) == layout.layout(Elsewhere(2), 2.0)
    assert layout.layout(Elsewhere(2)) != layout.layout(Elsewhere(3)) != layout.layout(np.zeros(3, np.float32))
    assert layout.layout(np.float32(1)) == layout.layout(np.float32(2)) != layout.layout(np.float64(1))
    assert layout.layout("a") == layout.layout("b") != layout.layout(1)


def test_many_dimensions_and_operands():
    wide = np.zeros((1,) * 30)
    assert layout.layout(*[wide] * 8) == layout.layout(*[wide.copy() for _ in range(8)]) != layout.layout(*[wide] * 7)
    assert layout.layout(*range(300)) == layout.layout(*range(300)) != layout.layout(*range(299))


def test_both_ways_make_the_same_distinctions():
    cases = [*arrays().values(), *OTHERS.values()]
    for a, b in itertools.combinations(cases, 2):
        assert (layout.layout(a) == layout.layout(b)) == (layout._slowly(a) == layout._slowly(b))


def test_reference_counts_hold():
    a = np.zeros((3, 4))
    layout.layout(a, 1.0)
    watched = [a, a.dtype, 1.0, None, float]
    before = [sys.getrefcount(w) for w in watched]
    for _ in range(5000):
        layout.layout(a, 1.0, None)
    gc.collect()  # of what earlier tests left, which may have referred to None
    assert max(abs(now - then) for now, then in zip([sys.getrefcount(w) for w in watched], before)) < 1000


def test_it_is_compiled():
    layout.layout()
    assert type(layout.layout) is type(len) or not capi.SUPPORTED
