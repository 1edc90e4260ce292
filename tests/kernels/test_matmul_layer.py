"""The gradients of a small linear layer, two products in one launch: against NumPy, for every combination that is asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from numbagrad.kernels._cpu import get_num_threads, set_num_threads, simd
from numbagrad.kernels.matmul import _layer, linear
from numbagrad.kernels.matmul.gradients import linear_gradients, small_linear_gradients

pytestmark = pytest.mark.skipif(not simd.COMPILED, reason="without compiled tiles there are no small layers")

ALL = (True, True, True)


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count} threads")
def with_threads(request):
    before = get_num_threads()
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


def layer(m: int, n: int, k: int, dtype=np.float32, seed: int = 0):
    """g, y, x and the weight of a layer of k inputs and n outputs on m rows."""
    rng = np.random.default_rng(seed)
    g, y, x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((m, n), (m, n), (m, k), (n, k)))
    return g, np.maximum(y, 0), x, w


def assert_gradients(found, g, y, x, w, wanted=ALL):
    through = g.astype(np.float64) if y is None else np.where(y <= 0, 0, g).astype(np.float64)
    x, w, size = x.astype(np.float64), w.astype(np.float64), np.abs(through)
    exact = through @ w, through.T @ x, through.sum(0)
    bounds = size @ np.abs(w), size.T @ np.abs(x), size.sum(0)
    for value, reference, bound, wants in zip(found, exact, bounds, wanted, strict=True):
        assert (value is not None) == wants
        if wants:
            assert value.shape == reference.shape and value.dtype == g.dtype
            assert np.all(np.abs(value - reference) <= 4 * np.finfo(g.dtype).eps * bound)


@pytest.mark.parametrize("wanted", list(itertools.product([False, True], repeat=3)), ids=str)
@pytest.mark.parametrize("relu", [False, True], ids=["linear", "relu"])
def test_what_is_wanted(wanted, relu, with_threads):
    g, y, x, w = layer(64, 128, 65)
    y = y if relu else None
    found = small_linear_gradients(wanted, g, y, x if wanted[1] else None, w if wanted[0] else None)
    assert_gradients(found, g, y, x, w, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sizes(dtype, with_threads):
    """Around the edges of the tiles, and where one product has a piece for each thread and the other has one."""
    taken = 0
    for m, n, k in [*itertools.product([5, 8, 17, 64], [5, 10, 33, 100], [5, 16, 31, 130]), (1024, 32, 9), (64, 512, 784), (9, 16, 3000)]:
        g, y, x, w = layer(m, n, k, dtype, seed=m + n + k)
        for kept in (None, y):
            found = small_linear_gradients(ALL, g, kept, x, w)
            if found is not None:
                taken += 1
                assert_gradients(found, g, kept, x, w)
    assert taken > 120


def test_bits_do_not_depend_on_threads():
    before = get_num_threads()
    operands = layer(64, 128, 784)
    found = []
    try:
        for count in (1, 2, 3, 5):
            set_num_threads(count)
            found.append(b"".join(part.tobytes() for part in small_linear_gradients(ALL, *operands)))
    finally:
        set_num_threads(before)
    assert len(set(found)) == 1


def test_strides_of_the_operands():
    g, y, x, w = layer(20, 30, 40)
    wide_x, wide_w = np.zeros((20, 90), np.float32), np.zeros((30, 70), np.float32)
    wide_x[:, 10:50], wide_w[:, 5:45] = x, w
    for here in (x, wide_x[:, 10:50], np.asfortranarray(x)):
        for there in (w, wide_w[:, 5:45], np.asfortranarray(w)):
            assert_gradients(small_linear_gradients(ALL, g, y, here, there), g, y, x, w)


def test_nan_and_infinity_flow_where_relu_lets_them():
    g, y, x, w = layer(8, 8, 8)
    y[:] = 1
    y[0, 0], y[1, 1], y[2, 2], y[3, 3] = 0, -0.0, np.nan, np.inf
    g[:] = 0
    g[0, 0] = g[1, 1] = np.nan
    g[2, 2], g[3, 3] = 2, 3
    _, _, sums = small_linear_gradients(ALL, g, y, x, w)
    assert sums.tolist() == [0, 0, 2, 3, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "change",
    [
        lambda g, y, x, w: (g.astype(np.float16), y.astype(np.float16), x.astype(np.float16), w.astype(np.float16)),
        lambda g, y, x, w: (g.astype(np.int64), y.astype(np.int64), x.astype(np.int64), w.astype(np.int64)),
        lambda g, y, x, w: (g.astype(np.float64), y, x, w),
        lambda g, y, x, w: (np.broadcast_to(g[:1], g.shape), y, x, w),
        lambda g, y, x, w: (g, np.asfortranarray(y), x, w),
        lambda g, y, x, w: (g[None], y[None], x[None], w),
        lambda g, y, x, w: (g[:0], y[:0], x[:0], w),
        lambda g, y, x, w: (g[:, :0], y[:, :0], x, w[:0]),
        lambda g, y, x, w: (g, y, x[:, :0], w[:, :0]),
        lambda g, y, x, w: (g, y, np.lib.stride_tricks.as_strided(x, x.shape, (8, 8)), w),
        lambda g, y, x, w: (g[:2], y[:2], x[:2], w),
        lambda g, y, x, w: (np.tile(g, (200, 1)), np.tile(y, (200, 1)), np.tile(x, (200, 1)), w),
    ],
    ids=["half", "int", "mixed", "expanded", "columns", "batch", "no rows", "no outputs", "no inputs", "strided", "few rows", "many rows"],
)
def test_what_is_left_to_others(change):
    assert small_linear_gradients(ALL, *change(*layer(16, 16, 16))) is None


def test_the_number_of_threads_may_change():
    """A cut that was made for other threads is not taken for these."""
    before = get_num_threads()
    g, y, x, w = layer(64, 64, 256)
    try:
        for count in (3, 1, 2, 3):
            set_num_threads(count)
            assert_gradients(small_linear_gradients(ALL, g, y, x, w), g, y, x, w)
    finally:
        set_num_threads(before)


def test_linear_gradients_agree_with_the_general_way(monkeypatch):
    g, _, x, w = layer(64, 128, 65)
    small = linear_gradients(ALL, g, x, w)
    monkeypatch.setattr(_layer, "prepare", lambda *_: None)
    monkeypatch.setattr("numbagrad.kernels.matmul.gradients._prepared", {})
    for one, other in zip(small, linear_gradients(ALL, g, x, w), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 2, 3), (2, 0, 1, 3)], ids=str)
def test_rows_in_any_order(order, size):
    """A layer of rows that lie in memory in another order than their shape says: so do its results, and nothing is copied on the way."""
    back = np.argsort(order)
    x, g = (np.random.default_rng(n).standard_normal((4, 5, size, n)).astype(np.float32).transpose(*back) for n in (24, 16))
    w, b = np.random.default_rng(0).standard_normal((16, 24)).astype(np.float32), np.arange(16, dtype=np.float32)
    y = linear(x, w, b)
    np.testing.assert_allclose(y, x @ w.T + b, atol=1e-4)
    dx, dw, db = linear_gradients(ALL, g, x, w)
    np.testing.assert_allclose(dx, g @ w, atol=1e-4)
    np.testing.assert_allclose(dw, np.einsum("abcn,abck->nk", g, x), atol=1e-3)
    np.testing.assert_allclose(db, g.sum((0, 1, 2)), atol=1e-3)
    assert y.transpose(*order).flags.c_contiguous and dx.transpose(*order).flags.c_contiguous
    apart = linear_gradients(ALL, g, np.ascontiguousarray(x), w)  # rows of the two in different orders
    np.testing.assert_allclose(apart[1], dw, atol=1e-3)
    assert linear_gradients((True, False, False), g, None, w)[1:] == (None, None)
