"""Differences of neighbours, and derivatives and integrals of functions known at points."""

from __future__ import annotations

from typing import Any, Sequence

from ..kernels.reduce import normalize_dim
from ..tensor import Tensor
from ._arguments import tensor_argument
from ._attach import public
from .copy import cat


def _part(x: Any, dim: int, start: int | None, stop: int | None) -> Any:
    """x[start:stop] along ``dim``, a view"""
    return x[(slice(None),) * dim + (slice(start, stop),)]


@public(out=True)
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """x_{i+1} − x_i along ``dim``, n times, after ``prepend`` and ``append`` are joined to x.  Of bools, x_{i+1} ≠ x_i.

    Raises RuntimeError for an input without dimensions, a negative n or additions of another number of dimensions.
    """
    x: Any = tensor_argument(input, "diff", "input")
    if x.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    d = normalize_dim(dim, x.ndim)
    if n == 0:
        return x.clone()
    parts = [part for part in (prepend, input, append) if part is not None]
    if any(part.ndim != x.ndim for part in parts):
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    if len(parts) > 1:
        x = cat(parts, d)
    for _ in range(n):
        if x.shape[d] == 0:
            break
        later, earlier = _part(x, d, 1, None), _part(x, d, None, -1)
        x = later ^ earlier if x.dtype.name == "bool" else later - earlier
    return x


# ---- derivatives -------------------------------------------------------------------------------------------------------------------


def _evenly(x: Any, d: int, step: float, edge_order: int) -> Any:
    """The derivative along dim ``d`` by central differences, of points ``step`` apart."""
    at = [_part(x, d, i, i + 1) for i in range(edge_order + 1)]
    end = [_part(x, d, -i, 1 - i if i > 1 else None) for i in range(1, edge_order + 2)]
    centre = (_part(x, d, 2, None) - _part(x, d, None, -2)) / (2 * step)
    if edge_order == 1:
        first, last = (at[1] - at[0]) / step, (end[0] - end[1]) / step
    else:
        first = (-1.5 * at[0] + 2 * at[1] - 0.5 * at[2]) / step
        last = (0.5 * end[2] - 2 * end[1] + 1.5 * end[0]) / step
    return cat([first, centre, last], d)


def _unevenly(x: Any, d: int, points: Any, edge_order: int) -> Any:
    """The derivative along dim ``d`` at ``points``: that of the parabola through each and its neighbours (of three at the ends for order 2)."""
    shape = [1] * x.ndim
    shape[d] = -1
    steps = (points[1:] - points[:-1]).reshape(shape)
    before, after = _part(steps, d, None, -1), _part(steps, d, 1, None)
    both = before + after
    left, middle, right = _part(x, d, None, -2), _part(x, d, 1, -1), _part(x, d, 2, None)
    centre = left * (-after / (before * both)) + middle * ((after - before) / (before * after)) + right * (before / (after * both))
    if edge_order == 1:
        first = (_part(x, d, 1, 2) - _part(x, d, 0, 1)) / _part(steps, d, 0, 1)
        last = (_part(x, d, -1, None) - _part(x, d, -2, -1)) / _part(steps, d, -1, None)
    else:
        a, b, c = (_part(v, d, 0, 1) for v in (before, after, both))
        first = (
            _part(left, d, 0, 1) * (-(a + c) / (a * c)) + _part(middle, d, 0, 1) * (c / (a * b)) + _part(right, d, 0, 1) * (-a / (b * c))
        )
        a, b, c = (_part(v, d, -1, None) for v in (before, after, both))
        last = (
            _part(left, d, -1, None) * (b / (a * c))
            - _part(middle, d, -1, None) * (c / (a * b))
            + _part(right, d, -1, None) * ((b + c) / (b * c))
        )
    return cat([first, centre, last], d)


def _dims(x: Tensor, dim: Any) -> list[int]:
    if dim is None:
        return list(range(x.ndim))
    dims = [normalize_dim(d, x.ndim) for d in ((dim,) if isinstance(dim, int) else dim)]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {max(dims, key=dims.count)} appears multiple times in the list of dims")
    return dims


def _spacings(x: Tensor, spacing: Any, dims: Sequence[int], given: bool) -> list[Any]:
    """One step or tensor of points for each of ``dims``."""
    if not isinstance(spacing, (list, tuple)):
        return [1 if spacing is None else spacing] * len(dims)
    if len(spacing) != len(dims):
        what = "dim" if given else "input's number of dimensions"
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar or a list of length {len(dims)}, that of {what}, but got {len(spacing)}"
        )
    if any(isinstance(points, Tensor) and points.device != x.device for points in spacing):
        raise RuntimeError(f"torch.gradient expected each tensor to be on the same device, {x.device}")
    for points, d in zip(spacing, dims):
        if isinstance(points, Tensor) and (points.ndim != 1 or points.shape[0] != x.shape[d]):
            raise RuntimeError(
                f"torch.gradient expected each spacing tensor to have one dimension of size {x.shape[d]}, that of dim {d}, but got {list(points.shape)}"
            )
    return list(spacing)


@public(method=False)
def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """The partial derivatives along each of ``dim`` (None: all dims) of a function whose values at the points of a grid are ``input``.

    ``spacing``: the distance of neighbours, a number for all dims or one for each, or a tensor of coordinates for each.  Differences are of second order
    inside, of order ``edge_order`` at the ends.  Raises RuntimeError where a dim has fewer than edge_order + 1 points, or spacing does not fit.
    """
    x: Any = tensor_argument(input, "gradient", "input")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if x.dtype.name == "uint8":
        raise RuntimeError("torch.gradient does not support uint8 input.")
    dims = _dims(x, dim)
    steps = _spacings(x, spacing, dims, dim is not None)
    for d in dims:
        if x.shape[d] < edge_order + 1:
            raise RuntimeError(
                f"torch.gradient expected each dimension size to be at least edge_order+1, but dim {d} is of size {x.shape[d]}"
            )
    return tuple(
        _unevenly(x, d, step, edge_order) if isinstance(step, Tensor) else _evenly(x, d, step, edge_order) for d, step in zip(dims, steps)
    )


# ---- integrals ---------------------------------------------------------------------------------------------------------------------


def _strips(op: str, y: Any, x: Any, dx: float | None, dim: int) -> tuple[Any, int]:
    """The areas under the lines from each point to the next."""
    if x is not None and dx is not None:
        raise TypeError(f"{op}() received both x and dx, which exclude each other")
    d = normalize_dim(dim, tensor_argument(y, op, "y").ndim)
    if "bool" in (y.dtype.name, "" if x is None else x.dtype.name):
        raise RuntimeError(f"{op}: received a bool input for `x` or `y`, but bool is not supported")
    heights = _part(y, d, 1, None) + _part(y, d, None, -1)
    if x is None:
        return heights * (0.5 * (1 if dx is None else dx)), d
    if x.ndim == 1:
        if x.shape[0] != y.shape[d]:
            raise RuntimeError(f"{op}: There must be one `x` value for each sample point, but got {x.shape[0]} for {y.shape[d]}")
        x = x.reshape([-1 if i == d else 1 for i in range(y.ndim)])
    elif x.ndim < y.ndim:
        x = x.reshape([1] * (y.ndim - x.ndim) + list(x.shape))
    along = d - y.ndim + x.ndim
    return heights * (_part(x, along, 1, None) - _part(x, along, None, -1)) * 0.5, d - y.ndim


@public(method=False, aliases=("trapz",))
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """∫ y dx along ``dim`` by the trapezoidal rule: Σ (x_{i+1} − x_i) (y_{i+1} + y_i) / 2, for points ``x`` or a distance ``dx`` (1)."""
    areas, d = _strips("trapezoid", y, x, dx, dim)
    return areas.sum(d)


@public(method=False)
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """``trapezoid`` from the first point to each of the others."""
    areas, d = _strips("cumulative_trapezoid", y, x, dx, dim)
    return areas.cumsum(d)
