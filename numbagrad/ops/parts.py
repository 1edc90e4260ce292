"""Views of parts of a tensor: basic indexing, slices, what it splits into, diagonals.  The rules put a gradient where the part was."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..kernels.copy import copy_into, zeros
from ..size import dimension
from ..tensor import Tensor
from ._attach import public
from ._operation import Operation
from ._view import view_operation


def _slice(x: np.ndarray, key: tuple[Any, ...]) -> np.ndarray:
    return x[key]


def _slice_rule(g: Tensor, x_shape: Any, key: tuple[Any, ...]) -> Tensor:
    return _embed(g, x_shape, key)


# A basic index: integers, slices with positive steps, None and Ellipsis, already normalised by the caller.
basic_index = view_operation("slice", _slice, _slice_rule)


def _embed_array(x: np.ndarray, shape: tuple[int, ...], key: tuple[Any, ...]) -> np.ndarray:
    out = zeros(shape, x.dtype, x)
    copy_into(out[key], x)
    return out


# The adjoint of a basic index: zeros of the given shape with the values at the index.
_embed = Operation("embed_slice", _embed_array, {"x": lambda g, key: basic_index(g, key)}, ("y",), ("y",))


@public
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The ``length`` entries of dimension ``dim`` from ``start``, an integer or 0-d tensor of one, on."""
    data = input._data
    d = dimension(dim, data.ndim)
    size = data.shape[d] if data.ndim else 0
    if isinstance(start, Tensor) and (start.ndim or start._data.dtype.kind not in "iu"):
        raise RuntimeError(f"narrow(): start must be an 0-dim integral Tensor, but got {start.dtype} {list(start.shape)}.")
    start = int(start)
    if data.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    key = _WHOLE[:d] + (slice(start, start + length),)
    return basic_index.made(input, data[key], (key,))


@public
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Entry ``index`` of dimension ``dim``, which goes away."""
    data = input._data
    if data.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = dimension(dim, data.ndim)
    size = data.shape[d]
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {d}")
    key = _WHOLE[:d] + (int(index), ...)
    return basic_index.made(input, data[key], (key,))


_WHOLE = (slice(None),) * 64


def sliced(x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """The view x[..., start:end:step, ...] in dimension ``dim``.  Raises RuntimeError for a 0-d tensor and a step that is not positive."""
    data = x._data
    if data.ndim == 0:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    key = _WHOLE[: dimension(dim, data.ndim)] + (slice(start, end, step),)
    return basic_index.made(x, data[key], (key,))


def _cat(grads: list[Tensor], d: int) -> Tensor:
    from .copy import cat

    return cat(grads, d)


def _stack(grads: list[Tensor], d: int) -> Tensor:
    from .copy import stack

    return stack(grads, d)


def _slices(x: Tensor, d: int, slices: list[slice]) -> tuple[Tensor, ...]:
    """The given slices along dimension ``d``, which together are all of it."""
    before = _WHOLE[:d]
    return basic_index.parts(x, [before + (part,) for part in slices], "SplitBackward0", lambda grads: _cat(grads, d))


@public
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along ``dim``: of one size (the last may be smaller) or of the given sizes."""
    shape = input._data.shape
    if not shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = dimension(dim, len(shape))
    size = shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and size):
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
        return _slices(input, d, [slice(start, start + step) for start in range(0, size, step)] if size else [slice(0, 0)])
    sections = list(split_size_or_sections)
    if sum(sections) != size or any(s < 0 for s in sections):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {d}), but got split_sizes={sections}"
        )
    ends = itertools.accumulate(sections)
    return _slices(input, d, [slice(end - length, end) for end, length in zip(ends, sections)])


@public
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    shape = input._data.shape
    if not shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    size = shape[dimension(dim, len(shape))]
    step = -(-size // int(chunks))
    return split(input, step, dim) if step else tuple(narrow(input, dim, 0, 0) for _ in range(chunks))


@public
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The entries along ``dim``, as views."""
    data = input._data
    if data.ndim == 0:
        raise IndexError("unbind: dimension specified as 0 but tensor has no dimensions")
    d = dimension(dim, data.ndim)
    if d:
        before = _WHOLE[:d]
        keys: list[tuple[Any, ...]] = [before + (i, ...) for i in range(data.shape[d])]
    else:
        keys = [(i, ...) for i in range(data.shape[0])]
    return basic_index.parts(input, keys, "UnbindBackward0", lambda grads: _stack(grads, d))


def _diagonal(x: np.ndarray, offset: int, dim1: int, dim2: int) -> np.ndarray:
    view = x.diagonal(offset, dim1, dim2)
    if x.flags.writeable:
        view.setflags(write=True)  # NumPy is more careful with diagonals than with other views
    return view


def _diagonal_rule(g: Tensor, x_shape: Any, offset: int, dim1: int, dim2: int) -> Tensor:
    return embed_diagonal(g, x_shape, offset, dim1, dim2)


_diagonal_op = view_operation("diagonal", _diagonal, _diagonal_rule)


def _embed_diagonal_array(x: np.ndarray, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> np.ndarray:
    out = zeros(shape, x.dtype, x)
    copy_into(_diagonal(out, offset, dim1, dim2), x)
    return out


# The adjoint of ``diagonal``: zeros of the given shape with the values on the diagonal.
embed_diagonal = Operation(
    "embed_diagonal",
    _embed_diagonal_array,
    {"x": lambda g, offset, dim1, dim2: _diagonal_op(g, offset, dim1, dim2)},
    ("y",),
    ("y",),
)


@public
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the matrices in ``dim1`` and ``dim2``, as a view whose last dimension it is."""
    ndim = input._data.ndim
    if ndim == 2 and dim1 == 0 and dim2 == 1:
        return _diagonal_op(input, offset, 0, 1)
    a, b = dimension(dim1, ndim), dimension(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal_op(input, offset, a, b)
