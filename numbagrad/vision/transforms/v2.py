"""The transforms by the names that torchvision's second version has for them; those that it kept are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...creation import from_numpy
from ...dtypes import float32
from ...tensor import Tensor
from . import *  # noqa: F403
from . import __all__ as _names
from . import functional

__all__ = [*_names, "Identity", "ToDtype", "ToImage", "ToPureTensor"]


class ToImage:
    """An image as a tensor (channels, height, width) of its own dtype; a tensor stays as it is."""

    def __call__(self, inpt: Any) -> Tensor:
        return inpt if isinstance(inpt, Tensor) else functional.pil_to_tensor(inpt)

    def _batched(self, images: Any) -> Any:
        if not isinstance(images, np.ndarray) or images.ndim not in (3, 4):
            return None
        return from_numpy(np.ascontiguousarray(images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)))

    def __repr__(self) -> str:
        return "ToImage()"


class ToDtype:
    """A tensor image in another dtype; with ``scale`` its values go from the range of the one (integers: all there are, floating: 0 to 1) to that of the
    other."""

    def __init__(self, dtype: Any = float32, scale: bool = False):
        self.dtype, self.scale = dtype, scale

    def __call__(self, inpt: Any) -> Any:
        if not isinstance(inpt, Tensor):
            raise TypeError(f"ToDtype: expected a tensor image, got {type(inpt).__name__}; put ToImage before it")
        return functional.convert_image_dtype(inpt, self.dtype) if self.scale else inpt.to(self.dtype)  # type: ignore[attr-defined]

    def _batched(self, images: Any) -> Any:
        return self(images) if isinstance(images, Tensor) else None

    def __repr__(self) -> str:
        return f"ToDtype(dtype={self.dtype}, scale={self.scale})"


class Identity:
    """Whatever it is given."""

    def __call__(self, inpt: Any) -> Any:
        return inpt

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPureTensor(Identity):
    """Whatever it is given: images are plain tensors here."""
