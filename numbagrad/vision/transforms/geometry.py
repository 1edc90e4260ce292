"""Transforms of an image's shape and position."""

from __future__ import annotations

import math
import numbers
from typing import Any, Sequence

from ...data import host_random
from . import functional
from ._resample import InterpolationMode


def _positive_pair(size: int | Sequence[int], op: str) -> tuple[int, int]:
    height, width = functional.pair(size, op)
    if height < 1 or width < 1:
        raise ValueError(f"{op}: expected a positive size, got {size}")
    return height, width


def _range(value: float | Sequence[float], name: str, op: str) -> list[float]:
    """[-value, value] for a number, else the two numbers it holds."""
    if isinstance(value, numbers.Number):
        if value < 0:  # type: ignore[operator]
            raise ValueError(f"{op}: If {name} is a single number, it must be positive, got {value}.")
        return [-float(value), float(value)]  # type: ignore[arg-type]
    if not isinstance(value, Sequence):
        raise TypeError(f"{op}: {name} should be a sequence of length 2 or a number, got {type(value).__name__}")
    if len(value) != 2:
        raise ValueError(f"{op}: {name} should be a sequence of length 2, got {value}")
    return [float(v) for v in value]


class Resize:
    """``functional.resize``."""

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ):
        functional.resized_shape(1, 1, size, max_size)
        self.size = size
        self.max_size = max_size
        self.interpolation = functional.as_mode(interpolation, "Resize")
        self.antialias = antialias

    def __call__(self, img: Any) -> Any:
        return functional.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return f"Resize(size={self.size}, interpolation={self.interpolation.value}, max_size={self.max_size}, antialias={self.antialias})"


class CenterCrop:
    """The middle ``size`` of the image; an image that is too small is padded with 0."""

    def __init__(self, size: int | Sequence[int]):
        self.size = _positive_pair(size, "CenterCrop")

    def __call__(self, img: Any) -> Any:
        return functional.center_crop(img, self.size)

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class Pad:
    """``functional.pad``."""

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"):
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, img: Any) -> Any:
        return functional.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomCrop:
    """A rectangle of ``size`` anywhere in the image, after padding it.

    Raises ValueError for an image that is smaller, unless ``pad_if_needed``.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ):
        self.size = _positive_pair(size, "RandomCrop")
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = functional.pad(img, self.padding, self.fill, self.padding_mode)
        height, width = self.size
        _, rows, columns = functional.get_dimensions(img)
        if self.pad_if_needed and (columns < width or rows < height):
            img = functional.pad(img, [max(width - columns, 0), max(height - rows, 0)], self.fill, self.padding_mode)
            _, rows, columns = functional.get_dimensions(img)
        if rows < height or columns < width:
            raise ValueError(f"RandomCrop: Required crop size {self.size} is larger than input image size {(rows, columns)}")
        if (rows, columns) == (height, width):
            return img
        top, left = host_random.integer(0, rows - height + 1), host_random.integer(0, columns - width + 1)
        return functional.crop(img, top, left, height, width)

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomResizedCrop:
    """A rectangle of random area (``scale`` times the image's) and aspect (``ratio``), resized to ``size``.

    (C. Szegedy et al., "Going deeper with convolutions", 2015.)
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ):
        self.size = _positive_pair(size, "RandomResizedCrop")
        if not isinstance(scale, Sequence) or not isinstance(ratio, Sequence):
            raise TypeError(f"RandomResizedCrop: scale and ratio should be sequences, got {scale} and {ratio}")
        if len(scale) != 2 or len(ratio) != 2 or not (0 <= scale[0] <= scale[1]) or not (0 < ratio[0] <= ratio[1]):
            raise ValueError(f"RandomResizedCrop: scale and ratio should be of kind (min, max), got {scale} and {ratio}")
        self.scale = scale
        self.ratio = ratio
        self.interpolation = functional.as_mode(interpolation, "RandomResizedCrop")
        self.antialias = antialias

    def _rectangle(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = rows * columns * host_random.uniform(*self.scale)
            aspect = math.exp(host_random.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < width <= columns and 0 < height <= rows:
                return host_random.integer(0, rows - height + 1), host_random.integer(0, columns - width + 1), height, width
        # None of the draws fitted: the middle, with the nearest aspect that is allowed.
        aspect = min(max(columns / rows, self.ratio[0]), self.ratio[1])
        height, width = min(rows, round(columns / aspect)), min(columns, round(rows * aspect))
        return (rows - height) // 2, (columns - width) // 2, height, width

    def __call__(self, img: Any) -> Any:
        _, rows, columns = functional.get_dimensions(img)
        return functional.resized_crop(img, *self._rectangle(rows, columns), self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(v, 4) for v in values) for values in (self.scale, self.ratio))
        return (
            f"RandomResizedCrop(size={self.size}, scale={scale}, ratio={ratio}, interpolation={self.interpolation.value}, "
            f"antialias={self.antialias})"
        )


class _RandomFlip:
    def __init__(self, p: float = 0.5):
        self.p = p

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged with probability ``p``."""

    def __call__(self, img: Any) -> Any:
        return functional.hflip(img) if host_random.uniform(0.0, 1.0) < self.p else img


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged with probability ``p``."""

    def __call__(self, img: Any) -> Any:
        return functional.vflip(img) if host_random.uniform(0.0, 1.0) < self.p else img


class RandomRotation:
    """Turned by an angle between -``degrees`` and ``degrees``, or within (min, max); counter-clockwise, as ``functional.rotate``."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ):
        self.degrees = _range(degrees, "degrees", "RandomRotation")
        self.interpolation = functional.as_mode(interpolation, "RandomRotation")
        self.expand = expand
        self.center = center
        self.fill = fill

    def __call__(self, img: Any) -> Any:
        return functional.rotate(img, host_random.uniform(*self.degrees), self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        text = f"RandomRotation(degrees={self.degrees}, interpolation={self.interpolation.value}, expand={self.expand}"
        if self.center is not None:
            text += f", center={self.center}"
        return text + f", fill={self.fill})"


class RandomAffine:
    """``functional.affine`` with random parameters: an angle within ``degrees``, shifts of up to ``translate`` (fractions of width and
    height), a factor within ``scale``, and shears within ``shear`` degrees: along x for one or two numbers, along x and y for four.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ):
        self.degrees = _range(degrees, "degrees", "RandomAffine")
        if translate is not None and (len(translate) != 2 or not all(0.0 <= t <= 1.0 for t in translate)):
            raise ValueError(f"RandomAffine: translate should be two values between 0 and 1, got {translate}")
        if scale is not None and (len(scale) != 2 or not all(s > 0 for s in scale)):
            raise ValueError(f"RandomAffine: scale should be two positive values, got {scale}")
        self.translate = translate
        self.scale = scale
        self.shear: list[float] | None = None
        if shear is not None:
            four = isinstance(shear, Sequence) and len(shear) == 4
            self.shear = [float(s) for s in shear] if four else _range(shear, "shear", "RandomAffine")  # type: ignore[union-attr]
        self.interpolation = functional.as_mode(interpolation, "RandomAffine")
        self.fill = fill
        self.center = center

    def __call__(self, img: Any) -> Any:
        _, rows, columns = functional.get_dimensions(img)
        angle = host_random.uniform(*self.degrees)
        shift = (0, 0)
        if self.translate is not None:
            across, down = self.translate[0] * columns, self.translate[1] * rows
            shift = (round(host_random.uniform(-across, across)), round(host_random.uniform(-down, down)))
        factor = 1.0 if self.scale is None else host_random.uniform(*self.scale)
        shear = [0.0, 0.0]
        if self.shear is not None:
            shear[0] = host_random.uniform(self.shear[0], self.shear[1])
            if len(self.shear) == 4:
                shear[1] = host_random.uniform(self.shear[2], self.shear[3])
        return functional.affine(img, angle, shift, factor, shear, self.interpolation, self.fill, self.center)

    def __repr__(self) -> str:
        text = f"RandomAffine(degrees={self.degrees}"
        for name in ("translate", "scale", "shear"):
            if getattr(self, name) is not None:
                text += f", {name}={getattr(self, name)}"
        if self.interpolation is not InterpolationMode.NEAREST:
            text += f", interpolation={self.interpolation.value}"
        if self.fill != 0:
            text += f", fill={self.fill}"
        if self.center is not None:
            text += f", center={self.center}"
        return text + ")"
