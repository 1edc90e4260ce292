"""The programs in examples/ on a GPU: the short ones in the simulator too, in few steps; networks where there is one."""

from __future__ import annotations

import pytest

import numbagrad as ng
from numbagrad.kernels._cuda import driver
from tests.cuda.tensors import ON_A_GPU
from tests.test_examples import load_example, needs_pictures, weights, write_digits

pytestmark = ON_A_GPU
QUICKLY = driver.SIMULATED  # each thread of the simulator is one of Python's


def test_the_tour(monkeypatch, capsys):
    with ng.device("cuda"):
        load_example("autograd_tour", monkeypatch).main()
    assert len(capsys.readouterr().out.splitlines()) == 8


def test_the_line(monkeypatch, capsys):
    with ng.device("cuda"):
        weight, _ = load_example("linear_regression", monkeypatch).main(2 if QUICKLY else 100)
    assert QUICKLY or abs(weight - 2) < 1e-3


@pytest.mark.skipif(QUICKLY, reason="takes long in the simulator")
def test_an_operation_of_ones_own(monkeypatch, capsys):
    with ng.device("cuda"):
        assert load_example("custom_op", monkeypatch).main() < 0.01
    assert "True True" in capsys.readouterr().out


@needs_pictures
@pytest.mark.skipif(QUICKLY, reason="takes long in the simulator")
@pytest.mark.parametrize("more", [[], ["--amp"]], ids=["float32", "amp"])
@pytest.mark.parametrize("model", ["mlp", "lenet", "cnn"])
def test_digits(model, more, tmp_path, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    data = write_digits(tmp_path / "digits")
    common = ["--model", model, "--data", str(data), "--batch-size", "16", "--device", "cuda", *more]
    metrics = program.main([*common, "--epochs", "3", "--out", str(tmp_path / "whole")])
    assert metrics["loss"][-1] < 0.7 * metrics["loss"][0] and metrics["test_accuracy"] > 0.3
    program.main([*common, "--epochs", "1", "--out", str(tmp_path / "parts")])
    program.main([*common, "--epochs", "3", "--out", str(tmp_path / "parts"), "--resume"])
    first, second = (weights(tmp_path / out) for out in ("whole", "parts"))
    for name in first:  # sums are added up in the same order every time
        assert first[name].tobytes() == second[name].tobytes(), name
