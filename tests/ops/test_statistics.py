"""Order statistics, histograms, running extrema and differences: what PyTorch's samples do not show."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running_extrema(dtype, dim):
    """Rows and columns have loops of their own; of equals the last counts, and a NaN stays."""
    x = np.random.default_rng(0).integers(0, 4, (7, 33)).astype(dtype)
    if x.dtype.kind == "f":
        x[2, 5], x[3, 0] = math.nan, math.nan
    for function, best in ((ng.cummax, np.maximum), (ng.cummin, np.minimum)):
        values, indices = function(ng.from_numpy(x), dim)
        want = best.accumulate(x, dim) if dtype is not bool else best.accumulate(x.astype(np.uint8), dim).astype(bool)
        np.testing.assert_array_equal(values.numpy(), want)
        np.testing.assert_array_equal(np.take_along_axis(x, indices.numpy(), dim), want)
        places = np.arange(x.shape[dim]).reshape((-1, 1) if dim == 0 else (1, -1))
        last = np.maximum.accumulate(np.where((x == want) | (x != x), places, 0), dim)
        np.testing.assert_array_equal(indices.numpy(), last)


def test_running_extrema_of_nothing():
    values, indices = ng.cummax(ng.empty(0, 3), 0)
    assert values.shape == indices.shape == (0, 3) and indices.dtype is ng.int64
    assert ng.cummin(ng.tensor(2.0), 0).indices.item() == 0
    with pytest.raises(IndexError):
        ng.cummax(ng.ones(2), 1)


def test_running_logsumexp():
    x = np.random.default_rng(0).standard_normal((3, 40)) * 300
    x[0, :3], x[1, 7] = -math.inf, math.inf
    np.testing.assert_allclose(ng.logcumsumexp(ng.from_numpy(x), 1).numpy(), np.logaddexp.accumulate(x, 1), rtol=1e-12)
    y = ng.randn(3, 4, dtype=ng.float64, requires_grad=True)
    for dim in (0, 1):
        assert gradcheck(lambda t: ng.logcumsumexp(t, dim), (y,)) and gradgradcheck(lambda t: ng.logcumsumexp(t, dim), (y,))
    z = ng.tensor([-math.inf, 1.0, 2.0], requires_grad=True)
    ng.logcumsumexp(z, 0)[1:].sum().backward()
    assert z.grad.isfinite().all() and z.grad[0].item() == 0


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("scale", [1e-3, 1, 50, 1e4])
def test_running_logsumexp_is_exact_to_the_last_digits(scale, dim):
    """Over many steps, too, of which each adds less than the last digit of the sum."""
    x = (np.random.default_rng(0).standard_normal((20_000, 2)) * scale).astype(np.float32)
    x[:3, 0], x[100, 1] = -math.inf, -math.inf
    expected = np.logaddexp.accumulate(x.astype(np.float64), 0)
    found = ng.logcumsumexp(ng.from_numpy(x if dim == 0 else np.ascontiguousarray(x.T)), dim).numpy()
    np.testing.assert_allclose(found if dim == 0 else found.T, expected, rtol=3e-7, atol=3e-7)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_running_product_is_exact_to_the_last_digits(dtype, dim):
    rng = np.random.default_rng(0)
    x = (1 + 1e-3 * rng.standard_normal((20_000, 2))).astype(dtype)
    expected = np.cumprod(x.astype(np.complex128), 0)
    found = ng.cumprod(ng.from_numpy(x if dim == 0 else np.ascontiguousarray(x.T)), dim).numpy()
    assert found.dtype == dtype
    np.testing.assert_allclose(found if dim == 0 else found.T, expected, rtol=2e-7)


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_of_strided_rows(interpolation):
    x = np.random.default_rng(0).standard_normal((6, 8))
    t = ng.from_numpy(x).T[::2]
    q = np.array([0.0, 0.25, 0.6, 1.0])
    found = ng.quantile(t, ng.from_numpy(q), 1, interpolation=interpolation)
    np.testing.assert_allclose(found.numpy(), np.quantile(x.T[::2], q, 1, method=interpolation), rtol=1e-14)
    x[1, 2] = math.nan
    t = ng.from_numpy(x)
    assert ng.quantile(t, 0.5).isnan() and ng.nanquantile(t, 0.5).item() == pytest.approx(np.nanquantile(x, 0.5))


def test_mode():
    values, indices = ng.mode(ng.tensor([[3, 1, 3, 1, 2], [5, 4, 3, 2, 1]]))
    assert values.tolist() == [1, 1] and indices.tolist() == [3, 4]
    with pytest.raises(IndexError):
        ng.mode(ng.empty(2, 0))


def test_histograms_against_numpy():
    x = np.random.default_rng(0).standard_normal(500)
    t = ng.from_numpy(x)
    hist, edges = ng.histogram(t, 7, range=(-1.0, 2.0), weight=ng.from_numpy(np.abs(x)), density=True)
    want, ends = np.histogram(x, 7, (-1.0, 2.0), weights=np.abs(x), density=True)
    np.testing.assert_allclose(hist.numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(edges.numpy(), ends, rtol=1e-14)
    assert ng.histc(t, 7, -1, 2).tolist() == np.histogram(x, 7, (-1.0, 2.0))[0].tolist()
    assert ng.histc(ng.tensor([1.0, math.nan, 2.0]), 2, 0, 2).tolist() == [0, 2]
    for bad in (lambda: ng.histc(t, 0), lambda: ng.histc(t, 3, 2, 1), lambda: ng.histogram(t, ng.ones(2, 2))):
        with pytest.raises(RuntimeError):
            bad()


def test_isin():
    x = ng.tensor([[1, 2], [3, 4]])
    assert ng.isin(x, ng.tensor([4.0, 1.0, 9.0])).tolist() == [[True, False], [False, True]]
    assert ng.isin(x, 3, invert=True).tolist() == [[True, True], [False, True]]
    assert ng.isin(2, x).item() is True and not ng.isin(x, ng.empty(0)).any()
    assert ng.isin(ng.tensor([math.nan, 1.0]), ng.tensor([math.nan, 2.0])).tolist() == [False, False]


def test_windows_for_spectra():
    assert ng.hann_window(4).tolist() == pytest.approx([0, 0.5, 1, 0.5], abs=1e-6)
    assert ng.kaiser_window(1).tolist() == [1] and ng.hamming_window(0).shape == (0,)
    with pytest.raises(RuntimeError):
        ng.hann_window(-1)
    with pytest.raises(RuntimeError):
        ng.blackman_window(4, dtype=ng.int64)
