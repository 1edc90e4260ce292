"""Every distribution of the table against PyTorch's: what it is, what it says of values, and the gradients."""

import copy
import pickle

import numpy as np
import pytest

import numbagrad as ng
from tests.distributions.against import alike, array, both, equal, ours, tensors, theirs, torch
from tests.distributions.table import TABLE

FLOAT32 = ("Normal", "Bernoulli", "Categorical", "Beta", "Gamma", "Poisson", "Multinomial", "MultivariateNormal")
KNOWN = ["mean", "mode", "variance", "stddev"]


@pytest.fixture(autouse=True, scope="module")
def double():
    """PyTorch makes some constants in its default dtype, however precise the parameters are."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


every = pytest.mark.parametrize("entry", TABLE, ids=[entry.name for entry in TABLE])


def samples(distribution, *shape):
    """Values of PyTorch's distribution, as tensors of both."""
    torch.manual_seed(3)
    value = distribution.sample(shape)
    return ng.tensor(value.numpy()), value


@every
def test_shapes_and_what_is_known(entry):
    mine, yours = both(entry)
    assert mine.batch_shape == tuple(yours.batch_shape) and mine.event_shape == tuple(yours.event_shape)
    assert mine.has_rsample == yours.has_rsample and mine.has_enumerate_support == yours.has_enumerate_support
    for name in KNOWN:
        alike(lambda: getattr(mine, name), lambda: getattr(yours, name), entry.rtol, name)
    alike(mine.entropy, yours.entropy, entry.rtol, "entropy")
    alike(mine.perplexity, yours.perplexity, entry.rtol * 10, "perplexity")
    assert repr(mine).replace("numbagrad.Size", "torch.Size").replace("numbagrad.float64", "torch.float64") == repr(yours)
    assert set(mine.arg_constraints) == set(yours.arg_constraints)
    for name, constraint in mine.arg_constraints.items():
        assert repr(constraint).split("(")[0] == repr(yours.arg_constraints[name]).split("(")[0]
        if hasattr(yours, name):
            equal(getattr(mine, name), getattr(yours, name), entry.rtol, name)


@every
def test_values(entry):
    mine, yours = both(entry)
    value, their_value = samples(yours, 4)
    assert alike(lambda: mine.log_prob(value), lambda: yours.log_prob(their_value), entry.rtol, "log_prob")
    if alike(lambda: mine.cdf(value), lambda: yours.cdf(their_value), entry.rtol, "cdf"):
        chance = np.linspace(0.05, 0.95, 4 * value[0].numel()).reshape(tuple(value.shape))
        alike(lambda: mine.icdf(ng.tensor(chance)), lambda: yours.icdf(torch.tensor(chance)), entry.rtol, "icdf")
    support, their_support = mine.support, yours.support
    assert repr(support).split("(")[0] == repr(their_support).split("(")[0]
    for shift in (0.0, -3.0, 0.5):
        equal(support.check(value + shift), their_support.check(their_value + shift), what=f"support, {shift}")
    assert support.event_dim == their_support.event_dim and support.is_discrete == their_support.is_discrete == entry.discrete


@every
def test_gradients(entry):
    """Of log p by the parameters and by the value, and of the entropy by the parameters."""
    mine_p, yours_p = tensors(entry.values, requires_grad=True)
    mine, yours = entry.build(ours, *mine_p), entry.build(theirs, *yours_p)
    value, their_value = samples(yours, 3)
    if not entry.discrete:
        value.requires_grad_(), their_value.requires_grad_()
    inputs, their_inputs = ([*mine_p, value], [*yours_p, their_value]) if not entry.discrete else (mine_p, yours_p)
    calls = [(lambda: mine.log_prob(value), lambda: yours.log_prob(their_value), inputs, their_inputs)]
    if entry.name not in ("Poisson", "MixtureSameFamily"):
        calls.append((mine.entropy, yours.entropy, mine_p, yours_p))
    for call, their_call, wanted, their_wanted in calls:
        try:
            expected = torch.autograd.grad(their_call().sum(), their_wanted, allow_unused=True)
        except (NotImplementedError, RuntimeError):
            continue  # no entropy, or one of no parameter
        found = ng.autograd.grad(call().sum(), wanted, allow_unused=True)
        for i, (g, e) in enumerate(zip(found, expected)):
            assert (g is None) == (e is None), i
            if e is not None:
                equal(g, e, max(entry.rtol * 10, 1e-8), f"input {i}")


@every
def test_expand(entry):
    mine, yours = both(entry)
    shape = (2, *mine.batch_shape)
    wide, their_wide = mine.expand(shape), yours.expand(torch.Size(shape))
    assert wide.batch_shape == shape and wide.event_shape == mine.event_shape and type(wide) is type(mine)
    value, their_value = samples(yours, 2)
    equal(wide.log_prob(value), their_wide.log_prob(their_value), entry.rtol)
    for name in KNOWN:
        if not (entry.name.startswith("MixtureSameFamily") or (entry.name.startswith("LogisticNormal"))):
            alike(lambda: getattr(wide, name), lambda: getattr(their_wide, name), entry.rtol, name)
    assert tuple(wide.sample((3,)).shape) == (3, *shape, *mine.event_shape)
    assert wide._validate_args == mine._validate_args


@every
def test_enumerate_support(entry):
    mine, yours = both(entry)
    for expand in (True, False):
        alike(lambda: mine.enumerate_support(expand), lambda: yours.enumerate_support(expand), what=f"expand={expand}")


@every
def test_copies(entry):
    """Copied and pickled distributions say and draw the same."""
    mine, yours = both(entry)
    value, _ = samples(yours, 2)
    ng.manual_seed(5)
    wanted, drawn = mine.log_prob(value), mine.sample((2,))
    parts = [copy.deepcopy(mine)]
    if "lambda" not in repr(mine):
        parts.append(pickle.loads(pickle.dumps(mine)))
    for duplicate in parts:
        ng.manual_seed(5)
        np.testing.assert_array_equal(array(duplicate.log_prob(value)), array(wanted))
        np.testing.assert_array_equal(array(duplicate.sample((2,))), array(drawn))


@every
def test_value_that_does_not_fit(entry):
    mine, yours = both(entry)
    value, their_value = samples(yours, 2)
    for shift in (0.3, -2.5, float("nan")):
        try:
            yours.log_prob(their_value + shift)
        except ValueError as error:
            with pytest.raises(ValueError) as found:
                mine.log_prob(value + shift)
            # What follows the constraint shows it and the values, which the two print in their own ways.
            assert str(found.value).split(" to be within")[0] == str(error).split(" to be within")[0]
    for wrong in ("1", [2.0]):
        with pytest.raises((ValueError, TypeError), match=r"The value argument to log_prob must be a Tensor|invalid data type"):
            mine.log_prob(wrong) if entry.name not in ("Gamma", "Chi2", "HalfCauchy") else mine.log_prob("1")
    if mine.event_shape:
        for wrong, their_wrong in ((value[..., :-1], their_value[..., :-1]), (value.new_zeros(7), their_value.new_zeros(7))):
            alike(lambda: mine.log_prob(wrong), lambda: yours.log_prob(their_wrong))
    elif mine.batch_shape != (7,):
        with pytest.raises(ValueError, match="Value is not broadcastable with batch_shape\\+event_shape"):
            mine.log_prob(value.new_ones(7) * value.reshape(-1)[0])


@pytest.mark.parametrize("entry", [e for e in TABLE if e.name in FLOAT32], ids=lambda entry: entry.name)
def test_float32(entry):
    """Everything is in the dtype of the parameters."""
    distribution = entry.build(ours, *[ng.tensor(v.astype(np.float32)) for v in entry.values])
    sample = distribution.sample((5,))
    assert sample.dtype is (ng.int64 if entry.name.startswith("Categorical") else ng.float32)
    low = ng.tensor(sample.numpy())
    assert distribution.log_prob(low).dtype is ng.float32 and bool(distribution.log_prob(low).isfinite().all())
    assert bool(distribution.support.check(low).all())
