"""Views: the same storage under another shape, order or part of it.  Nothing is computed; the rules are views too."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from ..autograd.mode import state
from ..kernels import _dtypes
from ..kernels.copy import contiguous
from ..size import dimension
from ..tensor import Tensor, wrap
from ._attach import public
from ._keywords import with_others
from ._view import view_operation


def _strided(x: Any, shape: Sequence[int], strides: Sequence[int]) -> Any:
    """A view of ``x`` by byte strides, which the caller answers for.  (NumPy's own ``as_strided`` takes ten times as long.)"""
    if type(x) is not np.ndarray:
        return x.as_strided(shape, strides)
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


def only_size(named: dict[str, Any], op: str) -> Any:
    """The argument ``size`` (``layout`` and ``pin_memory``, which only have meaning for other devices, are let pass)."""
    if not named:
        return None
    size = named.pop("size", None)
    unknown = set(named) - {"layout", "pin_memory"}
    if unknown:
        raise TypeError(f"{op}() got an unexpected keyword argument '{min(unknown)}'")
    return size


def given(op: str, **value: Any) -> Any:
    """The value of an argument that stands for separate integers, of which there were none.  Raises TypeError if it is missing too."""
    ((name, given),) = value.items()
    if given is None:
        raise TypeError(f"{op}() missing 1 required positional argument: '{name}'")
    return given


def sizes_of(args: Sequence[Any], op: str) -> tuple[int, ...]:
    """Sizes given as separate integers or as one sequence.  Raises TypeError for anything else, and for none."""
    if not args:
        raise TypeError(f"{op}() missing 1 required positional argument: 'size'")
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


# NumPy from 2.1 on says without making one whether a shape needs a copy.
_TELLS = tuple(map(int, np.__version__.split(".")[:2])) >= (2, 1)


def _try_view(x: Any, shape: tuple[int, ...]) -> Any:
    """``x`` as ``shape`` without a copy, or None where strides do not allow it."""
    if len(shape) == 1 and _is_scattered(x):
        return None
    if type(x) is not np.ndarray:
        return x.reshaped(shape)
    try:
        if _TELLS:
            return x.reshape(shape, copy=False)  # type: ignore[call-overload]
        view = x.view()
        view.shape = shape
        return view
    except (AttributeError, ValueError):
        return None


def _is_scattered(x: np.ndarray) -> bool:
    """Whether two dimensions of ``x`` cannot be seen as one: found quicker than NumPy raises an exception."""
    inner = 0
    for n, stride in zip(reversed(x.shape), reversed(x.strides)):
        if n != 1:
            if inner and stride != inner:
                return x.size > 0
            inner = stride * n
    return False


_reshape_view = view_operation("view", _view, lambda g, x_shape: g.reshape(x_shape))
_reshape_view.node_name = "ViewBackward0"


@public(function=False)
def view(input: Tensor, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same elements, in order, under another shape (one size may be -1), or seen as another dtype.  Raises RuntimeError where that needs a copy."""
    if not shape:
        shape = (given("view", size=size if dtype is None else dtype),)
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)):
        return _view_dtype(input, shape[0])
    data = input._data
    target = _given_shape(shape)
    if target is None or not data.flags.c_contiguous:
        target = infer_shape(sizes_of(shape, "view"), data.size, "view")
        return _reshape_view.made(input, _view(data, target), (target,))
    try:
        seen = data.reshape(target)
    except ValueError:
        infer_shape(target, data.size, "view")  # which says what is wrong
        raise
    return _reshape_view.made(input, seen, (target,))


def _given_shape(args: tuple[Any, ...]) -> Any:
    """The sizes in ``args`` if they are plain integers from -1 on and so mean the same to NumPy; else None."""
    if len(args) == 1:
        only = args[0]
        if type(only) is int:
            return args if only >= -1 else None
        if type(only) is list:
            args = tuple(only)
        elif isinstance(only, tuple):
            args = only
        else:
            return None
    for n in args:
        if type(n) is not int or n < -1:
            return None
    return args


def _view_dtype(x: Tensor, dtype: Any) -> Tensor:
    from ..dtypes import as_dtype

    target = as_dtype(dtype, "view").numpy
    times = target.itemsize // x.itemsize
    kinds = f"{x.dtype.title} as {_dtypes.title(target)} (different element sizes)"
    if target.itemsize != x.itemsize:
        if x.ndim == 0:
            raise RuntimeError(f"self.dim() cannot be 0 to view {kinds}")
        if x.stride(-1) != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 to view {kinds}, but got {x.stride(-1)}")
    if times > 1:
        places = [("storage_offset()", x.storage_offset()), *((f"stride({d})", step) for d, step in enumerate(x.stride()[:-1]))]
        for name, place in places:
            if place % times:
                raise RuntimeError(f"self.{name} must be divisible by {times} to view {kinds}, but got {place}")
        if x.shape[-1] % times:
            raise RuntimeError(f"self.size(-1) must be divisible by {times} to view {kinds}, but got {x.shape[-1]}")
    result = wrap(x._data.view(target))
    result._counter = x._shared_counter()
    return result


@public(function=False)
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """``view(other.shape)``"""
    data, target = input._data, other._data.shape
    if data.flags.c_contiguous and data.size == other._data.size:
        return _reshape_view.made(input, data.reshape(target), (target,))
    return view(input, target)


@public
def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements, in order, under another shape; a view where the strides allow it, else a copy."""
    data = input._data
    target = _given_shape(sizes or (given("reshape", shape=shape),))
    if target is None or not data.flags.c_contiguous:
        return _reshaped(input, infer_shape(sizes_of(sizes or (shape,), "reshape"), data.size, "reshape"))
    try:
        seen = data.reshape(target)
    except ValueError:
        infer_shape(target, data.size, "reshape")  # which says what is wrong
        raise
    return _reshape_view.made(input, seen, (target,))


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x`` in a ``shape`` of as many elements."""
    data = x._data
    view = data.reshape(shape) if data.flags.c_contiguous else _try_view(data, shape)
    if view is not None:
        return _reshape_view.made(x, view, (shape,))
    if state.recording and x.requires_grad:
        return _reshape_view(x.contiguous(), shape)  # type: ignore[attr-defined]
    return wrap(contiguous(data).reshape(shape))


@public(function=False)
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """``reshape(other.shape)``"""
    return reshape(input, other._data.shape)


@public
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` as one."""
    data = input._data
    if start_dim == 0 and end_dim == -1 and type(start_dim) is int and data.ndim > 1:
        return _reshaped(input, (data.size,))
    shape = data.shape
    start, end = dimension(start_dim, len(shape)), dimension(end_dim, len(shape))
    if not shape:
        return _reshaped(input, (1,))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    return _reshaped(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


@public
def ravel(input: Tensor) -> Tensor:
    """The elements in one dimension."""
    return _reshaped(input, (input._data.size,))


@public
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension ``dim`` as several."""
    shape = input._data.shape
    d = dimension(dim, len(shape))
    inner = infer_shape(tuple(sizes), shape[d], "unflatten")
    target = shape[:d] + inner + shape[d + 1 :]
    return _reshape_view.made(input, _view(input._data, target), (target,))


def _transpose(x: np.ndarray, dim0: int, dim1: int) -> np.ndarray:
    return x.swapaxes(dim0, dim1)


_transpose_op = view_operation("transpose", _transpose, lambda g, dim0, dim1: g.transpose(dim0, dim1))


@public(aliases=("swapdims",))
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Dimensions ``dim0`` and ``dim1`` exchanged."""
    data = input._data
    ndim = data.ndim
    if type(dim0) is type(dim1) is int and -ndim <= dim0 < ndim and -ndim <= dim1 < ndim:
        return _transpose_op.made(input, data.swapaxes(dim0, dim1), (dim0, dim1))
    a, b = dimension(dim0, ndim), dimension(dim1, ndim)
    return _transpose_op(input, a, b) if ndim else _reshape_view(input, ())


@public
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """``transpose(input, axis0, axis1)``"""
    return transpose(input, axis0, axis1)


@public
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or scalar as it is.  Raises RuntimeError beyond two dimensions."""
    data = input._data
    if data.ndim == 2:
        return _transpose_op.made(input, data.T, (0, 1))
    if data.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {data.ndim}D")
    return _reshape_view(input, data.shape)


_permute_op = view_operation(
    "permute", lambda x, dims: x.transpose(dims), lambda g, dims: g.permute([dims.index(i) for i in range(len(dims))])
)


_IN_ORDER = list(range(64))


@public
def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The dimensions in the order ``dims``, separate integers or one sequence."""
    data = input._data
    ndim = data.ndim
    wanted = sizes_of(order or (given("permute", dims=dims),), "permute")
    if sorted(wanted) == _IN_ORDER[:ndim]:
        return _permute_op.made(input, data.transpose(wanted), (wanted,))
    if len(wanted) != ndim:
        raise RuntimeError(f"permute: the tensor has {ndim} dimensions, but an order of {len(wanted)} was given: {list(wanted)}")
    wanted = tuple([dimension(d, ndim) for d in wanted])
    if len(set(wanted)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permute_op(input, wanted)


@public(aliases=("moveaxis",))
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimension(s) ``source`` moved to position(s) ``destination``, the others in order."""
    ndim = input._data.ndim
    if type(source) is type(destination) is int and 0 <= source < ndim and 0 <= destination < ndim:
        moved = _IN_ORDER[:ndim]
        moved.insert(destination, moved.pop(source))
        return _permute_op(input, tuple(moved))
    src = [dimension(d, ndim) for d in ((source,) if isinstance(source, (int, np.integer)) else source)]
    dst = [dimension(d, ndim) for d in ((destination,) if isinstance(destination, (int, np.integer)) else destination)]
    if len(src) != len(dst) or len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise RuntimeError(f"movedim: source {source} and destination {destination} must have the same number of distinct dimensions")
    order = [d for d in range(ndim) if d not in src]
    for d, s in sorted(zip(dst, src)):
        order.insert(d, s)
    return _permute_op(input, tuple(order)) if ndim else permute(input, order)


def _matrix_transpose(x: Tensor) -> Tensor:
    data = x._data
    if data.ndim < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {data.ndim}-D tensor.")
    return _transpose_op.made(x, data.swapaxes(-2, -1), (-2, -1))


@public
def adjoint(input: Tensor) -> Tensor:
    """The conjugate of the last two dimensions exchanged, as ``mH``."""
    return input.mH


_reverse_op = view_operation("permute", lambda x: x.T, lambda g: g.T)
Tensor.T = property(lambda x: _reverse_op.made(x, x._data.T, ()), doc="The dimensions in reverse order.")  # type: ignore[attr-defined]
Tensor.mT = property(_matrix_transpose, doc="The last two dimensions exchanged.")  # type: ignore[attr-defined]
Tensor.mH = property(  # type: ignore[attr-defined]
    lambda x: _matrix_transpose(x).conj() if x._data.dtype.kind == "c" else _matrix_transpose(x), doc="The conjugate of ``mT``."
)
Tensor.H = property(lambda x: transpose(x, 0, 1).conj(), doc="The conjugate transpose of a matrix.")  # type: ignore[attr-defined]


@public
def squeeze(input: Tensor, dim: Any = None, **others: Any) -> Tensor:
    """Without dimensions of size 1: all of them, or those in ``dim`` that have it."""
    if others:
        return with_others(squeeze, others, input, dim)
    shape = input._data.shape
    if dim is None:
        keep = tuple([n for n in shape if n != 1])
    else:
        dims = [dimension(d, len(shape)) for d in ((dim,) if isinstance(dim, (int, np.integer)) else dim)]
        keep = tuple([n for i, n in enumerate(shape) if n != 1 or i not in dims])
    return _reshaped(input, keep)


@public
def unsqueeze(input: Tensor, dim: Any = None, **others: Any) -> Tensor:
    """With a dimension of size 1 put in before ``dim``."""
    if others:
        return with_others(unsqueeze, others, input, dim)
    if dim is None:
        raise TypeError("unsqueeze() missing 1 required positional argument: 'dim'")
    shape = input._data.shape
    n = len(shape) + 1
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    d = dim % n
    return _reshaped(input, (1, *shape) if d == 0 else (*shape[:d], 1, *shape[d:]))


def _expand(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    strides = [0] * (len(shape) - x.ndim) + [0 if have == 1 else stride for have, stride in zip(x.shape, x.strides)]
    return _strided(x, shape, strides)


_expand_op = view_operation("expand", _expand, lambda g: g)  # the walk sums it back to the input's shape


@public(function=False)
def expand(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 leaves a size as it is.  Raises RuntimeError where a size other than 1 would change."""
    want = sizes_of(sizes or (given("expand", size=size),), "expand")
    have = input._data.shape
    lead = len(want) - len(have)
    if lead < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(want)}) must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    shape, strides = list(want), [0] * lead
    for i, (length, stride) in enumerate(zip(have, input._data.strides), lead):
        strides.append(0 if length == 1 else stride)
        n = want[i]
        if n == -1:
            shape[i] = length
        elif n != length and length != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({length}) at non-singleton dimension {i}. "
                f"Target sizes: {list(want)}. Tensor sizes: {list(have)}"
            )
    if shape and min(shape) < 0:
        raise RuntimeError(f"The expanded size of the tensor ({min(shape)}) isn't allowed in a leading, non-existing dimension 0")
    return _expand_op.made(input, _strided(input._data, shape, strides), (tuple(shape),))


@public(function=False)
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """``expand(other.shape)``"""
    return expand(input, tuple(other.shape))


@public
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """``x.expand(size)``"""
    return expand(input, tuple(size))


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
