"""The multivariate normal distribution whose covariance is of low rank but for its diagonal."""

from __future__ import annotations

import math
from typing import Any

from ..creation import eye
from ..linalg import cholesky, solve_triangular
from ..ops.views import broadcast_tensors
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .multivariate_normal import half_log_det, mahalanobis, matrix_vector
from .utils import lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal"]


def _one_more(matrix: Tensor) -> Tensor:
    """I + matrix."""
    return matrix + eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


class LowRankMultivariateNormal(Distribution):
    """The multivariate normal distribution of covariance W Wᵀ + diag(d), W = ``cov_factor`` (n x m) and d = ``cov_diag``, with m far below n.

    Nothing n x n is decomposed: C = I + Wᵀ diag(d)⁻¹ W, m x m, gives det Σ = det C ∏ dᵢ and, by Woodbury's identity,
    Σ⁻¹ = D⁻¹ − D⁻¹ W C⁻¹ Wᵀ D⁻¹.  Raises ValueError where shapes do not fit.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _expands = ("loc", "cov_factor", "cov_diag")
    _keeps = ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril")

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        try:
            wide, self.cov_factor, wide_diag = broadcast_tensors(loc.unsqueeze(-1), cov_factor, cov_diag.unsqueeze(-1))
        except RuntimeError as error:
            shapes = f"loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            raise ValueError(f"Incompatible batch shapes: {shapes}") from error
        self.loc, self.cov_diag = wide[..., 0], wide_diag[..., 0]
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = cholesky(_one_more((cov_factor.mT / cov_diag.unsqueeze(-2)) @ cov_factor))
        super().__init__(self.loc.shape[:-1], event_shape, validate_args=validate_args)

    def _of(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        return (self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag).expand(self._extended_shape())

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance, √D chol(I + D^(−1/2) W Wᵀ D^(−1/2))."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        factor = self._unbroadcasted_cov_factor / root
        return self._of(root * cholesky(_one_more(factor @ factor.mT)))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        factor = self._unbroadcasted_cov_factor
        return self._of(factor @ factor.mT + self._unbroadcasted_cov_diag.diag_embed())

    def _whitened(self) -> Tensor:
        """A = L⁻¹ Wᵀ D⁻¹, L being the factor of C."""
        return solve_triangular(
            self._capacitance_tril, self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2), upper=False
        )

    @lazy_property
    def precision_matrix(self) -> Tensor:
        whitened = self._whitened()
        return self._of(self._unbroadcasted_cov_diag.reciprocal().diag_embed() - whitened.mT @ whitened)

    def _log_det(self) -> Tensor:
        """log det of the covariance."""
        return 2 * half_log_det(self._capacitance_tril) + self._unbroadcasted_cov_diag.log().sum(-1)

    def _mahalanobis(self, x: Tensor) -> Tensor:
        """xᵀ Σ⁻¹ x"""
        scaled = x / self._unbroadcasted_cov_diag
        return (x * scaled).sum(-1) - mahalanobis(self._capacitance_tril, matrix_vector(self._unbroadcasted_cov_factor.mT, scaled))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        common = standard_normal(shape[:-1] + self.cov_factor.shape[-1:], self.loc)
        own = standard_normal(shape, self.loc)
        return self.loc + matrix_vector(self._unbroadcasted_cov_factor, common) + self._unbroadcasted_cov_diag.sqrt() * own

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + self._log_det() + self._mahalanobis(value - self.loc))

    def entropy(self) -> Tensor:
        return (0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._log_det())).expand(self._batch_shape)
