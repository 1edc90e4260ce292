"""Two-dimensional pooling: maximum and average, over given windows or adaptive ones."""

from __future__ import annotations

from typing import Any

from ..kernels import pool2d as kernels
from ..tensor import Tensor
from ._attach import public
from ._operation import differentiable

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
    return _adaptive_avg_pool(input, output_size)


@public(method=False)
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of ``input``, (N, C, H, W) or (C, H, W), over ``output_size`` windows that cover it; None keeps a size."""
    y, indices = _adaptive_max_pool(input, output_size)
    return (y, indices) if return_indices else y
