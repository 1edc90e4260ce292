"""QR decompositions, and the products of Householder reflectors that they are made of.  A CUDA tensor is decomposed on the host and brought back.

The reflectors H = I − τ·v·vᴴ are taken together as H₁·…·Hₖ = I − V·T·Vᴴ with T upper triangular: R. Schreiber and C. Van Loan, "A storage-efficient
WY representation for products of Householder transformations", 1989.
"""

from __future__ import annotations

from typing import Any

from ...kernels.linalg import decompositions, on_host
from ...tensor import Tensor
from .._along import named_result
from .._arguments import result_into
from .._attach import public
from .._operation import differentiable
from .._out import results_into
from ..copy import cat
from ._common import diagonal_matrix, diagonal_of, identity, matrices, real_of
from .solve import product, solve_triangular

_Result, _OldResult, _PackedResult = named_result("linalg_qr", "Q", "R"), named_result("qr", "Q", "R"), named_result("geqrf", "a", "tau")


def _qr_rule(g_Q: Any, g_R: Any, Q: Tensor, R: Tensor, mode: str) -> Tensor:
    """(gQ + Q·M)·R⁻ᴴ with the Hermitian M whose lower triangle is that of R·gRᴴ − gQᴴ·Q, for as many rows as columns or more.

    S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum experimental design", 2010.
    """
    if mode == "r":
        raise RuntimeError(
            "linalg_qr_backward: The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, mode='reduced')."
        )
    if Q.shape[-1] != R.shape[-1]:
        raise RuntimeError("linalg_qr_backward: The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
    inner: Any = R @ g_R.mH if g_R is not None else 0
    if g_Q is not None:
        inner = inner - g_Q.mH @ Q
    lower = inner.tril(-1)
    slope = Q @ (lower + lower.mH + diagonal_matrix(real_of(diagonal_of(inner))))
    if g_Q is not None:
        slope = slope + g_Q
    return solve_triangular(R.mH, slope, upper=False, left=False)


_qr = differentiable("linalg_qr", on_host(decompositions.qr), results=("Q", "R"), differentiable_results=("Q", "R"), a=_qr_rule)
_geqrf = differentiable("geqrf", on_host(decompositions.geqrf), results=("a", "tau"))


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """(Q, R) of matrices [..., m, n]: A = Q·R with Qᴴ·Q = I and R upper triangular.

    ``mode``: "reduced", Q [..., m, k] and R [..., k, n] with k = min(m, n); "complete", Q [..., m, m] and R [..., m, n], which has no gradient for m > n;
    "r", R alone and an empty Q, without a gradient.  The gradient needs the first k columns of A to be independent.
    Raises RuntimeError for another mode, and for other shapes and dtypes.
    """
    matrices("linalg.qr", A=A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    m, n = A.shape[-2:]
    if m >= n or mode == "r":
        return results_into(out, _Result(*_qr(A, mode)))
    # The first m columns determine Q.
    Q, R = _qr(A[..., :m], "reduced")
    return results_into(out, _Result(Q, cat((R, Q.mH @ A[..., m:]), -1)))


@public(name="qr")
def _old_qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """The older form of ``linalg.qr``: reduced, or complete if not ``some``."""
    return results_into(out, _OldResult(*qr(input, "reduced" if some else "complete")))


@public
def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """(a, tau) of matrices [..., m, n]: R in the upper triangle of ``a`` and below it the reflectors whose product is Q, as LAPACK packs them.  Without a
    gradient."""
    matrices("geqrf", input=input)
    return results_into(out, _PackedResult(*_geqrf(input)))


def _reflectors(op: str, A: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """V [..., m, k] and T [..., k, k] with H₁·…·Hₖ = I − V·T·Vᴴ, of what ``geqrf`` returns.  Raises RuntimeError for other shapes."""
    matrices(op, input=A)
    m, n = A.shape[-2:]
    k = tau.shape[-1] if tau.ndim else 0
    if m < n:
        raise RuntimeError(f"{op}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if n < k:
        raise RuntimeError(f"{op}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if A.ndim - tau.ndim != 1:
        raise RuntimeError(
            f"{op}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and input.ndim is equal to {A.ndim}"
        )
    if tuple(A.shape[:-2]) != tuple(tau.shape[:-1]):
        raise RuntimeError(
            f"{op}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(tau.shape[:-1])} and {list(A.shape[:-2])}"
        )
    if tau.dtype != A.dtype:
        raise RuntimeError(f"{op}: tau dtype {tau.dtype} does not match input dtype {A.dtype}")
    V = A[..., :k].tril(-1) + identity(m, A)[:, :k]
    # T⁻¹ = diag(1/τ) + U, U the strict upper triangle of Vᴴ·V: written without dividing by τ, which may be 0.
    above = (V.mH @ V).triu(1) * tau.unsqueeze(-2)  # type: ignore[attr-defined]
    return V, solve_triangular(above, diagonal_matrix(tau), upper=True, left=False, unitriangular=True)


@public(name="orgqr")
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first n columns [..., m, n] of H₁·…·Hₖ for reflectors in A [..., m, n] and tau [..., k], as ``geqrf`` returns them.

    Raises RuntimeError unless m ≥ n ≥ k and the batches are the same.
    """
    V, T = _reflectors("linalg.householder_product", A, tau)
    n = A.shape[-1]
    return result_into(out, identity(A.shape[-2], A)[:, :n] - product(V, T, V[..., :n, :].mH))


@public
def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Q·other, or other·Q if not ``left``; with ``transpose`` Qᴴ takes the place of Q = H₁·…·Hₖ [..., m, m], whose reflectors ``geqrf`` returns."""
    if input.ndim < 2:
        raise RuntimeError("ormqr: input must have at least 2 dimensions.")
    if other.ndim < 2:
        raise RuntimeError("ormqr: other must have at least 2 dimensions.")
    side = -2 if left else -1
    if other.shape[side] < tau.shape[-1]:
        raise RuntimeError(f"ormqr: other.shape[{side}] must be greater than or equal to tau.shape[-1]")
    if other.shape[side] != input.shape[-2]:
        raise RuntimeError(f"ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if input.ndim - tau.ndim != 1:
        raise RuntimeError(
            f"ormqr: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and input.ndim is equal to {input.ndim}"
        )
    if input.ndim != other.ndim:
        raise RuntimeError(
            f"ormqr: Expected other to have the same number of dimensions as input, but got other.ndim equal to {other.ndim} and input.ndim is "
            f"equal to {input.ndim}"
        )
    for name, x, batch in (("tau", tau, tau.shape[:-1]), ("other", other, other.shape[:-2])):
        if tuple(batch) != tuple(input.shape[:-2]):
            raise RuntimeError(
                f"ormqr: Expected batch dimensions of {name} to be equal to input.shape[:-2], but got {list(batch)} and {list(input.shape[:-2])}"
            )
        if x.dtype != input.dtype:
            raise RuntimeError(
                f"ormqr: Expected input and {name} to have the same dtype, but input has dtype {input.dtype} and {name} {x.dtype}"
            )
    k = tau.shape[-1]
    V, T = _reflectors("ormqr", input[..., :k], tau)
    T = T.mH if transpose else T
    change = product(V, T, V.mH @ other) if left else product(other @ V, T, V.mH)
    return result_into(out, other - change)
