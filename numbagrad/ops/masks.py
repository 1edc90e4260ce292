"""What a mask chooses: masked_select, masked_fill, masked_scatter; nonzero and counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import index as kernels
from ..tensor import Tensor, wrap
from ._arguments import is_recorded, result_into, rewritten, tensor_argument
from ._attach import public
from ._operation import differentiable
from .copy import pad


def _joint(x_shape: Any, mask: Tensor) -> tuple[int, ...]:
    return kernels.broadcast_shapes([tuple(x_shape), tuple(mask.shape)], "mask")


_masked_select = differentiable(
    "masked_select",
    lambda x, mask: kernels.masked_select(x, mask),
    x=lambda g, x_shape, mask: _masked_select_backward(g, mask, _joint(x_shape, mask)),
)
_masked_select_backward = differentiable(
    "masked_select_backward",
    lambda x, mask, shape: kernels.masked_select_backward(x, mask, shape),
    x=lambda g, mask: _masked_select(g, mask),
)
_masked_fill = differentiable(
    "masked_fill",
    lambda x, mask, value: kernels.masked_fill(x, mask, value),
    x=lambda g, mask: _masked_fill(g, mask, 0),
    value=lambda g, mask: _masked_fill(g, ~mask, 0),  # the walk sums it
)


def _masked_source_rule(g: Tensor, mask: Tensor, source_shape: Any) -> Tensor:
    found = _masked_select(g, mask.expand(tuple(g.shape)))  # type: ignore[attr-defined]
    count = int(np.prod(source_shape, dtype=int))
    return pad(found, (0, count - found.numel())).reshape(tuple(source_shape))  # type: ignore[attr-defined]


_masked_scatter = differentiable(
    "masked_scatter",
    lambda x, mask, source: kernels.masked_scatter(x, mask, source),
    x=lambda g, mask: _masked_fill(g, mask, 0),
    source=_masked_source_rule,
)


@public
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where the boolean ``mask`` is true, in order, 1-d; the two broadcast together."""
    return result_into(out, _masked_select(input, tensor_argument(mask, "masked_select", "mask")))


@public
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value``, a number or 0-d tensor, where the boolean ``mask`` is true, else ``input``.  RuntimeError for a complex value in real numbers."""
    if isinstance(value, Tensor) and value._data.dtype.kind == "c" != input._data.dtype.kind:
        raise RuntimeError(f"value cannot be converted to type {input.dtype.name} without overflow")
    return _masked_fill(input, tensor_argument(mask, "masked_fill", "mask"), value)


def _same_shape(x: Tensor, mask: Tensor) -> None:
    if x._data.shape == mask._data.shape:
        return
    joint = _joint(x.shape, mask)
    if joint != tuple(x.shape):
        raise RuntimeError(f"output with shape {list(x.shape)} doesn't match the broadcast shape {list(joint)}")


@public(function=False)
def masked_fill_(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``masked_fill`` in place."""
    _same_shape(input, tensor_argument(mask, "masked_fill_", "mask"))
    if not is_recorded(input, value):
        kernels.masked_fill_into(input._data, mask._data, value._data if isinstance(value, Tensor) else value)
        input._bump()
        return input
    return rewritten(input, _masked_fill, (mask, value), "masked_fill_")


@public
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy whose elements where ``mask`` is true are, in order, the first of ``source``."""
    return _masked_scatter(input, tensor_argument(mask, "masked_scatter", "mask"), tensor_argument(source, "masked_scatter", "source"))


@public(function=False)
def masked_scatter_(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``masked_scatter`` in place."""
    _same_shape(input, mask)
    return rewritten(input, _masked_scatter, (mask, source), "masked_scatter_")


@public(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The coordinates of the elements that are not zero, (count, ndim), in order; with ``as_tuple``, a vector for each dimension."""
    if as_tuple and tensor_argument(input, "nonzero", "input").ndim == 0:
        input = input.reshape(1)  # type: ignore[attr-defined]
    found = kernels.nonzero(tensor_argument(input, "nonzero", "input")._data, as_tuple)
    return tuple(map(wrap, found)) if as_tuple else wrap(found)


@public
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None) -> Tensor:
    """``nonzero`` with ``size`` rows: the first ones found, and rows of ``fill_value`` where there are fewer.  Raises RuntimeError for a negative size."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, but got {size}")
    found = nonzero(input)[:size]
    return result_into(out, pad(found, (0, 0, 0, size - found.shape[0]), value=fill_value))


@public
def argwhere(input: Tensor) -> Tensor:
    """``nonzero(input)``"""
    return nonzero(input)


@public
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs in the 1-d ``input``, or the sum of its ``weights``."""
    return wrap(kernels.bincount(input._data, None if weights is None else weights._data, minlength))
