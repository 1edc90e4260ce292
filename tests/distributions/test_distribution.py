"""What all distributions share: arguments and their errors, validation, subclasses, and the modules that scripts import."""

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.distributions import constraints, utils
from tests.distributions.against import array, attempt, equal, ours, theirs, torch, words

NAN = float("nan")

# Calls that PyTorch refuses, of the module of distributions and of a maker of tensors.
REFUSED = [
    lambda d, t: d.Normal(t([0.0, NAN]), t(1.0)),
    lambda d, t: d.Normal(t(0.0), t([1.0, -1.0])),
    lambda d, t: d.Normal(0.0, 0.0),
    lambda d, t: d.Normal(t([0.0, 1.0]), t([1.0, 2.0, 3.0])),
    lambda d, t: d.LogNormal(t(0.0), t(-1.0)),
    lambda d, t: d.HalfNormal(t(-1.0)),
    lambda d, t: d.Bernoulli(t([0.5, 1.5])),
    lambda d, t: d.Bernoulli(),
    lambda d, t: d.Bernoulli(0.5, 0.5),
    lambda d, t: d.Bernoulli(logits=t(NAN)),
    lambda d, t: d.Categorical(),
    lambda d, t: d.Categorical(t(0.5)),
    lambda d, t: d.Categorical(logits=t(0.5)),
    lambda d, t: d.Categorical(t([0.5, -0.2, 0.7])),
    lambda d, t: d.Categorical(logits=t([[0.5, NAN]])),
    lambda d, t: d.OneHotCategorical(t([0.5, -0.2])),
    lambda d, t: d.Multinomial(t([3, 2]), t([0.5, 0.5])),
    lambda d, t: d.Multinomial(3, t([0.5, -0.5])),
    lambda d, t: d.Binomial(-1, t([0.5, 0.5])),
    lambda d, t: d.Binomial(1.5, t([0.5, 0.5])),
    lambda d, t: d.Binomial(t([1.0, 2.0]), t([0.5, 0.5])).entropy(),
    lambda d, t: d.Binomial(t([1.0, 2.0]), t([0.5, 0.5])).enumerate_support(),
    lambda d, t: d.Geometric(t([0.5, 0.0])),
    lambda d, t: d.NegativeBinomial(t([5.0, -1.0]), t(0.5)),
    lambda d, t: d.NegativeBinomial(5.0, t(1.0)),
    lambda d, t: d.Poisson(t(-1.0)),
    lambda d, t: d.Uniform(t([0.0, 2.0]), t(1.0)),
    lambda d, t: d.Exponential(t(0.0)),
    lambda d, t: d.Gamma(t(0.0), t(1.0)),
    lambda d, t: d.Beta(t(0.0), t(1.0)),
    lambda d, t: d.Dirichlet(t(1.0)),
    lambda d, t: d.Dirichlet(t([1.0, 0.0])),
    lambda d, t: d.StudentT(t(0.0)),
    lambda d, t: d.LKJCholesky(1, t(1.0)),
    lambda d, t: d.VonMises(t(0.0), t(0.0)),
    lambda d, t: d.Pareto(t(0.0), t(1.0)),
    lambda d, t: d.ContinuousBernoulli(t(1.5), validate_args=True),
    lambda d, t: d.Independent(d.Normal(t([0.0, 1.0]), 1.0), 2),
    lambda d, t: d.TransformedDistribution(d.Normal(0.0, 1.0), [3]),
    lambda d, t: d.TransformedDistribution(d.Normal(0.0, 1.0), d.StickBreakingTransform()),
    lambda d, t: d.MultivariateNormal(t(0.0), t([[1.0]])),
    lambda d, t: d.MultivariateNormal(t([0.0, 1.0])),
    lambda d, t: d.MultivariateNormal(t([0.0, 1.0]), t([1.0, 2.0])),
    lambda d, t: d.MultivariateNormal(t([0.0, 1.0]), scale_tril=t([1.0, 2.0])),
    lambda d, t: d.MultivariateNormal(t([0.0, 1.0]), t([[1.0, 2.0], [2.0, 1.0]])),
    lambda d, t: d.LowRankMultivariateNormal(t(0.0), t([[1.0]]), t([1.0])),
    lambda d, t: d.LowRankMultivariateNormal(t([0.0]), t([1.0]), t([1.0])),
    lambda d, t: d.LowRankMultivariateNormal(t([0.0, 1.0]), t([[1.0]]), t([1.0, 1.0])),
    lambda d, t: d.LowRankMultivariateNormal(t([0.0, 1.0]), t([[1.0], [2.0]]), t([1.0])),
    lambda d, t: d.Wishart(t(1.0), t([[1.0, 0.0], [0.0, 1.0]])),
    lambda d, t: d.Wishart(t(3.0)),
    lambda d, t: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(0.0, 1.0)),
    lambda d, t: d.MixtureSameFamily(d.Categorical(t([0.5, 0.5])), 3),
    lambda d, t: d.MixtureSameFamily(d.Categorical(t([0.5, 0.5])), d.Normal(t([0.0, 1.0, 2.0]), 1.0)),
    lambda d, t: d.MixtureSameFamily(d.Categorical(t([[0.5, 0.5]] * 3)), d.Normal(t([[0.0, 1.0]] * 2), 1.0)),
    lambda d, t: d.Independent(d.Bernoulli(t([0.5, 0.5])), 1).enumerate_support(),
    lambda d, t: d.Normal(0.0, 1.0).log_prob(t(NAN)),
    lambda d, t: d.Categorical(t([0.5, 0.5])).log_prob(t(2)),
    lambda d, t: d.Normal(0.0, 1.0).enumerate_support(),
    lambda d, t: d.Categorical(t([0.5, 0.5])).rsample(),
    lambda d, t: d.Gamma(1.0, 1.0).icdf(t(0.5)),
    lambda d, t: d.Poisson(1.0).entropy(),
    lambda d, t: d.Distribution().mean,
    lambda d, t: d.Distribution().expand((2,)),
    lambda d, t: d.Distribution.set_default_validate_args(3),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
@pytest.mark.filterwarnings("ignore")
def test_refused(number):
    """The same type of error, and the same message up to where it shows values."""
    call = REFUSED[number]
    _, expected = attempt(lambda: call(theirs, torch.tensor))
    _, found = attempt(lambda: call(ours, ng.tensor))
    assert expected is not None and type(found) is type(expected), f"{found!r} for {expected!r}"
    ours_said, theirs_said = (words(e).split("butfound")[0] for e in (found, expected))
    general = ("Dimension", "Thesize", "linalg.cholesky", "shapemismatch", "set_default")
    if not any(w in ours_said or w in theirs_said for w in general):
        assert ours_said == theirs_said or not theirs_said


def test_message_in_full():
    with pytest.raises(ValueError) as found:
        ours.Normal(ng.tensor([0.0, 1.0]), ng.tensor([1.0, -2.0]))
    assert str(found.value) == (
        "Expected parameter scale (Tensor of shape (2,)) of distribution Normal(loc: numbagrad.Size([2]), scale: numbagrad.Size([2])) "
        "to satisfy the constraint GreaterThan(lower_bound=0.0), but found invalid values:\ntensor([ 1., -2.])"
    )
    with pytest.raises(ValueError) as found:
        ours.Exponential(2.0).log_prob(ng.tensor(-1.0))
    assert str(found.value) == (
        "Expected value argument (Tensor of shape ()) to be within the support (GreaterThanEq(lower_bound=0.0)) "
        "of the distribution Exponential(rate: 2.0), but found invalid values:\n-1.0"
    )


def test_validation_can_be_turned_off():
    assert ours.Normal(0.0, -1.0, validate_args=False).scale.item() == -1.0
    assert ours.Exponential(1.0, validate_args=False).log_prob(ng.tensor(-1.0)).item() == 1.0
    ours.Distribution.set_default_validate_args(False)
    try:
        assert ours.Normal(0.0, -1.0).scale.item() == -1.0
        with pytest.raises(ValueError, match="Expected parameter scale"):
            ours.Normal(0.0, -1.0, validate_args=True)
    finally:
        ours.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError):
        ours.Normal(0.0, -1.0)


def test_numbers_tensors_and_dtypes():
    assert ours.Normal(0, 1).loc.dtype is ng.float32 and ours.Normal(0, 1).batch_shape == ()
    assert ours.Normal(ng.zeros(3, dtype=ng.float64), 1).scale.dtype is ng.float64
    assert ours.Normal(ng.zeros(3, 1), ng.ones(2)).batch_shape == (3, 2)
    a, b = utils.broadcast_all(1, ng.zeros(2))
    assert a.tolist() == [1.0, 1.0] and b.shape == (2,)
    with pytest.raises(ValueError, match="Input arguments must all be instances of Number or Tensor, but got str, int"):
        utils.broadcast_all("1", 1)
    assert ours.Normal(0.0, 1.0).sample([2, 3]).shape == ours.Normal(0.0, 1.0).sample(ng.Size((2, 3))).shape == (2, 3)
    with pytest.raises(TypeError):
        ours.Normal(0.0, 1.0).sample(3)
    with pytest.warns(FutureWarning, match="sample_n"):
        assert ours.Normal(0.0, 1.0).sample_n(4).shape == (4,)


def test_gradients_of_samples():
    loc = ng.zeros(3, requires_grad=True)
    normal = ours.Normal(loc, 1.0)
    assert not normal.sample().requires_grad and normal.rsample().requires_grad
    normal.rsample((5,)).sum().backward()
    assert loc.grad.tolist() == [5.0, 5.0, 5.0]
    probs = ng.tensor([0.2, 0.8], requires_grad=True)
    categorical = ours.Categorical(probs)
    assert not categorical.sample((4,)).requires_grad and categorical.sample((0,)).shape == (0,)
    with ng.no_grad():
        logits = categorical.logits  # made when first asked for, for those who differentiate later
    assert logits.requires_grad


def test_own_distributions():
    class Still(ours.Normal):
        def log_probs(self, actions):
            return super().log_prob(actions).sum(-1, keepdim=True)

        def entropy(self):
            return super().entropy().sum(-1)

    still = Still(ng.zeros(2, 3), ng.ones(3)).expand((4, 2, 3))
    assert type(still) is Still and still.log_probs(still.sample()).shape == (4, 2, 1) and still.entropy().shape == (4, 2)

    class Fixed(ours.Categorical):
        def sample(self):
            return super().sample().unsqueeze(-1)

    assert Fixed(logits=ng.zeros(5, 3)).sample().shape == (5, 1)

    class Custom(ours.Normal):
        def __init__(self, loc):
            super().__init__(loc, 1.0)

    with pytest.raises(
        NotImplementedError, match=r"Subclass Custom of Normal that defines a custom __init__ method must also define a custom .expand"
    ):
        Custom(ng.zeros(2)).expand((3, 2))

    class Bare(ours.Distribution):
        def __init__(self):
            super().__init__(ng.Size((2,)))

        def log_prob(self, value):
            self._validate_sample(value)
            return value

    with pytest.warns(UserWarning, match="does not define `arg_constraints`"):
        bare = Bare()
    with pytest.warns(UserWarning, match="does not define `support`"):
        bare.log_prob(ng.zeros(2))
    with pytest.raises(NotImplementedError, match="does not implement mode"):
        _ = bare.mode


def test_expansion_takes_no_memory_and_keeps_what_was_given():
    normal = ours.Normal(ng.zeros(1), ng.ones(1)).expand((1000, 1000))
    assert normal.loc.stride() == (0, 0)
    bernoulli = ours.Bernoulli(logits=ng.zeros(1)).expand((3,))
    assert "probs" not in bernoulli.__dict__ and bernoulli.probs.shape == (3,)
    multivariate = ours.MultivariateNormal(ng.zeros(2), ng.eye(2))
    assert multivariate.covariance_matrix.shape == (2, 2)
    assert multivariate.expand((5,)).precision_matrix.shape == (5, 2, 2)


def test_matrices_of_low_rank():
    factor, diagonal = ng.randn(3, 4, 2, dtype=ng.float64), ng.rand(3, 4, dtype=ng.float64) + 0.5
    low = ours.LowRankMultivariateNormal(ng.zeros(4, dtype=ng.float64), factor, diagonal)
    full = ours.MultivariateNormal(ng.zeros(3, 4, dtype=ng.float64), low.covariance_matrix)
    for name in ("variance", "scale_tril", "precision_matrix"):
        np.testing.assert_allclose(array(getattr(low, name)), array(getattr(full, name)), rtol=1e-9, atol=1e-12)
    x = low.sample((6,))
    np.testing.assert_allclose(array(low.log_prob(x)), array(full.log_prob(x)), rtol=1e-9)
    np.testing.assert_allclose(array(low.entropy()), array(full.entropy()), rtol=1e-9)


def test_triangles():
    x = np.arange(1.0, 13).reshape(2, 6)
    for diagonal in (0, -1):
        equal(utils.vec_to_tril_matrix(ng.tensor(x), diagonal), theirs.utils.vec_to_tril_matrix(torch.tensor(x), diagonal))
    square = np.arange(9.0).reshape(3, 3)
    for diagonal in (-2, -1, 0, 1, 2):
        equal(utils.tril_matrix_to_vec(ng.tensor(square), diagonal), theirs.utils.tril_matrix_to_vec(torch.tensor(square), diagonal))
    with pytest.raises(ValueError, match="diag \\(3\\) provided is outside \\[-3, 2\\]"):
        utils.tril_matrix_to_vec(ng.tensor(square), 3)
    with pytest.raises(ValueError, match="cannot be expressed as the lower triangular part"):
        utils.vec_to_tril_matrix(ng.zeros(5))


def test_every_name_and_module_of_pytorch():
    """But the one for the documentation."""
    assert set(theirs.__all__) <= set(ours.__all__)
    for path in Path(theirs.__file__).parent.glob("*.py"):
        if path.stem != "__init__":
            module = importlib.import_module(f"numbagrad.distributions.{path.stem}")
            wanted = getattr(importlib.import_module(f"torch.distributions.{path.stem}"), "__all__", [])
            assert all(hasattr(module, name) for name in wanted), path.stem
    assert set(theirs.constraints.__all__) <= set(constraints.__all__)


def test_imported_when_asked_for():
    code = "import sys, numbagrad as ng; assert 'numbagrad.distributions' not in sys.modules; ng.distributions.Normal(0, 1)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_wishart_warns():
    with pytest.warns(UserWarning, match="Low df values detected"):
        low = ours.Wishart(1.2, ng.eye(2, dtype=ng.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert low.sample((50,)).shape == (50, 2, 2)
