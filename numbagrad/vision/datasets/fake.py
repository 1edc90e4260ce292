"""Random images, for trying out a pipeline."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .base import VisionDataset


class FakeData(VisionDataset):
    """``size`` random images of ``image_size`` (channels, height, width) with random classes; sample i is always the same.

    Raises IndexError for an index out of range.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        random_offset: int = 0,
    ):
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.size = size
        self.num_classes = num_classes
        self.image_size = image_size
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"FakeData: index {index} is out of range for a size of {self.size}")
        draw = np.random.default_rng(index + self.random_offset)
        channels, height, width = self.image_size
        image = draw.integers(0, 256, (height, width, channels), dtype=np.uint8)
        return self._transformed(image, int(draw.integers(self.num_classes)))

    def __len__(self) -> int:
        return self.size
