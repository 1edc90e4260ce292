"""Libraries that misbehave and benchmarks for them, which the suite takes from this module as it would from a user's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks._declare import Case, Goal, Metric, Once
from benchmarks._libraries import LIBRARIES, NumPy, Unavailable


class Wrong(NumPy):
    name = "wrong"

    def get(self, array: Any) -> np.ndarray:
        return super().get(array) + np.float32(1e-2)


class AlsoWrong(Wrong):
    name = "also wrong"


class Same(NumPy):
    name = "same"


class Tiring(NumPy):
    """Right at first, and wrong in the end."""

    name = "tiring"
    error = 0.0

    def reset(self) -> None:
        super().reset()
        self.error = 0.0

    def turn_around(self) -> bool:
        self.error = 1.0
        return super().turn_around()

    def get(self, array: Any) -> np.ndarray:
        return super().get(array) + np.float32(self.error)


class Dying(NumPy):
    name = "dying"

    def put(self, array: np.ndarray) -> Any:
        print("a last word", flush=True)
        os._exit(3)


class Hanging(NumPy):
    name = "hanging"

    def get(self, array: Any) -> np.ndarray:
        time.sleep(60)
        return array


class Late(NumPy):
    """Right at first, and dead in its second burst."""

    name = "late"
    waits = 0

    def synchronize(self) -> None:
        self.waits += 1
        if self.waits > 8:
            os._exit(4)


class Refusing(NumPy):
    name = "refusing"

    def put(self, array: np.ndarray) -> Any:
        raise ValueError("no\narrays")


class Absent(NumPy):
    name = "absent"

    def __init__(self, device: str = "cpu", threads: int | None = None):
        raise Unavailable("it is not here")


LIBRARIES.update({library.name: library for library in (Wrong, AlsoWrong, Same, Tiring, Dying, Hanging, Late, Refusing, Absent)})


def twice(library: Any) -> Any:
    print("libraries may print")
    return library.forward(lambda x: (x * 2, [x + 1]), library.normal(100))


def remembered(library: Any) -> Any:
    """Iterations that work once, and then return what they have."""
    x, found = library.normal(100), []

    def iteration() -> Any:
        if not found or library.name == "numpy":
            found[:] = [x * 2]
        return found[0].copy()

    return iteration


def cases() -> Iterator[Case | Once]:
    yield Case("ops", "fake", "twice", {"numpy": twice}, flops=100, bytes=800, goals=(Goal("wrong", 1.0),))
    yield Case("ops", "fake", "remembered", {"numpy": remembered})
    yield Case("threads", "fake", "twice", {"numpy": twice}, scaling=True, goals=(Goal("numpy@1", 1.0),))
    numbers = {"numpy": 'print(1); print(\'{"a": 2, "b": 3.5}\')', "wrong": "raise SystemExit('not today')", "hanging": "while True: pass"}
    yield Once("memory", "fake", "numbers", numbers, {"a": Metric("B", (Goal("wrong", 1.0),))}, samples=2)
