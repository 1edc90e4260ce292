"""The factorisation of symmetric and Hermitian indefinite matrices, which SciPy's LAPACK has and NumPy's has not."""

from __future__ import annotations

from typing import Any

import numpy as np


def _lapack(name: str, hermitian: bool, a: np.ndarray) -> Any:
    """LAPACK's ``sytrf`` or ``hetrf``, and so on, for the dtype of ``a``.  Raises ImportError, which says what is missing, without SciPy."""
    try:
        from scipy.linalg import lapack
    except ImportError:
        raise ImportError("linalg.ldl_factor and linalg.ldl_solve need SciPy: pip install scipy") from None
    kind = "he" if hermitian and a.dtype.kind == "c" else "sy"
    return getattr(lapack, {"f": "s", "d": "d", "F": "c", "D": "z"}[a.dtype.char] + kind + name)


def ldl_factor(a: np.ndarray, hermitian: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ld, pivots, info) of a [..., n, n], of which the lower triangle is read, as LAPACK's ``sytrf`` (``hetrf`` for a Hermitian one) packs them."""
    factor = _lapack("trf", hermitian, a)
    *batch, n, _ = a.shape
    flat = a.reshape(-1, n, n) if a.size else np.empty((int(np.prod(batch)), n, n), a.dtype)
    ld, pivots, infos = np.empty_like(flat), np.zeros((len(flat), n), np.int32), np.zeros(len(flat), np.int32)
    for i, matrix in enumerate(flat if n else ()):
        ld[i], pivots[i], infos[i] = factor(matrix, lower=1)
    return np.tril(ld).reshape(a.shape), pivots.reshape(*batch, n), infos.reshape(batch)


def ldl_solve(ld: np.ndarray, pivots: np.ndarray, b: np.ndarray, hermitian: bool) -> np.ndarray:
    """x with a·x = b of the factorisation (ld, pivots) of a [..., n, n], and b [..., n, k]; their batches broadcast."""
    solve = _lapack("trs", hermitian, ld)
    batch = np.broadcast_shapes(ld.shape[:-2], b.shape[:-2])
    count, n, k = int(np.prod(batch)), *b.shape[-2:]
    x = np.array(np.broadcast_to(b, batch + (n, k)), order="C").reshape(count, n, k)
    factors = np.broadcast_to(ld, batch + (n, n)).reshape(count, n, n)
    exchanges = np.broadcast_to(pivots, batch + (n,)).reshape(count, n)
    for i in range(count if x.size else 0):
        x[i], _ = solve(factors[i], exchanges[i], x[i], lower=1)
    return x.reshape(*batch, n, k)
