"""The LKJ distribution of Cholesky factors of correlation matrices."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import no_grad
from ..creation import arange
from ..dtypes import finfo
from ..ops.copy import cat
from ..ops.random import randn
from ..tensor import Tensor
from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Lower Cholesky factors L of n x n correlation matrices M of density det(M)^(η−1), up to a factor; n = ``dim``, η = ``concentration``.

    η = 1 is uniform, more favours the identity.  Samples are made row by row, the "onion" method of D. Lewandowski, D. Kurowicka, H. Joe,
    "Generating random correlation matrices based on vines and extended onion method" (2009).  Raises ValueError for ``dim`` below 2.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _expands = ("concentration", "_beta")
    _keeps = ("dim",)

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # The squared length of row i below the diagonal is a beta number; that of row 0 is of no consequence.
        row = arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        row = cat([row.new_zeros((1,)), row])
        self._beta = Beta(0.5 * row + 0.5, (self.concentration + 0.5 * (dim - 2)).unsqueeze(-1) - 0.5 * row)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            length = self._beta.sample(sample_shape).unsqueeze(-1)
            shape = tuple(self._extended_shape(sample_shape))
            direction = randn(shape, dtype=length.dtype, device=length.device).tril(-1)
            norm = direction.pow(2).sum(-1, keepdim=True).sqrt()
            below = length.sqrt() * direction / norm.clamp(min=finfo(norm.dtype).tiny)  # row 0 has nothing there
            diagonal = (1 - below.pow(2).sum(-1)).clamp(min=finfo(below.dtype).tiny).sqrt()
            return below + diagonal.diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        row = arange(2, self.dim + 1, device=self.concentration.device)
        powers = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - row
        below = self.dim - 1
        top = self.concentration + 0.5 * below
        normalizer = 0.5 * below * math.log(math.pi) + (top - 0.5).mvlgamma(below) - top.lgamma() * below
        return (powers * diagonal.log()).sum(-1) - normalizer
