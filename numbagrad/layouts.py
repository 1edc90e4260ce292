"""Orders of a tensor's elements in memory, by PyTorch's names: ``numbagrad.contiguous_format``, ``channels_last`` and the others."""

from __future__ import annotations

from typing import Any, Sequence


class memory_format:
    """An order of the dimensions in memory.  There is one object per order, so ``is`` and ``==`` agree."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"numbagrad.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class layout(memory_format):
    """How elements are kept; all tensors here are strided."""

    __slots__ = ()


contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")
strided = layout("strided")

_NDIM = {channels_last: 4, channels_last_3d: 5}


def order_of(wanted: Any, ndim: int, op: str) -> tuple[int, ...] | None:
    """The dimensions in the order ``wanted``, outermost first; None where they may stay as they are.

    Raises TypeError for what is no memory format, RuntimeError for channels_last of other than 4 dimensions (channels_last_3d: 5).
    """
    if wanted is None or wanted is preserve_format:
        return None
    if type(wanted) is not memory_format:
        raise TypeError(f"{op}(): argument 'memory_format' must be numbagrad.memory_format, not {type(wanted).__name__}")
    if wanted is contiguous_format:
        return tuple(range(ndim))
    if ndim != _NDIM[wanted]:
        raise RuntimeError(f"required rank {_NDIM[wanted]} tensor to use {wanted.name} format")
    return (0, *range(2, ndim), 1)


def strides_in(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of dimensions that lie in memory in ``order``, without gaps."""
    strides, step = [0] * len(order), 1
    for j in reversed(order):
        strides[j] = step
        step *= max(shape[j], 1)
    return tuple(strides)


def lies_in(shape: Sequence[int], strides: Sequence[int], itemsize: int, order: Sequence[int]) -> bool:
    """Whether dimensions of these sizes and strides (in bytes) lie in memory in ``order``, without gaps."""
    expected = itemsize
    for j in reversed(order):
        if shape[j] != 1:
            if strides[j] != expected and 0 not in shape:
                return False
            expected *= shape[j]
    return True


__all__ = ["channels_last", "channels_last_3d", "contiguous_format", "layout", "memory_format", "preserve_format", "strided"]
