"""Scripts written for PyTorch run with nothing but their import lines changed, and (where torch is installed) reach the same losses."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbagrad as ng

HERE = Path(__file__).parent
# script -> the loss at the end is at most this part of the loss at the start
VISION = {"mnist_mlp": 0.3, "cnn_classifier": 0.5, "mnist_functions": 0.5, "variational": 0.7}
PLAIN = {
    "linear_regression": 0.01,
    "autograd_basics": 0.5,
    "custom_dataset": 0.5,
    "custom_function": 0.2,
    "sentence_classifier": 0.8,
    "autoencoder": 0.5,
    "two_phases": 0.5,
}
COMPARED = ["linear_regression", "autograd_basics", "custom_function", "sentence_classifier", "autoencoder", "two_phases"]


def imports_changed(source: str) -> str:
    """``source`` with its import lines, and only those, naming numbagrad."""
    changed = []
    for line in source.splitlines():
        line = re.sub(r"^from torchvision\b", "from numbagrad.vision", line)
        line = re.sub(r"^from torch\b", "from numbagrad", line)
        line = re.sub(r"^import torchvision\.(\S+) as", r"import numbagrad.vision.\1 as", line)
        line = re.sub(r"^import torchvision$", "import numbagrad.vision as torchvision", line)
        line = re.sub(r"^import torch\.(\S+) as", r"import numbagrad.\1 as", line)
        line = re.sub(r"^import torch$", "import numbagrad as torch", line)
        changed.append(line)
    return "\n".join(changed)


def execute(name: str, change: bool) -> dict[str, Any]:
    source = (HERE / f"{name}.py").read_text()
    if change:
        source = imports_changed(source)
        left = [line for line in source.splitlines() if re.match(r"\s*(import|from)\s+torch", line)]
        assert not left, left
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, f"{name}.py", "exec"), space)
    return space


def write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(
        struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def write_digits(root: Path, train: int = 160, test: int = 64) -> None:
    """MNIST's four files with pictures that are easy to tell apart: a bright band whose place says the class."""
    raw = root / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", train), ("t10k", test)):
        labels = rng.permutation(np.arange(n) % 10)
        images = rng.integers(0, 40, (n, 28, 28))
        for image, label in zip(images, labels):
            row, column = divmod(int(label), 5)
            image[4 + 12 * row : 14 + 12 * row, 1 + 5 * column : 7 + 5 * column] += 200
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def falls(losses: list[float], part: float) -> None:
    few = max(1, len(losses) // 10)
    start, end = np.mean(losses[:few]), np.mean(losses[-few:])
    assert np.isfinite(losses).all()
    assert end <= part * start, (start, end)


@pytest.mark.parametrize("name", VISION)
def test_vision_script(name, folder, capsys):
    write_digits(folder)
    space = execute(name, change=True)
    falls(space["losses"], VISION[name])
    if name == "variational":
        assert space["sample"].shape == (4, 1, 28, 28) and np.isfinite(space["d_losses"]).all()
        return
    accuracy = space["accuracy"] if "accuracy" in space else 100 * space["accuracies"][-1]
    assert accuracy > 70
    out = capsys.readouterr().out
    if name == "mnist_mlp":
        assert "(fc1): Linear(in_features=784, out_features=32, bias=True)" in out and "parameters: 25450" in out
    if name == "cnn_classifier":
        assert "(conv1): Conv2d(1, 4, kernel_size=(5, 5), stride=(1, 1))" in out
        assert space["same"]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_script(name, folder):
    space = execute(name, change=True)
    falls(space["losses"], PLAIN[name])
    if "accuracy" in space:
        assert space["accuracy"] > 80
    if name == "linear_regression":
        np.testing.assert_allclose(space["final"][:4], [2, 0.5, 2, 0.5], atol=0.05)
    if name == "autograd_basics":
        assert space["checks"] == [True, True] and space["flags"] == [True, False, False] and space["shared"] == [2.0] * 5
    if name == "custom_function":
        assert space["ok"] is True and space["final"][-1] == 60
    if name == "sentence_classifier":
        assert space["padding"] == 0
    if name == "autoencoder":
        assert space["calls"] == 80 and space["frozen"]


def _numbers(value: Any) -> list[float]:
    return [x for v in value for x in _numbers(v)] if isinstance(value, (list, tuple)) else [float(value)]


@pytest.mark.parametrize("name", COMPARED)
def test_same_as_torch(name, folder):
    pytest.importorskip("torch")
    theirs, ours = execute(name, change=False), execute(name, change=True)
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(_numbers(ours["final"]), _numbers(theirs["final"]), rtol=2e-3, atol=1e-5)


def _same_draws(library: Any, monkeypatch: Any) -> None:
    """Make the layers of ``library`` start from numbers that do not depend on it."""
    rng = np.random.RandomState(0)

    def fill(tensor, *args, **kwargs):
        bound = 1 / np.sqrt(max(np.prod(tensor.shape[1:]), 16))
        with library.no_grad():
            return tensor.copy_(library.from_numpy(rng.uniform(-bound, bound, tuple(tensor.shape))))

    monkeypatch.setattr(library.nn.init, "kaiming_uniform_", fill)
    monkeypatch.setattr(library.nn.init, "uniform_", fill)


def test_cnn_trains_as_torch(monkeypatch):
    """The same network, data and start in both libraries: the same losses, step by step."""
    torch = pytest.importorskip("torch")
    rng = np.random.RandomState(1)
    images, labels = rng.rand(24, 1, 12, 12).astype(np.float32), rng.randint(0, 4, 24)
    histories = []
    for library in (torch, ng):
        _same_draws(library, monkeypatch)
        nn = library.nn
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.SiLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4),
        )  # fmt: skip
        optimizer = library.optim.Adam(net.parameters(), lr=3e-3)
        x, t = library.from_numpy(images), library.from_numpy(labels)
        history = []
        for _ in range(6):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), t, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        histories.append(history)
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)
