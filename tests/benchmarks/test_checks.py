"""The comparison of results notices work that is not done, or is done otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numbagrad as ng
from benchmarks._cases import pool_norm, random, train, update
from benchmarks._declare import Case
from benchmarks._libraries import LIBRARIES
from benchmarks._server import Server
from benchmarks._turns import apart

SHAPES = [(17, 3), (5,)]
TRAINING = [train._case(name, 4) for name in train.LABELS]


def results(case: Case, tmp_path: Any) -> list[np.ndarray]:
    server = Server(LIBRARIES["numbagrad"](), {case.id: case})
    server.build(case=case.id)
    n = server.check(str(tmp_path / "x.npz"))["arrays"]
    with np.load(tmp_path / "x.npz") as arrays:
        return [arrays[f"arr_{i}"] for i in range(n)]


def noticed(case: Case, tmp_path: Any, mutate: Callable[[], None]) -> bool:
    right = results(case, tmp_path)
    assert not apart(case, results(case, tmp_path), right)
    mutate()
    return bool(apart(case, results(case, tmp_path), right))


def before_each_step(monkeypatch: Any, change: Callable[[Any], Any]) -> None:
    """``change`` sees the optimizer, and stops its step by returning True."""
    for kind in (ng.optim.Adam, ng.optim.SGD):

        def step(self, real=kind.step):
            if not change(self):
                real(self)

        monkeypatch.setattr(kind, "step", step)


def frozen(optimizer: Any) -> bool:
    return True


def negated(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad.neg_()


def last_layer_only(optimizer: Any) -> None:
    for p in optimizer.param_groups[0]["params"][:-2]:
        p.grad = None


def three_times_as_far(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 3 * (1e-3 if isinstance(optimizer, ng.optim.Adam) else 0.01)


@pytest.mark.parametrize("case", TRAINING, ids=lambda case: case.name)
@pytest.mark.parametrize("change", [frozen, negated, last_layer_only, three_times_as_far])
def test_training(case, change, tmp_path, monkeypatch):
    assert noticed(case, tmp_path, lambda: before_each_step(monkeypatch, change))


def sign_only(optimizer: Any) -> bool:
    with ng.no_grad():
        for p in optimizer.param_groups[0]["params"]:
            p -= 1e-3 * p.grad.sign()
    return True


@pytest.mark.parametrize("change", [frozen, negated, sign_only, three_times_as_far])
def test_adam(change, tmp_path, monkeypatch):
    assert noticed(update._step("Adam", SHAPES, "x"), tmp_path, lambda: before_each_step(monkeypatch, change))


@pytest.mark.parametrize(
    "algorithm, name, options",
    [
        ("Adam", "Adam", {"lr": 1e-3, "betas": (0.5, 0.5)}),
        ("Adam", "Adam", {"lr": 1e-3, "betas": (0.9, 0.99)}),
        ("Adam", "AdamW", {"lr": 1e-3, "weight_decay": 0.1}),
        ("AdamW", "Adam", {"lr": 1e-3}),
        ("AdamW", "Adam", {"lr": 1e-3, "weight_decay": 0.1}),
        ("SGD momentum", "SGD", {"lr": 1e-3}),
        ("SGD momentum", "SGD", {"lr": 1e-3, "momentum": 0.9, "nesterov": True}),
        ("RMSprop", "RMSprop", {"lr": 1e-3, "alpha": 0.9}),
    ],
)
def test_other_algorithms(algorithm, name, options, tmp_path, monkeypatch):
    case = update._step(algorithm, SHAPES, "x")
    right = results(case, tmp_path)
    monkeypatch.setitem(update.ALGORITHMS, algorithm, (name, options, 0))
    assert apart(case, results(update._step(algorithm, SHAPES, "x"), tmp_path), right)


@pytest.mark.parametrize("mode", ["f+b", "f"])
def test_batch_norm_without_running_statistics(mode, tmp_path, monkeypatch):
    real = ng.nn.functional.batch_norm

    def forgetful(x, mean, var, *more):
        return real(x, mean.clone(), var.clone(), *more)

    case = pool_norm.batch_norm((4, 3, 5, 7), mode)
    assert noticed(case, tmp_path, lambda: monkeypatch.setattr(ng.nn.functional, "batch_norm", forgetful))


@pytest.mark.parametrize(
    "case, name, wrong",
    [
        (random._draw("randn", 10_000), "randn", lambda n, device: 1.1 * ng.randn(n)),
        (random._draw("randn", 10_000), "randn", lambda n, device: ng.randn(n).double()),
        (random._draw("randn", 10_000), "randn", lambda n, device: ng.sort(ng.randn(n))[0]),
        (random._draw("rand", 10_000), "rand", lambda n, device: ng.rand(n) + 0.1),
        (random._multinomial(20, 10, 1000), "multinomial", lambda p, n, replacement: ng.randint(0, 10, (20, n))),
    ],
)
def test_random_numbers(case, name, wrong, tmp_path, monkeypatch):
    case, real = dataclasses.replace(case, tolerance=max(case.tolerance, 0.1 if "rand" in name else 0.0)), getattr(ng, name)

    def instead(*arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(ng, name, real)
            return wrong(*arguments, **options)

    assert noticed(case, tmp_path, lambda: monkeypatch.setattr(ng, name, instead))


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5])
def test_dropout(p, gradient, tmp_path, monkeypatch):
    real = ng.nn.functional.dropout
    otherwise = lambda x, _, training: real(x, p, training)
    case = random._dropout(10_000, 0.3, gradient)
    case = dataclasses.replace(case, tolerance=0.1)
    assert noticed(case, tmp_path, lambda: monkeypatch.setattr(ng.nn.functional, "dropout", otherwise))
