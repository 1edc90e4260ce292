"""Dropout layers: what is dropped is an element, or a whole channel."""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from .. import functional as F
from .module import Module


class _Dropout(Module):
    """In training ``function`` with probability p; else the identity."""

    function: Any = None

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, each element zero with probability p and the rest scaled by 1 / (1 − p) (Srivastava et al., 2014)"""

    function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L)"""

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """Dropout of whole channels of (N, C, H, W) or (C, H, W)"""

    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)"""

    function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropout):
    """``functional.alpha_dropout``, which keeps mean 0 and variance 1 (Klambauer et al., 2017)"""

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(_Dropout):
    """``functional.feature_alpha_dropout``: ``AlphaDropout`` of whole channels"""

    function = staticmethod(F.feature_alpha_dropout)
