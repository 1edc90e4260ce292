"""Attention on the CPU: what the kernels of ``_forward`` and ``_backward`` are called with."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .._cpu import empty
from ..copy import contiguous
from ._backward import backward
from ._blocks import CHUNK
from ._forward import forward


@functools.lru_cache(maxsize=1024)
def _offsets(batch: tuple[int, ...], shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """Byte offset of each matrix of an array whose leading dimensions, of this shape and strides, broadcast to ``batch``."""
    offsets = np.zeros(batch, np.int64)
    for dim in range(-len(shape), 0):
        if shape[dim] != 1:
            offsets += (np.arange(batch[dim]) * strides[dim]).reshape(-1, *[1] * (-dim - 1))
    return offsets.reshape(-1)


def _places(batch: tuple[int, ...], *arrays: Any) -> np.ndarray:
    none = np.zeros(math.prod(batch), np.int64)
    return np.concatenate([none if x is None else _offsets(batch, x.shape[:-2], x.strides[:-2]) for x in arrays])


def _in_rows(x: Any) -> Any:
    """``x`` with contiguous rows."""
    return x if x is None or x.strides[-1] == x.itemsize else contiguous(x)


def _plan(
    q: Any, k: Any, v: Any, g: Any, mask: Any, batch: tuple[int, ...], causal: bool, dropout: tuple[int, float, int, int]
) -> np.ndarray:
    steps = (0, 0) if mask is None else tuple(0 if n == 1 else step for n, step in zip(mask.shape[-2:], mask.strides[-2:]))
    rows = q.strides[-2], k.strides[-2], v.strides[-2], 0 if g is None else g.strides[-2]
    threshold, _, seed, offset = dropout
    words = math.prod(batch), q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1], *rows, *steps, causal, threshold, seed, offset
    return np.array([w - (1 << 64) if w >= 1 << 63 else w for w in words], np.int64)


def attention(
    q: Any, k: Any, v: Any, mask: Any, batch: tuple[int, ...], scale: float, causal: bool, dropout: tuple[int, float, int, int]
) -> tuple[Any, Any]:
    """The result (*batch, L, Ev) and the logarithms of the rows' sums (*batch, L)."""
    q, k, v = _in_rows(q), _in_rows(k), _in_rows(v)
    length, outer = q.shape[-2], v.shape[-1]
    y, lse = empty((*batch, length, outer), q.dtype), empty((*batch, length), q.dtype)
    places, plan = _places(batch, q, k, v, mask), _plan(q, k, v, None, mask, batch, causal, dropout)
    units = math.prod(batch) * -(-length // CHUNK)
    work = math.prod(batch) * length * k.shape[-2] * (q.shape[-1] + outer)
    arrays = id(y), id(lse), id(q), id(k), id(v), 0 if mask is None else id(mask)
    forward(q.dtype)(units, *arrays, id(places), id(plan), scale, dropout[1], work=work)
    return y, lse


def attention_backward(
    g: Any, q: Any, k: Any, v: Any, mask: Any, y: Any, lse: Any, scale: float, causal: bool, dropout: tuple[int, float, int, int]
) -> tuple[Any, Any, Any]:
    """The gradients of q, k and v, (*batch, ...)."""
    g, q, k, v = _in_rows(g), _in_rows(q), _in_rows(k), _in_rows(v)
    batch = y.shape[:-2]
    dq, dk, dv = (empty((*batch, *x.shape[-2:]), x.dtype) for x in (q, k, v))
    places, plan = _places(batch, q, k, v, mask, g), _plan(q, k, v, g, mask, batch, causal, dropout)
    work = math.prod(batch) * q.shape[-2] * k.shape[-2] * (q.shape[-1] + v.shape[-1]) * 5 // 2
    arrays = id(dq), id(dk), id(dv), id(g), id(y), id(lse), id(q), id(k), id(v), 0 if mask is None else id(mask)
    backward(q.dtype)(math.prod(batch), *arrays, id(places), id(plan), scale, dropout[1], work=work)
    return dq, dk, dv
