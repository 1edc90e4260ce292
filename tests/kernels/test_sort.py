"""Sorting, selection and search: order against NumPy and PyTorch, stability, NaN, dtypes, layouts, empty arrays, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from numbagrad.kernels import _dtypes, sort
from numbagrad.kernels.copy import cast

NAN, INF = math.nan, math.inf


def same(actual, expected):
    expected = expected.numpy() if hasattr(expected, "numpy") else np.asarray(expected)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def sample(shape, dtype, seed=0):
    """Few distinct values, so that there are ties; infinities and both zeros among the floats."""
    x = np.random.default_rng(seed).integers(0 if np.dtype(dtype).kind in "ub" else -20, 20, shape)
    y = (x / 4 if np.dtype(dtype).kind == "f" else x).astype(dtype)
    if np.dtype(dtype).kind == "f":
        y[x == 19], y[x == -19], y[x == 5] = INF, -INF, -0.0
    return y


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape,dim", [((20,), 0), ((3, 500), -1), ((70, 2, 3), 0), ((4, 40, 3), 1)])
def test_sort_is_stable(dtype, shape, dim):
    torch = pytest.importorskip("torch")
    x = sample(shape, dtype)
    t = torch.from_numpy(x)
    for descending in (False, True):
        for a, b in zip(sort.sort(x, dim, descending), torch.sort(t, dim=dim, descending=descending, stable=True)):
            same(a, b)
    same(sort.argsort(x, dim), np.argsort(x, dim, kind="stable"))
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    same(sort.argsort(wide, dim), np.argsort(x, dim, kind="stable"))


def test_wide_range_of_values():
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float64, np.int64):
        x = rng.integers(-(2**63), 2**63 - 1, 3000).view(np.float64 if dtype == np.float64 else np.int64)
        x = x.view(np.float32) if dtype == np.float32 else x  # every bit pattern, NaN and denormals included
        values, indices = sort.sort(x)
        same(values, np.sort(x))
        same(x[indices], values)


def test_nan_is_largest_and_keeps_its_order():
    x = np.array([NAN, 1, -NAN, -INF, INF, -0.0, 0.0], np.float32)
    same(sort.argsort(x), [3, 5, 6, 1, 4, 0, 2])
    same(sort.argsort(x, descending=True), [0, 2, 4, 1, 5, 6, 3])
    assert np.signbit(sort.sort(x)[0][1])
    same(sort.topk(x, 3)[1], [0, 2, 4])
    same(sort.topk(x, 3, largest=False)[1], [3, 5, 6])
    same(sort.kthvalue(x, 6)[1], np.int64(0))


@pytest.mark.parametrize("half", [_dtypes.float16, _dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_halves(half):
    x = sample((3, 50), np.float32)
    x[1, 7] = NAN
    values, indices = sort.sort(cast(x, half), 1)
    assert values.dtype == half
    same(indices, np.argsort(x, 1, kind="stable"))
    same(cast(values, _dtypes.float32), np.sort(x, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("k", [0, 1, 5, 40, 100])
def test_topk(dtype, k):
    x = sample((4, 100, 3), dtype)
    for largest in (True, False):
        expected = sort.argsort(x, 1, largest)[:, :k]
        values, indices = sort.topk(x, k, 1, largest)
        same(indices, expected)
        same(values, np.take_along_axis(x, expected, 1))


def test_topk_matches_torch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((5, 200)).astype(np.float32)
    for k in (3, 64):
        for largest in (True, False):
            for a, b in zip(sort.topk(x, k, -1, largest), torch.topk(torch.from_numpy(x), k, -1, largest)):
                same(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_kthvalue_and_median(dtype):
    torch = pytest.importorskip("torch")
    x = sample((6, 31, 2), dtype)
    t = torch.from_numpy(x)
    order = sort.argsort(x, 1)
    for k in (1, 7, 31):
        values, indices = sort.kthvalue(x, k, 1)
        same(values, torch.kthvalue(t, k, 1).values)
        same(indices, order[:, k - 1])
    for dim in (0, 1, -1):
        values, indices = sort.median(x, dim, True)
        same(values, torch.median(t, dim, True).values)
        same(np.take_along_axis(x, indices, dim), values)


def test_median_with_nan():
    torch = pytest.importorskip("torch")
    x = np.array([[3, NAN, 1, NAN], [4, 1, 2, 3], [NAN, NAN, NAN, NAN]], np.float32)
    same(sort.median(x, 1)[0], np.array([NAN, 2, NAN], np.float32))
    same(sort.median(x, 1)[1], [1, 2, 0])
    for a, b in zip(sort.median(x, 1, ignore_nan=True), torch.nanmedian(torch.from_numpy(x), 1)):
        same(a[:2], b[:2])
    assert np.isnan(sort.median(x, 1, ignore_nan=True)[0][2])


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_unique(dtype):
    x = sample((7, 30), dtype)
    values, inverse, counts = sort.unique(x)
    expected, places, numbers = np.unique(x, return_inverse=True, return_counts=True)
    same(values, expected)
    same(inverse, places.reshape(x.shape))
    same(counts, numbers)


def test_unique_nan_and_empty():
    values, inverse, counts = sort.unique(np.array([NAN, 1, NAN, 1], np.float32))
    same(values, np.array([1, NAN, NAN], np.float32))
    same(inverse, [1, 0, 2, 0])
    same(counts, [2, 1, 1])
    values, inverse, counts = sort.unique(np.empty((0, 2), np.float32))
    assert values.shape == counts.shape == (0,) and inverse.shape == (0, 2)
    assert [a.shape for a in sort.unique(np.array(3))] == [(1,), (), (1,)]


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_searchsorted(dtype):
    row = np.sort(sample((50,), dtype))
    values = sample((4, 9), dtype, 1)
    for right in (False, True):
        same(sort.searchsorted(row, values, right), np.searchsorted(row, values, "right" if right else "left"))
    rows = np.sort(sample((4, 20), dtype), 1)
    same(sort.searchsorted(rows, values), np.stack([np.searchsorted(a, b) for a, b in zip(rows, values)]))
    assert sort.searchsorted(row, np.array(3, dtype)).shape == ()
    if dtype == np.float32:
        assert sort.searchsorted(row, np.array([NAN], dtype)) == 50


def test_zero_size_and_0d():
    empty = np.empty((0, 3), np.float32)
    for dim in (0, 1):
        values, indices = sort.sort(empty, dim)
        assert values.shape == indices.shape == (0, 3) and indices.dtype == np.int64
    assert sort.topk(empty, 2, 1)[0].shape == (0, 2) and sort.topk(empty, 0, 0)[0].shape == (0, 3)
    assert sort.median(empty, 1)[0].shape == (0,)
    assert sort.searchsorted(np.empty(0), np.ones(2)).tolist() == [0, 0]
    scalar = np.array(2.0, np.float32)
    for f in (lambda x: sort.sort(x, 0), lambda x: sort.topk(x, 1), lambda x: sort.kthvalue(x, 1), lambda x: sort.median(x, -1)):
        values, indices = f(scalar)
        assert values.shape == indices.shape == () and values == 2 and indices == 0


def test_bad_input():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(IndexError, match=r"\[-2, 1\], but got 2"):
        sort.sort(x, 2)
    with pytest.raises(RuntimeError, match=r"out of range.*got 4"):
        sort.topk(x, 4)
    with pytest.raises(RuntimeError, match=r"out of range.*got 0"):
        sort.kthvalue(x, 0)
    with pytest.raises(IndexError, match="non-zero size"):
        sort.median(np.empty((2, 0)), 1)
    with pytest.raises(NotImplementedError, match="complex"):
        sort.sort(np.ones(3, np.complex64))
    with pytest.raises(RuntimeError, match="same dtype"):
        sort.searchsorted(x[0], np.ones(3, np.float64))
    with pytest.raises(RuntimeError, match="all but the last"):
        sort.searchsorted(x, np.ones((3, 3), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
@pytest.mark.parametrize("n,k", [(400, 33), (5000, 40), (1000, 125), (1000, 126), (4096, 500), (70, 5), (64, 32), (129, 1)])
def test_topk_is_the_head_of_a_stable_sort(dtype, n, k):
    """Above and below what one scan finds, with ties on the border; rows in rising and falling order are the hardest for it."""
    rows = sample((4, n), dtype)
    rows[1].sort()
    rows[2] = np.sort(rows[2])[::-1]
    rows[3] = rows[3, 0]
    for largest in (True, False):
        values, indices = sort.sort(rows, 1, largest)
        for a, b in zip(sort.topk(rows, k, 1, largest), (values, indices)):
            same(a, b[:, :k])
    if np.dtype(dtype).kind == "f":
        rows[0, ::3] = NAN
        for a, b in zip(sort.topk(rows, k), sort.sort(rows, 1, True)):
            same(a, b[:, :k])


@pytest.mark.parametrize("k", [3, 50])
def test_topk_along_other_dims_of_large_arrays(k):
    x = sample((300, 4, 60), np.float32)
    for dim in (0, 1, 2, -3):
        if k <= x.shape[dim]:
            for a, b in zip(sort.topk(x, k, dim), sort.sort(x, dim, True)):
                head = np.take(b, np.arange(k), dim)
                same(a, head)
                assert a.flags.c_contiguous
    with pytest.raises(RuntimeError, match="out of range"):
        sort.topk(x, 301, 0)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64, np.float32])
@pytest.mark.parametrize("spread", ["dense", "sparse", "one", "extremes"])
def test_unique_of_integers_by_table_and_by_sorting(dtype, spread):
    limits = (0, 1) if dtype == np.bool_ else (-1e30, 1e30) if dtype == np.float32 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    rng = np.random.default_rng(0)
    if spread == "dense":
        x = rng.integers(max(limits[0], -50), min(limits[1], 50) + 1, (30, 40)).astype(dtype)
    elif spread == "sparse":
        x = (rng.random((30, 40)) * (float(limits[1]) - float(limits[0])) * 0.99 + float(limits[0]) * 0.98).astype(dtype)
    else:
        x = np.array([limits[1]] * 5 + [limits[0]] * (0 if spread == "one" else 3)).astype(dtype)
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    for wanted in (True, False):
        found = sort.unique(x, wanted)
        same(found[0], values)
        same(found[2], counts)
        assert found[1] is None if not wanted else np.array_equal(found[1], inverse.reshape(x.shape))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 1000])
@pytest.mark.parametrize("m", [1, 5, 3000])
def test_searchsorted_of_every_length(dtype, n, m):
    sequence, values = np.sort(sample(n, dtype)), sample(m, dtype, 1)
    for right in (False, True):
        same(sort.searchsorted(sequence, values, right), np.searchsorted(sequence, values, "right" if right else "left"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 63, 64, 65, 66])
def test_either_side_of_counting(dtype, n):
    """Rows that are sorted by counting, and by digits, with ties, NaN and both zeros."""
    x = sample((7, n), dtype)
    if np.dtype(dtype).kind == "f":
        x[1, ::2], x[2] = NAN, NAN
    x[3] = x[3, 0]
    x[4].sort()
    for dim in (0, 1):
        order = np.argsort(x, dim, kind="stable")
        for a, b in zip(sort.sort(x, dim), (np.take_along_axis(x, order, dim), order)):
            same(a, b)
    values, indices = sort.sort(x, 1, True)
    assert np.array_equal(values, np.take_along_axis(x, indices, 1), equal_nan=np.dtype(dtype).kind == "f")
    for k in (0, n // 2, n - 1):
        same(sort.kthvalue(x, k + 1)[1], np.argsort(x, 1, kind="stable")[:, k])
