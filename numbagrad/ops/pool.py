"""Pooling: maximum and average, over given windows or adaptive ones.

Two dimensions have kernels.  One dimension is a plane of one row.  Three are two and then one: the planes first, then their depth, seen as the rows of
planes whose columns are all places of a plane; both averages and maxima can be taken in this order.
"""

from __future__ import annotations

from typing import Any

from ..kernels import pool2d as kernels
from ..kernels.pool2d import volumes
from ..tensor import Tensor
from ._attach import public
from ._operation import differentiable
from ._pool_arguments import check_dims, in_three, one, sizes_of, windows_of

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices", "max_pool3d",
    "max_pool3d_with_indices",
]  # fmt: skip

# Picking maxima and scattering to where they stood are each other's adjoint: either is the other's gradient rule.
_scatter = differentiable("max_pool2d_backward", kernels.max_pool2d_backward, grad=lambda g, indices: _gather(g, indices))
_gather = differentiable("max_pool2d_gather", kernels.max_pool2d_gather, x=lambda g, indices, x_shape: _scatter(g, indices, x_shape))
_max_pool = differentiable(
    "max_pool2d_with_indices",
    kernels.max_pool2d,
    results=("y", "indices"),
    x=lambda g, indices, x_shape, kernel_size, stride, padding, dilation: _scatter(
        g, indices, x_shape, (kernel_size, stride, padding, dilation)
    ),
)
_adaptive_max_pool = differentiable(
    "adaptive_max_pool2d",
    kernels.adaptive_max_pool2d,
    results=("y", "indices"),
    x=lambda g, indices, x_shape: _scatter(g, indices, x_shape, ()),
)


def _scatter_volume(g: Tensor, indices: Tensor, x_shape: Any) -> Tensor:
    """``_scatter`` of indices that are flat in D × H × W."""
    *outer, depth, height, width = x_shape
    rows = (*g.shape[:-2], g.shape[-2] * g.shape[-1])
    flat = _scatter(g.reshape(rows), indices.reshape(rows), (*outer, depth, height * width))  # type: ignore[attr-defined]
    return flat.reshape(x_shape)


_max_pool3d = differentiable("max_pool3d_with_indices", volumes.max_pool3d, results=("y", "indices"), x=_scatter_volume)
_adaptive_max_pool3d = differentiable("adaptive_max_pool3d", volumes.adaptive_max_pool3d, results=("y", "indices"), x=_scatter_volume)

# Averages are linear: the gradient of the gradient is the average itself.
_avg_pool = differentiable(
    "avg_pool2d",
    kernels.avg_pool2d,
    x=lambda g, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: _avg_pool_backward(
        g, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    ),
)
_avg_pool_backward = differentiable(
    "avg_pool2d_backward",
    kernels.avg_pool2d_backward,
    grad=lambda g, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: _avg_pool(
        g, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    ),
)
_adaptive_avg_pool = differentiable(
    "adaptive_avg_pool2d", kernels.adaptive_avg_pool2d, x=lambda g, x_shape: _adaptive_avg_pool_backward(g, x_shape)
)
_adaptive_avg_pool_backward = differentiable(
    "adaptive_avg_pool2d_backward",
    kernels.adaptive_avg_pool2d_backward,
    grad=lambda g, grad_shape: _adaptive_avg_pool(g, grad_shape[-2:]),
)


# ---- two dimensions ----------------------------------------------------------------------------------------------------------------


@public(method=False)
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """y[oh, ow] = the maximum of ``input`` over the window at (oh · stride − padding, ow · stride − padding), whose elements lie ``dilation`` apart.

    ``input`` is (N, C, H, W) or (C, H, W), floating or integer.  ``stride`` defaults to ``kernel_size``.  With ``return_indices`` also the places of
    the maxima, flat in their H × W plane, as int64.  Raises RuntimeError for windows that do not fit.
    """
    y, indices = _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode)
    return (y, indices) if return_indices else y


@public(method=False)
def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """y[oh, ow] = the sum of ``input`` over the window at (oh · stride − padding, ow · stride − padding), divided by the window's size.

    Without ``count_include_pad`` the divisor leaves out the padding; ``divisor_override`` replaces it.  ``input`` is (N, C, H, W) or (C, H, W),
    floating.  Raises RuntimeError for windows that do not fit.
    """
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@public(method=False)
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of ``input``, (N, C, H, W) or (C, H, W), over ``output_size`` windows that cover it; None keeps a size."""
    return _adaptive_avg_pool(input, sizes_of("adaptive_avg_pool2d", input, output_size, 2))


@public(method=False)
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of ``input``, (N, C, H, W) or (C, H, W), over ``output_size`` windows that cover it; None keeps a size."""
    y, indices = _adaptive_max_pool(input, sizes_of("adaptive_max_pool2d", input, output_size, 2))
    return (y, indices) if return_indices else y


# ---- one dimension -----------------------------------------------------------------------------------------------------------------


def _row(input: Tensor) -> Tensor:
    return input.unsqueeze(-2)  # type: ignore[attr-defined]


def _without_row(y: Tensor) -> Tensor:
    return y.squeeze(-2)  # type: ignore[attr-defined]


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool2d`` of one row: ``input`` is (N, C, L) or (C, L), and places are those in L."""
    check_dims("max_pool1d", input, 1)
    window = windows_of("max_pool1d", 1, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    y, indices = _max_pool(_row(input), *[(one, *size) for one, size in zip((1, 1, 0, 1), window)], ceil_mode)
    return (_without_row(y), _without_row(indices)) if return_indices else _without_row(y)


@public(method=False, name="max_pool1d")
def _max_pool1d_values(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """``nn.functional.max_pool1d`` without the places"""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)


@public(method=False)
def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """``avg_pool2d`` of one row: ``input`` is (N, C, L) or (C, L)."""
    check_dims("avg_pool1d", input, 1)
    window = windows_of("avg_pool1d", 1, kernel_size=kernel_size, stride=stride, padding=padding)
    sizes = [(one, *size) for one, size in zip((1, 1, 0), window)]
    return _without_row(_avg_pool(_row(input), *sizes, ceil_mode, count_include_pad, None))


@public(method=False)
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of ``input``, (N, C, L) or (C, L), over ``output_size`` windows that cover it."""
    check_dims("adaptive_avg_pool1d", input, 1)
    return _without_row(_adaptive_avg_pool(_row(input), (1, one("adaptive_avg_pool1d", "output_size", output_size))))


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of ``input``, (N, C, L) or (C, L), over ``output_size`` windows that cover it."""
    y, indices = adaptive_max_pool1d_with_indices(input, output_size)
    return (y, indices) if return_indices else y


@public(method=False, name="adaptive_max_pool1d")
def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """``adaptive_max_pool1d`` and the places of the maxima"""
    check_dims("adaptive_max_pool1d", input, 1)
    y, indices = _adaptive_max_pool(_row(input), (1, one("adaptive_max_pool1d", "output_size", output_size)))
    return _without_row(y), _without_row(indices)


# ---- three dimensions --------------------------------------------------------------------------------------------------------------


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool2d`` with a dimension more: ``input`` is (N, C, D, H, W) or (C, D, H, W), and places are flat in D × H × W."""
    check_dims("max_pool3d", input, 3)
    window = windows_of("max_pool3d", 3, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    y, indices = _max_pool3d(input, *window, ceil_mode)
    return (y, indices) if return_indices else y


@public(method=False, name="max_pool3d")
def _max_pool3d_values(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """``nn.functional.max_pool3d`` without the places"""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """``avg_pool2d`` with a dimension more: ``input`` is (N, C, D, H, W) or (C, D, H, W)."""
    check_dims("avg_pool3d", input, 3)
    kernel, step, border = windows_of("avg_pool3d", 3, kernel_size=kernel_size, stride=stride, padding=padding)
    if divisor_override == 0:
        raise RuntimeError("avg_pool3d: divisor must be not zero")
    within = (kernel[1:], step[1:], border[1:], ceil_mode, count_include_pad, None if divisor_override is None else 1)
    along = ((kernel[0], 1), (step[0], 1), (border[0], 0), ceil_mode, count_include_pad, divisor_override)
    return in_three(input, lambda planes: _avg_pool(planes, *within), lambda depth: _avg_pool(depth, *along))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of ``input``, (N, C, D, H, W) or (C, D, H, W), over ``output_size`` windows that cover it; None keeps a size."""
    depth, *plane = sizes_of("adaptive_avg_pool3d", input, output_size, 3)
    check_dims("adaptive_avg_pool3d", input, 3)
    places = plane[0] * plane[1]
    return in_three(input, lambda planes: _adaptive_avg_pool(planes, tuple(plane)), lambda rows: _adaptive_avg_pool(rows, (depth, places)))


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of ``input``, (N, C, D, H, W) or (C, D, H, W), over ``output_size`` windows that cover it; None keeps a size."""
    sizes = sizes_of("adaptive_max_pool3d", input, output_size, 3)
    check_dims("adaptive_max_pool3d", input, 3)
    y, indices = _adaptive_max_pool3d(input, sizes)
    return (y, indices) if return_indices else y


# ---- with places -------------------------------------------------------------------------------------------------------------------


def _with_indices(function: Any) -> Any:
    """``function`` with ``return_indices=True``, under PyTorch's name for it."""

    def pooled(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("return_indices", None)
        return function(*args, return_indices=True, **kwargs)

    pooled.__name__ = pooled.__qualname__ = f"{function.__name__}_with_indices"
    pooled.__doc__ = f"``{function.__name__}`` and the places of the maxima"
    return pooled


max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = map(_with_indices, (max_pool1d, max_pool2d, max_pool3d))
adaptive_max_pool2d_with_indices, adaptive_max_pool3d_with_indices = map(_with_indices, (adaptive_max_pool2d, adaptive_max_pool3d))
public(max_pool1d_with_indices, method=False)
