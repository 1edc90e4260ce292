"""Running sums and products along a dim, and the product that is built on them.

The derivative of a running product is a first-order linear recurrence, and that of a linear recurrence is two of them (one of them
backwards), so derivatives of every order are exact where elements are 0, without a division and in linear time.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..autograd import casting
from ..kernels import copy as copy_kernels
from ..kernels import reduce as kernels
from ..kernels.reduce import normalize_dim
from ..tensor import Tensor, wrap
from ._along import kept, shift
from ._arguments import is_recorded
from ._attach import public
from ._operation import differentiable
from .elementwise import composed


def _turned(kernel: Any, x: Any, dim: int, dtype: Any, reverse: bool) -> Any:
    if not reverse or x.ndim == 0:
        return kernel(x, dim, dtype)
    backwards = (slice(None),) * dim + (slice(None, None, -1),)
    return copy_kernels.contiguous(kernel(x[backwards], dim, dtype)[backwards])


def _cumsum_forward(x: Any, dim: int, dtype: Any, reverse: bool) -> Any:
    return _turned(kernels.cumsum, x, dim, dtype, reverse)


def _cumprod_forward(x: Any, dim: int, reverse: bool) -> Any:
    return _turned(kernels.cumprod, x, dim, None, reverse)


def _step(reverse: bool) -> int:
    return -1 if reverse else 1


# y_j = b_j + a_j y_{j-1}: with T the same recurrence run backwards over the gradient, dL/db = T and dL/da_j = T_j y_{j-1}.
linear_scan = differentiable(
    "linear_scan",
    kernels.linear_scan,
    a=lambda g, y, a, dim, reverse: (
        linear_scan(shift(a.conj(), dim, -_step(reverse), 0.0), g, dim, not reverse) * shift(y, dim, _step(reverse), 0.0).conj()
    ),
    b=lambda g, a, dim, reverse: linear_scan(shift(a.conj(), dim, -_step(reverse), 0.0), g, dim, not reverse),
)


def _cumprod_rule(g: Tensor, y: Tensor, x: Tensor, dim: int, reverse: bool) -> Tensor:
    """dL/dx_i = Π_{k<i} x_k · S_i with S_i = g_i + x_{i+1} S_{i+1}"""
    step = _step(reverse)
    rest = linear_scan(shift(x.conj(), dim, -step, 0.0), g, dim, not reverse)
    return shift(y, dim, step, 1.0).conj() * rest


_cumsum = differentiable("cumsum", _cumsum_forward, x=lambda g, dim, reverse: _cumsum(g, dim, None, not reverse))
_cumprod = differentiable("cumprod", _cumprod_forward, x=_cumprod_rule)


def _prod_rule(g: Tensor, x: Tensor, dim: int) -> Tensor:
    """g times the product of all the others: of those before and of those after, so that zeros need no division."""
    before = _cumprod(shift(x, dim, 1, 1.0), dim, False)
    after = _cumprod(shift(x, dim, -1, 1.0), dim, True)
    return kept(g, x.shape, (dim,)) * (before * after).conj()


_prod = differentiable("prod", kernels.prod, x=_prod_rule)


def _converted(input: Any, dtype: Any, op: str) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input if dtype is None else input.to(dtypes.as_dtype(dtype, op))


def _integer(dim: Any, op: str) -> int:
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{op}(): argument 'dim' must be int, not {type(dim).__name__}")
    return dim.__index__()


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y_j = Σ_{i≤j} x_i along ``dim``.  bool and integers give int64; ``dtype`` converts the input first."""
    if casting.active and dtype is None:
        (input,) = casting.arguments("cumsum", input)
    x = _converted(input, dtype, "cumsum")
    d, kind = normalize_dim(_integer(dim, "cumsum"), x._data.ndim), None if dtype is None else x._data.dtype
    return _cumsum(x, d, kind, False) if is_recorded(x) else wrap(kernels.cumsum(x._data, d, kind))


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y_j = Π_{i≤j} x_i along ``dim``.  bool and integers give int64; ``dtype`` converts the input first."""
    if casting.active and dtype is None:
        (input,) = casting.arguments("cumprod", input)
    x = _converted(input, dtype, "cumprod")
    d = normalize_dim(_integer(dim, "cumprod"), x._data.ndim)
    y = _cumprod(x, d, False) if is_recorded(x) else wrap(kernels.cumprod(x._data, d, None))
    return y if dtype is None or y._data.dtype == x._data.dtype else y.to(x.dtype)


composed(cumsum, "cumsum")
composed(cumprod, "cumprod")


@public(out=True)
def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Π input over all elements, or along one ``dim``.  bool and integers give int64; ``dtype`` converts the input first."""
    if casting.active and dtype is None:
        (input,) = casting.arguments("prod", input)
    x = _converted(input, dtype, "prod")
    if dim is None:
        x, d, keepdim = x.reshape(-1), 0, False
    else:
        d = normalize_dim(_integer(dim, "prod"), x._data.ndim)
    return _prod(x, d, keepdim, None if dtype is None else x._data.dtype)
