"""Divergences of multivariate normal distributions, with or without a covariance of low rank:

2 KL(p ‖ q) = log det Σ_q − log det Σ_p + tr(Σ_q⁻¹ Σ_p) + (μ_q − μ_p)ᵀ Σ_q⁻¹ (μ_q − μ_p) − n
"""

from __future__ import annotations

from typing import Any

from ..creation import eye
from ..linalg import solve_triangular
from ..tensor import Tensor
from ._kl_registry import register_kl
from .lowrank_multivariate_normal import LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal, half_log_det, mahalanobis


def _squares(matrix: Tensor) -> Tensor:
    """The sum of the squares of the elements."""
    return matrix.pow(2).sum((-2, -1))


def _log_det(d: Any) -> Tensor:
    return d._log_det() if isinstance(d, LowRankMultivariateNormal) else 2 * half_log_det(d._unbroadcasted_scale_tril)


def _trace_of_root(q: Any, root: Tensor) -> Tensor:
    """tr(Σ_q⁻¹ R Rᵀ)"""
    if isinstance(q, LowRankMultivariateNormal):
        return _squares(root / q._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)) - _squares(q._whitened() @ root)
    return _squares(solve_triangular(q._unbroadcasted_scale_tril, root, upper=False))


def _inverse_diagonal(q: Any) -> Tensor:
    """The diagonal of Σ_q⁻¹."""
    if isinstance(q, LowRankMultivariateNormal):
        return q._unbroadcasted_cov_diag.reciprocal() - q._whitened().pow(2).sum(-2)
    factor = q._unbroadcasted_scale_tril
    identity = eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return solve_triangular(factor, identity.expand(factor.shape), upper=False).pow(2).sum(-2)


def _trace(q: Any, p: Any) -> Tensor:
    """tr(Σ_q⁻¹ Σ_p)"""
    if isinstance(p, LowRankMultivariateNormal):
        return _trace_of_root(q, p._unbroadcasted_cov_factor) + (_inverse_diagonal(q) * p._unbroadcasted_cov_diag).sum(-1)
    return _trace_of_root(q, p._unbroadcasted_scale_tril)


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes cannot be computed, "
            f"but got {p.event_shape} and {q.event_shape}"
        )
    away = q.loc - p.loc
    distance = q._mahalanobis(away) if isinstance(q, LowRankMultivariateNormal) else mahalanobis(q._unbroadcasted_scale_tril, away)
    return 0.5 * (_log_det(q) - _log_det(p) + _trace(q, p) + distance - p.event_shape[0])
