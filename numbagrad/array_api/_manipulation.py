"""Shapes, joining, picking."""

from __future__ import annotations

from typing import Any, Sequence

from ..ops import FUNCTIONS
from ..tensor import Tensor

__all__ = [
    "broadcast_arrays", "broadcast_to", "concat", "expand_dims", "flip", "moveaxis", "permute_dims", "repeat", "reshape", "roll", "squeeze", "stack",
    "take", "take_along_axis", "tile", "unstack",
]  # fmt: skip


def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """All in the shape that they broadcast to."""
    return list(FUNCTIONS["broadcast_tensors"](*arrays))


def broadcast_to(x: Any, /, shape: tuple[int, ...]) -> Tensor:
    """``x`` in ``shape``."""
    return x.broadcast_to(shape)


def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Tensor:
    """All along ``axis``, which they have; None: flattened, one after the other."""
    return FUNCTIONS["cat"]([x.reshape(-1) for x in arrays] if axis is None else list(arrays), 0 if axis is None else axis)


def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Tensor:
    """All along a new axis."""
    return FUNCTIONS["stack"](list(arrays), axis)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts along ``axis``, without it."""
    return tuple(x.unbind(axis))


def expand_dims(x: Any, /, *, axis: int = 0) -> Tensor:
    """``x`` with a new axis.  Raises IndexError where there can be none."""
    return x.unsqueeze(axis)


def squeeze(x: Any, /, axis: int | tuple[int, ...]) -> Tensor:
    """``x`` without ``axis``.  Raises ValueError if its size is not 1."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    for each in axes:
        if x.size(each) != 1:
            raise ValueError(f"squeeze: axis {each} has size {x.size(each)}, expected 1")
    return x.squeeze(axes) if axes else x


def flip(x: Any, /, *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """``x`` with the order reversed along ``axis`` (None: all)."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return x.flip(tuple(axes))


def roll(x: Any, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """``x`` shifted in a circle along ``axis`` (None: as if flat)."""
    if isinstance(shift, int) and isinstance(axis, tuple):
        shift = (shift,) * len(axis)
    return x.roll(shift) if axis is None else x.roll(shift, axis)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Tensor:
    """``x`` with axes ``source`` at ``destination``."""
    return x.moveaxis(source, destination)


def permute_dims(x: Any, /, axes: tuple[int, ...]) -> Tensor:
    """``x`` with its axes in the order ``axes``."""
    return x.permute(axes)


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Every element ``repeats`` times along ``axis`` (None: flattened)."""
    return x.repeat_interleave(repeats, dim=axis)


def tile(x: Any, repetitions: tuple[int, ...], /) -> Tensor:
    """``x`` as a whole, so many times along each axis."""
    return x.tile(repetitions)


def reshape(x: Any, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """``x`` in another shape; ``copy``: True always, False never (ValueError if it takes one)."""
    if copy is False:
        try:
            return x.view(shape)
        except RuntimeError as error:
            raise ValueError(f"reshape: {list(x.shape)} to {list(shape)} takes a copy, and copy=False") from error
    return x.clone().reshape(shape) if copy else x.reshape(shape)


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Tensor:
    """The elements at ``indices`` (one-dimensional) along ``axis``, which only one-dimensional tensors may leave out."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"take: axis is needed for a tensor of {x.ndim} dimensions")
        axis = 0
    return x.index_select(axis, FUNCTIONS["where"](indices < 0, indices + x.size(axis), indices))


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Tensor:
    """The elements at ``indices`` along ``axis``, for each place of the other axes its own."""
    return x.take_along_dim(FUNCTIONS["where"](indices < 0, indices + x.size(axis), indices), axis)
