"""Brightness, contrast, saturation and hue, as functions, and pieces of an image set to a value.  ``functional`` names them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tensor import Tensor
from . import _colours
from ._planes import opened

__all__ = ["adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation", "erase"]


def _factor(value: float, op: str, name: str) -> float:
    if value < 0:
        raise ValueError(f"{op}: {name} ({value}) is not non-negative.")
    return float(value)


def _channels(planes: np.ndarray, op: str) -> int:
    channels = planes.shape[-3] if planes.ndim > 2 else 1
    if channels not in (1, 3):
        raise TypeError(f"{op}: Input image tensor permitted channel values are 1 or 3, but found {channels}")
    return channels


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """factor · image, within the range of its dtype.  Raises ValueError for a negative factor."""
    planes, close = opened(img, "adjust_brightness")
    _channels(planes, "adjust_brightness")
    return close(_colours.mixed(planes, np.zeros_like(planes), _factor(brightness_factor, "adjust_brightness", "brightness_factor")))


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """factor · image + (1 − factor) · the mean of its shades of grey.  Raises ValueError for a negative factor."""
    planes, close = opened(img, "adjust_contrast")
    shades = _colours.grey(planes) if _channels(planes, "adjust_contrast") == 3 else planes
    axes = (-3, -2, -1) if planes.ndim > 2 else (-2, -1)
    mean = shades.astype(_colours.working(planes)).mean(axes, keepdims=True)
    return close(_colours.mixed(planes, mean, _factor(contrast_factor, "adjust_contrast", "contrast_factor")))


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """factor · image + (1 − factor) · the image in shades of grey.  Raises ValueError for a negative factor."""
    factor = _factor(saturation_factor, "adjust_saturation", "saturation_factor")
    planes, close = opened(img, "adjust_saturation")
    if _channels(planes, "adjust_saturation") == 1:
        return img
    return close(_colours.mixed(planes, _colours.grey(planes), factor))


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """The hue turned by ``hue_factor``, from −0.5 to 0.5 of a full circle.  Raises ValueError for one beyond."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"adjust_hue: hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    planes, close = opened(img, "adjust_hue")
    if _channels(planes, "adjust_hue") == 1:
        return img
    if planes.dtype.kind == "f":
        return close(_colours.hue_turned(planes, hue_factor))
    most = np.iinfo(planes.dtype).max
    turned = _colours.hue_turned(planes.astype(np.float32) / np.float32(most), hue_factor)
    return close((turned * np.float32(most + 1 - 1e-3)).astype(planes.dtype))


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """The tensor image with the rectangle of ``h`` x ``w`` at (i, j) set to ``v``.  Raises TypeError for what is no tensor."""
    if not isinstance(img, Tensor):
        raise TypeError(f"erase: img should be Tensor Image. Got {type(img)}")
    changed: Any = img if inplace else img.clone()  # type: ignore[attr-defined]
    changed[..., i : i + h, j : j + w] = v
    return changed
