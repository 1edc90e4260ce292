"""Triangular systems and the LU decomposition, neither of which NumPy has: recursive, so that nearly all of the work is in matrix products.

The recursion of the LU decomposition is that of S. Toledo, "Locality of reference in LU decomposition with partial pivoting", 1997, which is
LAPACK's ``getrf2`` too.
"""

from __future__ import annotations

import numpy as np


def solve_triangular(a: np.ndarray, b: np.ndarray, upper: bool, unitriangular: bool) -> np.ndarray:
    """x with a·x = b for triangular a [..., n, n] and b [..., n, k], whose batches broadcast.  The other triangle of ``a`` is not read, nor is its
    diagonal where that is ``unitriangular``.  A zero on the diagonal divides, as any zero does."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, batch + b.shape[-2:]), order="C")
    with np.errstate(all="ignore"):
        _substitute(a, x, upper, unitriangular)
    return x


def _substitute(a: np.ndarray, x: np.ndarray, upper: bool, unitriangular: bool) -> None:
    """Replace ``x`` by a⁻¹·x: one half of the unknowns, its part of the other equations, and the other half."""
    n = a.shape[-1]
    if n <= 1:
        if n and not unitriangular:
            x /= a
        return
    low, high = slice(0, n // 2), slice(n // 2, n)
    first, second = (high, low) if upper else (low, high)
    _substitute(a[..., first, first], x[..., first, :], upper, unitriangular)
    x[..., second, :] -= a[..., second, first] @ x[..., first, :]
    _substitute(a[..., second, second], x[..., second, :], upper, unitriangular)


def cholesky_solve(b: np.ndarray, l: np.ndarray, upper: bool) -> np.ndarray:
    """x with l·lᴴ·x = b, or lᴴ·l·x = b with ``upper``, for triangular l [..., n, n] and b [..., n, k], whose batches broadcast."""
    turned = l.conj().swapaxes(-1, -2)
    lower, above = (turned, l) if upper else (l, turned)
    return solve_triangular(above, solve_triangular(lower, b, False, False), True, False)


def lu_factor(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lu, pivots, info) of a [..., m, n]: L below the diagonal of ``lu`` and U above; row i was exchanged with row pivots[i], counted from 1; ``info`` is
    0, or i where U[i, i], counted from 1, is the first zero on the diagonal."""
    *batch, m, n = a.shape
    k = min(m, n)
    lu = np.array(a, order="C")
    pivots = np.zeros((*batch, k), np.int32)
    if k and lu.size:
        with np.errstate(all="ignore"):
            _factor(lu, pivots)
    pivots += np.arange(1, k + 1, dtype=np.int32)
    return lu, pivots, first_zero(lu)


def first_zero(lu: np.ndarray) -> np.ndarray:
    """Where the first zero on the diagonal is, counted from 1; 0 where there is none.  int32 [...]."""
    zero = np.diagonal(lu, axis1=-2, axis2=-1) == 0
    if not zero.shape[-1]:
        return np.zeros(zero.shape[:-1], np.int32)
    return np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32)


def _magnitude(x: np.ndarray) -> np.ndarray:
    """|x|, or |Re x| + |Im x|, by which LAPACK chooses its pivots."""
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


def _factor(a: np.ndarray, pivots: np.ndarray) -> np.ndarray:
    """Replace ``a`` by its LU decomposition; the order of its rows.  ``pivots`` [..., k] gets by how much further down each exchanged row was."""
    m, n = a.shape[-2:]
    order = np.empty((*a.shape[:-2], m), np.int64)
    order[...] = np.arange(m)
    if m == 1:
        return order
    if n == 1:
        _factor_column(a, pivots, order)
        return order
    k = min(m, n) // 2
    left, right = a[..., :k], a[..., k:]
    order = _factor(left, pivots[..., :k])
    right[...] = np.take_along_axis(right, order[..., None], -2)
    _substitute(left[..., :k, :], right[..., :k, :], False, True)
    right[..., k:, :] -= left[..., k:, :] @ right[..., :k, :]
    below = _factor(right[..., k:, :], pivots[..., k:])
    left[..., k:, :] = np.take_along_axis(left[..., k:, :], below[..., None], -2)
    order[..., k:] = np.take_along_axis(order[..., k:], below, -1)
    return order


def _factor_column(a: np.ndarray, pivots: np.ndarray, order: np.ndarray) -> None:
    """``_factor`` for a single column: its largest element comes first, and the others are divided by it."""
    largest = _magnitude(a[..., 0]).argmax(-1)[..., None]
    pivots[...] = largest
    np.put_along_axis(order, largest, 0, -1)
    order[..., :1] = largest
    a[...] = np.take_along_axis(a, order[..., None], -2)
    pivot = a[..., :1, :]
    a[..., 1:, :] /= np.where(pivot == 0, 1, pivot)


def permutation(pivots: np.ndarray, m: int) -> np.ndarray:
    """The order of m rows after the exchanges ``pivots`` [..., k]: row i of the permuted matrix is row order[i] of the given one.  int64 [..., m]."""
    order = np.empty((*pivots.shape[:-1], m), np.int64)
    order[...] = np.arange(m)
    for i in range(pivots.shape[-1]):
        other = pivots[..., i : i + 1].astype(np.int64) - 1
        here, there = order[..., i : i + 1].copy(), np.take_along_axis(order, other, -1)
        np.put_along_axis(order, other, here, -1)
        order[..., i : i + 1] = there
    return order
