"""Decompositions and solutions by NumPy's LAPACK, with LAPACK's ``info`` where PyTorch returns it, which NumPy raises an error instead of."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from . import LinAlgError
from .triangular import lu_factor


def _each(function: Callable[..., np.ndarray], info: Callable[[np.ndarray], int], a: np.ndarray, *others: np.ndarray) -> tuple[Any, Any]:
    """``function`` of every matrix, and 0; where it fails, NaN and ``info``, which says why in LAPACK's way."""
    count = int(np.prod(a.shape[:-2]))
    flat = [x.reshape(count, *x.shape[-2:]) for x in (a, *others)]
    results, infos = np.full_like(flat[-1], np.nan), np.zeros(count, np.int32)
    for i, matrices in enumerate(zip(*flat)):
        try:
            results[i] = function(*matrices)
        except np.linalg.LinAlgError:
            infos[i] = info(matrices[0])
    return results.reshape(*a.shape[:-2], *results.shape[-2:]), infos.reshape(a.shape[:-2])


def _zero_pivot(a: np.ndarray) -> int:
    return int(lu_factor(a)[2]) or len(a)  # the last, where it is our rounding alone that finds none


def inv(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a⁻¹, info) of a [..., n, n]; info is LAPACK's ``getrf``'s: 0, or which pivot is zero, where a⁻¹ is NaN."""
    try:
        return np.linalg.inv(a), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        return _each(np.linalg.inv, _zero_pivot, a)


def solve(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, info) with a·x = b for a [..., n, n] and b [..., n, k], whose batches broadcast; info as that of ``inv``."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    b = np.broadcast_to(b, batch + b.shape[-2:])
    try:
        return np.linalg.solve(a, b), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        x, _ = _each(np.linalg.solve, _zero_pivot, np.broadcast_to(a, batch + a.shape[-2:]), b)
        return x, inv(a)[1]


def _indefinite_minor(a: np.ndarray) -> int:
    """The order of the first leading minor that is not positive: all before it are, so it is found by bisection."""
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            np.linalg.cholesky(a[:middle, :middle])
            low = middle
        except np.linalg.LinAlgError:
            high = middle
    return high


def cholesky(a: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """(l, info) with a = l·lᴴ, l lower triangular, of the lower triangle of a [..., n, n]; with ``upper`` lᴴ of the upper one.  info: 0, or the order
    of the leading minor that is not positive."""
    if upper:
        lower, info = cholesky(a.swapaxes(-1, -2).conj(), False)
        return np.ascontiguousarray(lower.swapaxes(-1, -2).conj()), info
    try:
        return np.linalg.cholesky(a), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        return _each(np.linalg.cholesky, _indefinite_minor, a)


def det(a: np.ndarray) -> np.ndarray:
    """The determinants [...] of a [..., n, n]."""
    return np.asarray(np.linalg.det(a), a.dtype)


def slogdet(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sign, logarithm of the modulus) [...] of the determinants of a [..., n, n]."""
    sign, logarithm = np.linalg.slogdet(a)
    return np.asarray(sign), np.asarray(logarithm)


def qr(a: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """(q, r) of a [..., m, n]; ``mode`` is NumPy's.  "r" has an empty q."""
    found: Any = np.linalg.qr(a, mode)  # type: ignore[call-overload]
    return (np.empty(0, a.dtype), found) if mode == "r" else (found[0], found[1])


def geqrf(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(reflectors and r, tau) of a [..., m, n], packed as LAPACK's ``geqrf`` does."""
    packed, tau = np.linalg.qr(a, "raw")
    return np.ascontiguousarray(packed.swapaxes(-1, -2)), tau


def _converges(op: str, function: Callable[[], Any], what: str) -> Any:
    try:
        return function()
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"{op}: The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated {what}."
        ) from None


def eigh(a: np.ndarray, uplo: str) -> tuple[np.ndarray, np.ndarray]:
    """(eigenvalues in ascending order, eigenvectors) of Hermitian a [..., n, n], of which the triangle ``uplo`` is read."""
    found = _converges("linalg.eigh", lambda: np.linalg.eigh(a, uplo), "eigenvalues")  # type: ignore[call-overload]
    return found[0], found[1]


def eigvalsh(a: np.ndarray, uplo: str) -> np.ndarray:
    """The first of ``eigh``."""
    return _converges("linalg.eigh", lambda: np.linalg.eigvalsh(a, uplo), "eigenvalues")  # type: ignore[call-overload]


def eig(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(eigenvalues, eigenvectors of norm 1), complex, of a [..., n, n].  Raises LinAlgError for infinities and NaN."""
    values, vectors = _eig(np.linalg.eig, a)
    return _as_complex(values, a), _as_complex(vectors, a)


def eigvals(a: np.ndarray) -> np.ndarray:
    """The first of ``eig``."""
    return _as_complex(_eig(np.linalg.eigvals, a), a)


def _eig(function: Callable[..., Any], a: np.ndarray) -> Any:
    if not np.isfinite(a).all():
        raise LinAlgError("linalg.eig: input tensor should not contain infs or NaNs.")
    return _converges("linalg.eig", lambda: function(a), "eigenvalues")


def _as_complex(x: np.ndarray, a: np.ndarray) -> np.ndarray:
    """NumPy returns real eigenvalues as such."""
    return x.astype(np.result_type(a.dtype, np.complex64), copy=False)


def svd(a: np.ndarray, full_matrices: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(u, s, vᴴ) of a [..., m, n], s in descending order."""
    return tuple(_converges("linalg.svd", lambda: np.linalg.svd(a, full_matrices), "singular values"))  # type: ignore[return-value]


def svdvals(a: np.ndarray) -> np.ndarray:
    """The second of ``svd``."""
    return _converges("linalg.svd", lambda: np.linalg.svd(a, compute_uv=False), "singular values")


def pinv(a: np.ndarray, atol: np.ndarray, rtol: np.ndarray, hermitian: bool) -> np.ndarray:
    """The pseudoinverse [..., n, m] of a [..., m, n]: singular values up to max(atol, rtol·σ₁) count as zero.  Of the lower triangle of a ``hermitian`` one."""
    if hermitian:
        values, right = eigh(a, "L")
        left, s = right * np.sign(values)[..., None, :], np.abs(values)
        right = right.conj().swapaxes(-1, -2)
    else:
        left, s, right = svd(a, False)
    if not s.shape[-1]:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    kept = s > np.maximum(atol, rtol * s.max(-1))[..., None]
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
    return (right.conj().swapaxes(-1, -2) * inverse[..., None, :]) @ left.conj().swapaxes(-1, -2)


def lstsq(a: np.ndarray, b: np.ndarray, rcond: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, rank, singular values) of least |x| among those of least |a·x − b|, for a [..., m, n] and b [..., m, k] with the same batch; singular values
    up to rcond·σ₁ count as zero."""
    *batch, m, n = a.shape
    count = int(np.prod(batch))
    x, rank, s = np.zeros((count, n, b.shape[-1]), a.dtype), np.zeros(count, np.int64), np.zeros((count, min(m, n)), a.real.dtype)
    for i, (one, right) in enumerate(zip(a.reshape(count, m, n), b.reshape(count, *b.shape[-2:]))):
        if one.size:
            x[i], _, rank[i], s[i] = np.linalg.lstsq(one, right, rcond)
    return x.reshape(*batch, *x.shape[-2:]), rank.reshape(batch), s.reshape(*batch, s.shape[-1])


# The Padé approximant r = q(−x)⁻¹·q(x) of degree 13: the coefficients of q, and the 1-norm of x up to which r is exact to rounding in float64.
# N. Higham, "The scaling and squaring method for the matrix exponential revisited", 2005, table 2.3.
_PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800, 33522128640,
    1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
_PADE_LIMIT = 5.371920351148152


def matrix_exp(a: np.ndarray) -> np.ndarray:
    """exp(a) of a [..., n, n]: a Padé approximant of a / 2ˢ, squared s times.  In double precision: each squaring doubles the error."""
    if not a.size:
        return a.copy()
    norm = np.abs(a).sum(-2).max(-1)
    finite = np.isfinite(norm)
    squarings = np.ceil(np.log2(np.maximum(np.where(finite, norm, 0) / _PADE_LIMIT, 1))).astype(int)
    x = np.where(finite[..., None, None], a, 0).astype(np.result_type(a, np.float64)) * (0.5**squarings)[..., None, None]
    even, odd = np.zeros_like(x), np.zeros_like(x)
    power, square = np.broadcast_to(np.eye(a.shape[-1]), x.shape), x @ x
    for c_even, c_odd in zip(_PADE[::2], _PADE[1::2]):
        even += c_even * power
        odd += c_odd * power
        power = power @ square
    odd = x @ odd
    result = np.linalg.solve(even - odd, even + odd)
    with np.errstate(all="ignore"):  # what overflows is infinite
        for i in range(int(squarings.max())):
            result = np.where((i < squarings)[..., None, None], result @ result, result)
        return np.where(finite[..., None, None], result, np.nan).astype(a.dtype, copy=False)
