"""The half-Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

from ..creation import as_tensor, full_like
from ..tensor import Tensor
from ._half import Half
from .cauchy import Cauchy

__all__ = ["HalfCauchy"]


class HalfCauchy(Half):
    """The distribution of |X| with X of ``Cauchy(0, scale)``."""

    _expands = ()

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(Cauchy(0, scale, validate_args=False), validate_args)

    @property
    def mean(self) -> Tensor:
        return full_like(self.scale, math.inf)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def log_prob(self, value: Any) -> Tensor:
        return super().log_prob(as_tensor(value, dtype=self.scale.dtype, device=self.scale.device))
