"""One view of every kind of image: an array whose last two dimensions are height and width.

A tensor (..., channels, height, width) is such an array already; an array image (height, width, channels) is seen with its channels in
front.  Transforms work on planes and give back the kind they were given.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from ...creation import from_numpy
from ...tensor import Tensor


def is_image(value: Any) -> bool:
    """True for tensors, for arrays of 2 or 3 dimensions, and for Pillow's images."""
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.ndim in (2, 3)) or hasattr(value, "getbands")


def opened(image: Any, op: str) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """The planes of ``image``, and the function that turns planes back into what ``image`` was (an array, for Pillow's images).

    Raises TypeError for what is no image, ValueError for one with less than two dimensions, RuntimeError for a tensor in a graph.
    """
    if isinstance(image, Tensor):
        if image.ndim < 2:
            raise ValueError(f"{op}: expected a tensor image (..., height, width), but got shape {tuple(image.shape)}")
        if image.requires_grad:
            raise RuntimeError(f"{op}: image transforms are not differentiable; detach() the tensor first")
        return image.numpy(), from_numpy
    if not is_image(image):
        described = f"an array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"{op}: expected an image, a tensor or an array (height, width) or (height, width, channels), got {described}")
    array = image if isinstance(image, np.ndarray) else pillow_array(image)
    if array.ndim == 2:
        return array, np.ascontiguousarray
    return array.transpose(2, 0, 1), lambda planes: np.ascontiguousarray(planes.transpose(1, 2, 0))


def pillow_array(image: Any) -> np.ndarray:
    """The pixels of one of Pillow's images; bilevel ones as 0 and 255."""
    array = np.array(image)
    return array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``values`` in ``dtype``: rounded and held within its range if it is an integer type."""
    if dtype == values.dtype:
        return values
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return values.astype(dtype)
