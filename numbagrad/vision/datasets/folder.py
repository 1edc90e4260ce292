"""Pictures in folders, one folder for each class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import numpy as np

from .base import VisionDataset

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def default_loader(path: str) -> np.ndarray:
    """The picture in a file as an array (height, width, 3), by Pillow.  Raises ModuleNotFoundError without it."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ImageFolder: Pillow reads the files of pictures: pip install pillow; or give a loader=") from error
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def _is_valid(path: str, extensions: str | tuple[str, ...]) -> bool:
    return path.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


class DatasetFolder(VisionDataset):
    """Sample i is (loader(path), class): the files at any depth below ``root/class``, the classes in the order of their names.

    A file counts if its name ends in one of ``extensions``, or if ``is_valid_file(path)``; one of the two is given.  ``samples`` are the pairs (path, class).
    Raises FileNotFoundError for no folders of classes and, unless ``allow_empty``, for one without such a file.
    """

    def __init__(
        self,
        root: str | Path,
        loader: Callable[[str], Any],
        extensions: str | tuple[str, ...] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.classes, self.class_to_idx = self.find_classes(str(root))
        self.samples = self.make_dataset(str(root), self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.loader, self.extensions = loader, extensions
        self.targets = [target for _, target in self.samples]

    @staticmethod
    def find_classes(directory: str) -> tuple[list[str], dict[str, int]]:
        """The names of the folders in ``directory``, sorted, and the number of each."""
        classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        if not classes:
            raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
        return classes, {name: i for i, name in enumerate(classes)}

    @staticmethod
    def make_dataset(
        directory: str,
        class_to_idx: dict[str, int],
        extensions: str | tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """The files that count and their classes, class by class and each in the order of the names."""
        if (extensions is None) == (is_valid_file is None):
            raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
        counts = is_valid_file if extensions is None else lambda path: _is_valid(path, extensions)
        found: list[tuple[str, int]] = []
        empty = []
        for name in sorted(class_to_idx):
            files = [
                os.path.join(place, file)
                for place, _, files in sorted(os.walk(os.path.join(directory, name), followlinks=True))
                for file in sorted(files)
            ]
            valid = [(path, class_to_idx[name]) for path in files if counts(path)]  # type: ignore[misc]
            found += valid
            if not valid:
                empty.append(name)
        if empty and not allow_empty:
            said = (
                ""
                if extensions is None
                else f" Supported extensions are: {extensions if isinstance(extensions, str) else ', '.join(extensions)}"
            )
            raise FileNotFoundError(f"Found no valid file for the classes {', '.join(empty)}.{said}")
        return found

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self._transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Pictures below ``root/class``: sample i is (image, class), the image an array (height, width, 3).  Errors as for DatasetFolder and its loader."""

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ):
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
