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


@functools.lru_cache(maxsize=1024)
def _places(batch: tuple[int, ...], *matrices: tuple[tuple[int, ...], tuple[int, ...]] | None) -> np.ndarray:
    """The offsets of all ``matrices``, given as the shape and strides of their leading dimensions; zeros for those that are None."""
    none = np.zeros(math.prod(batch), np.int64)
    return np.concatenate([none if found is None else _offsets(batch, *found) for found in matrices])


def _lying(*arrays: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]] | None]:
    return [None if x is None else (x.shape[:-2], x.strides[:-2]) for x in arrays]


def _in_rows(x: Any) -> Any:
    """``x`` with contiguous rows."""
    return x if x is None or x.strides[-1] == x.itemsize else contiguous(x)


def _beside(x: Any, batch: tuple[int, ...], width: int) -> Any:
    """A new array (*batch, rows, ``width``) for ``x`` (..., rows, any), whose heads and rows follow one another in memory as those of ``x`` do: heads
    that lie side by side in the rows of a projection come back as they were, and the next projection needs no copy."""
    shape = (*batch, x.shape[-2], width)
    if x.flags.c_contiguous or x.shape[:-2] != batch or 0 in x.strides:
        return empty(shape, x.dtype)
    order = sorted(range(x.ndim - 1), key=lambda d: -abs(x.strides[d]))
    return empty((*[shape[d] for d in order], width), x.dtype).transpose(*[order.index(d) for d in range(x.ndim - 1)], x.ndim - 1)


def _plan(batch: tuple[int, ...], arrays: tuple[Any, ...], mask: Any, causal: bool, dropout: tuple[int, float, int, int]) -> np.ndarray:
    """``arrays``: q, k, v, y, and for the backward pass g, dq, dk and dv."""
    q, k, v = arrays[:3]
    steps = (0, 0) if mask is None else tuple(0 if n == 1 else step for n, step in zip(mask.shape[-2:], mask.strides[-2:]))
    rows = [x.strides[-2] for x in arrays] + [0] * (8 - len(arrays))
    threshold, _, seed, offset = dropout
    words = math.prod(batch), q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1], *rows, *steps, causal, threshold, seed, offset
    return np.array([w - (1 << 64) if w >= 1 << 63 else w for w in words], np.int64)


def attention(
    q: Any, k: Any, v: Any, mask: Any, batch: tuple[int, ...], scale: float, causal: bool, dropout: tuple[int, float, int, int]
) -> tuple[Any, Any]:
    """The result (*batch, L, Ev), which lies in memory as q does, and the logarithms of the rows' sums (*batch, L)."""
    q, k, v = _in_rows(q), _in_rows(k), _in_rows(v)
    length, outer = q.shape[-2], v.shape[-1]
    y, lse = _beside(q, batch, outer), empty((*batch, length), q.dtype)
    places, plan = _places(batch, *_lying(q, k, v, mask, y)), _plan(batch, (q, k, v, y), mask, causal, dropout)
    units = math.prod(batch) * -(-length // CHUNK)
    work = math.prod(batch) * length * k.shape[-2] * (q.shape[-1] + outer)
    arrays = id(y), id(lse), id(q), id(k), id(v), 0 if mask is None else id(mask)
    forward(q.dtype)(units, *arrays, id(places), id(plan), scale, dropout[1], work=work)
    return y, lse


def attention_backward(
    g: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    y: Any,
    lse: Any,
    scale: float,
    causal: bool,
    dropout: tuple[int, float, int, int],
    out: tuple[Any, Any, Any] | None,
) -> tuple[Any, Any, Any]:
    """The gradients of q, k and v, (*batch, ...), which lie in memory as q, k and v do, or ``out``."""
    g, q, k, v, y, lse = _in_rows(g), _in_rows(q), _in_rows(k), _in_rows(v), _in_rows(y), contiguous(lse)
    batch = y.shape[:-2]
    dq, dk, dv = out or (_beside(x, batch, x.shape[-1]) for x in (q, k, v))
    places = _places(batch, *_lying(q, k, v, mask, y, g, dq, dk, dv))
    plan = _plan(batch, (q, k, v, y, g, dq, dk, dv), mask, causal, dropout)
    work = math.prod(batch) * q.shape[-2] * k.shape[-2] * (q.shape[-1] + v.shape[-1]) * 5 // 2
    arrays = id(dq), id(dk), id(dv), id(g), id(y), id(lse), id(q), id(k), id(v), 0 if mask is None else id(mask)
    backward(q.dtype)(math.prod(batch), *arrays, id(places), id(plan), scale, dropout[1], work=work)
    return dq, dk, dv
