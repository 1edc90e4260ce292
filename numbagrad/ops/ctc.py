"""Connectionist temporal classification."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from ..autograd import casting
from ..creation import arange, as_tensor, full
from ..kernels.elementwise import formulas as f
from ..tensor import Tensor
from . import elementwise as e
from .copy import cat, pad, stack
from .losses import _reduction

__all__ = ["ctc_loss"]


@e.elementwise
def _log_sum(a, b, c):  # type: ignore[no-untyped-def]
    """log(eᵃ + eᵇ + eᶜ), also where some or all are −∞"""
    exp, log = e.operation(f.exp_), e.operation(f.log)
    top = e.where(a > b, e.where(a > c, a, c), e.where(b > c, b, c))
    base = e.where(top == -math.inf, 0, top)
    return base + log(exp(a - base) + exp(b - base) + exp(c - base))


@_log_sum.vjp
def _(g, y, a, b, c):  # type: ignore[no-untyped-def]
    exp = e.operation(f.exp_)
    base = e.where(y == -math.inf, 0, y)  # then each share is exp(−∞) = 0
    return g * exp(a - base), g * exp(b - base), g * exp(c - base)


def _lengths(lengths: Any, device: Any) -> Any:
    return as_tensor(lengths, dtype=dtypes.int64).reshape(-1).to(device)  # type: ignore[attr-defined]


def _padded(targets: Any, lengths: list[int], batch: int) -> Any:
    """The targets as (N, S), S the largest length."""
    longest = max(lengths, default=0)
    if targets.ndim == 2:
        return targets[:, :longest]
    if targets.numel() != sum(lengths):
        raise RuntimeError(f"ctc_loss: expected {sum(lengths)} concatenated targets, the sum of target_lengths, but got {targets.numel()}")
    parts = targets.split(lengths)
    return stack([pad(part, (0, longest - n)) for part, n in zip(parts, lengths)])


def _check(log_probs: Any, targets: Any, inputs: list[int], labels: list[int], blank: int) -> None:
    steps, batch, classes = log_probs.shape
    if not log_probs.is_floating_point():
        raise RuntimeError(f"ctc_loss: expected floating point log_probs, but got {log_probs.dtype}")
    if targets.is_floating_point() or targets.dtype is dtypes.bool_:
        raise RuntimeError(f"ctc_loss: expected integer targets, but got {targets.dtype}")
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: expected 0 to {classes - 1}, but got {blank}")
    if len(inputs) != batch or len(labels) != batch:
        raise RuntimeError(f"input_lengths and target_lengths must be of size {batch}, but got {len(inputs)} and {len(labels)}")
    if targets.ndim == 2 and (targets.shape[0] != batch or targets.shape[1] < max(labels, default=0)):
        raise RuntimeError(f"Expected tensor to have size at least {max(labels)} at dimension 1, but got size {list(targets.shape)}")
    if any(not 0 <= n <= steps for n in inputs) or any(n < 0 for n in labels):
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}, and no negative length, but got {inputs} and {labels}")


def _log_likelihood(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> Any:
    """log p(target | input) for each of the batch, by the forward recursion over the labels with blanks between them."""
    steps, batch, _ = log_probs.shape
    size = 2 * targets.shape[1] + 1
    places = arange(size, device=log_probs.device)
    blanks = full((batch, targets.shape[1], 1), blank, dtype=dtypes.int64, device=targets.device)
    between = cat([blanks, targets.unsqueeze(2)], 2).reshape(batch, -1)  # type: ignore[attr-defined]
    labels: Any = cat([between, blanks[:, :1, 0]], 1) if size > 1 else full((batch, 1), blank, dtype=dtypes.int64, device=targets.device)  # type: ignore[index]
    emitted = log_probs.gather(2, labels.unsqueeze(0).expand(steps, batch, size))
    never = full((), -math.inf, dtype=log_probs.dtype, device=log_probs.device)
    # Two labels on, past a blank, where that does not merge two equal labels.
    skips = pad((labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2]), (2, 0)) if size > 2 else labels < 0  # type: ignore[arg-type]
    alpha = e.where(places < 2, emitted[0], never) if steps else emitted
    for t in range(1, steps):
        one = pad(alpha, (1, 0), value=-math.inf)[:, :-1]  # type: ignore[index]
        two = e.where(skips, pad(alpha, (2, 0), value=-math.inf)[:, :-2], never) if size > 2 else one - math.inf  # type: ignore[index]
        after = _log_sum(alpha, one, two) + emitted[t]
        alpha = e.where((t < input_lengths).unsqueeze(1), after, alpha)
    end = 2 * target_lengths.unsqueeze(1)
    last, before = alpha.gather(1, end), alpha.gather(1, (end - 1).clamp(min=0))
    nothing = never.expand(batch, 1)  # type: ignore[attr-defined]
    return _log_sum(last, e.where(end > 0, before, nothing), nothing).squeeze(1)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """−log p(target | input), p being the sum over all alignments of the target's labels, and blanks between them, to the steps of the input.

    ``log_probs`` (T, N, C) or (T, C): log-probabilities; ``targets`` (N, S), or one behind the other, or (S,) with (T, C).  "mean" divides each loss by
    its target's length.  ``zero_infinity``: a target that does not fit into its input counts for nothing, instead of ∞.  The gradient is PyTorch's, of
    the scores that ``log_probs`` are the ``log_softmax`` of, which is the same once it has passed that.  Raises RuntimeError for lengths and labels
    that do not fit.  A. Graves et al., "Connectionist temporal classification" (2006).
    """
    if casting.active:
        (log_probs,) = casting.arguments("ctc_loss", log_probs)
    reduction = _reduction(reduction)
    batched = log_probs.ndim == 3
    x: Any = log_probs if batched else log_probs.unsqueeze(1)  # type: ignore[attr-defined]
    labels: Any = targets if batched or targets.ndim != 1 else targets.unsqueeze(0)  # type: ignore[attr-defined]
    inputs, sizes = _lengths(input_lengths, x.device), _lengths(target_lengths, x.device)
    _check(x, labels, inputs.tolist(), sizes.tolist(), blank)
    labels = _padded(labels, sizes.tolist(), x.shape[1]).to(dtypes.int64).to(x.device)
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise RuntimeError(f"ctc_loss: expected log_probs of at least one step and sequence, but got shape {list(log_probs.shape)}")
    loss = -_log_likelihood(x, labels, inputs, sizes, blank)
    loss = e.where(inputs == 0, e.where(sizes == 0, 0.0, math.inf), loss)  # type: ignore[arg-type]
    if zero_infinity:
        loss = e.where(loss == math.inf, 0.0, loss)  # type: ignore[arg-type]
    if x.requires_grad:
        loss = loss + _normaliser(x, inputs, (loss.detach() != 0) | (not zero_infinity))  # type: ignore[operator]
    if reduction == "mean":
        loss = loss / sizes.clamp(min=1).to(loss.dtype)
    loss = loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss
    return loss if batched or reduction != "none" else loss[0]


def _normaliser(x: Any, lengths: Any, counted: Any) -> Any:
    """Zero for each sequence, with the gradient exp(x) at its steps: that of log Σ exp(x), which is 0 for log-probabilities."""
    steps = (arange(x.shape[0], device=x.device).unsqueeze(1) < lengths) & counted  # type: ignore[attr-defined]
    total = (x.exp().sum(2) * steps.to(x.dtype)).sum(0)
    return total - total.detach()
