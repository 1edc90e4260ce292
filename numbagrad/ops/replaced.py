"""A copy of a tensor in which one part, that a view would show, is replaced: slice_scatter, select_scatter, diagonal_scatter."""

from __future__ import annotations

from ..tensor import Tensor
from ._arguments import result_into, tensor_argument
from ._attach import public
from .parts import diagonal, select, sliced


def _replaced(op: str, copy: Tensor, part: Tensor, src: Tensor, out: Tensor | None) -> Tensor:
    """``copy`` after its view ``part`` was overwritten with ``src``, of the same shape; gradients reach both."""
    if tensor_argument(src, op, "src").shape != part.shape:
        raise RuntimeError(
            f"{op}: expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = {list(part.shape)}"
        )
    part.copy_(src)  # type: ignore[attr-defined]
    return result_into(out, copy)


@public
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1, *, out: Tensor | None = None
) -> Tensor:
    """A copy of ``input`` with out[..., start:end:step, ...] = src in dimension ``dim``.  Raises RuntimeError for a ``src`` of another shape."""
    copy = input.clone()  # type: ignore[attr-defined]
    return _replaced("slice_scatter", copy, sliced(copy, dim, start, end, step), src, out)


@public
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int, *, out: Tensor | None = None) -> Tensor:
    """A copy of ``input`` with out[..., index, ...] = src in dimension ``dim``.  Raises RuntimeError for a ``src`` of another shape."""
    copy = input.clone()  # type: ignore[attr-defined]
    return _replaced("select_scatter", copy, select(copy, dim, index), src, out)


@public
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1, *, out: Tensor | None = None) -> Tensor:
    """A copy of ``input`` with ``src`` as ``diagonal(offset, dim1, dim2)``.  Raises RuntimeError for a ``src`` of another shape."""
    copy = input.clone()  # type: ignore[attr-defined]
    return _replaced("diagonal_scatter", copy, diagonal(copy, offset, dim1, dim2), src, out)
