"""Weights of a given norm, of spectral norm 1, and orthogonal ones, as parametrizations.

Salimans and Kingma, "Weight normalization", 2016; Miyato et al., "Spectral normalization for generative adversarial networks", 2018; Lezcano-Casado,
"Trivializations for gradient-based optimization on manifolds", 2019.
"""

from __future__ import annotations

from typing import Any

from ... import linalg
from ...autograd.mode import no_grad
from ...creation import eye
from ...ops.copy import cat
from ...ops.random import randn
from ...tensor import Tensor
from .. import functional as F
from ..modules.module import Module
from .parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _matrix(weight: Any, dim: int) -> Any:
    """``weight`` with dimension ``dim`` as rows and all others together as columns."""
    return weight.movedim(dim, 0).flatten(1)


def norm_except_dim(v: Any, dim: int | None) -> Any:
    """The 2-norm over all dimensions but ``dim`` (over all of them where it is None or -1), which stays with the others of size 1."""
    if dim is None or dim == -1:
        return v.norm()
    place = dim % v.ndim
    others = tuple(i for i in range(v.ndim) if i != place)
    return linalg.vector_norm(v, dim=others, keepdim=True) if others else v.abs()


class _WeightNorm(Module):
    """g · v / ‖v‖, g and v its originals."""

    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = dim

    def forward(self, g: Any, v: Any) -> Any:
        return v * (g / norm_except_dim(v, self.dim))

    def right_inverse(self, weight: Any) -> Any:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Write a parameter as g · v / ‖v‖, the norm over all dimensions but ``dim`` (None: over all); g is ``original0`` and v ``original1``."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """weight / σ, σ the greatest singular value of the weight as a matrix, estimated by one more step of power iteration per call in training."""

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = _matrix(weight.detach(), self.dim)
            rows, columns = matrix.shape
            self.register_buffer("_u", F.normalize(matrix.new_empty(rows).normal_(0, 1), dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(matrix.new_empty(columns).normal_(0, 1), dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _iterate(self, matrix: Any, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._u = F.normalize(matrix.mv(self._v), dim=0, eps=self.eps)
                self._v = F.normalize(matrix.mH.mv(self._u), dim=0, eps=self.eps)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = _matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        return weight / self._u.vdot(matrix.mv(self._v))

    def right_inverse(self, value: Any) -> Any:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Divide a parameter by its greatest singular value, with dimension ``dim`` as rows (default: 0; 1 for transposed convolutions)."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


class _Orthogonal(Module):
    """A matrix with orthonormal columns (rows, of a wide one) from one without constraints."""

    def __init__(self, weight: Any, orthogonal_map: str, use_trivialization: bool):
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape, self.orthogonal_map, self.trivialized = weight.shape, orthogonal_map, use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        wide = x.shape[-2] < x.shape[-1]
        if wide:
            x = x.mT
        q = self._reflected(x) if self.orthogonal_map == "householder" else self._rotated(x)
        if self.trivialized:
            q = self.base @ q
        return q.mT if wide else q

    def _reflected(self, x: Any) -> Any:
        """The product of the Householder reflections of the columns below the diagonal, whose signs the diagonal gives."""
        a = x.tril(-1)
        q = linalg.householder_product(a, 2.0 / (1.0 + (a * a).sum(-2)))
        return q * x.detach().diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    def _rotated(self, x: Any) -> Any:
        """exp(A), or its Cayley transform (1 - A/2)⁻¹(1 + A/2), of the skew-symmetric A with the lower triangle of x."""
        n, k = x.shape[-2:]
        x = x.tril()
        if n != k:
            x = cat([x, x.new_zeros((*x.shape[:-1], n - k))], -1)
        a = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            q = linalg.matrix_exp(a)
        else:
            one = eye(n, dtype=a.dtype, device=a.device)
            q = linalg.solve(one - 0.5 * a, one + 0.5 * a)
        return q[..., :k]

    def right_inverse(self, q: Any) -> Any:
        """Make ``q``, with its columns made orthonormal, the base from which things start."""
        if q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {q.shape}.")
        if not self.trivialized:
            raise NotImplementedError("It is not possible to assign to an orthogonal parametrization with use_trivialization=False.")
        with no_grad():
            start = q.new_zeros(q.shape)
            start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # under every map that is the identity, up to the sign of the base
            if q.shape[-2] < q.shape[-1]:
                q = q.mT
            n, k = q.shape[-2:]
            if n != k:
                q = cat([q, randn(*q.shape[:-1], n - k, dtype=q.dtype, device=q.device)], -1)
            basis, r = linalg.qr(q)
            self.base = basis * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
            return start


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True) -> Module:
    """Keep a matrix (or batch of them) orthogonal: by ``orthogonal_map`` "matrix_exp", "cayley" or "householder".

    Default: "matrix_exp" for square and complex ones, else "householder".  Starts from the present value, its columns made orthonormal.  Without
    ``use_trivialization`` the map is not taken at a base, and nothing can be assigned.  Raises ValueError for vectors and other maps.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] or weight.is_complex() else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}')
    return register_parametrization(module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)
