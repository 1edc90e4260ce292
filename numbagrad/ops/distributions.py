"""Tensors refilled with numbers of further distributions, made of uniform and normal ones: cauchy_, geometric_, log_normal_."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from ..autograd.mode import no_grad
from ..generator import Generator
from ..kernels.copy import copy_into
from ..tensor import Tensor
from ._attach import public
from .random import _done, _refilled


def _refill(self: Tensor, op: str, draw: Any, integers: bool = False) -> Tensor:
    """``self`` filled with what ``draw`` makes of a tensor of its shape, in float32 or, for float64 and integers, in float64."""
    if not self.is_floating_point() and not (integers and self.dtype.name.startswith(("int", "uint"))):
        raise NotImplementedError(f"\"{op}\" not implemented for '{self.dtype.title}'")
    data = _refilled(self, op)
    wide = dtypes.float32 if data.dtype.kind == "f" and data.dtype.itemsize < 8 or self.dtype is dtypes.bfloat16 else dtypes.float64
    with no_grad():
        copy_into(data, draw(self.new_empty(self.shape, dtype=wide))._data)  # type: ignore[attr-defined]
    return _done(self)


@public(function=False)
def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of density σ / (π ((x - median)² + σ²)): median + σ tan(π(u - ½)) with u uniform on [0, 1).

    Raises RuntimeError unless ``sigma`` is positive, NotImplementedError for a dtype that is not floating.
    """
    if not sigma > 0.0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return _refill(self, "cauchy_", lambda x: x.uniform_(-0.5, 0.5, generator=generator).mul_(math.pi).tan_().mul_(sigma).add_(median))


@public(function=False)
def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exp(mean + std z), z standard normal.

    Raises RuntimeError unless ``std`` is positive, NotImplementedError for a dtype that is not floating.
    """
    if not std > 0.0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    return _refill(self, "log_normal_", lambda x: x.normal_(mean, std, generator=generator).exp_())


@public(function=False)
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with k = 1, 2, ... of probability (1 - p)^(k-1) p: ceil(-e / log(1 - p)) with e of density exp(-e).

    Raises RuntimeError for p outside (0, 1), NotImplementedError for bool and complex dtypes.
    """
    if not 0.0 < p < 1.0:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    return _refill(self, "geometric_", lambda x: x.exponential_(generator=generator).div_(-math.log1p(-p)).ceil_(), True)
