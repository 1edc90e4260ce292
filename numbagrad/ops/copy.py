"""Joining, padding and rearranging: cat, stack, pad, flip, roll, repeat, triangles.

(Copies, casts and whole-tensor writes are in ``conversion``; what needs no copy is in ``views``.)
"""

from __future__ import annotations

import operator
from typing import Any, Sequence

from ..autograd import casting
from ..kernels import copy as kernels
from ..tensor import Tensor, wrap
from ._arguments import is_recorded
from ._attach import public
from ._inplace import overwrite
from ._operation import differentiable
from ._out import into
from .views import given, sizes_of


def _tensors(tensors: Any, op: str) -> Sequence[Tensor]:
    if isinstance(tensors, Tensor):
        raise TypeError(f"{op}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    values = tuple(tensors)
    for i, value in enumerate(values):
        if not isinstance(value, Tensor):
            raise TypeError(f"{op}(): expected Tensor as element {i} in argument 0, but got {type(value).__name__}")
    return values


# ---- joining -----------------------------------------------------------------------------------------------------------------------


def _cat_rule(g: Tensor, dim: int, arrays_shape: list[tuple[int, ...]]) -> list[Tensor | None]:
    """Each tensor's part of the gradient, a view; a skipped (0,) tensor has none."""
    grads: list[Tensor | None] = []
    start = 0
    for shape in arrays_shape:
        if tuple(shape) == (0,) and g.ndim != 1:
            grads.append(None)
            continue
        grads.append(g.narrow(dim, start, shape[dim]))  # type: ignore[attr-defined]
        start += shape[dim]
    return grads


_cat = differentiable("cat", lambda dim, *arrays: kernels.cat(arrays, dim), arrays=_cat_rule)
_stack = differentiable(
    "stack",
    lambda dim, *arrays: kernels.stack(arrays, dim),
    arrays=lambda g, dim, arrays_shape: [g.select(dim, i) for i in range(len(arrays_shape))],
)


def _joined(operation: Any, kernel: Any, tensors: Sequence[Tensor], dim: int) -> Tensor:
    """``operation``, or the kernel alone where nothing is recorded: there may be very many tensors to ask for what a record needs."""
    if is_recorded(*tensors):
        return operation(dim, *tensors)
    return wrap(kernel([t._data for t in tensors], dim))


@public(method=False, aliases=("concat", "concatenate"))
def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors one after another along ``dim``, in their common dtype; all other sizes must agree (RuntimeError).

    An empty 1-d tensor is skipped.  An empty list is a ValueError.
    """
    tensors = _tensors(tensors, "cat")
    if casting.active and out is None:
        tensors = casting.arguments("cat", *tensors)
    result = _joined(_cat, kernels.cat, tensors, dim)
    return result if out is None else into(out, result)


@public(method=False)
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors, all of one shape (RuntimeError), along a new dimension ``dim``."""
    tensors = _tensors(tensors, "stack")
    if casting.active and out is None:
        tensors = casting.arguments("stack", *tensors)
    result = _joined(_stack, kernels.stack, tensors, dim)
    return result if out is None else into(out, result)


def _at_least(ndim: int, tensors: Any) -> Any:
    """Dimensions of size 1 added as NumPy's atleast functions do: in front, but behind for the third of a matrix."""
    if not isinstance(tensors, Tensor):
        return tuple(_at_least(ndim, t) for t in tensors)
    shape = tuple(tensors.shape)
    if len(shape) >= ndim:
        return tensors
    if ndim == 3 and shape:
        shape = (1, *shape) if len(shape) == 1 else shape
        return tensors.reshape((*shape, 1))  # type: ignore[attr-defined]
    return tensors.reshape((1,) * (ndim - len(shape)) + shape)  # type: ignore[attr-defined]


def _atleast(ndim: int) -> None:
    def atleast(*tensors: Any) -> Any:
        return _at_least(ndim, tensors[0] if len(tensors) == 1 else tensors)

    atleast.__name__ = f"atleast_{ndim}d"
    atleast.__doc__ = f"The tensor, or each of several, with at least {ndim} dimension{'s' if ndim > 1 else ''}; added ones have size 1."
    public(atleast, method=False)


for _ndim in (1, 2, 3):
    _atleast(_ndim)


def _some(tensors: Any, op: str) -> Sequence[Tensor]:
    values = _tensors(tensors, op)
    if not values:
        raise RuntimeError(f"{op} expects a non-empty TensorList")
    return values


@public(method=False)
def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Side by side: along dimension 1, or 0 for 1-d tensors.  Raises RuntimeError for none."""
    tensors = _at_least(1, _some(tensors, "hstack"))
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1, out=out)


@public(method=False, aliases=("row_stack",))
def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """On top of each other: along dimension 0, 1-d tensors as rows.  Raises RuntimeError for none."""
    return cat(_at_least(2, _some(tensors, "vstack")), 0, out=out)


@public(method=False)
def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Behind each other: along dimension 2.  Raises RuntimeError for none."""
    return cat(_at_least(3, _some(tensors, "dstack")), 2, out=out)


@public(method=False)
def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """``hstack`` with 1-d tensors as columns.  Raises RuntimeError for none."""
    columns = [t.reshape((t.numel(), 1)) if t.ndim <= 1 else t for t in _some(tensors, "column_stack")]  # type: ignore[attr-defined]
    return cat(columns, 1, out=out)


@public(method=False)
def _chunk_cat(tensors: Sequence[Tensor], dim: int, num_chunks: int, *, out: Tensor | None = None) -> Tensor:
    """Each tensor padded with zeros along ``dim`` until ``num_chunks`` divides its size, all from ``dim`` on made (num_chunks, -1), joined side by side.

    Raises RuntimeError for tensors without elements, of different dtypes, or whose sizes before ``dim`` differ.
    """
    values = _tensors(tensors, "_chunk_cat")
    if not values:
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if num_chunks < 1:
        raise RuntimeError(f"_chunk_cat expects positive num_chunks, got: {num_chunks}")
    first = values[0]
    if dim < 0 and any(t.ndim != first.ndim for t in values):
        raise RuntimeError("_chunk_cat expects non-negative dim when input tensors have different ndims")
    d = first._dim(dim)
    rows = []
    for t in values:
        if t.numel() == 0:
            raise RuntimeError("_chunk_cat expects non-empty tensor")
        if d >= t.ndim:
            raise RuntimeError("_chunk_cat expects dim < ndim for all input tensors")
        if t.shape[:d] != first.shape[:d]:
            raise RuntimeError("_chunk_cat expects same sizes of 0,...,dim-1 dimensions for all tensors")
        if t.dtype is not first.dtype:
            raise RuntimeError(f"_chunk_cat expects all input tensors with the same dtype, but got {first.dtype} and {t.dtype}")
        padded = pad(t, (0, 0) * (t.ndim - d - 1) + (0, -t.shape[d] % num_chunks))
        rows.append(padded.reshape((*t.shape[:d], num_chunks, -1)))  # type: ignore[attr-defined]
    return cat(rows, -1, out=out)


# ---- padding -----------------------------------------------------------------------------------------------------------------------


def _pad_rule(g: Tensor, x_shape: Any, pads: tuple[int, ...], mode: str) -> Tensor:
    if mode == "constant":  # what was added is cut off, what was cut off is zero
        return _pad(g, tuple(-p for p in pads), "constant", 0)
    return _pad_backward(g, tuple(x_shape), pads, mode)


_pad = differentiable("pad", lambda x, pads, mode, value: kernels.pad(x, pads, mode, value), x=_pad_rule)
_pad_backward = differentiable(
    "pad_backward", lambda x, shape, pads, mode: kernels.pad_backward(x, shape, pads, mode), x=lambda g, pads, mode: _pad(g, pads, mode, 0)
)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """``input`` extended by ``pad`` = (before, after) of the last dimension, then of the one before it, ...; negative numbers crop.

    ``mode``: "constant" (with ``value``, default 0), "reflect", "replicate" or "circular", these for the last one, two or three dimensions.
    """
    pads = tuple(p.__index__() for p in pad)
    if mode != "constant" and value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    return _pad(input, pads, mode, 0 if value is None else value)


@public(method=False)
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """``nn.functional.pad`` with a constant ``value``."""
    return _pad(input, tuple(p.__index__() for p in pad), "constant", value)


# ---- rearranging -------------------------------------------------------------------------------------------------------------------

_flip = differentiable("flip", lambda x, dims: kernels.flip(x, dims), x=lambda g, dims: _flip(g, dims))
_roll = differentiable(
    "roll", lambda x, shifts, dims: kernels.roll(x, shifts, dims), x=lambda g, shifts, dims: _roll(g, tuple(-s for s in shifts), dims)
)


def _integers(values: Any) -> tuple[int, ...]:
    """One integer, or a sequence of them, as a tuple.  Raises TypeError for anything else."""
    return tuple(map(operator.index, values if isinstance(values, (tuple, list)) else (values,)))


@public
def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """``flip(input, dims)``: a copy with the order of elements reversed along ``dims``."""
    return _flip(input, sizes_of(args, "flip") if dims is None else _integers(dims))


@public
def fliplr(input: Tensor) -> Tensor:
    """``flip`` along dimension 1.  Raises RuntimeError below two dimensions."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return _flip(input, (1,))


@public
def flipud(input: Tensor) -> Tensor:
    """``flip`` along dimension 0.  Raises RuntimeError for a 0-d tensor."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return _flip(input, (0,))


@public
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A copy turned by k · 90 degrees in the plane of ``dims``, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = input._dim(dims[0]), input._dim(dims[1])
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return input.clone()  # type: ignore[attr-defined]
    if k == 2:
        return _flip(input, (a, b))
    turned = _flip(input, (b if k == 1 else a,))
    return turned.transpose(a, b)  # type: ignore[attr-defined]


@public
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Each element moved by ``shifts`` along ``dims``, those pushed out coming in at the other end; without ``dims``, as if flat.

    Raises RuntimeError where there are not as many ``shifts`` as ``dims``, IndexError for a dimension that the tensor lacks.
    """
    by, along = _integers(shifts), () if dims is None else _integers(dims)
    if not by:
        raise RuntimeError("`shifts` required")
    if along and input.ndim == 0:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    return _roll(input, by, along)


def _repeat_rule(g: Tensor, x_shape: Any, sizes: tuple[int, ...]) -> Tensor:
    shape = (1,) * (len(sizes) - len(x_shape)) + tuple(x_shape)
    apart = g.reshape([v for times, n in zip(sizes, shape) for v in (times, n)])  # type: ignore[attr-defined]
    if not sizes:
        return apart
    return apart.sum(tuple(range(0, 2 * len(sizes), 2))).reshape(tuple(x_shape))  # type: ignore[attr-defined]


_repeat = differentiable("repeat", lambda x, sizes: kernels.repeat(x, sizes), x=_repeat_rule)


@public(function=False)
def repeat(input: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """Copies laid side by side, ``repeats`` of them along each dimension; missing leading dimensions count as 1."""
    return _repeat(input, sizes_of(sizes or (given("repeat", repeats=repeats),), "repeat"))


@public
def tile(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """``tile(input, dims)``: ``repeat``, with ones put before ``dims`` where the tensor has more dimensions."""
    sizes = sizes_of(args, "tile") if dims is None else _integers(dims)
    return _repeat(input, (1,) * (input.ndim - len(sizes)) + sizes)


# ---- triangles ---------------------------------------------------------------------------------------------------------------------

_tril = differentiable("tril", lambda x, diagonal: kernels.tril(x, diagonal), x=lambda g, diagonal: _tril(g, diagonal))
_triu = differentiable("triu", lambda x, diagonal: kernels.triu(x, diagonal), x=lambda g, diagonal: _triu(g, diagonal))


@public
def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """input[..., i, j] where j - i <= diagonal, 0 elsewhere."""
    result = _tril(input, diagonal)
    return result if out is None else into(out, result)


@public
def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """input[..., i, j] where j - i >= diagonal, 0 elsewhere."""
    result = _triu(input, diagonal)
    return result if out is None else into(out, result)


@public(function=False)
def tril_(self: Tensor, diagonal: int = 0) -> Tensor:
    """``tril`` in place."""
    return overwrite(self, _tril(self, diagonal), "tril_")


@public(function=False)
def triu_(self: Tensor, diagonal: int = 0) -> Tensor:
    """``triu`` in place."""
    return overwrite(self, _triu(self, diagonal), "triu_")
