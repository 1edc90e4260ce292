"""Least squares, pseudoinverses, ranks.  A CUDA tensor is computed on the host and brought back to its device.

Gradient of the pseudoinverse: G. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
variables separate", 1973.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes
from ...kernels.linalg import decompositions, on_host
from ...tensor import Tensor, wrap
from .._along import named_result
from .._arguments import result_into
from .._attach import public
from .._operation import differentiable
from .._out import results_into
from ._common import batch_of, matrices, square
from .solve import is_vector
from .spectral import eigvalsh, svdvals

_Result = named_result("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


def _pinv_slope(g: Tensor, P: Tensor, A: Tensor) -> Tensor:
    """The gradient by A where ``g`` is that by its pseudoinverse P."""
    gH, PH = g.mH, P.mH  # type: ignore[attr-defined]
    first = gH @ P
    slope = first - A @ (P @ first)  # (I − A·P)·gᴴ·P
    slope = slope @ PH
    second = P @ gH
    second = PH @ (second - (second @ P) @ A)  # Pᴴ·P·gᴴ·(I − P·A)
    return slope + second - PH @ g @ PH


_pinv = differentiable("linalg_pinv", on_host(decompositions.pinv), a=lambda g, y, a: _pinv_slope(g, y, a))


def _lstsq_a_rule(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return _pinv_slope(g @ b.mH, pinv(a), a)  # type: ignore[attr-defined]


_lstsq = differentiable(
    "linalg_lstsq",
    on_host(decompositions.lstsq),
    results=("solution", "rank", "singular_values"),
    a=_lstsq_a_rule,
    b=lambda g, a: pinv(a).mH @ g,
)


def _tolerances(op: str, A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """(atol, rtol) as tensors: rtol is ε·max(m, n) unless a positive ``atol`` is given, which then counts alone."""

    def tensor(value: Any, name: str) -> Tensor:
        if isinstance(value, Tensor):
            if value.is_complex():
                raise RuntimeError(f"{op}: {name} tensor of complex type is not supported.")
            return value
        made = wrap(np.asarray(value, A.dtype.to_real().numpy))
        return made.to(A.device)  # type: ignore[attr-defined]

    default = dtypes.finfo(A.dtype).eps * max(A.shape[-2:])
    if rtol is None:
        if atol is None:
            rtol = default
        elif isinstance(atol, Tensor):
            rtol = (atol <= 0).to(A.dtype.to_real()) * default  # type: ignore[operator, union-attr]
        else:
            rtol = 0.0 if atol > 0 else default
    return tensor(0.0 if atol is None else atol, "atol"), tensor(rtol, "rtol")


def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Tensor | None = None) -> Tensor:
    """The pseudoinverse [..., n, m] of matrices [..., m, n]: singular values up to max(atol, rtol·σ₁) count as zero.

    ``rtol`` (or its older name ``rcond``) is ε·max(m, n), or 0 where a positive ``atol`` is given; both may be tensors of the batch's shape.
    Of a ``hermitian`` matrix only the lower triangle is read.  The gradient is right where the rank does not change nearby.
    """
    (square if hermitian else matrices)("linalg.pinv", A=A)
    smallest, relative = _tolerances("linalg.pinv", A, atol, rcond if rtol is None else rtol)
    return result_into(out, _pinv(A, smallest, relative, bool(hermitian)))


@public
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The older form of ``linalg.pinv``, with its own default."""
    return pinv(input, rcond)


def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Tensor | None = None
) -> Tensor:
    """How many singular values of each matrix [..., m, n] are above max(atol, rtol·σ₁), int64 [...]; the tolerances are those of ``pinv``, ``tol`` is an older
    name of ``atol`` that counts alone."""
    (square if hermitian else matrices)("linalg.matrix_rank", A=A)
    if tol is not None:
        atol, rtol = tol, 0.0
    smallest, relative = _tolerances("linalg.matrix_rank", A, atol, rtol)
    s = eigvalsh(A.detach()).abs() if hermitian else svdvals(A.detach())  # type: ignore[attr-defined]
    if not s.shape[-1]:
        return result_into(out, A.new_zeros(A.shape[:-2], dtype=dtypes.int64))  # type: ignore[attr-defined]
    limit = smallest.maximum(relative * s.amax(-1))  # type: ignore[attr-defined]
    return result_into(out, (s > limit.unsqueeze(-1)).sum(-1))


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None, out: Any = None) -> Any:
    """(solution, residuals, rank, singular_values) of least squares: X [..., n, k] of least norm among those of least |A·X − B|, for A [..., m, n] and
    B [..., m, k] or vectors [..., m].

    Singular values up to ``rcond``·σ₁ (default: ε·max(m, n)) count as zero.  As in PyTorch, ``driver`` decides which of the rest are given: all have
    residuals [..., k], Σ|A·X − B|², where m > n and every rank is n (but "gelsy", the default); "gelsy", "gelsd" and "gelss" the rank, the
    last two the singular values; the others are empty tensors.  Whatever the driver, the solution is LAPACK's ``gelsd``'s.
    Raises RuntimeError for shapes and dtypes that do not fit, and for another driver.
    """
    for name, x in (("input", A), ("other", B)):
        if isinstance(x, Tensor) and x.ndim < (2 if name == "input" else 1):
            raise RuntimeError(f"torch.linalg.lstsq: {name} must have at least {'2 dimensions' if name == 'input' else '1 dimension'}.")
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(f"torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), but got {driver}")
    driver = driver or "gelsy"
    vector = is_vector(A, B)
    right = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    matrices("torch.linalg.lstsq", input=A, other=right)
    m, n = A.shape[-2:]
    if m != right.shape[-2]:
        raise RuntimeError(f"torch.linalg.lstsq: input.size(-2) should match other.size({-1 if vector else -2})")
    batch = batch_of(A.shape, right.shape)
    A, right = A.expand(*batch, m, n), right.expand(*batch, m, right.shape[-1])  # type: ignore[attr-defined]
    limit = dtypes.finfo(A.dtype).eps * max(m, n) if rcond is None else float(rcond)
    solution, rank, values = _lstsq(A, right, limit)
    empty = values.new_empty((0,))
    residuals = empty
    if driver != "gelsy" and m > n and (rank == n).all().item():
        residuals = (A @ solution - right).abs().square().sum(-2)
    given = driver in ("gelsd", "gelss")
    ranks = rank.new_empty((0,)) if driver == "gels" else rank
    return results_into(out, _Result(solution.squeeze(-1) if vector else solution, residuals, ranks, values if given else empty))
