"""Along one dimension: gather, scatter_add, index_select, index_add, index_copy, index_fill."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import casting
from ..kernels import index as kernels
from ..tensor import Tensor
from ._arguments import is_recorded, result_into, rewritten, tensor_argument
from ._attach import public
from ._inplace import check_writable
from ._operation import differentiable
from .copy import pad
from .elementwise import where

_gather = differentiable(
    "gather",
    lambda x, dim, index: kernels.gather(x, dim, index),
    x=lambda g, x_shape, dim, index: _gather_backward(g, dim, index, tuple(x_shape)),
)
_gather_backward = differentiable(
    "gather_backward",
    lambda x, dim, index, shape: kernels.gather_backward(x, dim, index, shape),
    x=lambda g, dim, index: _gather(g, dim, index),
)


def _gathered(g: Tensor, dim: int, index: Tensor, shape: Any) -> Tensor:
    """The gradient of what was scattered: gathered, and zero beyond the index's shape."""
    found = _gather(g, dim, index)
    if tuple(shape) == tuple(index.shape):
        return found
    return pad(found, [v for n, m in zip(reversed(shape), reversed(index.shape)) for v in (0, n - m)])


_scatter = differentiable(
    "scatter",
    lambda x, dim, index, src: kernels.scatter(x, dim, index, src),
    x=lambda g, dim, index: _scatter(g, dim, index, 0),
    src=lambda g, dim, index, src_shape: _gathered(g, dim, index, src_shape),
)
_scatter_add = differentiable(
    "scatter_add",
    lambda x, dim, index, src: kernels.scatter_add(x, dim, index, src),
    x=lambda g: g,
    src=lambda g, dim, index, src_shape: _gathered(g, dim, index, src_shape),
)


@public
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """out[i][j][k] = input[index[i][j][k]][j][k] for dim = 0, and so on."""
    return result_into(out, _gather(input, dim, tensor_argument(index, "gather", "index")))


@public
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy with out[index[i][j][k]][j][k] += src[i][j][k] for dim = 0, and so on; several are added in order."""
    index, src = tensor_argument(index, "scatter_add", "index"), tensor_argument(src, "scatter_add", "src")
    if casting.active and out is None:
        input, src = casting.arguments("scatter_add", input, src)
    return result_into(out, _scatter_add(input, dim, index, src))


@public(function=False)
def scatter_add_(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``scatter_add`` in place."""
    if is_recorded(input, src):
        return rewritten(input, _scatter_add, (dim, index, src), "scatter_add_")
    check_writable(input, "scatter_add_")
    kernels.scatter_add_into(input._data, dim, index._data, tensor_argument(src, "scatter_add_", "src")._data)
    input._bump()
    return input


@public
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """``gather`` after broadcasting both against each other apart from ``dim``, along which a negative index counts from the end.

    Without ``dim``, ``gather`` of ``input`` taken as flat.  Raises RuntimeError for indices of another dtype than int64.
    """
    if dim is None:
        return result_into(out, _gather(input.reshape(-1), 0, indices.reshape(-1)))  # type: ignore[attr-defined]
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    dim = input._dim(dim)
    if tensor_argument(indices, "take_along_dim", "indices")._data.dtype != np.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.title}")
    indices = where(indices < 0, indices + (input._data.shape[dim] if input.ndim else 1), indices)
    here, there = input._data.shape, indices._data.shape
    if here[:dim] == there[:dim] and here[dim + 1 :] == there[dim + 1 :]:
        return result_into(out, _gather(input, dim, indices))
    shapes = [tuple(t.shape[:dim]) + tuple(t.shape[dim + 1 :]) for t in (input, indices)]
    shape = kernels.broadcast_shapes(shapes, "take_along_dim")
    wide = [t.expand((*shape[:dim], t.shape[dim], *shape[dim:])) for t in (input, indices)]  # type: ignore[attr-defined]
    return result_into(out, _gather(wide[0], dim, wide[1]))


_index_select = differentiable(
    "index_select",
    lambda x, dim, index: kernels.index_select(x, dim, index),
    x=lambda g, x_shape, dim, index: _index_select_backward(g, dim, index, tuple(x_shape)),
)
_index_select_backward = differentiable(
    "index_select_backward",
    lambda x, dim, index, shape: kernels.index_select_backward(x, dim, index, shape),
    x=lambda g, dim, index: _index_select(g, dim, index),
)
_index_add = differentiable(
    "index_add",
    lambda x, dim, index, source, alpha: kernels.index_add(x, dim, index, source, alpha),
    x=lambda g: g,
    source=lambda g, dim, index, alpha: _index_select(g, dim, index) if alpha == 1 else _index_select(g, dim, index) * alpha,
)


@public
def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices ``index`` (a vector) along ``dim``.  Raises IndexError out of range; negative indices are."""
    index = tensor_argument(index, "index_select", "index")
    if input._data.ndim == 0 and index._data.size != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index._data.size} value(s)")
    return result_into(out, _index_select(input, dim, index))


@public
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """A copy with out[..., index[i], ...] += alpha · source[..., i, ...] along ``dim``."""
    index, source = tensor_argument(index, "index_add", "index"), tensor_argument(source, "index_add", "source")
    return result_into(out, _index_add(input, dim, index, source, alpha))


@public(function=False)
def index_add_(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """``index_add`` in place."""
    if is_recorded(input, source):
        return rewritten(input, _index_add, (dim, index, source, alpha), "index_add_")
    check_writable(input, "index_add_")
    kernels.index_add_into(input._data, dim, index._data, tensor_argument(source, "index_add_", "source")._data, alpha)
    input._bump()
    return input
