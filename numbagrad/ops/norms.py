"""Norms, the distances between all pairs of vectors, norms held below a bound, and the trace."""

from __future__ import annotations

from typing import Any

from ..autograd import casting
from ..kernels.reduce import normalize_dim, normalize_dims
from ..tensor import Tensor
from ._arguments import tensor_argument, tensors_of
from ._attach import public
from .elementwise import composed, where
from .linalg.norms import matrix_norm
from .reduce import _norm

_MANY = 25  # vectors from which on the distances of p = 2 come from a matrix product


@public(out=True)
def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """(Σ |x|^p)^(1/p) over ``dim``; p may be inf, -inf, 0 (the count of non-zeros), "fro" (2), or "nuc": the sum of the singular values of the
    matrices in the two dimensions ``dim``.  Its gradient at 0 is 0.

    Raises RuntimeError for integers and other orders.
    """
    if casting.active and dtype is None:
        (input,) = casting.arguments("norm", input)
    tensors_of("norm", input=input)
    x: Any = input
    if dtype is not None:
        x = x.to(dtype)
    if p is None or p == "fro":
        p = 2.0
    if p == "nuc":
        return _nuclear_norm(x, dim, keepdim)
    return _norm(x, p if isinstance(p, str) else float(p), normalize_dims("norm", dim, x._data.ndim), keepdim)


def _nuclear_norm(x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    if dim is None and x.ndim != 2:
        raise RuntimeError(f"norm: the nuclear norm is of a matrix, or of the two dimensions dim=; got a {x.ndim}D tensor")
    return matrix_norm(x, "nuc", (0, 1) if dim is None else dim, keepdim)


@public
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """‖input − other‖ₚ of all elements"""
    return (input - other).norm(p)  # type: ignore[operator]


@public(method=False)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """‖x1ᵢ − x2ⱼ‖ₚ of the rows of ``x1`` (..., P, M) and ``x2`` (..., R, M): (..., P, R); batches broadcast.  Its gradient where it is 0 is 0.

    ``compute_mode``: whether |a|² + |b|² − 2 a·b takes the place of |a − b|² for p = 2: ``"use_mm_for_euclid_dist"`` (always),
    ``"donot_use_mm_for_euclid_dist"`` (never), or by default for more than 25 rows; quicker, and less exact.

    Raises RuntimeError for vectors that do not fit, p < 0, and integers.
    """
    a: Any = tensor_argument(x1, "cdist", "x1")
    b: Any = tensor_argument(x2, "cdist", "x2")
    if a.ndim < 2 or b.ndim < 2:
        raise RuntimeError(f"cdist only supports at least 2D tensors, but got {a.ndim}D and {b.ndim}D")
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {a.shape[-1]} X2: {b.shape[-1]}")
    if not (a.is_floating_point() and b.is_floating_point()):
        raise RuntimeError(f"cdist only supports floating-point dtypes, but got {a.dtype.title} and {b.dtype.title}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    modes = {
        "use_mm_for_euclid_dist_if_necessary": 0,
        "use_mm_for_euclid_dist": 1,
        "donot_use_mm_for_euclid_dist": 2,
        None: 0,
        0: 0,
        1: 1,
        2: 2,
    }
    if compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    mode = modes[compute_mode]
    if p == 2 and (mode == 1 or (mode == 0 and max(a.shape[-2], b.shape[-2]) > _MANY)):
        return _euclidean(a, b)
    return (a.unsqueeze(-2) - b.unsqueeze(-3)).norm(p, -1)


def _euclidean(a: Any, b: Any) -> Any:
    """√(|a|² + |b|² − 2 a·b), whose gradient is taken as 0 where that is 0"""
    squares = (a * a).sum(-1, True) + (b * b).sum(-1, True).mT - 2 * (a @ b.mT)
    apart = squares.detach() > 0
    return where(apart, where(apart, squares, 1).sqrt(), 0)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """‖xᵢ − xⱼ‖ₚ of all pairs i < j of the rows of ``input`` (N, M): N (N − 1) / 2 distances.  Raises RuntimeError for other dimensions, p < 0 and integers."""
    x: Any = tensor_argument(input, "pdist", "input")
    if x.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {x.ndim}D")
    if not x.is_floating_point():
        raise RuntimeError(f"pdist only supports floating-point dtypes, but got {x.dtype.title}")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    upper = x.new_ones((x.shape[0], x.shape[0])).triu(1).nonzero()
    first, second = upper[:, 0], upper[:, 1]
    return (x[first] - x[second]).norm(p, -1)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """``input`` with each slice x[..., i, ...] along ``dim`` whose p-norm is more than ``maxnorm`` scaled to that.

    Raises RuntimeError for p ≤ 0, maxnorm < 0 and fewer than two dimensions.
    """
    x: Any = tensor_argument(input, "renorm", "input")
    if isinstance(p, complex) or p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if isinstance(maxnorm, complex) or maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if x.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {x.ndim} dimensions")
    d = normalize_dim(dim, x.ndim)
    norms = x.norm(p, tuple(i for i in range(x.ndim) if i != d), True)
    return x * where(norms > maxnorm, maxnorm / (norms + 1e-7), 1)


composed(renorm, "renorm")


@public
def trace(input: Tensor) -> Tensor:
    """Σ xᵢᵢ of a matrix.  Raises RuntimeError for other dimensions."""
    x: Any = tensor_argument(input, "trace", "input")
    if x.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got a tensor with {x.ndim} dimensions")
    return x.diagonal().sum()
