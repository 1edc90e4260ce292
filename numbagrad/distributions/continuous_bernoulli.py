"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import no_grad
from ..creation import ones_like, zeros_like
from ..ops.elementwise import where
from ..ops.losses import binary_cross_entropy_with_logits
from ..ops.random import rand
from ..tensor import Tensor
from . import constraints
from ._probability import OfProbability, exactly_one
from .exp_family import ExponentialFamily
from .utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(OfProbability, ExponentialFamily):
    """p(x) = C(λ) λˣ (1 − λ)¹⁻ˣ on [0, 1], given by ``probs``, λ, or ``logits``; C(λ) = 2 artanh(1 − 2λ) / (1 − 2λ).

    λ is not the mean.  Between ``lims`` what has (1 − 2λ) below the line is computed by Taylor series.
    G. Loaiza-Ganem and J. P. Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational autoencoders" (2019).
    """

    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0
    _expands = ("probs", "logits")
    _keeps = ("_lims",)

    def __init__(
        self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501), validate_args: bool | None = None
    ):
        exactly_one(probs, logits)
        if probs is not None:
            (given,) = broadcast_all(probs)
            if validate_args is not None and not bool(constraints.unit_interval.check(given).all()):
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(given)
        else:
            (self.logits,) = broadcast_all(logits)
        self._lims = lims
        super().__init__(self._param.shape, validate_args=validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _stable(self) -> Tensor:
        """Where the formulas hold as they are: away from λ = 1/2."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Tensor:
        """λ where the formulas hold, and elsewhere a number that does not trouble them."""
        return where(self._stable(), self.probs, self._lims[0])

    def _log_norm(self) -> Tensor:
        """log C(λ)"""
        cut = self._cut()
        low = where(cut <= 0.5, cut, 0.0)
        high = where(cut >= 0.5, cut, 1.0)
        log_width = where(cut <= 0.5, (-2.0 * low).log1p(), (2.0 * high - 1.0).log())
        exact = ((-cut).log1p() - cut.log()).abs().log() - log_width
        x = (self.probs - 0.5).pow(2)
        return where(self._stable(), exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Tensor:
        cut = self._cut()
        exact = cut / (2.0 * cut - 1.0) + 1.0 / ((-cut).log1p() - cut.log())
        x = self.probs - 0.5
        return where(self._stable(), exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def variance(self) -> Tensor:
        cut = self._cut()
        exact = cut * (cut - 1.0) / (1.0 - 2.0 * cut).pow(2) + 1.0 / ((-cut).log1p() - cut.log()).pow(2)
        x = (self.probs - 0.5).pow(2)
        return where(self._stable(), exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def _uniform(self, sample_shape: Any) -> Tensor:
        return rand(tuple(self._extended_shape(sample_shape)), dtype=self.probs.dtype, device=self.probs.device)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return self.icdf(self._uniform(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none") + self._log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        cut = self._cut()
        exact = (cut.pow(value) * (1.0 - cut).pow(1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0)
        inside = where(self._stable(), exact, value)
        return where(value <= 0.0, zeros_like(inside), where(value >= 1.0, ones_like(inside), inside))

    def icdf(self, value: Tensor) -> Tensor:
        cut = self._cut()
        log_rest = (-cut).log1p()
        exact = ((-cut + value * (2.0 * cut - 1.0)).log1p() - log_rest) / (cut.log() - log_rest)
        return where(self._stable(), exact, value)

    def entropy(self) -> Tensor:
        log_rest = (-self.probs).log1p()
        return self.mean * (log_rest - self.probs.log()) - self._log_norm() - log_rest

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        (x,) = natural_params
        stable = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = where(stable, x, self._lims[0] - 0.5)
        exact = cut.expm1().abs().log() - cut.abs().log()
        return where(stable, exact, 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0)
