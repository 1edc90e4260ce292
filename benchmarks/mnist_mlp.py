"""One epoch of the example's MLP (784-128-64-10) on 60,000 random images, batch 64, with Adam; the same in PyTorch where it is installed.

Each library runs in a process of its own, so that neither's threads or memory get in the other's way, and the two take turns, so that
what else happens on the machine falls on both.  They start from the same weights; that they compute the same is seen first, by the losses
of their first steps on the same batches.  glibc is told to keep freed memory for both.  On a busy machine the comparison means little:
a library whose threads wait for each other in every operation suffers more than one that works alone.

"steps" are an epoch of them on slices of arrays that lie ready; "epoch" runs on what the library's own loader gives it, shuffled.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

N, BATCH, ROUNDS, COMPARED = 60_000, 64, 7, 60
SIZES = (784, 128, 64, 10)
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}


class Trainer:
    """The network in one of the libraries, ready to train."""

    def __init__(self, library: Any, loader: Any, dataset: Any):
        draw = np.random.default_rng(0)
        images, labels = draw.standard_normal((N, 1, 28, 28), dtype=np.float32), draw.integers(0, 10, N)
        self.images, self.labels = library.from_numpy(images), library.from_numpy(labels)
        nn = library.nn
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
        with library.no_grad():
            for parameter in self.net.parameters():
                bound = 1 / np.sqrt(parameter.shape[-1])
                parameter.copy_(library.from_numpy(draw.uniform(-bound, bound, tuple(parameter.shape)).astype(np.float32)))
        self.criterion, self.optimizer = nn.CrossEntropyLoss(), library.optim.Adam(self.net.parameters(), lr=1e-3)
        self.loader = loader(dataset(self.images, self.labels), batch_size=BATCH, shuffle=True)

    def step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.criterion(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def first_losses(self) -> list[float]:
        return [self.step(self.images[i : i + BATCH], self.labels[i : i + BATCH]).item() for i in range(0, COMPARED * BATCH, BATCH)]

    def steps(self) -> float:
        """Seconds of an epoch's worth of steps."""
        start = time.perf_counter()
        for i in range(0, N, BATCH):
            self.step(self.images[i : i + BATCH], self.labels[i : i + BATCH])
        return time.perf_counter() - start

    def epoch(self) -> float:
        """Seconds of an epoch."""
        start = time.perf_counter()
        for x, y in self.loader:
            self.step(x, y)
        return time.perf_counter() - start


def serve(name: str, threads: int) -> None:
    """Answer each line of stdin, the name of a method of Trainer, with a line of JSON."""
    if name == "numbagrad":
        import numbagrad as library
        from numbagrad.data import DataLoader, TensorDataset
    else:
        import torch as library  # type: ignore[no-redef]
        from torch.utils.data import DataLoader, TensorDataset  # type: ignore[assignment]
    library.set_num_threads(threads)
    trainer = Trainer(library, DataLoader, TensorDataset)
    for line in sys.stdin:
        print(json.dumps(getattr(trainer, line.strip())()), flush=True)


class Child:
    """A library in its process."""

    def __init__(self, name: str, threads: int):
        root = str(Path(__file__).resolve().parents[1])
        environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
        command = [sys.executable, "-m", "benchmarks.mnist_mlp", name, str(threads)]
        self.process = subprocess.Popen(command, env=environment, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended with status {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def run() -> Iterator[tuple[str, float]]:
    from importlib.metadata import PackageNotFoundError, version

    import numbagrad as ng

    names = {"numbagrad": "numbagrad"}
    try:
        names["torch"] = f"PyTorch {version('torch')}"
    except PackageNotFoundError:
        pass
    children = {name: Child(name, ng.get_num_threads()) for name in names}
    try:
        losses = {name: child.ask("first_losses") for name, child in children.items()}
        for name in names:
            np.testing.assert_allclose(losses[name], losses["numbagrad"], rtol=1e-3, err_msg=f"{name} computes something else")
        for what in ("steps", "epoch"):
            seconds: dict[str, list[float]] = {name: [] for name in names}
            for turn in range(ROUNDS + 1):
                for name, child in children.items():
                    taken = child.ask(what)
                    if turn:  # the first one warms up
                        seconds[name].append(taken)
            for name, label in names.items():
                yield f"{label}: {what}", statistics.median(seconds[name])
    finally:
        for child in children.values():
            child.close()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
