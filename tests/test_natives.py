"""The functions of nn at the top level, with PyTorch's native order of arguments, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import natives, runtime

torch = pytest.importorskip("torch")


def ours(x):
    if isinstance(x, torch.Tensor):
        return ng.tensor(x.detach().numpy())
    return type(x)(map(ours, x)) if isinstance(x, (tuple, list)) else x


def same(name, *args, tolerance=1e-5, **kwargs):
    """``name`` gives what PyTorch's gives, and changes the tensors among its arguments as that does."""
    mine = ours(args)
    expected, found = getattr(torch, name)(*args, **kwargs), getattr(ng, name)(*mine, **kwargs)
    pairs = list(zip(expected, found, strict=True)) if isinstance(expected, tuple) else [(expected, found)]
    pairs += [(a, b) for a, b in zip(args, mine) if isinstance(a, torch.Tensor)]
    for a, b in pairs:
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_norms():
    x, w, b = torch.randn(4, 3, 5), torch.randn(3), torch.randn(3)
    same("layer_norm", x, (5,), torch.randn(5), torch.randn(5), 1e-4)
    same("batch_norm", x, w, b, torch.zeros(3), torch.ones(3), True, 0.1, 1e-5, True)
    same("batch_norm", x, None, None, torch.zeros(3), torch.ones(3), False, 0.1, 1e-5, False)
    same("instance_norm", x, w, b, None, None, True, 0.1, 1e-5, False)
    same("norm_except_dim", x, 2, 1)
    same("norm_except_dim", x, 2, -1)


@pytest.mark.parametrize("reduction", [0, 1, 2])
def test_losses(reduction):
    a, b, c = (torch.randn(4, 3) for _ in range(3))
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0])
    same("binary_cross_entropy_with_logits", a, b.sigmoid(), None, c.exp(), reduction)
    same("cosine_embedding_loss", a, b, sign, 0.2, reduction)
    same("hinge_embedding_loss", a[:, 0], sign, 1.5, reduction)
    same("kl_div", a, b.softmax(1), reduction)
    same("kl_div", a, b, reduction, log_target=True)
    same("margin_ranking_loss", a[:, 0], b[:, 0], sign, 0.1, reduction)
    same("poisson_nll_loss", a, b.exp(), True, False, 1e-8, reduction)
    same("triplet_margin_loss", a, b, c, 1.0, 2, 1e-6, True, reduction)
    same(
        "ctc_loss",
        torch.randn(6, 2, 5).log_softmax(2),
        torch.tensor([[1, 2], [3, 4]]),
        torch.tensor([6, 5]),
        torch.tensor([2, 1]),
        0,
        reduction,
    )


def test_reductions_that_are_none():
    with pytest.raises(ValueError, match="7 is not a valid value for reduction"):
        ng.kl_div(ng.ones(2), ng.ones(2), 7)
    with pytest.raises(TypeError, match="'reduction' must be int, not str"):
        ng.kl_div(ng.ones(2), ng.ones(2), "mean")


@pytest.mark.parametrize("name, gates", [("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)])
@pytest.mark.parametrize("bidirectional, biases, projection", [(False, True, 0), (True, False, 0), (True, True, 2)])
def test_recurrent_layers(name, gates, bidirectional, biases, projection):
    if projection and name != "lstm":
        projection = 0
    steps, batch, inputs, hidden, layers, directions = 5, 3, 4, 6, 2, 2 if bidirectional else 1
    state = projection or hidden
    params = []
    for layer in range(layers):
        for _ in range(directions):
            params += [torch.randn(gates * hidden, state * directions if layer else inputs), torch.randn(gates * hidden, state)]
            params += [torch.randn(gates * hidden), torch.randn(gates * hidden)] * biases
            params += [torch.randn(projection, hidden)] * bool(projection)
    h = torch.randn(layers * directions, batch, state)
    hx = (h, torch.randn(layers * directions, batch, hidden)) if name == "lstm" else h
    rest = (params, biases, layers, 0.0, False, bidirectional)
    same(name, torch.randn(steps, batch, inputs), hx, *rest, False, tolerance=1e-4)
    same(name, torch.randn(batch, steps, inputs), hx, *rest, True, tolerance=1e-4)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(steps, batch, inputs), [5, 3, 2])
    same(name, packed.data, packed.batch_sizes, hx, *rest, tolerance=1e-4)
    with pytest.raises(TypeError, match=f"{name}\\(\\) takes 9 arguments, but 2 were given"):
        getattr(ng, name)(ng.ones(2, 2, 2), ng.ones(1, 2, 2))


@pytest.mark.parametrize("name, gates", [("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)])
def test_cells(name, gates):
    h, c = torch.randn(3, 6), torch.randn(3, 6)
    weights = torch.randn(gates * 6, 4), torch.randn(gates * 6, 6), torch.randn(gates * 6), torch.randn(gates * 6)
    same(f"{name}_cell", torch.randn(3, 4), (h, c) if name == "lstm" else h, *weights)
    same(f"{name}_cell", torch.randn(3, 4), (h, c) if name == "lstm" else h, *weights[:2])


def test_others():
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    same("cosine_similarity", a, b, 1)
    same("pairwise_distance", a, b)
    same("pdist", a)
    same("bilinear", a, b, torch.randn(2, 3, 3), torch.randn(2))
    same("affine_grid_generator", torch.randn(2, 2, 3), [2, 1, 4, 5], False)
    same("clamp_", a.clone(), -0.5, 0.5)
    same("nan_to_num_", a.log())
    same("threshold_", a.clone(), 0.1, 7.0)
    same("frobenius_norm", a, (0, 1))
    same("nuclear_norm", a)
    for name in ("is_conj", "is_neg", "is_inference", "is_signed", "is_distributed", "get_device"):
        assert getattr(ng, name)(ours(a)) == getattr(torch, name)(a)
        with pytest.raises(TypeError, match=f"{name}\\(\\): argument 'input' must be Tensor, not int"):
            getattr(ng, name)(3)


def test_native_dropout():
    ng.manual_seed(0)
    x = ng.ones(2000)
    y, kept = ng.native_dropout(x, 0.25, True)
    assert kept.dtype is ng.bool and abs(kept.float().mean().item() - 0.75) < 0.05
    np.testing.assert_allclose(y.numpy(), kept.numpy() / 0.75, rtol=1e-6)
    y, kept = ng.native_dropout(x, 0.25, False)
    assert y.tolist() == x.tolist() and kept.all()
    x = ng.ones(100)
    assert ng.dropout_(x, 1.0, True) is x and not x.any()


def test_every_name_is_found_and_is_pytorchs():
    for name in natives.__all__ + runtime.__all__:
        assert callable(getattr(ng, name)) and hasattr(torch, name)
