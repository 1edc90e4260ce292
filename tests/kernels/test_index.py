"""The index family against NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbagrad.kernels import _cpu, _dtypes
from numbagrad.kernels import copy as C
from numbagrad.kernels import index as I

pytestmark = pytest.mark.usefixtures("few_or_many")
DTYPES = [np.uint8, np.float16, np.float32, np.float64, np.complex128]  # one dtype for each element size


def sample(shape, dtype=np.float32, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * 50).astype(dtype)


def indices_like(shape, size, seed=0, low=0):
    return np.random.default_rng(seed).integers(low, size, shape)


@st.composite
def advanced(draw, mask=True):
    """An array of any layout and a valid index of it, as ``index_get`` and as NumPy take it."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    order = draw(st.permutations(range(len(shape))))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape([shape[j] for j in order]).transpose(np.argsort(order))
    if draw(st.booleans()):
        x = x[::-1]
    places = draw(st.sampled_from([(), (1,), (4,), (2, 3), (0,)]))
    entries = []
    at = 0
    while at < len(shape):
        kind = draw(st.sampled_from(["keep", "index", "index", "mask"]))
        if kind == "keep":
            entries.append(None)
        elif kind == "mask" and mask and not any(e is not None for e in entries):
            covers = draw(st.integers(1, len(shape) - at))
            size = int(np.prod(shape[at : at + covers]))
            m = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))).reshape(shape[at : at + covers])
            entries.append(m)
            places = (int(m.sum()),)
            at += covers - 1
        else:
            fewer = draw(st.sampled_from([places, places[1:], tuple(1 for _ in places)]))
            if entries and isinstance(entries[-1], np.ndarray) and entries[-1].dtype == bool:
                fewer = draw(st.sampled_from([(), (1,)]))
            entries.append(np.array(draw(st.integers(0, 2**30))) + np.arange(int(np.prod(fewer))).reshape(fewer) * 7)
            entries[-1] = np.asarray(entries[-1] % (2 * shape[at]) - shape[at])
        at += 1
    if all(e is None for e in entries):
        entries[0] = np.array([0, -1]) % shape[0]
    return x, entries, tuple(slice(None) if e is None else e for e in entries)


@settings(max_examples=300, deadline=None)
@given(advanced())
def test_index_get_as_numpy(case):
    x, entries, expression = case
    assert np.array_equal(I.index_get(x, entries), x[expression])


@settings(max_examples=200, deadline=None)
@given(advanced(), st.booleans())
def test_index_put_as_numpy(case, number):
    x, entries, expression = case
    x = np.array(x).T.copy().T  # writable, still not row-major
    expected = x.copy()
    result = x[expression]
    values = np.array(-1, np.float32) if number else np.asarray(-np.arange(result.size, dtype=np.float32).reshape(result.shape))
    expected[expression] = values
    assert np.array_equal(I.index_put(x, entries, values), expected)
    added = x.copy()
    np.add.at(added, expression, values)
    I.index_put_into(x, entries, values, accumulate=True)
    assert np.array_equal(x, added)


@pytest.mark.parametrize("dtype", DTYPES)
def test_index_get_and_put_of_every_element_size(dtype):
    x = sample((6, 70, 3), dtype)
    rows, columns = np.array([5, 0, -2]), np.array([[1], [-70]])
    assert np.array_equal(I.index_get(x, [rows]), x[rows])
    assert np.array_equal(I.index_get(x, [rows, columns]), x[rows, columns])
    assert np.array_equal(I.index_get(x, [None, columns]), x[:, columns])
    assert np.array_equal(I.index_get(x.T, [None, None, rows]), x.T[:, :, rows])
    y = I.index_put(x, [rows], sample((3, 70, 3), dtype, 1))
    expected = x.copy()
    expected[rows] = sample((3, 70, 3), dtype, 1)
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("dtype", [*DTYPES[1:], np.int32, np.bool_])
def test_accumulation(dtype):
    x = C.cast(np.zeros((3, 4)), np.dtype(dtype))
    I.index_put_into(x, [np.array([2, 0, 2, -1])], C.cast(np.ones((4, 4)), x.dtype), accumulate=True)
    expected = np.array([[1], [0], [3]]) * np.ones(4)
    assert np.array_equal(C.cast(x, _dtypes.float64), np.minimum(expected, 1) if dtype == np.bool_ else expected)
    y = C.cast(np.zeros((3, 4)), _dtypes.bfloat16)
    I.scatter_add_into(y, 0, np.array([[1, 1, 1, 2]] * 2), C.cast(np.ones((2, 4)), _dtypes.bfloat16))
    assert C.cast(y, _dtypes.float32).tolist() == [[0, 0, 0, 0], [2, 2, 2, 0], [0, 0, 0, 2]]


def test_later_writes_win_and_sums_keep_their_order_on_any_number_of_threads():
    x = np.zeros((50, 200), np.float32)
    where = indices_like(5000, 50)
    values = sample((5000, 200))
    before = _cpu.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _cpu.set_num_threads(threads)
            put = I.index_put(x, [where], values)
            add = I.index_put(x, [where], values, accumulate=True)
            narrow = I.index_put(np.zeros(50, np.float32), [np.tile(where, 20)], np.tile(values[:, 0], 20), accumulate=True)
            rows = I.embedding_backward(values, where, 50)
            along = I.scatter_add(x, 0, np.broadcast_to(where[:, None], values.shape), values)
            results.append((put, add, narrow, rows, along))
    finally:
        _cpu.set_num_threads(before)
    put, add, narrow, rows, along = results[0]
    last = {int(w): i for i, w in enumerate(where)}
    assert all(np.array_equal(put[w], values[i]) for w, i in last.items())
    serial = np.zeros_like(x)
    for i, w in enumerate(where):
        serial[w] += values[i]
    for got in (add, rows, along):
        assert np.array_equal(got, serial)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other))


def test_index_errors_leave_the_array_alone():
    x = np.arange(12.0).reshape(3, 4)
    kept = x.copy()
    for indices in ([np.array([0, 3])], [np.array([-4])], [None, np.array([1, 4])], [np.array([0]), np.array([2**40])]):
        with pytest.raises(IndexError, match="is out of bounds for dimension"):
            I.index_get(x, indices)
        with pytest.raises(IndexError, match="is out of bounds for dimension"):
            I.index_put_into(x, indices, np.array(7.0))
    with pytest.raises(IndexError, match=r"index 10 is out of bounds for dimension 0 with size 5"):
        I.index_get(np.zeros(5), [np.array([10])])
    with pytest.raises(IndexError, match=r"\[2\], \[3\]"):
        I.index_get(x, [np.array([0, 1]), np.array([0, 1, 2])])
    with pytest.raises(IndexError, match="mask"):
        I.index_get(x, [np.array([True, False])])
    with pytest.raises(IndexError, match="too many"):
        I.index_get(x, [np.array([0])] * 3)
    with pytest.raises(IndexError, match="long, int, byte or bool"):
        I.index_get(x, [np.array([0.5])])
    with pytest.raises(RuntimeError, match="cannot be broadcast"):
        I.index_put_into(x, [np.array([0])], np.array([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="dtype"):
        I.index_put_into(x, [np.array([0])], np.array(1, np.int64))
    for dim, bad in ((0, 3), (1, -1)):
        index = np.full((1, 1), bad)
        for call in (
            lambda: I.gather(x, dim, index),
            lambda: I.scatter_into(x, dim, index, 7.0),
            lambda: I.scatter_add_into(x, dim, index, 7.0),
        ):
            with pytest.raises(RuntimeError, match=f"index {bad} is out of bounds for dimension {dim}"):
                call()
    for call in (
        lambda: I.index_select(x, 0, np.array([-1])),
        lambda: I.index_add_into(x, 0, np.array([3]), np.ones((1, 4))),
        lambda: I.embedding(x, np.array([3])),
        lambda: I.embedding_backward(np.ones((1, 4)), np.array([3]), 3),
    ):
        with pytest.raises(IndexError, match="out of range in self"):
            call()
    assert np.array_equal(x, kept)
    assert I.index_get(np.empty((0, 4)), [None, np.array([9])]).shape == (0, 1)  # nothing is read, as in torch


@pytest.mark.parametrize(
    "shape, dim, size", [((5,), 0, 9), ((4, 6), 0, 3), ((4, 6), 1, 8), ((3, 4, 5), 1, 2), ((3, 70, 5), 0, 90), ((3, 70, 5), -1, 90)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gather_and_scatter_as_torch(shape, dim, size, dtype):
    torch = pytest.importorskip("torch")
    x = sample(shape, dtype)
    smaller = [max(1, n - 1) for n in shape]
    smaller[dim] = size
    for source in (x, np.asfortranarray(x)):
        index = indices_like(smaller, shape[dim])
        tx, ti = torch.tensor(source), torch.tensor(index)
        assert np.array_equal(I.gather(source, dim, index), tx.gather(dim, ti).numpy())
        values = sample(smaller, dtype, 2)
        added = I.scatter_add(source, dim, index, values)
        assert np.allclose(added, tx.scatter_add(dim, ti, torch.tensor(values)).numpy(), rtol=1e-4, atol=1e-4)
        assert np.array_equal(I.scatter(source, dim, index, 3), tx.scatter(dim, ti, 3).numpy())
        expected = source.copy()
        for place in np.ndindex(*smaller):  # in the index's order, as along the line
            to = list(place)
            to[dim] = index[place]
            expected[tuple(to)] = values[place]
        assert np.array_equal(I.scatter(source, dim, index, values), expected)


def test_gather_scatter_special_cases():
    x = sample((3, 4))
    assert np.array_equal(I.gather(x.T, 0, np.array([[1, 0, 2]], np.int32)), np.take_along_axis(x.T, np.array([[1, 0, 2]]), 0))
    assert I.gather(x, 1, np.empty((3, 0), np.int64)).shape == (3, 0)
    scalar = np.array(5.0)
    assert I.gather(scalar, 0, np.array([0])).tolist() == [5.0] and I.gather(scalar, 0, np.array(0)).shape == ()
    assert I.scatter(scalar, 0, np.array(0), 2.0).tolist() == 2.0
    square = np.arange(9.0).reshape(3, 3)
    I.scatter_into(square, 0, np.array([[2, 2, 2], [0, 0, 0], [1, 1, 1]]), square)  # reads and writes the same memory
    assert square.tolist() == [[3, 4, 5], [6, 7, 8], [0, 1, 2]]
    assert np.array_equal(I.take_along_dim(x, np.array([[1, 3]]), 1), x[:, [1, 3]])
    assert np.array_equal(I.take_along_dim(x, np.array([7, 0])), x.reshape(-1)[[7, 0]])
    for dim, index, error in [
        (0, np.array([0]), RuntimeError),
        (0, np.zeros((1, 5), np.int64), RuntimeError),
        (0, np.zeros((1, 1)), RuntimeError),
        (0, np.zeros((1, 1), np.uint8), RuntimeError),
        (2, np.zeros((1, 1), np.int64), IndexError),
    ]:
        with pytest.raises(error):
            I.gather(x, dim, index)
    with pytest.raises(RuntimeError, match="src"):
        I.scatter(x, 0, np.zeros((2, 4), np.int64), x[:1])
    with pytest.raises(RuntimeError, match="dtype"):
        I.scatter_add(x, 0, np.zeros((1, 4), np.int64), np.ones((1, 4)))
    with pytest.raises(RuntimeError, match="same number of dimensions"):
        I.take_along_dim(x, np.array([7]), 1)


def test_index_select_and_index_add():
    x = sample((4, 5, 6), np.float64)
    index = np.array([3, 0, 0])
    for dim in (0, 1, 2, -1):
        assert np.array_equal(I.index_select(x, dim, index), np.take(x, index, dim))
        source = sample(np.take(x, index, dim).shape, np.float64, 1)
        expected = x.copy()
        np.add.at(np.moveaxis(expected, dim, 0), index, np.moveaxis(2.5 * source, dim, 0))
        assert np.array_equal(I.index_add(x, dim, index, source, 2.5), expected)
    assert I.index_select(x, 0, np.array(1)).shape == (1, 5, 6) and I.index_select(np.array(3.0), 0, np.array([0])).shape == ()
    with pytest.raises(IndexError, match="vector"):
        I.index_select(x, 0, index[None])
    with pytest.raises(RuntimeError, match="int32 or int64"):
        I.index_select(x, 0, np.array([0.0]))
    with pytest.raises(RuntimeError, match="shape"):
        I.index_add(x, 0, index, x[:3, :2])
    with pytest.raises(RuntimeError, match="number of indices"):
        I.index_add(x, 0, index, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_embedding_and_gradient(dtype):
    weight = sample((7, 130), dtype)
    index = indices_like((4, 9), 7)
    assert np.array_equal(I.embedding(weight, index), weight[index])
    assert I.embedding(weight, np.empty((2, 0), np.int64)).shape == (2, 0, 130)
    g = np.ones((4, 9, 130), dtype)
    counts = np.bincount(index.reshape(-1), minlength=7)
    assert np.array_equal(I.embedding_backward(g, index, 7), counts[:, None] * np.ones((7, 130)))
    scaled = I.embedding_backward(g, index, 7, 2, True)
    assert np.allclose(scaled, (counts[:, None] > 0) * (np.arange(7) != 2)[:, None] * np.ones((7, 130)), rtol=1e-3)
    assert scaled.dtype == dtype
    with pytest.raises(RuntimeError, match="2-D"):
        I.embedding(weight[0], index)
    with pytest.raises(RuntimeError, match="int32 or int64"):
        I.embedding(weight, index.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=4), st.integers(0, 100))
def test_masks(shape, seed):
    rng = np.random.default_rng(seed)
    x = np.asarray(rng.standard_normal(shape) * (rng.random(shape) < 0.5))
    mask = np.asarray(x != 0)
    assert np.array_equal(I.nonzero(x.T), np.argwhere(x.T))
    assert np.array_equal(I.masked_select(x, mask), x[mask])
    assert np.array_equal(I.masked_fill(x.T, mask.T, 7), np.where(mask.T, 7, x.T))
    source = np.arange(x.size + 1.0)
    expected = x.copy()
    expected[mask] = source[: mask.sum()]
    assert np.array_equal(I.masked_scatter(x, mask, source), expected)


def test_large_mask_spans_blocks():
    mask = np.random.default_rng(0).random(50_000) < 0.3
    assert np.array_equal(I.nonzero(mask)[:, 0], np.flatnonzero(mask))
    assert np.array_equal(I.nonzero(np.array([np.nan, 0, -0.0, 1j])), [[0], [3]])


def test_mask_errors_and_broadcast():
    x = sample((3, 4))
    column = np.array([[True], [False], [True]])
    assert np.array_equal(I.masked_select(x, column), x[[0, 2]].reshape(-1))
    assert np.array_equal(I.masked_fill(x[0], column, 1), np.where(column, 1, x[0]))
    assert I.masked_fill(np.arange(3), np.array([True, False, True]), 2.5).tolist() == [2, 1, 2]
    assert I.masked_select(x, np.array(True)).shape == (12,) and I.nonzero(np.array(1.0)).shape == (1, 0)
    with pytest.raises(RuntimeError, match="boolean"):
        I.masked_select(x, np.ones((3, 4), np.int64))
    with pytest.raises(RuntimeError, match="broadcast"):
        I.masked_fill(x, np.array([True, False]), 1)
    with pytest.raises(RuntimeError, match="0-dimensional"):
        I.masked_fill(x, column, np.array([1.0]))
    with pytest.raises(RuntimeError, match="number of ones"):
        I.masked_scatter(x, column, x[0])
    with pytest.raises(RuntimeError, match="dtype"):
        I.masked_scatter(x, column, x.astype(np.int64))


def test_one_hot_and_bincount():
    index = np.array([[0, 2], [1, 2]])
    assert np.array_equal(I.one_hot(index), np.eye(3, dtype=np.int64)[index])
    assert I.one_hot(index, 5).shape == (2, 2, 5) and I.one_hot(np.empty(0, np.int64), 3).shape == (0, 3)
    for bad, classes in [(np.array([-1]), -1), (np.array([3]), 3), (np.empty(0, np.int64), -1), (np.array([1.0]), 2), (np.array([0]), 0)]:
        with pytest.raises(RuntimeError, match="one_hot"):
            I.one_hot(bad, classes)
    values = np.array([3, 1, 3], np.uint8)
    assert I.bincount(values).tolist() == [0, 1, 0, 2] and I.bincount(values, minlength=6).size == 6
    weighted = I.bincount(values, np.array([0.5, 1, 2], np.float32))
    assert weighted.tolist() == [0, 1, 0, 2.5] and weighted.dtype == np.float32
    assert I.bincount(values, np.array([1, 2, 3])).dtype == np.float64
    assert I.bincount(np.empty(0, np.int64), minlength=2).tolist() == [0, 0]
    for bad in (np.array([-1]), np.array([[1]])):
        with pytest.raises(RuntimeError, match="non-negative"):
            I.bincount(bad)
    with pytest.raises(NotImplementedError):
        I.bincount(np.array([1.0]))
    with pytest.raises(RuntimeError, match="weights"):
        I.bincount(values, np.array([1.0]))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_index_of_a_contiguous_array(dtype, threads):
    """More indices than are checked at a time, on every dimension, and on so much work that it is split."""
    before = _cpu.get_num_threads()
    _cpu.set_num_threads(threads)
    try:
        x = sample((7, 11, 19), dtype)
        for dim, n in enumerate(x.shape):
            index = indices_like((40, 30), n, low=-n)
            expected = np.take(x, index % n, dim)
            assert np.array_equal(I.index_get(x, (*(None,) * dim, index)), expected)
            assert np.array_equal(
                I.index_select(x, dim, (index % n).reshape(-1)), expected.reshape(*x.shape[:dim], 1200, *x.shape[dim + 1 :])
            )
        table = sample((13, 5), dtype)
        rows = indices_like(70001, 13)
        assert np.array_equal(I.embedding(table, rows), table[rows])
        line = sample(4000, dtype)
        places = indices_like(150001, 4000, low=-4000)
        assert np.array_equal(I.index_get(line, (places,)), line[places])
        assert np.array_equal(I.gather(line, 0, places % 4000), line[places])
        mask = indices_like((7, 11), 2).astype(bool)
        assert np.array_equal(I.index_get(x, (mask,)), x[mask])
        assert np.array_equal(I.index_get(x, (None, mask.T[:, :1].repeat(19, 1))), x[:, mask.T[:, :1].repeat(19, 1)])
    finally:
        _cpu.set_num_threads(before)


@pytest.mark.parametrize("position", [0, 511, 512, 1500, 2999])
def test_one_wrong_index_among_many(position):
    for shape, dim in (((50,), 0), ((50, 3), 0), ((3, 50), 1), ((2, 50, 2), 1)):
        x = sample(shape)
        for wrong, negative in ((50, False), (-51, False), (-1, True), (2**40, False), (-(2**63), False)):
            index = indices_like(3000, 50)
            index[position] = wrong
            if not negative:
                with pytest.raises(IndexError, match=rf"index {wrong} is out of bounds for dimension {dim} with size 50"):
                    I.index_get(x, (*(None,) * dim, index))
            with pytest.raises(IndexError, match=f"index {wrong} out of range"):
                I.index_select(x, dim, index)
            along = np.broadcast_to(
                index.reshape([3000 if j == dim else 1 for j in range(len(shape))]), [3000 if j == dim else n for j, n in enumerate(shape)]
            )
            with pytest.raises(RuntimeError, match=f"gather: index {wrong} is out of bounds for dimension {dim} with size 50"):
                I.gather(x, dim, along)


@pytest.mark.parametrize("shape", [(1200, 3), (3, 1200), (2, 700, 3), (2, 3, 700), (2000,)])
def test_gather_and_scatter_along_every_dimension(shape):
    x = sample(shape)
    for dim, n in enumerate(shape):
        for layout in (lambda a: a, np.asfortranarray):
            source, index = layout(x), indices_like(shape, n, seed=dim)
            assert np.array_equal(I.gather(source, dim, layout(index)), np.take_along_axis(x, index, dim))
            permuted = np.argsort(sample(shape, seed=3), dim)
            expected = x.copy()
            np.put_along_axis(expected, permuted, x * 2, dim)
            assert np.array_equal(I.scatter(source, dim, layout(permuted), layout(x * 2)), expected)
            added = x.astype(np.float64)
            np.add.at(added, tuple(index if j == dim else g for j, g in enumerate(np.indices(shape))), x)
            np.testing.assert_allclose(I.scatter_add(source.astype(np.float64), dim, index, x.astype(np.float64)), added, rtol=1e-12)


@pytest.mark.parametrize("count", [3, 16, 100])
def test_index_add_to_strided_rows(count):
    """Few places are walked for each row, many for each element of it."""
    x, index = sample((40, 30), np.float64), indices_like(count, 30)
    source = sample((40, count), np.float64, 1)
    expected = x.copy()
    np.add.at(expected, (slice(None), index), 3 * source)
    np.testing.assert_allclose(I.index_add(x, 1, index, source, 3), expected, rtol=1e-12)
    y = x.copy()
    I.index_put_into(y, (None, index), source)
    last = x.copy()
    for i, j in enumerate(index):
        last[:, j] = source[:, i]
    assert np.array_equal(y, last)


def test_several_indices_of_the_first_dimensions():
    x = sample((6, 7, 8, 2))
    for k in (1, 2, 3, 4):
        indices = tuple(indices_like((5, 4), n, seed=j, low=-n) for j, n in enumerate(x.shape[:k]))
        assert np.array_equal(I.index_get(x, indices), x[indices])
        y, expected = x.copy(), x.copy()
        I.index_put_into(y, indices, np.array(3, np.float32))
        expected[indices] = 3
        assert np.array_equal(y, expected)
    with pytest.raises(IndexError, match="index 7 is out of bounds for dimension 1 with size 7"):
        I.index_get(x, (np.array([0, 1]), np.array([0, 7])))
    with pytest.raises(IndexError, match="too many indices"):
        I.index_get(x[0, 0, 0], (np.array([0]), np.array([0])))


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_fill_in_place(dtype):
    x = sample((40, 50), dtype)
    mask = indices_like((40, 50), 2).astype(bool)
    for target, chosen in (
        (lambda a: a, mask),
        (lambda a: a.T, mask.T),
        (lambda a: a[::2], mask[::2]),
        (lambda a: a, mask[:1]),
        (lambda a: a, mask[:, :1]),
    ):
        y = x.copy()
        I.masked_fill_into(target(y), chosen, 3)
        expected = x.copy()
        target(expected)[np.broadcast_to(chosen, target(x).shape)] = 3
        assert np.array_equal(y, expected)
    y = x.copy()
    I.index_put_into(y, (mask,), y[3, 4:5])  # one of its own elements, which may be overwritten with itself
    expected = x.copy()
    expected[mask] = x[3, 4]
    assert np.array_equal(y, expected)
    I.masked_fill_into(x[:0], mask[:0], 3)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        I.masked_fill_into(x[:1].copy(), mask, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        I.masked_fill_into(np.broadcast_to(x[:1], (40, 50)), mask, 3)
    with pytest.raises(RuntimeError, match="0-dimensional"):
        I.masked_fill_into(x, mask, x[0])


@pytest.mark.parametrize("share", [0.0, 0.002, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(20000,), (1, 9000), (9000, 1), (90, 100), (3, 700, 5), (5, 4, 3, 2, 11)])
def test_nonzero_of_every_density(shape, share):
    x = (np.random.default_rng(1).random(shape) < share).astype(np.float32)
    assert np.array_equal(I.nonzero(x), np.argwhere(x))
