"""Transforms of an image's values and kind."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ...creation import from_numpy
from ...tensor import Tensor
from . import functional


class ToTensor:
    """An image as a tensor (channels, height, width), uint8 values divided by 255.  Raises as ``functional.to_tensor``."""

    def __call__(self, pic: Any) -> Tensor:
        return functional.to_tensor(pic)

    def _batched(self, images: Any) -> Any:
        if not isinstance(images, np.ndarray) or images.ndim not in (3, 4):
            return None
        return from_numpy(functional.scaled(images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)))

    def __repr__(self) -> str:
        return "ToTensor()"


class PILToTensor:
    """An image as a tensor (channels, height, width) of the same dtype and values."""

    def __call__(self, pic: Any) -> Tensor:
        return functional.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return "PILToTensor()"


class ToPILImage:
    """The image as one of Pillow's.  Raises as ``functional.to_pil_image``."""

    def __init__(self, mode: str | None = None):
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return functional.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return "ToPILImage()" if self.mode is None else f"ToPILImage(mode={self.mode})"


class ConvertImageDtype:
    """A tensor image in another dtype, its values scaled from the range of the one to that of the other.  Raises as ``functional.convert_image_dtype``."""

    def __init__(self, dtype: Any):
        self.dtype = dtype

    def __call__(self, image: Tensor) -> Tensor:
        return functional.convert_image_dtype(image, self.dtype)

    def __repr__(self) -> str:
        return "ConvertImageDtype()"


class Normalize:
    """(image - mean) / std, channel by channel, of a floating tensor.  Raises as ``functional.normalize``."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False):
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        return functional.normalize(tensor, self.mean, self.std, self.inplace)

    def _batched(self, images: Any) -> Any:
        # A batch of tensors was made by the transform before this one and belongs to nobody else.
        if not isinstance(images, Tensor) or images.ndim < 4:
            return None
        return functional.normalize(images, self.mean, self.std, inplace=True)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Grayscale:
    """The image in shades of grey, with 1 or 3 channels.  Raises as ``functional.rgb_to_grayscale``."""

    def __init__(self, num_output_channels: int = 1):
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return functional.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self) -> str:
        return f"Grayscale(num_output_channels={self.num_output_channels})"
