"""Convolutions: bound by arithmetic but for few channels and 1x1 kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._declare import Case, Goal


class Shape(NamedTuple):
    n: int
    c: int
    out: int
    h: int
    w: int
    k: int
    padding: int = 0
    stride: int = 1
    groups: int = 1
    dilation: int = 1

    @property
    def label(self) -> str:
        size = f"{self.h}²" if self.h == self.w else f"{self.h}x{self.w}"
        extras = [("s", self.stride, 1), ("g", self.groups, 1), ("d", self.dilation, 1)]
        return f"{self.n}x{self.c}->{self.out} {size} k{self.k}" + "".join(
            f" {name}{value}" for name, value, usual in extras if value != usual
        )

    @property
    def output(self) -> tuple[int, int]:
        reach = self.dilation * (self.k - 1) + 1
        h, w = ((size + 2 * self.padding - reach) // self.stride + 1 for size in (self.h, self.w))
        return h, w

    @property
    def flops(self) -> float:
        h, w = self.output
        return 2.0 * self.n * self.out * h * w * self.c // self.groups * self.k * self.k

    @property
    def bytes(self) -> float:
        h, w = self.output
        return 4.0 * (self.n * (self.c * self.h * self.w + self.out * h * w) + self.out * self.c // self.groups * self.k * self.k)


def convolution(suite: str, shape: Shape, mode: str = "f+b", **more: Any) -> Case:
    """``mode``: "f" the forward pass alone, "f+b" with both gradients, "f+dw" with that of the weight alone, as in a first layer."""

    def torch(library: Any) -> Callable[[], Any]:
        x = library.normal(shape.n, shape.c, shape.h, shape.w)
        weight = library.normal(shape.out, shape.c // shape.groups, shape.k, shape.k)
        options = {"stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups}
        return _iteration(library, lambda x, weight: library.F.conv2d(x, weight, **options), x, weight)

    def jax(library: Any) -> Callable[[], Any]:
        x = library.normal(shape.n, shape.c, shape.h, shape.w)
        weight = library.normal(shape.out, shape.c // shape.groups, shape.k, shape.k)

        def convolve(x: Any, weight: Any) -> Any:
            return library.lax.conv_general_dilated(
                x,
                weight,
                (shape.stride,) * 2,
                [(shape.padding, shape.padding)] * 2,
                rhs_dilation=(shape.dilation,) * 2,
                feature_group_count=shape.groups,
            )

        return _iteration(library, convolve, x, weight)

    def _iteration(library: Any, function: Callable[..., Any], x: Any, weight: Any) -> Callable[[], Any]:
        if mode == "f":
            return library.forward(function, x, weight)
        return library.backward(function, x, weight, wrt=(0, 1) if mode == "f+b" else (1,))

    passes = {"f": 1, "f+b": 3, "f+dw": 2}[mode]
    builders = {"torch": torch, "jax": jax}
    label = shape.label + (f" {mode}" if mode != "f" else "")
    # Weight gradients add up over all pixels: float32 sums in different orders differ by more than single products do.
    return Case(suite, "conv2d", label, builders, flops=shape.flops * passes, bytes=shape.bytes * passes, tolerance=1e-3, **more)


def spatial(name: str, x: tuple[int, ...], weight: tuple[int, ...], ratio: float, **options: int) -> Case:
    """A convolution of one or three dimensions, or transposed, with both gradients."""

    def torch(library: Any) -> Callable[[], Any]:
        inputs = library.normal(*x), library.normal(*weight)
        return library.backward(lambda x, weight: getattr(library.F, name)(x, weight, **options), *inputs, wrt=(0, 1))

    sizes = "x".join(map(str, x[2:]))
    pair = (weight[0], weight[1]) if "transpose" in name else (weight[1], weight[0])
    extras = "".join(f" {key[0]}{value}" for key, value in options.items() if key != "padding")
    label = f"{x[0]}x{pair[0]}->{pair[1]} {sizes} k{weight[2]}{extras} f+b"
    return Case("ops", name, label, {"torch": torch}, goals=(Goal("torch", ratio),), tolerance=1e-3)


GOALS = {
    Shape(64, 1, 32, 28, 28, 3, 1): 1.1,
    Shape(64, 32, 64, 14, 14, 3, 1): 1.0,
    Shape(64, 6, 16, 12, 12, 5): 1.2,
    Shape(16, 64, 64, 56, 56, 3, 1): 1.0,
}
OTHERS = (
    Shape(1, 64, 64, 56, 56, 3, 1),
    Shape(1, 1, 32, 28, 28, 3, 1),
    Shape(64, 64, 128, 14, 14, 1),
    Shape(16, 64, 128, 28, 28, 3, 1, stride=2),
    Shape(16, 3, 64, 112, 112, 7, 3, stride=2),
    Shape(13, 17, 19, 31, 29, 3, 1),
    Shape(8, 32, 32, 28, 28, 3, 2, dilation=2),
    Shape(64, 16, 120, 5, 5, 5),
)


def cases() -> Iterator[Case]:
    for shape, ratio in GOALS.items():
        yield convolution("ops", shape, goals=(Goal("torch", ratio),))
        yield convolution("ops", shape, "f")
    yield convolution("ops", Shape(64, 1, 32, 28, 28, 3, 1), "f+dw")
    for shape in OTHERS:
        yield convolution("ops", shape)
    yield convolution("ops", Shape(16, 64, 64, 28, 28, 3, 1, groups=64), goals=(Goal("torch", 1.0),))
    yield convolution("ops", Shape(2, 2, 3, 8, 8, 3, 1), quick=True)
    yield spatial("conv1d", (16, 64, 256), (64, 64, 5), 0.8, padding=2)
    yield spatial("conv3d", (4, 16, 16, 28, 28), (32, 16, 3, 3, 3), 0.8, padding=1)
    yield spatial("conv_transpose1d", (16, 64, 128), (64, 32, 4), 0.8, stride=2, padding=1)
    yield spatial("conv_transpose2d", (16, 64, 14, 14), (64, 32, 4, 4), 0.8, stride=2, padding=1)
    yield spatial("conv_transpose3d", (4, 16, 8, 14, 14), (16, 16, 4, 4, 4), 0.8, stride=2, padding=1)
