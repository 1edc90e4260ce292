"""Pooling by other means: power averages, windows of random places, and back from maxima to where they stood."""

from __future__ import annotations

import math
from typing import Any

from ..creation import arange, zeros
from ..tensor import Tensor
from . import elementwise as e
from ._arguments import tensor_argument
from .activations import relu
from .gather import gather
from .pool import avg_pool1d, avg_pool2d, avg_pool3d
from .random import rand
from .scatter_reduce import scatter

__all__ = [
    "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d", "fractional_max_pool3d_with_indices", "lp_pool1d",
    "lp_pool2d", "lp_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip


# ---- power averages ----------------------------------------------------------------------------------------------------------------


def _lp_pooled(pool: Any, dims: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    sizes = tuple(kernel_size) if isinstance(kernel_size, (tuple, list)) else (kernel_size,) * dims
    mean = pool(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)  # type: ignore[attr-defined]
    return (mean.sign() * relu(mean.abs()) * math.prod(sizes)).pow(1.0 / norm_type)


def lp_pool1d(input: Tensor, norm_type: int | float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """(Σ xᵖ)^(1/p) over windows of (N, C, L) or (C, L), p being ``norm_type``"""
    return _lp_pooled(avg_pool1d, 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: int | float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """(Σ xᵖ)^(1/p) over windows of (N, C, H, W) or (C, H, W), p being ``norm_type``"""
    return _lp_pooled(avg_pool2d, 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: int | float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """(Σ xᵖ)^(1/p) over windows of (N, C, D, H, W) or (C, D, H, W), p being ``norm_type``"""
    return _lp_pooled(avg_pool3d, 3, input, norm_type, kernel_size, stride, ceil_mode)


# ---- back from maxima --------------------------------------------------------------------------------------------------------------


def _triples(value: Any, dims: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return values * dims if len(values) == 1 else values


def _unpooled(op: str, dims: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Tensor:
    tensor_argument(indices, op, "indices")
    kernel, border = _triples(kernel_size, dims), _triples(padding, dims)
    step = kernel if stride is None else _triples(stride, dims)
    if len(kernel) != dims or len(step) != dims or len(border) != dims:
        raise RuntimeError(f"{op}: expected kernel_size, stride and padding of {dims} elements, but got {kernel}, {step} and {border}")
    if min(step) <= 0:
        raise RuntimeError(f"{op}: strides should be greater than zero, but got stride: {step}")
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{op}: Input to max_unpooling{dims}d should be a {dims + 1}d or {dims + 2}d Tensor, but got: {list(input.shape)}"
        )
    if tuple(indices.shape) != tuple(input.shape):
        raise RuntimeError(
            f"{op}: Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got indices tensor with shape: "
            f"{list(indices.shape)}"
        )
    if indices.is_floating_point() or str(indices.dtype).rpartition(".")[2] != "int64":
        raise RuntimeError(f"{op}: elements in indices should be type int64 but got: {indices.dtype}")
    sizes = _unpooled_sizes(input, kernel, step, border, output_size)
    if 0 in input.shape[1:]:
        raise RuntimeError(f"{op}: Expected input to have non-zero size for non-batch dimensions, but got {list(input.shape)}")
    outer, size = tuple(input.shape[:-dims]), math.prod(sizes)
    flat = indices.reshape(*outer, -1)  # type: ignore[attr-defined]
    outside = (flat < 0) | (flat >= size)  # type: ignore[operator]
    if flat.numel() and bool(outside.any()):
        wrong = flat[outside][0].item()
        raise RuntimeError(f"{op}: found an invalid max index: {wrong} (output volumes are of size {'x'.join(map(str, sizes))})")
    space = zeros(*outer, size, dtype=input.dtype, device=input.device)
    return scatter(space, -1, flat, input.reshape(*outer, -1)).reshape(*outer, *sizes)  # type: ignore[attr-defined]


def _unpooled_sizes(
    input: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], output_size: Any
) -> tuple[int, ...]:
    dims = len(kernel)
    usual = tuple((n - 1) * s + k - 2 * p for n, s, k, p in zip(input.shape[-dims:], stride, kernel, padding))
    if output_size is None:
        return usual
    sizes = tuple(output_size)[2:] if len(output_size) == dims + 2 else tuple(output_size)
    if len(sizes) != dims:
        raise ValueError(
            f"output_size should be a sequence containing {dims} or {dims + 2} elements, but it has a length of '{len(output_size)}'"
        )
    for d, (size, near, s) in enumerate(zip(sizes, usual, stride)):
        if not near - s < size < near + s:
            raise ValueError(f'invalid output_size "{sizes}" (dim {d} must be between {near - s} and {near + s})')
    return sizes


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """Zeros with each maximum of ``max_pool1d`` at its place: (N, C, L') or (C, L') with the ``indices`` that came with them gives (N, C, L) or (C, L).

    ``output_size`` chooses among the sizes that give the same L'.  Raises RuntimeError for shapes that do not match and places outside, ValueError for
    an ``output_size`` that is too far off.
    """
    return _unpooled("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """``max_unpool1d`` of (N, C, H', W') or (C, H', W'), the places flat in H × W"""
    return _unpooled("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """``max_unpool1d`` of (N, C, D', H', W') or (C, D', H', W'), the places flat in D × H × W"""
    return _unpooled("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


# ---- windows of random places ------------------------------------------------------------------------------------------------------


def _starts(sample: Tensor, size: int, output: int, kernel: int) -> Tensor:
    """Where the windows start: ⌊(i + u) α⌋ − ⌊u α⌋ with α = (size − kernel) / (output − 1) and u = ``sample``, the last one at the end."""
    if output == 1:
        return (sample.unsqueeze(-1) * 0 + (size - kernel)).long()  # type: ignore[attr-defined]
    alpha = (size - kernel) / (output - 1)
    u = sample.unsqueeze(-1)  # type: ignore[attr-defined]
    steps = arange(output, dtype=sample.dtype, device=sample.device)
    found = ((steps + u) * alpha).long() - (u * alpha).long()
    last = arange(output, device=sample.device) == output - 1  # type: ignore[operator]
    return e.where(last, size - kernel, found)


def _fractional(
    op: str, dims: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any, return_indices: bool, samples: Any
) -> Any:
    kernel, sizes = _triples(kernel_size, dims), tuple(input.shape[-dims:])
    if output_size is None and output_ratio is None:
        raise ValueError(f"{op} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        if isinstance(output_ratio, (tuple, list)) and len(output_ratio) > dims:
            raise ValueError(f"{op} requires output_ratio to either be a single Int or tuple of Ints.")
        output = tuple(int(n * r) for n, r in zip(sizes, _triples(output_ratio, dims)))
    else:
        output = _triples(output_size, dims)
    if input.ndim not in (dims + 1, dims + 2) or 0 in input.shape[1:]:
        raise RuntimeError(
            f"{op}: Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with optional 0 dim batch size, but got: {list(input.shape)}"
        )
    if len(kernel) != dims or len(output) != dims:
        raise RuntimeError(
            f"{op}: kernel_size and output_size must either be a single int or tuple of {dims} ints, but got {kernel} and {output}"
        )
    if min(kernel) <= 0 or min(output) <= 0:
        raise RuntimeError(f"{op}: kernel_size and output_size must be greater than zero, but got {kernel} and {output}")
    for k, n, m in zip(kernel, sizes, output):
        if m + k - 1 > n:
            raise RuntimeError(f"{op}: pool size {k} too large relative to input size {n} for an output of {m}")
    batch = input.shape[0] if input.ndim == dims + 2 else 1
    if samples is None:
        samples = rand(batch, input.shape[-dims - 1], dims, dtype=input.dtype, device=input.device)
    return _at_samples(input.reshape(batch, *input.shape[-dims - 1 :]), kernel, output, samples, return_indices, input.ndim == dims + 2)  # type: ignore[attr-defined]


def _at_samples(x: Tensor, kernel: tuple[int, ...], output: tuple[int, ...], samples: Tensor, return_indices: bool, batched: bool) -> Any:
    """The maxima over windows (N, C, output..., kernel...), whose places are flat in x's spatial dimensions."""
    dims, sizes = len(kernel), tuple(x.shape[2:])
    # PyTorch's samples belong to the dimensions from the last one on.
    samples = samples[: x.shape[0]].flip(-1)  # type: ignore[index]
    places: Any = 0
    for d, (size, k, m) in enumerate(zip(sizes, kernel, output)):
        start = _starts(samples[..., d], size, m, k)  # type: ignore[index]
        along = start.unsqueeze(-1) + arange(k, device=x.device)  # type: ignore[attr-defined]
        shape = [1] * (2 * dims)
        shape[d], shape[dims + d] = m, k
        places = places * size + along.reshape(*along.shape[:2], *shape)
    windows, size = math.prod(output), math.prod(kernel)
    flat = places.expand(*x.shape[:2], *output, *kernel).reshape(*x.shape[:2], windows * size)
    values = gather(x.flatten(2), -1, flat).reshape(*x.shape[:2], *output, size)  # type: ignore[attr-defined]
    y, chosen = values.max(-1)  # type: ignore[attr-defined]
    if not batched:
        y = y.squeeze(0)
    if not return_indices:
        return y
    indices = gather(flat.reshape(*x.shape[:2], *output, size), -1, chosen.unsqueeze(-1)).squeeze(-1)  # type: ignore[attr-defined]
    return y, indices if batched else indices.squeeze(0)  # type: ignore[attr-defined]


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The maximum of (N, C, H, W) or (C, H, W) over windows whose distances are drawn for every channel such that ``output_size`` of them cover it.

    ``output_ratio``, numbers in (0, 1), gives the size as a part of the input's.  With ``return_indices`` also the places, flat in H × W.  Raises
    RuntimeError for windows that do not fit, ValueError without a size.

    B. Graham, "Fractional max-pooling" (2014).
    """
    return _fractional("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """``fractional_max_pool2d`` of (N, C, D, H, W) or (C, D, H, W)"""
    return _fractional("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = True,
    _random_samples: Any = None,
) -> Any:
    """``fractional_max_pool2d`` and the places of the maxima"""
    return fractional_max_pool2d(input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = True,
    _random_samples: Any = None,
) -> Any:
    """``fractional_max_pool3d`` and the places of the maxima"""
    return fractional_max_pool3d(input, kernel_size, output_size, output_ratio, True, _random_samples)
