"""Eigenvalues and singular values.  A CUDA tensor is computed on the host and brought back to its device.

Eigenvectors and singular vectors are given up to a factor of modulus 1, so only functions of them that do not depend on it have a
gradient; for complex ones that is checked.  The gradients divide by differences of eigenvalues (of squares of singular values), so they are
infinite or NaN where two are the same.  M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation",
2008, sections 3.1 and 3.2; for complex matrices Z. Wan and S. Zhang, "Automatic differentiation for complex valued SVD", 2019.
"""

from __future__ import annotations

from typing import Any

from ...kernels.linalg import decompositions, on_host
from ...tensor import Tensor
from .._along import named_result
from .._arguments import is_recorded, result_into
from .._attach import public
from .._operation import differentiable
from .._out import results_into
from ._common import diagonal_matrix, diagonal_of, identity, matrices, real_of, square, without_diagonal
from .solve import _solve

_EighResult, _EigResult = (named_result(f"linalg_{name}", "eigenvalues", "eigenvectors") for name in ("eigh", "eig"))
_SvdResult, _OldSvdResult = named_result("linalg_svd", "U", "S", "Vh"), named_result("svd", "U", "S", "V")


def _check_gauge(op: str, phase: Tensor, vectors: str) -> None:
    """Raise RuntimeError where a function depends on the phases of ``vectors``: then ``phase``, its derivative by them, is not 0."""
    if phase.numel() and phase.detach().abs().max().item() > 1e-2:  # type: ignore[attr-defined]
        raise RuntimeError(
            f"{op}: The {vectors} in the complex case are specified up to multiplication by e^{{i phi}}. The specified loss function depends on "
            "this quantity, so it is ill-defined."
        )


def _gaps(x: Tensor) -> Tensor:
    """x[j] − x[i], with ones on the diagonal."""
    return x.unsqueeze(-2) - x.unsqueeze(-1) + identity(x.shape[-1], x)  # type: ignore[attr-defined]


def _eigh_rule(g_values: Any, g_vectors: Any, values: Tensor, vectors: Tensor) -> Tensor:
    if g_vectors is None:
        return (vectors * g_values.unsqueeze(-2)) @ vectors.mH
    inner = vectors.mH @ g_vectors
    if inner.is_complex():
        _check_gauge("linalg_eigh_backward", diagonal_of(inner).imag, "eigenvectors")
    slope = 0.5 * without_diagonal(inner - inner.mH) / _gaps(values)  # the slope along Hermitian matrices
    if g_values is not None:
        slope = slope + diagonal_matrix(g_values)
    return vectors @ slope @ vectors.mH


def _eig_rule(g_values: Any, g_vectors: Any, values: Tensor, vectors: Tensor) -> Tensor:
    if g_vectors is None:
        return _solve(vectors.mH, g_values.unsqueeze(-1) * vectors.mH)[0]
    inner = vectors.mH @ g_vectors
    along = diagonal_of(inner)
    _check_gauge("linalg_eig_backward", along.imag, "eigenvectors")
    inner = inner - (vectors.mH @ vectors) * along.real.unsqueeze(-2)  # the vectors keep their length
    slope = without_diagonal(inner) / _gaps(values).conj()
    if g_values is not None:
        slope = slope + diagonal_matrix(g_values)
    return _solve(vectors.mH, slope @ vectors.mH)[0]


def _svd_rule(g_U: Any, g_S: Any, g_Vh: Any, U: Tensor, S: Tensor, Vh: Tensor) -> Tensor:
    k, m, n = S.shape[-1], U.shape[-2], Vh.shape[-1]
    # Of full matrices, what belongs to no singular value spans a space and is no more determined than that.
    U, Vh = U[..., :k], Vh[..., :k, :]
    g_U, g_Vh = None if g_U is None else g_U[..., :k], None if g_Vh is None else g_Vh[..., :k, :]
    if g_U is None and g_Vh is None:
        return (U * g_S.unsqueeze(-2)) @ Vh
    row, column = S.unsqueeze(-2), S.unsqueeze(-1)  # type: ignore[attr-defined]
    # sⱼ² − sᵢ², with ones on the diagonal
    gaps = (row - column) * (row + column) + identity(k, S)
    left = None if g_U is None else U.mH @ g_U  # type: ignore[attr-defined]
    right = None if g_Vh is None else Vh @ g_Vh.mH
    parts: list[Tensor] = []
    if left is not None:
        parts.append(without_diagonal(left - left.mH) / gaps * row)
    if right is not None:
        parts.append(column * (without_diagonal(right - right.mH) / gaps))
    if g_S is not None:
        parts.append(diagonal_matrix(g_S))
    if U.is_complex():
        turns = [diagonal_of(x).imag for x in (left, right) if x is not None]
        _check_gauge("svd_backward", sum(turns[1:], turns[0]), "singular vectors")
        if left is not None:
            parts.append(diagonal_matrix(1j * turns[0] / S))
    slope = U @ sum(parts[1:], parts[0])
    if left is not None and m > k:
        slope = slope + (g_U - U @ left) / row
    slope = slope @ Vh
    if right is not None and n > k:
        slope = slope + U @ ((g_Vh - right.mH @ Vh) / column)
    return slope


_eigh = differentiable(
    "linalg_eigh",
    on_host(decompositions.eigh),
    results=("values", "vectors"),
    differentiable_results=("values", "vectors"),
    a=_eigh_rule,
)
_eig = differentiable(
    "linalg_eig", on_host(decompositions.eig), results=("values", "vectors"), differentiable_results=("values", "vectors"), a=_eig_rule
)
_svd = differentiable(
    "linalg_svd", on_host(decompositions.svd), results=("U", "S", "Vh"), differentiable_results=("U", "S", "Vh"), a=_svd_rule
)
# Without vectors, which a gradient would need.
_eigvalsh = differentiable("linalg_eigvalsh", on_host(decompositions.eigvalsh))
_eigvals = differentiable("linalg_eigvals", on_host(decompositions.eigvals))
_svdvals = differentiable("linalg_svdvals", on_host(decompositions.svdvals))


def _triangle(UPLO: str) -> str:
    if UPLO not in ("L", "U", "l", "u"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of Hermitian matrices [..., n, n]: A = Q·diag(Λ)·Qᴴ, Λ real and ascending.  Only the triangle ``UPLO`` is read.

    Raises LinAlgError where the iteration does not converge, RuntimeError for other shapes and dtypes.
    """
    square("linalg.eigh", A=A)
    return results_into(out, _EighResult(*_eigh(A, _triangle(UPLO))))


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues [..., n] of ``eigh``; their gradient needs no distances between them."""
    square("linalg.eigvalsh", A=A)
    return result_into(out, _eigh(A, _triangle(UPLO))[0] if is_recorded(A) else _eigvalsh(A, _triangle(UPLO)))


def eig(A: Tensor, *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors), complex, of square matrices [..., n, n]: A·V = V·diag(Λ), columns of V of norm 1.

    Raises LinAlgError for infinities and NaN and where the iteration does not converge, RuntimeError for other shapes and dtypes.
    """
    square("linalg.eig", A=A)
    return results_into(out, _EigResult(*_eig(A)))


def eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues [..., n] of ``eig``, in no particular order."""
    square("linalg.eigvals", A=A)
    return result_into(out, _eig(A)[0] if is_recorded(A) else _eigvals(A))


def _no_driver(op: str, driver: str | None) -> None:
    if driver is not None:
        raise RuntimeError(f"{op}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """(U, S, Vh) of matrices [..., m, n]: A = U·diag(S)·Vh, S real and descending; U [..., m, m] and Vh [..., n, n], or [..., m, k] and [..., k, n] with
    k = min(m, n) if not ``full_matrices``.

    Raises LinAlgError where the iteration does not converge, RuntimeError for other shapes and dtypes and for a ``driver``, which PyTorch has on GPUs.
    """
    matrices("linalg.svd", A=A)
    _no_driver("linalg.svd", driver)
    return results_into(out, _SvdResult(*_svd(A, bool(full_matrices))))


def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values [..., min(m, n)] of ``svd``; their gradient needs no distances between them."""
    matrices("linalg.svdvals", A=A)
    _no_driver("linalg.svdvals", driver)
    return result_into(out, real_of(_svd(A, False)[1] if is_recorded(A) else _svdvals(A)))


@public(name="svd")
def svd_with_v(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """(U, S, V): the older form of ``linalg.svd``, with V instead of its conjugate transpose.  Zeros for U and V if not ``compute_uv``."""
    matrices("linalg.svd", A=input)
    if not compute_uv:
        m, n = input.shape[-2:]
        empty = [input.detach().new_zeros((*input.shape[:-2], size, size)) for size in (m, n)]  # type: ignore[attr-defined]
        return results_into(out, _OldSvdResult(empty[0], svdvals(input), empty[1]))
    U, S, Vh = _svd(input, not some)
    return results_into(out, _OldSvdResult(U, S, Vh.mH))
