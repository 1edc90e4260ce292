"""2-D convolution (cross-correlation, as PyTorch's) and its gradients; ``volumes`` has those of three dimensions.

    y[n, k, r, c] = bias[k] + sum over i, a, b of x[n, i, r·stride - padding + a·dilation, c·stride - padding + b·dilation] · weight[k, i, a, b]

with inputs outside the plane counting as zero; with groups, output channel k sees the input channels of its group only.  Each gradient is
linear in both its arguments and is again one of these functions, with other arguments (see ``numbagrad.ops.conv``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _contract
from ._contract import Size


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """The convolution above: [N, C, H, W] or [C, H, W] with a weight [K, C / groups, a, b] and a bias [K] gives [N, K, H', W'] or [K, H', W'].

        H' = floor((H + 2·padding - dilation·(a - 1) - 1) / stride) + 1, and W' likewise

    ``stride``, ``padding`` and ``dilation`` are ints or pairs (rows, columns).  ``padding="valid"`` is none; ``"same"`` makes H' = H (stride 1
    only), with the odd row or column of an even kernel below and to the right.  float32 and float64, 16-bit floats, whose sums are float32, and
    integers, whose sums wrap around.

    Raises RuntimeError for shapes that do not fit together, a non-positive stride, dilation or groups, a kernel larger than the padded input, or
    arguments of different types.
    """
    return _contract.forward(2, x, weight, bias, stride, padding, dilation, groups)


def conv2d_input_grad(
    grad: Any,
    weight: Any,
    input_shape: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """dL/dx[n, i, y, z] = sum of grad[n, k, r, c] · weight[k, i, a, b] where r·stride - padding + a·dilation = y, and likewise for z.

    ``input_shape`` is that of x, with or without an image dimension, as ``grad`` = dL/dy has.  float32, float64, 16-bit floats by way of float32.
    Raises RuntimeError as ``conv2d`` does, and for a ``grad`` that is not of the output's shape.
    """
    return _contract.input_grad(2, grad, weight, input_shape, stride, padding, dilation, groups)


def conv2d_weight_grad(
    grad: Any,
    x: Any,
    weight_shape: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """dL/dweight[k, i, a, b] = sum over n, r, c of grad[n, k, r, c] · x[n, i, r·stride - padding + a·dilation, c·stride - padding + b·dilation].

    Summed in fixed blocks of pixels and images, so the bits do not depend on the number of threads and float32 sums stay accurate.  Zero for an
    empty batch.  float32, float64, 16-bit floats by way of float32.  Raises RuntimeError as ``conv2d_input_grad`` does.
    """
    return _contract.weight_grad(2, grad, x, weight_shape, stride, padding, dilation, groups)


def conv2d_bias_grad(grad: Any) -> Any:
    """dL/dbias[k] = sum over n, r, c of grad[n, k, r, c], for grad [N, K, H', W'] or [K, H', W']."""
    return _contract.bias_grad(grad)


__all__ = ["conv2d", "conv2d_bias_grad", "conv2d_input_grad", "conv2d_weight_grad"]
