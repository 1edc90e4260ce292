"""Reductions and scans against PyTorch and NumPy: dims, layouts, dtypes, empty arrays, NaN, accuracy, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from numbagrad.kernels import _dtypes, reduce
from numbagrad.kernels._cpu import get_num_threads, set_num_threads
from numbagrad.kernels.copy import cast

INF, NAN = math.inf, math.nan
DIMS = [None, 0, 1, -1, (0, 2), (-1, 0), (1, 2), (0, 1, 2, 3)]


def close(actual, expected, rtol=1e-5, atol=1e-5):
    expected = expected.numpy() if hasattr(expected, "numpy") else np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def sample(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * (1 if np.dtype(dtype).kind in "fc" else 5)
    return (x + 1j * rng.standard_normal(shape)).astype(dtype) if np.dtype(dtype).kind == "c" else x.astype(dtype)


def layouts(x):
    """The same shape as a dense, a permuted, a sliced, a reversed and a broadcast array."""
    wide = np.repeat(np.repeat(x, 2, axis=0), 3, axis=-1)
    return {
        "dense": x,
        "permuted": np.ascontiguousarray(x.transpose(2, 0, 3, 1)).transpose(1, 3, 0, 2),
        "sliced": wide[::2, ..., ::3],
        "reversed": np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        "broadcast": np.broadcast_to(x[:, :1], x.shape),
    }


@pytest.mark.parametrize("layout", ["dense", "permuted", "sliced", "reversed", "broadcast"])
def test_reductions_over_any_dims_and_layout(layout):
    torch = pytest.importorskip("torch")
    x = layouts(sample((5, 7, 33, 6), np.float32))[layout]
    t = torch.from_numpy(np.ascontiguousarray(x))
    for dim in DIMS:
        axes = tuple(range(4)) if dim is None else dim
        for keepdim in (False, True):
            close(reduce.sum(x, dim, keepdim), t.sum(axes, keepdim))
            close(reduce.mean(x, dim, keepdim), t.mean(axes, keepdim))
            close(reduce.amax(x, dim, keepdim), t.amax(axes, keepdim))
            close(reduce.amin(x, dim, keepdim), t.amin(axes, keepdim))
            close(reduce.var(x, dim, 1, keepdim), t.var(axes, correction=1, keepdim=keepdim))
            close(reduce.std(x, dim, 0, keepdim), t.std(axes, correction=0, keepdim=keepdim))
            close(reduce.logsumexp(x, dim, keepdim), t.logsumexp(axes, keepdim))
            close(reduce.any(x > 2, dim, keepdim), (t > 2).any(axes, keepdim))
            close(reduce.all(x > -2, dim, keepdim), (t > -2).all(axes, keepdim))
            for p in (2, 1, 0, 3.5, -2, INF, -INF):
                close(reduce.norm(x, p, dim, keepdim), torch.linalg.vector_norm(t, p, axes, keepdim))
        close(reduce.count_nonzero(x, dim), t.count_nonzero(axes))
        close(reduce.prod(x * 0.5 + 1, dim), np.asarray(np.prod(np.asarray(x * 0.5 + 1), axis=axes)), rtol=1e-3)
    for d in (0, 1, 2, -1):
        for ours, theirs in ((reduce.max_with_indices, torch.max), (reduce.min_with_indices, torch.min)):
            for a, b in zip(ours(x, d, True), theirs(t, d, True)):
                if layout != "broadcast":  # PyTorch promises no particular index among ties
                    close(a, b)
        close(reduce.cumsum(x, d), t.cumsum(d))
        close(reduce.cumprod(x, d), t.cumprod(d))
    if layout != "broadcast":
        close(reduce.argmax(x), t.argmax())
        close(reduce.argmin(x, None, True), t.argmin(None, True))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8, np.bool_, np.complex64])
@pytest.mark.parametrize("shape,dim", [((6, 700), 1), ((70, 5), 0), ((4, 3), None)])
def test_dtypes(dtype, shape, dim):
    torch = pytest.importorskip("torch")
    x = sample(shape, dtype)
    t = torch.from_numpy(x)
    axes = (0, 1) if dim is None else dim
    close(reduce.sum(x, dim), t.sum(axes), 1e-4, 1e-4)
    close(reduce.count_nonzero(x, dim), t.count_nonzero(axes))
    close(reduce.any(x, dim), t.any(axes))
    close(reduce.all(x, dim), t.all(axes))
    if dim is not None:
        close(reduce.prod(x[:8, :8], dim), t[:8, :8].prod(dim), 1e-4)
        close(reduce.cumsum(x, dim), t.cumsum(dim), 1e-4, 1e-4)
    if np.dtype(dtype).kind == "c":
        close(reduce.mean(x, dim), t.mean(axes))
        close(reduce.norm(x, 2, dim), torch.linalg.vector_norm(t, 2, axes), 1e-4)
        close(reduce.norm(x, INF, dim), torch.linalg.vector_norm(t, INF, axes))
        close(reduce.var(x, dim), t.var(axes), 1e-4)
        with pytest.raises(NotImplementedError, match="no order"):
            reduce.amax(x, dim)
    else:
        close(reduce.amax(x, dim), t.amax(axes))
        close(reduce.argmin(x, dim), np.argmin(x, dim))
        close(reduce.argmax(x, dim), np.argmax(x, dim))


def test_requested_dtype():
    x = np.array([[200, 100], [100, 0]], np.uint8)
    assert reduce.sum(x).dtype == np.int64 and reduce.sum(x) == 400
    assert reduce.sum(x, dtype=np.int32).dtype == np.int32
    close(reduce.mean(x, 0, dtype=np.dtype(np.float64)), np.array([150.0, 50.0]))
    close(reduce.sum(x, 1, dtype=np.dtype(np.bool_)), np.array([True, True]))
    close(reduce.prod(x, 1, dtype=np.dtype(np.bool_)), np.array([True, False]))
    close(reduce.prod(np.array([2.9, 3.0]), dtype=np.dtype(np.int32)), np.array(6, np.int32))
    close(reduce.cumsum(x, 1, dtype=np.dtype(np.float32)), np.array([[200, 300], [100, 100]], np.float32))


@pytest.mark.parametrize("half", [_dtypes.float16, _dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_halves_accumulate_in_float32(half):
    ones = cast(np.ones((4, 4096), np.float32), half)
    for result, expected in (
        (reduce.sum(ones, 1), 4096),
        (reduce.mean(ones, 1), 1),
        (reduce.norm(ones, 2, 1), 64),
        (reduce.var(ones, 1), 0),
    ):
        assert result.dtype == half
        np.testing.assert_array_equal(cast(result, _dtypes.float32), np.full(4, expected, np.float32))
    values, indices = reduce.max_with_indices(cast(np.array([1.0, 3.0, 2.0], np.float32), half), 0)
    assert values.dtype == half and cast(values, _dtypes.float32) == 3 and indices == 1
    assert reduce.sum(ones, dtype=_dtypes.float32).dtype == np.float32
    assert reduce.cumsum(ones, 1).dtype == half
    np.testing.assert_array_equal(reduce.any(ones, 1), [True] * 4)


def test_long_float32_sums_are_accurate():
    ones = np.ones(10**8, np.float32)
    assert reduce.sum(ones) == 1e8
    assert reduce.sum(ones.reshape(-1, 10), 0).tolist() == [1e7] * 10
    assert reduce.mean(ones) == 1
    del ones
    x = np.random.default_rng(1).random(3_000_001).astype(np.float32)
    exact = math.fsum(x)
    assert abs(reduce.sum(x) - exact) <= 4e-7 * exact
    assert abs(reduce.cumsum(x, 0)[-1] - exact) <= 2e-7 * exact
    big = (x[:300_001] + 1000).astype(np.float32)
    assert abs(reduce.var(big) - big.astype(np.float64).var(ddof=1)) < 1e-5


def test_nan_infinity_and_ties():
    x = np.array([[1, NAN, 3, NAN], [INF, 1, INF, 2], [-INF, -INF, -INF, -INF], [2, 5, 5, 1]], np.float32)
    values, indices = reduce.max_with_indices(x, 1)
    np.testing.assert_array_equal(values, [NAN, INF, -INF, 5])
    np.testing.assert_array_equal(indices, [1, 0, 0, 1])
    np.testing.assert_array_equal(reduce.max_with_indices(np.ascontiguousarray(x.T), 0)[1], [1, 0, 0, 1])
    np.testing.assert_array_equal(reduce.argmin(x, 1), [1, 1, 0, 3])
    np.testing.assert_array_equal(reduce.amin(x, 1), [NAN, 1, -INF, 1])
    assert reduce.argmax(x) == 1
    np.testing.assert_allclose(reduce.logsumexp(x, 1), [NAN, INF, -INF, np.log(np.exp([2, 5, 5, 1]).sum())], rtol=1e-6)
    np.testing.assert_array_equal(reduce.cumsum(np.array([1, INF, 2, -INF, 1]), 0), [1, INF, INF, NAN, NAN])
    np.testing.assert_array_equal(reduce.sum(x, 1), [NAN, INF, -INF, 13])
    assert reduce.any(np.array([0.0, NAN]))
    for position in (0, 1, 200, 513, 999):  # wherever it stands among the lanes
        row = np.arange(1000, dtype=np.float32)
        row[position] = NAN
        assert np.isnan(reduce.amax(row)) and np.isnan(reduce.amin(row)) and reduce.argmax(row) == position


def test_zero_size_and_0d():
    empty = np.empty((0, 3), np.float32)
    np.testing.assert_array_equal(reduce.sum(empty, 0), np.zeros(3, np.float32))
    assert reduce.sum(empty, 1).shape == (0,) and reduce.sum(empty, 1, True).shape == (0, 1)
    assert reduce.prod(empty) == 1 and np.isnan(reduce.mean(empty)) and np.isnan(reduce.var(empty))
    assert not reduce.any(empty) and reduce.all(empty) and reduce.norm(empty) == 0 and reduce.count_nonzero(empty) == 0
    assert reduce.logsumexp(empty) == -INF and reduce.cumsum(empty, 0).shape == (0, 3) and reduce.amax(empty, 1).shape == (0,)
    assert reduce.argmax(empty, 1).shape == (0,) and reduce.norm(empty, INF, 1).shape == (0,)
    with pytest.raises(IndexError, match="non-zero size"):
        reduce.amax(empty, 0)
    with pytest.raises(IndexError, match="non-zero size"):
        reduce.max_with_indices(empty, 0)
    with pytest.raises(RuntimeError, match="numel"):
        reduce.amax(empty)
    with pytest.raises(IndexError, match="numel"):
        reduce.argmax(empty)
    with pytest.raises(RuntimeError, match="norm"):
        reduce.norm(empty, INF, 0)
    scalar = np.array(3.0, np.float32)
    for f in (reduce.sum, reduce.amax, reduce.mean, reduce.norm, reduce.prod):
        assert f(scalar).shape == () and f(scalar) == 3
    values, indices = reduce.max_with_indices(scalar, -1)
    assert values == 3 and indices == 0 and values.shape == indices.shape == ()
    assert reduce.cumsum(scalar, 0) == 3 and reduce.cumsum(scalar, 0).shape == ()
    assert reduce.sum(np.ones((1, 1)), 0, True).shape == (1, 1)
    assert reduce.var(np.ones(1)).shape == () and np.isnan(reduce.var(np.ones(1)))


def test_sum_to():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert reduce.sum_to(x, (2, 3, 4)) is x
    for shape in ((3, 4), (1, 4), (4,), (2, 1, 4), (2, 3, 1), (1, 1, 1), (1,), ()):
        lead = 3 - len(shape)
        axes = tuple(range(lead)) + tuple(lead + i for i, s in enumerate(shape) if s == 1)
        close(reduce.sum_to(x, shape), x.sum(axes).reshape(shape))
    assert reduce.sum_to(x[:, :0], (1, 4)).tolist() == [[0, 0, 0, 0]]
    assert reduce.sum_to(np.ones((1, 3)), (3,)).shape == (3,)
    with pytest.raises(RuntimeError, match="does not broadcast"):
        reduce.sum_to(x, (2, 4))


@pytest.mark.parametrize("shape,dim", [((70,), 0), ((3, 5), 1), ((4, 6, 3), 1), ((2, 0), 1), ((), 0)])
def test_linear_scan(shape, dim):
    a, b = sample(shape, np.float64, 1), sample(shape, np.float64, 2)
    for reverse in (False, True):
        expected = b.copy()
        rows_a, rows = (np.moveaxis(m, dim, 0) if m.ndim else m.reshape(1) for m in (a, expected))
        if reverse:
            rows_a, rows = rows_a[::-1], rows[::-1]
        for j in range(1, len(rows)):
            rows[j] += rows_a[j] * rows[j - 1]
        close(reduce.linear_scan(a, b, dim, reverse), expected)
    with pytest.raises(RuntimeError, match="equal shapes"):
        reduce.linear_scan(a, np.ones(9), 0)


def test_bad_input():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(IndexError, match=r"expected to be in range of \[-2, 1\], but got 5"):
        reduce.sum(x, 5)
    with pytest.raises(IndexError, match=r"\[-1, 0\], but got 1"):
        reduce.sum(np.array(1.0), 1)
    with pytest.raises(RuntimeError, match="dim 0 appears multiple times in the list of dims"):
        reduce.sum(x, (0, -2))
    with pytest.raises(TypeError, match="dim"):
        reduce.sum(x, "a")
    with pytest.raises(RuntimeError, match="mean"):
        reduce.mean(np.ones(3, np.int64))
    with pytest.raises(RuntimeError, match="floating point"):
        reduce.var(np.ones(3, np.int64))
    with pytest.raises(RuntimeError, match="norm"):
        reduce.norm(np.ones(3, np.int64))
    with pytest.raises(RuntimeError, match="nuc"):
        reduce.norm(x, "nuc")
    with pytest.raises(IndexError, match="out of range"):
        reduce.cumsum(x, 2)


def test_same_bits_on_any_number_of_threads():
    x = np.random.default_rng(2).standard_normal((3, 400_000)).astype(np.float32)
    before = get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            results.append([f(x, d).tobytes() for f in (reduce.sum, reduce.var, reduce.logsumexp) for d in (None, 0, 1)])
    finally:
        set_num_threads(before)
    assert results[0] == results[1] == results[2]
