"""Normalisation over groups of channels, single channels of a sample, and root mean squares."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..autograd import casting
from ..tensor import Tensor
from ._attach import public
from .copy import pad
from .norm import batch_norm, group_norm_with_statistics
from .pool import avg_pool2d

__all__ = ["group_norm", "instance_norm", "local_response_norm", "rms_norm"]


@public(method=False)
def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, the statistics those of a sample's group of channels, weight and bias one per channel.

    ``input`` is (N, C, ...), C divisible by ``num_groups``.  Raises RuntimeError for shapes that do not match, ValueError where there is one sample whose
    groups are of a single value.

    Y. Wu, K. He, "Group normalization" (2018).
    """
    if casting.active:
        input, weight, bias = casting.arguments("group_norm", input, weight, bias)
    if input.numel() == num_groups and input.ndim > 1 and input.shape[0] == 1:
        raise ValueError(f"group_norm: Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    return group_norm_with_statistics(input, num_groups, weight, bias, eps)[0]


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, the statistics those of each channel of each sample of (N, C, ...).

    The running statistics, if given, move by ``momentum`` towards the mean over the samples; without ``use_input_stats`` they are used.  Raises
    ValueError for channels of a single value.

    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing ingredient for fast stylization" (2016).
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.numel() == input.shape[0] * input.shape[1] and input.numel():
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    n, channels = input.shape[:2]
    if running_mean is None and running_var is None:
        return group_norm_with_statistics(input, channels, weight, bias, eps)[0]
    # All channels of all samples as the channels of one sample.
    mean, var, factor, offset = (
        None if values is None else values.repeat(n)  # type: ignore[attr-defined]
        for values in (running_mean, running_var, weight, bias)
    )
    together = input.reshape(1, n * channels, *input.shape[2:])  # type: ignore[attr-defined]
    y = batch_norm(together, mean, var, factor, offset, True, momentum, eps)
    for running, moved in ((running_mean, mean), (running_var, var)):
        if running is not None:
            running.copy_(moved.reshape(n, channels).mean(0))  # type: ignore[attr-defined,union-attr]
    return y.reshape(tuple(input.shape))  # type: ignore[attr-defined]


@public(method=False)
def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """x / √(mean(x²) + eps) · weight over the last dimensions of ``input``, ``normalized_shape``, which weight has too.

    ``eps`` is by default the distance from 1 to the next number of the type.  Raises RuntimeError for shapes that do not match.

    B. Zhang, R. Sennrich, "Root mean square layer normalization" (2019).
    """
    if casting.active:
        input, weight = casting.arguments("rms_norm", input, weight)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    dims = tuple(range(-len(shape), 0))
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []"
        )
    if weight is not None and tuple(weight.shape) != shape:
        raise RuntimeError(
            f"Expected weight to be of same shape as normalized_shape, but got weight of shape {list(weight.shape)} and normalized_shape = {list(shape)}"
        )
    if tuple(input.shape[-len(shape) :]) != shape:
        inner = ", ".join(map(str, shape))
        raise RuntimeError(
            f"Given normalized_shape=[{inner}], expected input with shape [*, {inner}], but got input of size{list(input.shape)}"
        )
    kind = input.dtype
    x = input.float() if kind.itemsize == 2 else input  # type: ignore[attr-defined]
    least = float(np.finfo(x._data.dtype).eps) if eps is None else eps
    y = x * ((x * x).mean(dims, keepdim=True) + least).rsqrt()
    return (y if weight is None else y * weight).to(kind)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha · mean of x² over ``size`` neighbouring channels)^beta, of (N, C, ...); beyond the first and last channel counts as zero.

    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks" (2012).
    """
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    if input.numel() == 0:
        return input
    n, channels = input.shape[:2]
    squares = (input * input).reshape(n, 1, channels, -1)  # type: ignore[operator]
    mean = avg_pool2d(pad(squares, (0, 0, size // 2, (size - 1) // 2)), (size, 1), 1)
    return input / (mean.reshape(tuple(input.shape)) * alpha + k).pow(beta)  # type: ignore[attr-defined]
