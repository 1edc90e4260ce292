"""What the distributions share that are given by a probability or by its logit, and those that are given by several."""

from __future__ import annotations

from typing import Any

from ..creation import arange
from ..size import Size
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import lazy_property, logits_to_probs, probs_to_logits


def exactly_one(probs: Any, logits: Any) -> None:
    """Raises ValueError unless one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class OfProbability(Distribution):
    """A distribution with ``probs``, p, or ``logits``, log(p / (1 − p)): that which is not given follows from the other."""

    arg_constraints: Any = {"probs": constraints.unit_interval, "logits": constraints.real}

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def _param(self) -> Tensor:
        """The one that was given."""
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    @property
    def param_shape(self) -> Size:
        return self._param.shape

    def _integers(self, count: int, expand: bool) -> Tensor:
        """0 ... count − 1 along a new first dimension."""
        values = arange(count, dtype=self._param.dtype, device=self._param.device).reshape(-1, *[1] * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values


class OfCategories(Distribution):
    """A distribution made of a ``Categorical``, ``_categorical``, whose ``probs`` and ``logits`` are its own."""

    arg_constraints: Any = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _categorical: Any

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def param_shape(self) -> Size:
        return self._categorical.param_shape
