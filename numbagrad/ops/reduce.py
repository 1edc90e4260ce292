"""Reductions over any dims: sums, extrema, statistics, norms, truth.  Scans are in ``scan``."""

from __future__ import annotations

import math
import warnings
from typing import Any, Callable

from .. import dtypes
from ..autograd import casting
from ..kernels import reduce as kernels
from ..kernels.elementwise import Box
from ..kernels.reduce import normalize_dim, normalize_dims
from ..tensor import NEW, Parameter, Tensor, wrap
from . import scan
from ._along import kept, named_result, put
from ._attach import public
from ._keywords import with_others
from ._operation import differentiable
from .elementwise import where

__all__ = ["scan"]


def _numpy(dtype: Any, op: str) -> Any:
    return None if dtype is None else dtypes.as_dtype(dtype, op).numpy


def _number_of(shape: tuple[int, ...], dims: tuple[int, ...]) -> int:
    return math.prod(shape[j] for j in dims)


def _checked(input: Any, op: str) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input


_BOX = Box(Tensor, "_data", NEW, marks=("_node", "_requires_grad", "_base"), too=Parameter)


def _quick(name: str, op: str, operation: Callable[..., Any]) -> Any:
    """The kernel ``name`` as ``.boxed(x, dim, keepdim)``, which on small tensors outside graphs is compiled code, and ``operation`` on others."""

    def general(x: Any, dim: Any, keepdim: bool) -> Any:
        return operation(_checked(x, op), dim, keepdim)

    return kernels.quick[name].box_in(_BOX, general)


# ---- sums ------------------------------------------------------------------------------------------------------------------------

_sum = differentiable(
    "sum",
    kernels.sum,
    x=lambda g, x_shape, dim: kept(g, x_shape, dim).expand(x_shape),
    together=lambda wanted, g, x_shape, dim: (kernels.spread(g, x_shape, dim),),
)
_mean = differentiable(
    "mean", kernels.mean, x=lambda g, x_shape, dim: (kept(g, x_shape, dim) / max(_number_of(x_shape, dim), 1)).expand(x_shape)
)


def _general_sum(x: Any, dim: Any, keepdim: bool) -> Any:
    if casting.active:
        (x,) = casting.arguments("sum", x)
    return _sum(x, normalize_dims("sum", dim, x._data.ndim), keepdim, None)


_quick_sum = _quick("sum", "sum", _general_sum)
_quick_mean = _quick("mean", "mean", lambda x, dim, keepdim: _mean(x, normalize_dims("mean", dim, x._data.ndim), keepdim, None))


@public(name="sum")
def sum_(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **others: Any) -> Tensor:
    """Σ input over ``dim`` (None: all dims, an int or a tuple).  bool and integers give int64; ``dtype`` converts the input first.

    Raises IndexError for a dim out of range, RuntimeError for one given twice.
    """
    if others:
        return with_others(sum_, others, input, dim, keepdim, dtype=dtype)
    if dtype is None:
        return _quick_sum.boxed(input, dim, keepdim)
    x = _checked(input, "sum")
    return _sum(x, normalize_dims("sum", dim, x._data.ndim), keepdim, _numpy(dtype, "sum"))


@public
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **others: Any) -> Tensor:
    """Σ input / n over ``dim``; NaN for n = 0.  Raises RuntimeError for integers unless ``dtype`` converts them."""
    if others:
        return with_others(mean, others, input, dim, keepdim, dtype=dtype)
    if dtype is None:
        return _quick_mean.boxed(input, dim, keepdim)
    x = _checked(input, "mean")
    return _mean(x, normalize_dims("mean", dim, x._data.ndim), keepdim, _numpy(dtype, "mean"))


@public(out=True)
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """``sum`` with NaN taken as 0."""
    x = _checked(input, "nansum")
    return sum_(where(x.isnan(), 0, x) if x.is_floating_point() else x, dim, keepdim, dtype=dtype)


@public(out=True)
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of the elements that are not NaN; NaN where there is none.  Raises RuntimeError for integers."""
    x = _checked(input, "nanmean")
    if not x.is_floating_point():
        raise RuntimeError(f"nanmean(): expected input to have floating point dtype but got {x.dtype}")
    count = sum_(x.isnan().logical_not(), dim, keepdim)
    return nansum(x, dim, keepdim, dtype=dtype) / count


# ---- extrema ---------------------------------------------------------------------------------------------------------------------


def shared_among_ties(g: Tensor, y: Tensor, x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """The gradient of an extremum, in equal parts to all elements that attain it."""
    top = kept(y, x.shape, dim).detach()
    held = x.detach()
    ties = held == top
    if x.is_floating_point():
        ties = ties | (held.isnan() & top.isnan())
    return where(ties, kept(g, x.shape, dim) / sum_(ties, dim, True).to(g.dtype), 0)


_amax = differentiable("amax", kernels.amax, x=shared_among_ties)
_amin = differentiable("amin", kernels.amin, x=shared_among_ties)


def _placed(g: Tensor, indices: Tensor, x_shape: tuple[int, ...], dim: int) -> Tensor:
    dims = (dim,)
    return put(kept(g, x_shape, dims), kept(indices, x_shape, dims), tuple(x_shape), dim)


_PAIR = ("values", "indices")
_max_dim = differentiable("max", kernels.max_with_indices, results=_PAIR, x=_placed)
_min_dim = differentiable("min", kernels.min_with_indices, results=_PAIR, x=_placed)
_MaxResult, _MinResult = named_result("max", *_PAIR), named_result("min", *_PAIR)
_MinMaxResult = named_result("aminmax", "min", "max")


def _dims(op: str, x: Tensor, dim: Any) -> tuple[int, ...]:
    """The normalised dims of an extremum, with PyTorch's error for one over nothing."""
    full = dim is None or dim == () or dim == []
    if full and x._data.size == 0:
        raise RuntimeError(f"{op}(): Expected reduction dim to be specified for input.numel() == 0. Specify it with the 'dim' argument.")
    return normalize_dims(op, dim, x._data.ndim)


_quick_amax = _quick("amax", "amax", lambda x, dim, keepdim: _amax(x, _dims("amax", x, dim), keepdim))
_quick_amin = _quick("amin", "amin", lambda x, dim, keepdim: _amin(x, _dims("amin", x, dim), keepdim))


@public
def amax(input: Tensor, dim: Any = (), keepdim: bool = False, **others: Any) -> Tensor:
    """The largest element over ``dim``; NaN if there is one.  Ties share the gradient.  Raises RuntimeError or IndexError over nothing."""
    if others:
        return with_others(amax, others, input, dim, keepdim)
    return _quick_amax.boxed(input, None if dim == () else dim, keepdim)


@public
def amin(input: Tensor, dim: Any = (), keepdim: bool = False, **others: Any) -> Tensor:
    """The smallest element over ``dim``; NaN if there is one.  Ties share the gradient.  Raises RuntimeError or IndexError over nothing."""
    if others:
        return with_others(amin, others, input, dim, keepdim)
    return _quick_amin.boxed(input, None if dim == () else dim, keepdim)


@public(out=True)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(min, max) over ``dim``, or over all elements."""
    return _MinMaxResult(amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim))


def _extremum(name: str, full: Any, operation: Any, binary: str, result: Any) -> Callable[..., Any]:
    along = _quick(name, name, lambda x, dim, keepdim: operation(x, normalize_dim(dim, x._data.ndim), keepdim))

    def extremum(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, **others: Any) -> Any:
        if others:
            return with_others(extremum, others, input, dim, keepdim, other=other)
        if type(dim) is int and other is None:
            return result(*along.boxed(input, dim, keepdim))
        if isinstance(dim, Tensor):
            other, dim = dim, None
        if other is not None:
            return getattr(_checked(input, name), binary)(other)
        if dim is None:
            x = _checked(input, name)
            return full.boxed(x, _dims(name, x, None) if x._data.size == 0 else None, False)
        if not hasattr(dim, "__index__"):
            raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
        return result(*along.boxed(input, dim.__index__(), keepdim))

    extremum.__name__ = name
    extremum.__doc__ = f"""``{name}(input)``: of all elements.  ``{name}(input, dim, keepdim)``: (values, indices) along ``dim``, of the
    first one among equals.  ``{name}(input, other)``: elementwise, as ``{binary}``.  NaN wins.

    Raises RuntimeError or IndexError over nothing."""
    return public(extremum, name=name)


_extremum("max", _quick_amax, _max_dim, "maximum", _MaxResult)
_extremum("min", _quick_amin, _min_dim, "minimum", _MinResult)


def _argument(name: str, kernel: Any) -> Callable[..., Tensor]:
    quick = _quick(name, name, lambda x, dim, keepdim: wrap(kernel(x._data, dim, keepdim)))

    def argument(input: Tensor, dim: int | None = None, keepdim: bool = False, **others: Any) -> Tensor:
        if others:
            return with_others(argument, others, input, dim, keepdim)
        if dim is not None and type(dim) is not int and not hasattr(dim, "__index__"):
            raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
        return quick.boxed(input, dim, keepdim)

    argument.__name__ = name
    argument.__doc__ = kernel.__doc__
    return public(argument, name=name)


_argument("argmax", kernels.argmax)
_argument("argmin", kernels.argmin)


# ---- truth -----------------------------------------------------------------------------------------------------------------------


_quick_any = _quick("any", "any", lambda x, dim, keepdim: wrap(kernels.any(x._data, dim, keepdim)))
_quick_all = _quick("all", "all", lambda x, dim, keepdim: wrap(kernels.all(x._data, dim, keepdim)))


@public(name="any")
def any_(input: Tensor, dim: Any = None, keepdim: bool = False, **others: Any) -> Tensor:
    """Whether an element over ``dim`` is not 0."""
    if others:
        return with_others(any_, others, input, dim, keepdim)
    return _quick_any.boxed(input, dim, keepdim)


@public(name="all")
def all_(input: Tensor, dim: Any = None, keepdim: bool = False, **others: Any) -> Tensor:
    """Whether no element over ``dim`` is 0."""
    if others:
        return with_others(all_, others, input, dim, keepdim)
    return _quick_all.boxed(input, dim, keepdim)


@public
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements over ``dim`` are not 0, in int64."""
    return wrap(kernels.count_nonzero(_checked(input, "count_nonzero")._data, dim))


# ---- statistics ------------------------------------------------------------------------------------------------------------------


def _var_rule(g: Tensor, x: Tensor, dim: tuple[int, ...], correction: float) -> Tensor:
    """2 (x - mean) / (n - correction) · g"""
    freedom = max(0.0, _number_of(x.shape, dim) - correction)
    scale = 2 / freedom if freedom else math.inf
    return (x - mean(x, dim, True)) * (kept(g, x.shape, dim) * scale)


def _std_rule(g: Tensor, y: Tensor, x: Tensor, dim: tuple[int, ...], correction: float) -> Tensor:
    """var's rule / 2 std; 0 where std is 0, in every derivative, which is why 0 is replaced before it divides."""
    zero = y == 0
    return _var_rule(where(zero, 0, g / where(zero, 1, 2 * y)), x, dim, correction)


_var = differentiable("var", kernels.var, x=_var_rule)
_std = differentiable("std", kernels.std, x=_std_rule)


def _spread_arguments(op: str, x: Tensor, dim: Any, unbiased: Any, correction: Any) -> tuple[tuple[int, ...], float]:
    if isinstance(dim, bool):  # var(x, unbiased)
        if unbiased is not None:
            raise TypeError(f"{op}(): argument 'dim' must be int or tuple of ints, not bool")
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op}(): expected one of 'unbiased' and 'correction', but got both")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    dims = normalize_dims(op, dim, x._data.ndim)
    if x._data.size and _number_of(x._data.shape, dims) <= correction:
        warnings.warn(f"{op}(): degrees of freedom is <= 0. Correction should be less than the number of elements reduced.", stacklevel=3)
    return dims, correction


@public(out=True)
def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Σ |x - mean|² / max(0, n - correction) over ``dim``; ``unbiased`` stands for a correction of 1 (the default) or 0.

    Raises RuntimeError for integers.
    """
    x = _checked(input, "var")
    dims, correction = _spread_arguments("var", x, dim, unbiased, correction)
    return _var(x, dims, correction, keepdim)


@public(out=True)
def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """√var.  Its gradient where all elements are equal is 0.  Raises RuntimeError for integers."""
    x = _checked(input, "std")
    dims, correction = _spread_arguments("std", x, dim, unbiased, correction)
    return _std(x, dims, correction, keepdim)


@public
def var_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(var, mean) over ``dim``."""
    dims = None if isinstance(dim, bool) else dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, dims, keepdim)


@public
def std_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(std, mean) over ``dim``."""
    dims = None if isinstance(dim, bool) else dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dims, keepdim)


def _direction(x: Tensor, size: Tensor, zero: Tensor) -> Tensor:
    """x / |x|, 0 at 0."""
    return x / where(zero, 1, size) if x.is_complex() else x.sign()


def _norm_rule(g: Tensor, y: Tensor, x: Tensor, p: float, dim: tuple[int, ...]) -> Tensor:
    """g · x|x|^(p-2) / y^(p-1); 0 where x or y is, a subgradient, in every derivative: zeros are replaced before they divide."""
    g, y = kept(g, x.shape, dim), kept(y, x.shape, dim)
    if p == 0:
        return (x * 0).detach()
    none = y == 0
    if p == 2:
        return x * where(none, 0, g / where(none, 1, y))
    size = x.abs()
    zero = size == 0
    if p == 1:
        return _direction(x, size, zero) * g
    if math.isinf(p):
        ties = (size == y).detach()
        return _direction(x, size, zero) * where(ties, g / sum_(ties, dim, True).to(g.dtype), 0)
    ratio = where(zero | none, 1, size / where(none, 1, y))
    return _direction(x, size, zero) * where(none | zero, 0, ratio ** (p - 1)) * g


_norm = differentiable("norm", kernels.norm, x=_norm_rule)


def _logsumexp_rule(g: Tensor, y: Tensor, x: Tensor, dim: tuple[int, ...]) -> Tensor:
    y = kept(y, x.shape, dim)
    return kept(g, x.shape, dim) * (x - where(y == -math.inf, 0, y)).exp()


_logsumexp = differentiable("logsumexp", kernels.logsumexp, x=_logsumexp_rule)


@public(out=True)
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log Σ exp(input) over ``dim``, without overflow.  Integers are taken as the default dtype."""
    if casting.active:
        (input,) = casting.arguments("logsumexp", input)
    x = _checked(input, "logsumexp")
    return _logsumexp(x, normalize_dims("logsumexp", dim, x._data.ndim), keepdim)
