"""The examples of one model each, trained for a moment: each has to be better at the end than at the start."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from tests.example_programs import load_example, write_digits


def test_time_series_is_forecast(monkeypatch):
    error, naive = load_example("time_series", monkeypatch).main(epochs=6)
    assert error < 0.6 * naive


def test_char_transformer_writes(monkeypatch):
    first, last, written = load_example("char_transformer", monkeypatch).main(steps=60, size=16, sample=40)
    assert last < 0.8 * first and len(written) > 20


def test_vae_draws(monkeypatch, tmp_path):
    history = load_example("vae_mnist", monkeypatch).main(epochs=15, data=write_digits(tmp_path / "data"), out=tmp_path, limit=128)
    assert history[-1] < 0.9 * history[0]
    assert ng.load(tmp_path / "vae.safetensors")["mean.weight"].shape == (16, 256)


def test_multi_task(monkeypatch):
    accuracy, error = load_example("multi_task", monkeypatch).main(epochs=8, count=1500)
    assert accuracy > 0.85 and error < 0.15


def test_cross_validation(monkeypatch):
    pytest.importorskip("sklearn")
    scores = load_example("cross_validation", monkeypatch).main(folds=3, epochs=4)
    assert scores["AUC"] > 0.97 and scores["F1"] > 0.9


def test_regularisation(monkeypatch):
    found = load_example("regularisation", monkeypatch).main(epochs=200)
    assert found["none"]["train"] < 0.1 < found["none"]["test"]
    assert found["L1"]["test"] < found["none"]["test"] and found["L1"]["near 0"] > 3 * found["none"]["near 0"]
    assert found["early stopping"]["epochs"] < 200


def test_small_pictures(monkeypatch):
    assert load_example("small_pictures", monkeypatch).main(epochs=3, count=640) > 0.3


@pytest.mark.parametrize("name, settings", [("policy_gradient", {"episodes": 60}), ("dqn", {"steps": 2500})])
def test_pole_stays_up_longer(name, settings, monkeypatch):
    pytest.importorskip("gymnasium")
    lengths = load_example(name, monkeypatch).main(**settings)
    tenth = max(3, len(lengths) // 10)
    assert np.mean(lengths[-tenth:]) > 1.3 * np.mean(lengths[:tenth])
