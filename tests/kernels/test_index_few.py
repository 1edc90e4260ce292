"""Few elements at listed places: one call of ``_few`` does all, and gives what the long way gives."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels import _dtypes
from numbagrad.kernels import copy as C
from numbagrad.kernels import index as I
from numbagrad.kernels.index import _few

pytestmark = pytest.mark.usefixtures("few_or_many")
BORDER = [1, 2, _few.FEW - 1, _few.FEW, _few.FEW + 1]


def sample(shape, dtype=np.float32, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * 50).astype(dtype)


KINDS = [np.uint8, np.float16, np.float32, np.float64, np.complex128, np.bool_, np.int64]


@pytest.mark.parametrize("count", BORDER)
@pytest.mark.parametrize("dtype", KINDS)
def test_either_side_of_few(count, dtype):
    """Reading, writing and adding at as many places as one call takes, and at one more."""
    x = sample((40, 3), dtype)
    rng = np.random.default_rng(count)
    i, j = rng.integers(-40, 40, count), rng.integers(-3, 3, count)
    assert np.array_equal(I.index_get(x, (i,)), x[i])
    assert np.array_equal(I.index_get(x, (i, j)), x[i, j])
    assert np.array_equal(I.index_get(x, (None, j)), x[:, j])
    assert np.array_equal(I.index_get(x, (i[::2],)), x[i[::2]])
    for expression, indices in (((i,), (i,)), ((i, j), (i, j)), ((slice(None), j), (None, j))):
        values = sample(x[expression].shape, dtype, 1)
        for written in (values, values.reshape(-1)[:1].reshape(())):
            expected, changed = x.copy(), x.copy()
            expected[expression] = written
            I.index_put_into(changed, indices, written)
            assert np.array_equal(changed, expected)
        if np.dtype(dtype).kind in "iu":
            expected, changed = x.copy(), x.copy()
            np.add.at(expected, expression, values)
            I.index_put_into(changed, indices, values, True)
            assert np.array_equal(changed, expected)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4), (40, 60)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_whole_lines_along_every_dimension(shape, dtype):
    x = sample(shape, dtype)
    for dim in range(len(shape)):
        index = np.random.default_rng(0).integers(0, shape[dim], (*shape[:dim], 3, *shape[dim + 1 :]))
        assert np.array_equal(I.gather(x, dim, index), np.take_along_axis(x, index, dim))
        distinct = np.argsort(sample(shape, np.float64, 3), dim)
        src = sample(shape, dtype, 1)
        expected = x.copy()
        np.put_along_axis(expected, distinct, src, dim)
        assert np.array_equal(I.scatter(x, dim, distinct, src), expected)
        assert np.array_equal(I.scatter_add(x, dim, distinct, src), x + np.take_along_axis(src, np.argsort(distinct, dim), dim))
        for wrong in (shape[dim], -1):
            bad, changed = index.copy(), x.copy()
            bad.flat[-1] = wrong
            with pytest.raises(RuntimeError, match=f"index {wrong} is out of bounds for dimension {dim}"):
                I.gather(x, dim, bad)
            for change in (I.scatter_into, I.scatter_add_into):
                with pytest.raises(RuntimeError, match=f"index {wrong} is out of bounds for dimension {dim}"):
                    change(changed, dim, bad, 1)
                assert np.array_equal(changed, x)


def test_an_index_that_is_written_to():
    """Where to write is settled before anything is written, also when the index is (part of) the array itself."""
    for start in (np.array([1, 2, 0]), np.array([2, 0, 1])):
        x = start.copy()
        I.index_put_into(x, (x,), np.array([50, 60, 70]))
        expected = start.copy()
        expected[start] = [50, 60, 70]
        assert np.array_equal(x, expected)
        x = start.copy()
        I.scatter_into(x, 0, x[:], np.array([50, 60, 70]))
        assert np.array_equal(x, expected)


def test_values_that_share_memory_with_what_is_written():
    x = np.arange(8.0)
    I.index_put_into(x, (np.array([1, 2, 3]),), x[:3])
    assert x.tolist() == [0, 0, 1, 2, 4, 5, 6, 7]
    y = np.arange(6.0).reshape(2, 3)
    I.scatter_into(y, 1, np.array([[1, 2, 0], [1, 2, 0]]), y)
    assert y.tolist() == [[2, 0, 1], [5, 3, 4]]


def test_bfloat16_rows():
    x = C.cast(sample((6, 4)), _dtypes.bfloat16)
    bits = x.view(np.uint16)
    i = np.array([5, 0, -1])
    assert np.array_equal(I.index_get(x, (i,)).view(np.uint16), bits[i])
    changed = x.copy()
    I.index_put_into(changed, (i,), x[:3].copy())
    expected = bits.copy()
    expected[i] = bits[:3]
    assert np.array_equal(changed.view(np.uint16), expected)
