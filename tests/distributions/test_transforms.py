"""Transforms, constraints and the registry between them, against PyTorch's."""

import copy
import pickle

import numpy as np
import pytest

import numbagrad as ng
from tests.distributions.against import alike, array, equal, ours, theirs, torch

RNG = np.random.default_rng(4)
REAL, POSITIVE, UNIT = RNG.normal(size=(2, 3, 6)), RNG.uniform(0.1, 3, (2, 3, 6)), RNG.uniform(0.05, 0.95, (2, 3, 6))
MATRIX = RNG.normal(size=(2, 3, 3))

# Each transform, as a function of the module and of a maker of tensors, and what it is tried on.
TRANSFORMS = {
    "identity": (lambda d, t: d.identity_transform, REAL),
    "Exp": (lambda d, t: d.ExpTransform(), REAL),
    "Exp.inv": (lambda d, t: d.ExpTransform().inv, POSITIVE),
    "Power": (lambda d, t: d.PowerTransform(t(2.5)), POSITIVE),
    "Power of several": (lambda d, t: d.PowerTransform(t([2.5, -1.0, 0.5, 1.0, 2.0, 3.0])), POSITIVE),
    "Sigmoid": (lambda d, t: d.SigmoidTransform(), REAL),
    "Sigmoid.inv": (lambda d, t: d.SigmoidTransform().inv, UNIT),
    "Softplus": (lambda d, t: d.SoftplusTransform(), REAL),
    "Tanh": (lambda d, t: d.TanhTransform(), REAL),
    "Abs": (lambda d, t: d.AbsTransform(), REAL),
    "Affine": (lambda d, t: d.AffineTransform(0.5, -2.0), REAL),
    "Affine of tensors": (lambda d, t: d.AffineTransform(t(np.arange(6.0)), t(np.arange(1.0, 7.0)), event_dim=1), REAL),
    "CumulativeDistribution": (lambda d, t: d.CumulativeDistributionTransform(d.Normal(t(0.5), t(2.0))), REAL),
    "Softmax": (lambda d, t: d.SoftmaxTransform(), REAL),
    "StickBreaking": (lambda d, t: d.StickBreakingTransform(), REAL),
    "LowerCholesky": (lambda d, t: d.LowerCholeskyTransform(), MATRIX),
    "PositiveDefinite": (lambda d, t: d.PositiveDefiniteTransform(), MATRIX),
    "CorrCholesky": (lambda d, t: d.CorrCholeskyTransform(), REAL),
    "Reshape": (lambda d, t: d.ReshapeTransform((3, 6), (2, 9)), REAL),
    "Independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 2), REAL),
    "Compose": (lambda d, t: d.ComposeTransform([d.AffineTransform(0.1, 2.0), d.TanhTransform(), d.AffineTransform(1.0, -3.0)]), REAL),
    "Compose over events": (lambda d, t: d.ComposeTransform([d.ExpTransform(), d.ExpTransform().inv, d.StickBreakingTransform()]), REAL),
    "Cat": (lambda d, t: d.CatTransform([d.ExpTransform(), d.TanhTransform()], dim=-1, lengths=[2, 4]), REAL),
    "Cat along the front": (lambda d, t: d.CatTransform([d.ExpTransform(), d.TanhTransform()], dim=0), REAL),
    "Stack": (lambda d, t: d.StackTransform([d.ExpTransform(), d.TanhTransform(), d.AbsTransform()], dim=1), REAL),
}


def pair(name):
    build, x = TRANSFORMS[name]
    mine = build(ours, lambda v: ng.tensor(v, dtype=ng.float64))
    return mine, build(theirs, lambda v: torch.tensor(v, dtype=torch.float64)), ng.tensor(x), torch.tensor(x)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_values_and_jacobians(name):
    mine, yours, x, their_x = pair(name)
    x.requires_grad_(), their_x.requires_grad_()
    y, their_y = mine(x), yours(their_x)
    equal(y, their_y)
    equal(mine.inv(y), yours.inv(their_y), 1e-8)
    back, their_back = mine.inv(y).detach(), yours.inv(their_y).detach()
    if mine.bijective:
        np.testing.assert_allclose(array(mine.inv(y)), array(x), rtol=1e-8, atol=1e-8)
    if alike(lambda: mine.log_abs_det_jacobian(x, y), lambda: yours.log_abs_det_jacobian(their_x, their_y), 1e-8):
        (g,) = ng.autograd.grad(mine.log_abs_det_jacobian(x, mine(x)).sum() + (y * y).sum(), x)
        (e,) = torch.autograd.grad(yours.log_abs_det_jacobian(their_x, yours(their_x)).sum() + (their_y * their_y).sum(), their_x)
        equal(g, e, 1e-7)
        alike(lambda: mine.inv.log_abs_det_jacobian(y, back), lambda: yours.inv.log_abs_det_jacobian(their_y, their_back), 1e-8)
    assert mine.bijective == yours.bijective
    alike(lambda: ng.as_tensor(mine.sign).double(), lambda: torch.as_tensor(yours.sign).double())
    assert repr(mine).replace("numbagrad.", "torch.") == repr(yours)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_shapes_and_domains(name):
    mine, yours, x, their_x = pair(name)
    y, their_y = mine(x), yours(their_x)
    assert tuple(mine.forward_shape(x.shape)) == tuple(yours.forward_shape(their_x.shape)) == tuple(y.shape)
    assert tuple(mine.inverse_shape(y.shape)) == tuple(x.shape)
    for which, value, their_value in (("domain", x, their_x), ("codomain", y, their_y)):
        region, their_region = getattr(mine, which), getattr(yours, which)
        assert region.event_dim == their_region.event_dim and repr(region) == repr(their_region)
        alike(lambda: region.check(value), lambda: their_region.check(their_value), what=which)
        assert bool(region.check(value).all())
    assert mine.inv.domain.event_dim == yours.inv.domain.event_dim


@pytest.mark.parametrize("name", TRANSFORMS)
def test_equality_caches_and_copies(name):
    build, _ = TRANSFORMS[name]
    mine, _, x, _ = pair(name)
    again, other = build(ours, lambda v: ng.tensor(v, dtype=ng.float64)), ours.AffineTransform(3.0, 4.0)
    identical = ("CumulativeDistribution", "CorrCholesky", "Reshape", "Independent", "Cat", "Cat along the front", "Stack")
    assert (mine == again) is (name not in identical) and mine == mine and mine != other and mine.inv == mine.inv
    kept = mine.with_cache(1)
    assert kept.with_cache(1) is kept
    y = kept(x)
    if name != "identity":
        assert kept.inv(y) is x or name in ("Compose", "Compose over events", "Exp.inv", "Sigmoid.inv")
    np.testing.assert_array_equal(array(y), array(mine(x)))
    assert mine.inv.inv is mine
    for duplicate in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        np.testing.assert_array_equal(array(duplicate(x)), array(y))
        np.testing.assert_array_equal(array(duplicate.inv(y)), array(mine.inv(y)))


def test_own_transform():
    """As policies with squashed actions define one."""

    class Tanh(ours.transforms.Transform):
        domain, codomain, bijective, sign = ours.constraints.real, ours.constraints.interval(-1.0, 1.0), True, +1

        def __init__(self, cache_size=1):
            super().__init__(cache_size=cache_size)

        def __eq__(self, other):
            return isinstance(other, Tanh)

        def _call(self, x):
            return x.tanh()

        def _inverse(self, y):
            return 0.5 * (y.log1p() - (-y).log1p())

        def log_abs_det_jacobian(self, x, y):
            return 2.0 * (np.log(2.0) - x - ng.nn.functional.softplus(-2.0 * x))

    class Squashed(ours.transformed_distribution.TransformedDistribution):
        def __init__(self, loc, scale):
            self.loc, self.scale = loc, scale
            self.base_dist = ours.Normal(loc, scale)
            super().__init__(self.base_dist, [Tanh()])

        @property
        def mean(self):
            mu = self.loc
            for transform in self.transforms:
                mu = transform(mu)
            return mu

    loc, scale = ng.tensor([0.5, -20.0], requires_grad=True), ng.tensor([1.0, 0.3])
    policy = Squashed(loc, scale)
    action = policy.rsample()
    log_prob = policy.log_prob(action)  # exact, by the cache, where tanh is 1 to rounding
    log_prob.sum().backward()
    assert bool(log_prob.isfinite().all()) and bool(loc.grad.isfinite().all())
    np.testing.assert_allclose(array(policy.mean), np.tanh(array(loc)))
    with pytest.raises(NotImplementedError, match="Subclass Squashed of TransformedDistribution that defines a custom __init__"):
        policy.expand((3, 2))
    with pytest.raises(NotImplementedError, match="with_cache is not implemented"):
        Tanh().with_cache(0)


# ---- constraints ------------------------------------------------------------------------------------------------------------------

VALUES = [np.array(v, np.float64) for v in (-1.5, 0.0, 0.5, 1.0, 2.0, np.nan, [0.2, 0.8], [0.0, 1.0], [2.0, -1.0], [1.0, 1.0], [3.0, 2.0])]
MATRICES = [np.array(v, np.float64) for v in (
    [[1.0, 0.0], [0.0, 1.0]], [[2.0, 1.0], [1.0, 3.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.5], [0.0, 1.0]],
    [[-1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [[[1.0, 0.0], [0.6, 0.8]], [[0.0, 0.0], [0.0, 0.0]]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
)]  # fmt: skip
CONSTRAINTS = {
    "scalars": ["boolean", "nonnegative_integer", "positive_integer", "real", "positive", "nonnegative", "unit_interval"],
    "vectors": ["one_hot", "real_vector", "simplex"],
    "matrices": [
        "lower_triangular",
        "lower_cholesky",
        "corr_cholesky",
        "square",
        "symmetric",
        "positive_semidefinite",
        "positive_definite",
    ],
}
BOUNDED = [
    lambda c: c.greater_than(0.5), lambda c: c.greater_than_eq(0.5), lambda c: c.less_than(1.0), lambda c: c.interval(0.0, 1.0),
    lambda c: c.half_open_interval(0.0, 1.0), lambda c: c.integer_interval(0, 2), lambda c: c.multinomial(3), lambda c: c.independent(c.positive, 1),
    lambda c: c.cat([c.positive, c.real], dim=-1), lambda c: c.stack([c.positive, c.boolean], dim=-1),
    lambda c: c.MixtureSameFamilyConstraint(c.positive),
]  # fmt: skip


@pytest.mark.parametrize("name", [name for names in CONSTRAINTS.values() for name in names])
def test_constraint(name):
    region, expected = getattr(ours.constraints, name), getattr(theirs.constraints, name)
    assert region.event_dim == expected.event_dim and region.is_discrete == expected.is_discrete and repr(region) == repr(expected)
    for value in MATRICES if name in CONSTRAINTS["matrices"] else [v for v in VALUES if v.ndim or name in CONSTRAINTS["scalars"]]:
        if value.shape == (2, 3) and name == "corr_cholesky" or value.shape == (2, 3) and name == "lower_cholesky":
            continue
        equal(region.check(ng.tensor(value)), expected.check(torch.tensor(value)), what=str(value))


@pytest.mark.parametrize("build", BOUNDED)
def test_bounded_constraint(build):
    region, expected = build(ours.constraints), build(theirs.constraints)
    assert region.event_dim == expected.event_dim and region.is_discrete == expected.is_discrete
    if "object at" not in repr(expected):
        assert repr(region) == repr(expected)
    for value in VALUES:
        alike(lambda: region.check(ng.tensor(value)), lambda: expected.check(torch.tensor(value)), what=str(value))


def test_dependent_constraints():
    c = ours.constraints
    assert c.is_dependent(c.dependent) and c.is_dependent(ours.Uniform.support) and not c.is_dependent(c.real)
    assert ours.Uniform.support.event_dim == 0 and ours.Categorical.support.is_discrete
    assert c.dependent(is_discrete=True, event_dim=2).event_dim == 2
    with pytest.raises(NotImplementedError, match=r".event_dim cannot be determined statically"):
        _ = c.dependent.event_dim
    with pytest.raises(NotImplementedError, match=r".is_discrete cannot be determined statically"):
        _ = ours.MixtureSameFamily.support.is_discrete
    with pytest.raises(ValueError, match="Cannot determine validity of dependent constraint"):
        c.dependent.check(ng.zeros(1))
    for wrong in (lambda: c.independent(3, 1), lambda: c.independent(c.real, -1), lambda: c.independent(c.real, 1.5), lambda: c.cat([3]),
                  lambda: c.cat([c.real], lengths=[1, 2]), lambda: c.stack([c.real], 2).check(ng.zeros(1))):  # fmt: skip
        with pytest.raises(AssertionError):
            wrong()


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_registry(registry):
    mine, yours = getattr(ours, registry), getattr(theirs, registry)
    kinds = [*CONSTRAINTS["scalars"], *CONSTRAINTS["vectors"], *CONSTRAINTS["matrices"], *BOUNDED]
    for kind in kinds:
        region, expected = (kind(ours.constraints), kind(theirs.constraints)) if callable(kind) else (
            getattr(ours.constraints, kind), getattr(theirs.constraints, kind))  # fmt: skip
        try:
            transform = yours(expected)
        except NotImplementedError as error:
            with pytest.raises(NotImplementedError, match=str(error)):
                mine(region)
            continue
        assert repr(mine(region)) == repr(transform)
        x = RNG.normal(size=(3, 2)) if mine(region).domain.event_dim < 2 else RNG.normal(size=(2, 2))
        x = x[..., :1] if kind == "corr_cholesky" else x
        y = mine(region)(ng.tensor(x))
        equal(y, transform(torch.tensor(x)))
        assert bool(region.check(y).all())
    with pytest.raises(TypeError, match="Expected constraint to be either a Constraint subclass or instance"):
        mine.register(3, lambda constraint: None)


def test_transform_errors():
    d = ours
    for wrong, kind, words in [
        (lambda: d.ExpTransform(cache_size=2), ValueError, "cache_size must be 0 or 1"),
        (lambda: d.ReshapeTransform((2, 3), (5,)), ValueError, "different numbers of elements"),
        (lambda: d.ReshapeTransform((2, 3), (6,)).forward_shape((3, 2)), ValueError, "Shape mismatch"),
        (lambda: d.ReshapeTransform((2, 3), (6,)).forward_shape((3,)), ValueError, "Too few dimensions"),
        (lambda: d.SoftmaxTransform().forward_shape(()), ValueError, "Too few dimensions"),
        (lambda: d.CorrCholeskyTransform().forward_shape((4,)), ValueError, "not a flattened lower-diagonal number"),
        (lambda: d.CorrCholeskyTransform().inverse_shape((3, 4)), ValueError, "not square"),
        (lambda: d.StickBreakingTransform().event_dim + d.ReshapeTransform((2,), (1, 2)).event_dim, ValueError, "domain.event_dim"),
        (lambda: d.IndependentTransform(d.ExpTransform(), 2)(ng.zeros(3)), ValueError, "Too few dimensions on input"),
        (lambda: d.CatTransform([3]), AssertionError, "must be Transform instances"),
        (lambda: d.CatTransform([d.ExpTransform()], lengths=[1, 2]), AssertionError, "must match transforms"),
        (lambda: d.CatTransform([d.ExpTransform()])(ng.zeros(2)), AssertionError, "must equal length 1"),
        (lambda: d.StackTransform([d.ExpTransform()], dim=2)(ng.zeros(2)), AssertionError, "out of range"),
        (lambda: d.Transform().sign, NotImplementedError, ""),
        (lambda: d.Transform()(ng.zeros(1)), NotImplementedError, ""),
    ]:
        with pytest.raises(kind, match=words):
            wrong()
