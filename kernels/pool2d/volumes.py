"""Maxima over windows of three dimensions by way of those of two, on every device.

The maxima of each plane first, with their places; then those of the depth, as the rows of planes (D, H' · W').  Of equal maxima the first in the order
of depth, rows and columns counts, and of several NaNs the last, as in two dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import index
from ..elementwise import formulas, run
from . import adaptive_max_pool2d, max_pool2d

__all__ = ["adaptive_max_pool3d", "max_pool3d"]


def _planes_then_depth(x: Any, pool_planes: Callable[[Any], Any], pool_rows: Callable[[Any], Any]) -> tuple[Any, Any]:
    *outer, depth, height, width = x.shape
    planes = 1
    for n in outer:
        planes *= n
    values, places = pool_planes(x.reshape(planes, depth, height, width))
    rows, columns = values.shape[-2:]
    size = rows * columns
    y, chosen = pool_rows(values.reshape(planes, depth, size))
    # Of each result: the plane it came from, and where it stood in that plane.
    plane = run(formulas.floor_divide_int, chosen, size)
    where = index.gather(places.reshape(planes, depth, size), 1, plane)
    flat = run(formulas.add, run(formulas.mul, plane, height * width), where)
    shape = (*outer, y.shape[-2], rows, columns)
    return y.reshape(shape), flat.reshape(shape)


def max_pool3d(
    x: Any, kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], ceil_mode: bool = False
) -> tuple[Any, Any]:
    """(y, indices) of ``max_pool2d`` with a dimension more: (N, C, D, H, W) or (C, D, H, W), the indices flat in D × H × W; settings are triples."""
    settings = kernel_size, stride, padding, dilation
    within = [tuple(values[1:]) for values in settings]
    along = [(values[0], rest) for values, rest in zip(settings, (1, 1, 0, 1))]
    return _planes_then_depth(x, lambda a: max_pool2d(a, *within, ceil_mode), lambda a: max_pool2d(a, *along, ceil_mode))


def adaptive_max_pool3d(x: Any, output_size: Sequence[int]) -> tuple[Any, Any]:
    """(y, indices) of ``adaptive_max_pool2d`` with a dimension more, the indices flat in D × H × W."""
    depth, rows, columns = output_size
    return _planes_then_depth(
        x, lambda a: adaptive_max_pool2d(a, (rows, columns)), lambda a: adaptive_max_pool2d(a, (depth, rows * columns))
    )
