"""Elements repeated one by one, and equal ones made one: repeat_interleave, unique_consecutive, unique."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..kernels import sort as kernels
from ..size import dimension
from ..tensor import Tensor, wrap
from ._arguments import tensors_of
from ._attach import public
from .gather import index_select
from .sort import searchsorted


def _places(repeats: Tensor, output_size: int | None) -> Tensor:
    """The index i, repeats[i] times, for each i in turn."""
    if repeats.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if repeats._data.dtype not in (np.int32, np.int64):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if repeats.numel() and int(repeats.min()) < 0:  # type: ignore[attr-defined]
        raise RuntimeError("repeats can not be negative")
    ends = repeats.cumsum(0)  # type: ignore[attr-defined]
    total = int(ends[-1]) if len(ends) else 0
    if output_size is not None and output_size != total:
        raise RuntimeError(f"allocated size does not match required size: output_size is {output_size}, but the repeats sum to {total}")
    return searchsorted(ends, arange_like(repeats, total), right=True) if total else ends[:0]


@public
def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each entry of ``input`` along ``dim`` as often as ``repeats``, an integer or an int32 or int64 vector, says; without ``dim``, of ``input`` as flat.

    ``repeat_interleave(repeats)`` gives the indices: each i repeats[i] times.  ``output_size`` is the size of the result along ``dim``, if it is known.
    Raises RuntimeError for negative or wrongly shaped ``repeats``.
    """
    if repeats is None:
        return _places(input, output_size)
    x = input.reshape(-1) if dim is None else input  # type: ignore[attr-defined]
    d = dimension(0 if dim is None else dim, x.ndim)
    if x.ndim == 0:
        x = x.reshape(1)
    size = x.shape[d]
    if isinstance(repeats, Tensor) and (repeats.ndim == 0 or repeats.numel() == 1 != size):
        repeats = int(repeats.item()) if repeats._data.dtype.kind == "i" else _places(repeats.reshape(1), None)  # type: ignore[attr-defined]
    if isinstance(repeats, Tensor):
        if repeats.ndim == 1 and repeats.shape[0] != size:
            raise RuntimeError(
                f"repeats must have the same size as input along dim, but got repeats.size(0) = {repeats.shape[0]} and input.size({d}) = {size}"
            )
        return index_select(x, d, _places(repeats, output_size))
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    if output_size is not None and output_size != size * repeats:
        raise RuntimeError(f"Invalid output_size, expected {size * repeats} but got {output_size}")
    shape = (*x.shape[: d + 1], repeats, *x.shape[d + 1 :])
    return x.unsqueeze(d + 1).expand(shape).reshape((*x.shape[:d], size * repeats, *x.shape[d + 1 :]))  # type: ignore[attr-defined]


@public
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The first of each run of equal elements (of ``input`` as flat, or of its slices along ``dim``), followed on request by the run that each element
    belongs to and by the runs' lengths.  NaN equals nothing."""
    x = input.detach()
    d = 0 if dim is None else dimension(dim, x.ndim)
    if dim is None or x.ndim == 0:
        x = x.reshape(-1)  # type: ignore[attr-defined]
    found, inverse, counts = _runs(x, d)
    results = [found]
    if return_inverse:
        results.append(inverse.reshape(input.shape) if dim is None else inverse)  # type: ignore[attr-defined]
    if return_counts:
        results.append(counts)
    return found if len(results) == 1 else tuple(results)


def _runs(x: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first of each run of equal slices along ``d``, the run of each slice, and the runs' lengths."""
    n = x.shape[d]
    begins = x.new_ones((n,), dtype=dtypes.bool_)  # type: ignore[attr-defined]
    if n > 1:
        differs = x.narrow(d, 1, n - 1) != x.narrow(d, 0, n - 1)  # type: ignore[attr-defined]
        others = [j for j in range(x.ndim) if j != d]
        begins[1:] = differs.any(others) if others else differs
    starts = begins.nonzero().reshape(-1)  # type: ignore[attr-defined]
    ends = x.new_full((starts.numel(),), n, dtype=starts.dtype)  # type: ignore[attr-defined]
    ends[:-1] = starts[1:]
    return index_select(x, d, starts), begins.cumsum(0) - 1, ends - starts  # type: ignore[attr-defined]


@public
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
) -> Any:
    """The distinct elements, or slices along ``dim``, in ascending order, followed on request by where each is among them and how often each occurs.

    Slices are compared element by element.  Raises RuntimeError for slices without elements.
    """
    tensors_of("unique", input=input)
    if dim is not None:
        values, inverse, counts = _unique_slices(input, dim)
    else:
        values, inverse, counts = map(wrap, kernels.unique(input._data, bool(return_inverse)))
    results = [values]
    if return_inverse:
        results.append(inverse)
    if return_counts:
        results.append(counts)
    return results[0] if len(results) == 1 else tuple(results)


def _unique_slices(input: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct slices along ``dim`` in lexicographic order, where each slice is among them, and how often each occurs.

    They are sorted by one element after another, from the last to the first: as many stable sorts as a slice has elements.
    """
    x = input.detach()
    d = dimension(dim, x.ndim)
    if x.ndim == 0:
        x = x.reshape(1)  # type: ignore[attr-defined]
    n = x.shape[d]
    if n and not x.numel():
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    rows = x.movedim(d, 0).reshape((n, -1 if n else 0))  # type: ignore[attr-defined]
    order = arange_like(rows, n)
    for column in reversed(rows.unbind(1)):
        order = order[column[order].argsort(stable=True)]
    found, inverse, counts = _runs(index_select(x, d, order), d)
    places = order.new_empty((n,))  # type: ignore[attr-defined]
    places[order] = inverse
    return found, places, counts


def arange_like(x: Tensor, n: int) -> Tensor:
    """0, 1, ..., n - 1 on the device of ``x``."""
    from ..creation import arange

    return arange(n, device=x.device)
