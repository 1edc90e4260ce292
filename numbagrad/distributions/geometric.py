"""The geometric distribution."""

from __future__ import annotations

from typing import Any

from ..autograd import no_grad
from ..creation import zeros_like
from ..dtypes import finfo
from ..ops.elementwise import where
from ..ops.losses import binary_cross_entropy_with_logits
from ..tensor import Tensor
from . import constraints
from ._probability import OfProbability, exactly_one
from .utils import broadcast_all

__all__ = ["Geometric"]


class Geometric(OfProbability):
    """How many trials fail before the first that succeeds, each with probability p: P(k) = (1 − p)ᵏ p, k = 0, 1, ..."""

    support = constraints.nonnegative_integer
    _expands = ("probs", "logits")

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        exactly_one(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and probs is not None:
            positive = self.probs > 0
            if not bool(positive.all()):
                raise ValueError(
                    f"Expected parameter probs ({type(self.probs).__name__} of shape {tuple(self.probs.shape)}) of distribution {self!r} "
                    f"to be positive but found invalid values:\n{self.probs.detach()[~positive]}"
                )

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            u = self.probs.new_empty(self._extended_shape(sample_shape)).uniform_(finfo(self.probs.dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        fails = where((probs == 1) & (value == 0), 0.0, probs)  # 0 log 0 is 0
        return value * (-fails).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
