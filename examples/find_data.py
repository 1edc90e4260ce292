"""Where train_mnist.py takes its images from."""

from __future__ import annotations

import os
from pathlib import Path

from numbagrad.vision import datasets, transforms
from numbagrad.vision.datasets.base import ImageArrays
from numbagrad.vision.datasets.download import DownloadError

MEAN, STD = 0.1307, 0.3081  # of the training images
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numbagrad" / "data"


def find_data(chosen: Path | None) -> tuple[ImageArrays, ImageArrays, str]:
    """The training set, the test set and their origin.

    They come from ``chosen``, else the directory in NUMBAGRAD_DATA, else the cache, filled by a download where it is empty; without a
    network, from scikit-learn's digits.  Files that are named or cached but broken are an error (SystemExit), not a reason to go on.
    """
    directory = chosen or Path(os.environ.get("NUMBAGRAD_DATA") or CACHE)
    download = chosen is None and not os.environ.get("NUMBAGRAD_DATA")
    if download and not any(directory.glob("**/t10k-labels-idx1-ubyte*")):
        print(f"downloading MNIST (11 MB) into {directory}", flush=True)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    try:
        sets = [datasets.MNIST(directory, train, transform, download=download) for train in (True, False)]
        origin = f"MNIST in {directory}"
    except DownloadError as error:
        reason = str(error).splitlines()[-1].strip()
        print(f"MNIST is not in {directory} and could not be downloaded ({reason}).", flush=True)
        print("Training on scikit-learn's 1,797 digits of 8x8 pixels instead: the accuracies below are not those of MNIST.", flush=True)
        try:
            sets = [datasets.Digits(train=train, transform=transform, size=28) for train in (True, False)]
        except ModuleNotFoundError as missing:
            raise SystemExit(f"error: {missing}, or put MNIST's four files into a directory and name it with --data") from None
        origin = "scikit-learn's digits (not MNIST)"
    except (OSError, RuntimeError) as error:
        raise SystemExit(f"error: {error}") from None
    for part in sets:
        if not len(part) or tuple(part.data.shape[1:]) != (28, 28):
            raise SystemExit(f"error: {origin} has {len(part)} images of {tuple(part.data.shape[1:])}; expected at least one, of (28, 28)")
    return sets[0], sets[1], origin
