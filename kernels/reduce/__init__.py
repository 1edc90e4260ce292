"""Reductions and scans over any dims of an array of any strides.

Every reduction of a family here takes ``dim`` (None for all, an int or a tuple of ints) and ``keepdim``, and returns a contiguous
array.  bool and integers are summed in int64; float16 and bfloat16 are computed in float32 and rounded once, at the end.

An array is not copied to be reduced unless it has gaps or overlaps: its dims are put in the order in which they lie in memory,
neighbours merged, and every remaining group of reduced dims is one pass over (outer, n, inner), see ``_plan`` and ``_fold``.
"""

from __future__ import annotations

import builtins
import functools
import math
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._device import family
from ..copy import cast, contiguous
from ._plan import CONTINUES, Plan, normalize_dim, normalize_dims, plan
from ._quick import BOTH, INDICES, VALUES, Call, Quick

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "cummax", "cummin", "cumprod", "cumsum", "linear_scan",
    "logcumsumexp", "logsumexp", "max_with_indices", "mean", "min_with_indices", "norm", "normalize_dim", "normalize_dims", "prod", "quick",
    "std", "sum", "sum_to", "var",
]  # fmt: skip

Dims = int | Sequence[int] | None

_on = family(__name__)


def _plan_of(op: str, x: Any, dim: Dims) -> Plan:
    return plan(x.shape, x.strides, x.dtype.itemsize, normalize_dims(op, dim, x.ndim))


def _flat(x: Any, p: Plan) -> Any:
    if p.copy:
        x = contiguous(x)
    elif p.order is not None:
        x = x.transpose(p.order)
    return x.reshape(-1)


def _shaped(flat: Any, p: Plan, keepdim: bool) -> Any:
    if p.back is not None:
        flat = contiguous(flat.reshape(p.packed).transpose(p.back))
    return flat.reshape(p.kept if keepdim else p.shape)


def _run(op: str, x: Any, p: Plan, dtype: np.dtype, power: float = 0.0) -> Any:
    """The flat result of all passes, with ``dtype`` as the type of the accumulators."""
    on = _on(x)
    flat = _flat(x, p)
    for outer, n, inner in p.passes:
        flat = on.reduce(op, flat, outer, n, inner, dtype, power)
        op = CONTINUES.get(op, op)
    return flat


def _filled(x: Any, p: Plan, keepdim: bool, value: Any, dtype: np.dtype) -> Any:
    """The result of reducing no elements."""
    return _on(x).filled(p.kept if keepdim else p.shape, value, dtype)


@functools.lru_cache(maxsize=None)
def _types(dtype: np.dtype, wanted: np.dtype | None) -> tuple[np.dtype, np.dtype, bool]:
    """Of a sum or product: (its dtype, that of its accumulators, whether the input is cast to that first)."""
    if wanted is None:
        wanted = _dtypes.int64 if _dtypes.category(dtype) < 2 else dtype
    compute = _dtypes.compute_dtype(wanted)
    narrow = wanted == _dtypes.int64 and _dtypes.category(dtype) < 2  # narrow integers are widened by the kernel itself
    return wanted, compute, compute != dtype and not narrow


def _accumulated(op: str, identity: int, x: Any, dim: Dims, keepdim: bool, wanted: np.dtype | None) -> Any:
    dtype, compute, convert = _types(x.dtype, wanted)
    if convert:
        x = _on(x).operand(x, compute)
    p = _plan_of(op, x, dim)
    if x.size == 0:
        return _filled(x, p, keepdim, identity, dtype)
    if dtype == _dtypes.bool_:
        op = "all" if identity else "any"
    y = _shaped(_run(op, x, p, compute), p, keepdim)
    return y if compute is dtype else cast(y, dtype)


# The functions that compiled code takes over on small arrays, by name.
quick: dict[str, Quick] = {}


def _quick(name: str, op: str, general: Call, wanted: int = VALUES) -> Quick:
    """``general``, which reduces by ``op``, and from which compiled code learns what it may take over; see ``Quick``."""

    def taught(x: Any, dim: Any, keepdim: bool) -> Any:
        found = general(x, dim, keepdim)
        _on(x).learn(made, op, x, dim, keepdim, found[0] if wanted == BOTH else found)
        return found

    made = quick[name] = Quick(name, taught, wanted)
    return made


_ALL_DIMS = [tuple(range(ndim)) for ndim in range(9)]


def _plain_dim(x: Any, dim: Dims) -> Any:
    """``dim`` as None or an int where it can be."""
    if type(dim) is tuple:
        count = len(dim)
        if count == 1:
            return dim[0]
        if count == 0 or (count == x.ndim and count < len(_ALL_DIMS) and dim == _ALL_DIMS[count]):
            return None
    return dim


def sum(x: Any, dim: Dims = None, keepdim: bool = False, dtype: np.dtype | None = None) -> Any:
    """Σ x over ``dim``, as a tree of blocks, so the rounding error grows with log n.  ``dtype`` converts x first."""
    if dtype is None:
        return _sum.call(x, _plain_dim(x, dim), keepdim)
    return _accumulated("sum", 0, x, dim, keepdim, np.dtype(dtype))


_sum = _quick("sum", "sum", lambda x, dim, keepdim: _accumulated("sum", 0, x, dim, keepdim, None))


def prod(x: Any, dim: Dims = None, keepdim: bool = False, dtype: np.dtype | None = None) -> Any:
    """Π x over ``dim``.  ``dtype`` converts x first."""
    if dtype is None:
        return _prod.call(x, _plain_dim(x, dim), keepdim)
    return _accumulated("prod", 1, x, dim, keepdim, np.dtype(dtype))


_prod = _quick("prod", "prod", lambda x, dim, keepdim: _accumulated("prod", 1, x, dim, keepdim, None))


def mean(x: Any, dim: Dims = None, keepdim: bool = False, dtype: np.dtype | None = None) -> Any:
    """Σ x / n over ``dim`` for floating and complex x; NaN for n = 0.  RuntimeError for integers unless ``dtype`` converts them."""
    if dtype is None:
        return _mean.call(x, _plain_dim(x, dim), keepdim)
    return _averaged(x, dim, keepdim, dtype)


_mean = _quick("mean", "mean", lambda x, dim, keepdim: _averaged(x, dim, keepdim, None))


def _averaged(x: Any, dim: Dims, keepdim: bool, dtype: np.dtype | None) -> Any:
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    if _dtypes.category(dtype) < 2:
        raise RuntimeError(f"mean(): expected a floating point or complex dtype, but got {_dtypes.name(dtype)}")
    compute = _dtypes.compute_dtype(dtype)
    x = _on(x).operand(x, compute)
    p = _plan_of("mean", x, dim)
    if x.size == 0:
        return _filled(x, p, keepdim, math.nan, dtype)
    return cast(_shaped(_on(x).divide(_run("sum", x, p, compute), p.elements), p, keepdim), dtype)


def spread(g: Any, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    """The gradient of a sum over ``dims`` of an array of ``shape``: ``g`` in each of the places that were added up.

    A view where that saves memory; a small array of the CPU is written out, since what reads it is then quicker by more than that takes.
    """
    return _on(g).spread(contiguous(g), shape, dims)


def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """x summed over the dims that broadcasting ``shape`` to ``x.shape`` added or stretched: the gradient of a broadcast."""
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    dims = tuple(j for j in range(x.ndim) if j < lead or (shape[j - lead] == 1 and x.shape[j] != 1))
    if lead < 0 or builtins.any(j >= lead and j not in dims and shape[j - lead] != x.shape[j] for j in range(x.ndim)):
        raise RuntimeError(f"sum_to: shape {shape} does not broadcast to {x.shape}")
    total = sum(x, dims, False, x.dtype) if dims else x
    return total.reshape(shape)


def _nonempty(op: str, x: Any, dims: tuple[int, ...], full: bool, error: type[Exception] = RuntimeError) -> None:
    """An extremum of no elements is an error; an empty result is not."""
    if x.size:
        return
    if full:
        raise error(
            f"{op}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        )
    for j in dims:
        if x.shape[j] == 0:
            raise IndexError(f"{op}(): Expected reduction dim {j} to have non-zero size.")


def _no_complex(op: str, x: Any) -> None:
    if _dtypes.category(x.dtype) == 3:
        raise NotImplementedError(f"{op}(): not implemented for {_dtypes.name(x.dtype)}: complex numbers have no order")


def _extremum(op: str, x: Any, dim: Dims, keepdim: bool) -> Any:
    _no_complex(op, x)
    dims = normalize_dims(op, dim, x.ndim)
    _nonempty(op, x, dims, dim is None or dim == ())
    dtype = x.dtype
    compute = _dtypes.compute_dtype(dtype)
    x = _on(x).operand(x, compute)
    p = plan(x.shape, x.strides, x.dtype.itemsize, dims)
    if x.size == 0:
        return _filled(x, p, keepdim, 0, dtype)
    return cast(_shaped(_run(op, x, p, compute), p, keepdim), dtype)


def amax(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The largest element over ``dim``; NaN if there is one.  RuntimeError (IndexError if ``dim`` is given) when there is none."""
    return _amax.call(x, _plain_dim(x, dim), keepdim)


_amax = _quick("amax", "amax", lambda x, dim, keepdim: _extremum("amax", x, dim, keepdim))


def amin(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The smallest element over ``dim``; NaN if there is one.  RuntimeError (IndexError if ``dim`` is given) when there is none."""
    return _amin.call(x, _plain_dim(x, dim), keepdim)


_amin = _quick("amin", "amin", lambda x, dim, keepdim: _extremum("amin", x, dim, keepdim))


def _found(op: str, name: str, x: Any, dim: int | None, keepdim: bool) -> tuple[Any, Any]:
    """(extremum, index of its first occurrence)"""
    _no_complex(name, x)
    dims = tuple(range(x.ndim)) if dim is None else normalize_dims(name, int(dim), x.ndim)
    _nonempty(name, x, dims, dim is None, IndexError if name.startswith("arg") else RuntimeError)
    dtype = x.dtype
    compute = _dtypes.compute_dtype(dtype)
    x = _on(x).operand(x, compute)
    p = plan(x.shape, x.strides, x.dtype.itemsize, dims, dim is None)
    if x.size == 0:
        return _filled(x, p, keepdim, 0, dtype), _filled(x, p, keepdim, 0, _dtypes.int64)
    ((outer, n, inner),) = p.passes  # one dim, or all of them in order, are one group
    best, index = _on(x).first_extremum(op, _flat(x, p), outer, n, inner, compute)
    return cast(_shaped(best, p, keepdim), dtype), _shaped(index, p, keepdim)


def max_with_indices(x: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
    """(values, int64 indices) of the first largest element along ``dim``; the first NaN wins."""
    return _max.call(x, dim, keepdim)


_max = _quick("max", "amax", lambda x, dim, keepdim: _found("amax", "max", x, dim, keepdim), BOTH)


def min_with_indices(x: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
    """(values, int64 indices) of the first smallest element along ``dim``; the first NaN wins."""
    return _min.call(x, dim, keepdim)


_min = _quick("min", "amin", lambda x, dim, keepdim: _found("amin", "min", x, dim, keepdim), BOTH)


def argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first largest element along ``dim``, or in the flattened array for None."""
    return _argmax.call(x, dim, keepdim)


_argmax = _quick("argmax", "amax", lambda x, dim, keepdim: _found("amax", "argmax", x, dim, keepdim)[1], INDICES)


def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first smallest element along ``dim``, or in the flattened array for None."""
    return _argmin.call(x, dim, keepdim)


_argmin = _quick("argmin", "amin", lambda x, dim, keepdim: _found("amin", "argmin", x, dim, keepdim)[1], INDICES)


def _logical(op: str, identity: bool, x: Any, dim: Dims, keepdim: bool) -> Any:
    dtype = _dtypes.uint8 if x.dtype == _dtypes.uint8 else _dtypes.bool_
    x = _on(x).operand(x, _dtypes.compute_dtype(x.dtype))
    p = _plan_of(op, x, dim)
    if x.size == 0:
        return _filled(x, p, keepdim, identity, dtype)
    return _shaped(_run(op, x, p, _dtypes.bool_), p, keepdim).view(dtype)


def any(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether an element over ``dim`` is not 0 (NaN is not 0); bool, or uint8 for uint8."""
    return _any.call(x, _plain_dim(x, dim), keepdim)


_any = _quick("any", "any", lambda x, dim, keepdim: _logical("any", False, x, dim, keepdim))


def all(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether no element over ``dim`` is 0; bool, or uint8 for uint8."""
    return _all.call(x, _plain_dim(x, dim), keepdim)


_all = _quick("all", "all", lambda x, dim, keepdim: _logical("all", True, x, dim, keepdim))


def count_nonzero(x: Any, dim: Dims = None) -> Any:
    """How many elements over ``dim`` are not 0, in int64."""
    x = _on(x).operand(x, _dtypes.compute_dtype(x.dtype))
    p = _plan_of("count_nonzero", x, dim)
    if x.size == 0:
        return _filled(x, p, False, 0, _dtypes.int64)
    return _shaped(_run("count_nonzero", x, p, _dtypes.int64), p, False)


def _spread(op: str, x: Any, dim: Dims, correction: float, keepdim: bool, root: bool) -> Any:
    if _dtypes.category(x.dtype) < 2:
        raise RuntimeError(f"{op}(): only supports floating point and complex dtypes, but got {_dtypes.name(x.dtype)}")
    dtype, compute = _dtypes.real_dtype(x.dtype), _dtypes.compute_dtype(x.dtype)
    real = _dtypes.real_dtype(compute)
    on = _on(x)
    x = on.operand(x, compute)
    p = _plan_of(op, x, dim)
    if x.size == 0:
        return _filled(x, p, keepdim, math.nan, dtype)
    means = _flat(x, p)
    squares, count = None, 1
    for outer, n, inner in p.passes:
        # Groups of ``count`` elements each, of which the means and sums of squared deviations are known, are joined n at a time.
        centre = on.divide(on.reduce("sum", means, outer, n, inner, compute, 0.0), n)
        between = on.deviations(means, centre, outer, n, inner)
        if squares is not None:
            within = on.reduce("sum", squares, outer, n, inner, real, 0.0)
            between = on.add_scaled(within, between, count)
        means, squares, count = centre, between, count * n
    result = on.divide(squares, max(0.0, count - correction))
    return cast(_shaped(on.root(result, 2.0) if root else result, p, keepdim), dtype)


def var(x: Any, dim: Dims = None, correction: float = 1, keepdim: bool = False) -> Any:
    """Σ |x - mean|² / max(0, n - correction) over ``dim``, in two passes (the mean first); groups of dims that do not lie together
    in memory are joined by Chan, Golub and LeVeque's update (1979)."""
    return _spread("var", x, dim, correction, keepdim, False)


def std(x: Any, dim: Dims = None, correction: float = 1, keepdim: bool = False) -> Any:
    """√var."""
    return _spread("std", x, dim, correction, keepdim, True)


def norm(x: Any, p: float | str = 2.0, dim: Dims = None, keepdim: bool = False) -> Any:
    """(Σ |x|^p)^(1/p) over ``dim``, real for complex x; p = inf and -inf give max and min of |x|, 0 the count of non-zeros, "fro" is 2."""
    if p == "fro" or p is None:
        p = 2.0
    if isinstance(p, str):
        raise RuntimeError(f"norm(): unsupported p: expected a number, inf, -inf or 'fro', but got {p!r}")
    p = float(p)
    if _dtypes.category(x.dtype) < 2:
        raise RuntimeError(f"norm(): Expected a floating point or complex tensor as input. Got {_dtypes.name(x.dtype)}")
    dtype, compute = _dtypes.real_dtype(x.dtype), _dtypes.compute_dtype(x.dtype)
    x = _on(x).operand(x, compute)
    steps = _plan_of("norm", x, dim)
    if x.size == 0:
        if p == math.inf or p < 0:
            empty = [j for j in normalize_dims("norm", dim, x.ndim) if x.shape[j] == 0]
            if empty:
                raise RuntimeError(f"norm(): cannot compute the {p} norm over dims {empty} of size 0: the operation has no identity")
        return _filled(x, steps, keepdim, 0, dtype)
    op = {0.0: "count_nonzero", 1.0: "magnitude", 2.0: "squared", math.inf: "magnitude_max", -math.inf: "magnitude_min"}.get(p, "power")
    flat = _run(op, x, steps, _dtypes.real_dtype(compute), p)
    if op in ("squared", "power"):
        flat = _on(x).root(flat, p)
    return cast(_shaped(flat, steps, keepdim), dtype)


def logsumexp(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """m + log Σ exp(x - m) over ``dim`` with m the largest element; -inf for no elements."""
    _no_complex("logsumexp", x)
    dtype = x.dtype
    if _dtypes.category(dtype) < 2:
        from ..elementwise import default_float

        dtype = default_float()
    compute = _dtypes.compute_dtype(dtype)
    on = _on(x)
    x = on.operand(x, compute)
    p = _plan_of("logsumexp", x, dim)
    if x.size == 0:
        return _filled(x, p, keepdim, -math.inf, dtype)
    flat = _flat(x, p)
    for outer, n, inner in p.passes:  # the logsumexp of logsumexps is that of all elements
        top = on.finite(on.reduce("amax", flat, outer, n, inner, compute, 0.0))
        flat = on.shifted_log(on.exponentials(flat, top, outer, n, inner), top)
    return cast(_shaped(flat, p, keepdim), dtype)


def _scanned(op: str, x: Any, dim: int, dtype: np.dtype | None) -> Any:
    d = normalize_dim(int(dim), x.ndim)
    dtype, compute, convert = _types(x.dtype, None if dtype is None else np.dtype(dtype))
    if dtype == _dtypes.bool_:
        raise NotImplementedError(f"{op}(): not implemented for bool")
    shape = x.shape
    if x.size == 0:
        return _on(x).filled(shape, 0, dtype)
    if convert:
        x = _on(x).operand(x, compute)
    x = contiguous(x).reshape(-1)
    result = _on(x).scan(op, x, math.prod(shape[:d]), shape[d] if shape else 1, math.prod(shape[d + 1 :]), compute)
    return cast(result.reshape(shape), dtype)


def cumsum(x: Any, dim: int, dtype: np.dtype | None = None) -> Any:
    """y_j = Σ_{i≤j} x_i along ``dim``; the sums of whole chunks are carried with a compensation term."""
    return _scanned("cumsum", x, dim, dtype)


def cumprod(x: Any, dim: int, dtype: np.dtype | None = None) -> Any:
    """y_j = Π_{i≤j} x_i along ``dim``."""
    return _scanned("cumprod", x, dim, dtype)


def _running_extremum(op: str, x: Any, dim: int) -> Any:
    d = normalize_dim(int(dim), x.ndim)
    shape = x.shape
    if x.size == 0:
        return _on(x).filled(shape, 0, x.dtype), _on(x).filled(shape, 0, _dtypes.int64)
    if _dtypes.category(x.dtype) == 3:
        raise NotImplementedError(f"\"{op}\" not implemented for '{_dtypes.title(x.dtype)}'")
    flat = contiguous(cast(x, _dtypes.compute_dtype(x.dtype))).reshape(-1)
    values, indices = _on(x).running_extremum(op, flat, math.prod(shape[:d]), shape[d] if shape else 1, math.prod(shape[d + 1 :]))
    return cast(values.reshape(shape), x.dtype), indices.reshape(shape)


def cummax(x: Any, dim: int) -> Any:
    """(y, i): y_j is the largest of x_0 ... x_j along ``dim``, and i_j its last place among them.  NaN is larger than any number."""
    return _running_extremum("cummax", x, dim)


def cummin(x: Any, dim: int) -> Any:
    """(y, i): y_j is the smallest of x_0 ... x_j along ``dim``, and i_j its last place among them.  NaN is smaller than any number."""
    return _running_extremum("cummin", x, dim)


def logcumsumexp(x: Any, dim: int) -> Any:
    """y_j = log Σ_{i≤j} exp(x_i) along ``dim``, by log(e^a + e^b) = max(a, b) + log(1 + e^−|a − b|).  NotImplementedError unless x is of real floats."""
    d = normalize_dim(int(dim), x.ndim)
    shape = x.shape
    if _dtypes.category(x.dtype) != 2:
        raise NotImplementedError(f"\"logcumsumexp\" not implemented for '{_dtypes.title(x.dtype)}'")
    if x.size == 0:
        return _on(x).filled(shape, 0, x.dtype)
    flat = contiguous(cast(x, _dtypes.compute_dtype(x.dtype))).reshape(-1)
    y = _on(x).running_logsumexp(flat, math.prod(shape[:d]), shape[d] if shape else 1, math.prod(shape[d + 1 :]))
    return cast(y.reshape(shape), x.dtype)


def linear_scan(a: Any, b: Any, dim: int, reverse: bool = False) -> Any:
    """y_j = b_j + a_j · y_{j-1} along ``dim`` (y_{j+1} if ``reverse``), with nothing before the first.

    The gradient of a running product is made of it, and so is its own.  RuntimeError unless a and b agree in shape and dtype.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        raise RuntimeError(f"linear_scan(): expected equal shapes and dtypes, but got {a.shape} {a.dtype} and {b.shape} {b.dtype}")
    d = normalize_dim(int(dim), b.ndim)
    dtype, shape = b.dtype, b.shape
    compute = _dtypes.compute_dtype(dtype)
    if b.size == 0:
        return _on(b).filled(shape, 0, dtype)
    a, b = contiguous(cast(a, compute)).reshape(-1), contiguous(cast(b, compute)).reshape(-1)
    y = _on(a, b).linear_scan(a, b, math.prod(shape[:d]), shape[d] if shape else 1, math.prod(shape[d + 1 :]), bool(reverse))
    return cast(y.reshape(shape), dtype)
