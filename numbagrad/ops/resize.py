"""Resizing (N, C, ...) to other spatial sizes: one dimension after the other, as all filters are products of filters of one dimension."""

from __future__ import annotations

import math
import warnings
from typing import Any, Sequence

import numpy as np

from ..kernels import resize as kernels
from ..tensor import Tensor
from ._attach import public
from ._operation import differentiable
from .pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

_ANTIALIASED = ("bilinear", "bicubic", "lanczos")
_AREA = {3: adaptive_avg_pool1d, 4: adaptive_avg_pool2d, 5: adaptive_avg_pool3d}
_FILTERS = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
_DIMENSIONS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "lanczos": 4}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``input``, (N, C, ...) with one to three spatial dimensions, resized to ``size`` or by ``scale_factor``: numbers, or one per dimension.

    ``mode``: "nearest" (rounding down, as OpenCV), "nearest-exact" (the place at the centre), "area" (adaptive means), "linear" (1-d), "bilinear" and
    "bicubic" (2-d), "trilinear" (3-d), "lanczos" (2-d, with antialiasing).  ``align_corners`` makes the centres of the corners coincide instead of the
    edges.  A scale factor is used as it is, unless ``recompute_scale_factor`` asks for the ratio of the sizes.  ``antialias`` stretches the filter where
    the result is smaller, as Pillow does.  Raises ValueError and NotImplementedError for arguments that do not go together.

    R. Keys, "Cubic convolution interpolation for digital image processing" (1981).
    """
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear")
    output, factors = _sizes(input, size, scale_factor, mode == "area" or bool(recompute_scale_factor))
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if antialias and not (mode in _ANTIALIASED and input.ndim == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input")
    if mode == "lanczos" and not antialias:
        raise ValueError("lanczos mode requires antialias=True")
    if input.ndim not in _AREA:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: nearest | linear | bilinear | bicubic | "
            f"trilinear | area | nearest-exact (got {mode})"
        )
    if mode in _DIMENSIONS and input.ndim != _DIMENSIONS[mode]:
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {_DIMENSIONS[mode]}D input")
    if mode not in _DIMENSIONS and mode not in ("nearest", "nearest-exact", "area"):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported for the modes: nearest | linear | bilinear | bicubic | trilinear | area | "
            f"nearest-exact (got {mode})"
        )
    if mode == "area":
        return _AREA[input.ndim](input, output)
    return resized(input, output, factors, mode, bool(align_corners), antialias)


def _adjoint(g: Tensor, tables: Sequence[Any]) -> Tensor:
    return _resampled(g, [table.adjoint for table in tables])


_resampled = differentiable("resize", kernels.resample, x=_adjoint)
_picked = differentiable("resize", kernels.pick, x=_adjoint)


def _sizes(input: Tensor, size: Any, scale_factor: Any, recompute: bool) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The size of the result, and the scale factors if these and not the sizes say where it takes its values from."""
    dims = input.ndim - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,) * dims
        if len(sizes) != dims:
            raise ValueError(
                f"Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of {list(input.shape[2:])} "
                f"and output size of {size}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
            )
        if not all(hasattr(s, "__index__") for s in sizes):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], "
                f"but got size with types {[type(s) for s in sizes]}"
            )
        return tuple(int(s) for s in sizes), (None,) * dims
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * dims
    if len(factors) != dims:
        raise ValueError(
            f"Input and scale_factor must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{list(input.shape[2:])} and scale_factor of shape {scale_factor}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
            "scale_factor in (s1, s2, ...,sK) format."
        )
    sizes = tuple(math.floor(n * float(f)) for n, f in zip(input.shape[2:], factors))
    return sizes, (None,) * dims if recompute else tuple(float(f) for f in factors)


def resized(
    input: Tensor, size: tuple[int, ...], factors: tuple[float | None, ...], mode: str, align_corners: bool, antialias: bool = False
) -> Tensor:
    """``interpolate`` with its arguments settled: ``factors`` are those that say where values come from, or None for the ratio of the sizes."""
    if 0 in input.shape[1:] or any(s <= 0 for s in size):
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input {list(input.shape)} and output of spatial size {list(size)}"
        )
    if mode not in ("nearest", "nearest-exact") and not input.is_floating_point():
        if input._data.dtype != np.uint8:
            raise NotImplementedError(f"interpolate: {mode} is not implemented for {input.dtype}")
        found = resized(input.float(), size, factors, mode, align_corners, antialias)
        return found.round().clamp(0, 255).to(input.dtype)  # type: ignore[attr-defined]
    filter_ = _FILTERS.get(mode, mode)
    tables = kernels.tables_for(input.shape[2:], size, factors, filter_, align_corners, antialias, input._data.dtype)
    return (_picked if filter_ in ("nearest", "nearest-exact") else _resampled)(input, tables)


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """``interpolate``, under its older name"""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` with mode "nearest", under its older name"""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` with mode "bilinear" and aligned corners, under its older name"""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


@public(method=False)
def _upsample_bilinear2d_aa(
    input: Tensor,
    output_size: Any,
    align_corners: bool,
    scale_factors: Any = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``interpolate`` with mode "bilinear" and antialiasing; of size and factors one is given, while scales only say where values come from"""
    if input.ndim != 4:
        raise RuntimeError(f"It is expected input_size equals to 4, but got size {input.ndim}")
    if scale_factors is not None:
        size, factors = _sizes(input, None, tuple(scale_factors), False)
    else:
        size, factors = tuple(output_size), (scales_h, scales_w)
    return resized(input, size, factors, "bilinear", align_corners, True)
