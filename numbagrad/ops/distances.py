"""Norms of vectors and distances between them, along one dimension."""

from __future__ import annotations

from typing import Any

from ..autograd import casting
from ..tensor import Tensor
from ._arguments import result_into
from .views import broadcast_shapes

__all__ = [
    "cosine_similarity", "normalize", "pairwise_distance",
]  # fmt: skip


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """x / max(‖x‖ₚ, eps) along ``dim``, written into ``out`` if that is given."""
    return result_into(out, input / input.norm(p, dim, True).clamp_min(eps))  # type: ignore[attr-defined]


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(‖x1‖, eps) · max(‖x2‖, eps)) along ``dim``"""
    if casting.active:
        x1, x2 = casting.arguments("cosine_similarity", x1, x2)
    shape = broadcast_shapes(x1.shape, x2.shape)
    a: Any = x1.expand(shape)  # type: ignore[attr-defined]
    b: Any = x2.expand(shape)  # type: ignore[attr-defined]
    return ((a / a.norm(2, dim, True).clamp_min(eps)) * (b / b.norm(2, dim, True).clamp_min(eps))).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """‖x1 − x2 + eps‖ₚ over the last dimension"""
    return (x1 - x2 + eps).norm(p, -1, keepdim)  # type: ignore[operator]
