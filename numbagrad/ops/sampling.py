"""Sampling an image or a volume at given places, and the places of an affine map (M. Jaderberg et al., "Spatial transformer networks", 2015).

Places run from −1 to 1 across the image: between the outer edges of its first and last element, or between their centres with aligned corners.
"""

from __future__ import annotations

from typing import Sequence

from ..creation import linspace, ones, zeros
from ..kernels import resize as kernels
from ..tensor import Tensor
from ._attach import public
from ._composed import rules
from ._composed_sampling import composed_grid_gradient
from ._operation import differentiable
from .copy import stack

__all__ = ["affine_grid", "grid_sample"]

_MODES = ("bilinear", "nearest", "bicubic")
_BORDERS = {"zeros": kernels.ZEROS, "border": kernels.BORDER, "reflection": kernels.REFLECTION}
_TAPS = {"bilinear": "linear", "bicubic": "cubic"}


# ---- sampling ----------------------------------------------------------------------------------------------------------------------

# Linear in g, and the adjoint of sampling: its own gradients are what sampling is made of.
_input_gradient = differentiable(
    "grid_sample_input_gradient",
    kernels.sample_input_gradient,
    grad=lambda g, grid, mode, border, aligned: _sampled(g, grid, mode, border, aligned),
    grid=lambda g, grad, grid, mode, border, aligned: _turned(grad, g, grid, mode, border, aligned),
)
_grid_gradient = differentiable(
    "grid_sample_grid_gradient",
    kernels.sample_grid_gradient,
    **rules(composed_grid_gradient),  # type: ignore[arg-type]
)


def _turned(g: Tensor, x: Tensor, grid: Tensor, mode: str, border: int, aligned: bool) -> Tensor:
    """The gradient by the places: zero for the nearest elements, which change by jumps."""
    if mode == "nearest":
        return zeros(grid.shape, dtype=grid.dtype, device=grid.device)
    return _grid_gradient(g, x, grid, mode, border, aligned)


_sampled = differentiable(
    "grid_sample",
    kernels.sample,
    x=lambda g, grid, x_shape, mode, border, aligned: _input_gradient(g, grid, x_shape, mode, border, aligned),
    grid=lambda g, x, grid, mode, border, aligned: _turned(g, x, grid, mode, border, aligned),
)


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """``input`` at the places in ``grid``: (N, C, H, W) at (N, H', W', 2) gives (N, C, H', W'), (N, C, D, H, W) at (N, D', H', W', 3) likewise.

    The last dimension of ``grid`` is (x, y) or (x, y, z), x along the last dimension of ``input``, from −1 to 1.  ``mode``: "bilinear" (of volumes, trilinear),
    "nearest" or "bicubic" (images only).  ``padding_mode`` says what lies outside: "zeros", the "border" repeated, or the "reflection" of the inside.
    Raises RuntimeError for shapes that do not match, ValueError for an unknown mode.
    """
    if mode not in _MODES:
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in _BORDERS:
        raise ValueError(
            f"nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: '{padding_mode}'"
        )
    _check(input, grid, mode)
    return _sampled(input, grid, _TAPS.get(mode, mode), _BORDERS[padding_mode], bool(align_corners))


def _check(input: Tensor, grid: Tensor, mode: str) -> None:
    if input.dtype != grid.dtype:
        raise RuntimeError(
            f"grid_sampler(): expected input and grid to have same dtype, but input has {input.dtype} and grid has {grid.dtype}"
        )
    if input.ndim not in (4, 5) or input.ndim != grid.ndim:
        raise RuntimeError(
            f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes {list(input.shape)} and grid "
            f"with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            f"grid_sampler(): expected grid and input to have same batch size, but got input with sizes {list(input.shape)} and grid with sizes "
            f"{list(grid.shape)}"
        )
    if grid.shape[-1] != input.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {input.ndim - 2} in last dimension, but got grid with sizes {list(grid.shape)}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {list(input.shape)}")
    if mode == "bicubic" and input.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


@public(method=False)
def grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """``nn.functional.grid_sample`` with its modes as numbers"""
    return grid_sample(input, grid, _MODES[interpolation_mode], list(_BORDERS)[padding_mode], align_corners)


public(grid_sampler, name="grid_sampler_2d", method=False)
public(grid_sampler, name="grid_sampler_3d", method=False)


# ---- places of an affine map -------------------------------------------------------------------------------------------------------


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places (x, y, 1) · thetaᵀ for the centres (x, y) of a result of ``size``, for ``grid_sample``.

    ``theta`` (N, 2, 3) and size (N, C, H, W) give (N, H, W, 2); (N, 3, 4) and (N, C, D, H, W) give (N, D, H, W, 3).  Raises ValueError for a theta that is
    not floating, RuntimeError for shapes that do not match.
    """
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    n, *sizes = (size[0], *size[2:])
    dims = len(sizes)
    if dims not in (2, 3):
        raise NotImplementedError(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size {list(size)}"
        )
    if tuple(theta.shape) != (n, dims, dims + 1):
        raise ValueError(
            f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size {list(size)}. Got {list(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {list(size)}")
    along = []
    for d, count in enumerate(sizes):
        places = (
            linspace(-1, 1, count, dtype=theta.dtype, device=theta.device)
            if count > 1
            else ones(1, dtype=theta.dtype, device=theta.device) * 0
        )  # type: ignore[operator]
        places = places if align_corners else places * ((count - 1) / count)
        along.append(places.reshape(-1, *[1] * (dims - 1 - d)).expand(*sizes))
    base = stack([*reversed(along), ones(*sizes, dtype=theta.dtype, device=theta.device)], -1)
    return (base.reshape(1, -1, dims + 1) @ theta.transpose(1, 2)).reshape(n, *sizes, dims)  # type: ignore[attr-defined]
