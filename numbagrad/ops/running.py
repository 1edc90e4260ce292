"""Running extrema with their places, and running log-sums of exponentials.  Running sums and products are in ``scan``."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import casting
from ..kernels import reduce as kernels
from ..kernels.reduce import normalize_dim
from ..tensor import Tensor
from ._along import named_result, shift
from ._arguments import tensor_argument
from ._attach import public
from ._operation import differentiable
from ._out import into
from .elementwise import where
from .scan import linear_scan


def _added(g: Tensor, indices: Tensor, x_shape: tuple[int, ...], dim: int) -> Tensor:
    """Each gradient goes to the element that was the extremum there, which may be one for many."""
    if not x_shape:
        return g
    return g.new_zeros(tuple(x_shape)).scatter_add(dim, indices, g)  # type: ignore[attr-defined]


_PAIR = ("values", "indices")
_cummax = differentiable("cummax", kernels.cummax, results=_PAIR, x=_added)
_cummin = differentiable("cummin", kernels.cummin, results=_PAIR, x=_added)
_CummaxResult, _CumminResult = named_result("cummax", *_PAIR), named_result("cummin", *_PAIR)


def _dim(x: Any, dim: Any, op: str) -> int:
    tensor_argument(x, op, "input")
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{op}(): argument 'dim' must be int, not {type(dim).__name__}")
    return normalize_dim(dim.__index__(), x._data.ndim)


def _pair(result: Any, out: Any) -> Any:
    return result if out is None else type(result)(*(into(place, y) for place, y in zip(out, result)))


@public
def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """(values, indices): the largest of x_0 ... x_j along ``dim`` for every j, and its last place among them.  NaN wins."""
    return _pair(_CummaxResult(*_cummax(input, _dim(input, dim, "cummax"))), out)


@public
def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """(values, indices): the smallest of x_0 ... x_j along ``dim`` for every j, and its last place among them.  NaN wins."""
    return _pair(_CumminResult(*_cummin(input, _dim(input, dim, "cummin"))), out)


def _logcumsumexp_rule(g: Tensor, y: Tensor, x: Tensor, dim: int) -> Tensor:
    """dL/dx_i = e^(x_i − y_i) R_i with R_i = Σ_{j≥i} g_j e^(y_i − y_j), that is R_i = g_i + e^(y_i − y_{i+1}) R_{i+1}: no factor is more than 1."""
    nothing = y == -math.inf
    y = where(nothing, 0, y)
    later = where(nothing, 0, (y - shift(y, dim, -1, math.inf)).exp())
    rest = linear_scan(later, where(nothing, 0, g) if x.ndim else g, dim, True)
    return where(nothing, 0, (x - y).exp()) * rest


_logcumsumexp = differentiable("logcumsumexp", kernels.logcumsumexp, x=_logcumsumexp_rule)


@public
def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """log Σ_{i≤j} exp(x_i) along ``dim`` for every j, without overflow.  Raises NotImplementedError unless of real floats."""
    if casting.active:
        (input,) = casting.arguments("logcumsumexp", input)
    y = _logcumsumexp(input, _dim(input, dim, "logcumsumexp"))
    return y if out is None else into(out, y)
