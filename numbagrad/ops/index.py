"""Indexing: ``x[...]``, ``x[...] = ...`` and what reads or writes at a tuple of index tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd import casting
from ..kernels import copy as copy_kernels
from ..kernels import index as kernels
from ..tensor import Tensor, wrap
from ._arguments import is_recorded, rewritten, scalar_array, tensor_argument, vector
from ._attach import public
from ._indexing import _WHOLE, Indices, index_error, parse, plain_key
from ._inplace import check_writable, overwrite
from ._operation import differentiable
from .embedding import embedding, one_hot
from .parts import basic_index

__all__ = ["embedding", "one_hot"]


# ---- x[...] ------------------------------------------------------------------------------------------------------------------------

_index = differentiable(
    "index",
    lambda x, indices: kernels.index_get(x, indices.arrays()),
    x=lambda g, x_shape, indices: _index_backward(g, indices, tuple(x_shape)),
)
_index_backward = differentiable(
    "index_backward",
    lambda x, indices, shape: kernels.index_get_backward(x, indices.arrays(), shape),
    x=lambda g, indices: _index(g, indices),
)


def _index_put_rule(g: Tensor, indices: Indices, accumulate: bool) -> Tensor:
    return g if accumulate else _index_put(g, indices, wrap(scalar_array(0, g._data.dtype)), False)


_index_put = differentiable(
    "index_put",
    lambda x, indices, values, accumulate: kernels.index_put(x, indices.arrays(), values, accumulate),
    x=_index_put_rule,
    values=lambda g, indices: _index(g, indices),
)


def _getitem(self: Tensor, index: Any) -> Tensor:
    """``self[index]``: a view for integers, slices, None and Ellipsis; a copy where a tensor, list or bool takes part."""
    key = (index, ...) if type(index) is int else plain_key(index)
    if key is None:
        if type(index) is Tensor and not index._data.ndim and index._data.dtype == _INT64:
            key = (index._data.item(), ...)
        elif not is_recorded(self):
            arrays = _arrays(self, index)
            if arrays is not None:
                return wrap(kernels.index_get(self._data, arrays))
    if key is None:
        key, indices = _parsed(self, index)
        if indices is not None:
            return _index(self if key is None else _basic(self, key), indices)
    try:
        data = self._data[key]
    except IndexError:
        raise index_error(self._data.shape, key or ()) from None
    return basic_index.made(self, data, (key,))


_INT64, _BOOL, _FLOAT16 = np.dtype(np.int64), np.dtype(np.bool_), np.dtype(np.float16)


def _arrays(x: Tensor, index: Any) -> tuple[Any, ...] | None:
    """The arrays of the most frequent expressions, as the kernels take them: a single index tensor or mask, or several index tensors.  None
    for any other."""
    if type(index) is Tensor:
        data = index._data
        return (data,) if data.ndim and (data.dtype == _INT64 or data.dtype == _BOOL) else None
    if type(index) is list and index and set(map(type, index)) == {int}:
        return (np.array(index, np.int64),)
    if type(index) is not tuple or not 0 < len(index) <= x._data.ndim:
        return None
    arrays: list[Any] = []
    for item in index:
        if type(item) is Tensor:
            item = item._data
            if item.dtype != _INT64 or not item.ndim:
                return None
        elif type(item) is not slice or item != _WHOLE or len(arrays) == len(index) - 1:
            return None
        else:
            item = None
        arrays.append(item)
    return tuple(arrays)


def _parsed(x: Tensor, index: Any) -> tuple[Any, Indices | None]:
    """``parse``, past which the most frequent expressions are let."""
    if type(index) is list or _arrays(x, index) is None:
        return parse(x, index)
    entries = (index,) if type(index) is Tensor else index
    return None, Indices([e if type(e) is Tensor else None for e in entries])


def _basic(x: Tensor, key: Any) -> Tensor:
    try:
        return basic_index(x, key)
    except IndexError:
        raise index_error(x._data.shape, key) from None


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    """``self[index] = value``, a number or a tensor that broadcasts; gradients flow to ``value`` and past it."""
    key = plain_key(index)
    indices = None
    if not isinstance(value, Tensor):
        value = _assigned(self, value)
    elif value._data.dtype != self._data.dtype and type(index) is Tensor and index._data.dtype == _BOOL and value._data.size == 1:
        value = value.to(self.dtype)  # type: ignore[attr-defined]  # a mask is filled with it, whatever its dtype
    recorded = is_recorded(self, value)
    if not recorded and self._base is not None:
        check_writable(self, "__setitem__", uniform=True)
    if key is None:
        arrays = None if recorded else _arrays(self, index)
        if arrays is not None:
            values = value._data if isinstance(value, Tensor) else scalar_array(value, self._data.dtype)
            kernels.index_put_into(self._data, arrays, values, False)
            self._bump()
            return
        key, indices = _parsed(self, index)
        if indices is not None and isinstance(value, Tensor):
            value = _filling_masks(self, indices, value)
    if recorded:
        target = self if key is None else _basic(self, key)
        check_writable(target, "__setitem__")
    else:
        try:
            target = self._data if key is None else self._data[key]
        except IndexError:
            raise index_error(self._data.shape, key or ()) from None
    if indices is None:
        _assign(self, target, value, recorded)
        return
    if not recorded:
        values = value._data if isinstance(value, Tensor) else scalar_array(value, self._data.dtype)
        kernels.index_put_into(target, indices.arrays(), values, False)
        self._bump()
        return
    if not isinstance(value, Tensor):
        value = wrap(scalar_array(value, self._data.dtype))
    overwrite(target, _index_put(target, indices, _without_leading_ones(value, indices, target), False), "__setitem__")


def _filling_masks(self: Tensor, indices: Indices, value: Tensor) -> Tensor:
    """``value`` as it is written at ``indices``: where these are masks alone, they are filled with a single number, whatever its dtype."""
    if (
        value._data.dtype == self._data.dtype
        or value._data.size != 1
        or any(e is not None and e._data.dtype != _BOOL for e in indices.entries)
    ):
        return value
    return value.to(self.dtype)  # type: ignore[attr-defined]


def _assigned(self: Tensor, value: Any) -> Any:
    """A number that can be assigned, as Python's.  One that is too large for float16 becomes infinite: masks of scores are written so."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, float, complex)):
        if self._data.dtype == _FLOAT16 and isinstance(value, (int, float)) and abs(value) > 65504:
            return math.copysign(65504.0 if abs(value) < 65520 else math.inf, value)
        return value
    raise TypeError(f"can't assign a {type(value).__name__} to a {self.type()}")  # type: ignore[attr-defined]


def _assign(self: Tensor, target: Any, value: Any, recorded: bool) -> None:
    """Write ``value`` into ``target``, the view (recorded) or the array that a basic index gave."""
    if not isinstance(value, Tensor):
        if not recorded:
            copy_kernels.fill(target, value)
            self._bump()
            return
        value = wrap(scalar_array(value, self._data.dtype))
    ndim = target.ndim
    while value.ndim > ndim and value._data.shape[0] == 1:  # leading ones are dropped
        value = value.squeeze(0)  # type: ignore[attr-defined]
    if recorded:
        overwrite(target, value, "__setitem__")
    else:
        copy_kernels.copy_into(target, value._data)
        self._bump()


def _without_leading_ones(values: Tensor, indices: Indices, x: Tensor) -> Tensor:
    """``values`` with no more dimensions than the indexing result, so that its gradient has a shape that sums to its own."""
    arrays = [e for e in indices.entries if e is not None]
    places = max(1 if e._data.dtype == np.bool_ else e.ndim for e in arrays)
    covered = sum(e.ndim if e._data.dtype == np.bool_ else 1 for e in arrays)
    while values.ndim > x.ndim - covered + places and values._data.shape[0] == 1:
        values = values.squeeze(0)  # type: ignore[attr-defined]
    return values


Tensor.__getitem__ = _getitem  # type: ignore[assignment]
Tensor.__setitem__ = _setitem  # type: ignore[assignment]


def _advanced(x: Tensor, indices: Any, op: str) -> Indices:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"{op}(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}")
    for i, entry in enumerate(indices):
        if not isinstance(entry, Tensor) and entry is not None:
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(entry).__name__}")
    key, found = parse(x, tuple(slice(None) if e is None else vector(e) for e in indices))
    if found is None or key is not None:
        raise IndexError(f"{op}: expected at least one index tensor")
    return found


@public
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``values`` written at the tuple of tensors ``indices``, or added there where ``accumulate``.

    The last of several values for a place is the one that stays.
    """
    if casting.active:
        input, values = casting.arguments("index_put", input, values)
    found = _advanced(input, indices, "index_put")
    values = _without_leading_ones(tensor_argument(values, "index_put", "values"), found, input)
    return _index_put(input, found, values if accumulate else _filling_masks(input, found, values), accumulate)


@public
def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """``index_put`` in place."""
    if type(indices) is tuple and {type(values), *map(type, indices)} == {Tensor} and not is_recorded(input, values):
        arrays = _arrays(input, indices[0] if len(indices) == 1 else indices)
        if arrays is not None and values._data.dtype == input._data.dtype:
            kernels.index_put_into(input._data, arrays, values._data, accumulate)
            input._bump()
            return input
    found = _advanced(input, indices, "index_put_")
    values = _without_leading_ones(tensor_argument(values, "index_put_", "values"), found, input)
    if not accumulate:
        values = _filling_masks(input, found, values)
    if is_recorded(input, values):
        return rewritten(input, _index_put, (found, values, accumulate), "index_put_")
    kernels.index_put_into(input._data, found.arrays(), values._data, accumulate)
    input._bump()
    return input


@public(out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of ``input``, taken as flat, at ``index`` (int64; negative from the end), of its shape.  IndexError out of range."""
    if tensor_argument(index, "take", "index")._data.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    if not is_recorded(input):
        data = input._data
        flat = data.reshape(-1) if data.flags.c_contiguous else copy_kernels.contiguous(data).reshape(-1)
        if index._data.ndim:
            return wrap(kernels.index_get(flat, (index._data,)))
    return _index(input.reshape(-1), Indices((index,)))  # type: ignore[attr-defined]


@public
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``source`` written (or added) at ``index``, of as many elements, in ``input`` taken as flat.

    Raises RuntimeError for an index of another dtype than int64, a source of another dtype than ``input``'s and another number of elements.
    """
    if tensor_argument(index, "put", "index")._data.dtype != np.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype.title}")
    if tensor_argument(source, "put", "source").dtype is not input.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = {input.dtype} and source.dtype = {source.dtype}"
        )
    if index.numel() != source.numel():
        raise RuntimeError(
            f"put_(): Expected source and index to have the same number of elements, but got {source.numel()} and {index.numel()}"
        )
    flat = input.reshape(-1)  # type: ignore[attr-defined]
    written = _index_put(flat, Indices((index.reshape(-1),)), source.reshape(-1), accumulate)  # type: ignore[attr-defined]
    return written.reshape(input.shape)


@public(function=False)
def put_(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``put`` in place."""
    return rewritten(input, put, (index, source, accumulate), "put_")


@public
def _unsafe_masked_index(input: Tensor, mask: Tensor, indices: Any, fill: Any) -> Tensor:
    """input[indices] where the boolean ``mask`` is true, ``fill`` elsewhere, where an index may be out of range."""
    found = _advanced(input, [None if i is None else i.masked_fill(~mask, 0) for i in indices], "_unsafe_masked_index")
    return _index(input, found).masked_fill(~mask, fill)  # type: ignore[attr-defined]


@public
def _unsafe_masked_index_put_accumulate(input: Tensor, mask: Tensor, indices: Any, values: Tensor) -> Tensor:
    """A copy with ``values`` added at ``indices`` where the boolean ``mask`` is true; elsewhere an index may be out of range."""
    kept = [None if i is None else i.masked_fill(~mask, 0) for i in indices]
    return index_put(input, kept, values.masked_fill(~mask, 0), True)  # type: ignore[attr-defined]


# ---- slices along one dimension -----------------------------------------------------------------------------------------------------


def _slices(input: Tensor, dim: int, index: Tensor, op: str) -> Indices:
    if index._data.ndim > 1:
        raise IndexError(f"{op}(): Index should have dimension 1 or 0 (got {index.ndim})")
    if index._data.dtype not in (np.int64, np.int32):
        raise IndexError(f"{op}(): Expected dtype int64 for index.")
    return Indices((*(None,) * input._dim(dim), vector(index)))


@public(out=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with out[..., index[i], ...] = source[..., i, ...] along ``dim``."""
    if casting.active:
        input, source = casting.arguments("index_copy", input, source)
    if not input.ndim:
        return index_copy(input.reshape(1), dim, index, source).reshape(())  # type: ignore[attr-defined]
    source = vector(source)
    _check_slices(input, dim, index, source, "index_copy_")
    indices = _slices(input, dim, index, "index_copy_")
    if not is_recorded(input, source):
        return wrap(kernels.index_put(input._data, indices.arrays(), source._data))
    return _index_put(input, indices, source, False)


def _check_slices(input: Tensor, dim: int, index: Tensor, source: Tensor, op: str) -> None:
    shape = input._data.shape
    d = input._dim(dim)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"{op}: self and source expected to have the same dtype, but got (self) {input.dtype} and (source) {source.dtype}"
        )
    expected = (*shape[:d], index._data.size, *shape[d + 1 :])
    if source._data.shape != expected:
        raise IndexError(f"{op}(): expected source of shape {list(expected)}, but got {list(source.shape)}")


@public(function=False)
def index_copy_(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``index_copy`` in place."""
    source = vector(source)
    if input.ndim and not is_recorded(input, source):
        _check_slices(input, dim, index, source, "index_copy_")
        return _put_slices(input, _slices(input, dim, index, "index_copy_"), source)
    return rewritten(input, lambda x: index_copy(x, dim, index, source), (), "index_copy_")


@public
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with ``value``, a number or 0-d tensor, in the slices ``index`` along ``dim``."""
    if not input.ndim:
        return index_fill(input.reshape(1), dim, index, value).reshape(())  # type: ignore[attr-defined]
    indices, values = _slices(input, dim, index, "index_fill_"), _filling(input, value)
    return _index_fill(input, indices, values)


# A place that is listed twice is filled once: the value's gradient is what the filled places had.
_index_fill = differentiable(
    "index_fill",
    lambda x, indices, value: kernels.index_put(x, indices.arrays(), value),
    x=lambda g, indices: _index_fill(g, indices, wrap(scalar_array(0, g._data.dtype))),
    value=lambda g, indices: g - _index_fill(g, indices, wrap(scalar_array(0, g._data.dtype))),
)


def _filling(input: Tensor, value: Any) -> Tensor:
    """``value``, a number or 0-d tensor, as a tensor of the dtype of ``input``."""
    if not isinstance(value, Tensor):
        return wrap(scalar_array(value, input._data.dtype))
    if value.ndim:
        raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
    return value.to(input.dtype)  # type: ignore[attr-defined]


def _put_slices(input: Tensor, indices: Indices, values: Tensor) -> Tensor:
    """``values`` written into ``input`` at ``indices``, outside the graph."""
    check_writable(input, "index_put_")
    kernels.index_put_into(input._data, indices.arrays(), values._data, False)
    input._bump()
    return input


@public(function=False)
def index_fill_(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``index_fill`` in place."""
    if input.ndim and not is_recorded(input, value):
        return _put_slices(input, _slices(input, dim, index, "index_fill_"), _filling(input, value))
    return rewritten(input, lambda x: index_fill(x, dim, index, value), (), "index_fill_")
