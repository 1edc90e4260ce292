"""Contract of what is chosen by a mask, and of counting."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dtypes
from ..copy import cast, contiguous, copy_into, fill
from ._checks import broadcast_shapes, check_unshared, expand, on, same_dtype
from .advanced import Places, _get


def _mask(mask: Any, op: str) -> Any:
    if mask.dtype != np.bool_:
        raise RuntimeError(f"{op}: only supports boolean masks, but got mask with dtype {_dtypes.name(mask.dtype)}")
    return mask


def nonzero(x: Any, by_dim: bool = False) -> Any:
    """The coordinates of every element that is not zero, in row-major order: int64 of shape (count, ndim), or (ndim, count) ``by_dim``."""
    implementation = on(x)
    if x.ndim == 1 and x.dtype == np.bool_:
        return implementation.true_positions(contiguous(x)).reshape((1, -1) if by_dim else (-1, 1))
    return implementation.unravel(implementation.true_positions(contiguous(cast(x, _dtypes.bool_))), x.shape, by_dim)


def masked_select(x: Any, mask: Any) -> Any:
    """The elements of ``x`` where ``mask`` is true, in order, 1-D; the two broadcast together."""
    implementation = on(x, mask)
    if _mask(mask, "masked_select").shape == x.shape:
        found = implementation.get_few(x, (mask,), False) if mask.ndim else None
        if found is not None:
            return found
    shape = broadcast_shapes([x.shape, mask.shape], "masked_select")
    where = implementation.true_positions(contiguous(expand(mask, shape)))
    return _get(contiguous(expand(x, shape)), Places((where.size,), where, [], 1))


def _fill_value(x: Any, mask: Any, value: Any) -> tuple[tuple[int, ...], Any]:
    """The broadcast shape of a masked fill, and its value as a 0-d array of x's dtype."""
    if getattr(value, "ndim", 0):
        raise RuntimeError(f"masked_fill: only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
    shape = x.shape
    if _mask(mask, "masked_fill").shape != shape:
        shape = broadcast_shapes([shape, mask.shape], "masked_fill")
    if type(value) is float and x.dtype.kind == "f" and -65504.0 <= value <= 65504.0:  # most frequent, and every such dtype can hold it
        return shape, on(x, mask).number(value, x.dtype)
    number = on(x, mask).empty((), x.dtype)
    fill(number, value)
    return shape, number


def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """``value`` where ``mask`` is true and ``x`` elsewhere, of their broadcast shape and x's dtype; ``value``: a number or 0-d array."""
    shape, number = _fill_value(x, mask, value)
    if x.shape != shape or mask.shape != shape:
        x, mask = expand(x, shape), expand(mask, shape)
    return on(x, mask).masked_fill(contiguous(x), contiguous(mask), number)


def masked_fill_into(x: Any, mask: Any, value: Any) -> None:
    """x[mask] = value for a ``mask`` that broadcasts to x's shape (RuntimeError otherwise) and a number or 0-d array ``value``."""
    check_unshared(x, "masked_fill_")
    shape, number = _fill_value(x, mask, value)
    if shape != x.shape:
        raise RuntimeError(f"masked_fill_: output with shape {list(x.shape)} doesn't match the broadcast shape {list(shape)}")
    mask = contiguous(mask if mask.shape == shape else expand(mask, shape))
    if x.flags.c_contiguous:
        on(x, mask).masked_fill(x, mask, number, True)
    else:
        copy_into(x, on(x, mask).masked_fill(contiguous(x), mask, number))


def masked_select_backward(g: Any, mask: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of ``masked_select`` for ``x`` broadcast to ``shape``: zeros with ``g`` where ``mask`` is true."""
    implementation = on(g, mask)
    out = implementation.zeros(shape, g.dtype)
    implementation.put(out, implementation.true_positions(contiguous(expand(mask, shape))), contiguous(g), [], 1, distinct=True)
    return out


def masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    """A copy of ``x`` whose elements where ``mask`` is true are, in order, the first elements of ``source``.

    RuntimeError when ``source`` has fewer elements than the mask is true at, or another dtype.
    """
    same_dtype(x, source, "masked_scatter", "source")
    shape = broadcast_shapes([x.shape, _mask(mask, "masked_scatter").shape], "masked_scatter")
    implementation = on(x, mask, source)
    where = implementation.true_positions(contiguous(expand(mask, shape)))
    if source.size < where.size:
        raise RuntimeError(f"masked_scatter: number of elements of source ({source.size}) < number of ones in mask ({where.size})")
    out = implementation.empty(shape, x.dtype)
    copy_into(out, x)
    implementation.put(out, where, contiguous(source), [], 1, distinct=True)
    return out


def one_hot(index: Any, num_classes: int = -1) -> Any:
    """int64 zeros of shape index.shape + (num_classes,) with a one where the last coordinate is the index; -1 counts the classes.

    RuntimeError for negative indices and for ones that are not smaller than ``num_classes``.
    """
    if index.dtype != np.int64:
        raise RuntimeError(f"one_hot: is only applicable to index tensor of type LongTensor, but got {_dtypes.name(index.dtype)}")
    implementation = on(index)
    if index.size == 0:
        if num_classes <= 0:
            raise RuntimeError("one_hot: can not infer total number of classes from empty tensor.")
        return implementation.zeros((*index.shape, num_classes), _dtypes.int64)
    flat = contiguous(index).reshape(-1)
    low, high = implementation.extremes(flat)
    if low < 0:
        raise RuntimeError(f"one_hot: class values must be non-negative, but got {low}.")
    if num_classes == -1:
        num_classes = high + 1
    elif num_classes < 1:
        raise RuntimeError(f"one_hot: num_classes should be positive, but got {num_classes}")
    elif high >= num_classes:
        raise RuntimeError(f"one_hot: class values must be smaller than num_classes, {num_classes}, but got {high}.")
    return implementation.one_hot(flat, num_classes).reshape((*index.shape, num_classes))


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """out[v] = how often v occurs in ``x`` (1-D, integers >= 0), or the sum of the ``weights`` where it does.

    int64; with weights, float32 for float32 weights and float64 for others.  The length is max(x) + 1, at least ``minlength``.
    """
    if _dtypes.category(x.dtype) != 1:
        raise NotImplementedError(f"bincount: not implemented for {_dtypes.name(x.dtype)}")
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength should be >= 0, but got {minlength}")
    implementation = on(x, weights)
    values = contiguous(cast(x, _dtypes.int64))
    low, high = implementation.extremes(values.reshape(-1)) if values.size else (0, -1)
    if x.ndim != 1 or low < 0:
        raise RuntimeError(f"bincount: only supports 1-d non-negative integral inputs, but got shape {list(x.shape)} with minimum {low}.")
    if weights is not None:
        if weights.shape != x.shape:
            raise RuntimeError(
                f"bincount: weights should be 1-d and have the same length as input, {list(x.shape)}, but got {list(weights.shape)}"
            )
        weights = contiguous(weights if weights.dtype == np.float32 else cast(weights, _dtypes.float64))
    return implementation.bincount(values, max(high + 1, minlength), weights)
