"""Reductions of contiguous rows of floats, which are folded in registers: every length around the sizes of its vectors, NaN anywhere, exact sums."""

import numpy as np
import pytest

from numbagrad.kernels import reduce as K
from numbagrad.kernels._cpu import get_num_threads, set_num_threads, simd
from numbagrad.kernels.reduce._fold import ROW_BLOCK, SHORT, row_blocks
from tests.machine_code import compiled_text, computes_packed, float64_instructions

pytestmark = pytest.mark.skipif(not simd.COMPILED, reason="there is no vector code under NUMBA_DISABLE_JIT")

LENGTHS = [SHORT, SHORT + 1, 63, 64, 65, 127, 128, 255, 256, 257, 300, 511, 513, ROW_BLOCK, ROW_BLOCK + 1, 2 * ROW_BLOCK + 77]
FOLDS = {"sum": np.sum, "prod": np.prod, "amax": np.max, "amin": np.min, "norm": lambda x, axis: np.sqrt((x * x).sum(axis))}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(FOLDS))
def test_every_length(name, dtype):
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        x = rng.standard_normal((3, n)).astype(dtype)
        if name == "prod":
            x = np.exp(x / 100).astype(dtype)
        got = getattr(K, name)(x, dim=1)
        wanted = FOLDS[name](x.astype(np.longdouble), axis=1).astype(np.float64)
        size = np.abs(x).sum(1, dtype=np.float64).max() if name == "sum" else np.abs(wanted).max()
        slack = 2 * np.sqrt(n) if name == "prod" else 8  # every rounding of a product is there to stay
        np.testing.assert_allclose(got, wanted, rtol=0, atol=size * np.finfo(dtype).eps * slack, err_msg=f"{n}")
        assert got.dtype == dtype


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_nan_and_infinity_anywhere(name):
    rng = np.random.default_rng(1)
    for n in (17, 64, 100, 257, 600):
        x = rng.standard_normal((n, n)).astype(np.float32)
        wanted = FOLDS[name](x, axis=1)
        for value in (np.nan, -np.nan, np.inf, -np.inf):
            y = x.copy()
            y[np.arange(n), np.arange(n)] = value
            np.testing.assert_array_equal(getattr(K, name)(y, 1), FOLDS[name](y, axis=1))
        np.testing.assert_array_equal(getattr(K, name)(x, 1), wanted)
        for value in (np.inf, -np.inf, np.nan):
            assert np.array_equal(getattr(K, name)(np.full((2, n), value, np.float32), 1), np.full(2, value, np.float32), equal_nan=True)


def test_sums_of_ones_are_exact():
    for n in (17, 8191, 1_000_003, 40_000_000):
        assert K.sum(np.ones(n, np.float32)) == np.float32(n)


def test_negative_zeros_stay_negative_zeros():
    assert np.signbit(K.sum(np.full((2, 100), -0.0, np.float32), 1)).all()


def test_the_result_does_not_depend_on_the_threads():
    x = np.random.default_rng(2).standard_normal((5, 300_001)).astype(np.float32)
    threads = get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            set_num_threads(count)
            results.append((K.sum(x, 1), K.norm(x, 2.0, 1), K.sum(x)))
    finally:
        set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["sum", "amax", "squared"])
def test_registers_without_float64(name):
    body = row_blocks.__wrapped__(name, np.dtype(np.float32))
    out, x = np.empty(1, np.float32), np.ones(100, np.float32)
    words = np.array([id(out), id(x), 0, 100, 1])
    body(0, 1, words.ctypes.data)
    assert out[0] == (1 if name == "amax" else 100)
    text = compiled_text(body)
    assert computes_packed(text) and float64_instructions(text) == []
