"""Where a resampled line takes its values from: for each new place the old places it reads (taps) and their weights, as arrays (taps, new).

Old place i covers the interval from i to i + 1.  Place j of the new line corresponds to (j + 1/2) · scale on the old one, scale being old / new unless it
is given; with aligned corners the centres of the first and last place of both lines coincide instead.
"""

from __future__ import annotations

import functools

import numpy as np

Taps = tuple[np.ndarray, np.ndarray]


def _scale(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> np.floating:
    if align_corners:
        return dtype(old - 1) / dtype(new - 1) if new > 1 else dtype(0)
    return dtype(1.0 / factor) if factor else dtype(old) / dtype(new)


def _sources(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> np.ndarray:
    """The places of the new line on the old one, counted from the centre of its first place."""
    scale = _scale(old, new, factor, align_corners, dtype)
    places: np.ndarray = np.arange(new, dtype=dtype)
    return places * scale if align_corners else (places + dtype(0.5)) * scale - dtype(0.5)


@functools.lru_cache(maxsize=256)
def nearest(old: int, new: int, factor: float | None, exact: bool) -> np.ndarray:
    """The old place of each new one: the one at its beginning or, if ``exact``, at its centre.  (In float32, whatever the line holds.)"""
    places = np.arange(new, dtype=np.float32) + np.float32(0.5 if exact else 0)
    return np.minimum((places * _scale(old, new, factor, False, np.float32)).astype(np.int64), old - 1)


@functools.lru_cache(maxsize=256)
def linear(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> Taps:
    """The two neighbours; beyond the first and last centre that one's value alone."""
    source = np.maximum(_sources(old, new, factor, align_corners, dtype), dtype(0))
    first = np.minimum(source.astype(np.int64), old - 1)
    part = np.clip(source - first.astype(dtype), 0, 1).astype(dtype)
    return np.stack([first, np.minimum(first + 1, old - 1)]), np.stack([1 - part, part])


def _cubic_filter(x: np.ndarray, a: float) -> np.ndarray:
    """R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with his free parameter ``a``."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _triangle_filter(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(x))


def _lanczos_filter(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


@functools.lru_cache(maxsize=256)
def cubic(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> Taps:
    """Two neighbours on each side, weighted by Keys' filter with a = −3/4; beyond the line its ends are repeated."""
    source = _sources(old, new, factor, align_corners, dtype)
    first = np.floor(source)
    offsets = np.arange(-1, 3).reshape(4, 1)
    weights = _cubic_filter((source - first) - offsets.astype(dtype), -0.75)
    return np.clip(first.astype(np.int64) + offsets, 0, old - 1), weights.astype(dtype)


_ANTIALIASED = {"bilinear": (1, _triangle_filter), "bicubic": (2, lambda x: _cubic_filter(x, -0.5)), "lanczos": (3, _lanczos_filter)}


@functools.lru_cache(maxsize=256)
def antialiased(old: int, new: int, factor: float | None, align_corners: bool, dtype: type, mode: str) -> Taps:
    """All places within reach of a filter that is stretched to cover what a new place stands for; weights sum to one."""
    radius, filter_ = _ANTIALIASED[mode]
    scale = float(_scale(old, new, factor, align_corners, dtype))
    stretch = max(scale, 1.0)
    centre = (np.arange(new) + 0.5) * scale
    first = np.maximum((centre - radius * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + radius * stretch + 0.5).astype(np.int64), old)
    places = first + np.arange(max(int((last - first).max()), 1)).reshape(-1, 1)
    weights = np.where(places < last, filter_((places - centre + 0.5) / stretch), 0)
    return np.minimum(places, old - 1), (weights / weights.sum(0)).astype(dtype)
