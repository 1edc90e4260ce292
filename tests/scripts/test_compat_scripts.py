"""Scripts written for PyTorch run unchanged by ``python -m numbagrad.compat.torch`` and learn.

Where torch is installed, a checkpoint that it wrote is what both libraries go on from, and they go the same way.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbagrad as ng
from tests.scripts.test_scripts import PLAIN, falls, write_digits

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# script -> the loss at the end is at most this part of the loss at the start
LEARNS = {
    "char_gpt": 0.3,
    "packed_lstm": 0.2,
    "vae_digits": 0.55,
    "siamese_triplets": 0.1,
    "text_transformer": 0.2,
    "dcgan_blobs": 0.7,
    "resnet_onecycle": 0.5,
}
# script and arguments -> what it leaves that is compared.  Those that draw no random numbers of the library's once the checkpoint is read.
COMPARED = {
    "char_gpt --steps 20": ["losses"],
    "char_gpt --steps 20 --sdpa": ["losses"],
    "packed_lstm --epochs 3": ["losses", "val_losses"],
    "dqn_grid --episodes 12": ["losses", "returns"],
    "siamese_triplets --epochs 2": ["losses", "accuracy"],
    "siamese_triplets --epochs 2 --loss contrastive": ["losses", "accuracy"],
    "text_transformer --epochs 2": ["losses", "accuracy"],
    "resnet_onecycle --epochs 2": ["losses", "rates", "momenta", "accuracies"],
}
BRIEFLY = {"char_gpt": ("--steps", "5"), "dqn_grid": ("--episodes", "3")}


def observe(name: str, *arguments: str, folder: Path) -> dict[str, Any]:
    """What the script leaves in its globals when numbagrad runs it as it is, in a process of its own."""
    command = [sys.executable, "-m", "numbagrad.compat.torch", str(HERE / "observed.py"), str(HERE / f"{name}.py"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    space = json.loads(done.stdout.splitlines()[-1])
    return space | {"printed": done.stdout}


@pytest.mark.parametrize("name", LEARNS)
def test_learns(name, tmp_path):
    space = observe(name, folder=tmp_path)
    falls(space["losses"], LEARNS[name])
    if name == "char_gpt":
        assert space["sample"][0] == "t" and len(space["sample"]) == 31 and "26720 parameters" in space["printed"]
    if name == "packed_lstm":
        assert space["same"] is True and space["val_losses"][-1] < 0.2 * space["val_losses"][0]
    if name == "vae_digits":
        low, high = space["sample_range"]
        assert 0 <= low < 0.1 and 0.8 < high <= 1 and space["distance"] < 2.5  # even grey lies more than 4 from any digit
    if name in ("siamese_triplets", "text_transformer"):
        assert space["accuracy"] > 85
    if name == "dcgan_blobs":
        assert space["sample_shape"] == [64, 1, 16, 16] and np.isfinite(space["d_losses"] + space["g_losses"]).all()
        assert set(ng.load(tmp_path / "netG.pth")) >= {"0.weight", "1.running_mean", "1.num_batches_tracked", "6.weight"}
    if name == "resnet_onecycle":
        assert min(space["accuracies"]) > 85
        rates, momenta = space["rates"], space["momenta"]
        assert max(rates) == pytest.approx(0.2, rel=0.01) and min(rates) < 1e-6 and min(momenta) == pytest.approx(0.85, abs=0.002)


def test_q_learning(tmp_path):
    """The loss of Q-learning says little; what is earned does."""
    space = observe("dqn_grid", folder=tmp_path)
    assert np.isfinite(space["losses"]).all() and len(space["returns"]) == 80
    assert np.mean(space["returns"][:10]) < 0 < 0.4 < np.mean(space["returns"][-10:])


def test_reinforce(tmp_path):
    space = observe("reinforce_grid", folder=tmp_path)
    returns, entropies = space["returns"], space["entropies"]
    assert len(returns) == 250 and np.isfinite(entropies).all()
    assert np.mean(returns[-20:]) > np.mean(returns[:20]) + 0.8 and entropies[-1] < 0.8 * entropies[0]


def test_actor_critic(tmp_path):
    space = observe("actor_critic_normal", folder=tmp_path)
    returns, divergences = space["returns"], space["divergences"]
    assert np.isfinite(space["losses"]).all() and len(returns) == 25
    assert np.mean(returns[-5:]) > -3 > -20 > np.mean(returns[:5])
    assert min(divergences) > 0 and max(divergences) < 0.5


def test_mnist_basic(tmp_path):
    write_digits(tmp_path)
    space = observe("mnist_basic", "--save-model", folder=tmp_path)
    falls(space["losses"], 0.6)
    assert space["accuracies"][-1] > 80 and "Train Epoch: 6 [0/160 (0%)]" in space["printed"]
    shapes = {name: tuple(value.shape) for name, value in ng.load(tmp_path / "mnist_cnn.pt").items()}
    assert shapes["conv2.weight"] == (8, 4, 3, 3) and shapes["fc1.weight"] == (32, 200) and len(shapes) == 8
    assert len(observe("mnist_basic", "--dry-run", "--epochs", "2", "--no-accel", folder=tmp_path)["losses"]) == 2


@pytest.mark.parametrize("name", PLAIN)
def test_the_other_scripts(name, tmp_path):
    falls(observe(name, folder=tmp_path)["losses"], PLAIN[name])


@pytest.mark.parametrize("call", COMPARED)
def test_continues_as_torch(call, tmp_path, monkeypatch):
    """torch trains briefly and saves; from that file torch and numbagrad reach the same numbers, step by step."""
    pytest.importorskip("torch")
    name, *arguments = call.split()

    def theirs(*given: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [name, *given])
        return runpy.run_path(str(HERE / f"{name}.py"), run_name="__main__")

    start = tmp_path / "start.pt"
    theirs(*BRIEFLY.get(name, ("--epochs", "1")), "--save", str(start))
    expected = theirs(*arguments, "--resume", str(start))
    found = observe(name, *arguments, "--resume", str(start), folder=tmp_path)
    for quantity in COMPARED[call]:
        np.testing.assert_allclose(found[quantity], expected[quantity], rtol=1e-3, atol=1e-5, err_msg=quantity)
