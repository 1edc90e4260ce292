"""Sorting, selection and search.  Gradients go to the elements that were selected."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import copy as copy_kernels
from ..kernels import sort as kernels
from ..kernels._device import on_cpu
from ..kernels.elementwise import result_type
from ..kernels.reduce import normalize_dim
from ..tensor import Tensor, wrap
from ._along import kept, named_result, pick, put
from ._arguments import is_recorded
from ._attach import public
from ._operation import differentiable
from .reduce import shared_among_ties, sum_

_PAIR = ("values", "indices")
_SortResult, _TopkResult = named_result("sort", *_PAIR), named_result("topk", *_PAIR)
_KthResult, _MedianResult, _NanMedianResult = (named_result(n, *_PAIR) for n in ("kthvalue", "median", "nanmedian"))


def _place(g: Tensor, indices: Tensor, x_shape: tuple[int, ...], dim: int) -> Tensor:
    return put(g, indices, tuple(x_shape), dim)


def _place_one(g: Tensor, indices: Tensor, x_shape: tuple[int, ...], dim: int) -> Tensor:
    return put(kept(g, x_shape, (dim,)), kept(indices, x_shape, (dim,)), tuple(x_shape), dim)


_sort = differentiable("sort", kernels.sort, results=_PAIR, x=_place)
_topk = differentiable("topk", kernels.topk, results=_PAIR, x=_place)
_kthvalue = differentiable("kthvalue", kernels.kthvalue, results=_PAIR, x=_place_one)
_median_of_all = differentiable(
    "median",
    lambda x, ignore_nan: kernels.median(copy_kernels.contiguous(x).reshape(-1), 0, False, ignore_nan)[0],
    x=lambda g, y, x: shared_among_ties(g, y, x, tuple(range(x.ndim))),
)
_median = differentiable("median", kernels.median, results=_PAIR, x=_place_one)


def _dim(input: Any, dim: Any, op: str) -> int:
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if type(dim) is int and 0 <= dim < input._data.ndim:
        return dim
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{op}(): argument 'dim' must be int, not {type(dim).__name__}")
    return normalize_dim(dim.__index__(), input._data.ndim)


def _pair(kind: Any, operation: Any, input: Tensor, *args: Any) -> Any:
    """What ``operation`` gives, (values, indices), as the named tuple ``kind``."""
    if is_recorded(input):
        return kind(*operation(input, *args))
    values, indices = operation.forward(input._data, *args)
    return tuple.__new__(kind, (wrap(values), wrap(indices)))


@public(out=True)
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """(values, indices) of the elements in order along ``dim``; NaN is the largest.  Equal elements always keep their order."""
    return _pair(_SortResult, _sort, input, _dim(input, dim, "sort"), descending)


@public(out=True)
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that put the elements in order along ``dim``."""
    return wrap(kernels.argsort(input._data, _dim(input, dim, "argsort"), descending))


@public(out=True)
def msort(input: Tensor) -> Tensor:
    """The elements in order along the first dim."""
    return sort(input, 0)[0]


@public(out=True)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the ``k`` largest (or smallest) elements along ``dim``, best first.  Raises RuntimeError if there are fewer."""
    return _pair(_TopkResult, _topk, input, k, _dim(input, dim, "topk"), largest)


@public(out=True)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the ``k``-th smallest element along ``dim``, counted from 1.  Raises RuntimeError if there is none."""
    return _pair(_KthResult, _kthvalue, input, k, _dim(input, dim, "kthvalue"), keepdim)


def _middle(op: str, result: Any, ignore_nan: bool, input: Tensor, dim: Any, keepdim: bool) -> Any:
    if dim is not None:
        return _pair(result, _median, input, _dim(input, dim, op), keepdim, ignore_nan)
    _dim(input, 0, op)
    if input._data.size == 0:
        return sum_(input) / 0
    return _median_of_all(input, ignore_nan) if is_recorded(input) else wrap(_median_of_all.forward(input._data, ignore_nan))


@public(out=True)
def median(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or (values, indices) of that along ``dim``.  NaN wins.  Raises IndexError for a dim of size 0."""
    return _middle("median", _MedianResult, False, input, dim, keepdim)


@public(out=True)
def nanmedian(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """``median`` of the elements that are not NaN."""
    return _middle("nanmedian", _NanMedianResult, True, input, dim, keepdim)


def _alike(sequence: Tensor, values: Any) -> tuple[Any, Any]:
    """The arrays of ``sequence`` and of ``values``, a tensor or a number, in the dtype that can hold both."""
    if isinstance(values, Tensor):
        dtype = result_type([sequence._data.dtype, values._data.dtype])
        return copy_kernels.cast(sequence._data, dtype), copy_kernels.cast(values._data, dtype)
    dtype = result_type([sequence._data.dtype, type(values)])
    array = np.asarray(values, dtype)
    return copy_kernels.cast(sequence._data, dtype), array if on_cpu(sequence._data) else copy_kernels.transfer(array, str(sequence.device))


@public(method=False, out=True)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each of ``input`` (a tensor or a number) belongs in ``sorted_sequence``, which ascends along its last dim: before its equals,
    or after them if ``right`` or ``side="right"``.  ``sorter`` holds the indices that sort a sequence that is not in order.  Where the dtypes
    differ they are compared in the one that both promote to.

    Raises RuntimeError for shapes that do not agree.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("searchsorted(): side and right can't be set to opposites, got side of left while right was True")
    if not isinstance(sorted_sequence, Tensor) or not sorted_sequence._data.ndim:
        _dim(sorted_sequence, 0, "searchsorted")
    sequence = sorted_sequence
    if sorter is not None:
        if sorter._data.shape != sequence._data.shape or sorter._data.dtype != np.int64:
            raise RuntimeError(
                f"searchsorted(): sorter should be int64 of the shape of sorted_sequence {list(sequence.shape)}, "
                f"but got {sorter.dtype} {list(sorter.shape)}"
            )
        sequence = pick(sequence.detach(), sorter, sequence._data.ndim - 1)
    found = kernels.searchsorted(*_alike(sequence, input), bool(right or side == "right"))
    return wrap(copy_kernels.cast(found, np.dtype(np.int32)) if out_int32 else found)


@public(method=False, out=True)
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """``searchsorted(boundaries, input)`` with one-dimensional ``boundaries``.  Raises RuntimeError for other shapes."""
    if boundaries._data.ndim != 1:
        raise RuntimeError(f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries._data.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
