"""Transforms of vectors and matrices: to simplices, to factors of covariances and correlations, and several side by side."""

from __future__ import annotations

import math
from typing import Any, Sequence

from ..creation import eye
from ..dtypes import finfo
from ..linalg import cholesky
from ..ops.activations import logsigmoid, softplus
from ..ops.copy import cat, pad, stack
from ..tensor import Tensor
from . import constraints
from ._elementwise_transforms import _Plain, clipped_sigmoid
from ._transform import Transform
from .utils import sum_rightmost, tril_matrix_to_vec, vec_to_tril_matrix


def _needs(shape: Any, ndim: int) -> None:
    if len(shape) < ndim:
        raise ValueError("Too few dimensions on input")


# ---- simplices --------------------------------------------------------------------------------------------------------------------


class SoftmaxTransform(_Plain):
    """y = softmax(x); the inverse is taken to be log y, as one coordinate too many makes it no bijection."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        weights = (x - x.amax(-1, keepdim=True)).exp()
        return weights / weights.sum(-1, keepdim=True)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        _needs(shape, 1)
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(_Plain):
    """n numbers to n + 1 that sum to 1: each takes the part σ(xᵢ − log(n − i)) of what the ones before it have left (i = 0 ... n − 1).

    The shift makes x = 0 the centre of the simplex.
    """

    domain, codomain = constraints.real_vector, constraints.simplex
    bijective = True

    @staticmethod
    def _shift(like: Tensor, n: int) -> Tensor:
        """log(n − i) for i = 0 ... n − 1."""
        return (n + 1 - like.new_ones(n).cumsum(-1)).log()

    def _call(self, x: Tensor) -> Tensor:
        part = clipped_sigmoid(x - self._shift(x, x.shape[-1]))
        left = (1 - part).cumprod(-1)
        return pad(part, [0, 1], value=1) * pad(left, [1, 0], value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        taken = y[..., :-1]
        left = (1 - taken.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return taken.log() - left.log() + self._shift(y, taken.shape[-1])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - self._shift(x, x.shape[-1])
        return (-x + logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        _needs(shape, 1)
        return shape[:-1] + (shape[-1] + 1,)

    def inverse_shape(self, shape: Any) -> Any:
        _needs(shape, 1)
        return shape[:-1] + (shape[-1] - 1,)


# ---- matrices ---------------------------------------------------------------------------------------------------------------------


class LowerCholeskyTransform(_Plain):
    """A square matrix to a lower triangular one with a positive diagonal: the exponential of its diagonal, zeros above."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(_Plain):
    """A square matrix to a positive definite one: L Lᵀ with L = LowerCholeskyTransform()(x)."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(Transform):
    """n (n − 1)/2 numbers to the Cholesky factor of an n x n correlation matrix.

    Row by row, tanh(x) are partial correlations; each is multiplied by the length that the ones before it have left of the row's, 1.
    D. Lewandowski, D. Kurowicka, H. Joe, "Generating random correlation matrices based on vines and extended onion method" (2009).
    """

    domain, codomain = constraints.real_vector, constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        eps = finfo(x.dtype).eps
        partial = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - partial**2).sqrt().cumprod(-1)
        partial = partial + eye(partial.shape[-1], dtype=x.dtype, device=x.device)
        return partial * pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        left = pad((1 - (y * y).cumsum(-1))[..., :-1], [1, 0], value=1)
        partial = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()
        return (partial.log1p() - (-partial).log1p()) / 2

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        # Element (i, j) is tanh(x) times the square root of what is left after column j − 1: hence the diagonal below.
        left = tril_matrix_to_vec(1 - (y * y).cumsum(-1), diag=-2)
        slope_of_tanh = -2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)
        return 0.5 * left.log().sum(-1) + slope_of_tanh

    def forward_shape(self, shape: Any) -> Any:
        _needs(shape, 1)
        n = round((0.25 + 2 * shape[-1]) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != shape[-1]:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return shape[:-1] + (n, n)

    def inverse_shape(self, shape: Any) -> Any:
        _needs(shape, 2)
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return shape[:-2] + (shape[-1] * (shape[-1] - 1) // 2,)


# ---- several side by side ---------------------------------------------------------------------------------------------------------


class _Several(Transform):
    """Transforms of parts of a tensor along ``dim``."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0):
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size=cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)

    def _check_dim(self, name: str, value: Tensor) -> None:
        if not -value.dim() <= self.dim < value.dim():
            raise AssertionError(f"dim {self.dim} out of range for {name} with {value.dim()} dimensions")

    def _check_size(self, name: str, value: Tensor, size: int, what: str) -> None:
        if value.shape[self.dim] != size:
            raise AssertionError(f"{name}.size({self.dim}) = {value.shape[self.dim]} must equal {what} {size}")


class CatTransform(_Several):
    """``tseq[i]`` of ``lengths[i]`` elements (1 each by default), one after the other along ``dim``."""

    _settings = ("transforms", "dim", "lengths")

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0):
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})")

    @property
    def event_dim(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        return sum(self.lengths)

    def _parts(self, name: str, value: Tensor, kind: str = "tensor") -> list[Tensor]:
        self._check_dim(kind, value)
        self._check_size(name, value, self.length, "length")
        starts = [sum(self.lengths[:i]) for i in range(len(self.lengths))]
        return [value.narrow(self.dim, start, length) for start, length in zip(starts, self.lengths)]

    def _call(self, x: Tensor) -> Tensor:
        return cat([t(part) for t, part in zip(self.transforms, self._parts("x", x))], dim=self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return cat([t.inv(part) for t, part in zip(self.transforms, self._parts("y", y))], dim=self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        pieces = zip(self.transforms, self._parts("x", x, "x"), self._parts("y", y, "y"))
        terms = [sum_rightmost(t.log_abs_det_jacobian(a, b), self.event_dim - t.event_dim) for t, a, b in pieces]
        dim = (self.dim - x.dim() if self.dim >= 0 else self.dim) + self.event_dim
        if dim < 0:
            return cat(terms, dim=dim)
        total = terms[0]  # the parts lie within the event
        for term in terms[1:]:
            total = total + term
        return total

    @constraints.dependent_property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @constraints.dependent_property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)


class StackTransform(_Several):
    """``tseq[i]`` of slice i along ``dim``."""

    _settings = ("transforms", "dim")

    def _slices(self, name: str, value: Tensor, kind: str = "tensor") -> Sequence[Tensor]:
        self._check_dim(kind, value)
        self._check_size(name, value, len(self.transforms), "len(transforms)")
        return value.unbind(self.dim)

    def _call(self, x: Tensor) -> Tensor:
        return stack([t(part) for t, part in zip(self.transforms, self._slices("x", x))], dim=self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return stack([t.inv(part) for t, part in zip(self.transforms, self._slices("y", y))], dim=self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        pieces = zip(self.transforms, self._slices("x", x, "x"), self._slices("y", y, "y"))
        return stack([t.log_abs_det_jacobian(a, b) for t, a, b in pieces], dim=self.dim)

    @constraints.dependent_property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @constraints.dependent_property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.codomain for t in self.transforms], self.dim)
