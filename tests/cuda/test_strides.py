"""The geometry of views against NumPy's, on arrays of any layout."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numbagrad.kernels._cuda import strides


def place(view: np.ndarray, whole: np.ndarray) -> int:
    return view.__array_interface__["data"][0] - whole.__array_interface__["data"][0]


@st.composite
def keys(draw, shape):
    """A basic index; with an Ellipsis in its midst it may be out of bounds."""
    items = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        numbers = st.integers(-n, n - 1) if n else st.nothing()
        bounds = st.none() | st.integers(-n - 2, n + 2)
        steps = st.none() | st.integers(-3, 3).filter(bool)
        items.append(draw(numbers | st.builds(slice, bounds, bounds, steps)))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), ...)
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), None)
    return tuple(items)


@st.composite
def arrays(draw):
    """A view of an array, of any shape and strides."""
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    x = np.zeros(shape, draw(st.sampled_from([np.uint8, np.int16, np.float32, np.complex128])))
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    steps = st.sampled_from([slice(None), slice(1, None), slice(None, None, 2), slice(None, None, -1), None])
    x = x[(*draw(st.lists(steps, max_size=2 if x.ndim > 1 else 0)), ...)]
    if draw(st.booleans()):
        x = np.broadcast_to(x, (draw(st.integers(1, 3)), *x.shape))
    return x


@given(st.data())
def test_index(data):
    x = np.zeros(data.draw(st.lists(st.integers(0, 5), max_size=4).map(tuple)), np.float32)
    x = x.transpose(data.draw(st.permutations(range(x.ndim))))
    key = data.draw(keys(x.shape))
    try:
        expected = x[key] if ... in key else x[(*key, ...)]
    except IndexError:
        with pytest.raises(IndexError):
            strides.indexed(x.shape, x.strides, key)
        return
    found = strides.indexed(x.shape, x.strides, key)
    assert found.shape == expected.shape
    if expected.size:
        moving = [n != 1 for n in expected.shape]
        assert found.offset == place(expected, x)
        assert [s for s, m in zip(found.strides, moving) if m] == [s for s, m in zip(expected.strides, moving) if m]


@pytest.mark.parametrize("key", [5, -5, (0, 3), (0, 0, 0), (..., ...), 1.5, True, "a", ([0],)])
def test_index_that_is_none(key):
    with pytest.raises(IndexError):
        strides.indexed((4, 3), (12, 4), key)


@st.composite
def shapes_of(draw, size):
    """A shape of as many elements."""
    shape: list[int] = []
    while size > 1 and draw(st.booleans()):
        n = draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0]))
        shape.append(n)
        size //= n
    return (*shape, size) if size != 1 or draw(st.booleans()) else tuple(shape)


@given(st.data())
def test_reshape(data):
    x = np.zeros(data.draw(st.lists(st.integers(1, 4), max_size=4).map(tuple)), np.float32)
    x = x.transpose(data.draw(st.permutations(range(x.ndim))))
    steps = tuple(data.draw(st.sampled_from([slice(None), slice(None, None, 2), slice(None, None, -1)])) for _ in x.shape)
    x = x[(*steps, ...)]
    target = data.draw(shapes_of(x.size))
    expected = x.view()
    try:
        expected.shape = target
    except AttributeError:
        expected = None
    found = strides.reshaped(x.shape, x.strides, target, x.itemsize)
    assert (found is None) == (expected is None)
    if found is not None:
        moving = [n != 1 for n in target]
        assert [s for s, m in zip(found, moving) if m] == [s for s, m in zip(expected.strides, moving) if m]


@given(arrays())
def test_contiguous(x):
    assert strides.is_contiguous(x.shape, x.strides, x.itemsize) == x.flags.c_contiguous


@given(arrays())
def test_span(x):
    low, high = strides.span(x.shape, x.strides, x.itemsize)
    first, last = np.lib.array_utils.byte_bounds(x)
    start = x.__array_interface__["data"][0]
    assert (low, high) == ((first - start, last - start) if x.size else (0, 0))


@given(arrays(), st.data())
def test_diagonal(x, data):
    if x.ndim < 2:
        return
    a, b = data.draw(st.permutations(range(x.ndim)))[:2]
    offset = data.draw(st.integers(-6, 6))
    expected = x.diagonal(offset, a, b)
    found = strides.diagonal(x.shape, x.strides, offset, a, b - x.ndim)
    assert found.shape == expected.shape
    if expected.size:
        assert found.offset == place(expected, x)
        assert found.strides[:-1] == expected.strides[:-1]
        assert expected.shape[-1] == 1 or found.strides[-1] == expected.strides[-1]


@pytest.mark.parametrize("shape, item, wanted", [((4, 6), 4, 8), ((4, 6), 8, 4), ((4, 6), 2, 1), ((3, 1), 8, 8), ((2, 0), 4, 8)])
def test_retype(shape, item, wanted):
    types = {1: np.uint8, 2: np.int16, 4: np.float32, 8: np.float64}
    x = np.zeros(shape, types[item])
    found = strides.retyped(x.shape, x.strides, item, wanted)
    expected = x.view(types[wanted])
    assert found.shape == expected.shape
    assert not expected.size or found.strides == expected.strides


@pytest.mark.parametrize("shape, steps, item, wanted", [((), (), 4, 8), ((3,), (8,), 4, 8), ((3,), (4,), 4, 8)])
def test_retype_that_does_not_fit(shape, steps, item, wanted):
    with pytest.raises(ValueError):
        strides.retyped(shape, steps, item, wanted)


def test_inferred():
    assert strides.inferred((2, -1), 6) == (2, 3)
    assert strides.inferred((), 1) == ()
    assert strides.inferred((0, 3), 0) == (0, 3)
    for shape, size in (((-1, -1), 4), ((2, -1), 5), ((3,), 4), ((-1, 0), 0), ((-2, -2), 4)):
        with pytest.raises(ValueError):
            strides.inferred(shape, size)
    assert math.prod(strides.inferred((3, -1, 2), 12)) == 12
