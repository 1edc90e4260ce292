"""What a benchmark is: the work, who can do it, what it costs at least, and what is hoped of it.

Two kinds.  A ``Case`` is timed in bursts: its builder is called once in the process of each library and returns a function of no arguments,
one iteration, whose result is compared between the libraries before anything is timed, and again afterwards.  A ``Once`` is a program that
a new process runs from start to end; it prints one JSON object of numbers, each of which becomes a row.  Of every number, less is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SUITES = ("ops", "train", "launch", "compile", "memory", "threads", "gpu")


@dataclass(frozen=True)
class Goal:
    """``ratio``: the time of ``peer`` divided by numbagrad's is to reach it.  ``at_most``: numbagrad's own number is not to pass it.

    ``peer`` is a library or, in the suite ``threads``, ``numbagrad@1``, the same work on one thread.
    """

    peer: str = "torch"
    ratio: float = 0.0
    at_most: float = 0.0


@dataclass(frozen=True)
class Case:
    """Work that is timed in bursts.

    ``builders`` maps a library, or the API it follows, to a builder: since numbagrad's API is PyTorch's, that of "torch" serves both.
    ``flops`` and ``bytes`` are what the work needs at least.  Results, those of the first ``checked`` iterations, agree when
    |a − b| <= tolerance (|b| + rms(b)), rms: the root mean square; with ``overall`` when rms(a − b) <= tolerance rms(b).  Where only one is
    checked, the iterations are taken to do the same every time: after the last burst comes another, on other numbers.
    """

    suite: str
    family: str
    name: str
    builders: Mapping[str, Callable[[Any], Callable[[], Any]]]
    flops: float = 0.0
    bytes: float = 0.0
    goals: tuple[Goal, ...] = ()
    tolerance: float = 1e-4
    checked: int = 1
    overall: bool = False
    scaling: bool = False  # one row per number of threads, each beside a single thread
    quick: bool = False  # part of --quick
    devices: tuple[str, ...] = ("cpu", "cuda")  # where it can be measured; the number of threads means something on the CPU alone
    # How time is taken on a GPU: "events", what its stream takes while work lies ready, "wall", until the device has done it, "host", until it has
    # been handed over.  The goals are for the first.
    clocks: tuple[str, ...] = ("events", "wall")

    @property
    def id(self) -> str:
        return f"{self.suite}/{self.family}/{self.name}"

    def on(self, device: str) -> bool:
        return device in self.devices and (device == "cpu" or not self.scaling)

    def clocks_on(self, device: str) -> tuple[str, ...]:
        return ("wall",) if device == "cpu" else self.clocks

    def goals_on(self, device: str, clock: str) -> tuple[Goal, ...]:
        """Goals are for the CPU, but for work that is measured on a GPU alone."""
        there = device == "cpu" or "cpu" not in self.devices
        return self.goals if there and clock == self.clocks_on(device)[0] else ()

    def builder(self, library: str, api: str) -> Callable[[Any], Callable[[], Any]] | None:
        return self.builders.get(library) or self.builders.get(api)


@dataclass(frozen=True)
class Checked:
    """What a builder returns where the results to compare are not what an iteration returns: in the check, ``check`` is called instead."""

    run: Callable[[], Any]
    check: Callable[[], Any]

    def __call__(self) -> Any:
        return self.run()


@dataclass(frozen=True)
class Metric:
    """One of the numbers that a program prints."""

    unit: str = "s"
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True)
class Once:
    """A program run in a new process for every sample.

    ``programs`` maps a library (or its API; the text ``{library}`` is replaced by the library's name) to Python source.  ``metrics`` says
    what each number is; one that is not named there is in seconds.  ``cache`` says which kernels are compiled already: with "empty" none
    in any sample, with "warm" those that a run before the first sample needed.  Programs run on the CPU.
    """

    suite: str
    family: str
    name: str
    programs: Mapping[str, str]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    samples: int = 3
    cache: str = "warm"
    flops: float = 0.0
    bytes: float = 0.0
    quick: bool = False

    @property
    def id(self) -> str:
        return f"{self.suite}/{self.family}/{self.name}"

    @property
    def goals(self) -> tuple[Goal, ...]:
        return tuple(goal for metric in self.metrics.values() for goal in metric.goals)

    def on(self, device: str) -> bool:
        return device == "cpu"

    def program(self, library: str, api: str) -> str | None:
        text = self.programs.get(library) or self.programs.get(api)
        return None if text is None else text.replace("{library}", library)


def count(n: float) -> str:
    """1000000 as "1e6", 1234 as "1234"."""
    digits = str(int(n))
    zeros = len(digits) - len(digits.rstrip("0"))
    return f"{digits[:-zeros]}e{zeros}" if zeros >= 3 else digits
