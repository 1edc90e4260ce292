"""Samples: their moments and distribution functions, reproducibility, and their gradients."""

import math

import numpy as np
import pytest

import numbagrad as ng
from tests.distributions.against import array, both, ours, tensors, theirs, torch
from tests.distributions.table import BY_NAME, TABLE

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")

# scipy's distribution of the same parameters, and the parameters: one of each family whose samples are single numbers.
LIKE_SCIPY = {
    "Normal": (lambda a, b: stats.norm(a, b), 0.5, 2.0),
    "LogNormal": (lambda a, b: stats.lognorm(b, scale=math.exp(a)), 0.5, 0.7),
    "HalfNormal": (lambda a: stats.halfnorm(scale=a), 2.0),
    "Uniform": (lambda a, b: stats.uniform(a, b - a), -1.0, 2.5),
    "Exponential": (lambda a: stats.expon(scale=1 / a), 2.0),
    "Gamma": (lambda a, b: stats.gamma(a, scale=1 / b), 0.4, 2.0),
    "InverseGamma": (lambda a, b: stats.invgamma(a, scale=b), 2.5, 1.5),
    "Chi2": (lambda a: stats.chi2(a), 3.0),
    "Beta": (lambda a, b: stats.beta(a, b), 0.5, 2.0),
    "Laplace": (lambda a, b: stats.laplace(a, b), 0.5, 2.0),
    "Cauchy": (lambda a, b: stats.cauchy(a, b), 0.5, 2.0),
    "HalfCauchy": (lambda a: stats.halfcauchy(scale=a), 2.0),
    "StudentT": (lambda a, b, c: stats.t(a, b, c), 2.5, 0.5, 2.0),
    "FisherSnedecor": (lambda a, b: stats.f(a, b), 3.0, 5.0),
    "Gumbel": (lambda a, b: stats.gumbel_r(a, b), 0.5, 2.0),
    "Pareto": (lambda a, b: stats.pareto(b, scale=a), 0.5, 2.0),
    "Weibull": (lambda a, b: stats.weibull_min(b, scale=a), 0.5, 2.0),
    "GeneralizedPareto": (lambda a, b, c: stats.genpareto(c, a, b), 0.5, 2.0, 0.3),
    "VonMises": (lambda a, b: stats.vonmises(b, a), 0.0, 2.0),
}


@pytest.mark.parametrize("name", LIKE_SCIPY)
def test_distribution_function_of_samples(name):
    """Kolmogorov's and Smirnov's test on 4000 samples."""
    reference, *values = LIKE_SCIPY[name]
    distribution = BY_NAME[name].build(ours, *[ng.tensor(v, dtype=ng.float64) for v in values])
    sample = array(distribution.sample((4000,)))
    assert stats.kstest(sample, reference(*values).cdf).pvalue > 1e-3


@pytest.mark.parametrize("entry", TABLE, ids=[entry.name for entry in TABLE])
def test_moments_of_samples(entry):
    """The mean of 4000 samples lies within five of its standard deviations."""
    mine, _ = both(entry)
    sample = mine.sample((4000,))
    assert sample.shape == (4000, *mine.batch_shape, *mine.event_shape) and not sample.requires_grad
    assert bool(mine.support.check(sample).all())
    try:
        mean, variance = array(mine.mean), array(mine.variance)
    except NotImplementedError:
        return
    known = np.isfinite(mean) & np.isfinite(variance)
    if entry.name == "VonMises":
        return  # its mean is a direction; see the distribution functions
    deviation = (array(sample).mean(0) - mean) / np.sqrt(np.maximum(variance, 1e-12) / 4000)
    assert (np.abs(deviation[known]) < 5).all()


@pytest.mark.parametrize(
    "name, values", [("Geometric", [0.3]), ("Poisson", [4.0]), ("Binomial", [0.3]), ("Categorical", [[0.2, 0.5, 0.3]])]
)
def test_frequencies_of_counts(name, values):
    """χ² of the numbers up to 7, the last of which stands for what is beyond."""
    distribution = BY_NAME[name].build(ours, *[ng.tensor(v, dtype=ng.float64) for v in values])
    last = 2 if name == "Categorical" else 7
    drawn = np.minimum(array(distribution.sample((5000,))), last).astype(int)
    chance = np.exp(array(distribution.log_prob(ng.arange(last).double())))
    expected = 5000 * np.append(chance, 1 - chance.sum())
    assert stats.chisquare(np.bincount(drawn, minlength=last + 1), expected).pvalue > 1e-3


def test_covariances_of_matrices():
    covariance = ng.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=ng.float64)
    x = array(ours.MultivariateNormal(ng.zeros(2, dtype=ng.float64), covariance).sample((8000,)))
    np.testing.assert_allclose(np.cov(x.T), array(covariance), atol=0.1)
    low = ours.LowRankMultivariateNormal(ng.zeros(2), ng.tensor([[1.0], [2.0]]), ng.tensor([0.5, 1.0]))
    np.testing.assert_allclose(np.cov(array(low.sample((8000,))).T), array(low.covariance_matrix), atol=0.3)
    wishart = ours.Wishart(5.0, covariance)
    np.testing.assert_allclose(array(wishart.sample((8000,))).var(0), array(wishart.variance), rtol=0.15)
    lkj = array(ours.LKJCholesky(3, 1.5).sample((8000,)))
    correlations = (lkj @ lkj.swapaxes(-1, -2))[:, [1, 2, 2], [0, 0, 1]]  # (1 + r)/2 is a beta number of a = b = η + n/2 - 1
    for r in correlations.T:
        assert stats.kstest((r + 1) / 2, stats.beta(2.0, 2.0).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    "name", ["Normal", "Gamma", "Dirichlet", "Poisson", "Binomial", "Categorical", "VonMises", "Wishart", "NegativeBinomial"]
)
def test_seed(name):
    mine, _ = both(BY_NAME[name])
    ng.manual_seed(11)
    first, second = array(mine.sample((6,))), array(mine.sample((6,)))
    ng.manual_seed(11)
    np.testing.assert_array_equal(array(mine.sample((6,))), first)
    assert (first != second).any()


# ---- gradients of samples ---------------------------------------------------------------------------------------------------------

INVERTIBLE = [
    "Normal", "LogNormal", "HalfNormal", "Uniform", "Exponential", "Kumaraswamy", "Laplace", "Cauchy", "HalfCauchy", "Gumbel",
    "ContinuousBernoulli", "Pareto", "Weibull", "TransformedDistribution",
]  # fmt: skip


@pytest.mark.parametrize("name", INVERTIBLE)
def test_gradient_by_the_distribution_function(name):
    """A sample is the quantile of a fixed number: dx/dθ = −(∂F/∂θ)/p, with PyTorch's F and p."""
    entry = BY_NAME[name]
    mine, yours = tensors(entry.values, requires_grad=True)
    distribution = entry.build(ours, *mine)
    sample = distribution.rsample()
    found = ng.autograd.grad(sample.sum(), mine, allow_unused=True)
    their = entry.build(theirs, *yours)
    x = torch.tensor(array(sample))
    sign = np.sign(array(mine[2])) if name == "TransformedDistribution" else 1.0  # a falling transform: F goes the other way
    slopes = torch.autograd.grad((their.cdf(x) / their.log_prob(x).detach().exp()).sum(), yours, allow_unused=True)
    for g, s in zip(found, slopes):
        if s is not None:
            np.testing.assert_allclose(array(g), -array(s), rtol=1e-5, atol=1e-7)
    assert np.abs(sign).all()


def _quantiles(name, parameters, u):
    """scipy's quantiles."""
    if name == "Gamma":
        return special.gammaincinv(parameters[0], u) / parameters[1]
    return special.betaincinv(parameters[0], parameters[1], u)


@pytest.mark.parametrize("a, b", [(0.3, 2.0), (1.0, 0.7), (2.5, 3.0), (60.0, 8.0)])
@pytest.mark.parametrize("name", ["Gamma", "Beta"])
def test_gradient_by_differences_of_quantiles(name, a, b):
    parameters = [ng.tensor(v, dtype=ng.float64, requires_grad=True) for v in (a, b)]
    distribution = getattr(ours, name)(*[p.expand(40) for p in parameters])
    x = distribution.rsample()
    u = special.gammainc(a, array(x) * b) if name == "Gamma" else special.betainc(a, b, array(x))
    sure = (u > 1e-3) & (u < 0.999) & (array(x) < 0.99 if name == "Beta" else True)
    assert sure.sum() > 20
    for i, place in enumerate((a, b)):
        grads = [ng.autograd.grad(x[j], parameters, retain_graph=True)[i].item() for j in np.flatnonzero(sure)]
        h = 1e-4 * place
        moved = [[a, b], [a, b]]
        moved[0][i] -= h
        moved[1][i] += h
        expected = (_quantiles(name, moved[1], u[sure]) - _quantiles(name, moved[0], u[sure])) / (2 * h)
        np.testing.assert_allclose(grads, expected, rtol=1e-5, atol=1e-9)


def test_dirichlet_gradient_is_pytorchs():
    """That of the same point: PyTorch's is approximate, to a few thousandths."""
    values = np.array([[0.5, 2.0, 3.0], [1.2, 0.9, 0.4], [20.0, 5.0, 9.0]])
    concentration = ng.tensor(values, requires_grad=True)
    x = ours.Dirichlet(concentration).rsample()
    weights = np.arange(9.0).reshape(3, 3)
    (found,) = ng.autograd.grad((x * ng.tensor(weights)).sum(), concentration)
    given = torch.tensor(array(x)), torch.tensor(values)
    expected = theirs.dirichlet._Dirichlet_backward(*given, torch.tensor(weights))
    np.testing.assert_allclose(array(found), expected.numpy(), rtol=0.02, atol=0.01)


def test_mean_gradient_is_the_gradient_of_the_mean():
    """E dx/dθ = dE[x]/dθ, by 4000 samples each."""
    for name, values in (("StudentT", (5.0, 0.5, 2.0)), ("FisherSnedecor", (4.0, 9.0)), ("InverseGamma", (4.0, 1.5)), ("Beta", (0.5, 2.0))):
        parameters = [ng.tensor(v, dtype=ng.float64, requires_grad=True) for v in values]
        distribution = BY_NAME[name].build(ours, *parameters)
        found = ng.autograd.grad(distribution.rsample((4000,)).mean(), parameters)
        expected = ng.autograd.grad(distribution.mean.sum(), parameters, allow_unused=True)
        for g, e in zip(found, expected):
            np.testing.assert_allclose(g.item(), 0.0 if e is None else e.item(), atol=0.15)


def test_gradients_of_matrix_samples():
    entry = BY_NAME["Wishart"]
    parameters = [ng.tensor(v, requires_grad=True) for v in entry.values]
    distribution = entry.build(ours, *parameters)
    found = ng.autograd.grad(distribution.rsample((4000,)).mean(0).sum(), parameters)
    expected = ng.autograd.grad(distribution.mean.sum(), parameters)
    for g, e in zip(found, expected):
        np.testing.assert_allclose(array(g), array(e), rtol=0.2, atol=0.3)


def test_relaxed_samples_go_to_discrete_ones():
    cold = ng.tensor(1e-3, dtype=ng.float64)
    probs = ng.tensor([0.2, 0.5, 0.3], dtype=ng.float64, requires_grad=True)
    x = ours.RelaxedOneHotCategorical(cold, probs).rsample((3000,))
    np.testing.assert_allclose(array(x.mean(0)), array(probs), atol=0.05)
    assert array(x.max(-1).values).mean() > 0.99
    y = ours.RelaxedBernoulli(cold, probs).rsample((3000,))
    np.testing.assert_allclose(array(y.mean(0)), array(probs), atol=0.05)
    straight = ours.OneHotCategoricalStraightThrough(probs).rsample((5,))
    assert set(np.unique(np.round(array(straight), 12))) == {0.0, 1.0}
    (g,) = ng.autograd.grad((straight * ng.tensor([1.0, 2.0, 3.0], dtype=ng.float64)).sum(), probs)
    assert np.abs(array(g)).max() > 0.1


def test_samples_have_no_second_derivative():
    a = ng.tensor(2.0, requires_grad=True)
    for draw in (lambda: ours.Gamma(a, 1.0).rsample(), lambda: ours.Dirichlet(a.expand(3)).rsample()[0]):
        (g,) = ng.autograd.grad(draw(), a, create_graph=True)
        with pytest.raises(NotImplementedError, match=r"the derivative for '.*_grad' is not implemented."):
            g.backward()


def test_small_concentrations():
    """Gamma numbers stay off 0, points of the simplex add up to 1, and gradients are finite."""
    a = ng.full((200,), 1e-3, requires_grad=True)
    gamma = ours.Gamma(a, 2.0).rsample()
    assert bool((gamma >= ng.finfo(ng.float32).tiny).all())
    dirichlet = ours.Dirichlet(a.reshape(20, 10)).rsample()
    np.testing.assert_allclose(array(dirichlet.sum(-1)), 1.0, rtol=1e-6)
    (g,) = ng.autograd.grad(gamma.sum() + dirichlet.max(-1).values.sum(), a)
    assert bool(g.isfinite().all())
