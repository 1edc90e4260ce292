"""A linear layer and its cross-entropy in one: all scores at once, or a piece of the batch after the other, so that they are never in memory together."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Iterator

from .. import dtypes
from ..autograd.function import Function, once_differentiable
from ..autograd.graph import grad
from ..autograd.mode import enable_grad, is_grad_enabled
from ..tensor import Tensor
from .copy import cat
from .matmul import linear
from .softmax import cross_entropy

__all__ = ["linear_cross_entropy"]

_HALVES = (dtypes.float16, dtypes.bfloat16)
_TWICE = "linear_cross_entropy chunked backward called twice; retain_graph=True / double backward are not supported."


@dataclasses.dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How ``linear_cross_entropy`` goes through the batch in chunks.

    ``batch_chunk_size``: samples in a chunk; or ``chunking_method``, which finds their number: "aspect_ratio:n" makes the scores of a chunk take about 1/n of
    the memory of the input (n = 1 without it), and "auto" is n = 1 for float16 and bfloat16 on a CPU and 2 otherwise.  None of both: one chunk.
    ``acc_dtype``: the dtype of scores and sums; None is float32 for float16 and bfloat16 with ``acc_policy="auto"``, else the input's.  The other policies
    of PyTorch's ("accurate", "balanced", "compact") say which of its intermediate results have that dtype; here all have, whichever it is.
    ``allow_retain_graph``: let a second backward pass find the gradients that the forward pass computed, of "mean" and "sum", rather than use them up.

    Raises ValueError for what is none of these.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, parts = str(self.chunking_method).partition(":")
            if name != "aspect_ratio" or (colon and not (parts.isdigit() and int(parts) > 0)):
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        if self.batch_chunk_size is not None and not (isinstance(self.batch_chunk_size, int) and self.batch_chunk_size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {self.batch_chunk_size!r}")
        if self.acc_dtype not in (None, *_HALVES, dtypes.float32, dtypes.float64):
            raise ValueError(
                "acc_dtype must be one of {None, numbagrad.float16, numbagrad.bfloat16, numbagrad.float32, numbagrad.float64}, "
                f"got {self.acc_dtype!r}. Pass acc_dtype=None to let the op pick automatically."
            )

    def _chunk(self, samples: int, features: int, classes: int, half_on_cpu: bool) -> int:
        """Samples in a chunk.  Raises ValueError where a size and a method disagree."""
        method = self.chunking_method
        if method == "auto":
            method = None if self.batch_chunk_size is not None else "aspect_ratio" if half_on_cpu else "aspect_ratio:2"
        given = None if self.batch_chunk_size is None else min(self.batch_chunk_size, samples)
        if method is None:
            return max(given or samples, 1)
        share = -(-samples // -(-classes // features))
        parts = int(method.partition(":")[2] or 1)
        found = min((1 << (share - 1).bit_length()) // parts, samples)
        if self.batch_chunk_size is not None and self.batch_chunk_size != found:
            raise ValueError(
                f"batch_chunk_size (={self.batch_chunk_size}) and chunking_method ('{method}') give different chunk sizes ({self.batch_chunk_size} vs "
                f"{found}); pass only one."
            )
        return max(found, 1)

    def _sums(self, dtype: Any) -> Any:
        """The dtype of scores and sums for an input of ``dtype``.  Raises RuntimeError for one that does not go with it."""
        if self.acc_dtype is None:
            return dtypes.float32 if dtype in _HALVES and self.acc_policy == "auto" else dtype
        if self.acc_dtype not in (dtype, dtypes.float32) or (self.acc_dtype != dtype and dtype not in _HALVES):
            raise RuntimeError(
                f"linear_cross_entropy supports float32 acc_dtype with float16/bfloat16 inputs, but got {self.acc_dtype} acc_dtype and {dtype} inputs."
            )
        return self.acc_dtype


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target, ...)``, for ``input`` (N, F) or (F,) and ``linear_weight`` (C, ..., F).

    With ``options``, for class indices, a ``linear_weight`` (C, F) and no smoothing, in chunks of the batch, without second derivatives; with a warning, not
    in chunks, for anything else.
    Raises RuntimeError for sizes that do not match, and an ``ignore_index`` beside class probabilities.
    """
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}")
    features, (classes, *further) = input.shape[-1], linear_weight.shape[:-1]
    if features != linear_weight.shape[-1]:
        raise RuntimeError(
            f"expected equal input and linear_weight last dimensions (in_features), got {features} and {linear_weight.shape[-1]}, respectively"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != (classes, *further):
        raise RuntimeError(f"expected linear_bias shape {(classes, *further)}, got {tuple(linear_bias.shape)}")
    if further and input.ndim == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched input, (N, {features}), got unbatched"
            f" input with shape {tuple(input.shape)}"
        )
    shape = (*input.shape[:-1], classes, *further)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    if options is not None:
        if not further and reduction in ("mean", "sum", "none") and label_smoothing == 0.0 and target.dtype == dtypes.int64:
            return _chunked(input, linear_weight, target, linear_bias, weight, reduction, ignored, options)
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in {'mean','sum','none'}, label_smoothing == 0, target.dtype == int64, "
            f"out_features == (). Got {reduction=}, {label_smoothing=}, {target.dtype=}, out_features={tuple(further)}.",
            stacklevel=2,
        )
    rows: Any = linear_weight.reshape(-1, features)  # type: ignore[attr-defined]
    scores: Any = linear(input, rows, None if linear_bias is None else linear_bias.reshape(-1))  # type: ignore[attr-defined]
    return cross_entropy(
        scores.reshape(shape), target, weight=weight, reduction=reduction, ignore_index=ignored, label_smoothing=label_smoothing
    )


# ---- in chunks ---------------------------------------------------------------------------------------------------------------------


def _chunked(
    input: Any, rows: Any, target: Any, bias: Any, weight: Any, reduction: str, ignored: int, options: LinearCrossEntropyOptions
) -> Tensor:
    single = input.ndim == 1
    samples, aim = (input.unsqueeze(0), target.unsqueeze(0)) if single else (input, target)
    size = options._chunk(samples.shape[0], samples.shape[1], rows.shape[0], input.dtype in _HALVES and not input.is_cuda)
    chunks = _Chunks(aim, weight, ignored, size, options._sums(input.dtype))
    if reduction == "none":
        each = _EachLoss.apply(samples, rows, bias, chunks)
        return each.squeeze(0) if single else each
    needed = [is_grad_enabled() and t is not None and t.requires_grad for t in (samples, rows, bias)]
    return _OneLoss.apply(samples, rows, bias, chunks, reduction == "mean", needed, options.allow_retain_graph)


class _Chunks:
    """The batch in pieces of ``size`` samples, computed with in ``dtype``."""

    def __init__(self, target: Any, weight: Any, ignored: int, size: int, dtype: Any):
        self.target, self.ignored, self.size, self.dtype = target, ignored, size, dtype
        self.pieces = max(-(-target.shape[0] // size), 1)
        self.weight = None if weight is None else weight.detach().to(dtype)

    def places(self) -> Iterator[slice]:
        for piece in range(self.pieces):
            yield slice(piece * self.size, (piece + 1) * self.size)

    def count(self) -> Any:
        """What "mean" divides by: the weights of the classes, of the samples that are not ignored."""
        counted = self.target != self.ignored
        if self.weight is None:
            return counted.sum().to(self.dtype)
        return (self.weight[self.target.clamp(0, self.weight.shape[0] - 1)] * counted).sum()

    def loss(self, place: slice, reduction: str, samples: Any, rows: Any, bias: Any) -> Any:
        """The loss of the samples at ``place``."""
        return cross_entropy(linear(samples, rows, bias), self.target[place], self.weight, ignore_index=self.ignored, reduction=reduction)

    def leaf(self, t: Any, wanted: bool) -> Any:
        """``t`` cut off from its history, in the dtype of the sums."""
        return None if t is None else t.detach().to(self.dtype).requires_grad_(wanted)

    def gradients(self, needed: Any, samples: Any, shared: Any, reduction: str, seed: Any) -> tuple[Any, list[Any]]:
        """The losses of the pieces, and the gradients of the layer's three arguments (None where not needed); ``seed(place)`` weighs the piece at ``place``."""
        leaves = [self.leaf(t, wanted) for t, wanted in zip(shared, needed[1:])]
        losses: list[Any] = []
        of_samples: list[Any] = []
        sums: list[Any] = [None, None]
        for place in self.places():
            piece = self.leaf(samples[place], needed[0])
            with enable_grad():
                loss = self.loss(place, reduction, piece, *leaves)
            losses.append(loss.detach())
            wanted = [t for t, want in zip((piece, *leaves), needed) if want]
            found = iter(grad(loss, wanted, seed(place)) if wanted else ())
            if needed[0]:
                of_samples.append(next(found).to(samples.dtype))
            for i, want in enumerate(needed[1:]):
                if want:
                    sums[i] = next(found) if sums[i] is None else sums[i].add_(next(found))
        return losses, [cat(of_samples) if of_samples else None, *(None if g is None else g.to(t.dtype) for g, t in zip(sums, shared))]


class _OneLoss(Function):
    """The sum or the mean over the batch, with its gradients computed along with it, so that no scores are kept."""

    @staticmethod
    def forward(ctx: Any, samples: Any, rows: Any, bias: Any, chunks: _Chunks, mean: bool, needed: Any, retain: bool) -> Any:
        share = 1 / chunks.count() if mean else None
        losses, found = chunks.gradients(needed, samples, (rows, bias), "sum", lambda place: share)
        total = sum(losses[1:], losses[0])
        total = total * share if mean else total
        ctx.found, ctx.retain = found, retain
        return total.to(samples.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Any) -> Any:
        if ctx.found is None:
            raise RuntimeError(_TWICE)
        found = ctx.found
        if ctx.retain:
            return *(None if g is None else g * grad_output for g in found), None, None, None, None
        ctx.found = None
        return *(None if g is None else g.mul_(grad_output) for g in found), None, None, None, None


class _EachLoss(Function):
    """A loss per sample; the scores are computed again for the gradients."""

    @staticmethod
    def forward(ctx: Any, samples: Any, rows: Any, bias: Any, chunks: _Chunks) -> Any:
        ctx.save_for_backward(samples, rows, bias)
        ctx.chunks = chunks
        shared = [chunks.leaf(t, False) for t in (rows, bias)]
        losses = [chunks.loss(place, "none", chunks.leaf(samples[place], False), *shared) for place in chunks.places()]
        return cat(losses).to(samples.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Any) -> Any:
        seeds = grad_output.to(ctx.chunks.dtype)
        samples, *shared = ctx.saved_tensors
        _, found = ctx.chunks.gradients(ctx.needs_input_grad[:3], samples, shared, "none", lambda place: seeds[place])
        return *found, None
