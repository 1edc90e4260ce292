"""Sampling an image or a volume at given places, and the places of an affine map (M. Jaderberg et al., "Spatial transformer networks", 2015).

Places run from −1 to 1 across the image: between the outer edges of its first and last element, or between their centres with aligned corners.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Sequence

from ..creation import linspace, ones
from ..kernels.elementwise import activations
from ..tensor import Tensor
from . import elementwise as e
from ._attach import public
from .copy import stack
from .gather import gather

__all__ = ["affine_grid", "grid_sample"]

_MODES, _BORDERS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


# ---- from places to elements -------------------------------------------------------------------------------------------------------


def _on_elements(place: Any, size: int, align_corners: bool) -> Any:
    """Places from −1 to 1, counted in elements from the centre of the first."""
    return (place + 1) * ((size - 1) / 2) if align_corners else ((place + 1) * size - 1) / 2


def _limited(source: Any, size: int) -> Any:
    """Within the centres of the first and last element; the gradient is zero on both."""
    return e.operation(activations.hardtanh)(source, 0.0, float(size - 1))


def _reflected(source: Any, size: int, align_corners: bool) -> Any:
    """Mirrored at the outer edges, or at the outer centres with aligned corners, until it lies between them."""
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if span == 0:
        return source * 0
    distance = (source - low).abs()
    turns = (distance / span).floor()
    rest = distance - turns.detach() * span
    return e.where(turns.detach() % 2 == 0, rest + low, span - rest + low)


def _bordered(source: Any, size: int, border: str, align_corners: bool) -> Any:
    if border == "border":
        return _limited(source, size)
    return _limited(_reflected(source, size, align_corners), size) if border == "reflection" else source


class _Reader:
    """The elements of ``input`` (N, C, ...) at whole places."""

    def __init__(self, input: Tensor):
        self.sizes = tuple(input.shape[2:])
        self.flat = input.flatten(2)  # type: ignore[attr-defined]

    def at(self, places: Sequence[Any]) -> Any:
        """(N, C, ...) at places (N, ...), whole numbers for each dimension; zero outside."""
        flat: Any = 0
        inside: Any = None
        for place, size in zip(places, self.sizes):
            within = (place >= 0) & (place <= size - 1)
            inside = within if inside is None else inside & within
            flat = flat * size + e.where(within, place, 0).long()
        n, channels = self.flat.shape[:2]
        index = flat.reshape(n, 1, -1).expand(n, channels, flat[0].numel())
        values = gather(self.flat, -1, index).reshape(n, channels, *flat.shape[1:])
        return e.where(inside.unsqueeze(1), values, 0)


# ---- sampling ----------------------------------------------------------------------------------------------------------------------


def _nearest(reader: _Reader, sources: list[Any]) -> Any:
    return reader.at([source.detach().round() for source in sources])


def _linear(reader: _Reader, sources: list[Any]) -> Any:
    """The corners around each place, weighted by the parts that lie across from them."""
    first = [source.detach().floor() for source in sources]
    parts = [source - whole for source, whole in zip(sources, first)]
    total: Any = 0
    for corner in itertools.product((0, 1), repeat=len(sources)):
        weight = math.prod(part if step else 1 - part for part, step in zip(parts, corner))
        total = total + reader.at([whole + step for whole, step in zip(first, corner)]) * weight.unsqueeze(1)  # type: ignore[attr-defined]
    return total


@e.elementwise
def _inner(x):  # type: ignore[no-untyped-def]
    """Keys' filter, a = −3/4, up to 1 from its centre"""
    return (1.25 * x - 2.25) * x * x + 1


@e.elementwise
def _outer(x):  # type: ignore[no-untyped-def]
    """Keys' filter, a = −3/4, between 1 and 2 from its centre"""
    return ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0


def _cubic(reader: _Reader, sources: list[Any], border: str, align_corners: bool) -> Any:
    """Four by four neighbours; beyond the image as ``border`` says, for each of them."""
    first = [source.detach().floor() for source in sources]
    parts = [source - whole for source, whole in zip(sources, first)]
    weights = [(_outer(t + 1), _inner(t), _inner(1 - t), _outer(2 - t)) for t in parts]
    total: Any = 0
    for i, j in itertools.product(range(4), repeat=2):
        places = [
            _bordered(whole + (step - 1), size, border, align_corners).round() for whole, step, size in zip(first, (i, j), reader.sizes)
        ]
        total = total + reader.at(places) * (weights[0][i] * weights[1][j]).unsqueeze(1)
    return total


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
    align = bool(align_corners)
    _check(input, grid, mode)
    sizes = tuple(input.shape[2:])
    dims = len(sizes)
    sources = [_on_elements(grid[..., dims - 1 - d], size, align) for d, size in enumerate(sizes)]  # type: ignore[index]
    reader = _Reader(input)
    if mode == "bicubic":
        return _cubic(reader, sources, padding_mode, align)
    sources = [_bordered(source, size, padding_mode, align) for source, size in zip(sources, sizes)]
    return (_nearest if mode == "nearest" else _linear)(reader, sources)


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
    return grid_sample(input, grid, _MODES[interpolation_mode], _BORDERS[padding_mode], align_corners)


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
