"""Approximate singular values of large matrices of low rank, by random projections.

N. Halko, P. G. Martinsson, J. Tropp, "Finding structure with randomness: probabilistic algorithms for constructing approximate matrix
decompositions", 2009, algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from .._arguments import tensors_of
from .._attach import public
from ..random import randn_like
from ._common import floating
from .orthogonal import qr
from .spectral import svd


def _range(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """Q [..., m, q] with orthonormal columns that nearly span the range of A − M."""

    def centred(X: Tensor) -> Tensor:
        return A @ X if M is None else A @ X - M @ X

    def adjoint(X: Tensor) -> Tensor:
        return A.mH @ X if M is None else A.mH @ X - M.mH @ X  # type: ignore[attr-defined]

    start = randn_like(A.detach().new_empty((*A.shape[:-2], A.shape[-1], q)))  # type: ignore[attr-defined]
    Q = qr(centred(start)).Q
    for _ in range(niter):
        Q = qr(adjoint(Q)).Q
        Q = qr(centred(Q)).Q
    return Q


@public(method=False)
def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V) with A − M ≈ U·diag(S)·Vᴴ of matrices [..., m, n]: U [..., m, q], S [..., q], V [..., n, q]; M broadcasts to A.

    ``q`` is a little more than the rank that is sought; each of ``niter`` iterations makes the result more exact.
    """
    tensors_of("svd_lowrank", A=A)
    floating("svd_lowrank", A)
    q, niter = 6 if q is None else q, 2 if niter is None else niter
    m, n = A.shape[-2:]
    if M is not None:
        M = M.expand(A.shape)  # type: ignore[attr-defined]
    wide = m < n  # the projections are of the longer side
    if wide:
        A, M = A.mH, None if M is None else M.mH  # type: ignore[attr-defined]
    Q = _range(A, q, niter, M)
    B = Q.mH @ A if M is None else Q.mH @ (A - M)  # type: ignore[attr-defined]
    U, S, Vh = svd(B, full_matrices=False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if wide else (U, S, V)


@public(method=False)
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """``svd_lowrank`` of A [..., m, n] with the mean of its columns taken off, or as it is if not ``center``; the columns of V are the principal directions.

    ``q`` is min(6, m, n) if not given.  Raises ValueError unless 0 ≤ q ≤ min(m, n) and 0 ≤ niter.
    """
    tensors_of("pca_lowrank", A=A)
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if not niter >= 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    floating("pca_lowrank", A)
    centre: Any = A.mean(-2, True) if center else None  # type: ignore[attr-defined]
    return svd_lowrank(A if centre is None else A - centre, q, niter)
