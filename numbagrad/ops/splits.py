"""Splitting beyond ``split`` and ``chunk``: at given places, along a dimension that the name says, and under PyTorch's other names."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Sequence

from ..size import dimension
from ..tensor import Tensor
from ._attach import public
from ._view import PartsNode
from .parts import chunk, sliced, split


@public
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """``split`` into pieces of the given sizes."""
    return split(input, list(split_sizes), dim)


@public
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along ``dim``: as many as an integer says, the first ones larger by one where sizes differ, or between the given indices.

    ``indices_or_sections``: an integer, a sequence, or an int64 tensor of one or of none dimension on the CPU.
    Raises RuntimeError for a 0-d ``input`` and fewer than one piece.
    """
    if input.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    d = dimension(dim, input.ndim)
    if isinstance(indices_or_sections, Tensor):
        given = indices_or_sections
        if not given.is_cpu:
            raise RuntimeError(f"tensor_split expected tensor_indices_or_sections to be on cpu, but it's on {given.device}")
        if given.dtype.name != "int64":
            raise RuntimeError(f"tensor_split expected tensor_indices_or_sections to have dtype of long, but got {given.dtype.title}")
        if given.ndim > 1:
            raise RuntimeError(
                f"tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, but got a tensor with {given.ndim} dims"
            )
        indices_or_sections = given.tolist()
    size = input.shape[d]
    if isinstance(indices_or_sections, Integral):
        indices_or_sections = int(indices_or_sections)
    if not isinstance(indices_or_sections, (int, tuple, list)):
        raise TypeError(f"tensor_split(): expected an int, a tuple of them or a Tensor, but got {type(indices_or_sections).__name__}")
    if not isinstance(indices_or_sections, int):
        bounds = [None, *(index.__index__() for index in indices_or_sections), None]
        return tuple(sliced(input, d, start, stop) for start, stop in zip(bounds, bounds[1:]))
    sections = indices_or_sections
    if sections <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
    small, larger = divmod(size, sections)
    return split(input, [small + 1] * larger + [small] * (sections - larger), d)


def _along(name: str, least: int, dim_of: Any) -> None:
    def apart(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if input.ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension{'s' if least > 1 else ''}, but got a tensor with {input.ndim} dimensions!"
            )
        dim = dim_of(input)
        if isinstance(indices_or_sections, int):
            if indices_or_sections <= 0 or input.shape[dim] % indices_or_sections:
                raise RuntimeError(
                    f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {input.shape[dim]} is not divisible by the "
                    f"split_size {indices_or_sections}!"
                )
        return tensor_split(input, indices_or_sections, dim)

    apart.__name__ = apart.__qualname__ = name
    where = "columns (dimension 1, or 0 of a vector)" if name == "hsplit" else f"dimension {least - 1}"
    apart.__doc__ = f"""``tensor_split`` along {where}, which has to come out even.

    Raises RuntimeError for fewer than {least} dimensions and for a number of pieces that does not divide the size.
    """
    public(apart, name=name)


_along("hsplit", 1, lambda x: 0 if x.ndim == 1 else 1)
_along("vsplit", 2, lambda x: 0)
_along("dsplit", 3, lambda x: 2)


# ---- pieces that may be changed in place ---------------------------------------------------------------------------------------------


@public
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """``split`` into pieces of one size, each of which autograd takes for a tensor of its own.

    They may be changed in place, as those of ``split`` may not; the gradient is right where of a piece and the whole only one is used afterwards.
    """
    return _unsafe(split(input, split_size, dim))


@public
def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """``split_with_sizes``, as ``unsafe_split``."""
    return _unsafe(split_with_sizes(input, split_sizes, dim))


@public
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """``chunk``, as ``unsafe_split``."""
    return _unsafe(chunk(input, chunks, dim))


def _unsafe(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    for part in parts:
        part._base = part._replay = part._counter = None
        if type(part._node) is PartsNode:
            part._node.label, part._node.guarded = "UnsafeSplitBackward0", False
    return parts
