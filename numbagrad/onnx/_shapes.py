"""ONNX entries of what moves, picks and joins elements, of matrix products and of reductions."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import dtypes
from ..tensor import Tensor
from ._graph import onnx_type
from ._table import ENTRIES, entry, need

END = np.iinfo(np.int64).max

# ---- shapes ------------------------------------------------------------------------------------------------------------------------------


@entry("reshape", "view", "flatten", "unflatten", "reshape_as", "view_as", "ravel", "view_copy")
def _reshape(g, y, input, *args, **kwargs):
    need(y.dtype is input.dtype, "view", "another dtype")
    return g.reshape(input, input.shape, y.shape)


@entry("squeeze")
def _squeeze(g, y, input, dim=None):
    dims = range(input.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = [d % input.ndim for d in dims if input.shape[d] == 1] if input.ndim else []
    return g.op("Squeeze", input, axes) if axes else g.op("Identity", input)


@entry("unsqueeze")
def _unsqueeze(g, y, input, dim):
    return g.op("Unsqueeze", input, [dim])


@entry("permute")
def _permute(g, y, input, *dims):
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return g.op("Transpose", input, perm=[d % input.ndim for d in dims])


def _swapped(g: Any, input: Any, ndim: int, dim0: int, dim1: int) -> str:
    order = list(range(ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return g.op("Transpose", input, perm=order)


@entry("transpose", "swapaxes", "swapdims")
def _transpose(g, y, input, dim0, dim1):
    return _swapped(g, input, input.ndim, dim0, dim1)


@entry("t", "T", "mT", "H", "mH", "adjoint")
def _turned(g, y, input):
    return _swapped(g, input, input.ndim, -2, -1) if input.ndim > 1 else g.op("Identity", input)


@entry("movedim", "moveaxis")
def _movedim(g, y, input, source, destination):
    froms, tos = ([d % input.ndim for d in (dims if isinstance(dims, (tuple, list)) else (dims,))] for dims in (source, destination))
    rest = iter(d for d in range(input.ndim) if d not in froms)
    return g.op("Transpose", input, perm=[froms[tos.index(i)] if i in tos else next(rest) for i in range(input.ndim)])


@entry("expand", "expand_as", "broadcast_to")
def _expand(g, y, input, *sizes):
    before = (1,) * (y.ndim - input.ndim) + tuple(input.shape)
    return g.op("Expand", input, [1 if a == b else b for a, b in zip(before, y.shape)])


@entry("repeat", "tile")
def _repeat(g, y, input, *sizes):
    sizes = list(sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes)
    x, before = input, (1,) * (len(sizes) - input.ndim) + tuple(input.shape)
    if len(before) > input.ndim:
        x = g.op("Unsqueeze", input, list(range(len(before) - input.ndim)))
    return g.op("Tile", x, [1] * (len(before) - len(sizes)) + sizes)


# ---- joining and splitting ---------------------------------------------------------------------------------------------------------------


@entry("cat", "concat", "concatenate")
def _cat(g, y, tensors, dim=0, *, axis=None):
    parts = [g.cast(x, y.dtype) for x in tensors if tuple(x.shape) != (0,)]
    return g.op("Concat", *parts, axis=dim if axis is None else axis)


@entry("stack")
def _stack(g, y, tensors, dim=0):
    return g.op("Concat", *[g.op("Unsqueeze", g.cast(x, y.dtype), [dim]) for x in tensors], axis=dim)


@entry("split", "split_with_sizes")
def _split(g, y, input, split_size_or_sections, dim=0):
    if len(y) == 1:
        return [g.op("Identity", input)]
    return g.op("Split", input, [part.shape[dim] for part in y], outputs=len(y), axis=dim)


ENTRIES["chunk"] = lambda g, y, input, chunks, dim=0: _split(g, y, input, chunks, dim)


@entry("unbind")
def _unbind(g, y, input, dim=0):
    return [g.op("Gather", input, np.asarray(i), axis=dim) for i in range(len(y))]


# ---- picking -----------------------------------------------------------------------------------------------------------------------------


@entry("select")
def _select(g, y, input, dim, index):
    return g.op("Gather", input, np.asarray(index), axis=dim)


@entry("narrow")
def _narrow(g, y, input, dim, start, length):
    start = int(start)
    end = start + length
    return g.op("Slice", input, [start], [END if start < 0 and end == 0 else end], [dim])


@entry("getitem")
def _getitem(g, y, input, index):
    index = index if isinstance(index, tuple) else (index,)
    taken = sum(i is not None and i is not Ellipsis for i in index)
    place = next((k for k, i in enumerate(index) if i is Ellipsis), len(index))
    index = index[:place] + (slice(None),) * (input.ndim - taken) + index[place + 1 :]
    picks = [i for i in index if i is not None]
    slices = [(d, i) for d, i in enumerate(picks) if isinstance(i, slice) and i != slice(None)]
    lists = [(d, i) for d, i in enumerate(picks) if isinstance(i, (Tensor, list, np.ndarray))]
    numbers = [d for d, i in enumerate(picks) if isinstance(i, int) and not isinstance(i, bool)]
    known = sum(isinstance(i, slice) for i in picks) + len(lists) + len(numbers)
    need(known == len(picks), "indexing", f"{[type(i).__name__ for i in picks]}")
    need(len(lists) < 2 and not (lists and numbers), "indexing", "several lists of indices")
    x: Any = input
    if slices:
        starts, ends, steps = [], [], []
        for _, i in slices:
            starts.append(int(i.start or 0))
            ends.append(END if i.stop is None else int(i.stop))
            steps.append(1 if i.step is None else int(i.step))
        x = g.op("Slice", x, starts, ends, [d for d, _ in slices], steps)
    for d, i in lists:
        indices = i if isinstance(i, Tensor) else np.asarray(i, np.int64)
        need(
            not isinstance(i, Tensor) or i.dtype in (dtypes.int64, dtypes.int32),
            "indexing",
            f"a mask or indices of {getattr(i, 'dtype', None)}",
        )
        x = g.op("Gather", x, indices, axis=d)
    for d in reversed(numbers):
        x = g.op("Gather", x, np.asarray(picks[d]), axis=d)
    added = _positions_of_none(index)
    return g.op("Unsqueeze", x, added) if added else x if isinstance(x, str) else g.op("Identity", x)


def _positions_of_none(index: Sequence[Any]) -> list[int]:
    """Where the new axes stand in the result."""
    found, at = [], 0
    for i in index:
        if i is None:
            found.append(at)
        at += (
            i is None
            or isinstance(i, slice)
            or (i.ndim if isinstance(i, Tensor) else np.ndim(i) if isinstance(i, (list, np.ndarray)) else 0)
        )
    return found


@entry("index_select")
def _index_select(g, y, input, dim, index):
    return g.op("Gather", input, index, axis=dim)


@entry("gather")
def _gather(g, y, input, dim, index, *, sparse_grad=False):
    axes = [d for d in range(input.ndim) if d != dim % input.ndim]
    need(all(index.shape[d] == input.shape[d] for d in axes), "gather", "an index that is smaller than the input along other dimensions")
    return g.op("GatherElements", input, index, axis=dim)


ENTRIES["take_along_dim"] = lambda g, y, input, indices, dim: _gather(g, y, input, dim, indices)


def _triangle(upper: int) -> Any:
    return lambda g, y, input, diagonal=0: g.op("Trilu", input, np.asarray(diagonal), upper=upper)


ENTRIES |= {"tril": _triangle(0), "triu": _triangle(1)}


@entry("flip")
def _flip(g, y, input, *dims):
    dims = list(dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims)
    return g.op("Slice", input, [-1] * len(dims), [-END] * len(dims), dims, [-1] * len(dims))


@entry("cumsum")
def _cumsum(g, y, input, dim, *, dtype=None):
    return g.op("CumSum", g.cast(input, y.dtype), np.asarray(dim))


@entry("topk")
def _topk(g, y, input, k, dim=-1, largest=True, sorted=True):
    return g.op("TopK", input, [k], outputs=2, axis=dim, largest=int(largest), sorted=int(sorted))


# ---- matrix products ---------------------------------------------------------------------------------------------------------------------


@entry("matmul", "mm", "bmm", "mv", "dot")
def _matmul(g, y, input, other):
    return g.op("MatMul", input, other)


@entry("linear")
def _linear(g, y, input, weight, bias=None):
    if input.ndim == 2 and weight.ndim == 2 and (bias is None or bias.ndim == 1):
        return g.op("Gemm", input, weight, bias, transB=1)
    product = g.op("MatMul", input, _swapped(g, weight, 2, 0, 1) if weight.ndim == 2 else weight)
    return product if bias is None else g.op("Add", product, bias)


@entry("addmm")
def _addmm(g, y, input, mat1, mat2, *, beta=1, alpha=1):
    return g.op("Gemm", mat1, mat2, input, alpha=float(alpha), beta=float(beta))


@entry("baddbmm")
def _baddbmm(g, y, input, batch1, batch2, *, beta=1, alpha=1):
    beta, alpha = (np.asarray(v, y.dtype.numpy) for v in (beta, alpha))
    return g.op("Add", g.op("Mul", input, beta), g.op("Mul", g.op("MatMul", batch1, batch2), alpha))


@entry("einsum")
def _einsum(g, y, equation, *operands):
    operands = operands[0] if len(operands) == 1 and isinstance(operands[0], (tuple, list)) else operands
    need(isinstance(equation, str), "einsum", "sublists")
    return g.op("Einsum", *operands, equation=equation)


# ---- reductions --------------------------------------------------------------------------------------------------------------------------


def _axes(dim: Any) -> list[int] | None:
    """The axes of a reduction; None for all."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return None
    return list(dim) if isinstance(dim, (tuple, list)) else [dim]


def _reduction(operator: str) -> Any:
    def written(g, y, input, dim=None, keepdim=False, *, dtype=None, axis=None):
        return g.op(operator, g.cast(input, y.dtype), _axes(dim if axis is None else axis), keepdims=int(keepdim))

    return written


ENTRIES |= {
    "sum": _reduction("ReduceSum"), "mean": _reduction("ReduceMean"), "amax": _reduction("ReduceMax"), "amin": _reduction("ReduceMin"),
    "prod": _reduction("ReduceProd"), "logsumexp": _reduction("ReduceLogSumExp"),
}  # fmt: skip


def _extreme(name: str, reduce: str, where: str, pair: str) -> Any:
    def written(g, y, input, dim=None, keepdim=False, *, other=None, axis=None):
        other = dim if isinstance(dim, Tensor) else other
        dim = axis if axis is not None else dim
        if other is not None:
            return g.op(pair, g.cast(input, y.dtype), g.cast(other, y.dtype))
        if dim is None:
            return g.op(reduce, input, keepdims=0)
        return [g.op(reduce, input, [dim], keepdims=int(keepdim)), g.op(where, input, axis=dim, keepdims=int(keepdim))]

    return written


ENTRIES |= {"max": _extreme("max", "ReduceMax", "ArgMax", "Max"), "min": _extreme("min", "ReduceMin", "ArgMin", "Min")}


def _place(operator: str) -> Any:
    def written(g, y, input, dim=None, keepdim=False):
        if dim is None:
            need(not keepdim, operator, "keepdim=True over all dimensions")
            flat = g.reshape(input, input.shape, (-1,))
            return g.op(operator, flat, axis=0, keepdims=0)
        return g.op(operator, input, axis=dim, keepdims=int(keepdim))

    return written


ENTRIES |= {"argmax": _place("ArgMax"), "argmin": _place("ArgMin")}


def _truth(operator: str) -> Any:
    def written(g, y, input, dim=None, keepdim=False):
        as_numbers = g.op("Cast", g.cast(input, dtypes.bool_), to=onnx_type(dtypes.int32))
        return g.op("Cast", g.op(operator, as_numbers, _axes(dim), keepdims=int(keepdim)), to=onnx_type(dtypes.bool_))

    return written


ENTRIES |= {"any": _truth("ReduceMax"), "all": _truth("ReduceMin")}


def _variance(root: bool) -> Any:
    def written(g, y, input, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 0 if unbiased is False else 1
        axes = _axes(dim)
        count = np.prod([input.shape[d] for d in (range(input.ndim) if axes is None else axes)])
        apart = g.op("Sub", input, g.op("ReduceMean", input, axes, keepdims=1))
        found = g.op("ReduceMean", g.op("Mul", apart, apart), axes, keepdims=int(keepdim))
        if correction:
            found = g.op("Mul", found, np.asarray(count / (count - correction), y.dtype.numpy))
        return g.op("Sqrt", found) if root else found

    return written


ENTRIES |= {"var": _variance(False), "std": _variance(True)}


@entry("norm")
def _norm(g, y, input, p="fro", dim=None, keepdim=False, *, dtype=None):
    operator = {"fro": "ReduceL2", 2: "ReduceL2", 1: "ReduceL1", None: "ReduceL2"}.get(p)
    need(operator is not None, "norm", f"p={p!r}")
    return g.op(operator, g.cast(input, y.dtype), _axes(dim), keepdims=int(keepdim))
