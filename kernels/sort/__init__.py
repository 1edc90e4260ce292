"""Sorting, selection and search along one dim.

Order is PyTorch's: NaN is larger than everything, -0 equals 0.  Every sort is stable (descending too: equal elements keep their
order), and what selects among equal elements takes them in the order of a stable sort, so all results are determined by the input.
Every dtype but the complex ones is supported; 16-bit floats are ordered by their bits, without widening.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _dtypes
from .._device import family
from ..copy import contiguous
from ..reduce import normalize_dim

__all__ = ["argsort", "kthvalue", "median", "searchsorted", "sort", "topk", "unique"]

_on = family(__name__)


def _rows(op: str, x: Any, dim: int) -> tuple[Any, int, int, int, int]:
    """(flat contiguous x, dim, outer, n, inner)."""
    if _dtypes.category(x.dtype) == 3:
        raise NotImplementedError(f"{op}(): not implemented for {_dtypes.name(x.dtype)}: complex numbers have no order")
    d = normalize_dim(dim.__index__(), x.ndim)
    shape = x.shape or (1,)
    return contiguous(x).reshape(-1), d, math.prod(shape[:d]), shape[d], math.prod(shape[d + 1 :])


# From so many elements on, it pays to bring the dim to the end before a scan along it.
_LARGE = 16384


def _at_end(x: Any, dim: int) -> bool:
    """Whether what is selected along ``dim`` had better be selected along the last dim of a copy."""
    return x.ndim > 1 and dim.__index__() not in (-1, x.ndim - 1) and x.size >= _LARGE and -x.ndim <= dim < x.ndim


def _from_end(results: tuple[Any, ...], dim: int) -> tuple[Any, Any]:
    """Results along the last dim, along ``dim``."""
    values, indices = (contiguous(r.swapaxes(dim, -1)) for r in results)
    return values, indices


def _is_plain(x: Any, dim: int) -> bool:
    """Whether ``x`` is contiguous and ``dim`` its last: the most frequent case, which needs no further look at the shape."""
    return x.flags.c_contiguous and dim in (-1, x.ndim - 1) and x.size > 0 and x.ndim > 0 and x.dtype.kind != "c" and type(dim) is int


def sort(x: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> tuple[Any, Any]:
    """(values, int64 indices) of x in order along ``dim``; always stable, ``stable`` is accepted for PyTorch's sake."""
    if _is_plain(x, dim):
        n = x.shape[-1]
        return _on(x).sort(x, x.size // n, n, 1, descending)
    flat, _, outer, n, inner = _rows("sort", x, dim)
    values, indices = _on(x).sort(flat, outer, n, inner, bool(descending))
    return values.reshape(x.shape), indices.reshape(x.shape)


def argsort(x: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The int64 indices that put x in order along ``dim``."""
    return sort(x, dim, descending, stable)[1]


def topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Any, Any]:
    """(values, int64 indices) of the k largest (or smallest) elements along ``dim``, best first; among equals the first ones.

    RuntimeError if ``k`` is not in [0, size of dim].  The result is in order whatever ``sorted`` says.
    """
    if _is_plain(x, dim) and 0 <= k <= x.shape[-1]:
        n = x.shape[-1]
        return _on(x).topk(x, x.shape[:-1] + (int(k),), x.size // n, n, 1, int(k), largest)
    if _at_end(x, dim):
        return _from_end(topk(x.swapaxes(dim, -1), k, -1, largest, sorted), dim)
    flat, d, outer, n, inner = _rows("topk", x, dim)
    if not 0 <= k <= n:
        raise RuntimeError(f"topk(): selected index k out of range: expected 0 <= k <= {n} for dim {d}, but got {k}")
    shape = x.shape[:d] + (k,) + x.shape[d + 1 :] if x.ndim else ()
    if k == 0 and not x.ndim:
        shape = (0,)
    return _on(x).topk(flat, shape, outer, n, inner, int(k), bool(largest))


def _selected_shape(x: Any, d: int, keepdim: bool) -> tuple[int, ...]:
    if not x.ndim:
        return ()
    return x.shape[:d] + ((1,) if keepdim else ()) + x.shape[d + 1 :]


def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Any, Any]:
    """(values, int64 indices) of the k-th smallest element along ``dim``, counted from 1.  RuntimeError if ``k`` is not in [1, size]."""
    if _is_plain(x, dim) and 1 <= k <= x.shape[-1]:
        n, d = x.shape[-1], x.ndim - 1
        return _on(x).select(x, _selected_shape(x, d, keepdim), x.size // n, n, 1, int(k) - 1, "kth")
    flat, d, outer, n, inner = _rows("kthvalue", x, dim)
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}: expected 1 <= k <= {n}, but got {k}")
    return _on(x).select(flat, _selected_shape(x, d, keepdim), outer, n, inner, int(k) - 1, "kth")


def median(x: Any, dim: int = -1, keepdim: bool = False, ignore_nan: bool = False) -> tuple[Any, Any]:
    """(values, int64 indices) of the lower median along ``dim``: the ⌈n/2⌉-th smallest element.  A NaN makes the result NaN (the first
    one) unless ``ignore_nan`` leaves them out.  IndexError if the dim has size 0."""
    mode = "nanmedian" if ignore_nan else "median"
    if _is_plain(x, dim):
        n, d = x.shape[-1], x.ndim - 1
        return _on(x).select(x, _selected_shape(x, d, keepdim), x.size // n, n, 1, (n - 1) // 2, mode)
    flat, d, outer, n, inner = _rows("median", x, dim)
    if n == 0:
        raise IndexError(f"median(): Expected reduction dim {d} to have non-zero size.")
    return _on(x).select(flat, _selected_shape(x, d, keepdim), outer, n, inner, (n - 1) // 2, mode)


def unique(x: Any, inverse: bool = True) -> tuple[Any, Any, Any]:
    """(values, inverse, counts): the distinct elements in ascending order, where each element of x is among them (int64, shape of x; None
    unless ``inverse``), and how often each occurs (int64).  Every NaN is distinct."""
    flat, *_ = _rows("unique", x.reshape(-1) if x.ndim == 0 else contiguous(x).reshape(-1), 0)
    values, places, counts = _on(x).unique(flat, inverse)
    return values, places.reshape(x.shape) if inverse else None, counts


def searchsorted(sorted_sequence: Any, values: Any, right: bool = False) -> Any:
    """int64 positions at which ``values`` keep ``sorted_sequence`` (ascending along its last dim) in order: before its equals, or after
    them if ``right``.  A one-dimensional sequence serves values of any shape; otherwise all dims but the last have to agree.

    RuntimeError for different dtypes or shapes that do not agree.
    """
    if sorted_sequence.dtype != values.dtype:
        raise RuntimeError(
            "searchsorted(): sorted_sequence and values should have the same dtype, but got "
            f"{_dtypes.name(sorted_sequence.dtype)} and {_dtypes.name(values.dtype)}"
        )
    if sorted_sequence.ndim == 0:
        raise RuntimeError("searchsorted(): sorted_sequence should have at least one dimension, but it has none")
    one = sorted_sequence.ndim == 1
    if not one and sorted_sequence.shape[:-1] != values.shape[:-1]:
        raise RuntimeError(
            "searchsorted(): sorted_sequence should be 1-dimensional or agree with values in all but the last dim, but got "
            f"{tuple(sorted_sequence.shape)} and {tuple(values.shape)}"
        )
    if one and sorted_sequence.flags.c_contiguous and values.flags.c_contiguous and values.ndim == 1 and values.dtype.kind != "c":
        return _on(sorted_sequence, values).searchsorted(sorted_sequence, values, 1, sorted_sequence.size, max(values.size, 1), right)
    sequence, _, outer, n, _ = _rows("searchsorted", sorted_sequence, -1)
    flat = contiguous(values).reshape(-1)
    each = flat.size if one else values.shape[-1] if values.ndim else 1
    return _on(sorted_sequence, values).searchsorted(sequence, flat, 1 if one else outer, n, each, bool(right)).reshape(values.shape)
