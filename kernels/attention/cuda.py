"""Attention on CUDA: what the kernels of ``_cuda_tiles`` are launched with.  Operands are brought into contiguous rows, a matrix per head."""

from __future__ import annotations

import math
from typing import Any

from .._cuda.array import CudaArray, empty
from .._cuda.launch import launch
from ..copy import contiguous, copy_into
from ..elementwise import formulas
from ..reduce import sum as sum_over
from ._cuda_tiles import THREADS, TILE, kernels


def _matrices(x: CudaArray, batch: tuple[int, ...]) -> CudaArray:
    """``x`` expanded to the batch, contiguous."""
    missing = len(batch) + 2 - len(x.shape)
    steps = (0,) * missing + tuple(0 if n == 1 else step for n, step in zip(x.shape[:-2], x.strides[:-2]))
    return contiguous(x.as_strided((*batch, *x.shape[-2:]), (*steps, *x.strides[-2:])))


def _mask(mask: Any, batch: tuple[int, ...]) -> tuple[Any, tuple[int, int, int]]:
    """The mask, and the elements from a head, a row and a column to the next."""
    if mask is None:
        return None, (0, 0, 0)
    mask = contiguous(mask) if math.prod(mask.shape[:-2]) == 1 else _matrices(mask, batch)
    rows, columns = mask.shape[-2:]
    return mask, (0 if math.prod(mask.shape[:-2]) == 1 else rows * columns, 0 if rows == 1 else columns, 0 if columns == 1 else 1)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def _settings(q: Any, k: Any, v: Any, steps: Any, scale: float, dropout: tuple[int, float, int, int]) -> tuple[Any, ...]:
    threshold, kept, seed, offset = dropout
    sizes = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    return *sizes, *steps, threshold, _signed(seed), _signed(offset), kept, scale


def _launch(kernel: Any, rows: int, heads: int, arguments: tuple[Any, ...]) -> None:
    """One block for each tile of ``rows`` of each head."""
    launch(kernel, -(-rows // TILE) * heads, THREADS, arguments)


def attention(
    q: Any, k: Any, v: Any, mask: Any, batch: tuple[int, ...], scale: float, causal: bool, dropout: tuple[int, float, int, int]
) -> tuple[Any, Any]:
    """The result (*batch, L, Ev) and the logarithms of the rows' sums (*batch, L)."""
    heads, length = math.prod(batch), q.shape[-2]
    y, lse = empty((*batch, length, v.shape[-1]), q.dtype), empty((*batch, length), q.dtype)
    if y.size:
        q, k, v = (_matrices(x, batch) for x in (q, k, v))
        mask, steps = _mask(mask, batch)
        pointers = y.pointer, lse.pointer, q.pointer, k.pointer, v.pointer, q.pointer if mask is None else mask.pointer
        found = kernels(q.dtype, mask is not None, causal, dropout[0] >= 0)
        _launch(found.forward, length, heads, (*pointers, *_settings(q, k, v, steps, scale, dropout)))
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
    """The gradients of q, k and v, (*batch, ...); in ``out`` if that is given."""
    batch = y.shape[:-2]
    heads = math.prod(batch)
    dq, dk, dv = (empty((*batch, *x.shape[-2:]), x.dtype) for x in (q, k, v))
    if heads and dk.shape[-2]:
        g, y, lse, q, k, v = contiguous(g), contiguous(y), contiguous(lse), *(_matrices(x, batch) for x in (q, k, v))
        mask, steps = _mask(mask, batch)
        means = sum_over(formulas.mul(g, y), -1)
        inputs = g.pointer, lse.pointer, means.pointer, q.pointer, k.pointer, v.pointer, q.pointer if mask is None else mask.pointer
        settings = _settings(q, k, v, steps, scale, dropout)
        found = kernels(q.dtype, mask is not None, causal, dropout[0] >= 0)
        if dq.size:
            _launch(found.backward_queries, q.shape[-2], heads, (dq.pointer, *inputs, *settings))
        _launch(found.backward_keys, k.shape[-2], heads, (dk.pointer, dv.pointer, *inputs, *settings))
    if out is None:
        return dq, dk, dv
    for target, slope in zip(out, (dq, dk, dv)):
        copy_into(target, slope)
    return out
