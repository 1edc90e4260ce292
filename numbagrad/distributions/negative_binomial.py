"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

from ..autograd import no_grad
from ..ops.activations import logsigmoid
from ..ops.samplers import poisson
from ..tensor import Tensor
from . import constraints
from ._probability import OfProbability
from .binomial import counted
from .gamma import Gamma
from .utils import lazy_property

__all__ = ["NegativeBinomial"]


class NegativeBinomial(OfProbability):
    """How many trials succeed, each with probability p, before r = ``total_count`` have failed: P(k) = Γ(r + k) / (k! Γ(r)) (1 − p)ʳ pᵏ."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    _expands = ("total_count", "probs", "logits")

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.total_count, parameter = counted(total_count, probs, logits)
        setattr(self, "logits" if probs is None else "probs", parameter)
        super().__init__(parameter.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    @lazy_property
    def _gamma(self) -> Gamma:
        # Without checks: a total count of 0 is fine here, and so is the rate that overflows for p near 1.
        return Gamma(concentration=self.total_count, rate=(-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        total = self.total_count
        powers = total * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normalizer = -(total + value).lgamma() + (1.0 + value).lgamma() + total.lgamma()
        return powers - normalizer.masked_fill(total + value == 0.0, 0.0)
