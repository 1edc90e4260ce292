"""The Cholesky decomposition and what is solved with it.  A CUDA tensor is computed on the host and brought back to its device."""

from __future__ import annotations

from typing import Any

from ...kernels.linalg import decompositions, on_host, triangular
from ...tensor import Tensor
from .._along import named_result
from .._arguments import result_into
from .._attach import public
from .._operation import differentiable
from .._out import results_into
from ._common import batch_of, identity, matrices, raise_first, square
from .solve import solve_triangular

_Result = named_result("linalg_cholesky_ex", "L", "info")


def _lower_rule(g: Tensor, lower: Tensor) -> Tensor:
    """L⁻ᴴ·Φ·L⁻¹, where Φ is half of the lower triangle of Lᴴ·g and its mirror image: I. Murray, "Differentiation of the Cholesky decomposition", 2016."""
    product = (lower.mH @ g.tril()).tril()
    middle = 0.5 * (product + product.tril(-1).mH)
    left = solve_triangular(lower.mH, middle, upper=True)
    return solve_triangular(lower, left, upper=False, left=False)


_cholesky = differentiable(
    "linalg_cholesky_ex",
    on_host(decompositions.cholesky),
    results=("y", "info"),
    a=lambda g, y, upper: _lower_rule(g.mH, y.mH) if upper else _lower_rule(g, y),
)


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """(L, info): see ``cholesky``; info [...] is 0, or, where L is NaN, the order of the leading minor that is not positive-definite."""
    square("linalg.cholesky", A=A)
    factor, info = _cholesky(A, bool(upper))
    if check_errors:
        raise_first(
            "linalg.cholesky",
            info,
            "The factorization could not be completed because the input is not positive-definite (the leading minor of order {} is not "
            "positive-definite).",
        )
    return results_into(out, _Result(factor, info))


def cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """L with A = L·Lᴴ, lower triangular, of Hermitian positive-definite matrices [..., n, n], or Lᴴ with ``upper``.  Only that triangle of A is read.

    The gradient is that of a Hermitian A.  Raises LinAlgError where A is not positive-definite, RuntimeError for other shapes and dtypes.
    """
    return result_into(out, cholesky_ex(A, upper=upper, check_errors=True).L)


@public(name="cholesky")
def _old_cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The older form of ``linalg.cholesky``."""
    return cholesky(input, upper=upper, out=out)


def _solve_l_rule(g: Tensor, y: Tensor, l: Tensor, upper: bool) -> Tensor:
    slope = _cholesky_solve(g, l, upper) @ y.mH  # type: ignore[attr-defined]
    slope = slope + slope.mH
    return -(l @ slope) if upper else -(slope @ l)


_cholesky_solve = differentiable(
    "cholesky_solve",
    on_host(triangular.cholesky_solve),
    b=lambda g, l, upper: _cholesky_solve(g, l, upper),
    l=_solve_l_rule,
)


@public
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """X with A·X = B for A = L·Lᴴ (Lᴴ·L with ``upper``), of B [..., n, k] and L [..., n, n], whose batches broadcast.

    The other triangle of L is not read, but the gradient is that of a whole L, as PyTorch's.  Raises RuntimeError for shapes and dtypes that do not fit.
    """
    square("cholesky_solve", L=L)
    matrices("cholesky_solve", L=L, B=B)
    if L.shape[-1] != B.shape[-2]:
        raise RuntimeError(
            f"cholesky_solve: Incompatible matrix sizes for cholesky_solve: each A matrix is {L.shape[-1]} by {L.shape[-1]} but each b matrix is "
            f"{B.shape[-2]} by {B.shape[-1]}"
        )
    batch_of(L.shape, B.shape)
    return result_into(out, _cholesky_solve(B, L, bool(upper)))


@public
def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """(L·Lᴴ)⁻¹, or (Lᴴ·L)⁻¹ with ``upper``, of triangular matrices [..., n, n]; see ``cholesky_solve``."""
    square("cholesky_inverse", A=L)
    return result_into(out, _cholesky_solve(identity(L.shape[-1], L), L, bool(upper)))
