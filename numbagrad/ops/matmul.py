"""Matrix products."""

from __future__ import annotations

from ..kernels import matmul as kernels
from ..tensor import Tensor
from ._attach import public
from ._operation import differentiable


def _columns(a: Tensor) -> Tensor:
    """A vector on the left of a product is a row, on the right a column: seen from the gradient's side, always a matrix."""
    return a


def _matmul_grad_a(g: Tensor, a_shape: tuple[int, ...], b: Tensor) -> Tensor:
    if b.ndim == 1:  # g has no column dimension: outer product with b
        return g.unsqueeze(-1) * b.conj() if len(a_shape) > 1 else g * b.conj()
    if len(a_shape) == 1:  # g has no row dimension
        return (g.unsqueeze(-2) @ b.mH).squeeze(-2)
    return g @ b.mH


def _matmul_grad_b(g: Tensor, a: Tensor, b_shape: tuple[int, ...]) -> Tensor:
    if a.ndim == 1:
        return a.conj().unsqueeze(-1) * g.unsqueeze(-2) if len(b_shape) > 1 else a.conj() * g
    if len(b_shape) == 1:
        return (a.mH @ g.unsqueeze(-1)).squeeze(-1)
    return a.mH @ g


matmul = differentiable("matmul", kernels.matmul, a=_matmul_grad_a, b=_matmul_grad_b)
public(matmul)
Tensor.__matmul__ = lambda self, other: matmul(self, other)  # type: ignore[attr-defined]
