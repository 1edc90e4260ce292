"""Random transforms of an image's colours, and of pieces of it."""

from __future__ import annotations

import math
import numbers
from typing import Any, Sequence

import numpy as np

from ...creation import from_numpy
from ...data import host_random
from ...tensor import Tensor
from . import functional


def _factors(value: Any, name: str, centre: float = 1.0, low: float = 0.0, high: float = math.inf) -> tuple[float, float] | None:
    """The interval that ``value``, a width or the interval itself, stands for; None where it holds ``centre`` alone."""
    if isinstance(value, numbers.Number):
        if value < 0:  # type: ignore[operator]
            raise ValueError(f"ColorJitter: If {name} is a single number, it must be non negative, got {value}.")
        interval = [centre - float(value), centre + float(value)]  # type: ignore[arg-type]
        if low == 0.0:
            interval[0] = max(interval[0], 0.0)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        interval = [float(v) for v in value]
    else:
        raise TypeError(f"ColorJitter: {name} should be a single number or a list/tuple with length 2, got {value!r}")
    if not low <= interval[0] <= interval[1] <= high:
        raise ValueError(f"ColorJitter: {name} values should be between ({low}, {high}), but got {interval}.")
    return None if interval[0] == interval[1] == centre else (interval[0], interval[1])


class ColorJitter:
    """Brightness, contrast, saturation and hue changed in random order by random factors: from max(0, 1 − x) to 1 + x for a number x, the hue by −x to x."""

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0):
        self.brightness = _factors(brightness, "brightness")
        self.contrast = _factors(contrast, "contrast")
        self.saturation = _factors(saturation, "saturation")
        self.hue = _factors(hue, "hue", 0.0, -0.5, 0.5)

    def __call__(self, img: Any) -> Any:
        steps: list[Any] = [
            (functional.adjust_brightness, self.brightness),
            (functional.adjust_contrast, self.contrast),
            (functional.adjust_saturation, self.saturation),
            (functional.adjust_hue, self.hue),
        ]
        while steps:
            adjust, interval = steps.pop(host_random.integer(0, len(steps)))
            if interval is not None:
                img = adjust(img, host_random.uniform(*interval))
        return img

    def __repr__(self) -> str:
        return f"ColorJitter(brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation}, hue={self.hue})"


class RandomGrayscale:
    """The image in shades of grey with probability ``p``, with as many channels as before."""

    def __init__(self, p: float = 0.1):
        self.p = p

    def __call__(self, img: Any) -> Any:
        if host_random.uniform(0.0, 1.0) >= self.p:
            return img
        return functional.rgb_to_grayscale(img, functional.get_dimensions(img)[0])

    def __repr__(self) -> str:
        return f"RandomGrayscale(p={self.p})"


class RandomErasing:
    """With probability ``p`` a rectangle of the tensor image, of random area (``scale`` times the image's) and aspect (``ratio``), set to ``value``: a number,
    one for each channel, or "random" for normal noise.  (Z. Zhong et al., "Random erasing data augmentation", 2020.)

    Raises TypeError or ValueError for arguments that are none of these, TypeError for what is no tensor.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ):
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise TypeError("RandomErasing: Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("RandomErasing: If value is str, it should be 'random'")
        if not isinstance(scale, Sequence) or not isinstance(ratio, Sequence):
            raise TypeError(f"RandomErasing: scale and ratio should be sequences, got {scale} and {ratio}")
        if not 0 <= scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"RandomErasing: scale (between 0 and 1) and ratio should be of kind (min, max), got {scale} and {ratio}")
        if not 0 <= p <= 1:
            raise ValueError(f"RandomErasing: Random erasing probability should be between 0 and 1, got {p}")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    def _rectangle(self, rows: int, columns: int) -> tuple[int, int, int, int] | None:
        for _ in range(10):
            area = rows * columns * host_random.uniform(*self.scale)
            aspect = math.exp(host_random.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height < rows and width < columns:
                return host_random.integer(0, rows - height + 1), host_random.integer(0, columns - width + 1), height, width
        return None

    def __call__(self, img: Any) -> Any:
        if not isinstance(img, Tensor):
            raise TypeError(f"RandomErasing: img should be a Tensor image, got {type(img).__name__}; put ToTensor before it")
        if host_random.uniform(0.0, 1.0) >= self.p:
            return img
        channels, rows, columns = functional.get_dimensions(img)
        found = self._rectangle(rows, columns)
        if found is None:
            return img
        top, left, height, width = found
        if self.value == "random":
            noise = np.random.default_rng(host_random.bits()).standard_normal((channels, height, width))
            value = from_numpy(noise.astype(img._data.dtype))
        else:
            values = list(self.value) if isinstance(self.value, (tuple, list)) else [self.value]
            if len(values) not in (1, channels):
                raise ValueError(f"RandomErasing: value should be one number or one for each of {channels} channels, got {len(values)}")
            value = from_numpy(np.array(values, img._data.dtype).reshape(-1, 1, 1))
        return functional.erase(img, top, left, height, width, value, self.inplace)

    def __repr__(self) -> str:
        return f"RandomErasing(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, inplace={self.inplace})"
