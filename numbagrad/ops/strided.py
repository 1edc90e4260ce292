"""Views by strides: ``as_strided``, its copy, and a copy of a tensor with such a part of it replaced."""

from __future__ import annotations

from typing import Any, Sequence

from ..kernels.copy.strided import may_overlap_itself, reaching, span
from ..kernels.index import strided as kernels
from ..kernels.index.strided import Strides
from ..tensor import Tensor
from ._arguments import result_into
from ._attach import public
from ._inplace import relaid
from ._operation import differentiable
from ._view import view_operation


def _at(x: Any, size: tuple[int, ...], stride: tuple[int, ...], offset: int, own: tuple[int, ...]) -> Any:
    """``offset`` counts from the first element of ``x``; ``own`` are the strides of ``x``, which the rule asks for."""
    return reaching(x, size, stride, offset)


def _rule(g: Tensor, x_shape: Any, size: tuple[int, ...], stride: tuple[int, ...], offset: int, own: tuple[int, ...]) -> Tensor:
    here = Strides(tuple(x_shape), own, 0)
    found = restride(g, Strides(size, stride, offset), here)
    if not may_overlap_itself(here.shape, own):
        return found
    return found / restride(g.new_ones(here.shape), here, here)  # elements that share a place share its gradient


_as_strided = view_operation("as_strided", _at, _rule)
restride = differentiable("restride", kernels.restride, x=lambda g, put, read: restride(g, read, put))


def held(x: Tensor) -> int:
    """How many elements of its dtype the storage of ``x`` holds."""
    root = x if x._base is None else x._base
    return span(root._data.shape, root.stride())[1] * root.itemsize // x.itemsize


def _checked(x: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None, op: str) -> tuple[Any, ...]:
    """The arguments of ``_as_strided``.  Raises RuntimeError where they reach outside the tensor's storage."""
    shape, steps = tuple(size), tuple(stride)
    if len(shape) != len(steps):
        raise RuntimeError(f"{op}: mismatch in length of strides and shape: got {len(steps)} strides and {len(shape)} sizes")
    if any(step < 0 for step in steps):
        raise RuntimeError(f"{op}: Negative strides are not supported at the moment, got strides: {list(steps)}")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"{op}: expected sizes that are not negative, but got {list(shape)}")
    first = x.storage_offset()
    place = first if storage_offset is None else storage_offset
    if place < 0:
        raise RuntimeError(f"{op}: Tensor: invalid storage offset {place}")
    low, high = span(shape, steps)
    count = held(x)
    if place + high > count and low != high:
        raise RuntimeError(
            f"{op}: setStorage: sizes {list(shape)}, strides {list(steps)}, storage offset {place}, and itemsize {x.itemsize} requiring a storage size of "
            f"{(place + high) * x.itemsize} are out of bounds for storage of size {count * x.itemsize}"
        )
    return shape, steps, place - first, x.stride()


@public
def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """The view y[i, j, ...] = storage[storage_offset + i·stride₀ + j·stride₁ + ...] of the given size; the offset is the tensor's own if None.

    Gradients of elements that share a place are added up; those of places that are not of ``input`` are dropped.
    Raises RuntimeError for negative strides and where the view would reach outside the storage.
    """
    return _as_strided(input, *_checked(input, size, stride, storage_offset, "as_strided"))


@public(method=False)
def as_strided_copy(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None, *, out: Tensor | None = None
) -> Tensor:
    """A copy of ``as_strided(input, size, stride, storage_offset)``."""
    return result_into(out, as_strided(input, size, stride, storage_offset).clone())  # type: ignore[attr-defined]


@public
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None, *, out: Tensor | None = None
) -> Tensor:
    """A copy of ``input``, of the same strides, with ``src`` in the place of ``as_strided(input, size, stride, storage_offset)``.

    Raises RuntimeError for a ``src`` of another size, and where the part reaches outside the elements of ``input``.
    """
    shape, steps, offset, own = _checked(input, size, stride, storage_offset, "as_strided_scatter")
    if tuple(src.shape) != shape:
        raise RuntimeError(
            f"as_strided_scatter: expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = {list(shape)}"
        )
    copy = relaid(input, own)
    as_strided(copy, shape, steps, offset).copy_(src)  # type: ignore[attr-defined]
    return result_into(out, copy)
