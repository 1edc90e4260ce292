"""linear_cross_entropy in chunks: values and gradients as without, PyTorch's options and errors, and that no scores of the whole batch are ever there."""

from __future__ import annotations

from typing import Any

import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.nn import functional as F
from numbagrad.ops import linear_loss

Options = nn.LinearCrossEntropyOptions


def _arguments(dtype: Any = ng.float64) -> tuple[Any, ...]:
    x = ng.arange(35.0).reshape(7, 5).sin().to(dtype).requires_grad_()
    w = ng.arange(55.0).reshape(11, 5).cos().to(dtype).requires_grad_()
    b = ng.arange(11.0).sin().to(dtype).requires_grad_()
    return x, w, b, ng.tensor([0, 3, -100, 10, 4, -100, 2]), (ng.arange(11.0) / 11 + 0.5).to(dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "options", [Options(), Options(batch_chunk_size=3), Options(batch_chunk_size=7), Options(chunking_method="aspect_ratio:3")]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_as_without_chunks(reduction, options, weighted):
    x, w, b, target, classes = _arguments()
    given: dict[str, Any] = {"linear_bias": b, "weight": classes if weighted else None, "reduction": reduction}
    whole = F.linear_cross_entropy(x, w, target, **given)
    pieces = F.linear_cross_entropy(x, w, target, options=options, **given)
    assert pieces.shape == whole.shape and ng.allclose(pieces, whole, rtol=1e-12)
    expected = ng.autograd.grad((whole * whole).sum(), (x, w, b))
    found = ng.autograd.grad((pieces * pieces).sum(), (x, w, b))
    assert all(ng.allclose(a, e, rtol=1e-10, atol=1e-12) for a, e in zip(found, expected))


def test_single_sample_no_grad_and_ignored():
    x, w, b, target, _ = _arguments()
    for reduction in ("mean", "none"):
        one = F.linear_cross_entropy(x[0], w, target[0], options=Options(), reduction=reduction)
        assert one.shape == () and ng.allclose(one, F.cross_entropy(F.linear(x[0], w), target[0]))
    with ng.no_grad():
        assert not F.linear_cross_entropy(x, w, target, options=Options()).requires_grad
    assert F.linear_cross_entropy(x, w, target * 0 - 100, options=Options()).isnan()
    fixed = F.linear_cross_entropy(x.detach(), w, target, options=Options(batch_chunk_size=2), linear_bias=b)
    fixed.backward()
    assert x.grad is None and w.grad is not None and b.grad is not None


@pytest.mark.parametrize("dtype", [ng.bfloat16, ng.float16])
def test_halves_are_summed_in_float32(dtype):
    x, w, b, target, _ = _arguments(dtype)
    loss = F.linear_cross_entropy(x, w, target, linear_bias=b, options=Options(batch_chunk_size=1))
    loss.backward()
    exact = [t.detach().double().requires_grad_() for t in (x, w, b)]
    F.linear_cross_entropy(exact[0], exact[1], target, linear_bias=exact[2]).backward()
    assert loss.dtype is dtype and w.grad.dtype is dtype
    # One rounding to the dtype: half a unit in the last place of its 8 or 11 bits.
    bits = 8 if dtype is ng.bfloat16 else 11
    assert all(ng.allclose(t.grad.double(), e.grad, rtol=2.0**-bits * 1.05, atol=1e-7) for t, e in zip((x, w, b), exact))


def test_memory(monkeypatch):
    sizes = []
    plain = linear_loss.linear

    def spied(x, w, b):
        sizes.append(x.shape[0])
        return plain(x, w, b)

    monkeypatch.setattr(linear_loss, "linear", spied)
    x, w, target = ng.randn(64, 4), ng.randn(32, 4, requires_grad=True), ng.zeros(64, dtype=ng.int64)
    F.linear_cross_entropy(x, w, target, options=Options()).backward()
    assert sizes == [4] * 16  # 64 samples by 8 times as many classes as features, in half as much


def test_backward_twice():
    x, w, _, target, _ = _arguments()
    loss = F.linear_cross_entropy(x, w, target, options=Options())
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="chunked backward called twice"):
        loss.backward()
    first = x.grad.clone()
    again = F.linear_cross_entropy(x, w, target, options=Options(allow_retain_graph=True))
    x.grad = None
    again.backward(retain_graph=True)
    again.backward()
    assert ng.allclose(x.grad, 2 * first)


def test_what_is_not_done_in_chunks():
    x, w, _, target, _ = _arguments()
    with pytest.warns(UserWarning, match="``options`` ignored"):
        smoothed = F.linear_cross_entropy(x, w, target, options=Options(), label_smoothing=0.1)
    assert ng.allclose(smoothed, F.linear_cross_entropy(x, w, target, label_smoothing=0.1))


REFUSED = [
    (lambda: Options(acc_policy="x"), ValueError, "invalid acc_policy: 'x'"),
    (lambda: Options(chunking_method="aspect"), ValueError, "invalid chunking_method: 'aspect'"),
    (lambda: Options(chunking_method="aspect_ratio:0"), ValueError, "invalid chunking_method"),
    (lambda: Options(batch_chunk_size=0), ValueError, "batch_chunk_size must be positive int or None, got 0"),
    (lambda: Options(acc_dtype=ng.int32), ValueError, "acc_dtype must be one of"),
    (lambda: _loss(Options(batch_chunk_size=3, chunking_method="aspect_ratio")), ValueError, "give different chunk sizes"),
    (lambda: _loss(Options(acc_dtype=ng.float32)), RuntimeError, "supports float32 acc_dtype with float16/bfloat16 inputs"),
    (lambda: nn.LinearCrossEntropyLoss(5, 4, weight=ng.ones(3)), RuntimeError, "expected weight shape to be"),
    (lambda: nn.LinearCrossEntropyLoss(5, 4, label_smoothing=2), RuntimeError, "label_smoothing to be in range"),
]


def _loss(options: Any) -> Any:
    x, w, _, target, _ = _arguments()
    return F.linear_cross_entropy(x, w, target, options=options)


@pytest.mark.parametrize("call, kind, message", REFUSED)
def test_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_module():
    ng.manual_seed(0)
    loss = nn.LinearCrossEntropyLoss(5, 4, out_features=(2, 3), bias=True)
    assert {k: tuple(v.shape) for k, v in loss.state_dict().items()} == {"linear.weight": (24, 5), "linear.bias": (24,)}
    x, target = ng.randn(6, 5), ng.randint(0, 4, (6, 2, 3))
    expected = F.cross_entropy(F.linear(x, loss.linear.weight, loss.linear.bias).reshape(6, 4, 2, 3), target)
    assert ng.allclose(loss(x, target), expected)
    chunked = nn.LinearCrossEntropyLoss(5, 4, options=Options(batch_chunk_size=2), reduction="none")
    assert ng.allclose(chunked(x, target[:, 0, 0]), F.cross_entropy(chunked.linear(x), target[:, 0, 0], reduction="none"))
    assert "num_classes=4, out_features=(2, 3), bias=True" in str(loss)
