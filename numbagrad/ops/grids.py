"""``meshgrid``: coordinates of a grid as views of its axes."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
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
        if axis.ndim > 1:
            raise RuntimeError(f"meshgrid: Expected scalar or 1D tensor in the tensor list but got shape {list(axis.shape)}")
        if axis.dtype is not axes[0].dtype:
            raise RuntimeError(f"meshgrid: expected all tensors to have the same dtype, but got {axes[0].dtype} and {axis.dtype}")
    order = list(range(len(axes)))
    if indexing == "xy" and len(axes) > 1:
        order[:2] = [1, 0]
    sizes = [axes[i].numel() for i in order]
    return tuple(axis.reshape([-1 if i == k else 1 for i in order]).expand(*sizes) for k, axis in enumerate(axes))
