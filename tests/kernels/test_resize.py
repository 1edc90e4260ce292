"""The tables of resizing: their adjoints; and what does not go together."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels import resize
from numbagrad.kernels._cpu import get_num_threads, set_num_threads

F64 = np.dtype(np.float64)


def matrix(table):
    found = np.zeros((table.new, table.old))
    for j in range(table.new):
        run = table.weights[table.starts[j] : table.starts[j + 1]]
        found[j, table.first[j] : table.first[j] + len(run)] = run
    return found


@pytest.mark.parametrize(
    "mode, antialias",
    [("nearest", False), ("nearest-exact", False), ("linear", False), ("cubic", False), ("lanczos", True), ("cubic", True)],
)
@pytest.mark.parametrize("old, new", [(5, 11), (11, 5), (6, 6), (1, 4), (7, 1)])
def test_tables(mode, antialias, old, new):
    (table,) = resize.tables_for((old,), (new,), (None,), mode, False, antialias, F64)
    np.testing.assert_allclose(matrix(table).sum(1), 1)  # what is constant stays so
    np.testing.assert_array_equal(matrix(table.adjoint), matrix(table).T)
    assert table.adjoint.adjoint is table
    lo, hi = table.even
    assert hi > lo and len(set(np.diff(table.starts)[lo:hi])) == 1
    x = np.random.default_rng(0).standard_normal((3, old))
    np.testing.assert_allclose(resize.resample(x, (table,)), x @ matrix(table).T, atol=1e-14)


def test_results_do_not_depend_on_the_number_of_threads():
    x = np.random.default_rng(0).standard_normal((6, 64, 61)).astype(np.float32)
    grid = np.random.default_rng(1).uniform(-1.2, 1.2, (1, 90, 70, 2)).astype(np.float32)
    tables = resize.tables_for((64, 61), (130, 150), (None, None), "cubic", False, False, x.dtype)
    down = resize.tables_for((64, 61), (40, 50), (None, None), "cubic", False, False, x.dtype)

    def results():
        y = resize.sample(x[None], grid, "linear", resize.ZEROS, False)
        gradients = (
            resize.sample_input_gradient(y, grid, (1, *x.shape), "linear", 0, False),
            resize.sample_grid_gradient(y, x[None], grid, "linear", 0, False),
        )
        return y, *gradients, resize.resample(x, tables), resize.resample(x, down)

    before = get_num_threads()
    try:
        set_num_threads(1)
        alone = results()
        set_num_threads(4)
        for a, b in zip(alone, results()):
            np.testing.assert_array_equal(a, b)
    finally:
        set_num_threads(before)


def test_what_does_not_go_together():
    tables = resize.tables_for((4,), (8,), (None,), "linear", False, False, F64)
    with pytest.raises(RuntimeError, match=r"sizes \[4\], but got \[2, 5\]"):
        resize.resample(np.ones((2, 5)), tables)
    with pytest.raises(NotImplementedError, match="int64"):
        resize.resample(np.ones((2, 4), np.int64), tables)
    with pytest.raises(RuntimeError, match="floating dtype"):
        resize.sample(np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 2), np.float32), "linear", 0, False)
    with pytest.raises(RuntimeError, match="do not go together"):
        resize.sample(np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 3)), "linear", 0, False)
