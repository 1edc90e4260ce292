"""What all image datasets share: a root, transforms of image and target, and a printed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

from ...creation import from_numpy
from ...data import Dataset
from ...data.dataset import whole_batch
from ...tensor import Tensor


class VisionDataset(Dataset[Any]):
    """Images and targets, each through a transform of its own, or both through ``transforms(image, target)``.

    Raises ValueError when ``transforms`` is given together with one of the others.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ):
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError(f"{type(self).__name__}: only transforms or transform/target_transform can be passed as argument")
        self.root = root
        self.transforms = transforms
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        raise NotImplementedError

    def _transformed(self, image: Any, target: Any) -> tuple[Any, Any]:
        if self.transforms is not None:
            return self.transforms(image, target)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def extra_repr(self) -> str:
        """A line more for the printed form."""
        return ""

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if self.transforms is not None:
            body.append(repr(self.transforms))
        elif self.transform is not None or self.target_transform is not None:
            body.append("StandardTransform")
        lines = [f"Dataset {type(self).__name__}"] + ["    " + line for line in body]
        for label, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                lines += (label + repr(transform).replace("\n", "\n" + " " * len(label))).splitlines()
        return "\n".join(lines)


class ImageArrays(VisionDataset):
    """Images held in memory: ``data`` is a uint8 tensor (N, height, width), ``targets`` an int64 tensor (N,).

    Sample i is (image, class) with the image as an array (height, width) and the class as an int, each through its transform.
    """

    data: Tensor
    targets: Tensor
    classes: list[str]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(self.data.numpy()[index], int(self.targets.numpy()[index]))

    def __len__(self) -> int:
        return len(self.data)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class's name."""
        return {name: i for i, name in enumerate(self.classes)}

    def _collated(self, indices: Sequence[int]) -> list[Tensor] | None:
        if self.transforms is not None or self.target_transform is not None:
            return None
        transform = None
        if self.transform is not None:
            transform = whole_batch(self.transform, "_batched", "__call__")
            if transform is None:
                return None
        images, targets = self._arrays(indices)
        if transform is not None:
            images = transform(images)
            if images is None:
                return None
        if isinstance(images, np.ndarray):
            images = from_numpy(images)
        return [images, from_numpy(targets)]

    def _arrays(self, indices: Sequence[int]) -> tuple[Any, Any]:
        """The images and classes at ``indices``."""
        return np.take(self.data.numpy(), indices, axis=0), np.take(self.targets.numpy(), indices)
