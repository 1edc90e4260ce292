"""nn.init: the distributions, the fans, the gains, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.nn import init

SHAPE = (64, 32, 3, 2)
FAN_IN, FAN_OUT = 32 * 6, 64 * 6


def empty(*shape, dtype=None):
    return ng.full(shape or SHAPE, math.nan, dtype=dtype or ng.float32)


def spread(std):
    return {"mean": 0, "std": std}


def even(bound):
    return {"mean": 0, "std": bound / math.sqrt(3), "low": -bound, "high": bound}


CASES = {
    "uniform": (lambda t: init.uniform_(t, -3, 5), {"mean": 1, "std": 8 / math.sqrt(12), "low": -3, "high": 5}),
    "normal": (lambda t: init.normal_(t, 2, 3), {"mean": 2, "std": 3}),
    "xavier_uniform": (lambda t: init.xavier_uniform_(t, gain=2), even(2 * math.sqrt(6 / (FAN_IN + FAN_OUT)))),
    "xavier_normal": (lambda t: init.xavier_normal_(t), spread(math.sqrt(2 / (FAN_IN + FAN_OUT)))),
    "kaiming_uniform": (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), even(math.sqrt(6 / FAN_IN))),
    "kaiming_uniform leaky": (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), even(1 / math.sqrt(FAN_IN))),
    "kaiming_normal": (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), spread(math.sqrt(2 / FAN_OUT))),
    "kaiming_normal tanh": (lambda t: init.kaiming_normal_(t, nonlinearity="tanh"), spread(5 / 3 / math.sqrt(FAN_IN))),
    "trunc_normal": (lambda t: init.trunc_normal_(t, std=1, a=-1, b=1), {"mean": 0, "std": 0.539560, "low": -1, "high": 1}),
    "trunc_normal shifted": (
        lambda t: init.trunc_normal_(t, mean=1, std=0.5, a=1, b=9),
        {"mean": 1 + 0.5 * 0.797885, "std": 0.5 * 0.602810, "low": 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_distribution(case):
    act, expected = CASES[case]
    tensor = empty()
    assert act(tensor) is tensor
    values = tensor.numpy().astype(np.float64).ravel()
    n, std = values.size, expected["std"]
    assert abs(values.mean() - expected["mean"]) < 5 * std / math.sqrt(n)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(n)
    assert values.min() >= np.float32(expected.get("low", -math.inf)) and values.max() <= np.float32(expected.get("high", math.inf))
    if "high" in expected:
        assert values.max() > expected["high"] - 0.01 * std and values.min() < expected["low"] + 0.01 * std


def test_generator_and_seed():
    def draw(generator=None):
        return init.normal_(empty(5), generator=generator)

    ng.manual_seed(1)
    first = draw()
    ng.manual_seed(1)
    assert ng.equal(draw(), first)
    assert ng.equal(draw(ng.Generator().manual_seed(1)), first)


def test_parameters_stay_leaves():
    p = nn.Parameter(empty(3, 3))
    for act in (init.uniform_, init.normal_, init.ones_, init.zeros_, init.eye_, init.orthogonal_, init.xavier_normal_, init.trunc_normal_):
        act(p)
        assert p.is_leaf and p.requires_grad and not np.isnan(p.detach().numpy()).any()
    init.sparse_(p, 0.4)
    assert p.is_leaf
    conv = nn.Parameter(empty(2, 2, 3, 3))
    assert init.dirac_(conv).is_leaf


def test_constants():
    t = empty(2, 3)
    assert init.constant_(t, 0.5) is t and t.tolist() == [[0.5] * 3] * 2
    assert init.ones_(t).tolist() == [[1] * 3] * 2 and init.zeros_(t).tolist() == [[0] * 3] * 2
    assert init.eye_(t).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_dirac_passes_images_through():
    x = ng.randn(1, 4, 5, 5)
    for groups in (1, 2):
        conv = nn.Conv2d(4, 4, 3, padding=1, groups=groups, bias=False)
        init.dirac_(conv.weight, groups)
        assert ng.allclose(conv(x), x)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (4, 2, 3)], ids=str)
def test_orthogonal(shape):
    t = init.orthogonal_(empty(*shape, dtype=ng.float64), gain=2)
    m = t.numpy().reshape(shape[0], -1) / 2
    product = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)


def test_sparse():
    t = init.sparse_(empty(20, 8), 0.3, std=2)
    assert ((t == 0).sum(0) == 6).all()
    assert 1 < t.numpy()[t.numpy() != 0].std() < 3


def test_fans():
    assert init._calculate_fan_in_and_fan_out(empty(5, 3)) == (3, 5)
    assert init._calculate_fan_in_and_fan_out(empty()) == (FAN_IN, FAN_OUT)


def test_gains():
    for name, gain in (("linear", 1), ("conv2d", 1), ("sigmoid", 1), ("tanh", 5 / 3), ("relu", math.sqrt(2)), ("selu", 0.75)):
        assert init.calculate_gain(name) == pytest.approx(gain)
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / 1.0001))
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))


def test_nothing_to_draw():
    t = empty(0, 3)
    for act in (init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.warns(UserWarning, match="no-op"):
            assert act(t) is t
    assert init.orthogonal_(t) is t


REFUSED = {
    "fans": (lambda: init.xavier_uniform_(empty(3)), "fewer than 2 dimensions"),
    "kaiming": (lambda: init.kaiming_normal_(empty(3)), "fewer than 2 dimensions"),
    "mode": (lambda: init.kaiming_uniform_(empty(3, 3), mode="fan"), "Mode fan not supported"),
    "gain": (lambda: init.calculate_gain("swish"), "Unsupported nonlinearity swish"),
    "slope": (lambda: init.calculate_gain("leaky_relu", "x"), "negative_slope x not a valid number"),
    "eye": (lambda: init.eye_(empty(3)), "Only tensors with 2 dimensions"),
    "dirac": (lambda: init.dirac_(empty(3, 3)), "Only tensors with 3, 4, or 5 dimensions"),
    "dirac groups": (lambda: init.dirac_(empty(3, 3, 3), 2), "dim 0 must be divisible by groups"),
    "orthogonal": (lambda: init.orthogonal_(empty(3)), "2 or more dimensions"),
    "sparse": (lambda: init.sparse_(empty(3), 0.5), "Only tensors with 2 dimensions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    act, text = REFUSED[case]
    with pytest.raises(ValueError, match=text):
        act()


def test_layers_start_as_pytorch_describes():
    for layer, fan in ((nn.Linear(200, 300), 200), (nn.Conv2d(16, 64, 3, groups=2), 72)):
        for p in layer.parameters():
            values = p.detach().numpy()
            assert np.abs(values).max() <= np.float32(1 / math.sqrt(fan)) and np.abs(values).max() > 0.9 / math.sqrt(fan)
    table = nn.Embedding(200, 50).weight.detach().numpy()
    assert abs(table.mean()) < 0.05 and abs(table.std() - 1) < 0.05
