"""The Wishart distribution."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..creation import arange, eye, tensor
from ..dtypes import finfo
from ..linalg import slogdet
from ..ops.random import randn
from ..ops.views import broadcast_shapes
from ..size import Size
from ..tensor import Tensor
from . import constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import OfCovariance, half_log_det
from .utils import NUMBERS, lazy_property

__all__ = ["Wishart"]

_LOG_2 = math.log(2)


class Wishart(OfCovariance, ExponentialFamily):
    """The distribution of G Gᵀ, G having ν columns of covariance Σ, for any ν = ``df`` above n − 1:

    p(X) = det X^((ν−n−1)/2) exp(−tr(Σ⁻¹X)/2) / (2^(νn/2) det Σ^(ν/2) Γₙ(ν/2)), of positive definite n x n matrices.

    Σ is given as one of ``covariance_matrix``, ``precision_matrix`` (its inverse) and ``scale_tril`` (its Cholesky factor); AssertionError unless one is.
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _expands = ("df", "covariance_matrix", "precision_matrix", "scale_tril", "_chi2")
    _keeps = ("_unbroadcasted_scale_tril", "_side")

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        matrices = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        number = isinstance(df, NUMBERS)
        batch_shape = Size(broadcast_shapes(matrix.shape[:-2], () if number else df.shape))
        self.df = (tensor(df, dtype=matrix.dtype, device=matrix.device) if number else df).expand(batch_shape)
        side = self._side = matrix.shape[-1]
        if bool((self.df <= side - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {side - 1}.")
        if bool((self.df < side).any()):
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.", stacklevel=2)
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = self._factor(covariance_matrix, precision_matrix, scale_tril)
        self._chi2 = Chi2(self.df.unsqueeze(-1) - arange(side, dtype=matrix.dtype, device=matrix.device))

    @property
    def arg_constraints(self) -> Any:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    @lazy_property
    def precision_matrix(self) -> Tensor:
        factor = self._unbroadcasted_scale_tril
        return self._of(eye(self._side, dtype=factor.dtype, device=factor.device).expand(factor.shape).cholesky_solve(factor))

    @property
    def _df(self) -> Tensor:
        """ν as a factor of matrices."""
        return self.df.reshape(self._batch_shape + (1, 1))

    @property
    def mean(self) -> Tensor:
        return self._df * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self._df - self._side - 1
        return factor.masked_fill(factor <= 0, math.nan) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        return self._df * (covariance.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _drawn(self, sample_shape: Size) -> Tensor:
        """L A Aᵀ Lᵀ, A being lower triangular with chi numbers on its diagonal and normal ones below it.

        M. S. Bartlett, "On the theory of statistical regression" (1933).
        """
        diagonal = self._chi2.rsample(sample_shape).sqrt()
        diagonal = diagonal.clamp(min=finfo(diagonal.dtype).eps)
        shape = tuple(self._extended_shape(sample_shape))
        below = randn(shape, dtype=diagonal.dtype, device=diagonal.device).tril(-1)
        root = self._unbroadcasted_scale_tril @ (diagonal.diag_embed() + below)
        return root @ root.mT

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Tensor:
        """Samples; those that rounding made singular are drawn again, ``max_try_correction`` (10) times at most, with a warning."""
        sample_shape = Size(sample_shape)
        sample = self._drawn(sample_shape)
        for turn in range(10 if max_try_correction is None else max_try_correction):
            singular = ~self.support.check(sample)
            if not bool(singular.any()):
                break
            if turn == 0:
                warnings.warn("Singular sample detected.", stacklevel=2)
            again = self._drawn(sample_shape)
            keep = (~singular).to(sample.dtype).unsqueeze(-1).unsqueeze(-1)
            sample = sample * keep + again * (1 - keep)
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nu, n, factor = self.df, self._side, self._unbroadcasted_scale_tril
        trace = value.cholesky_solve(factor.expand(value.shape)).diagonal(dim1=-2, dim2=-1).sum(-1)
        normalizer = nu * (n * _LOG_2 / 2 + half_log_det(factor)) + (nu / 2).mvlgamma(n)
        return (nu - n - 1) / 2 * slogdet(value).logabsdet - trace / 2 - normalizer

    def entropy(self) -> Tensor:
        nu, n = self.df, self._side
        halves = arange(n, dtype=nu.dtype, device=nu.device) / 2
        mean_log = ((nu / 2).unsqueeze(-1) - halves).digamma().sum(-1)
        scale = (n + 1) * (n * _LOG_2 / 2 + half_log_det(self._unbroadcasted_scale_tril))
        return scale + (nu / 2).mvlgamma(n) - (nu - n - 1) / 2 * mean_log + nu * n / 2

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._side - 1) / 2

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        (x, y), n = natural_params, self._side
        power = y + (n + 1) / 2
        return power * (n * _LOG_2 - slogdet(-2 * x).logabsdet) + power.mvlgamma(n)
