"""Where a resampled line takes its values from: for each new place a run of old places, and their weights.

Old place i covers the interval from i to i + 1.  Place j of the new line corresponds to (j + 1/2) · scale on the old one, scale being old / new unless it
is given; with aligned corners the centres of the first and last place of both lines coincide instead.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np


class Table:
    """A linear map from lines of ``old`` elements to lines of ``new`` ones: y[j] = Σ_k weights[starts[j] + k] · x[first[j] + k], for k from 0 up to
    starts[j + 1] − starts[j].

    Neither the first nor the last place of these runs goes back from one j to the next, so that the adjoint is a map of the same kind.  ``even``: the
    longest stretch from j to before j' in which all runs have one length.
    """

    def __init__(self, old: int, first: np.ndarray, counts: np.ndarray, weights: np.ndarray):
        self.old, self.new = old, len(first)
        self.first, self.weights = first.astype(np.int64), weights
        self.starts = np.zeros(self.new + 1, np.int64)
        np.cumsum(counts, out=self.starts[1:])
        self.most = int(counts.max())
        self.even = _longest_stretch(counts)
        self.identity = old == self.new == len(weights) and bool((weights == 1).all()) and bool((first == np.arange(old)).all())
        self.elsewhere: dict[Any, Any] = {}  # copies on GPUs

    @classmethod
    def of(cls, old: int, places: np.ndarray, weights: np.ndarray) -> Table:
        """From arrays (taps, new): the places that are read, −1 for none, and the weights of each; what is read twice has the sum of both."""
        some = places >= 0
        first = np.where(some, places, old).min(0)
        counts = places.max(0) - first + 1
        band = np.zeros((places.shape[1], int(counts.max())), weights.dtype)
        line = np.broadcast_to(np.arange(places.shape[1]), places.shape)
        np.add.at(band, (line[some], (places - first)[some]), weights[some])
        return cls(old, first, counts, band[np.arange(band.shape[1]) < counts[:, None]])

    @functools.cached_property
    def adjoint(self) -> Table:
        """The map from lines of ``new`` elements to lines of ``old`` ones with the transposed matrix."""
        counts = np.diff(self.starts)
        read = np.repeat(self.first - self.starts[:-1], counts) + np.arange(len(self.weights))  # the old place of each weight
        order = np.argsort(read, kind="stable")
        readers = np.bincount(read, minlength=self.old)
        first = np.zeros(self.old, np.int64)
        some = readers > 0
        begins = np.cumsum(readers) - readers
        first[some] = np.repeat(np.arange(self.new), counts)[order][begins[some]]
        found = Table(self.new, first, readers, self.weights[order])
        found.__dict__["adjoint"] = self
        return found


def _longest_stretch(counts: np.ndarray) -> tuple[int, int]:
    edges = np.concatenate(([0], np.flatnonzero(np.diff(counts)) + 1, [len(counts)]))
    longest = int(np.diff(edges).argmax())
    return int(edges[longest]), int(edges[longest + 1])


def _scale(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> np.floating:
    if align_corners:
        return dtype(old - 1) / dtype(new - 1) if new > 1 else dtype(0)
    return dtype(1.0 / factor) if factor else dtype(old) / dtype(new)


def _sources(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> np.ndarray:
    """The places of the new line on the old one, counted from the centre of its first place."""
    scale = _scale(old, new, factor, align_corners, dtype)
    places: np.ndarray = np.arange(new, dtype=dtype)
    return places * scale if align_corners else (places + dtype(0.5)) * scale - dtype(0.5)


def _nearest(old: int, new: int, factor: float | None, align_corners: bool, dtype: type, exact: bool) -> Table:
    """The place at the beginning of the new one or, if ``exact``, at its centre.  (In float32, whatever the line holds.)"""
    places = np.arange(new, dtype=np.float32) + np.float32(0.5 if exact else 0)
    places = np.minimum((places * _scale(old, new, factor, False, np.float32)).astype(np.int64), old - 1)
    return Table(old, places, np.ones(new, np.int64), np.ones(new, dtype))


def _linear(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> Table:
    """The two neighbours; beyond the first and last centre that one's value alone."""
    source = np.maximum(_sources(old, new, factor, align_corners, dtype), dtype(0))
    first = np.minimum(source.astype(np.int64), old - 1)
    part = np.clip(source - first.astype(dtype), 0, 1).astype(dtype)
    if not part.any() and new == old:  # the size stays, and so does every value, whatever its neighbours are
        return Table(old, first, np.ones(new, np.int64), np.ones(new, dtype))
    return Table.of(old, np.stack([first, np.minimum(first + 1, old - 1)]), np.stack([1 - part, part]))


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


def _cubic(old: int, new: int, factor: float | None, align_corners: bool, dtype: type) -> Table:
    """Two neighbours on each side, weighted by Keys' filter with a = −3/4; beyond the line its ends are repeated."""
    source = _sources(old, new, factor, align_corners, dtype)
    first = np.floor(source)
    offsets = np.arange(-1, 3).reshape(4, 1)
    weights = _cubic_filter((source - first) - offsets.astype(dtype), -0.75)
    return Table.of(old, np.clip(first.astype(np.int64) + offsets, 0, old - 1), weights.astype(dtype))


_ANTIALIASED = {"linear": (1, _triangle_filter), "cubic": (2, lambda x: _cubic_filter(x, -0.5)), "lanczos": (3, _lanczos_filter)}


def _antialiased(old: int, new: int, factor: float | None, align_corners: bool, dtype: type, mode: str) -> Table:
    """All places within reach of a filter that is stretched to cover what a new place stands for; weights sum to one."""
    radius, filter_ = _ANTIALIASED[mode]
    scale = float(_scale(old, new, factor, align_corners, dtype))
    stretch = max(scale, 1.0)
    centre = (np.arange(new) + 0.5) * scale
    first = np.maximum((centre - radius * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + radius * stretch + 0.5).astype(np.int64), old)
    places = first + np.arange(max(int((last - first).max()), 1)).reshape(-1, 1)
    weights = np.where(places < last, filter_((places - centre + 0.5) / stretch), 0)
    return Table.of(old, np.where(places < last, places, -1), (weights / weights.sum(0)).astype(dtype))


_MODES: dict[str, Any] = {
    "nearest": functools.partial(_nearest, exact=False),
    "nearest-exact": functools.partial(_nearest, exact=True),
    "linear": _linear,
    "cubic": _cubic,
}


@functools.lru_cache(maxsize=256)
def table(old: int, new: int, factor: float | None, mode: str, align_corners: bool, antialias: bool, dtype: np.dtype) -> Table:
    """The map from ``old`` places to ``new`` ones by ``mode``: "nearest", "nearest-exact", "linear", "cubic" or, with ``antialias``, "lanczos"; its weights
    are of ``dtype``.  ``factor``: new / old, if it is not to be the ratio of the sizes."""
    if antialias:
        return _antialiased(old, new, factor, align_corners, dtype.type, mode)
    return _MODES[mode](old, new, factor, align_corners, dtype.type)


@functools.lru_cache(maxsize=8)
def one(dtype: np.dtype) -> Table:
    """The map that keeps the one element of a dimension that is there for form's sake."""
    return Table(1, np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1, dtype))
