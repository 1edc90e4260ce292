"""Contract of gather, scatter, scatter_add and scatter_reduce: an index with as many dimensions as the array."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._half import through_float32
from ..copy import clone, contiguous, fill, normal_dim
from ._checks import at_least_1d, broadcast_shapes, expand, int64, on, same_dtype, wide, widened
from ._combine import identity
from ._errors import along


def _index_along(x: Any, dim: int, index: Any, op: str) -> tuple[int, Any]:
    """``dim`` and ``index`` of gather and scatter, the shape checked against ``x``."""
    dim = normal_dim(dim, x.ndim)
    if index.size == 0:
        return dim, index
    index = int64(index, op)
    if max(index.ndim, 1) != max(x.ndim, 1):
        raise RuntimeError(f"{op}: index tensor must have the same number of dimensions as input tensor, but got {index.ndim} and {x.ndim}")
    if any(n > m for j, (n, m) in enumerate(zip(index.shape, x.shape)) if j != dim):
        raise RuntimeError(
            f"{op}: size does not match: expected index {list(index.shape)} to be no larger than self {list(x.shape)} "
            f"apart from dimension {dim}"
        )
    return dim, index


def _quick_dim(dim: int, x: Any) -> int:
    return dim if type(dim) is int and 0 <= dim < x.ndim else normal_dim(dim, x.ndim)


def gather(x: Any, dim: int, index: Any) -> Any:
    """out[i][j][k] = x[index[i][j][k]][j][k] for dim = 0, and so on; of the index's shape.

    ``index`` has as many dimensions as ``x`` and is nowhere larger, except along ``dim``.  RuntimeError when an index is out of range.
    """
    implementation = on(x, index)
    dim = _quick_dim(dim, x)
    found = implementation.gather_few(x, dim, index)
    if found is not None:
        return found
    dim, index = _index_along(x, dim, index, "gather")
    out = implementation.empty(index.shape, x.dtype)
    if index.size:
        x, index, flat = at_least_1d(x, index, out)
        if x.ndim == 1 and x.size and x.flags.c_contiguous:  # rows of one element
            implementation.take(flat, x, index, x.size, 1, False, along("gather"), dim)
        else:
            implementation.gather(x, dim, index, flat, along("gather"))
    return out


@through_float32
def gather_backward(g: Any, dim: int, index: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of ``gather`` for an input of ``shape``: ``g`` added into zeros at ``index``."""
    out = on(g).zeros(shape, g.dtype)
    scatter_add_into(out, dim, index, g)
    return out


def take_along_dim(x: Any, index: Any, dim: int | None = None) -> Any:
    """``gather`` after broadcasting ``x`` and ``index`` against each other apart from ``dim``; without ``dim``, of ``x`` taken as flat."""
    if dim is None:
        return gather(contiguous(x).reshape(-1), 0, contiguous(index).reshape(-1))
    if x.ndim != index.ndim:
        raise RuntimeError(
            "take_along_dim: input and indices should have the same number of dimensions, "
            f"but got {x.ndim} dimensions for input, and {index.ndim} dimensions for indices"
        )
    dim = normal_dim(dim, x.ndim)
    shape = list(broadcast_shapes([x.shape[:dim] + x.shape[dim + 1 :], index.shape[:dim] + index.shape[dim + 1 :]], "take_along_dim"))
    x = expand(x, (*shape[:dim], x.shape[dim], *shape[dim:]))
    return gather(x, dim, expand(index, (*shape[:dim], index.shape[dim], *shape[dim:])))


def _source_of(x: Any, index: Any, src: Any, dim: int, op: str) -> Any:
    """The values that go with ``index``: an array at least as large, or a number seen in the index's shape."""
    if not hasattr(src, "shape") or isinstance(src, np.generic):
        return expand(_value_of(x, src), index.shape)
    same_dtype(x, src, op, "src")
    if max(src.ndim, 1) != max(index.ndim, 1) or any(n > m for n, m in zip(index.shape, src.shape)):
        raise RuntimeError(
            f"{op}: expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart from dimension {dim} "
            f"and to be no larger size than src {list(src.shape)}"
        )
    if on(x, src).overlap(x, src):
        src = clone(src)
    return src[tuple(slice(0, n) for n in index.shape) + (...,)] if src.shape != index.shape else src


def _value_of(x: Any, src: Any) -> Any:
    """``src``, a number as a 0-d array of x's dtype."""
    if hasattr(src, "shape") and not isinstance(src, np.generic):
        return src
    value = on(x).empty((), x.dtype)
    fill(value, src)
    return value


def _settled(x: Any, index: Any) -> Any:
    """``index``, or a copy where writing into ``x`` would change it after it was checked."""
    return clone(index) if x.dtype == np.int64 and on(x, index).overlap(x, index) else index


def scatter_into(x: Any, dim: int, index: Any, src: Any) -> None:
    """x[index[i][j][k]][j][k] = src[i][j][k] for dim = 0, and so on; ``src`` has x's dtype or is a number.  The last writer wins."""
    if on(x, index).scatter_few(x, _quick_dim(dim, x), index, _value_of(x, src), False):
        return
    dim, index = _index_along(x, dim, index, "scatter")
    if index.size:
        src = _source_of(x, index, src, dim, "scatter")
        x, index, src = at_least_1d(x, _settled(x, index), src)
        on(x, index, src).scatter(x, dim, index, src, along("scatter"))


def scatter(x: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of ``x`` changed by ``scatter_into``."""
    out = clone(x)
    scatter_into(out, dim, index, src)
    return out


def scatter_add_into(x: Any, dim: int, index: Any, src: Any) -> None:
    """x[index[i][j][k]][j][k] += src[i][j][k] for dim = 0, and so on."""
    if not on(x, index).scatter_few(x, _quick_dim(dim, x), index, _value_of(x, src), True):
        _combined(x, dim, index, src, "sum", "scatter_add")


def _combined(x: Any, dim: int, index: Any, src: Any, name: str, op: str) -> None:
    dim, index = _index_along(x, dim, index, op)
    if index.size:
        src = _source_of(x, index, src, dim, op)
        x, index, src = at_least_1d(x, _settled(x, index), src)
        src = wide(src)
        widened(x, lambda target: on(x, index, src).scatter_reduce(target, dim, index, src, along(op), name))


def scatter_add(x: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of ``x`` changed by ``scatter_add_into``."""
    out = clone(x)
    scatter_add_into(out, dim, index, src)
    return out


def scatter_reduce(x: Any, dim: int, index: Any, src: Any, name: str, include_self: bool = True) -> Any:
    """A copy of ``x`` with out[index[i][j][k]][j][k] = name(out[index[i][j][k]][j][k], src[i][j][k]) for dim = 0, and so on, in order.

    ``name``: "sum", "prod", "amax" or "amin", of which the last two are a RuntimeError for complex numbers.  Without ``include_self``, what ``x`` holds
    where the index leads takes no part.
    """
    if name in ("amax", "amin") and x.dtype.kind == "c":
        raise RuntimeError(f"scatter_reduce: {name} is not defined for complex numbers")
    out = clone(x)
    if not include_self:
        scatter_into(out, dim, index, identity(name, x.dtype))
    _combined(out, dim, index, src, name, "scatter_reduce")
    return out
