"""The binomial distribution."""

from __future__ import annotations

from typing import Any

from ..autograd import no_grad
from ..ops.samplers import binomial
from ..tensor import Tensor
from . import constraints
from ._probability import OfProbability, exactly_one
from .utils import broadcast_all

__all__ = ["Binomial"]


def counted(total_count: Any, probs: Any, logits: Any) -> tuple[Tensor, Tensor]:
    """The number of trials and the parameter that was given, of one shape and dtype."""
    exactly_one(probs, logits)
    total, parameter = broadcast_all(total_count, logits if probs is None else probs)
    return total.type_as(parameter), parameter


class Binomial(OfProbability):
    """How many of n = ``total_count`` trials succeed, each with probability p: P(k) = C(n, k) pᵏ (1 − p)ⁿ⁻ᵏ."""

    arg_constraints = {"total_count": constraints.nonnegative_integer, **OfProbability.arg_constraints}
    has_enumerate_support = True
    _expands = ("total_count", "probs", "logits")

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.total_count, parameter = counted(total_count, probs, logits)
        setattr(self, "logits" if probs is None else "probs", parameter)
        super().__init__(parameter.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:  # type: ignore[override]
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        # n log(1 + exp(logit)); the slope of the first part at 0 is 1/2, as it has to be.
        positive_part = (logits.clamp(min=0) + logits - logits.clamp(max=0)) / 2
        normalizer = n * (positive_part + (-logits.abs()).exp().log1p()) - (n + 1).lgamma()
        return value * logits - (value + 1).lgamma() - (n - value + 1).lgamma() - normalizer

    def _one_count(self, op: str) -> int:
        largest = int(self.total_count.max())
        if int(self.total_count.min()) != largest:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{op}`.")
        return largest

    def entropy(self) -> Tensor:
        self._one_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._integers(1 + self._one_count("enumerate_support"), expand)
