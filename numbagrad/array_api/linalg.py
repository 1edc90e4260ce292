"""The extension ``linalg`` of the standard."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import linalg as _linalg
from ..ops import FUNCTIONS
from ..tensor import Tensor
from ._elementwise import promoted
from ._reductions import sum as _sum

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose",
    "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip


class EighResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    sign: Tensor
    logabsdet: Tensor


class SVDResult(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor


def matmul(x1: Any, x2: Any, /) -> Tensor:
    """The matrix product."""
    return FUNCTIONS["matmul"](*promoted(x1, x2))


def matrix_transpose(x: Any, /) -> Tensor:
    """The matrices of the last two axes, transposed.  Raises RuntimeError for fewer axes."""
    return x.mT


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Tensor:
    """The sum of products over ``axes``: so many last and first ones, or a list for each tensor."""
    return FUNCTIONS["tensordot"](*promoted(x1, x2), dims=axes)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Σ conj(x1) x2 along ``axis``."""
    return _linalg.vecdot(*promoted(x1, x2), dim=axis)


def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """L with L Lᴴ = x, or U with Uᴴ U = x."""
    return _linalg.cholesky(x, upper=upper)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """The cross product along ``axis``, whose size is 3; the other axes broadcast."""
    x1, x2 = promoted(x1, x2)
    if x1.ndim != x2.ndim:
        x1, x2 = FUNCTIONS["broadcast_tensors"](x1, x2)
    return _linalg.cross(x1, x2, dim=axis)


def det(x: Any, /) -> Tensor:
    """The determinant."""
    return _linalg.det(x)


def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """Diagonal ``offset`` of the matrices of the last two axes."""
    return _linalg.diagonal(x, offset=offset)


def eigh(x: Any, /) -> EighResult:
    """Eigenvalues and eigenvectors of Hermitian matrices."""
    return EighResult(*_linalg.eigh(x))


def eigvalsh(x: Any, /) -> Tensor:
    """The eigenvalues of Hermitian matrices."""
    return _linalg.eigvalsh(x)


def inv(x: Any, /) -> Tensor:
    """The inverse."""
    return _linalg.inv(x)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norm of the matrices of the last two axes."""
    return _linalg.matrix_norm(x, ord, keepdim=keepdims)


def matrix_power(x: Any, n: int, /) -> Tensor:
    """xⁿ"""
    return _linalg.matrix_power(x, n)


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Tensor:
    """How many singular values exceed ``rtol`` times the largest."""
    return _linalg.matrix_rank(x, rtol=rtol)


def outer(x1: Any, x2: Any, /) -> Tensor:
    """The products of every element of one vector with every element of the other."""
    return FUNCTIONS["outer"](*promoted(x1, x2))


def pinv(x: Any, /, *, rtol: Any = None) -> Tensor:
    """The Moore-Penrose inverse; singular values up to ``rtol`` times the largest count as zero."""
    return _linalg.pinv(x, rtol=rtol)


def qr(x: Any, /, *, mode: str = "reduced") -> QRResult:
    """x = Q R"""
    return QRResult(*_linalg.qr(x, mode))


def slogdet(x: Any, /) -> SlogdetResult:
    """Sign and logarithm of the determinant."""
    return SlogdetResult(*_linalg.slogdet(x))


def solve(x1: Any, x2: Any, /) -> Tensor:
    """The solution of x1 · solution = x2; ``x2`` is a vector only if it has one axis."""
    x1, x2 = promoted(x1, x2)
    return _linalg.solve(x1, x2.unsqueeze(-1)).squeeze(-1) if x2.ndim == 1 else _linalg.solve(x1, x2)


def svd(x: Any, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U diag(S) Vh"""
    return SVDResult(*_linalg.svd(x, full_matrices=full_matrices))


def svdvals(x: Any, /) -> Tensor:
    """The singular values."""
    return _linalg.svdvals(x)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of diagonal ``offset`` of the matrices of the last two axes."""
    return _sum(_linalg.diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """The norm of the vectors along ``axis`` (None: of all elements)."""
    return _linalg.vector_norm(x, ord, dim=axis, keepdim=keepdims)
