"""LU and LDL decompositions, and what is solved with them.  A CUDA tensor is computed on the host and brought back to its device.

Gradients: F. de Hoog, R. Anderssen, M. Lukas, "Differentiation of matrix functionals using triangular factorization", 2011, for square matrices; the
rows (columns) beyond the square are the solution of a triangular system with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels import _dtypes
from ...kernels.linalg import indefinite, on_host, triangular
from ...tensor import Tensor
from .._along import named_result
from .._arguments import result_into
from .._attach import public
from .._operation import differentiable
from .._out import results_into
from ..copy import cat
from ._common import batch_of, identity, matrices, raise_first, square
from .solve import solve_triangular

_LuResult = named_result("linalg_lu", "P", "L", "U")
_FactorResult, _FactorExResult = (
    named_result("linalg_lu_factor", "LU", "pivots"),
    named_result("linalg_lu_factor_ex", "LU", "pivots", "info"),
)
_UnpackResult = named_result("lu_unpack", "P", "L", "U")
_LdlResult, _LdlExResult = named_result("linalg_ldl_factor", "LD", "pivots"), named_result("linalg_ldl_factor_ex", "LD", "pivots", "info")


def _factors(lu: Tensor) -> tuple[Tensor, Tensor]:
    """L [..., m, k] with its ones and U [..., k, n] of packed ``lu`` [..., m, n], k = min(m, n)."""
    m, n = lu.shape[-2:]
    k = min(m, n)
    return lu[..., :k].tril(-1) + identity(m, lu)[:, :k], lu[..., :k, :].triu()


def _lu_rule(g_lu: Tensor, lu: Tensor, pivots: Tensor) -> Tensor:
    """P·L⁻ᴴ·[strict lower triangle of Lᴴ·gL + upper triangle of gU·Uᴴ]·U⁻ᴴ."""
    m, n = lu.shape[-2:]
    k = min(m, n)
    L, U = _factors(lu)
    g_L, g_U = g_lu[..., :k].tril(-1), g_lu[..., :k, :].triu()
    L1, U1, g_L1, g_U1 = L[..., :k, :], U[..., :k], g_L[..., :k, :], g_U[..., :k]
    below = right = None
    if m > k:  # L₂ = A₂·U⁻¹
        below = solve_triangular(U1.mH, g_L[..., k:, :], upper=False, left=False)
        g_U1 = g_U1 - L[..., k:, :].mH @ below
    if n > k:  # U₂ = L⁻¹·A₂
        right = solve_triangular(L1.mH, g_U[..., k:], upper=True, unitriangular=True)
        g_L1 = g_L1 - right @ U[..., k:].mH
    slope = (L1.mH @ g_L1).tril(-1) + (g_U1 @ U1.mH).triu()
    slope = solve_triangular(U1.mH, slope, upper=False, left=False)
    slope = solve_triangular(L1.mH, slope, upper=True, unitriangular=True)
    if below is not None:
        slope = cat((slope, below), -2)
    if right is not None:
        slope = cat((slope, right), -1)
    return _permutation(pivots, m, lu.dtype.numpy) @ slope


_lu = differentiable("linalg_lu_factor_ex", on_host(triangular.lu_factor), results=("lu", "pivots", "info"), a=_lu_rule)


def _permutation_matrix(pivots: np.ndarray, m: int, dtype: np.dtype) -> np.ndarray:
    """P [..., m, m] that undoes the exchanges: column i has its one in row order[i]."""
    return (np.arange(m)[:, None] == triangular.permutation(pivots, m)[..., None, :]).astype(dtype)


_permutation = differentiable("lu_unpack", on_host(_permutation_matrix))


def _factored(op: str, A: Tensor, pivot: bool) -> tuple[Tensor, Tensor, Tensor]:
    matrices(op, A=A)
    if not pivot:
        raise RuntimeError(f"{op}: LU without pivoting is not implemented on the CPU")
    return _lu(A)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(LU, pivots, info): see ``lu_factor``; info [...] is 0, or i where U[i, i], counted from 1, is the first zero on the diagonal."""
    found = _factored("linalg.lu_factor_ex", A, pivot)
    if check_errors:
        _raise_zero("linalg.lu_factor_ex", found[2])
    return results_into(out, _FactorExResult(*found))


def _raise_zero(op: str, info: Tensor) -> None:
    raise_first(
        op,
        info,
        "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the factorization, "
        "consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)",
    )


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(LU, pivots) of matrices [..., m, n]: A = P·L·U with partial pivoting, L below the diagonal of LU without its ones and U above; row i was exchanged
    with row pivots[i], counted from 1.

    Raises LinAlgError for a zero on the diagonal of U, RuntimeError for other shapes and dtypes and without pivoting.
    """
    LU, pivots, info = _factored("linalg.lu_factor", A, pivot)
    _raise_zero("linalg.lu_factor", info)
    return results_into(out, _FactorResult(LU, pivots))


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(P, L, U) of matrices [..., m, n]: A = P·L·U, P [..., m, m] a permutation, L [..., m, k] with ones on its diagonal, U [..., k, n], k = min(m, n).

    Raises RuntimeError for other shapes and dtypes and without pivoting.
    """
    LU, pivots, _ = _factored("linalg.lu", A, pivot)
    return results_into(out, _LuResult(_permutation(pivots, A.shape[-2], A._data.dtype), *_factors(LU)))


@public(name="lu")
def _old_lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """(LU, pivots), and info with ``get_infos``: the older form of ``linalg.lu_factor_ex``."""
    found = _factored("lu", A, pivot)
    return results_into(out, found if get_infos else found[:2])


@public(method=False)
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *, out: Any = None) -> Any:
    """(P, L, U) of what ``linalg.lu_factor`` returns; empty tensors in the place of what is not asked for."""
    matrices("lu_unpack", LU_data=LU_data)
    if unpack_pivots and LU_pivots._data.dtype != _dtypes.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
            "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    empty = LU_data.detach().new_empty((0,))  # type: ignore[attr-defined]
    P = _permutation(LU_pivots, LU_data.shape[-2], LU_data._data.dtype) if unpack_pivots else empty
    L, U = _factors(LU_data) if unpack_data else (empty, empty)
    return results_into(out, _UnpackResult(P, L, U))


def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False, out: Tensor | None = None) -> Tensor:
    """X with A·X = B (X·A = B if not ``left``), A (Aᴴ with ``adjoint``) what ``lu_factor`` decomposed into LU [..., n, n] and pivots [..., n]; B is
    [..., n, k] or [..., k, n], and batches broadcast.

    Raises RuntimeError for shapes and dtypes that do not fit.
    """
    square("linalg.lu_solve", LU=LU)
    matrices("linalg.lu_solve", LU=LU, B=B)
    if pivots._data.dtype != _dtypes.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    if LU.shape[-1] != B.shape[-2 if left else -1]:
        raise RuntimeError(
            f"linalg.lu_solve: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({LU.shape[-2]}x{LU.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    if tuple(pivots.shape) != tuple(LU.shape[:-1]):
        raise RuntimeError(
            f"linalg.lu_solve: Number of pivots per batch should be same as the dimension of the matrix, but got {list(pivots.shape)} for {list(LU.shape)}"
        )
    batch_of(LU.shape, B.shape)
    if not left:
        return result_into(out, lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH)  # type: ignore[attr-defined]
    P = _permutation(pivots, LU.shape[-2], LU._data.dtype)
    if adjoint:
        half = solve_triangular(LU.mH, B, upper=False)  # type: ignore[attr-defined]
        return result_into(out, P @ solve_triangular(LU.mH, half, upper=True, unitriangular=True))  # type: ignore[attr-defined]
    half = solve_triangular(LU, P.mT @ B, upper=False, unitriangular=True)
    return result_into(out, solve_triangular(LU, half, upper=True))


@public(name="lu_solve")
def _old_lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The older form of ``linalg.lu_solve``: A·X = b."""
    return lu_solve(LU_data, LU_pivots, b, out=out)


# ---- symmetric indefinite matrices --------------------------------------------------------------------------------------------------

_ldl = differentiable("linalg_ldl_factor_ex", on_host(indefinite.ldl_factor), results=("ld", "pivots", "info"))
_ldl_solve = differentiable("linalg_ldl_solve", on_host(indefinite.ldl_solve))


def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """(LD, pivots, info): see ``ldl_factor``; info [...] is 0, or i where D[i, i], counted from 1, is zero."""
    square("linalg.ldl_factor_ex", A=A)
    found = _ldl(A, bool(hermitian))
    if check_errors:
        raise_first("linalg.ldl_factor_ex", found[2], _ZERO_BLOCK)
    return results_into(out, _LdlExResult(*found))


_ZERO_BLOCK = "The factorization could not be completed because the input matrix is singular: D[{0},{0}] is zero, and would be divided by in ldl_solve."


def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """(LD, pivots) of symmetric, or with ``hermitian`` Hermitian, matrices [..., n, n], of which the lower triangle is read: A = P·L·D·Lᵀ·Pᵀ, D of blocks of
    1 or 2, packed and with pivots as LAPACK's ``sytrf``.  By SciPy, which has to be installed (ImportError); without a gradient.
    """
    square("linalg.ldl_factor", A=A)
    LD, pivots, info = _ldl(A, bool(hermitian))
    raise_first("linalg.ldl_factor", info, _ZERO_BLOCK)
    return results_into(out, _LdlResult(LD, pivots))


def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Tensor | None = None) -> Tensor:
    """X [..., n, k] with A·X = B for what ``ldl_factor`` returned of A; batches broadcast.  By SciPy; without a gradient."""
    square("linalg.ldl_solve", LD=LD)
    matrices("linalg.ldl_solve", LD=LD, B=B)
    if LD.shape[-1] != B.shape[-2]:
        raise RuntimeError(
            f"linalg.ldl_solve: Incompatible shapes of LD and B for the equation AX = B ({LD.shape[-2]}x{LD.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    if tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise RuntimeError(
            f"linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape {list(pivots.shape)} instead"
        )
    if pivots._data.dtype.kind not in "iu":
        raise RuntimeError(f"linalg.ldl_solve: Expected pivots to be integers. Got {pivots.dtype}")
    batch_of(LD.shape, B.shape)
    return result_into(out, _ldl_solve(LD, pivots, B, bool(hermitian)))
