"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 small colour pictures.  (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

from . import _pickled
from .base import ImageArrays

_PIXELS = 3 * 32 * 32


class CIFAR10(ImageArrays):
    """Pictures of ten kinds of things: sample i is (image, class), the image an array (32, 32, 3) of uint8.

    ``data`` is the array (N, 32, 32, 3) and ``targets`` the list of classes.  The files are looked for in ``root`` as they come out of their archive:
    the folder of the Python version, whose pickles are read without running them, or of the binary one.  Nothing is downloaded.

    Raises RuntimeError when a file is missing, and for one that is not what it should be.
    """

    base_folder = "cifar-10-batches-py"
    binary_folder = "cifar-10-batches-bin"
    url = "https://www.cs.toronto.edu/~kriz/cifar.html"
    _parts = {True: [f"data_batch_{i}" for i in range(1, 6)], False: ["test_batch"]}
    _labels = "labels"
    _columns = 1  # bytes of labels before each picture of the binary version; the last is the class
    _names = ("batches.meta", "label_names", "batches.meta.txt")

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        place = Path(str(root)).expanduser()
        python, binary = place / self.base_folder, place / self.binary_folder
        if all((python / name).is_file() for name in self._parts[train]):
            batches = [self._read_pickle(python / name) for name in self._parts[train]]
            self.classes = self._class_names(python, _pickled_names)
        elif all((binary / f"{name}.bin").is_file() for name in self._parts[train]):
            batches = [self._read_binary(binary / f"{name}.bin") for name in self._parts[train]]
            self.classes = self._class_names(binary, _written_names)
        else:
            raise RuntimeError(
                f"{type(self).__name__}: expected the files {', '.join(self._parts[train])} in {python}, or with .bin at their ends in {binary}"
                f"{'; download=True downloads nothing here' if download else ''}: unpack the archive from {self.url} in {place}"
            )
        self.data: Any = np.concatenate([pixels.reshape(-1, 3, 32, 32) for pixels, _ in batches]).transpose(0, 2, 3, 1).copy()
        self.targets: Any = [int(label) for _, labels in batches for label in labels]

    def _read_pickle(self, path: Path) -> tuple[Any, Any]:
        found = _pickled.read(path)
        pixels, labels = found.get("data"), found.get(self._labels)
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
            raise RuntimeError(
                f"{path}: expected 'data' of uint8 with rows of {_PIXELS}, but got {getattr(pixels, 'shape', type(pixels).__name__)}"
            )
        if not isinstance(labels, list) or len(labels) != len(pixels):
            raise RuntimeError(f"{path}: expected '{self._labels}', a list of {len(pixels)}, but got {type(labels).__name__}")
        return pixels, labels

    def _read_binary(self, path: Path) -> tuple[Any, Any]:
        data = np.fromfile(path, np.uint8)
        if not data.size or data.size % (self._columns + _PIXELS):
            raise RuntimeError(f"{path}: expected records of {self._columns + _PIXELS} bytes, but got {data.size} bytes")
        records = data.reshape(-1, self._columns + _PIXELS)
        return records[:, self._columns :], records[:, self._columns - 1]

    def _class_names(self, folder: Path, read: Callable[[Path, str], list[str]]) -> list[str]:
        pickled, key, written = self._names
        return read(folder / (pickled if read is _pickled_names else written), key)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(self.data[index], self.targets[index])

    def _arrays(self, indices: Sequence[int]) -> tuple[Any, Any]:
        return np.take(self.data, indices, axis=0), np.array([self.targets[i] for i in indices], np.int64)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """Pictures of a hundred kinds of things.  Arguments and errors as for CIFAR10."""

    base_folder = "cifar-100-python"
    binary_folder = "cifar-100-binary"
    _parts = {True: ["train"], False: ["test"]}
    _labels = "fine_labels"
    _columns = 2
    _names = ("meta", "fine_label_names", "fine_label_names.txt")


def _pickled_names(path: Path, key: str) -> list[str]:
    if not path.is_file():
        raise RuntimeError(f"{path} is missing: it has the names of the classes")
    return _pickled.read(path)[key]


def _written_names(path: Path, key: str) -> list[str]:
    if not path.is_file():
        raise RuntimeError(f"{path} is missing: it has the names of the classes")
    return path.read_text(encoding="utf-8").split()
