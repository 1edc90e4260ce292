"""MNIST's files, good and bad; the bundled digits; printed forms."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.data import DataLoader, Subset
from numbagrad.vision import datasets, transforms

NORMALIZE = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])


def idx_bytes(array):
    """The IDX file of a uint8 array."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small(n, seed):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (n, 28, 28), dtype=np.uint8), draw.integers(0, 10, n, dtype=np.uint8)


@pytest.fixture
def files():
    """The four files of a small MNIST, uncompressed, by name."""
    contents = {}
    for part, n, seed in (("train", 20, 0), ("t10k", 7, 1)):
        images, labels = small(n, seed)
        contents[f"{part}-images-idx3-ubyte"] = idx_bytes(images)
        contents[f"{part}-labels-idx1-ubyte"] = idx_bytes(labels)
    return contents


def write(folder, files, compressed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / (name + (".gz" if compressed else ""))).write_bytes(gzip.compress(data) if compressed else data)


@pytest.mark.parametrize("folder", [".", "MNIST/raw"])
@pytest.mark.parametrize("compressed", [True, False])
def test_mnist_is_found(tmp_path, files, folder, compressed):
    write(tmp_path / folder, files, compressed)
    images, labels = small(20, 0)
    data = datasets.MNIST(tmp_path, download=True)  # nothing is missing, so nothing is downloaded
    image, label = data[3]
    assert isinstance(image, np.ndarray) and image.dtype == np.uint8 and (image == images[3]).all()
    assert label == labels[3] and type(label) is int
    assert len(data) == 20 and len(datasets.MNIST(str(tmp_path), train=False)) == 7
    assert data.data.dtype is ng.uint8 and data.targets.dtype is ng.int64 and data.data.shape == (20, 28, 28)
    assert data.targets.tolist() == labels.tolist()
    assert data.classes[7] == "7 - seven" and data.class_to_idx["7 - seven"] == 7


def test_fashion_mnist_has_a_folder_of_its_own(tmp_path, files):
    write(tmp_path / "FashionMNIST" / "raw", files, True)
    data = datasets.FashionMNIST(tmp_path)
    assert len(data) == 20 and data.classes[9] == "Ankle boot"
    with pytest.raises(RuntimeError, match="not found"):
        datasets.MNIST(tmp_path)


def test_transforms(tmp_path, files):
    write(tmp_path, files, False)
    data = datasets.MNIST(tmp_path, transform=NORMALIZE, target_transform=lambda y: -y)
    image, label = data[0]
    pixels, labels = small(20, 0)
    expected = (pixels[0].astype(np.float32) / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
    assert image.shape == (1, 28, 28) and image.dtype is ng.float32 and (image.numpy()[0] == expected).all()
    assert label == -int(labels[0])


@pytest.mark.parametrize(
    "transform",
    [
        None,
        transforms.ToTensor(),
        NORMALIZE,
        transforms.Compose([transforms.ToTensor(), transforms.Lambda(lambda x: x)]),
        transforms.Compose([]),
    ],
)
def test_whole_batches_equal_collated_samples(tmp_path, files, transform):
    write(tmp_path, files, False)
    data = Subset(datasets.MNIST(tmp_path, transform=transform), [5, 2, 11, 0, 1])
    for (x, y), start in zip(DataLoader(data, batch_size=2), (0, 2, 4)):
        samples = [data[i] for i in range(start, min(start + 2, 5))]
        expected = np.stack([sample[0] if isinstance(sample[0], np.ndarray) else sample[0].numpy() for sample in samples])
        assert x.dtype.numpy == expected.dtype and x.shape == expected.shape and (x.numpy() == expected).all()
        assert y.dtype is ng.int64 and y.tolist() == [sample[1] for sample in samples]


def test_whole_batches_are_not_used_where_samples_differ(tmp_path, files):
    write(tmp_path, files, False)

    class WithIndex(datasets.MNIST):
        def __getitem__(self, i):
            return (*super().__getitem__(i), i)

    class Inverted(transforms.ToTensor):
        def __call__(self, image):
            return 1 - super().__call__(image)

    (batch,) = DataLoader(WithIndex(tmp_path, transform=NORMALIZE), batch_size=20)
    assert batch[2].tolist() == list(range(20))
    plain, inverted = (datasets.MNIST(tmp_path, transform=t) for t in (transforms.ToTensor(), Inverted()))
    ((x, _),), ((z, _),) = DataLoader(plain, batch_size=20), DataLoader(inverted, batch_size=20)
    assert np.allclose(x.numpy(), 1 - z.numpy())


def test_dataset_whose_targets_are_replaced(tmp_path, files):
    write(tmp_path, files, False)
    data = datasets.MNIST(tmp_path)
    data.targets = data.targets % 2
    ((_, y),) = DataLoader(data, batch_size=20)
    assert set(y.tolist()) <= {0, 1} and data[3][1] == y.tolist()[3]


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    "name, change, message",
    [
        (IMAGES, lambda data: data[:1000], "truncated"),
        (IMAGES, lambda data: data[:10], "truncated"),
        (IMAGES, lambda data: data + b"x", "too long"),
        (IMAGES, lambda data: b"", "not an IDX file"),
        (IMAGES, lambda data: b"<html>not found</html>", "not an IDX file"),
        (LABELS, lambda data: idx_bytes(small(19, 0)[1]), "19 labels"),
        (LABELS, lambda data: idx_bytes(np.full(20, 10, np.uint8)), "label 10"),
        (LABELS, lambda data: idx_bytes(small(20, 0)[0]), "expected uint8"),
        (IMAGES, lambda data: idx_bytes(small(20, 0)[1]), "expected uint8"),
    ],
)
def test_bad_files(tmp_path, files, name, change, message, compressed):
    files[name] = change(files[name])
    write(tmp_path, files, compressed)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RuntimeError, match=f"{name}.*{message}"):
        datasets.MNIST(tmp_path, download=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "change, message",
    [(lambda data: data[:-20], "truncated"), (lambda data: data[:400] + b"\0\0\0" + data[403:], "gzip"), (lambda data: b"text", "gzip")],
)
def test_bad_compression(tmp_path, files, change, message):
    write(tmp_path, files, True)
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RuntimeError, match=f"{IMAGES}.gz is .*{message}"):
        datasets.MNIST(tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(RuntimeError, match=r"train-images-idx3-ubyte and train-labels-idx1-ubyte.*download=True"):
        datasets.MNIST(tmp_path)


def real_mnist():
    folders = [os.environ.get("NUMBAGRAD_DATA", ""), Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mnist"]
    return next((Path(folder) for folder in folders if folder and (Path(folder) / f"{IMAGES}.gz").exists()), None)


def test_real_mnist():
    folder = real_mnist()
    if folder is None:
        pytest.skip("no MNIST files here")
    train, test = (datasets.MNIST(folder, train=part) for part in (True, False))
    assert (len(train), len(test)) == (60000, 10000)
    assert np.bincount(train.targets.numpy()).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    scaled = train.data.numpy() / 255
    assert abs(scaled.mean() - 0.1307) < 1e-4 and abs(scaled.std() - 0.3081) < 1e-4


def test_printed_form(tmp_path, files):
    write(tmp_path, files, False)
    assert repr(datasets.MNIST(tmp_path, transform=NORMALIZE)) == (
        "Dataset MNIST\n"
        "    Number of datapoints: 20\n"
        f"    Root location: {tmp_path}\n"
        "    Split: Train\n"
        "    StandardTransform\n"
        "Transform: Compose(\n"
        "               ToTensor()\n"
        "               Normalize(mean=(0.1307,), std=(0.3081,))\n"
        "           )"
    )
    assert repr(datasets.MNIST(tmp_path, train=False)).endswith("Split: Test")


def test_digits():
    pytest.importorskip("sklearn")
    train, test = datasets.Digits(train=True), datasets.Digits(train=False)
    assert (len(train), len(test)) == (1438, 359)
    assert train.data.shape == (1438, 8, 8) and train.data.dtype is ng.uint8 and train.data.numpy().max() == 255
    from sklearn.datasets import load_digits

    known = {image.tobytes() for image in np.rint(load_digits().images * (255 / 16)).astype(np.uint8)}
    pictures = [{image.tobytes() for image in data.data.numpy()} for data in (train, test)]
    assert pictures[0] | pictures[1] == known and not pictures[0] & pictures[1]
    assert set(np.bincount(test.targets.numpy()) // 10) <= {2, 3, 4}
    large = datasets.Digits(train=False, size=28, transform=transforms.ToTensor())
    assert large[0][0].shape == (1, 28, 28) and large.targets.tolist() == test.targets.tolist()
    with pytest.raises(ValueError, match="size"):
        datasets.Digits(size=0)


def test_fake_data():
    data = datasets.FakeData(size=4, image_size=(3, 5, 6), num_classes=2, transform=transforms.ToTensor())
    assert data[1][0].shape == (3, 5, 6) and (data[1][0].numpy() == data[1][0].numpy()).all() and data[1][1] in (0, 1)
    assert (data[1][0].numpy() != data[2][0].numpy()).any()
    with pytest.raises(IndexError):
        data[4]


def test_transforms_exclude_transform():
    with pytest.raises(ValueError, match="transforms"):
        datasets.VisionDataset(".", transforms=lambda x, y: (x, y), transform=lambda x: x)
