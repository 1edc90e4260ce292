"""Attention of queries to keys by a tiled online softmax, whose memory is linear in the lengths: the weights are never stored."""

from __future__ import annotations

from typing import Any

from .. import _dtypes
from .._cpu import simd
from .._device import family, on_cpu
from ..copy import zeros
from ..matmul import broadcast_batch
from ..random import _threshold

__all__ = ["attention", "attention_backward", "draws", "tiled"]

_on = family(__name__)


def draws(q: Any, k: Any) -> int:
    """The random numbers that dropout takes: a row of weights begins with a new block of four."""
    rows = q.shape[-2]
    for size in broadcast_batch(q.shape[:-2], k.shape[:-2]):
        rows *= size
    return rows * -(-k.shape[-2] // 4) * 4


def tiled(x: Any) -> bool:
    """Whether there are kernels for the device and machine of ``x``: on the CPU they are vector code, which there is none of where Numba compiles nothing."""
    return not on_cpu(x) or simd.COMPILED


def _kept(dropout: tuple[float, int, int]) -> tuple[int, float, int, int]:
    """The threshold below which a random word keeps a weight (−1: all are kept), what it is multiplied by then, seed and offset."""
    p, seed, offset = dropout
    return -1 if p == 0.0 else int(_threshold(1.0 - p)), 1.0 / (1.0 - p) if p < 1.0 else 0.0, seed, offset


def attention(q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, dropout: tuple[float, int, int]) -> tuple[Any, Any]:
    """y = softmax(scale · q·kᵀ + mask)·v, and the logarithms of the rows' sums, for ``attention_backward``.

    q [..., L, E], k [..., S, E], v [..., S, Ev], float32 or float64, leading dimensions broadcast; ``mask`` of their dtype broadcasts to [..., L, S], or
    is None; ``causal``: row i of q meets the rows of k up to i; ``dropout``: (p, seed, offset), of the weights.  Rows without a key to attend to give 0.
    Raises RuntimeError for other shapes and dtypes.  T. Dao et al., "FlashAttention" (2022).
    """
    if any(x.dtype != q.dtype for x in (k, v, mask) if x is not None) or q.dtype not in (_dtypes.float32, _dtypes.float64):
        names = ", ".join(_dtypes.name(x.dtype) for x in (q, k, v, mask) if x is not None)
        raise RuntimeError(f"attention: expected one floating point dtype of q, k, v and mask, but got {names}")
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise RuntimeError(
            f"attention: expected q [..., L, E], k [..., S, E] and v [..., S, Ev], but got {list(q.shape)}, {list(k.shape)} and {list(v.shape)}"
        )
    batch = broadcast_batch(broadcast_batch(q.shape[:-2], k.shape[:-2]), v.shape[:-2])
    if mask is not None:
        scores = (q.shape[-2], k.shape[-2])
        sizes = (1,) * (2 - mask.ndim) + mask.shape
        mask = mask.reshape(sizes)
        if any(n not in (1, size) for n, size in zip(sizes[-2:], scores)) or broadcast_batch(batch, sizes[:-2]) != batch:
            raise RuntimeError(f"attention: expected a mask that broadcasts to {[*batch, *scores]}, but got {list(mask.shape)}")
    if k.shape[-2] == 0:
        return zeros((*batch, q.shape[-2], v.shape[-1]), q.dtype, q), zeros((*batch, q.shape[-2]), q.dtype, q)
    return _on(q, k, v, mask).attention(q, k, v, mask, batch, scale, bool(causal), _kept(dropout))


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
    dropout: tuple[float, int, int],
    out: tuple[Any, Any, Any] | None = None,
) -> tuple[Any, Any, Any]:
    """The gradients of q, k and v from that of y; in the shapes that their leading dimensions broadcast to.  They are written to ``out``, three arrays
    with contiguous rows, if that is given."""
    mask = mask if mask is None or mask.ndim > 1 else mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
    return _on(q, k, v, mask).attention_backward(g, q, k, v, mask, y, lse, scale, bool(causal), _kept(dropout), out)
