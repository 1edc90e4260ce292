"""3-D convolution and its gradients.

    y[n, k, t, r, c] = bias[k] + sum over i, e, a, b of x[n, i, t·stride - padding + e·dilation, ...] · weight[k, i, e, a, b]

and everything else as in two dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _contract
from ._contract import Size


def conv3d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """The convolution above: (N, C, D, H, W) or (C, D, H, W) with a weight (K, C / groups, kD, kH, kW) and a bias (K,) gives (N, K, D', H', W') or
    without N.  Sizes, dtypes and errors are those of ``conv2d``; stride, padding and dilation are ints or triples."""
    return _contract.forward(3, x, weight, bias, stride, padding, dilation, groups)


def conv3d_input_grad(
    grad: Any,
    weight: Any,
    input_shape: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """dL/dx for ``grad`` = dL/dy, of ``input_shape``, which has a batch dimension if ``grad`` has."""
    return _contract.input_grad(3, grad, weight, input_shape, stride, padding, dilation, groups)


def conv3d_weight_grad(
    grad: Any,
    x: Any,
    weight_shape: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """dL/dweight, of ``weight_shape``, for ``grad`` = dL/dy."""
    return _contract.weight_grad(3, grad, x, weight_shape, stride, padding, dilation, groups)


__all__ = ["conv3d", "conv3d_input_grad", "conv3d_weight_grad"]
