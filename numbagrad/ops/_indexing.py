"""Reading an index expression: ``x[1, ..., None, 2:, idx, mask]`` into a basic part, which makes a view, and an advanced one.

As in PyTorch: integers (and 0-d integer tensors) select first and their dimensions are gone, so they do not count as neighbours of the
tensors that index; a bool adds a dimension of size 1 that is masked; a list is a tensor, except one that holds a sequence, tensor, slice,
None or Ellipsis, which is a tuple.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import dtypes
from ..kernels.copy import cast
from ..tensor import Tensor, saved_version, wrap

_PLAIN = {int, slice, type(None), type(...)}
_WHOLE = slice(None)


class Indices:
    """The tensors of an advanced index, aligned with the leading dimensions of what is indexed (None keeps a dimension).

    Their versions are noted: a backward pass that meets an index changed since is an error.
    """

    __slots__ = ("entries", "versions")

    def __init__(self, entries: Sequence[Tensor | None]):
        self.entries = tuple(entries)
        self.versions = tuple([0 if e is None else saved_version(e) for e in self.entries])

    def arrays(self) -> tuple[Any, ...]:
        for entry, version in zip(self.entries, self.versions):
            if entry is not None and saved_version(entry) != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"[{entry.dtype} {list(entry.shape)}], an index, is at version {saved_version(entry)}; "
                    f"expected version {version} instead."
                )
        return tuple([None if e is None else e._data for e in self.entries])


def plain_key(index: Any) -> tuple[Any, ...] | None:
    """The key for NumPy of an expression of integers, slices, None and Ellipsis alone; None for any other.

    It always ends up with an Ellipsis, so that indexing with it gives an array, never a scalar.
    """
    kind = type(index)
    if kind is int:
        return (index, ...)
    if kind is slice:
        return (_checked_slice(index),)
    if kind is tuple:
        has_ellipsis = False
        for i in index:
            kind = type(i)
            if kind not in _PLAIN:
                return None
            if kind is slice:
                if i != _checked_slice(i):
                    return None
            elif i is ...:
                if has_ellipsis:
                    return None
                has_ellipsis = True
        return index if has_ellipsis else (*index, ...)
    if index is None:
        return (None, ...)
    return (...,) if index is ... else None


def _integer(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    try:
        return value.__index__()
    except AttributeError:
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None


def _checked_slice(index: slice) -> slice:
    """``index`` with plain integers.  Raises ValueError for a step that is not positive."""
    step = index.step
    if step is None and type(index.start) in (int, type(None)) and type(index.stop) in (int, type(None)):
        return index
    step = _integer(step)
    if step is not None and step <= 0:
        raise ValueError("slice step cannot be zero" if step == 0 else "step must be greater than zero")
    return slice(_integer(index.start), _integer(index.stop), step)


def _is_tuple(index: Any) -> bool:
    """Whether a sequence stands for the items of an index (PyTorch's rule of thumb)."""
    if type(index) is tuple:
        return True
    if not isinstance(index, (list, range)) or len(index) >= 32:
        return False
    return any(i is None or i is ... or isinstance(i, (Tensor, np.ndarray, list, tuple, range, slice)) for i in index)


def _as_tensor(item: Any) -> Tensor:
    """A list, range, array or tensor as an index tensor: int64, int32 or bool."""
    if isinstance(item, Tensor):
        tensor = item
    else:
        array = np.asarray(item)
        if array.size == 0 and not isinstance(item, np.ndarray):
            array = array.astype(np.int64)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"invalid index: a {type(item).__name__} of {array.dtype}")
        if array.dtype.kind in "iu" and array.dtype != np.uint8:
            array = array.astype(np.int64)
        tensor = wrap(array)
    dtype = tensor._data.dtype
    if dtype == np.uint8:  # a mask of old
        return wrap(cast(tensor._data, dtypes.bool_.numpy))
    if dtype not in (np.int64, np.int32, np.bool_):
        raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, but got {tensor.dtype}")
    return tensor


def parse(x: Tensor, index: Any) -> tuple[tuple[Any, ...] | None, Indices | None]:
    """The basic key (None where it would change nothing) and the advanced indices of its view (None where there are none)."""
    items: list[Any] = []
    used = 0  # dimensions of x
    ellipsis = False
    for item in index if _is_tuple(index) else (index,):
        kind = type(item)
        if kind is int or kind is slice or item is None or kind is bool or item is ...:
            pass
        elif isinstance(item, (np.bool_, np.integer)):
            item = item.item()
        elif isinstance(item, (Tensor, np.ndarray, list, tuple, range)):
            item = _as_tensor(item)
            if item.ndim == 0:
                item = item.item()
        elif hasattr(item, "__index__") and not isinstance(item, (str, bytes, float)):
            item = item.__index__()
        elif kind is str:
            raise TypeError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices: invalid data type 'str'"
            )
        else:
            raise IndexError(
                f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {kind.__name__})"
            )
        if isinstance(item, Tensor):
            used += item.ndim if item._data.dtype == np.bool_ else 1
        elif type(item) in (int, slice):
            used += 1
        items.append(item)
    if used > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    key: list[Any] = []
    entries: list[Tensor | None] = []
    for item in items:
        if item is ...:
            if not ellipsis:
                ellipsis = True
                key += [_WHOLE] * (x.ndim - used)
                entries += [None] * (x.ndim - used)
        elif isinstance(item, Tensor):
            key += [_WHOLE] * (item.ndim if item._data.dtype == np.bool_ else 1)
            entries.append(item)
        elif type(item) is bool:
            key.append(None)
            entries.append(wrap(np.array([item])))
        elif type(item) is int:
            key.append(item)
        else:
            key.append(None if item is None else _checked_slice(item))
            entries.append(None)
    basic = None if all(k is not None and type(k) is not int and k == _WHOLE for k in key) else (*key, ...)
    if all(e is None for e in entries):
        return basic or (...,), None
    while entries[-1] is None:
        entries.pop()
    return basic, Indices(entries)


def index_error(shape: Sequence[int], key: tuple[Any, ...]) -> IndexError:
    """What is wrong with a basic ``key`` that NumPy refused."""
    used = sum(k is not None and k is not ... for k in key)
    if not shape and used:
        return IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to "
            "a number"
        )
    if used > len(shape):
        return IndexError(f"too many indices for tensor of dimension {len(shape)}")
    dim = 0
    for k in key:
        if k is ...:
            dim += len(shape) - used
        elif k is not None:
            if type(k) is int and not -shape[dim] <= k < shape[dim]:
                return IndexError(f"index {k} is out of bounds for dimension {dim} with size {shape[dim]}")
            dim += 1
    return IndexError(f"invalid index {key} for a tensor of shape {list(shape)}")
