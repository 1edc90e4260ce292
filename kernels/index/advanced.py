"""Contract of advanced indexing: integer arrays and masks in place of dimensions, and what is built on it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._half import through_float32
from ..copy import cast, clone, contiguous, normal_dim
from ._checks import Index, at_least_1d, beside, broadcast_shapes, check_unshared, expand, int64, on, same_dtype, wide, widened
from ._errors import listed


class Places(NamedTuple):
    """Resolved indices: where they lead, and how the result is laid out."""

    shape: tuple[int, ...]
    where: Any
    dims: list[tuple[int, int, int]]
    stride: int
    distinct: bool = False  # of one mask: no place occurs twice


def _mask_offsets(x: Any, mask: Any, dim: int) -> tuple[list[Any], list[int], list[int]]:
    """The true places of ``mask``, which covers the dimensions of ``x`` from ``dim`` on, as flat indices with their sizes and strides."""
    implementation = on(x, mask)
    shape, item = mask.shape, x.dtype.itemsize
    strides = [s // item for s in x.strides[dim : dim + mask.ndim]]
    positions = implementation.true_positions(contiguous(mask))
    if all(strides[j] == strides[j + 1] * shape[j + 1] for j in range(mask.ndim - 1)):
        return [positions], [max(mask.size, 1)], [strides[-1]]
    return list(implementation.unravel(positions, shape, True)), list(shape), strides


def _resolve_leading(x: Any, indices: Index, op: str, wrap: bool) -> Places | None:
    """``_resolve`` for the most frequent cases at a fraction of its overhead: int64 arrays of one shape for the first dimensions of a
    contiguous array, or one mask of them.  None for any other."""
    if not x.flags.c_contiguous or not x.size:
        return None
    first = indices[0]
    if first is None:
        return None
    implementation = on(x, *indices)
    if first.dtype == np.bool_:
        covered = first.ndim
        if len(indices) > 1 or not covered or first.shape != x.shape[:covered]:
            return None
        flat = [implementation.true_positions(contiguous(first))]
        shape, sizes = flat[0].shape, [first.size]
    else:
        shape, covered = first.shape, len(indices)
        if covered > x.ndim or any(i is None or i.dtype != np.int64 or i.shape != shape for i in indices):
            return None
        flat = [contiguous(i).reshape(-1) for i in indices]
        sizes = list(x.shape[:covered])
    after = x.shape[covered:]
    row = step = math.prod(after)
    strides = []
    for size in reversed(sizes):
        strides.append(step)
        step *= size
    where = implementation.offsets(flat, sizes, strides[::-1], range(len(sizes)), wrap, listed(op, wrap))
    return Places(shape + after, where, [(row, 1, 1)], row, first.dtype == np.bool_)


def _resolve(x: Any, indices: Index, op: str, wrap: bool = True) -> Places:
    """Check ``indices`` against ``x`` and turn them into offsets; see ``index_get``."""
    places = _resolve_leading(x, indices, op, wrap)
    if places is not None:
        return places
    item = x.dtype.itemsize
    arrays: list[tuple[list[Any], list[int], list[int], int]] = []  # the parts of each index, their sizes and strides, the dimension
    kept: list[int] = []
    first = last = -1
    at = 0
    for index in indices:
        if index is None:
            kept.append(at)
            at += 1
            continue
        covers = index.ndim if index.dtype == np.bool_ else 1
        if at + covers > x.ndim:
            raise IndexError(f"{op}: too many indices for tensor of dimension {x.ndim}")
        if index.dtype == np.bool_:
            if index.shape != x.shape[at : at + covers]:
                raise IndexError(
                    f"{op}: the shape of the mask {list(index.shape)} at index {at} does not match the shape of the indexed tensor "
                    f"{list(x.shape)} at index {at}"
                )
            arrays.append((*_mask_offsets(x, index, at), at))
        elif index.dtype in (_dtypes.int64, _dtypes.int32):
            arrays.append(([int64(index, op)], [x.shape[at]], [x.strides[at] // item], at))
        else:
            raise IndexError(f"{op}: tensors used as indices must be long, int, byte or bool tensors, but got {_dtypes.name(index.dtype)}")
        first = at if first < 0 else first
        last = at + covers
        at += covers
    kept += range(at, x.ndim)
    common = broadcast_shapes([parts[0].shape for parts, *_ in arrays], f"{op}: indexing", IndexError)
    together = not any(first <= j < last for j in kept)
    before = [j for j in kept if j < first] if together else []
    after = kept[len(before) :]
    shape = tuple(x.shape[j] for j in before) + common + tuple(x.shape[j] for j in after)
    flat: list[Any] = []
    sizes: list[int] = []
    strides: list[int] = []
    dims_of: list[int] = []
    for parts, part_sizes, part_strides, dim in arrays:
        for part in parts:
            flat.append((contiguous(expand(part, common))).reshape(-1))
            dims_of.append(dim)
        sizes += part_sizes
        strides += part_strides
    dims: list[tuple[int, int, int]] = []
    step = 1
    for j in reversed(after):
        dims.append((x.shape[j], x.strides[j] // item, step))
        step *= x.shape[j]
    stride = step
    step *= math.prod(common)
    for j in reversed(before):
        dims.append((x.shape[j], x.strides[j] // item, step))
        step *= x.shape[j]
    if step == 0:  # nothing is read or written, so nothing is checked
        return Places(shape, on(x).empty(0, _dtypes.int64), dims[::-1], stride)
    where = on(x, *flat).offsets(flat, sizes, strides, dims_of, wrap, listed(op, wrap))
    return Places(shape, where, dims[::-1], stride, len(arrays) == 1 and any(i is not None and i.dtype == np.bool_ for i in indices))


def _taken(x: Any, indices: Index, op: str, wrap: bool = True) -> Any:
    """``x`` at one index or mask, the most frequent expression, where ``x`` is contiguous: one pass over the indices.  None for any other."""
    dim = len(indices) - 1
    index = indices[dim]
    if index is None or not x.flags.c_contiguous or not x.size or any(i is not None for i in indices[:dim]):
        return None
    shape = x.shape
    implementation = on(x, index)
    if index.dtype == np.int64:
        size, after = shape[dim] if dim < len(shape) else 0, shape[dim + 1 :]
        places = index.shape
        index = contiguous(index)
    elif index.dtype == np.bool_ and index.shape == shape[dim : dim + index.ndim] and index.ndim:
        size, after = index.size, shape[dim + index.ndim :]
        index = implementation.true_positions(contiguous(index))
        places = index.shape
    else:
        return None
    if not index.size or not size or (dim and not after):  # columns: indices checked once are then read for every row
        return None
    out = implementation.empty(shape[:dim] + places + after, x.dtype)
    implementation.take(out, x, index, size, math.prod(after), wrap, listed(op, wrap), dim)
    return out


def _get(x: Any, places: Places) -> Any:
    implementation = on(x)
    out = implementation.empty(places.shape, x.dtype)
    implementation.get(x, places.where, out, places.dims, places.stride)
    return out


def index_get(x: Any, indices: Index) -> Any:
    """x[indices] for a sequence with one entry for each leading dimension: None keeps it, an array of int32 or int64 selects from it, and
    a boolean array of k dimensions covers k of x's and stands for the places where it is true, in order.

    The integer arrays broadcast together; their dimensions stand in place of the indexed ones if these are neighbours, else in front.
    Negative indices count from the end; IndexError for one out of range, for shapes that do not fit and for other dtypes.
    """
    if type(x) is not np.ndarray:
        indices = beside(x, indices)
    out = on(x, *indices).get_few(x, indices, True)
    if out is None:
        out = _taken(x, indices, "index")
    return _get(x, _resolve(x, indices, "index")) if out is None else out


@through_float32
def index_get_backward(g: Any, indices: Index, shape: tuple[int, ...]) -> Any:
    """The gradient of ``index_get`` for an ``x`` of ``shape``: ``g`` added into zeros at ``indices``."""
    out = on(g).zeros(shape, g.dtype)
    index_put_into(out, indices, g, True)
    return out


def _put(x: Any, places: Places, values: Any, op: str, alpha: Any = None) -> None:
    """Write or add ``values``, broadcast to the places' shape and of x's dtype."""
    check_unshared(x, op)
    implementation = on(x, values)
    shape = places.shape
    missing = len(shape) - values.ndim
    while missing < 0 and values.shape[0] == 1:
        values, missing = values[0], missing + 1
    if missing < 0 or any(n not in (1, m) for n, m in zip(values.shape, shape[missing:])):
        raise RuntimeError(
            f"{op}: shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast "
            f"to indexing result of shape {list(shape)}"
        )
    if values.size == 1:
        values = values.reshape(())
        if implementation.overlap(values, x):
            values = clone(values)
        dims, stride = [(n, sx, 0) for n, sx, _ in places.dims], 0
    else:
        values = expand(values, shape)
        if not values.flags.c_contiguous:
            values = contiguous(values)
        elif implementation.overlap(values, x):
            values = clone(values)
        dims, stride = places.dims, places.stride
    implementation.put(x, places.where, values, dims, stride, alpha, places.distinct)


def _one_mask(x: Any, indices: Index) -> bool:
    return indices[0] is not None and indices[0].dtype.kind == "b" and len(indices) == 1 and indices[0].shape == x.shape


def index_put_into(x: Any, indices: Index, values: Any, accumulate: bool = False) -> None:
    """x[indices] = values, or += values where ``accumulate``; indices as in ``index_get``, values of x's dtype, broadcast to its result.

    Where a place occurs more than once, the last value wins, or all are added in order.
    """
    if type(x) is not np.ndarray:
        indices = beside(x, indices)
        values = values if values.ndim else beside(x, (values,))[0]
    implementation = on(x, *indices, values)
    if not accumulate and values.size == 1 and values.dtype == x.dtype and _one_mask(x, indices) and x.flags.c_contiguous:
        implementation.masked_fill(x, contiguous(indices[0]), values, True)
        return
    if implementation.put_few(x, indices, values, accumulate, True):
        return
    same_dtype(x, values, "index_put", "values")
    if not accumulate:
        _put(x, _resolve(x, indices, "index_put"), values, "index_put")
    else:
        values = wide(values)
        widened(x, lambda target: _put(target, _resolve(target, indices, "index_put"), values, "index_put", 1))


def index_put(x: Any, indices: Index, values: Any, accumulate: bool = False) -> Any:
    """A copy of ``x`` changed by ``index_put_into``."""
    out = clone(x)
    index_put_into(out, indices, values, accumulate)
    return out


def _single(x: Any, dim: int, index: Any, op: str) -> tuple[int, Any]:
    if type(dim) is not int or not 0 <= dim < x.ndim:
        dim = normal_dim(dim, x.ndim)
    if index.ndim > 1:
        raise IndexError(f"{op}: index is supposed to be a vector, but got one with {index.ndim} dimensions")
    index = int64(index, op)
    return dim, index if index.ndim else index.reshape(1)


def index_select(x: Any, dim: int, index: Any) -> Any:
    """The slices ``index`` (a vector of int32 or int64) of ``x`` along ``dim``.  Negative indices are out of range: IndexError."""
    dim, index = _single(x, dim, index, "index_select")
    if not x.ndim:
        return index_select(x.reshape(1), 0, index).reshape(())
    indices = (*(None,) * dim, index)
    out = on(x, index).get_few(x, indices, False)
    if out is None:
        out = _taken(x, indices, "index_select", wrap=False)
    return _get(x, _resolve(x, indices, "index_select", wrap=False)) if out is None else out


@through_float32
def index_select_backward(g: Any, dim: int, index: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of ``index_select`` for an ``x`` of ``shape``."""
    out = on(g).zeros(shape, g.dtype)
    index_add_into(out, dim, index, g)
    return out


def index_add_into(x: Any, dim: int, index: Any, source: Any, alpha: Any = 1) -> None:
    """x[..., index[i], ...] += alpha * source[..., i, ...] along ``dim``, in order of i; ``source`` is like ``x`` but for ``dim``."""
    dim, index = _single(x, dim, index, "index_add")
    indices = (*(None,) * dim, index)
    if alpha == 1 and source.shape == x.shape[:dim] + index.shape + x.shape[dim + 1 :]:
        if on(x, index, source).put_few(x, indices, source, True, False):
            return
    same_dtype(x, source, "index_add", "source")
    size = source.shape[dim] if source.ndim else 1
    if source.ndim != x.ndim or source.shape[:dim] != x.shape[:dim] or source.shape[dim + 1 :] != x.shape[dim + 1 :]:
        raise RuntimeError(
            "index_add: source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(x.shape)} "
            f"source.shape = {list(source.shape)}"
        )
    if size != index.size:
        raise RuntimeError(f"index_add: number of indices ({index.size}) should be equal to source.size(dim): ({size}), for dim: {dim}")
    x, source = at_least_1d(x, wide(source))
    widened(x, lambda target: _put(target, _resolve(target, indices, "index_add", wrap=False), source, "index_add", alpha))


def index_add(x: Any, dim: int, index: Any, source: Any, alpha: Any = 1) -> Any:
    """A copy of ``x`` changed by ``index_add_into``."""
    out = clone(x)
    index_add_into(out, dim, index, source, alpha)
    return out


def _embedding_index(index: Any) -> Any:
    return int64(index, "embedding")


def embedding(weight: Any, index: Any) -> Any:
    """out[...] = weight[index[...]]: rows of ``weight`` (num_embeddings, embedding_dim), shape index.shape + (embedding_dim,).

    IndexError for an index outside [0, num_embeddings).
    """
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, but got {weight.ndim}-D")
    indices = (_embedding_index(index),)
    out = on(weight, index).get_few(weight, indices, False)
    if out is None:
        out = _taken(weight, indices, "embedding", wrap=False)
    return _get(weight, _resolve(weight, indices, "embedding", wrap=False)) if out is None else out


def embedding_backward(g: Any, index: Any, num_weights: int, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> Any:
    """The gradient of ``embedding`` with respect to its weight: row r is the sum of ``g`` where index = r, in order of occurrence.

    The row ``padding_idx`` is zero; ``scale_grad_by_freq`` divides each row by how often it occurs.  (num_weights, embedding_dim).
    """
    index = _embedding_index(index)
    if g.shape[:-1] != index.shape:
        raise RuntimeError(f"embedding: expected a gradient of shape {[*index.shape, '*']}, but got {list(g.shape)}")
    rows = contiguous(wide(g)).reshape(index.size, g.shape[-1])
    padding = -1 if padding_idx is None else padding_idx
    refusal = listed("embedding", False)
    return cast(on(g, index).embedding_backward(rows, index.reshape(-1), num_weights, padding, scale_grad_by_freq, refusal), g.dtype)
