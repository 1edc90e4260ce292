"""The operations behind the normalisations, which also return what they have found: mean and 1 / √(var + eps)."""

from __future__ import annotations

from typing import Any, Sequence

from .. import dtypes
from ..creation import empty
from ..tensor import Tensor
from ._arguments import is_recorded
from ._attach import public
from .norm import batch_norm_with_statistics, group_norm_with_statistics, layer_norm_with_statistics


@public(method=False)
def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(``nn.functional.layer_norm``, mean, 1 / √(var + eps)), the normalised dimensions of the statistics being 1"""
    return layer_norm_with_statistics(input, tuple(normalized_shape), weight, bias, eps)


@public(method=False)
def native_group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(``nn.functional.group_norm``, mean, 1 / √(var + eps)), the statistics (N, group); ``N``, ``C`` and ``HxW`` are those of ``input``"""
    if N * C * HxW != input.numel():
        raise RuntimeError(f"native_group_norm: expected input of {N} x {C} x {HxW} elements, but got shape {list(input.shape)}")
    y, mean, rstd = group_norm_with_statistics(input, group, weight, bias, eps)
    if is_recorded(input):  # these have gradients too
        rows = input.reshape(N, group, C // group * HxW)  # type: ignore[attr-defined]
        distance = rows - rows.mean(2, keepdim=True)
        mean, rstd = rows.mean(2).to(mean.dtype), ((distance * distance).mean(2) + eps).rsqrt().to(rstd.dtype)
    return y, mean, rstd


@public(method=False, out=True)
def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(``nn.functional.batch_norm``, mean, 1 / √(var + eps)); the statistics are empty unless they are the batch's"""
    y, mean, rstd = batch_norm_with_statistics(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        mean, rstd = (empty(0, dtype=mean.dtype, device=input.device) for _ in range(2))
    return y, mean, rstd


@public(method=False)
def _native_batch_norm_legit(input: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    """``native_batch_norm``, also without running statistics: (input, weight, bias, training, momentum, eps)"""
    if len(rest) == 3:
        rest = (None, None, *rest)
    return native_batch_norm(input, weight, bias, *rest)


@public(method=False)
def _batch_norm_with_update(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``native_batch_norm`` in training, and what other implementations keep for its gradient: here nothing"""
    found = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *found, empty(0, dtype=dtypes.uint8, device=input.device)
