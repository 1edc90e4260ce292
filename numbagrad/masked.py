"""Reductions and normalizations of the elements that a mask leaves, under the names of ``torch.masked``.

``mask``: booleans that broadcast to the input's shape, True for what counts; None for everything.  What is masked out takes no part in a reduction, as if it
were the identity of the operation; a row without an element gives that identity (0, 1, ∞, NaN for a mean).  All raise IndexError for a mask of more
dimensions than the input.
"""

from __future__ import annotations

import math
from typing import Any

from . import dtypes
from .ops import FUNCTIONS
from .tensor import Tensor

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median", "norm", "normalize", "prod",
    "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip

_NARROW = ("bool", "uint8", "int8", "int16", "int32")


def _full(input: Tensor, mask: Tensor) -> Any:
    """The mask in the input's shape."""
    if mask.ndim > input.ndim:
        raise IndexError(
            f"expected a mask that broadcasts to the input, of shape {list(input.shape)}, but got one of shape {list(mask.shape)}"
        )
    return mask.bool().expand(input.shape)  # type: ignore[attr-defined]


def _kept(input: Any, mask: Tensor | None, identity: Any) -> Any:
    """The input with ``identity`` for what is masked out."""
    return input if mask is None else FUNCTIONS["where"](_full(input, mask), input, input.new_full((), identity))


def _lowest(input: Any) -> Any:
    return -math.inf if input.is_floating_point() else dtypes.iinfo(input.dtype).min


def _highest(input: Any) -> Any:
    return math.inf if input.is_floating_point() else dtypes.iinfo(input.dtype).max


def _dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dims as a tuple, none standing for all.  Raises IndexError for one out of range, RuntimeError for one given twice."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    found = []
    for d in dim if isinstance(dim, (tuple, list)) else (dim,):
        size = max(ndim, 1)
        if not -size <= d < size:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {d})")
        if d % size in found:
            raise RuntimeError(f"dim={d} appears multiple times in the list of dims")
        found.append(d % size)
    return tuple(found)


def sum(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Σ of what counts over ``dim``; small integers give int64"""
    kind = dtype or (dtypes.int64 if input.dtype.name in _NARROW else input.dtype)
    return _kept(input, mask, 0).sum(_dims(dim, input.ndim), bool(keepdim), dtype=kind)


def prod(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Π of what counts over ``dim``; small integers give int64"""
    y = _kept(input, mask, 1).to(dtype or (dtypes.int64 if input.dtype.name in _NARROW else input.dtype))
    for d in sorted(_dims(dim, input.ndim), reverse=True):
        y = y.prod(d, bool(keepdim))
    return y


def amax(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The largest of what counts over ``dim``"""
    return _kept(input, mask, _lowest(input)).amax(_dims(dim, input.ndim), bool(keepdim)).to(dtype or input.dtype)


def amin(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The smallest of what counts over ``dim``"""
    return _kept(input, mask, _highest(input)).amin(_dims(dim, input.ndim), bool(keepdim)).to(dtype or input.dtype)


def argmax(input: Any, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Where the largest of what counts is, as numbers of the input's dtype unless another is given"""
    return _kept(input, mask, _lowest(input)).argmax(dim, bool(keepdim)).to(dtype or input.dtype)


def argmin(input: Any, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Where the smallest of what counts is, as numbers of the input's dtype unless another is given"""
    return _kept(input, mask, _highest(input)).argmin(dim, bool(keepdim)).to(dtype or input.dtype)


def _count(input: Any, dim: Any, keepdim: bool, mask: Tensor | None) -> Any:
    there = input.new_ones(input.shape, dtype=dtypes.bool_) if mask is None else _full(input, mask)
    return there.sum(_dims(dim, input.ndim), keepdim)


def mean(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Σ / n of what counts; NaN where nothing does.  Raises ValueError for integers unless ``dtype`` converts them."""
    kind = dtype or input.dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise ValueError(f"mean(): expected a floating point or complex dtype, but got {kind}")
    return sum(input, dim, keepdim=keepdim, dtype=kind, mask=mask) / _count(input, dim, bool(keepdim), mask)


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The lower median of what counts along ``dim``, NaN left out as well; NaN where nothing counts, which for integers is a ValueError."""
    x = input if input.is_floating_point() else input.float()
    y = _kept(x, mask, math.nan).nanmedian(_dims(dim, input.ndim)[0], keepdim)[0]
    if input.is_floating_point():
        return y
    if y.isnan().any().item():
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return y.to(dtype or input.dtype)


def norm(
    input: Any, ord: float | None = 2.0, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) of what counts over ``dim``"""
    order = 2.0 if ord is None else ord
    return _kept(input, mask, math.inf if order == -math.inf else 0).norm(order, _dims(dim, input.ndim), bool(keepdim), dtype=dtype)


def _spread(input: Any, dim: Any, unbiased: bool | None, correction: float | None, keepdim: bool, dtype: Any, mask: Any) -> Any:
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    less = correction if correction is not None else 1.0 if unbiased is None else float(unbiased)
    kind = dtype or (input.dtype if input.is_floating_point() or input.is_complex() else dtypes.float32)
    count = _count(input, dim, True, mask)
    apart = input - sum(input, dim, keepdim=True, dtype=kind, mask=mask) / count
    wide = kind if kind.is_floating_point or kind.is_complex else dtypes.float32
    total = sum(apart * apart.conj(), dim, keepdim=keepdim, dtype=wide, mask=mask)
    freedom = count.reshape(total.shape)
    if less != 0:
        freedom = (freedom.to(total.dtype if total.is_floating_point() else total.real.dtype) - less).clamp(min=0)
    return (total / freedom).to(kind)


def var(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Σ |x − mean|² / max(0, n − correction) of what counts over ``dim``"""
    return _spread(input, dim, unbiased, correction, bool(keepdim), dtype, mask)


def std(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """√var"""
    return _spread(input, dim, unbiased, correction, bool(keepdim), dtype, mask).sqrt()


def logsumexp(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """log Σ exp of what counts over ``dim``; −∞ where nothing does"""
    return _kept(input, mask, _lowest(input)).logsumexp(_dims(dim, input.ndim), keepdim).to(dtype or input.dtype)


def logaddexp(input: Any, other: Any, *, dtype: Any = None, input_mask: Tensor | None = None, other_mask: Tensor | None = None) -> Tensor:
    """log(exp(input) + exp(other)), either with a mask of its own"""
    both = FUNCTIONS["logaddexp"](_kept(input, input_mask, -math.inf), _kept(other, other_mask, -math.inf))
    return both.to(dtype or input.dtype)


# ---- normalizations, whose results have the input's shape ----------------------------------------------------------------------------


def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The running Σ of what counts along ``dim``"""
    return _kept(input, mask, 0).cumsum(_dims(dim, input.ndim)[0], dtype=dtype).to(dtype or input.dtype)


def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The running Π of what counts along ``dim``"""
    return _kept(input, mask, 1).cumprod(_dims(dim, input.ndim)[0], dtype=dtype).to(dtype or input.dtype)


def softmax(input: Any, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """eˣ / Σ eˣ of what counts along ``dim``; 0 for the rest"""
    return _kept(input, mask, _lowest(input)).softmax(_dims(dim, input.ndim)[0], dtype=dtype or input.dtype)


def log_softmax(input: Any, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """x − log Σ eˣ of what counts along ``dim``; −∞ for the rest"""
    return _kept(input, mask, _lowest(input)).log_softmax(_dims(dim, input.ndim)[0], dtype=dtype or input.dtype)


def softmin(input: Any, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """e⁻ˣ / Σ e⁻ˣ of what counts along ``dim``; 0 for the rest"""
    return (-_kept(input, mask, _highest(input))).softmax(_dims(dim, input.ndim)[0], dtype=dtype or input.dtype)


def normalize(input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """x / max(‖x‖, eps) along ``dim``, the norm being that of what counts; 0 for the rest"""
    size: Any = norm(input, ord, dim, keepdim=True, dtype=dtype or input.dtype, mask=mask)
    return _kept(input, mask, 0) / FUNCTIONS["maximum"](size, size.new_full((), eps))
