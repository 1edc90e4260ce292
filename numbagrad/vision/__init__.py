"""Images: datasets, transforms, well-known networks, and a few ways to look at them.

An image is a NumPy array of uint8, (height, width) or (height, width, channels): Pillow is not needed, and where it is installed its images
are accepted wherever an array is.  A tensor image is (channels, height, width).
"""

from importlib import import_module
from typing import Any

from . import datasets, transforms, utils

__all__ = ["datasets", "models", "transforms", "utils"]


def __getattr__(name: str) -> Any:
    if name == "models":  # networks, which datasets and transforms do without
        return import_module(".models", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
