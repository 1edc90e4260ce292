"""Bags of rows of a table, and bilinear forms."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from ..creation import arange, tensor, zeros
from ..tensor import Tensor
from . import elementwise as e
from .embedding import _renormalise, embedding

__all__ = ["bilinear", "embedding_bag"]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = x1ᵀ·W_o·x2 + b_o for x1 (..., I), x2 (..., J), ``weight`` (O, I, J) and ``bias`` (O,).  Raises RuntimeError for sizes that do not match."""
    out, first, second = weight.shape
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError(f"bilinear(): input batch dimensions do not match: got {list(input1.shape)} and {list(input2.shape)}")
    if input1.shape[-1] != first or input2.shape[-1] != second:
        raise RuntimeError(
            f"bilinear(): input1 and input2 sizes do not match weight sizes: got {input1.shape[-1]} and {input2.shape[-1]} but expected {first} "
            f"and {second}"
        )
    if bias is not None and tuple(bias.shape) != (out,):
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {list(bias.shape)} but expected [{out}]")
    x1: Any = input1
    w: Any = weight
    each = (x1.reshape(-1, first) @ w.permute(1, 0, 2).reshape(first, out * second)).reshape(-1, out, second)
    y = (each * input2.reshape(-1, 1, second)).sum(-1)  # type: ignore[attr-defined]
    y = y if bias is None else y + bias
    return y.reshape(*input1.shape[:-1], out)


def _check(input: Any, weight: Any, offsets: Any, mode: str, scale_grad_by_freq: bool, sparse: bool, per_sample_weights: Any) -> None:
    if per_sample_weights is not None and tuple(input.shape) != tuple(per_sample_weights.shape):
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the same shape as the input ({input.shape})"
        )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")
    if input.ndim == 2 and offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. However, found "
            f"offsets of type {type(offsets)}"
        )
    if input.ndim == 1 and (offsets is None or offsets.ndim != 1):
        raise ValueError("offsets has to be a 1D Tensor" + (" but got None" if offsets is None else ""))
    if input.ndim not in (1, 2):
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            f"embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got mode='{mode}')."
        )


def _bags(offsets: list[int], count: int, include_last: bool) -> list[int]:
    """Where each bag begins, and behind the last one where that ends."""
    if include_last and not offsets:
        raise RuntimeError("include_last_offset: number of offsets should be at least 1")
    if offsets and offsets[0] != 0:
        raise RuntimeError(
            f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got {offsets[0]}"
        )
    if offsets and offsets[-1] > count:
        raise RuntimeError(f"offsets[-1] can not be greater than input's length({count}) but got offsets[-1] of {offsets[-1]}")
    return offsets if include_last else [*offsets, count]


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum (``mode``) of each bag of rows of ``weight`` (V, D); zero for an empty bag.

    ``input`` (B, L): B bags of L indices; or (N,), bag b from ``offsets[b]`` to the next one (``include_last_offset``: the last offset is the end).
    ``per_sample_weights``, of input's shape, multiply the rows of a sum.  Indices equal to ``padding_idx`` are left out.  ``max_norm`` and
    ``scale_grad_by_freq`` as in ``embedding``; gradients are dense, ``sparse`` or not.  Raises ValueError, NotImplementedError and RuntimeError for
    arguments that do not go together.
    """
    _check(input, weight, offsets, mode, scale_grad_by_freq, sparse, per_sample_weights)
    index: Any = input
    scale: Any = per_sample_weights
    if index.ndim == 2:
        count, length = index.shape
        bounds = [k * length for k in range(count + 1)]
        index, scale = index.reshape(-1), None if scale is None else scale.reshape(-1)
    else:
        bounds = _bags(offsets.tolist(), index.shape[0], include_last_offset)  # type: ignore[union-attr]
        index, scale = index[: bounds[-1]], None if scale is None else scale[: bounds[-1]]
    if max_norm is not None:
        _renormalise(weight, index, max_norm, norm_type)
    rows = embedding(index, weight, None, None, norm_type, scale_grad_by_freq)
    kept = None
    if padding_idx is not None:
        kept = index != (padding_idx + weight.shape[0] if padding_idx < 0 else padding_idx)
    sizes = [end - start for start, end in zip(bounds, bounds[1:])]
    return _largest(rows, kept, bounds, sizes) if mode == "max" else _summed(rows, kept, scale, sizes, mode == "mean")


def _summed(rows: Any, kept: Any, scale: Any, sizes: list[int], mean: bool) -> Any:
    count = len(sizes)
    bag = arange(count, device=rows.device).repeat_interleave(_tensor(sizes, rows))  # type: ignore[attr-defined]
    if scale is not None:
        rows = rows * scale.unsqueeze(1).to(rows.dtype)
    if kept is not None:
        rows = rows * kept.unsqueeze(1).to(rows.dtype)
    total = zeros(count, rows.shape[1], dtype=rows.dtype, device=rows.device).index_add(0, bag, rows)  # type: ignore[attr-defined]
    if not mean:
        return total
    number: Any = _tensor(sizes, rows)
    if kept is not None:
        number = zeros(count, dtype=dtypes.int64, device=rows.device).index_add(0, bag, kept.to(dtypes.int64))  # type: ignore[attr-defined]
    return total / number.clamp(min=1).unsqueeze(1).to(rows.dtype)


def _largest(rows: Any, kept: Any, bounds: list[int], sizes: list[int]) -> Any:
    """The maximum over each bag, with the gradient to the first of equal rows: bags padded to one length."""
    longest = max(sizes, default=0)
    if longest == 0:
        return rows.sum() * 0 + zeros(len(sizes), rows.shape[1], dtype=rows.dtype, device=rows.device)
    places: Any = _tensor(bounds[:-1], rows).unsqueeze(1) + arange(longest, device=rows.device)
    there = arange(longest, device=rows.device) < _tensor(sizes, rows).unsqueeze(1)
    places = places.clamp(max=rows.shape[0] - 1)
    there = there if kept is None else there & kept[places]
    found = e.where(there.unsqueeze(2), rows[places], -math.inf).max(1)[0]  # type: ignore[union-attr]
    return e.where(there.any(1).unsqueeze(1), found, 0.0)  # type: ignore[union-attr]


def _tensor(numbers: list[int], like: Any) -> Any:
    return tensor(numbers, dtype=dtypes.int64, device=like.device)
