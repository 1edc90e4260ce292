"""Inverses and the solutions of linear systems.  A CUDA tensor is computed on the host and brought back to its device.

Gradients: M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008, section 2.2.
"""

from __future__ import annotations

import math
from typing import Any

from ...kernels.linalg import decompositions, on_host, triangular
from ...tensor import Tensor
from .._along import named_result
from .._arguments import result_into
from .._attach import public
from .._operation import differentiable
from .._out import results_into
from ..matmul import matmul
from ._common import batch_of, matrices, raise_first, square

_InvResult, _SolveResult = named_result("linalg_inv_ex", "inverse", "info"), named_result("linalg_solve_ex", "result", "info")
_TriangularResult = named_result("triangular_solve", "solution", "cloned_coefficient")

_inv = differentiable("linalg_inv_ex", on_host(decompositions.inv), results=("y", "info"), a=lambda g, y: -(y.mH @ g @ y.mH))
_solve = differentiable(
    "linalg_solve_ex",
    on_host(decompositions.solve),
    results=("y", "info"),
    a=lambda g, y, a: -(_solve(a.mH, g)[0] @ y.mH),
    b=lambda g, a: _solve(a.mH, g)[0],
)


def _triangular_a_rule(g: Tensor, y: Tensor, a: Tensor, upper: bool, unitriangular: bool) -> Tensor:
    slope = -(_solve_triangular(a.mH, g, not upper, unitriangular) @ y.mH)
    return slope.triu(int(unitriangular)) if upper else slope.tril(-int(unitriangular))


_solve_triangular = differentiable(
    "linalg_solve_triangular",
    on_host(triangular.solve_triangular),
    a=_triangular_a_rule,
    b=lambda g, a, upper, unitriangular: _solve_triangular(a.mH, g, not upper, unitriangular),
)

_SINGULAR_INVERSE = "The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular."


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """(inverse, info): A⁻¹ [..., n, n] and 0, or, with NaN, which pivot of the LU decomposition is zero.  See ``inv``."""
    square("linalg.inv", A=A)
    inverse, info = _inv(A)
    if check_errors:
        raise_first("linalg.inv", info, _SINGULAR_INVERSE)
    return results_into(out, _InvResult(inverse, info))


@public(name="inverse")
def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A⁻¹ of square matrices [..., n, n], float or complex.

    Raises LinAlgError for a singular matrix, RuntimeError for other shapes and dtypes.
    """
    return result_into(out, inv_ex(A, check_errors=True).inverse)


def is_vector(A: Tensor, B: Tensor) -> bool:
    """Whether the right-hand side ``B`` counts as (a batch of) vectors."""
    return B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1]))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(result, info): see ``solve`` and ``inv_ex``."""
    square("linalg.solve", A=A)
    vector = is_vector(A, B)
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case linalg.solve is "
            "equivalent to B / A.squeeze(-1)"
        )
    right = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    matrices("linalg.solve", A=A, B=right)
    n, found = A.shape[-1], right.shape[-2 if left else -1]
    if n != found:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({A.shape[-2]}x{n} and {right.shape[-2]}x{right.shape[-1]})"
        )
    batch_of(A.shape, right.shape)
    result, info = _solve(A, right) if left else _solve(A.mT, right.mT)  # type: ignore[attr-defined]
    result = result if left else result.mT
    if check_errors:
        raise_first("torch.linalg.solve", info, "The solver failed because the input matrix is singular.")
    return results_into(out, _SolveResult(result.squeeze(-1) if vector else result, info))


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """X with A·X = B, or X·A = B with ``left=False``, for square A [..., n, n] and B [..., n, k], [..., k, n] or vectors [..., n].

    Batches broadcast.  B counts as vectors if it has one dimension, or the shape of A without the last.
    Raises LinAlgError for a singular matrix, RuntimeError for shapes and dtypes that do not fit.
    """
    return result_into(out, solve_ex(A, B, left=left, check_errors=True).result)


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Tensor | None = None
) -> Tensor:
    """X with A·X = B, or X·A = B with ``left=False``, for triangular A [..., n, n]; the other triangle is not read and has no gradient.

    With ``unitriangular`` the diagonal counts as ones.  Batches broadcast.  A zero on the diagonal gives infinities or NaN, no error.
    """
    square("linalg.solve_triangular", A=A)
    matrices("linalg.solve_triangular", A=A, B=B)
    if A.shape[-1] != B.shape[-2 if left else -1]:
        raise RuntimeError(
            f"linalg.solve_triangular: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({A.shape[-2]}x{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    batch_of(A.shape, B.shape)
    if left:
        return result_into(out, _solve_triangular(A, B, upper, unitriangular))
    return result_into(out, _solve_triangular(A.mT, B.mT, not upper, unitriangular).mT)  # type: ignore[attr-defined]


@public
def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *, out: Any = None
) -> Any:
    """(solution of A·X = b, or of Aᵀ·X = b with ``transpose``, and a copy of A): the older form of ``linalg.solve_triangular``."""
    square("triangular_solve", A=A)
    matrices("triangular_solve", A=A, b=b)
    coefficient = A.mT if transpose else A  # type: ignore[attr-defined]
    solution = solve_triangular(coefficient, b, upper=upper != transpose, unitriangular=unitriangular)
    return results_into(out, _TriangularResult(solution, A.clone()))  # type: ignore[attr-defined]


def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A as the map from its last dimensions to its first ``ind``; their products must be the same.

    tensordot(tensorinv(A, ind), B, B.ndim) is the X with tensordot(A, X, X.ndim) = B.  Raises RuntimeError for other shapes, LinAlgError for a
    singular A.
    """
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    first, last = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(first) != math.prod(last):
        raise RuntimeError(
            f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {math.prod(last)} != "
            f"{math.prod(first)}"
        )
    return result_into(out, inv(A.reshape(math.prod(first), -1)).reshape((*last, *first)))  # type: ignore[attr-defined]


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Tensor | None = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B, after the dimensions ``dims`` of A have moved to its end.

    Raises RuntimeError unless the product of A's first dimensions, as many as B has, is that of the others, LinAlgError for a singular A.
    """
    if dims is not None:
        A = A.movedim(tuple(dims), tuple(range(-len(dims), 0)))  # type: ignore[attr-defined]
    shape = tuple(A.shape[B.ndim :])
    if math.prod(shape) != math.prod(A.shape[: B.ndim]):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
            f"{math.prod(shape)} != {math.prod(A.shape[: B.ndim])}"
        )
    flat = A.reshape(math.prod(shape), -1)  # type: ignore[attr-defined]
    return result_into(out, solve(flat, B.reshape(-1)).reshape(shape))  # type: ignore[attr-defined]


def product(*factors: Tensor) -> Tensor:
    """The matrix product of all."""
    result = factors[0]
    for factor in factors[1:]:
        result = matmul(result, factor)
    return result
