"""Sums and other statistics, searching, sorting and sets."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import dtypes
from ..ops import FUNCTIONS
from ..tensor import Tensor
from ._elementwise import promoted

__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "count_nonzero", "cumulative_prod", "cumulative_sum", "diff", "max", "mean", "min", "nonzero", "prod",
    "searchsorted", "sort", "std", "sum", "unique_all", "unique_counts", "unique_inverse", "unique_values", "var", "where",
]  # fmt: skip

Axis = int | tuple[int, ...] | None


def _axes(x: Any, axis: Axis) -> list[int]:
    """The axes that ``axis`` names, counted from the front."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return [x._dim(a) for a in axes]


# ---- statistics --------------------------------------------------------------------------------------------------------------------------


def sum(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Σ x; small integers and truth values are added as int64."""
    axes = _axes(x, axis)
    return x.sum(axes, keepdims, dtype=dtype) if axes else x.to(_wide(x, dtype))


def prod(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Π x; small integers and truth values are multiplied as int64."""
    y = x.to(_wide(x, dtype))
    for a in sorted(_axes(x, axis), reverse=True):
        y = y.prod(a, keepdims)
    return y


def _wide(x: Any, dtype: Any) -> Any:
    """The type of a sum or product."""
    return dtype or (x.dtype if x.is_floating_point() or x.is_complex() else dtypes.int64)


def mean(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean."""
    axes = _axes(x, axis)
    return x.mean(axes, keepdims) if axes else x.clone()


def var(x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance, divided by N − ``correction``."""
    return x.var(_axes(x, axis), correction=correction, keepdim=keepdims) if x.ndim else x * 0


def std(x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation: the root of the variance."""
    return x.std(_axes(x, axis), correction=correction, keepdim=keepdims) if x.ndim else x * 0


def max(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest value."""
    return x.amax(_axes(x, axis), keepdims)


def min(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest value."""
    return x.amin(_axes(x, axis), keepdims)


def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """The sums of the first elements, with ``include_initial`` from none on."""
    return _cumulative("cumsum", 0, x, axis, dtype, include_initial)


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """The products of the first elements, with ``include_initial`` from none on."""
    return _cumulative("cumprod", 1, x, axis, dtype, include_initial)


def _cumulative(name: str, start: int, x: Any, axis: int | None, dtype: Any, include_initial: bool) -> Tensor:
    if axis is None and x.ndim != 1:
        raise ValueError(f"cumulative_{name[3:]}: axis is needed for a tensor of {x.ndim} dimensions")
    axis = x._dim(0 if axis is None else axis)
    y = FUNCTIONS[name](x, axis, dtype=_wide(x, dtype))
    if not include_initial:
        return y
    return FUNCTIONS["cat"]([y.new_full([1 if d == axis else n for d, n in enumerate(y.shape)], start), y], axis)


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Tensor:
    """The ``n``-th differences of neighbours."""
    return FUNCTIONS["diff"](x, n, axis, prepend, append)


def all(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all are true."""
    y = x.to(dtypes.bool_)
    for a in sorted(_axes(x, axis), reverse=True):
        y = y.all(a, keepdims)
    return y


def any(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any is true."""
    y = x.to(dtypes.bool_)
    for a in sorted(_axes(x, axis), reverse=True):
        y = y.any(a, keepdims)
    return y


# ---- searching and sorting ---------------------------------------------------------------------------------------------------------------


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the (first) largest value is."""
    return _placed(x.argmax(axis, keepdims if axis is not None else False), x, axis, keepdims)


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the (first) smallest value is."""
    return _placed(x.argmin(axis, keepdims if axis is not None else False), x, axis, keepdims)


def _placed(found: Any, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    return found.reshape((1,) * x.ndim) if keepdims and axis is None else found


def count_nonzero(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many are not zero."""
    return sum(x != 0, axis=axis, keepdims=keepdims)


def nonzero(x: Any, /) -> tuple[Tensor, ...]:
    """Where the values are not zero: one tensor of indices per axis.  Raises ValueError for a tensor without axes."""
    if x.ndim == 0:
        raise ValueError("nonzero: a tensor without dimensions has no places")
    return tuple(x.nonzero(as_tuple=True))


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Tensor:
    """Where ``x2`` would stand in the sorted ``x1``."""
    return FUNCTIONS["searchsorted"](*promoted(x1, x2), side=side, sorter=sorter)


def where(condition: Any, x1: Any, x2: Any, /) -> Tensor:
    """``x1`` where ``condition`` holds, else ``x2``."""
    return FUNCTIONS["where"](condition, *promoted(x1, x2))


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The values in order."""
    return x.sort(dim=axis, descending=descending, stable=stable)[0]


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that put the values in order."""
    return x.argsort(dim=axis, descending=descending, stable=stable)


# ---- sets --------------------------------------------------------------------------------------------------------------------------------


class UniqueAll(NamedTuple):
    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    values: Tensor
    inverse_indices: Tensor


def unique_values(x: Any, /) -> Tensor:
    """The different values, in order."""
    return x.unique()


def unique_counts(x: Any, /) -> UniqueCounts:
    """The different values and how often each occurs."""
    return UniqueCounts(*x.unique(return_counts=True))


def unique_inverse(x: Any, /) -> UniqueInverse:
    """The different values, and which of them stands at each place."""
    return UniqueInverse(*x.unique(return_inverse=True))


def unique_all(x: Any, /) -> UniqueAll:
    """The different values, where each occurs first (in the flat tensor), which stands at each place, and how often each occurs."""
    values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    first = inverse.reshape(-1).argsort(stable=True)[counts.cumsum(0) - counts]
    return UniqueAll(values, first, inverse, counts)
