"""Recurrent layers, attention and packed sequences, as far as PyTorch's own samples do not show it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import numbagrad as ng
import numbagrad.nn as nn
from numbagrad.nn import functional as F
from numbagrad.nn.utils import rnn


def twins(kind: str, *args, **kwargs):
    """PyTorch's layer and ours with the same parameters, float64."""
    theirs = getattr(torch.nn, kind)(*args, **kwargs, dtype=torch.float64)
    ours = getattr(nn, kind)(*args, **kwargs, dtype=ng.float64)
    ours.load_state_dict({k: ng.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_sequences_of_different_lengths(kind: str, enforce_sorted: bool):
    """Values and gradients of both directions of two layers, where sequences end at different steps."""
    lengths = [6, 4, 4, 1] if enforce_sorted else [4, 6, 1, 4]
    ours, theirs = twins(kind, 3, 5, 2, bidirectional=True)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    mine, other = ng.from_numpy(x.numpy().copy()).requires_grad_(), x.clone().requires_grad_()
    packed = torch.nn.utils.rnn.pack_padded_sequence(other, torch.tensor(lengths), enforce_sorted=enforce_sorted)
    expected, last = theirs(packed)
    found, end = ours(rnn.pack_padded_sequence(mine, lengths, enforce_sorted=enforce_sorted))
    assert found.batch_sizes.tolist() == expected.batch_sizes.tolist()
    padded, sizes = rnn.pad_packed_sequence(found)
    assert sizes.tolist() == lengths
    np.testing.assert_allclose(padded.detach().numpy(), torch.nn.utils.rnn.pad_packed_sequence(expected)[0].detach().numpy(), atol=1e-12)
    last, end = (last[0], end[0]) if kind == "LSTM" else (last, end)
    np.testing.assert_allclose(end.detach().numpy(), last.detach().numpy(), atol=1e-12)
    (expected.data.sin().sum() + last.square().sum()).backward()
    (found.data.sin().sum() + end.square().sum()).backward()
    for a, b in zip([mine, *ours.parameters()], [other, *theirs.parameters()]):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)


def test_half_precision_states():
    """16-bit floats are computed in float32 and come back."""
    layer = nn.LSTM(3, 4).to(ng.bfloat16)
    y, (h, c) = layer(ng.randn(5, 2, 3).to(ng.bfloat16))
    assert y.dtype == h.dtype == c.dtype == ng.bfloat16
    y.sum().backward()
    assert layer.weight_hh_l0.grad.dtype == ng.bfloat16


def test_no_sequences():
    for layer in (nn.LSTM(3, 4, 2, bidirectional=True), nn.GRU(3, 4), nn.RNN(3, 4)):
        y, _ = layer(ng.zeros(5, 0, 3))
        assert y.shape == (5, 0, 8 if layer.bidirectional else 4)


def test_l1_loss_of_complex_numbers():
    x = ng.tensor([3 + 4j, 0j], requires_grad=True)
    loss = F.l1_loss(x, ng.zeros(2), reduction="sum")
    loss.backward()
    assert loss.item() == 5 and loss.dtype is ng.float32
    np.testing.assert_allclose(x.grad.numpy(), [0.6 + 0.8j, 0], atol=1e-6)


def test_changing_a_result_that_is_needed_is_an_error():
    layer = nn.GRU(3, 4)
    y, _ = layer(ng.randn(5, 2, 3))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_attention_and_its_composition_agree(dropout: float):
    """A mask that requires a gradient is computed step by step, another one by the kernel, with the same random numbers."""
    q, k, v = (ng.randn(2, 3, n, 8, dtype=ng.float64) for n in (5, 140, 140))
    mask = ng.randn(5, 140, dtype=ng.float64)
    results = []
    for needed in (False, True):
        ng.manual_seed(3)
        results.append(F.scaled_dot_product_attention(q, k, v, mask.clone().requires_grad_(needed), dropout_p=dropout))
    assert results[1].requires_grad and not results[0].requires_grad
    np.testing.assert_allclose(results[0].numpy(), results[1].detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masks", ["none", "attn", "padding", "both", "causal"])
def test_self_attention_in_one_piece(masks: str, batch_first: bool):
    """The projection's heads are not taken apart where nothing but the result is asked for: values and all gradients, and those of the gradients, are
    PyTorch's, and those of the pieces."""
    ours, theirs = twins("MultiheadAttention", 12, 3, batch_first=batch_first)
    x = torch.randn(*((4, 5, 12) if batch_first else (5, 4, 12)), dtype=torch.float64)
    given: dict = {}
    if masks in ("attn", "both", "causal"):
        given["attn_mask"] = torch.ones(5, 5, dtype=torch.bool).triu(1) if masks == "causal" else torch.randn(5, 5, dtype=torch.float64)
    if masks in ("padding", "both"):
        given["key_padding_mask"] = torch.zeros(4, 5, dtype=torch.float64)
        given["key_padding_mask"][1, 2:] = -torch.inf
    hint = {"is_causal": masks == "causal", "need_weights": False}
    mine, other = ng.from_numpy(x.numpy().copy()).requires_grad_(), x.clone().requires_grad_()
    y = ours(mine, mine, mine, **{k: ng.from_numpy(v.numpy()) for k, v in given.items()}, **hint)[0]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # the other kernels have no second derivative
        expected = theirs(other, other, other, **given, **hint)[0]
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    (slope,) = ng.autograd.grad(y.sin().sum(), mine, create_graph=True)
    (there,) = torch.autograd.grad(expected.sin().sum(), other, create_graph=True)
    np.testing.assert_allclose(slope.detach().numpy(), there.detach().numpy(), atol=1e-12)
    (y.square().sum() + slope.square().sum()).backward()
    (expected.square().sum() + there.square().sum()).backward()
    for a, b in zip([mine, *ours.parameters()], [other, *theirs.parameters()]):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)


def test_dropout_of_self_attention_does_not_depend_on_who_looks(monkeypatch):
    """The same numbers are drawn where something stands in the place of scaled_dot_product_attention, as when a model is exported."""
    from numbagrad.ops import attention

    layer, x, calls = nn.MultiheadAttention(8, 2, dropout=0.4), ng.randn(6, 3, 8), []
    results = []
    for watched in (False, True):
        if watched:
            plain = attention.scaled_dot_product_attention
            monkeypatch.setattr(attention, "scaled_dot_product_attention", lambda *args: calls.append(args) or plain(*args))
        ng.manual_seed(5)
        results.append(layer(x, x, x, need_weights=False)[0].detach().numpy())
    assert len(calls) == 1
    np.testing.assert_allclose(*results, atol=1e-6)


@pytest.mark.parametrize("needed", [False, True])
def test_queries_without_a_key(needed: bool):
    """Without weights their result is that of zeros; where the weights are asked for, NaN shows that there are none."""
    ours, theirs = twins("MultiheadAttention", 8, 2)
    x, padding = torch.randn(5, 2, 8, dtype=torch.float64), torch.tensor([[False] * 5, [True] * 5])
    expected, there = theirs(x, x, x, key_padding_mask=padding, need_weights=needed)
    y, weights = ours(*[ng.from_numpy(x.numpy())] * 3, key_padding_mask=ng.from_numpy(padding.numpy()), need_weights=needed)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    assert np.isnan(y.detach().numpy()).any() == needed
    if needed:
        np.testing.assert_allclose(weights.detach().numpy(), there.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("recorded", [False, True])
def test_gradients_of_queries_without_a_key(recorded: bool):
    """First and second ones are those of the other queries: the kernel's, and those of its steps, which a mask that requires a gradient takes."""
    inputs = [torch.randn(2, n, 4, dtype=torch.float64) for n in (3, 5, 5)]
    mask = torch.randn(3, 5, dtype=torch.float64)
    mask[1] = -torch.inf
    found = []
    for lib, to in ((torch, torch.clone), (ng, lambda x: ng.from_numpy(x.numpy().copy()))):
        q, k, v = (to(x).requires_grad_() for x in inputs)
        allowed = to(mask).requires_grad_(recorded)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            y = lib.nn.functional.scaled_dot_product_attention(q, k, v, allowed)
        slopes = lib.autograd.grad(y.sin().sum(), (q, k, v), create_graph=True)
        (y.square().sum() + sum(slope.square().sum() for slope in slopes)).backward()
        found.append([y, *slopes, q.grad, k.grad, v.grad])
    for a, b in zip(*found):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), atol=1e-10)


@pytest.mark.parametrize("kind", ["float", "bool"])
def test_mask_beside_is_causal(kind: str):
    """Both hold, for what PyTorch's kernels take; anything else is its error."""
    q, k, v = (torch.randn(2, 3, 5, 8, dtype=torch.float64) for _ in range(3))
    mask = torch.randn(5, 5, dtype=torch.float64) if kind == "float" else torch.rand(5, 5) < 0.6
    here = [ng.from_numpy(x.numpy()) for x in (q, k, v, mask)]
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=True)
    np.testing.assert_allclose(F.scaled_dot_product_attention(*here, is_causal=True).numpy(), expected.numpy(), atol=1e-12)
    if kind == "float":
        refused = ([x[0] for x in here[:3]], here[3], 0.0), (here[:3], here[3], 0.5), (here[:3], here[3].clone().requires_grad_(), 0.0)
        for inputs, added, p in refused:
            with pytest.raises(RuntimeError, match="Explicit attn_mask"):
                F.scaled_dot_product_attention(*inputs, added, p, True)


def test_attention_bad_input():
    q, k, v = ng.zeros(2, 3, 4), ng.zeros(2, 5, 4), ng.zeros(2, 5, 4)
    with pytest.raises(RuntimeError, match="same dtype"):
        F.scaled_dot_product_attention(q, k.double(), v)
    with pytest.raises(RuntimeError, match="is_causal"):
        F.scaled_dot_product_attention(q, k, v, ng.zeros(3, 5), is_causal=True)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.scaled_dot_product_attention(q, k, v, dropout_p=1.5)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        nn.MultiheadAttention(4, 2, dropout=1.5)(q, q, q, need_weights=False)
    with pytest.raises(RuntimeError, match="number of heads"):
        F.scaled_dot_product_attention(ng.zeros(1, 4, 3, 4), ng.zeros(1, 3, 5, 4), ng.zeros(1, 3, 5, 4), enable_gqa=True)


def test_ctc_of_a_target_that_does_not_fit():
    """Two equal labels need a blank between them, and so three steps."""
    scores = ng.randn(2, 1, 3, dtype=ng.float64).requires_grad_()
    target = ng.tensor([[1, 1]])
    assert F.ctc_loss(scores.log_softmax(2), target, (2,), (2,)).item() == np.inf
    loss = F.ctc_loss(scores.log_softmax(2), target, (2,), (2,), zero_infinity=True)
    loss.backward()
    assert loss.item() == 0 and not scores.grad.numpy().any()


def test_packing_bad_input():
    x = ng.zeros(4, 2, 3)
    with pytest.raises(RuntimeError, match="sorted"):
        rnn.pack_padded_sequence(x, [2, 4])
    with pytest.raises(RuntimeError, match="greater than 0"):
        rnn.pack_padded_sequence(x, [4, 0])
    with pytest.raises(RuntimeError, match="batch_size"):
        rnn.pack_padded_sequence(x, [4])
    with pytest.raises(RuntimeError, match="at most 4"):
        rnn.pack_padded_sequence(x, [5, 1])
