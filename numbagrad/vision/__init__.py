"""Images: datasets, transforms, and a few ways to look at them.

An image is a NumPy array of uint8, (height, width) or (height, width, channels): Pillow is not needed, and where it is installed its images
are accepted wherever an array is.  A tensor image is (channels, height, width).
"""

from . import datasets, transforms, utils

__all__ = ["datasets", "transforms", "utils"]
