"""Losses that compare scores or distances and ask for a margin between them."""

from __future__ import annotations

from typing import Any, Callable

from .. import dtypes
from ..autograd import casting
from ..creation import zeros_like
from ..kernels.elementwise import activations
from ..tensor import Tensor
from . import elementwise as e
from .distances import pairwise_distance
from .losses import _reduce, _reduction

__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss", "multilabel_margin_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip

# The gradient of relu at 0 is 0, as PyTorch's is of the losses below that compare classes; that of clamp_min is 1.
_relu = e.operation(activations.relu)


# ---- pairs -------------------------------------------------------------------------------------------------------------------------


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin − target · (x1 − x2)): target 1 says that x1 should rank higher, −1 that x2 should.  Raises RuntimeError for several ranks."""
    if casting.active:
        input1, input2, target = casting.arguments("margin_ranking_loss", input1, input2, target)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    difference: Any = input1 - input2  # type: ignore[operator]
    return _reduce((margin - target * difference).clamp_min(0), reduction, size_average, reduce)


@e.elementwise
def _hinge(x, t, margin):  # type: ignore[no-untyped-def]
    d = margin - x
    return e.where(t != 1, e.where(d >= 0, d, 0), 0) + e.where(t != -1, x, 0)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The distance x where target is 1, max(0, margin − x) where it is −1"""
    if casting.active:
        input, target = casting.arguments("hinge_embedding_loss", input, target)
    return _reduce(_hinge(input, target, float(margin)), reduction, size_average, reduce)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 − cos(x1, x2) where target is 1, max(0, cos(x1, x2) − margin) where it is −1.

    ``input1`` and ``input2`` are (N, D) with ``target`` (N,), or (D,) with ``target`` ().  Raises RuntimeError for other shapes.
    """
    if casting.active:
        input1, input2, target = casting.arguments("cosine_embedding_loss", input1, input2, target)
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with sizes {list(input1.shape)} and "
            f"{list(input2.shape)}."
        )
    x1: Any = input1
    x2: Any = input2
    squares: Any = ((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12)
    cosine = (x1 * x2).sum(-1) / squares.sqrt()
    same, other = e.where(target == 1, 1 - cosine, 0), e.where(target == -1, (cosine - margin).clamp_min(0), 0)  # type: ignore[arg-type]
    return _reduce(same + other, reduction, size_average, reduce)


# ---- triplets ----------------------------------------------------------------------------------------------------------------------


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + d(anchor, positive) − d(anchor, negative)), d being ``pairwise_distance`` unless another is given.

    ``swap`` compares with the smaller of d(anchor, negative) and d(positive, negative) (V. Balntas et al., "Learning local feature descriptors with
    triplets and shallow convolutional neural networks", 2016).  Raises ValueError for a margin that is not positive, RuntimeError for several ranks.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    distance: Any = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return _reduce((margin + near - far).clamp_min(0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_with_distance_loss`` with the distance ‖a − b + eps‖ₚ"""
    if casting.active:
        anchor, positive, negative = casting.arguments("triplet_margin_loss", anchor, positive, negative)
    loss = triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction="none" if reduction in ("mean", "sum") else reduction,
    )
    return _reduce(loss, reduction, size_average, reduce)


# ---- classes -----------------------------------------------------------------------------------------------------------------------


def _rows(op: str, input: Tensor) -> Any:
    """``input`` as (N, C).  Raises RuntimeError where it is of another rank or has no class."""
    if input.ndim > 2 or (input.ndim and input.shape[-1] == 0):
        raise RuntimeError(f"{op}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}")
    return input.reshape(-1, input.shape[-1] if input.ndim else 1)  # type: ignore[attr-defined]


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ_{i ≠ y} weight[y] · max(0, margin − x[y] + x[i])ᵖ / C for scores ``input`` (N, C) or (C,) and the class y, ``target`` (N,) or ().

    Raises ValueError for a p other than 1 and 2 and a weight that is no vector, RuntimeError for other sizes and a target that is not int64.
    """
    if casting.active:
        input, target, weight = casting.arguments("multi_margin_loss", input, target, weight)
    reduction = _reduction(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x = _rows("multi_margin_loss", input)
    count, classes = x.shape
    if target.ndim > 1 or target.numel() != count:
        raise RuntimeError(
            f"target tensor should be 1-D with size equal to input's batch size. Expected target size [{count}], but got {list(target.shape)}"
        )
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype}")
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    y: Any = target.reshape(count, 1)  # type: ignore[attr-defined]
    short: Any = _relu(x - x.gather(1, y) + margin)
    loss = short if p == 1 else short * short
    if weight is not None:
        loss = loss * weight[y]  # type: ignore[index]
    loss = loss.scatter(1, y, 0).sum(1) / classes
    return _reduce(loss if input.ndim > 1 else loss[0], reduction)


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Σ_y Σ_i max(0, 1 − x[y] + x[i]) / C over the classes y that ``target`` names, up to its first −1, and those i that it does not.

    ``input`` and ``target`` (int64) are (N, C) or (C,).  The memory is that of N · C² elements.  Raises RuntimeError for shapes that differ.
    """
    if casting.active:
        input, target = casting.arguments("multilabel_margin_loss", input, target)
    reduction = _reduction(reduction, size_average, reduce)
    x = _rows("multilabel_margin_loss", input)
    if tuple(target.shape) != tuple(input.shape):
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    labels: Any = target.reshape(x.shape)  # type: ignore[attr-defined]
    named = (labels >= 0).to(dtypes.int64).cumprod(1)
    labels = labels * named  # beyond the first −1 any class will do: it counts for nothing
    other = zeros_like(labels).scatter_add(1, labels, named) == 0  # type: ignore[attr-defined]
    short: Any = _relu(x.unsqueeze(1) - x.gather(1, labels).unsqueeze(2) + 1)
    counted = ((named > 0).unsqueeze(2) & other.unsqueeze(1)).to(x.dtype)
    loss = (short * counted).sum((1, 2)) / x.shape[1]
    return _reduce(loss if input.ndim > 1 else loss[0], reduction)
