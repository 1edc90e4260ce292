"""MNIST, FashionMNIST and KMNIST: 60,000 + 10,000 images of 28x28 in ten classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from ...creation import from_numpy
from . import idx
from .base import ImageArrays
from .download import download as download_file


class MNIST(ImageArrays):
    """Handwritten digits.  (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998.)

    The four IDX files, gzipped or not, are looked for in ``root/MNIST/raw`` and in ``root`` itself.  With ``download=True`` those that are
    missing come from public mirrors; nothing that is there is overwritten.

    Raises RuntimeError when a file is missing, cannot be downloaded, or is not what it should be.
    """

    classes = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine"]
    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"]
    # MD5 of the decompressed bytes: mirrors compress anew.
    resources = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
    digest_of_compressed = False

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
        if download:
            self.download()
        part = "train" if train else "t10k"
        paths = [self._find(f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")]
        missing = [f"{part}-{kind}-ubyte" for kind, path in zip(("images-idx3", "labels-idx1"), paths) if path is None]
        if missing:
            raise RuntimeError(
                f"{type(self).__name__}: {' and '.join(missing)} (or .gz) not found in {self.raw_folder} or {self.root}. "
                "You can use download=True to download it"
            )
        images, labels = (idx.read(path) for path in paths if path is not None)
        if images.ndim != 3 or images.dtype != "uint8":
            raise RuntimeError(f"{paths[0]} holds {images.dtype} of shape {images.shape}; expected uint8, (N, height, width)")
        if labels.ndim != 1 or labels.dtype != "uint8":
            raise RuntimeError(f"{paths[1]} holds {labels.dtype} of shape {labels.shape}; expected uint8, (N,)")
        if len(images) != len(labels):
            raise RuntimeError(f"{paths[0]} holds {len(images)} images, but {paths[1]} holds {len(labels)} labels")
        if labels.size and labels.max() >= len(self.classes):
            raise RuntimeError(f"{paths[1]} holds the label {labels.max()}; expected labels below {len(self.classes)}")
        self.data = from_numpy(images)
        self.targets = from_numpy(labels.astype("int64"))

    @property
    def raw_folder(self) -> Path:
        """Where downloads go."""
        return Path(str(self.root)).expanduser() / type(self).__name__ / "raw"

    def _find(self, name: str) -> Path | None:
        for folder in (self.raw_folder, Path(str(self.root)).expanduser()):
            for candidate in (folder / name, folder / f"{name}.gz"):
                if candidate.is_file():
                    return candidate
        return None

    def download(self) -> None:
        """Fetch the files that are missing.  Raises RuntimeError when no mirror has one of them."""
        for name, digest in self.resources.items():
            if self._find(name) is None:
                urls = [f"{mirror}{name}.gz" for mirror in self.mirrors]
                download_file(urls, self.raw_folder / f"{name}.gz", digest, self.digest_of_compressed)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """Clothes, in MNIST's format.  (H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017.)  Arguments and errors as for MNIST."""

    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    mirrors = [
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ]
    # MD5 of the compressed files, as their authors publish them.
    resources = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    digest_of_compressed = True


class KMNIST(MNIST):
    """Cursive Japanese characters, in MNIST's format.  (T. Clanuwat et al., "Deep learning for classical Japanese literature", 2018.)

    Arguments and errors as for MNIST, but that nothing is downloaded.
    """

    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]

    def download(self) -> None:
        """Raise RuntimeError unless all four files are there."""
        missing = [name for name in self.resources if self._find(name) is None]
        if missing:
            raise RuntimeError(
                f"KMNIST: nothing is downloaded: put {', '.join(missing)} (or .gz) from http://codh.rois.ac.jp/kmnist in {self.raw_folder} or {self.root}"
            )
