"""scikit-learn's bundled digits: real scans that need no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np

from ...creation import from_numpy
from ..transforms import functional
from .base import ImageArrays

_TEST_SHARE = 5  # one image in five is for testing


class Digits(ImageArrays):
    """1,797 handwritten digits of 8x8 pixels.  (E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.)

    The 17 levels of grey become 0 to 255; with ``size`` the images are resized (bilinear) to ``size`` x ``size``, so that what is written
    for MNIST runs on them with ``size=28``.  The split, 1,438 for training and 359 for testing, is fixed.  ``root`` and ``download`` are
    there to be called like MNIST and are not used.

    Raises ModuleNotFoundError without scikit-learn, ValueError for a size that is not positive.
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(
        self,
        root: str | Path | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
        size: int = 8,
    ):
        super().__init__(None, transform=transform, target_transform=target_transform)
        if size < 1:
            raise ValueError(f"Digits: expected a positive size, but got {size}")
        try:
            from sklearn.datasets import load_digits
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("Digits come with scikit-learn: pip install scikit-learn") from error
        self.train = train
        images, labels = load_digits(return_X_y=True)
        # The file's classes follow one another in a pattern, so its order is shuffled first, always in the same way.
        order = np.random.RandomState(0).permutation(len(labels))
        test = len(labels) // _TEST_SHARE
        chosen = np.sort(order[test:] if train else order[:test])
        grey = np.rint(images[chosen].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        self.data = from_numpy(grey)
        if size != 8:
            self.data = functional.resize(self.data, [size, size])
        self.targets = from_numpy(labels[chosen].astype(np.int64))

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
