"""Elementwise loops in blocks: functions with a quick version where their arguments are in range, sin and its like."""

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels.elementwise import formulas, run
from numbagrad.kernels.elementwise._quick import BLOCK, loops, quick_names

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def test_only_float32_has_quick_functions():
    assert set(quick_names(FLOAT32, {"sin", "exp"})) == {"quick_sin", "in_range_sin"}
    assert quick_names(FLOAT64, {"sin"}) == {}


def test_source_of_a_loop_without_them_is_one_loop():
    assert loops(FLOAT32, ["x = X[i]"], ["v0 = exp(x)"], ["O[i] = v0"]) == [
        "    for i in range(lo, hi):",
        "        x = X[i]",
        "        v0 = exp(x)",
        "        O[i] = v0",
    ]
    assert sum("range(start, stop)" in line for line in loops(FLOAT32, ["x = X[i]"], ["v0 = sin(x)"], ["O[i] = v0"])) == 2


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_a_large_argument_anywhere(name, size):
    operation = getattr(formulas, name)
    x = np.random.default_rng(0).uniform(-100, 100, size).astype(np.float32)
    usual = run(operation, x)
    np.testing.assert_allclose(usual, getattr(np, name)(x.astype(np.float64)), rtol=3e-7)
    for place in {0, size // 2, size - 1}:
        for value in (1e30, -70000.0, np.inf, np.nan):
            y = x.copy()
            y[place] = value
            with np.errstate(invalid="ignore"):
                wanted = getattr(np, name)(np.float64(y[place]))
            got = run(operation, y)
            np.testing.assert_allclose(got[place], wanted, rtol=3e-7)
            others = np.arange(size) != place
            assert np.array_equal(got[others], usual[others])  # a neighbour changes no bit
            run(operation, y, out=(y,))
            np.testing.assert_array_equal(y, got)


def test_functions_of_functions():
    operation = ng.elementwise(lambda x, y: ng.sin(ng.cos(x) * y) + ng.tan(y))
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-3, 3, 3 * BLOCK), rng.uniform(-1.5, 1.5, 3 * BLOCK)
    y[BLOCK + 7] = 3e6
    got = operation(ng.tensor(x.astype(np.float32)), ng.tensor(y.astype(np.float32))).numpy()
    x, y = x.astype(np.float32).astype(np.float64), y.astype(np.float32).astype(np.float64)
    exact = np.sin(np.float64(np.float32(np.cos(x)) * y)) + np.tan(y)
    plain = np.arange(x.size) != BLOCK + 7  # there the rounding of the product is many turns
    np.testing.assert_allclose(got[plain], exact[plain], rtol=1e-5, atol=1e-6)
    assert abs(got[BLOCK + 7] - np.tan(y[BLOCK + 7])) <= 1.0001
