"""Views: the same storage under another shape, order or part of it.  Nothing is computed; the rules are views too."""

from __future__ import annotations

import itertools
import math
from typing import Any, Sequence

import numpy as np

from ..size import dimension
from ..tensor import Tensor, wrap
from ._attach import public
from ._operation import Operation
from ._view import view_operation


def _strided(x: np.ndarray, shape: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    """A view of ``x`` by byte strides, which the caller answers for.  (NumPy's own ``as_strided`` takes ten times as long.)"""
    if x.flags.c_contiguous and x.size and 0 not in shape and x.dtype.names is None:
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


# ---- shapes ------------------------------------------------------------------------------------------------------------------------


def infer_shape(shape: tuple[int, ...], numel: int, op: str) -> tuple[int, ...]:
    """``shape`` with its one -1 replaced.  Raises RuntimeError, as PyTorch, where no size fits."""
    known = math.prod(shape)
    if known == numel and (not shape or min(shape) >= 0):
        return shape
    if known < 0 and min(shape) == -1 and shape.count(-1) == 1 and numel % known == 0:
        i = shape.index(-1)
        return (*shape[:i], numel // -known, *shape[i + 1 :])
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if shape and min(shape) < -1:
        raise RuntimeError(f"invalid shape dimension {next(n for n in shape if n < -1)}")
    if numel == known == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 can be any value and is ambiguous"
        )
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")


def sizes_of(args: Sequence[Any], op: str) -> tuple[int, ...]:
    """Sizes given as separate integers or as one sequence."""
    values = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
    for v in values:
        if type(v) is not int:
            break
    else:
        return tuple(values)
    try:
        return tuple([v if type(v) is int else v.__index__() for v in values])
    except AttributeError:
        raise TypeError(f"{op}(): argument 'size' must be a tuple of ints, but found {[type(v).__name__ for v in values]}") from None


def _view(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if x.flags.c_contiguous:
        return x.reshape(shape)
    view = _try_view(x, shape)
    if view is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). "
            "Use .reshape(...) instead."
        )
    return view


def _try_view(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """``x`` as ``shape`` without a copy, or None where strides do not allow it."""
    view = x.view()
    try:
        view.shape = shape
    except AttributeError:
        return None
    return view


_reshape_view = view_operation("view", _view, lambda g, x_shape: g.reshape(x_shape))
_reshape_view.node_name = "ViewBackward0"


@public(function=False)
def view(x: Tensor, *shape: Any) -> Tensor:
    """The same elements, in order, under another shape (one size may be -1), or seen as another dtype.  Raises RuntimeError where that needs a copy."""
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)):
        return _view_dtype(x, shape[0])
    data = x._data
    target = infer_shape(sizes_of(shape, "view"), data.size, "view")
    return _reshape_view.made(x, _view(data, target), (target,))


def _view_dtype(x: Tensor, dtype: Any) -> Tensor:
    from ..dtypes import as_dtype

    target = as_dtype(dtype, "view").numpy
    result = wrap(x._data.view(target))
    result._counter = x._shared_counter()
    return result


@public(function=False)
def view_as(x: Tensor, other: Tensor) -> Tensor:
    """``view(other.shape)``"""
    return view(x, tuple(other.shape))


@public
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The same elements, in order, under another shape; a view where the strides allow it, else a copy."""
    return _reshaped(x, infer_shape(sizes_of(shape, "reshape"), x._data.size, "reshape"))


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x`` in a ``shape`` of as many elements."""
    data = x._data
    view = data.reshape(shape) if data.flags.c_contiguous else _try_view(data, shape)
    return _reshape_view(x.contiguous(), shape) if view is None else _reshape_view.made(x, view, (shape,))


@public(function=False)
def reshape_as(x: Tensor, other: Tensor) -> Tensor:
    """``reshape(other.shape)``"""
    return reshape(x, tuple(other.shape))


@public
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` as one."""
    data = x._data
    shape = data.shape
    start, end = dimension(start_dim, len(shape)), dimension(end_dim, len(shape))
    if not shape:
        return _reshaped(x, (1,))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return x
    return _reshaped(x, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


@public
def ravel(x: Tensor) -> Tensor:
    """The elements in one dimension."""
    return _reshaped(x, (x._data.size,))


@public
def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension ``dim`` as several."""
    d = x._dim(dim)
    shape = tuple(x._data.shape)
    inner = infer_shape(tuple(sizes), shape[d], "unflatten")
    return view(x, shape[:d] + inner + shape[d + 1 :])


def _transpose(x: np.ndarray, dim0: int, dim1: int) -> np.ndarray:
    return x.swapaxes(dim0, dim1)


_transpose_op = view_operation("transpose", _transpose, lambda g, dim0, dim1: g.transpose(dim0, dim1))


@public(aliases=("swapaxes", "swapdims"))
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Dimensions ``dim0`` and ``dim1`` exchanged."""
    ndim = x._data.ndim
    a, b = dimension(dim0, ndim), dimension(dim1, ndim)
    return _transpose_op(x, a, b) if ndim else _reshape_view(x, ())


@public
def t(x: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or scalar as it is.  Raises RuntimeError beyond two dimensions."""
    if x.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")
    return transpose(x, 0, 1) if x.ndim == 2 else _reshape_view(x, tuple(x._data.shape))


_permute_op = view_operation(
    "permute", lambda x, dims: x.transpose(dims), lambda g, dims: g.permute([dims.index(i) for i in range(len(dims))])
)


@public
def permute(x: Tensor, *dims: Any) -> Tensor:
    """The dimensions in the order ``dims``."""
    wanted = sizes_of(dims, "permute")
    ndim = x._data.ndim
    if len(wanted) != ndim:
        raise RuntimeError(f"permute: the tensor has {ndim} dimensions, but an order of {len(wanted)} was given: {list(wanted)}")
    order = tuple([dimension(d, ndim) for d in wanted])
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permute_op(x, order)


@public(aliases=("moveaxis",))
def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimension(s) ``source`` moved to position(s) ``destination``, the others in order."""
    src = [x._dim(d) for d in ((source,) if isinstance(source, int) else source)]
    dst = [x._dim(d) for d in ((destination,) if isinstance(destination, int) else destination)]
    if len(src) != len(dst) or len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise RuntimeError(f"movedim: source {source} and destination {destination} must have the same number of distinct dimensions")
    order = [d for d in range(x.ndim) if d not in src]
    for d, s in sorted(zip(dst, src)):
        order.insert(d, s)
    return permute(x, order)


def _matrix_transpose(x: Tensor) -> Tensor:
    if x._data.ndim < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {x.ndim}-D tensor.")
    return transpose(x, -2, -1)


Tensor.T = property(  # type: ignore[attr-defined]
    lambda x: _permute_op.made(x, x._data.T, (tuple(range(x._data.ndim - 1, -1, -1)),)), doc="The dimensions in reverse order."
)
Tensor.mT = property(_matrix_transpose, doc="The last two dimensions exchanged.")  # type: ignore[attr-defined]
Tensor.mH = property(  # type: ignore[attr-defined]
    lambda x: _matrix_transpose(x).conj() if x._data.dtype.kind == "c" else _matrix_transpose(x), doc="The conjugate of ``mT``."
)
Tensor.H = property(lambda x: transpose(x, 0, 1).conj(), doc="The conjugate transpose of a matrix.")  # type: ignore[attr-defined]


@public
def squeeze(x: Tensor, dim: Any = None) -> Tensor:
    """Without dimensions of size 1: all of them, or those in ``dim`` that have it."""
    shape = x._data.shape
    if dim is None:
        keep = tuple([n for n in shape if n != 1])
    else:
        dims = [dimension(d, len(shape)) for d in ((dim,) if isinstance(dim, int) else dim)]
        keep = tuple([n for i, n in enumerate(shape) if n != 1 or i not in dims])
    return _reshaped(x, keep)


@public
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a dimension of size 1 put in before ``dim``."""
    shape = x._data.shape
    n = len(shape) + 1
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    d = dim % n
    return _reshaped(x, (*shape[:d], 1, *shape[d:]))


def _expand(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    strides = [0] * (len(shape) - x.ndim) + [0 if have == 1 else stride for have, stride in zip(x.shape, x.strides)]
    return _strided(x, shape, strides)


_expand_op = view_operation("expand", _expand, lambda g: g)  # the walk sums it back to the input's shape


@public(function=False)
def expand(x: Tensor, *sizes: Any) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 leaves a size as it is.  Raises RuntimeError where a size other than 1 would change."""
    want = sizes_of(sizes, "expand")
    have = x._data.shape
    lead = len(want) - len(have)
    if lead < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(want)}) must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    shape = list(want)
    for i, size in enumerate(have, lead):
        if want[i] == -1:
            shape[i] = size
        elif size != 1 and want[i] != size:
            raise RuntimeError(
                f"The expanded size of the tensor ({want[i]}) must match the existing size ({size}) at non-singleton dimension {i}. "
                f"Target sizes: {list(want)}. Tensor sizes: {list(have)}"
            )
    if shape and min(shape) < 0:
        raise RuntimeError(f"The expanded size of the tensor ({min(shape)}) isn't allowed in a leading, non-existing dimension 0")
    return _expand_op(x, tuple(shape))


@public(function=False)
def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """``expand(other.shape)``"""
    return expand(x, tuple(other.shape))


@public
def broadcast_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """``x.expand(size)``"""
    return expand(x, tuple(size))


@public(method=False)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of ``tensors`` expanded to their common shape."""
    from ..kernels.elementwise import broadcast_shape

    shape = broadcast_shape([tuple(t.shape) for t in tensors])
    return tuple(expand(t, shape) for t in tensors)


@public(method=False)
def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that ``shapes`` broadcast to."""
    from ..kernels.elementwise import broadcast_shape
    from ..tensor import Size

    return Size(broadcast_shape([(s,) if isinstance(s, int) else tuple(s) for s in shapes]))


# ---- parts -------------------------------------------------------------------------------------------------------------------------


def _slice(x: np.ndarray, key: tuple[Any, ...]) -> np.ndarray:
    return x[key]


def _slice_rule(g: Tensor, x_shape: Any, key: tuple[Any, ...]) -> Tensor:
    return _embed(g, x_shape, key)


# A basic index: integers, slices with positive steps, None and Ellipsis, already normalised by the caller.
basic_index = view_operation("slice", _slice, _slice_rule)


def _embed_array(x: np.ndarray, shape: tuple[int, ...], key: tuple[Any, ...]) -> np.ndarray:
    from ..kernels._cpu import zeros
    from ..kernels.copy import copy_into

    out = zeros(shape, x.dtype)
    copy_into(out[key], x)
    return out


# The adjoint of a basic index: zeros of the given shape with the values at the index.
_embed = Operation("embed_slice", _embed_array, {"x": lambda g, key: basic_index(g, key)}, ("y",), ("y",))


@public
def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The ``length`` entries of dimension ``dim`` from ``start`` on."""
    d = x._dim(dim)
    size = x._data.shape[d] if x.ndim else 0
    start = int(start)
    if x.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return basic_index(x, (slice(None),) * d + (slice(start, start + length),))


@public
def select(x: Tensor, dim: int, index: int) -> Tensor:
    """Entry ``index`` of dimension ``dim``, which goes away."""
    if x.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = x._dim(dim)
    size = x._data.shape[d]
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(x.shape)} at dimension {d}")
    return basic_index(x, (slice(None),) * d + (int(index), ...))


@public
def split(x: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along ``dim``: of one size (the last may be smaller) or of the given sizes."""
    if x.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = x._dim(dim)
    size = x._data.shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and size):
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
        sections = [min(step, size - start) for start in range(0, size, step)] if size else [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != size or any(s < 0 for s in sections):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {d}), but got split_sizes={sections}"
            )
    before = (slice(None),) * d
    ends = itertools.accumulate(sections)
    return tuple([basic_index(x, (*before, slice(end - length, end))) for end, length in zip(ends, sections)])


@public
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    if x.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    size = x._data.shape[x._dim(dim)]
    step = -(-size // chunks)
    return split(x, step, dim) if step else tuple(narrow(x, dim, 0, 0) for _ in range(chunks))


@public
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The entries along ``dim``, as views."""
    if x.ndim == 0:
        raise IndexError("unbind: dimension specified as 0 but tensor has no dimensions")
    d = x._dim(dim)
    before = (slice(None),) * d
    return tuple(basic_index(x, (*before, i, ...)) for i in range(x._data.shape[d]))


def _diagonal(x: np.ndarray, offset: int, dim1: int, dim2: int) -> np.ndarray:
    view = x.diagonal(offset, dim1, dim2)
    if x.flags.writeable:
        view.setflags(write=True)  # NumPy is more careful with diagonals than with other views
    return view


def _diagonal_rule(g: Tensor, x_shape: Any, offset: int, dim1: int, dim2: int) -> Tensor:
    return _embed_diagonal(g, x_shape, offset, dim1, dim2)


_diagonal_op = view_operation("diagonal", _diagonal, _diagonal_rule)


def _embed_diagonal_array(x: np.ndarray, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> np.ndarray:
    from ..kernels._cpu import zeros
    from ..kernels.copy import copy_into

    out = zeros(shape, x.dtype)
    copy_into(_diagonal(out, offset, dim1, dim2), x)
    return out


_embed_diagonal = Operation(
    "embed_diagonal",
    _embed_diagonal_array,
    {"x": lambda g, offset, dim1, dim2: _diagonal_op(g, offset, dim1, dim2)},
    ("y",),
    ("y",),
)


@public
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the matrices in ``dim1`` and ``dim2``, as a view whose last dimension it is."""
    a, b = x._dim(dim1), x._dim(dim2)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal_op(x, offset, a, b)
