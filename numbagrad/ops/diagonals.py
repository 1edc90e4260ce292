"""Matrices from diagonals and diagonals from matrices: diag, diag_embed, diagflat, block_diag, fill_diagonal_.

(``diagonal``, the view, is in ``parts``.)
"""

from __future__ import annotations

from typing import Any

from ..size import dimension
from ..tensor import Tensor
from ._arguments import result_into
from ._attach import public
from .parts import diagonal, embed_diagonal


@public
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension of ``input`` as the ``offset``-th diagonal of matrices in dimensions ``dim1`` and ``dim2`` of the result, 0 elsewhere."""
    ndim = input.ndim + 1
    a, b = dimension(dim1, ndim), dimension(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((a, b)):
        shape.insert(d, n)
    return embed_diagonal(input, tuple(shape), offset, a, b)


@public
def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Of a vector the matrix with it as the ``diagonal``-th diagonal, of a matrix a copy of that diagonal.  Raises RuntimeError for other dimensions."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    found = diag_embed(input, diagonal) if input.ndim == 1 else _diagonal(input, diagonal).clone()  # type: ignore[attr-defined]
    return result_into(out, found)


_diagonal = diagonal


@public
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with the elements of ``input``, in order, as its ``offset``-th diagonal."""
    return diag_embed(input.reshape(-1), offset)  # type: ignore[attr-defined]


@public(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """The matrix with ``tensors``, matrices (or vectors as rows, or 0-d), one after another along its diagonal, 0 elsewhere, in their common dtype.

    Raises RuntimeError for a tensor of more than two dimensions.
    """
    from .copy import cat, pad

    blocks = []
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"block_diag(): expected Tensor as element {i} in argument 0, but got {type(t).__name__}")
        if t.ndim > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {t.ndim} dimensions")
        blocks.append(t if t.ndim == 2 else t.reshape((1, -1)))  # type: ignore[attr-defined]
    if not blocks:
        raise RuntimeError("torch.block_diag: expected a non-empty list of tensors")
    width, before = sum(b.shape[1] for b in blocks), 0
    rows = []
    for block in blocks:
        after = width - before - block.shape[1]
        rows.append(pad(block, (before, after)))
        before += block.shape[1]
    return cat(rows, 0)


@public(function=False)
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """self[i, ..., i] = fill_value; with ``wrap`` the diagonal of a tall matrix begins anew below a row that is left out.

    Raises RuntimeError for fewer than two dimensions, and for more than two that are not of one size.
    """
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.ndim > 2 and len(set(self.shape)) > 1:
        raise RuntimeError(f"all dimensions of input must be of equal length, but got {list(self.shape)}")
    rows, columns = self.shape[0], min(self.shape)
    steps = sum(self.stride())
    counts = [min(columns, rows)]
    if wrap and self.ndim == 2 and rows > columns + 1:
        counts += [min(columns, rows - top) for top in range(columns + 1, rows, columns + 1)]
    for k, count in enumerate(counts):
        first = self.storage_offset() + k * (columns + 1) * self.stride(0)
        self.as_strided((count,), (steps,), first).fill_(fill_value)  # type: ignore[attr-defined]
    return self
