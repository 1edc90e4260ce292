"""Coordinates: of a grid as views of its axes, of the triangles of a matrix, of places in a tensor taken as flat."""

from __future__ import annotations

from typing import Any

from ..dtypes import as_dtype, bool_
from ..tensor import Tensor
from ._arguments import tensor_argument
from ._attach import public


@public(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """For axes x₁, ..., xₙ (1-d or 0-d) n tensors of the grid's shape: the k-th is xₖ along dimension k and constant along the others.

    ``indexing="xy"`` swaps the first two dimensions.  The results are expanded views: nothing is copied.
    Raises RuntimeError for axes of more dimensions, for different dtypes and for another ``indexing``.
    """
    axes = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    if not axes:
        raise ValueError("meshgrid: expected at least one axis, but got none")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be one of 'xy' or 'ij', but got {indexing!r}")
    for axis in axes:
        if tensor_argument(axis, "meshgrid", "tensors").ndim > 1:
            raise RuntimeError(f"meshgrid: Expected scalar or 1D tensor in the tensor list but got shape {list(axis.shape)}")
        if axis.dtype is not axes[0].dtype:
            raise RuntimeError(f"meshgrid: expected all tensors to have the same dtype, but got {axes[0].dtype} and {axis.dtype}")
    order = list(range(len(axes)))
    if indexing == "xy" and len(axes) > 1:
        order[:2] = [1, 0]
    sizes = [axes[i].numel() for i in order]
    return tuple(axis.reshape([-1 if i == k else 1 for i in order]).expand(*sizes) for k, axis in enumerate(axes))


def _triangle(row: int, col: int, offset: int, dtype: Any, device: Any, upper: bool) -> Tensor:
    from ..creation import ones

    op = "triu_indices" if upper else "tril_indices"
    for name, value in (("row", row), ("col", col)):
        if value < 0:
            raise RuntimeError(f"{name} must be non-negative, got {value}")
    target = as_dtype(int if dtype is None else dtype, op)
    if target.name not in ("int32", "int64"):
        raise NotImplementedError(f"\"{op}\" not implemented for '{target.title}'")
    whole = ones(row, col, dtype=bool_, device=device)
    inside = whole.triu(offset) if upper else whole.tril(offset)  # type: ignore[attr-defined]
    return inside.nonzero().T.contiguous().to(target)


@public(method=False)
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Row and column numbers (2, count) of the elements with j - i <= offset of a row x col matrix, row after row, as int64 or int32.

    Raises RuntimeError for negative sizes, NotImplementedError for another dtype.
    """
    return _triangle(row, col, offset, dtype, device, False)


@public(method=False)
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Row and column numbers (2, count) of the elements with j - i >= offset, as ``tril_indices``."""
    return _triangle(row, col, offset, dtype, device, True)


@public(method=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """For each index into a tensor of ``shape`` taken as flat, its coordinates: a tensor for each dimension.  Raises TypeError for no integers."""
    if not isinstance(indices, Tensor) or indices._data.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be a tensor of integers, but got {getattr(indices, 'dtype', type(indices).__name__)}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    found, left = [], indices
    for n in reversed(sizes):
        found.append(left % n)
        left = left // n
    return tuple(reversed(found))
