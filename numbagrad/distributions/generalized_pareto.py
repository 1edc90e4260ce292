"""The generalised Pareto distribution."""

from __future__ import annotations

import math
from typing import Any

from ..ops.elementwise import where
from ..ops.random import rand
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """F(x) = 1 − (1 + ξ z)^(−1/ξ), z = (x − μ)/σ ≥ 0, with μ = ``loc``, σ = ``scale`` and ξ = ``concentration``; 1 − exp(−z) for ξ = 0."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True
    _expands = ("loc", "scale", "concentration")

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:  # type: ignore[override]
        upper = where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)

    def _shape(self) -> tuple[Tensor, Tensor]:
        """Where ξ is 0, to 1e-8, and ξ with ones there, where it is not used."""
        zero = self.concentration.abs() <= 1e-8
        return zero, where(zero, 1.0, self.concentration)

    def _scaled(self, value: Tensor) -> Tensor:
        return (value - self.loc) / self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(rand(tuple(self._extended_shape(sample_shape)), dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z, (zero, shape) = self._scaled(value), self._shape()
        power = 1 / shape + 1
        cost = where(power == 0, 0.0, power * (shape * z).log1p())
        return -self.scale.log() - where(zero, z, cost)

    def log_survival_function(self, value: Tensor) -> Tensor:
        """log(1 − F(x))"""
        if self._validate_args:
            self._validate_sample(value)
        z, (zero, shape) = self._scaled(value), self._shape()
        return where(zero, -z, -(shape * z).log1p() / shape)

    def log_cdf(self, value: Tensor) -> Tensor:
        """log F(x)"""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        zero, shape = self._shape()
        log_rest = (-value).log1p()
        return where(zero, self.loc - self.scale * log_rest, self.loc + self.scale / shape * (-shape * log_rest).expm1())

    @property
    def mean(self) -> Tensor:
        known = self.concentration < 1
        shape = where(known, self.concentration, 0.5)
        return where(known, self.loc + self.scale / (1 - shape), math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        known = self.concentration < 0.5
        shape = where(known, self.concentration, 0.25)
        return where(known, self.scale**2 / ((1 - shape) ** 2 * (1 - 2 * shape)), math.nan)

    def entropy(self) -> Tensor:
        return self.scale.log() + self.concentration + 1
