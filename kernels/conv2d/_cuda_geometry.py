"""How a convolution and its input gradient are both correlations, in numbers that a kernel takes.

    out[n, g, m, p, q] = sum over taps (a, b) and channels c of weight[g, m, c, a, b] · source[n, g, c, p·step + first + a·apart, ...]

Forward, that is the definition.  The gradient with respect to an input at a row y takes the taps a with y + padding - a·dilation a multiple of the
stride; which taps these are depends on y's remainder by the stride only.  So there is a correlation for each remainder of row and column, of step 1, and
no multiplication is wasted.  The taps that take part are stride / gcd(stride, dilation) from each other, and meet rows dilation / gcd apart.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

Pair = tuple[int, int]


class Axis(NamedTuple):
    """One axis of a correlation: ``size`` outputs, of which number p meets source positions p·step + first + k·apart, of ``extent``, for its
    ``taps``, which are the weight's number tap + k·tap_apart; output p lies at position out + p·out_apart."""

    size: int
    extent: int
    step: int
    first: int
    apart: int
    taps: int
    tap: int
    tap_apart: int
    out: int
    out_apart: int


def forward(size: int, extent: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """One axis of the convolution."""
    return Axis(size, extent, stride, -padding, dilation, kernel, 0, 1, 0, 1)


def backward(size: int, extent: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Axis]:
    """One axis of the gradient with respect to an input of ``extent``, from an output of ``size``: an axis for each remainder by the stride."""
    common = math.gcd(stride, dilation)
    found = []
    for remainder in range(min(stride, extent)):
        reach = remainder + padding
        tap = next((k for k in range(min(kernel, stride)) if (reach - k * dilation) % stride == 0), kernel)
        taps = len(range(tap, kernel, stride // common))
        first = (reach - tap * dilation) // stride if taps else 0
        count = len(range(remainder, extent, stride))
        found.append(Axis(count, size, 1, first, -(dilation // common), taps, tap, stride // common, remainder, stride))
    return found


class Correlation(NamedTuple):
    """``images`` times ``groups`` correlations of ``channels`` with ``out`` output channels each, along rows and columns."""

    images: int
    groups: int
    channels: int
    out: int
    rows: Axis
    columns: Axis

    @property
    def taps(self) -> int:
        return self.rows.taps * self.columns.taps


@functools.lru_cache(maxsize=1024)
def of_forward(
    shape: tuple[int, ...], weight: tuple[int, ...], size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Correlation:
    """The convolution of an input of ``shape``."""
    rows, columns = (forward(size[k], shape[2 + k], weight[2 + k], stride[k], padding[k], dilation[k]) for k in (0, 1))
    return Correlation(shape[0], groups, weight[1], weight[0] // groups, rows, columns)


@functools.lru_cache(maxsize=1024)
def of_input_gradient(
    shape: tuple[int, ...], weight: tuple[int, ...], size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[Correlation, ...]:
    """The correlations of an output gradient of ``size`` that make up the gradient with respect to an input of ``shape``."""
    rows, columns = (backward(size[k], shape[2 + k], weight[2 + k], stride[k], padding[k], dilation[k]) for k in (0, 1))
    return tuple(Correlation(shape[0], groups, weight[0] // groups, weight[1], r, c) for r in rows for c in columns)


# Pixels of all images in one launch, so that they are counted in 31 bits, as ``divide`` needs.
MOST_PIXELS = (1 << 31) - 1


class Part(NamedTuple):
    """A correlation of which pixels can be counted in 31 bits: images from ``image`` on."""

    correlation: Correlation
    image: int


def parts(c: Correlation) -> list[Part]:
    """``c``, cut into images, and into bands of rows where one image has too many pixels."""
    height, width = c.rows.size, c.columns.size
    if c.images * height * width <= MOST_PIXELS:
        return [Part(c, 0)]
    band = min(height, max(1, MOST_PIXELS // width))
    images = max(1, MOST_PIXELS // (height * width)) if band == height else 1
    found = []
    for image in range(0, c.images, images):
        for row in range(0, height, band):
            r = c.rows
            rows = r._replace(size=min(band, height - row), first=r.first + row * r.step, out=r.out + row * r.out_apart)
            found.append(Part(c._replace(images=min(images, c.images - image), rows=rows), image))
    return found


def steps(array: Any) -> list[int]:
    """Strides in elements; of a dimension of one element 0, so that they are never too large for what counts with them."""
    return [0 if n == 1 else s // array.itemsize for n, s in zip(array.shape, array.strides)]
