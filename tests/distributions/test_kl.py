"""Divergences against PyTorch's: every registered pair, their gradients, and how the function for a pair is found."""

import warnings

import numpy as np
import pytest

import numbagrad as ng
from tests.distributions.against import array, equal, ours, tensors, theirs, torch

# Two distributions of each family, as functions of tensors; uniform ones lie within [0, 1] and above 2, and so on, so that both finite and infinite
# divergences occur.
FAMILIES = {
    "Bernoulli": (lambda d, a: d.Bernoulli(a), [[0.2, 0.5, 0.0]], [[0.7, 1.0, 0.3]]),
    "Beta": (lambda d, a, b: d.Beta(a, b), [[0.5, 2.0, 4.0], [1.5, 3.0, 0.7]], [[2.5, 1.0, 2.0], [1.0, 6.0, 1.3]]),
    "Binomial": (lambda d, a: d.Binomial(9, a), [[0.2, 0.5, 0.9]], [[0.7, 0.1, 0.9]]),
    "Categorical": (lambda d, a: d.Categorical(a), [[[0.2, 0.5, 0.3], [0.0, 0.5, 0.5]]], [[[0.6, 0.1, 0.3], [0.5, 0.0, 0.5]]]),
    "Cauchy": (lambda d, a, b: d.Cauchy(a, b), [[0.5, -1.0, 0.0], [1.0, 0.3, 2.0]], [[0.0, -1.0, 3.0], [2.0, 0.3, 0.5]]),
    "ContinuousBernoulli": (lambda d, a: d.ContinuousBernoulli(a), [[0.2, 0.5, 0.9]], [[0.7, 0.1, 0.4]]),
    "Dirichlet": (lambda d, a: d.Dirichlet(a), [[[0.5, 2.0, 3.0], [0.2, 0.9, 0.4]]], [[[1.5, 1.0, 0.3], [2.0, 0.5, 0.4]]]),
    "Exponential": (lambda d, a: d.Exponential(a), [[0.5, 3.0, 1.0]], [[2.5, 1.0, 1.0]]),
    "Gamma": (lambda d, a, b: d.Gamma(a, b), [[0.5, 3.0, 1.0], [2.0, 0.4, 1.0]], [[2.5, 1.0, 1.5], [0.3, 1.0, 2.0]]),
    "Geometric": (lambda d, a: d.Geometric(a), [[0.2, 0.5, 0.9]], [[0.7, 0.1, 0.4]]),
    "Gumbel": (lambda d, a, b: d.Gumbel(a, b), [[0.5, -1.0, 0.0], [1.0, 0.3, 2.0]], [[0.0, -1.0, 3.0], [2.0, 0.3, 0.5]]),
    "HalfNormal": (lambda d, a: d.HalfNormal(a), [[0.5, 3.0, 1.0]], [[2.5, 1.0, 1.0]]),
    "Laplace": (lambda d, a, b: d.Laplace(a, b), [[0.5, -1.0, 0.0], [1.0, 0.3, 2.0]], [[0.0, -1.0, 3.0], [2.0, 0.3, 0.5]]),
    "LowRankMultivariateNormal": (
        lambda d, a, b, c: d.LowRankMultivariateNormal(a, b, c),
        [[0.5, -1.0, 3.0], [[1.0, 0.2], [0.5, -0.4], [0.0, 2.0]], [0.5, 1.5, 1.0]],
        [[0.0, 0.3, 1.0], [[0.3, 0.2], [1.5, -0.4], [0.1, 0.6]], [1.5, 0.5, 2.0]],
    ),
    "MultivariateNormal": (
        lambda d, a, b: d.MultivariateNormal(a, b),
        [[0.5, -1.0, 3.0], [[2.0, 0.3, -0.2], [0.3, 1.0, 0.4], [-0.2, 0.4, 1.5]]],
        [[0.0, 0.3, 1.0], [[1.0, -0.3, 0.2], [-0.3, 2.0, 0.4], [0.2, 0.4, 0.7]]],
    ),
    "Normal": (lambda d, a, b: d.Normal(a, b), [[0.5, -1.0, 0.0], [1.0, 0.3, 2.0]], [[0.0, -1.0, 3.0], [2.0, 0.3, 0.5]]),
    "OneHotCategorical": (lambda d, a: d.OneHotCategorical(a), [[[0.2, 0.5, 0.3], [0.1, 0.4, 0.5]]], [[[0.6, 0.1, 0.3], [0.5, 0.2, 0.3]]]),
    "Pareto": (lambda d, a, b: d.Pareto(a, b), [[0.5, 3.0, 1.0], [2.5, 0.9, 4.0]], [[0.4, 4.0, 0.1], [1.3, 1.0, 2.0]]),
    "Poisson": (lambda d, a: d.Poisson(a), [[0.5, 3.0, 1.0]], [[2.5, 1.0, 1.0]]),
    "Uniform": (lambda d, a, b: d.Uniform(a, b), [[0.2, 0.5, 3.0], [0.7, 0.8, 4.0]], [[0.1, -1.0, 0.1], [0.9, 2.0, 0.7]]),
    "LogNormal": (lambda d, a, b: d.LogNormal(a, b), [[0.5, -1.0, 0.0], [1.0, 0.3, 2.0]], [[0.0, -1.0, 3.0], [2.0, 0.3, 0.5]]),
    "Independent": (lambda d, a, b: d.Independent(d.Normal(a, b), 1), [[[0.5, -1.0]], [[1.0, 0.3]]], [[[0.0, -1.0]], [[2.0, 0.3]]]),
    "Wishart": (lambda d, a, b: d.Wishart(a, b), [[4.0, 5.0], [[2.0, 0.3], [0.3, 1.0]]], [[3.0, 7.0], [[1.0, -0.3], [-0.3, 2.0]]]),
}  # fmt: skip


def registered():
    """PyTorch's pairs by name, and those of derived classes that its general rules serve."""
    pairs = {(p.__name__, q.__name__) for p, q in theirs.kl._KL_REGISTRY}
    return sorted({(p, q) for p, q in pairs if p in FAMILIES and q in FAMILIES} | {("LogNormal", "LogNormal"), ("Wishart", "Wishart")})


def made(name, which, requires_grad=False):
    build, *values = FAMILIES[name]
    mine, yours = tensors([np.array(v) for v in values[which]], requires_grad)
    return build(ours, *mine), build(theirs, *yours), mine, yours


def test_pairs_are_those_of_pytorch():
    expected = {(p.__name__, q.__name__) for p, q in theirs.kl._KL_REGISTRY}
    assert {(p.__name__, q.__name__) for p, q in ours.kl._KL_REGISTRY} == expected
    assert len(expected) > 60


@pytest.mark.parametrize("pair", registered(), ids="-".join)
def test_pair(pair):
    for first, second in ((0, 1), (1, 0)):
        p, their_p, inputs, their_inputs = made(pair[0], first, True)
        q, their_q, more, their_more = made(pair[1], second, True)
        found, expected = ours.kl_divergence(p, q), theirs.kl_divergence(their_p, their_q)
        if {"ContinuousBernoulli", "Uniform"} == set(pair):  # PyTorch has infinity wherever the supports share an end
            inside = array(p.low) >= 0 if pair[0] == "Uniform" else array(q.low) <= 0
            inside &= array(p.high) <= 1 if pair[0] == "Uniform" else array(q.high) >= 1
            np.testing.assert_array_equal(array(found.isfinite()), inside)
            continue
        equal(found, expected, 1e-7 if "ContinuousBernoulli" in pair else 1e-9)
        finite = expected.isfinite()
        if not finite.all() or not finite.any():
            continue
        expected_grads = torch.autograd.grad(expected.sum(), their_inputs + their_more, allow_unused=True)
        for g, e in zip(ng.autograd.grad(found.sum(), inputs + more, allow_unused=True), expected_grads):
            if e is not None:
                equal(g if g is not None else ng.zeros_like(inputs[0]), e, 1e-7)


@pytest.mark.parametrize(
    "pair", [("Normal", "Laplace"), ("Gamma", "Gumbel"), ("Beta", "Gamma"), ("Uniform", "ContinuousBernoulli")], ids="-".join
)
def test_mean_over_samples(pair):
    p, q = made(pair[0], 0)[0], made(pair[1], 0)[0]
    kl, x = ours.kl_divergence(p, q), p.sample((40000,))
    finite = array(kl.isfinite())
    q._validate_args = False  # the last uniform distribution leaves the support
    estimate = array((p.log_prob(x) - q.log_prob(x)).mean(0))
    assert finite.sum() >= 2
    np.testing.assert_allclose(estimate[finite], array(kl)[finite], rtol=0.1, atol=0.05)


def test_continuous_bernoulli_and_uniform_on_the_same_interval():
    p = ours.ContinuousBernoulli(ng.tensor([0.2, 0.8], dtype=ng.float64))
    q = ours.Uniform(ng.zeros(2, dtype=ng.float64), ng.ones(2, dtype=ng.float64))
    np.testing.assert_allclose(array(ours.kl_divergence(p, q)), -array(p.entropy()), rtol=1e-12)


def test_what_has_no_divergence():
    normal = ours.Normal(0.0, 1.0)
    with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\) is implemented for p type Normal and q type VonMises"):
        ours.kl_divergence(normal, ours.VonMises(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="different exponential families"):
        ours.kl_divergence(normal, ours.Poisson(1.0))
    with pytest.raises(NotImplementedError, match=r"q.total_count > p.total_count"):
        ours.kl_divergence(ours.Binomial(3, 0.5), ours.Binomial(4, 0.5))
    with pytest.raises(NotImplementedError):
        ours.kl_divergence(ours.LogNormal(0.0, 1.0), ours.TransformedDistribution(normal, ours.TanhTransform()))
    with pytest.raises(NotImplementedError):
        ours.kl_divergence(ours.Independent(ours.Normal(ng.zeros(2), 1.0), 1), ours.Independent(ours.Normal(ng.zeros(2), 1.0), 0))
    with pytest.raises(ValueError, match="different event shapes"):
        eye = ng.eye
        ours.kl_divergence(ours.MultivariateNormal(ng.zeros(2), eye(2)), ours.MultivariateNormal(ng.zeros(3), eye(3)))


def test_binomials_of_different_counts():
    p, q = ours.Binomial(ng.tensor([5.0, 3.0]), ng.tensor([0.3, 0.4])), ours.Binomial(ng.tensor([3.0, 3.0]), ng.tensor([0.3, 0.5]))
    found = ours.kl_divergence(p, q)
    assert found[0].item() == np.inf and 0 < found[1].item() < 1


def test_register_kl():
    class Base(ours.Normal):
        pass

    class Derived(Base):
        pass

    registry = dict(ours.kl._KL_REGISTRY)
    try:
        x, y = Base(0.0, 1.0), Derived(0.0, 2.0)
        assert ours.kl_divergence(y, x).item() == pytest.approx(ours.kl_divergence(ours.Normal(0.0, 2.0), ours.Normal(0.0, 1.0)).item())

        @ours.register_kl(Base, Base)
        def of_base(p, q):
            return "base"

        assert ours.kl_divergence(x, y) == ours.kl_divergence(y, y) == "base"
        ours.register_kl(Derived, Base)(lambda p, q: "derived, base")
        assert ours.kl_divergence(y, y) == "derived, base" and ours.kl_divergence(x, x) == "base"
        ours.register_kl(Base, Derived)(lambda p, q: "base, derived")
        with pytest.warns(RuntimeWarning, match=r"Ambiguous kl_divergence\(Derived, Derived\). Please register_kl\(Derived, Derived\)"):
            assert ours.kl_divergence(y, y) == "derived, base"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert ours.kl_divergence(y, x) == "derived, base"
    finally:
        ours.kl._KL_REGISTRY.clear()
        for pair, function in registry.items():
            ours.register_kl(*pair)(function)
    for wrong in (int, 3):
        with pytest.raises(TypeError, match="Expected type_p to be a Distribution subclass"):
            ours.register_kl(wrong, Base)
        with pytest.raises(TypeError, match="Expected type_q to be a Distribution subclass"):
            ours.register_kl(Base, wrong)
