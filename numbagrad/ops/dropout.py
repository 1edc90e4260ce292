"""Dropout in its variants: of elements, of whole channels, and such that a self-normalising network stays so."""

from __future__ import annotations

import math

from ..creation import ones
from ..tensor import Tensor
from ._attach import public
from ._inplace import overwrite
from .random import bernoulli, dropout

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _of_channels(input: Tensor) -> tuple[int, ...]:
    """One number per channel of (N, C, ...), in a shape that broadcasts."""
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*input.shape[:2], *(1,) * (input.ndim - 2))


def _channels_dropped(op: str, dims: tuple[int, ...], input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    _check(p)
    if input.ndim not in dims:
        raise RuntimeError(f"{op}: expected a {dims[0]}-D or {dims[1]}-D input, but got {input.ndim}-D")
    if not training or p == 0:
        return input
    spatial = dims[-1] - 2
    kept = ones((*input.shape[: input.ndim - spatial], *(1,) * spatial), dtype=input.dtype, device=input.device)
    mask = dropout(kept, p, True)
    return input.mul_(mask) if inplace else input * mask  # type: ignore[attr-defined,operator]


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels of (N, C, L) or (C, L)"""
    return _channels_dropped("dropout1d", (2, 3), input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels of (N, C, H, W) or (C, H, W)"""
    return _channels_dropped("dropout2d", (3, 4), input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels of (N, C, D, H, W) or (C, D, H, W)"""
    return _channels_dropped("dropout3d", (4, 5), input, p, training, inplace)


# What SELU tends to far below zero: −scale · alpha (Klambauer et al., "Self-Normalizing Neural Networks", 2017).
_ALPHA = 1.7580993408473766


def _alpha_dropped(input: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    """Elements set to −α with probability p, then scaled and shifted so that mean 0 and variance 1 stay as they are."""
    _check(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0  # type: ignore[attr-defined,operator]
    kept = bernoulli(ones(shape, dtype=input.dtype, device=input.device), 1 - p)
    a = 1 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    shift = (kept - 1) * (_ALPHA * a) + _ALPHA * a * p  # type: ignore[operator]
    dropped = input * (kept * a) + shift  # type: ignore[operator]
    return overwrite(input, dropped, "alpha_dropout_") if inplace else dropped


@public(method=False)
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """a · (x or −α, this with probability p) + b, where a and b keep mean 0 and variance 1 (Klambauer et al., 2017).

    Raises ValueError for ``p`` outside [0, 1].
    """
    return _alpha_dropped(input, tuple(input.shape), p, training, inplace)


@public(method=False)
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """``alpha_dropout`` of whole channels of (N, C, ...)"""
    return _alpha_dropped(input, _of_channels(input) if training else (), p, training, inplace)


@public(method=False)
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """``dropout`` of whole channels of (N, C, ...)"""
    _check(p)
    if not train or p == 0:
        return input
    return input * dropout(ones(_of_channels(input), dtype=input.dtype, device=input.device), p, True)  # type: ignore[operator]
