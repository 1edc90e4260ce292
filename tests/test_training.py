"""Training as a whole: the loss falls, the seed decides every bit on any number of threads, and a resumed run is the run that went on."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.nn import functional as F
from numbagrad.utils.data import DataLoader, TensorDataset

N, SIDE, CLASSES = 96, 12, 4


def pictures():
    """Noise with a bright quarter whose place is the class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, N)
    x = rng.uniform(0, 0.5, (N, 1, SIDE, SIDE)).astype(np.float32)
    for image, label in zip(x, labels):
        row, column = divmod(int(label), 2)
        image[0, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6] += 0.5
    return ng.from_numpy(x), ng.from_numpy(labels)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, CLASSES))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Dropout2d(0.1),
        nn.Flatten(), nn.Linear(8 * 4 * 4, CLASSES),
    )  # fmt: skip


OPTIMIZERS = {
    "sgd": lambda p: ng.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4),
    "adam": lambda p: ng.optim.Adam(p, lr=5e-3),
}


class Run:
    """A training run that can be stopped after any epoch and taken up again from what ``checkpoint`` stored."""

    def __init__(self, model="mlp", optimizer="sgd", seed=0):
        ng.manual_seed(seed)
        self.model = {"mlp": mlp, "cnn": cnn}[model]()
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.scheduler = ng.optim.lr_scheduler.StepLR(self.optimizer, 2, 0.8)
        self.loader = DataLoader(TensorDataset(*pictures()), batch_size=32, shuffle=True)
        self.losses = []

    def epochs(self, n):
        self.model.train()
        for _ in range(n):
            for x, t in self.loader:
                loss = F.cross_entropy(self.model(x), t)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
                self.optimizer.step()
                self.losses.append(loss.item())
            self.scheduler.step()
        return self

    def accuracy(self):
        x, t = pictures()
        self.model.eval()
        with ng.no_grad():
            return (self.model(x).argmax(1) == t).float().mean().item()

    def bits(self):
        state = {**self.model.state_dict()}
        for key, held in self.optimizer.state_dict()["state"].items():
            state |= {f"{key}.{name}": v for name, v in held.items() if isinstance(v, ng.Tensor)}
        return {name: v.numpy().tobytes() for name, v in state.items()}

    def checkpoint(self):
        stream = io.BytesIO()
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        ng.save({name: part.state_dict() for name, part in parts.items()} | {"rng": ng.get_rng_state()}, stream)
        return stream.getvalue()

    def resume(self, stored):
        found = ng.load(io.BytesIO(stored))
        self.model.load_state_dict(found["model"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.scheduler.load_state_dict(found["scheduler"])
        ng.set_rng_state(found["rng"])
        return self


KINDS = [("mlp", "sgd"), ("cnn", "adam")]


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_loss_falls(kind):
    run = Run(*kind).epochs(6)
    assert np.isfinite(run.losses).all()
    assert np.mean(run.losses[-3:]) < 0.35 * run.losses[0]
    assert run.accuracy() > 0.9


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_same_seed_same_bits(kind):
    threads = ng.get_num_threads()
    try:
        ng.set_num_threads(1)
        one = Run(*kind).epochs(2)
        again = Run(*kind).epochs(2)
        ng.set_num_threads(2)
        two = Run(*kind).epochs(2)
    finally:
        ng.set_num_threads(threads)
    assert one.losses == again.losses == two.losses
    assert one.bits() == again.bits() == two.bits()
    assert Run(*kind, seed=1).epochs(1).losses != one.losses[: len(one.losses) // 2]


def test_large_enough_for_two_threads():
    """A step whose kernels are big enough to be split among threads gives the same bits too."""

    def step():
        ng.manual_seed(5)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * 16 * 16, 64),
            nn.Tanh(),
            nn.Linear(64, 10),
        )
        optimizer = ng.optim.Adam(net.parameters())
        x, t = ng.randn(64, 3, 32, 32), ng.randint(0, 10, (64,))
        for _ in range(2):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            optimizer.step()
        return [loss.item(), *[p.detach().numpy().tobytes() for p in net.parameters()]]

    threads = ng.get_num_threads()
    try:
        ng.set_num_threads(1)
        one = step()
        ng.set_num_threads(2)
        assert step() == one
    finally:
        ng.set_num_threads(threads)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_resume_is_exact(kind):
    whole = Run(*kind).epochs(2)
    stored = whole.checkpoint()
    whole.epochs(2)
    resumed = Run(*kind, seed=99).resume(stored).epochs(2)
    assert resumed.losses == whole.losses[len(whole.losses) // 2 :]
    assert resumed.bits() == whole.bits()
    assert resumed.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]


SCRIPT = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_training import Run
bits = Run("mlp", "adam").epochs(1).bits()
print(hashlib.sha256(b"".join(bits[k] for k in sorted(bits))).hexdigest())
"""


def test_same_bits_in_another_process():
    folder = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(folder)
    found = set()
    for threads in ("1", "2"):
        environment = {
            **os.environ,
            "NUMBAGRAD_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        }
        found.add(
            subprocess.run(
                [sys.executable, "-c", SCRIPT.format(folder=folder)], env=environment, check=True, capture_output=True, text=True
            ).stdout
        )
    assert len(found) == 1 and len(found.pop().strip()) == 64
