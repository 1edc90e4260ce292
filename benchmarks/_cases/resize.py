"""Resizing images and volumes, and sampling images at a grid: bound by memory, and by the finding of places where there are few channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def interpolate(shape: tuple[int, ...], mode: str, size: Any, gradient: bool = True, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        run = lambda x: library.F.interpolate(x, size=size, mode=mode)
        return (library.backward if gradient else library.forward)(run, library.normal(*shape))

    n = math.prod(shape) + math.prod(shape[:2]) * math.prod(size)
    label = f"interpolate {mode} {_text(shape)} to {_text(size)}{' f+b' * gradient}"
    return Case("ops", "resize", label, {"torch": torch}, bytes=4 * n * (2 if gradient else 1), **more)


def grid_sample(shape: tuple[int, ...], mode: str, gradient: bool = True, **more: Any) -> Case:
    """As many places as elements, and the gradients of both."""

    def torch(library: Any) -> Callable[[], Any]:
        run = lambda x, grid: library.F.grid_sample(x, grid, mode, "zeros", False)
        inputs = library.normal(*shape), library.uniform(-1.1, 1.1, shape[0], *shape[2:], len(shape) - 2)
        return library.backward(run, *inputs, wrt=(0, 1)) if gradient else library.forward(run, *inputs)

    label = f"grid_sample {mode} {_text(shape)}{' f+b' * gradient}"
    return Case("ops", "resize", label, {"torch": torch}, bytes=8 * math.prod(shape) * (2 if gradient else 1), tolerance=1e-3, **more)


def cases() -> Iterator[Case]:
    same = (Goal("torch", 1.0),)
    for mode in ("nearest", "bilinear", "bicubic"):
        yield interpolate((8, 64, 32, 32), mode, (64, 64), goals=same)
    yield interpolate((4, 3, 256, 256), "bilinear", (224, 224), goals=same)
    yield interpolate((4, 3, 256, 256), "bilinear", (224, 224), gradient=False)
    yield interpolate((2, 16, 16, 32, 32), "trilinear", (32, 64, 64), goals=same)
    yield interpolate((2, 3, 16, 16), "bilinear", (32, 32), quick=True)
    yield grid_sample((8, 64, 32, 32), "bilinear", goals=same)
    yield grid_sample((8, 64, 32, 32), "bilinear", gradient=False)
    yield grid_sample((4, 3, 128, 128), "bilinear")
    yield grid_sample((4, 16, 64, 64), "bicubic", goals=same)
