"""Distributions of every kind: how each is made, of a module of distributions (numbagrad's or PyTorch's) and of tensors, and those tensors' values."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np


class Entry(NamedTuple):
    """``build(d, *tensors)`` with ``d`` the module of distributions; ``values`` are float64 arrays, the tensors' values."""

    name: str
    build: Callable[..., Any]
    values: tuple[np.ndarray, ...]
    discrete: bool = False
    rtol: float = 1e-9


def _entry(name: str, build: Callable[..., Any], *values: Any, **facts: Any) -> Entry:
    return Entry(name, build, tuple(np.array(v, np.float64) for v in values), **facts)


_COVARIANCE = [[2.0, 0.3, -0.2], [0.3, 1.0, 0.4], [-0.2, 0.4, 1.5]]
_FACTOR = np.linalg.cholesky(np.array(_COVARIANCE))
_PAIR = np.stack([np.array(_COVARIANCE), 2 * np.eye(3)])
_SIMPLEX = [[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]
_LOGITS = [[0.1, -1.2, 0.7], [2.0, 0.0, -0.5]]

TABLE = [
    _entry("Normal", lambda d, a, b: d.Normal(a, b), [0.5, -1.0, 3.0], [1.0, 0.3, 2.5]),
    _entry("LogNormal", lambda d, a, b: d.LogNormal(a, b), [0.5, -1.0], [0.5, 0.3]),
    _entry("HalfNormal", lambda d, a: d.HalfNormal(a), [0.5, 2.0]),
    _entry("Bernoulli", lambda d, a: d.Bernoulli(a), [0.2, 0.5, 0.9], discrete=True),
    _entry("Bernoulli logits", lambda d, a: d.Bernoulli(logits=a), [0.2, -1.0, 4.0], discrete=True),
    _entry("Categorical", lambda d, a: d.Categorical(a), _SIMPLEX, discrete=True),
    _entry("Categorical logits", lambda d, a: d.Categorical(logits=a), _LOGITS, discrete=True),
    _entry("OneHotCategorical", lambda d, a: d.OneHotCategorical(a), _SIMPLEX, discrete=True),
    _entry("OneHotCategorical logits", lambda d, a: d.OneHotCategorical(logits=a), _LOGITS, discrete=True),
    _entry("OneHotCategoricalStraightThrough", lambda d, a: d.OneHotCategoricalStraightThrough(a), _SIMPLEX, discrete=True),
    _entry("Multinomial", lambda d, a: d.Multinomial(7, a), _SIMPLEX[0], discrete=True),
    _entry("Multinomial logits", lambda d, a: d.Multinomial(4, logits=a), _LOGITS, discrete=True),
    _entry("Binomial", lambda d, a: d.Binomial(10, a), [0.2, 0.5, 0.95], discrete=True),
    _entry("Binomial logits", lambda d, a: d.Binomial(4, logits=a), [0.2, -1.0], discrete=True),
    _entry("Geometric", lambda d, a: d.Geometric(a), [0.2, 0.5, 1.0], discrete=True),
    _entry("Geometric logits", lambda d, a: d.Geometric(logits=a), [0.2, -1.0], discrete=True),
    _entry("NegativeBinomial", lambda d, a, b: d.NegativeBinomial(a, b), [5.0, 2.5], [0.2, 0.7], discrete=True),
    _entry("NegativeBinomial logits", lambda d, a, b: d.NegativeBinomial(a, logits=b), [5.0, 2.5], [0.2, -1.0], discrete=True),
    _entry("Poisson", lambda d, a: d.Poisson(a), [0.3, 4.0, 50.0], discrete=True),
    _entry("Uniform", lambda d, a, b: d.Uniform(a, b), [-1.0, 2.0], [0.5, 7.0]),
    _entry("Exponential", lambda d, a: d.Exponential(a), [0.5, 3.0]),
    _entry("Gamma", lambda d, a, b: d.Gamma(a, b), [0.4, 1.0, 7.5], [0.5, 3.0, 1.0]),
    _entry("InverseGamma", lambda d, a, b: d.InverseGamma(a, b), [0.9, 3.0], [0.5, 2.0]),
    _entry("Chi2", lambda d, a: d.Chi2(a), [0.9, 5.0]),
    _entry("Beta", lambda d, a, b: d.Beta(a, b), [0.5, 2.0, 0.3], [0.4, 5.0, 6.0]),
    _entry("Dirichlet", lambda d, a: d.Dirichlet(a), [[0.5, 2.0, 3.0], [0.2, 0.9, 0.4]]),
    _entry("Kumaraswamy", lambda d, a, b: d.Kumaraswamy(a, b), [0.5, 2.0], [0.4, 5.0]),
    _entry("Laplace", lambda d, a, b: d.Laplace(a, b), [0.5, -1.0], [1.0, 0.3]),
    _entry("Cauchy", lambda d, a, b: d.Cauchy(a, b), [0.5, -1.0], [1.0, 0.3]),
    _entry("HalfCauchy", lambda d, a: d.HalfCauchy(a), [0.5, 2.0]),
    _entry("StudentT", lambda d, a, b, c: d.StudentT(a, b, c), [0.8, 1.5, 6.0], [0.5, -1.0, 0.0], [1.0, 0.3, 2.0]),
    _entry("FisherSnedecor", lambda d, a, b: d.FisherSnedecor(a, b), [1.5, 5.0, 3.0], [1.8, 3.0, 9.0]),
    _entry("Gumbel", lambda d, a, b: d.Gumbel(a, b), [0.5, -1.0], [1.0, 0.3]),
    _entry("LogisticNormal", lambda d, a, b: d.LogisticNormal(a, b), [[0.5, -1.0], [0.0, 0.2]], [[1.0, 0.3], [0.5, 2.0]]),
    _entry("RelaxedBernoulli", lambda d, t, a: d.RelaxedBernoulli(t, a), 0.7, [0.2, 0.5, 0.9]),
    _entry("LogitRelaxedBernoulli", lambda d, t, a: d.relaxed_bernoulli.LogitRelaxedBernoulli(t, logits=a), 2.0, [0.2, -1.0]),
    _entry("RelaxedOneHotCategorical", lambda d, t, a: d.RelaxedOneHotCategorical(t, a), 0.7, _SIMPLEX),
    _entry("RelaxedOneHotCategorical logits", lambda d, t, a: d.RelaxedOneHotCategorical(t, logits=a), 1.5, _LOGITS),
    _entry("ContinuousBernoulli", lambda d, a: d.ContinuousBernoulli(a), [0.1, 0.5, 0.4995, 0.8], rtol=1e-7),
    _entry("ContinuousBernoulli logits", lambda d, a: d.ContinuousBernoulli(logits=a), [0.2, -1.0], rtol=1e-7),
    _entry("Pareto", lambda d, a, b: d.Pareto(a, b), [0.5, 2.0, 1.0], [0.8, 1.5, 4.0]),
    _entry("Weibull", lambda d, a, b: d.Weibull(a, b), [0.5, 2.0], [1.4, 3.0]),
    _entry("GeneralizedPareto", lambda d, a, b, c: d.GeneralizedPareto(a, b, c), [0.5, -1.0, 0.0], [1.0, 0.3, 2.0], [0.3, -0.4, 0.7]),
    # PyTorch's polynomials for the Bessel functions are good to 1e-7.
    _entry("VonMises", lambda d, a, b: d.VonMises(a, b), [0.5, -1.0, 3.0], [0.3, 4.0, 20.0], rtol=2e-6),
    _entry("MultivariateNormal", lambda d, a, b: d.MultivariateNormal(a, b), [0.5, -1.0, 3.0], _COVARIANCE),
    _entry("MultivariateNormal batch", lambda d, a, b: d.MultivariateNormal(a, b), [[[0.5, -1.0, 3.0]], [[0.0, 0.0, 1.0]]], _PAIR),
    _entry("MultivariateNormal precision", lambda d, a, b: d.MultivariateNormal(a, precision_matrix=b), [0.5, -1.0, 3.0], _PAIR),
    _entry("MultivariateNormal factor", lambda d, a, b: d.MultivariateNormal(a, scale_tril=b), [[0.5, -1.0, 3.0], [0.0, 0.0, 1.0]], _FACTOR),
    _entry(
        "LowRankMultivariateNormal",
        lambda d, a, b, c: d.LowRankMultivariateNormal(a, b, c),
        [[0.5, -1.0, 3.0], [0.0, 0.0, 1.0]], [[1.0, 0.2], [0.5, -0.4], [0.0, 2.0]], [0.5, 1.5, 1.0],
    ),
    _entry("LKJCholesky", lambda d, a: d.LKJCholesky(4, a), [0.7, 3.0]),
    _entry("Wishart", lambda d, a, b: d.Wishart(a, b), [4.5, 7.0], _COVARIANCE),
    _entry("Wishart factor", lambda d, a, b: d.Wishart(a, scale_tril=b), 5.0, _FACTOR),
    _entry(
        "MixtureSameFamily",
        lambda d, w, a, b: d.MixtureSameFamily(d.Categorical(w), d.Normal(a, b)),
        _SIMPLEX, [[0.5, -1.0, 3.0], [0.0, 1.0, 2.0]], [[1.0, 0.3, 2.0], [1.0, 1.0, 0.5]],
    ),
    _entry(
        "MixtureSameFamily of vectors",
        lambda d, w, a, b: d.MixtureSameFamily(d.Categorical(logits=w), d.Independent(d.Laplace(a, b), 1)),
        [0.3, -0.2], [[0.5, -1.0, 3.0], [0.0, 1.0, 2.0]], [[1.0, 0.3, 2.0], [1.0, 1.0, 0.5]],
    ),
    _entry("Independent", lambda d, a, b: d.Independent(d.Normal(a, b), 1), [[0.5, -1.0], [3.0, 0.0]], [[1.0, 0.3], [2.0, 1.0]]),
    _entry(
        "TransformedDistribution",
        lambda d, a, b, s: d.TransformedDistribution(d.Normal(a, b), [d.TanhTransform(), d.AffineTransform(0.5, s)]),
        [0.5, -1.0], [1.0, 0.3], [2.0, -3.0],
    ),
]  # fmt: skip
BY_NAME = {entry.name: entry for entry in TABLE}
