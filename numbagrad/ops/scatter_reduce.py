"""What an index leads to a place is put there, or reduced with what else is led there: scatter, scatter_reduce, index_reduce."""

from __future__ import annotations

from typing import Any

from ..kernels import index as kernels
from ..size import dimension
from ..tensor import Tensor
from ._arguments import is_recorded, result_into, rewritten, tensor_argument
from ._attach import public
from ._inplace import check_writable
from ._operation import differentiable
from .elementwise import where
from .gather import _scatter, gather, scatter_add


def _largest_rules(g: Tensor, x: Tensor, dim: int, index: Tensor, src: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient shared equally among the elements that equal the result: (its share at each place, whether x is one, whether src is)."""
    from_x = (x == y).to(g.dtype)
    from_src = (src == gather(y, dim, index)).to(g.dtype)
    return g / scatter_add(from_x, dim, index, from_src), from_x, from_src


def _gradient_x(g: Tensor, x: Tensor, dim: int, index: Tensor, src: Tensor, y: Tensor, name: str, include_self: bool) -> Tensor:
    if name == "prod":
        ones = x.masked_fill(x == 0, 1)  # type: ignore[attr-defined, arg-type]
        found = g * _scatter_reduce(ones, dim, index, src, name, include_self) / ones
    else:
        share, from_x, _ = _largest_rules(g, x, dim, index, src, y)
        found = from_x * share
    return found if include_self else _scatter(found, dim, index, 0)


def _gradient_src(g: Tensor, x: Tensor, dim: int, index: Tensor, src: Tensor, y: Tensor, name: str, include_self: bool) -> Tensor:
    if name != "prod":
        share, _, from_src = _largest_rules(g, x, dim, index, src, y)
        return from_src * gather(share, dim, index)
    zero = src == 0
    zeros = gather(scatter_add(x.new_zeros(x.shape), dim, index, zero.to(x.dtype)), dim, index)  # type: ignore[attr-defined]
    alone = zero & (zeros == 1)  # the product of the others is the gradient of the only zero among them
    others = _scatter_reduce(x, dim, index, src.masked_fill(alone, 1), name, include_self)  # type: ignore[attr-defined]
    return where(alone, gather(g * others, dim, index), gather(g * y, dim, index) / src.masked_fill(zero, 1))  # type: ignore[attr-defined]


_scatter_reduce = differentiable(
    "scatter_reduce",
    lambda x, dim, index, src, name, include_self: kernels.scatter_reduce(x, dim, index, src, name, include_self),
    x=_gradient_x,
    src=_gradient_src,
)


def _mean(x: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool) -> Tensor:
    total = _sum(x, dim, index, src, include_self)
    ones = src.new_ones(src.shape)  # type: ignore[attr-defined]
    counts = scatter_add(x.new_full(x.shape, int(include_self)), dim, index, ones)  # type: ignore[attr-defined]
    counts = counts.masked_fill(counts == 0, 1)  # type: ignore[attr-defined]
    return total / counts if x._data.dtype.kind in "fc" else total // counts


def _sum(x: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool) -> Tensor:
    return scatter_add(x if include_self else _scatter(x, dim, index, 0), dim, index, src)


def _reduced(op: str, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool) -> Tensor:
    d = dimension(dim, input.ndim)
    if tensor_argument(src, op, "src").dtype is not input.dtype:
        raise RuntimeError(f"{op}(): Expected self.dtype to be equal to src.dtype, but got {input.dtype} and {src.dtype}")
    if index.ndim == src.ndim and any(n < m for n, m in zip(index.shape, src.shape)):
        src = src[tuple(slice(n) for n in index.shape)]
    if reduce == "sum":
        return _sum(input, d, index, src, include_self)
    if reduce == "mean":
        return _mean(input, d, index, src, include_self)
    return _scatter_reduce(input, d, index, src, reduce, include_self)


def _named(op: str, reduce: Any, names: tuple[str, ...]) -> None:
    if reduce not in names:
        raise RuntimeError(f"{op}(): Expected reduce to be one of {', '.join(names)}, but got {reduce}.")


_NAMES = ("sum", "prod", "mean", "amax", "amin")


@public
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None
) -> Tensor:
    """A copy with out[index[i][j][k]][j][k] = reduce(out[index[i][j][k]][j][k], src[i][j][k]) for dim = 0, and so on, in order.

    ``reduce``: "sum", "prod", "mean", "amax" or "amin".  Without ``include_self``, the elements of ``input`` that the index leads to take no part.
    The gradient of amax and amin is shared equally among the elements that equal the result.
    Raises RuntimeError for another ``reduce``, different dtypes, an index out of range, and sizes that do not agree as in ``scatter``.
    """
    _named("scatter_reduce", reduce, _NAMES)
    tensor_argument(index, "scatter_reduce", "index")
    return result_into(out, _reduced("scatter_reduce", input, dim, index, src, reduce, include_self))


@public(function=False)
def scatter_reduce_(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """``scatter_reduce`` in place."""
    return rewritten(input, lambda x: scatter_reduce(x, dim, index, src, reduce, include_self=include_self), (), "scatter_reduce_")


def _source(src: Any, value: Any, op: str) -> Any:
    if (src is None) == (value is None):
        raise TypeError(f"{op}(): expected either src or value")
    return value if src is None else src


def _onto(input: Tensor, dim: int, index: Tensor, src: Any, reduce: str) -> Tensor:
    names = {"add": "sum", "multiply": "prod"}
    if reduce not in names:
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce}.")
    if not isinstance(src, Tensor):
        src = input.new_full(index.shape, src)  # type: ignore[attr-defined]
    return scatter_reduce(input, dim, index, src, names[reduce])


@public
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None, out: Tensor | None = None
) -> Tensor:
    """A copy with out[index[i][j][k]][j][k] = src[i][j][k] for dim = 0, and so on; ``src`` is a tensor or a number.

    ``reduce``: "add" or "multiply" to what is there instead, as ``scatter_reduce`` does.
    """
    if reduce is not None:
        return result_into(out, _onto(input, dim, tensor_argument(index, "scatter", "index"), _source(src, value, "scatter"), reduce))
    return result_into(out, _scatter(input, dim, tensor_argument(index, "scatter", "index"), _source(src, value, "scatter")))


@public(function=False)
def scatter_(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
    """``scatter`` in place."""
    src = _source(src, value, "scatter_")
    if reduce is not None:
        return rewritten(input, _onto, (dim, index, src, reduce), "scatter_")
    if is_recorded(input, src):
        return rewritten(input, _scatter, (dim, index, src), "scatter_")
    check_writable(input, "scatter_")
    kernels.scatter_into(input._data, dim, index._data, src._data if isinstance(src, Tensor) else src)
    input._bump()
    return input


@public
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None
) -> Tensor:
    """A copy with out[..., index[i], ...] = reduce(out[..., index[i], ...], source[..., i, ...]) along ``dim``, in order.

    ``reduce``: "prod", "mean", "amax" or "amin"; else as ``scatter_reduce``.  Raises RuntimeError where ``source`` is not like ``input`` but for ``dim``.
    """
    _named("index_reduce", reduce, _NAMES[1:])
    op = "index_reduce"
    if tensor_argument(index, op, "index").ndim > 1:
        raise IndexError(f"index_reduce_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {index.dtype.title}")
    d = dimension(dim, input.ndim)
    x = input if input.ndim else input.reshape(1)  # type: ignore[attr-defined]
    src = source if tensor_argument(source, op, "source").ndim else source.reshape(1)  # type: ignore[attr-defined]
    expected = (*x.shape[:d], index.numel(), *x.shape[d + 1 :])
    if tuple(src.shape) != expected:
        raise RuntimeError(f"index_reduce_(): expected source of shape {list(expected)}, but got {list(source.shape)}")
    places = index.reshape((1,) * d + (-1,) + (1,) * (x.ndim - d - 1)).expand(expected)  # type: ignore[attr-defined]
    found = _reduced(op, x, d, places, src, reduce, include_self)
    return result_into(out, found.reshape(input.shape))  # type: ignore[attr-defined]


@public(function=False)
def index_reduce_(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """``index_reduce`` in place."""
    return rewritten(input, lambda x: index_reduce(x, dim, index, source, reduce, include_self=include_self), (), "index_reduce_")
