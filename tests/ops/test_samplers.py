"""poisson and binomial as functions, and the slopes of gamma and beta quantiles."""

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.ops._pathwise import dirichlet_slope, gamma_slope

special = pytest.importorskip("scipy.special")


@pytest.mark.parametrize("dtype", [ng.float16, ng.bfloat16, ng.float32, ng.float64])
def test_dtypes_and_shapes(dtype):
    rate = ng.full((2, 0, 3), 4.0, dtype=dtype)
    assert ng.poisson(rate).shape == (2, 0, 3) and ng.poisson(ng.tensor(3.0, dtype=dtype)).dtype is dtype
    counts = ng.binomial(ng.tensor([[3.0], [5.0]], dtype=dtype), ng.tensor([0.5, 1.0, 0.0], dtype=dtype))
    assert counts.shape == (2, 3) and counts.dtype is dtype
    assert counts[:, 1].tolist() == [3.0, 5.0] and counts[:, 2].tolist() == [0.0, 0.0]


def test_moments():
    rate = ng.tensor([0.1, 3.0, 40.0, 1e5], dtype=ng.float64)
    drawn = ng.poisson(rate.expand(5000, 4)).numpy()
    np.testing.assert_allclose(drawn.mean(0), rate.numpy(), rtol=0.1)
    np.testing.assert_allclose(drawn.var(0), rate.numpy(), rtol=0.15)
    n, p = ng.tensor([1.0, 20.0, 1e6], dtype=ng.float64), ng.tensor([0.3, 0.9, 0.01], dtype=ng.float64)
    drawn = ng.binomial(n.expand(5000, 3), p).numpy()
    np.testing.assert_allclose(drawn.mean(0), (n * p).numpy(), rtol=0.1)
    np.testing.assert_allclose(drawn.var(0), (n * p * (1 - p)).numpy(), rtol=0.15)


def test_generator_and_strides():
    rate = (ng.arange(12.0).reshape(3, 4) + 1).T
    draws = []
    for _ in range(2):
        generator = ng.Generator().manual_seed(7)
        draws.append(
            [ng.poisson(rate, generator=generator), ng.poisson(rate, generator), ng.binomial(rate, rate / 20, generator=generator)]
        )
    for a, b in zip(*draws):
        assert bool((a == b).all())
    assert not bool((draws[0][0] == draws[0][1]).all())
    state = ng.get_rng_state()
    ng.poisson(rate, generator=ng.Generator())
    assert bool((ng.get_rng_state() == state).all())
    dense = ng.poisson(rate.contiguous(), ng.Generator().manual_seed(7))
    assert bool((dense == draws[0][0]).all())


def test_gradients():
    rate = ng.tensor([3.0, 4.0], requires_grad=True)
    ng.poisson(rate).sum().backward()
    assert rate.grad.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="derivative for binomial is not implemented"):
        ng.binomial(rate, ng.tensor([0.5, 0.2], requires_grad=True)).sum().backward()


def test_errors():
    with pytest.raises(RuntimeError, match="invalid Poisson rate, expected rate to be non-negative"):
        ng.poisson(ng.tensor([1.0, -1.0]))
    with pytest.raises(RuntimeError, match="invalid Poisson rate, expected rate to be non-negative"):
        ng.poisson(ng.tensor(float("nan")))
    with pytest.raises(RuntimeError, match="expected rates below 2\\^62, but got 1e\\+30"):
        ng.poisson(ng.tensor(1e30))
    with pytest.raises(NotImplementedError, match="\"poisson\" not implemented for 'Long'"):
        ng.poisson(ng.tensor([1, 2]))
    with pytest.raises(TypeError, match="poisson\\(\\): argument 'input' must be Tensor, not list"):
        ng.poisson([1.0])
    with pytest.raises(TypeError, match="argument 'prob' must be Tensor, not float"):
        ng.binomial(ng.tensor([1.0]), 0.5)
    with pytest.raises(ValueError, match="binomial only supports floating-point dtypes for count, got: Long"):
        ng.binomial(ng.tensor([3]), ng.tensor([0.5]))
    with pytest.raises(RuntimeError, match="Found dtype Double but expected Float"):
        ng.binomial(ng.tensor([3.0]), ng.tensor([0.5], dtype=ng.float64))
    with pytest.raises(RuntimeError, match="expected counts below 2\\^62"):
        ng.binomial(ng.tensor([1e30]), ng.tensor([0.5]))
    with pytest.raises(TypeError, match="argument 'generator' must be a Generator"):
        ng.poisson(ng.tensor([1.0]), generator=3)
    assert ng.binomial(ng.tensor([-3.0]), ng.tensor([2.0])).item() == 0.0
    assert np.isnan(ng.binomial(ng.tensor([float("nan")]), ng.tensor([0.5])).item())


def _differences(quantile, a, h):
    """The derivative of a quantile by four evaluations."""
    return (8 * (quantile(a + h) - quantile(a - h)) - (quantile(a + 2 * h) - quantile(a - 2 * h))) / (12 * h)


@pytest.mark.parametrize("a", [1e-3, 0.05, 0.7, 1.0, 1.3, 2.5, 40.0, 1e4])
def test_gamma_slope(a):
    u = np.array([1e-6, 1e-3, 0.02, 0.2, 0.5, 0.7, 0.9, 0.999, 1 - 1e-6])
    u = u[special.gammaincinv(a, u) > 1e-250]
    # From the nearer end, where a quantile near 1 is known exactly.
    expected = _differences(lambda c: np.where(u < 0.5, special.gammaincinv(c, u), special.gammainccinv(c, 1 - u)), a, 1e-5 * a)
    x = ng.tensor(special.gammaincinv(a, u))
    np.testing.assert_allclose(gamma_slope(x, ng.full_like(x, a)).numpy(), expected, rtol=1e-7)


@pytest.mark.parametrize("b", [0.3, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("a", [0.3, 2.5, 1000.0])
def test_beta_slope(a, b):
    u = np.array([1e-4, 0.02, 0.2, 0.5, 0.8, 0.99])
    x = special.betaincinv(a, b, u)
    u, x = u[x < 1 - 1e-6], x[x < 1 - 1e-6]
    expected = _differences(lambda c: special.betaincinv(c, b, u), a, 1e-4 * a) / (1 - x)
    points, concentration = ng.tensor(np.stack([x, 1 - x], -1)), ng.tensor([a, b], dtype=ng.float64).expand(len(x), 2)
    np.testing.assert_allclose(dirichlet_slope(points, concentration).numpy()[:, 0], expected, rtol=2e-6)


def test_many_elements_and_ends():
    """More than are computed at a time, and points that rounding has put on the ends."""
    x = ng.rand(40000, dtype=ng.float64) * 3
    whole = gamma_slope(x, ng.full_like(x, 2.0))
    part = gamma_slope(x[20000:20010], ng.full((10,), 2.0, dtype=ng.float64))
    np.testing.assert_allclose(whole[20000:20010].numpy(), part.numpy(), rtol=1e-12)
    ends = dirichlet_slope(ng.tensor([[0.0, 1.0]]), ng.tensor([[0.1, 0.2]]))
    assert bool(ends.isfinite().all()) and bool(gamma_slope(ng.tensor([0.0]), ng.tensor([0.5])).isfinite().all())
    assert gamma_slope(ng.empty(0), ng.empty(0)).shape == (0,)
