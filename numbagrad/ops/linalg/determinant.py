"""Determinants and their logarithms.  A CUDA tensor is computed on the host and brought back to its device."""

from __future__ import annotations

from typing import Any

from ...kernels.linalg import decompositions, on_host
from ...tensor import Tensor
from .._along import named_result
from .._arguments import result_into
from .._attach import public
from .._operation import differentiable
from .._out import results_into
from ..elementwise import where
from ._common import diagonal_matrix, diagonal_of, identity, square
from .lu import _lu, lu_solve
from .solve import _solve
from .spectral import svd

_SlogdetResult = named_result("linalg_slogdet", "sign", "logabsdet")


def _own_rows(pivots: Tensor) -> Tensor:
    """What pivots are where no rows were exchanged: 1, 2, ..., n."""
    return pivots.new_ones(pivots.shape).cumsum(-1)  # type: ignore[attr-defined]


def _products_of_others(s: Tensor) -> Tensor:
    """For each element of ``s`` [..., n] the product of all the others, without a division."""
    n = s.shape[-1]
    rows = where(identity(n, s).bool(), 1, s.unsqueeze(-2).expand(*s.shape[:-1], n, n))  # type: ignore[attr-defined]
    return rows.prod(-1)


def _det_rule(g: Tensor, a: Tensor) -> Tensor:
    """g·(adj a)ᴴ, which is g·conj(det a)·a⁻ᴴ; of a singular matrix from its singular values, products of which replace the quotients.

    The determinant is that of the LU decomposition which is solved with: of a nearly singular matrix both have the same error, which cancels.
    """
    if not a.numel():
        return a * 0
    LU, pivots, _ = _lu(a)
    exchanges = (pivots != _own_rows(pivots)).sum(-1)  # type: ignore[attr-defined]
    determinant = diagonal_of(LU).prod(-1) * (1 - 2 * (exchanges % 2))  # type: ignore[attr-defined]
    if (determinant != 0).all().item():
        scale = (g * determinant.conj()).unsqueeze(-1).expand(a.shape[:-1])
        return lu_solve(LU, pivots, diagonal_matrix(scale), adjoint=True)
    u, s, vh = svd(a)
    scale = (g * (det(u) * det(vh)).conj()).unsqueeze(-1)
    return (u * (scale * _products_of_others(s)).unsqueeze(-2)) @ vh


def _slogdet_rule(g_sign: Any, g_logarithm: Any, sign: Tensor, a: Tensor) -> Tensor:
    """w·a⁻ᴴ, where Re w is the gradient of the logarithm, and Im w that of the angle of a complex sign."""
    w = sign.real * 0 if g_logarithm is None and sign.is_complex() else sign * 0 if g_logarithm is None else g_logarithm  # type: ignore[attr-defined]
    if sign.is_complex() and g_sign is not None:
        w = w - 1j * (g_sign.conj() * sign).imag
    w = w.to(a.dtype).unsqueeze(-1).expand(a.shape[:-1])
    return _solve(a.mH, diagonal_matrix(w))[0]  # type: ignore[attr-defined]


_det = differentiable("linalg_det", on_host(decompositions.det), a=_det_rule)
_slogdet = differentiable(
    "linalg_slogdet",
    on_host(decompositions.slogdet),
    results=("sign", "logarithm"),
    differentiable_results=("sign", "logarithm"),
    a=_slogdet_rule,
)


@public
def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinants [...] of square matrices [..., n, n], float or complex; that of [0, 0] is 1.  Raises RuntimeError for other shapes and dtypes."""
    square("linalg.det", A=A)
    return result_into(out, _det(A))


@public
def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """(sign, logabsdet) [...] with det(A) = sign·exp(logabsdet), without overflow; (0, -inf) for a singular matrix.  The gradient of a singular one is an
    error, as is that of its inverse."""
    square("linalg.slogdet", A=A)
    return results_into(out, _SlogdetResult(*_slogdet(A)))


@public
def logdet(input: Tensor) -> Tensor:
    """log det [...]: -inf for a singular matrix, NaN for a real one with a negative determinant."""
    square("logdet", input=input)
    sign, logarithm = slogdet(input)
    if sign.is_complex():
        return sign.log() + logarithm
    return where(sign == -1, float("nan"), logarithm)
