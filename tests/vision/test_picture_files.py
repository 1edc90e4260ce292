"""CIFAR's files in both versions, pickles that hold more than they should, KMNIST, and folders of pictures."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.data import DataLoader, Subset
from numbagrad.vision import datasets, transforms
from numbagrad.vision.datasets import _pickled

NAMES = [f"class {i}" for i in range(10)]


def _records(count, seed, columns=1):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, 3072), dtype=np.uint8), draw.integers(0, 10, (count, columns))


def _python_2(value) -> bytes:
    """The pickle as an older Python writes it: strings are of bytes, arrays by numpy.core."""
    return pickle.dumps(value, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def _write_python(root: Path, kind: str, protocol: int | None = None) -> None:
    ten = kind == "10"
    folder = root / ("cifar-10-batches-py" if ten else "cifar-100-python")
    folder.mkdir()
    dump = _python_2 if protocol is None else lambda value: pickle.dumps(value, protocol=protocol)
    for i, name in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"] if ten else ["train", "test"]):
        pixels, labels = _records(4, i)
        labels = labels[:, 0].tolist()
        keyed = {b"data": pixels, b"labels" if ten else b"fine_labels": labels, b"filenames": [b"a.png"] * 4, b"batch_label": b"one"}
        (folder / name).write_bytes(dump(keyed))
    meta = {b"label_names" if ten else b"fine_label_names": [n.encode() for n in NAMES]}
    (folder / ("batches.meta" if ten else "meta")).write_bytes(dump(meta))


def _write_binary(root: Path, kind: str) -> None:
    ten = kind == "10"
    folder = root / ("cifar-10-batches-bin" if ten else "cifar-100-binary")
    folder.mkdir()
    for i, name in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"] if ten else ["train", "test"]):
        pixels, labels = _records(4, i)
        before = labels if ten else np.concatenate([labels * 0 + 77, labels], 1)
        (folder / f"{name}.bin").write_bytes(np.concatenate([before.astype(np.uint8), pixels], 1).tobytes())
    (folder / ("batches.meta.txt" if ten else "fine_label_names.txt")).write_text("\n".join(n.replace(" ", "_") for n in NAMES) + "\n\n")


@pytest.mark.parametrize("kind", ["10", "100"])
@pytest.mark.parametrize("version", [None, 2, 3, 4, "binary"])
def test_cifar(tmp_path, kind, version):
    if version == "binary":
        _write_binary(tmp_path, kind)
    else:
        _write_python(tmp_path, kind, version)
    maker = {"10": datasets.CIFAR10, "100": datasets.CIFAR100}[kind]
    data, test = maker(tmp_path), maker(str(tmp_path), train=False)
    pixels, labels = _records(4, 0)
    assert len(data) == (20 if kind == "10" else 4) and len(test) == 4
    assert data.data.shape == (len(data), 32, 32, 3) and data.data.dtype == np.uint8 and isinstance(data.targets, list)
    image, label = data[2]
    assert (image == pixels[2].reshape(3, 32, 32).transpose(1, 2, 0)).all() and label == labels[2, 0] and type(label) is int
    assert data.class_to_idx[NAMES[3].replace(" ", "_") if version == "binary" else NAMES[3]] == 3
    assert "Split: Test" in repr(test)


def test_cifar_in_batches(tmp_path):
    _write_python(tmp_path, "10")
    tensors = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))])
    data = datasets.CIFAR10(tmp_path, transform=tensors)
    images, labels = next(iter(DataLoader(Subset(data, [3, 1, 4]), batch_size=3)))
    assert images.shape == (3, 3, 32, 32) and labels.dtype is ng.int64 and labels.tolist() == [data.targets[i] for i in (3, 1, 4)]
    assert ng.allclose(images[1], data[1][0])
    data.targets[1] = 99  # as those do who spoil labels on purpose
    assert data[1][1] == 99 and next(iter(DataLoader(data, batch_size=2)))[1][1] == 99


def test_missing_cifar_files(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"CIFAR10: expected the files data_batch_1, .* in .*cifar-10-batches-py, .*unpack the archive from https"
    ) as caught:
        datasets.CIFAR10(tmp_path)
    assert "downloads nothing" not in str(caught.value)
    with pytest.raises(RuntimeError, match=r"CIFAR100: .*download=True downloads nothing here"):
        datasets.CIFAR100(tmp_path, download=True)
    _write_python(tmp_path, "10")
    (tmp_path / "cifar-10-batches-py" / "batches.meta").unlink()
    with pytest.raises(RuntimeError, match=r"batches\.meta is missing: it has the names"):
        datasets.CIFAR10(tmp_path)


class Spoiler:
    """What a file could run if it were unpickled."""

    ran: list[str] = []

    def __reduce__(self):
        return (self.ran.append, ("ran",))


def test_pickles_are_not_run(tmp_path):
    path = tmp_path / "p"
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps({"data": Spoiler()}, protocol=protocol))
        with pytest.raises(RuntimeError, match=r"p: it contains .*, which is not read"):
            _pickled.read(path)
    assert Spoiler.ran == []
    path.write_bytes(pickle.dumps({"data": np.array([object()])}, protocol=2))
    with pytest.raises(RuntimeError, match="which are not read"):
        _pickled.read(path)
    whole = pickle.dumps({"data": np.arange(1000)}, protocol=2)
    for cut in (0, 1, 20, 90, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(RuntimeError, match="is damaged"):
            _pickled.read(path)
    path.write_bytes(pickle.dumps([1], protocol=2))
    with pytest.raises(RuntimeError, match="holds a list; expected a dictionary"):
        _pickled.read(path)
    big = {"a": np.arange(6, dtype=">i4").reshape(2, 3), "f": np.asfortranarray(np.ones((2, 3))), 3: None}
    path.write_bytes(pickle.dumps(big, protocol=2))
    found = _pickled.read(path)
    assert (found["a"] == big["a"]).all() and found["a"].dtype == big["a"].dtype and found["f"].shape == (2, 3) and found[3] is None


@pytest.mark.parametrize(
    "content, message",
    [
        ({"data": np.zeros((2, 3), np.uint8), "labels": [0, 1]}, "expected 'data' of uint8 with rows of 3072, but got"),
        ({"labels": [0]}, "expected 'data' of uint8"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "expected 'labels', a list of 2"),
    ],
)
def test_cifar_pickles_of_something_else(tmp_path, content, message):
    _write_python(tmp_path, "10")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(_python_2(content))
    with pytest.raises(RuntimeError, match=f"data_batch_3: {message}"):
        datasets.CIFAR10(tmp_path)


def test_cut_binary(tmp_path):
    _write_binary(tmp_path, "100")
    path = tmp_path / "cifar-100-binary" / "train.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RuntimeError, match="expected records of 3074 bytes, but got"):
        datasets.CIFAR100(tmp_path)


def test_kmnist(tmp_path):
    with pytest.raises(RuntimeError, match=r"KMNIST: nothing is downloaded: put train-images-idx3-ubyte.* in .*KMNIST/raw"):
        datasets.KMNIST(tmp_path, download=True)
    with pytest.raises(RuntimeError, match="not found in"):
        datasets.KMNIST(tmp_path)
    assert len(datasets.KMNIST.classes) == 10


# ---- folders -----------------------------------------------------------------------------------------------------------------------


def _tree(root: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "a/deep/3.TXT", "a/x.md", "stray.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_dataset_folder(tmp_path):
    _tree(tmp_path)
    data = datasets.DatasetFolder(tmp_path, loader=lambda path: Path(path).read_text(), extensions=".txt", target_transform=str)
    assert data.classes == ["a", "b"] and data.class_to_idx == {"a": 0, "b": 1} and data.targets == [0, 1, 1]
    assert [data[i] for i in range(len(data))] == [("a/deep/3.TXT", "0"), ("b/1.txt", "1"), ("b/2.txt", "1")]
    picked = datasets.DatasetFolder(tmp_path, loader=str, is_valid_file=lambda path: path.endswith("1.txt"), allow_empty=True)
    assert [t for _, t in picked.samples] == [1]


def test_dataset_folder_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder in"):
        datasets.ImageFolder(tmp_path)
    _tree(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Found no valid file for the classes a, b. Supported extensions are: \.jpg"):
        datasets.ImageFolder(tmp_path)
    for options in ({}, {"extensions": ".txt", "is_valid_file": bool}):
        with pytest.raises(ValueError, match="cannot be None or not None at the same time"):
            datasets.DatasetFolder(tmp_path, loader=str, **options)


def test_image_folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        image.fromarray(pixels).save(tmp_path / name / "one.png")
    image.fromarray(pixels[:, :, 0]).save(tmp_path / "dog" / "two.png")
    data = datasets.ImageFolder(tmp_path, transform=transforms.ToTensor())
    assert len(data) == 3 and data.imgs is data.samples
    x, label = data[2]
    assert x.shape == (3, 4, 5) and label == 1 and ng.equal(x[0], x[2])
    assert (datasets.ImageFolder(tmp_path)[0][0] == pixels).all()
    assert datasets.ImageFolder(tmp_path, loader=lambda path: Path(path).name)[1] == ("one.png", 1)
