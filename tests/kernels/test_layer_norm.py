"""Layer-norm kernels: every length of a row, groups of rows and what is left of them, and nothing outside."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from numbagrad.kernels import norm as K
from numbagrad.kernels._cpu import get_num_threads, set_num_threads, simd
from numbagrad.kernels.norm._layer_lanes import lane_kernels
from numbagrad.kernels.norm._layer_rows import row_kernels

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 3e-6, np.float64: 1e-13}
MAKERS = [lane_kernels, *([row_kernels] if simd.COMPILED else [])]


def sample(shape, dtype, seed=0, loc=0.0):
    return (np.random.default_rng(seed).standard_normal(shape) * 2 + loc).astype(dtype)


def reference(x, weight, bias, eps, g):
    x, weight, bias, g = (a.astype(np.float64) for a in (x, weight, bias, g))
    mean, rstd = x.mean(1, keepdims=True), 1 / np.sqrt(x.var(1, keepdims=True) + eps)
    h, k = (x - mean) * rstd, g * weight
    dx = rstd * (k - k.mean(1, keepdims=True) - h * (k * h).mean(1, keepdims=True))
    return h * weight + bias, mean, rstd, dx, (g * h).sum(0), g.sum(0)


def close(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, np.abs(b).max(initial=0)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [*range(1, 20), 23, 24, 31, 32, 33, 47, 48, 63, 64, 65, 127, 128, 257, 1009, 4100])
def test_every_length_of_a_row(width, dtype):
    for count in (1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 150):
        x, g = sample((count, width), dtype, 0, 1.0), sample((count, width), dtype, 1)
        weight, bias = sample(width, dtype, 2), sample(width, dtype, 3)
        y, mean, rstd = K.layer_norm(x, (width,), weight, bias, 1e-2)
        slopes = K.layer_norm_backward(g, x, mean, rstd, (width,), weight)
        close((y, mean, rstd, *slopes), reference(x, weight, bias, 1e-2, g), 20 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
@pytest.mark.parametrize("width", [1, 5, 8, 13, 16, 40])
def test_nothing_outside_is_read_or_written(maker, width, dtype):
    kernels, pad = maker(np.dtype(dtype)), 40
    for count in (1, 4, 7, 8, 9, 66):

        def framed(n, fill, values=None):
            whole = np.full(n + 2 * pad, fill, dtype)
            inside = whole[pad : pad + n]
            if values is not None:
                inside[:] = values.reshape(-1)
            return whole, inside

        x, g = sample((count, width), dtype), sample((count, width), dtype, 1)
        weight, bias = sample(width, dtype, 2), sample(width, dtype, 3)
        # What is read outside is NaN, and would show.
        source, slope, factor, offset = (framed(a.size, np.nan, a)[1] for a in (x, g, weight, bias))
        y, mean, rstd, dx = framed(x.size, 7), framed(count, 7), framed(count, 7), framed(x.size, 7)
        arrays = y[1], mean[1], rstd[1], source, factor, offset
        kernels.forward(-(-count // kernels.rows), *map(id, arrays), count, width, 1e-2)
        blocks = -(-count // kernels.rows)
        part = framed(2 * blocks * width, 7)
        arrays = dx[1], part[1], slope, source, factor, mean[1], rstd[1]
        kernels.backward(blocks, *map(id, arrays), count, width, kernels.rows)
        sums = part[1].reshape(blocks, 2, width).sum(0)
        found = y[1].reshape(x.shape), mean[1][:, None], rstd[1][:, None], dx[1].reshape(x.shape), *sums
        close(found, reference(x, weight, bias, 1e-2, g), 20 * TOLERANCE[dtype])
        for whole, _ in (y, mean, rstd, dx, part):
            assert (whole[:pad] == 7).all() and (whole[-pad:] == 7).all()


@pytest.mark.parametrize("width", [8, 31, 32, 100, 768])
def test_a_mean_far_from_zero_and_from_some_elements(width):
    x = sample((13, width), np.float32, 4, 20_000.0)
    x[3] += np.linspace(0, 10_000, width, dtype=np.float32)
    for r, far in ((5, -20_000.0), (6, 3e4), (12, 20.0)):
        x[r, [0, width // 4, width // 2, 3 * width // 4]] += far  # these tell where a row is
    exact = x.astype(np.float64)
    y, mean, rstd = K.layer_norm(x, (width,), eps=0.0)
    np.testing.assert_allclose(mean[:, 0], exact.mean(1), rtol=2e-7)
    np.testing.assert_allclose(rstd[:, 0], 1 / exact.std(1), rtol=3e-6)
    expected = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    np.testing.assert_allclose(y, expected, atol=3e-5)


@pytest.mark.parametrize("width", [6, 40, 96])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_in_its_row(width, place, bad):
    x, g = sample((11, width), np.float32), sample((11, width), np.float32, 1)
    x[2, place] = bad
    y, mean, rstd = K.layer_norm(x, (width,))
    dx = K.layer_norm_backward(g, x, mean, rstd, (width,))[0]
    whole = np.arange(11) != 2
    assert np.isnan(y[2]).all() and np.isfinite(y[whole]).all() and np.isfinite(dx[whole]).all()
    x[2, place] = 0
    g[5, place] = bad
    y, mean, rstd = K.layer_norm(x, (width,))
    dx = K.layer_norm_backward(g, x, mean, rstd, (width,))[0]
    whole = np.arange(11) != 5
    assert np.isfinite(dx[whole]).all() and not np.isfinite(dx[5]).any()


@pytest.mark.parametrize("width", [7, 8, 40, 300])
def test_the_number_of_threads_changes_no_bit(width):
    x, g, weight = sample((5003, width), np.float32), sample((5003, width), np.float32, 1), sample(width, np.float32, 2)
    before, found = get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            y, mean, rstd = K.layer_norm(x, (width,), weight)
            found.append((y, mean, rstd, *K.layer_norm_backward(g, x, mean, rstd, (width,), weight)))
    finally:
        set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))


def test_every_call_is_checked_not_only_the_first():
    x, weight = sample((5, 6), np.float32), sample(6, np.float32, 1)
    first = K.layer_norm(x, (6,), weight)
    for again in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::2], x[::-1][::-1]):
        assert all(np.array_equal(a, b) for a, b in zip(K.layer_norm(again, [6], weight), first))
    frozen = x.copy()
    frozen.setflags(write=False)
    assert np.array_equal(K.layer_norm(frozen, (6,), weight)[0], first[0])
    assert K.layer_norm(x.astype(np.float64), (6,), weight.astype(np.float64))[0].dtype == np.float64
    with pytest.raises(RuntimeError, match="expected weight of dtype float64"):
        K.layer_norm(x.astype(np.float64), (6,), weight)
    with pytest.raises(RuntimeError, match="normalized_shape"):
        K.layer_norm(x, (5,), weight)
    slopes = K.layer_norm_backward(x, x, *first[1:], (6,), weight)
    assert all(np.array_equal(a, b) for a, b in zip(K.layer_norm_backward(x[::-1][::-1], x, *first[1:], (6,), weight), slopes))
    with pytest.raises(RuntimeError, match="expected grad of shape"):
        K.layer_norm_backward(x[:4], x, *first[1:], (6,), weight)
    with pytest.raises(RuntimeError, match="expected mean of shape"):
        K.layer_norm_backward(x, x, first[1][:4], first[2], (6,), weight)


SMALL = """
import numpy as np
from numbagrad.kernels import norm as K
rng = np.random.default_rng(0)
for width in (1, 5, 8, 12, 33, 70):
    x, g, weight = (rng.standard_normal(s).astype(np.float32) for s in ((11, width), (11, width), width))
    y, mean, rstd = K.layer_norm(x, (width,), weight)
    for a in (y, mean, rstd, *K.layer_norm_backward(g, x, mean, rstd, (width,), weight)):
        print(*[f"{float(v):.9g}" for v in a.reshape(-1)])
"""


def numbers(**environment):
    run = subprocess.run([sys.executable, "-c", SMALL], env=os.environ | environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return np.array([float(v) for v in run.stdout.split()])


@pytest.mark.parametrize("setting", ["NUMBA_DISABLE_JIT=1", "NUMBAGRAD_SIMD=avx2", "NUMBAGRAD_SIMD=generic"])
def test_without_a_compiler_and_with_other_registers_the_numbers_are_the_same(setting):
    np.testing.assert_allclose(numbers(**dict([setting.split("=")])), numbers(), rtol=2e-5, atol=2e-5)
