"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

from ..creation import eye
from ..linalg import cholesky, solve_triangular
from ..ops.views import broadcast_shapes
from ..size import Size
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


def matrix_vector(matrix: Tensor, vector: Tensor) -> Tensor:
    """matrix @ vector, over batches that broadcast."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def mahalanobis(factor: Tensor, vector: Tensor) -> Tensor:
    """|L⁻¹ x|² of lower triangular L and vectors x, over batches that broadcast."""
    if factor.dim() == 2:  # one matrix for all: the vectors side by side
        columns = vector.reshape(-1, vector.shape[-1]).T
        return solve_triangular(factor, columns, upper=False).pow(2).sum(0).reshape(vector.shape[:-1])
    return solve_triangular(factor, vector.unsqueeze(-1), upper=False).pow(2).sum((-2, -1))


def half_log_det(factor: Tensor) -> Tensor:
    """log det L of lower triangular L."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """The lower L with (L Lᵀ)⁻¹ = P, without inverting P: from the Cholesky factor of P with its rows and columns in reverse."""
    reverse = cholesky(precision.flip((-2, -1)))
    inverse = reverse.flip((-2, -1)).mT
    identity = eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return solve_triangular(inverse, identity.expand(precision.shape), upper=False)


class OfCovariance(Distribution):
    """What is given by a covariance matrix, its inverse or its Cholesky factor L: the two others follow when they are asked for."""

    _unbroadcasted_scale_tril: Tensor
    _side: int  # of the matrices

    def _of(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + (self._side, self._side))

    @lazy_property
    def scale_tril(self) -> Tensor:
        return self._of(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        factor = self._unbroadcasted_scale_tril
        return self._of(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return self._of(self._unbroadcasted_scale_tril.cholesky_inverse())

    def _factor(self, covariance_matrix: Any, precision_matrix: Any, scale_tril: Any) -> Tensor:
        """L of the one that was given."""
        if scale_tril is not None:
            return scale_tril
        return cholesky(covariance_matrix) if covariance_matrix is not None else precision_to_scale_tril(precision_matrix)


class MultivariateNormal(OfCovariance):
    """p(x) = exp(−(x − μ)ᵀ Σ⁻¹ (x − μ)/2) / √((2π)ⁿ det Σ), μ = ``loc`` of n elements and one of three n x n matrices:
    Σ = ``covariance_matrix``, Σ⁻¹ = ``precision_matrix``, or ``scale_tril``, lower triangular L with Σ = L Lᵀ, which is quickest.

    Raises ValueError unless one of them is given, or where there are too few dimensions.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True
    _expands = ("loc", "covariance_matrix", "precision_matrix", "scale_tril")
    _keeps = ("_unbroadcasted_scale_tril", "_side")

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            what = name if name.endswith("matrix") else f"{name} matrix"
            raise ValueError(f"{what} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = Size(broadcast_shapes(matrix.shape[:-2], loc.shape[:-1]))
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        self.loc = loc.expand(batch_shape + (-1,))
        self._side = self.loc.shape[-1]
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = self._factor(covariance_matrix, precision_matrix, scale_tril)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._extended_shape())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.loc + matrix_vector(self._unbroadcasted_scale_tril, standard_normal(self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        factor = self._unbroadcasted_scale_tril
        return -0.5 * (self._side * math.log(2 * math.pi) + mahalanobis(factor, value - self.loc)) - half_log_det(factor)

    def entropy(self) -> Tensor:
        return (0.5 * self._side * (1.0 + math.log(2 * math.pi)) + half_log_det(self._unbroadcasted_scale_tril)).expand(self._batch_shape)
