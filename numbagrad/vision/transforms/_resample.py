"""Resampling: an image at other points than its pixels.

Pixel (i, j) covers the square from (i, j) to (i + 1, j + 1), so its centre is at (i + 1/2, j + 1/2).
"""

from __future__ import annotations

import functools
import math
from enum import Enum
from typing import Sequence

import numpy as np

from ._planes import rounded


class InterpolationMode(Enum):
    """How values between pixels are found."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def _triangle(x: np.ndarray, sharpness: float) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """R. Keys, "Cubic convolution interpolation for digital image processing", 1981, with his free parameter ``a``."""
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))


@functools.lru_cache(maxsize=64)
def resize_weights(old: int, new: int, mode: InterpolationMode, antialias: bool) -> np.ndarray:
    """The matrix (new, old) of one dimension's resize: row i holds the weights of the old pixels in new pixel i.

    The new pixel's centre lies at (i + 1/2) old / new.  With ``antialias`` and fewer new pixels than old ones the filter is stretched so
    that it covers all that a new pixel stands for.  Pixels beyond the border are left out, and the others' weights made to sum to one;
    without ``antialias`` they count as repetitions of the border.
    """
    scale = old / new
    smooth = antialias and scale > 1
    stretch = scale if smooth else 1.0
    filter_, radius = (_triangle, 1) if mode is InterpolationMode.BILINEAR else (_cubic, 2)
    centres = (np.arange(new)[:, None] + 0.5) * scale
    if antialias:
        pixels = np.arange(old)[None, :] + 0.5
        weights = filter_((pixels - centres) / stretch, -0.5)
        return weights / weights.sum(1, keepdims=True)
    weights = np.zeros((new, old))
    first = np.floor(centres - 0.5).astype(np.int64) - (radius - 1)
    for tap in range(2 * radius):
        place = first + tap
        np.add.at(weights, (np.arange(new)[:, None], np.clip(place, 0, old - 1)), filter_(place + 0.5 - centres, -0.75))
    return weights


def _nearest(old: int, new: int, mode: InterpolationMode) -> np.ndarray:
    """The old pixel that each new one takes its value from: the one at its corner, or at its centre for NEAREST_EXACT."""
    shift = 0.5 if mode is InterpolationMode.NEAREST_EXACT else 0.0
    return np.minimum(((np.arange(new) + shift) * (old / new)).astype(np.int64), old - 1)


def resize(planes: np.ndarray, height: int, width: int, mode: InterpolationMode, antialias: bool) -> np.ndarray:
    """``planes`` (..., H, W) resized to (..., height, width): rows and columns one after the other, as the filters are separable."""
    old_height, old_width = planes.shape[-2:]
    if mode in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT):
        return planes[..., _nearest(old_height, height, mode)[:, None], _nearest(old_width, width, mode)]
    work = np.float64 if planes.dtype == np.float64 else np.float32
    values = planes.astype(work)
    if width != old_width:
        values = values @ resize_weights(old_width, width, mode, antialias).astype(work).T
    if height != old_height:
        values = resize_weights(old_height, height, mode, antialias).astype(work) @ values
    return rounded(values, planes.dtype)


def affine_matrix(angle: float, translate: Sequence[float], scale: float, shear: Sequence[float], center: Sequence[float]) -> np.ndarray:
    """The 3x3 matrix that moves a point (x, y, 1) of the image: T · C · R(angle) · S(scale) · SHy · SHx · C⁻¹.

    ``angle`` turns clockwise in degrees (y points down), ``shear`` holds two angles in degrees, ``center`` is the fixed point.
    """
    turn = math.radians(angle)
    across, down = (math.tan(math.radians(s)) for s in shear)
    rotation = np.array([[math.cos(turn), -math.sin(turn), 0.0], [math.sin(turn), math.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    shear_x = np.array([[1.0, -across, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    shear_y = np.array([[1.0, 0.0, 0.0], [-down, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return (
        _shift(translate[0] + center[0], translate[1] + center[1])
        @ rotation
        @ np.diag([scale, scale, 1.0])
        @ shear_y
        @ shear_x
        @ _shift(-center[0], -center[1])
    )


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def warp(planes: np.ndarray, matrix: np.ndarray, height: int, width: int, mode: InterpolationMode, fill: np.ndarray) -> np.ndarray:
    """The image (..., height, width) whose point p shows what ``planes`` show at ``matrix``⁻¹ p, and ``fill`` where they show nothing."""
    inverse = np.linalg.inv(matrix)
    x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    # To 1e-9 of a pixel: a quarter turn must not fall off the border by a rounding error of its cosine.
    column = np.round(inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] - 0.5, 9)
    row = np.round(inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] - 0.5, 9)
    old_height, old_width = planes.shape[-2:]

    def at(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = (rows >= 0) & (rows < old_height) & (columns >= 0) & (columns < old_width)
        return planes[..., np.clip(rows, 0, old_height - 1), np.clip(columns, 0, old_width - 1)], inside

    if mode is not InterpolationMode.BILINEAR:
        values, inside = at(np.rint(row).astype(np.int64), np.rint(column).astype(np.int64))
        return np.where(inside, values, rounded(fill, planes.dtype)).astype(planes.dtype, copy=False)

    work = np.float64 if planes.dtype == np.float64 else np.float32
    top, left = np.floor(row), np.floor(column)
    below, right = (row - top).astype(work), (column - left).astype(work)
    out = np.zeros((*planes.shape[:-2], height, width), work)
    covered = np.zeros((height, width), work)
    for step_row, weight_row in ((0, 1 - below), (1, below)):
        for step_column, weight_column in ((0, 1 - right), (1, right)):
            values, inside = at(top.astype(np.int64) + step_row, left.astype(np.int64) + step_column)
            weight = weight_row * weight_column * inside
            out += values * weight
            covered += weight
    out += (1 - covered) * fill.astype(work)
    return rounded(out, planes.dtype)
