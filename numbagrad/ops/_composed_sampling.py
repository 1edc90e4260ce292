"""Sampling made of other operations: what the gradient by the places is differentiated by.  See ``sampling``."""

from __future__ import annotations

import itertools
import math
from typing import Any, Sequence

from ..autograd.graph import grad as gradients
from ..kernels import resize as kernels
from ..kernels.elementwise import activations
from ..tensor import Tensor
from . import elementwise as e
from .gather import gather

__all__ = ["composed_grid_gradient"]


def composed_grid_gradient(grad: Any, x: Any, grid: Any, *, mode: str, border: int, aligned: bool) -> Any:
    """As ``kernels.resize.sample_grid_gradient``, in a graph."""
    sizes = x.shape[2:]
    sources = [_on_elements(grid[..., len(sizes) - 1 - d], size, aligned) for d, size in enumerate(sizes)]
    reader = _Reader(x)
    if mode == "cubic":
        y = _cubic(reader, sources, border, aligned)
    else:
        sources = [_bordered(source, size, border, aligned) for source, size in zip(sources, sizes)]
        y = _linear(reader, sources)
    return gradients([y], [grid], [grad], create_graph=True)[0]


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


def _bordered(source: Any, size: int, border: int, align_corners: bool) -> Any:
    if border == kernels.BORDER:
        return _limited(source, size)
    return _limited(_reflected(source, size, align_corners), size) if border == kernels.REFLECTION else source


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


def _cubic(reader: _Reader, sources: list[Any], border: int, align_corners: bool) -> Any:
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
