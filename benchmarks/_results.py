"""Rows of results, what is computed from them, and the file that keeps them."""

from __future__ import annotations

import json
import math
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ._declare import Goal

FORMAT = 1
OURS = "numbagrad"
UNSURE = 0.25  # a spread that leaves a ratio in doubt

# What a file says at least, and of what type.
_MACHINE: dict[str, type] = {"cpu": str, "cores": int, "os": str, "python": str, "date": str, "commit": str}
_PEAKS = {"gflops", "copy_gbs", "triad_gbs"}
_ROW: dict[str, type] = {"suite": str, "family": str, "name": str}
_NUMBER: Any = (int, float)


@dataclass
class Row:
    """One thing that was measured, with every sample of every contestant.  Of every number, less is better."""

    suite: str
    family: str
    name: str
    device: str = "cpu"
    unit: str = "s"
    flops: float = 0.0
    bytes: float = 0.0
    goals: list[Goal] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    clock: str = "wall"

    @property
    def where(self) -> str:
        """The device, and how time was taken unless by the wall clock."""
        return self.device + f", {self.clock}" * (self.clock != "wall")

    @property
    def key(self) -> str:
        return f"{self.suite}/{self.family}/{self.name} on {self.where}"

    @property
    def title(self) -> str:
        """The name, with what it does not say by itself where rows of several families stand together."""
        unsaid = self.family if self.family in ("matmul", "conv2d") else self.suite if self.suite in ("memory", "compile") else ""
        return f"{unsaid} {self.name}".strip() + (f" [{self.where}]" if self.device != "cpu" else "")

    @property
    def peers(self) -> list[str]:
        return [label for label in self.samples if label != self.ours]

    @property
    def ours(self) -> str:
        """Our label: in rows of the suite ``threads`` it carries the number of threads, and the most of them count."""
        labels = [label for label in (*self.samples, *self.errors) if label.partition("@")[0] == OURS]
        return max(labels, key=lambda label: int(label.partition("@")[2] or 0)) if labels else OURS

    def median(self, label: str) -> float:
        """NaN where there are no samples."""
        return statistics.median(self.samples[label]) if self.samples.get(label) else math.nan

    def quartiles(self, label: str) -> tuple[float, float]:
        samples = self.samples.get(label) or [math.nan]
        if len(samples) < 2:
            return samples[0], samples[0]
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
        return low, high

    def spread(self, label: str) -> float:
        """Half the distance of the quartiles, as a part of the median."""
        low, high = self.quartiles(label)
        middle = self.median(label)
        return (high - low) / 2 / middle if middle else 0.0

    def unsure(self, *labels: str) -> bool:
        """Whether a ratio of these is in doubt, because one of them varied too much."""
        return any(self.spread(label) > UNSURE for label in labels if self.samples.get(label))

    def ratio(self, peer: str) -> float:
        """The peer's median divided by ours: above 1 where we are better.  NaN where one is missing."""
        ours = self.median(self.ours)
        return self.median(peer) / ours if ours else math.nan

    def rate(self, amount: float) -> float:
        """``amount`` per second of ours, NaN where the unit is no time or the amount is not known."""
        return amount / self.median(self.ours) if amount and self.unit == "s" else math.nan

    def verdicts(self) -> Iterator[tuple[Goal, float, bool | None]]:
        """Each goal, what was reached, and whether that is enough; None where it was not measured."""
        for goal in self.goals:
            reached = self.ratio(goal.peer) if goal.ratio else self.median(self.ours)
            if math.isnan(reached):
                yield goal, reached, None
            else:
                yield goal, reached, reached >= goal.ratio if goal.ratio else reached <= goal.at_most


@dataclass
class Results:
    """A run: where, how, and what came out."""

    machine: dict[str, Any]
    options: dict[str, Any]
    peaks: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    complete: bool = False

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    @classmethod
    def load(cls, path: Path) -> Results:
        """Raises OSError for a file that cannot be read, ValueError for one of another kind."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            _check(stored)
            rows = [Row(**{**row, "goals": [Goal(**goal) for goal in row["goals"]]}) for row in stored["rows"]]
            return cls(rows=rows, **{name: value for name, value in stored.items() if name not in ("format", "rows")})
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # no text, no JSON, or not what ``save`` writes
            raise ValueError(f"{path} holds no results of format {FORMAT}") from error


def _expect(value: Any, kind: Any) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind}")


def _expect_all(found: Any, kind: Any) -> None:
    """``found`` maps names to values of type ``kind``."""
    _expect(found, dict)
    for value in found.values():
        _expect(value, kind)


def _check(stored: dict[str, Any]) -> None:
    """What a file holds is what ``save`` writes, so that nobody stumbles over it later.  Raises ValueError, LookupError or TypeError."""
    if stored["format"] != FORMAT:
        raise ValueError("another format")
    for name, kind in _MACHINE.items():
        _expect(stored["machine"][name], kind)
    for name in ("packages", "environment"):
        _expect(stored["machine"].get(name, {}), dict)
    _expect(stored["options"], dict)
    _expect(stored["options"].get("threads") or 0, int)
    libraries = stored["options"].get("libraries", {})
    _expect_all(libraries, dict)
    for about in libraries.values():
        _expect(about["version"], str)
    _expect_all(stored["peaks"], _NUMBER)
    if stored["peaks"] and _PEAKS - set(stored["peaks"]):
        raise KeyError("incomplete peaks")
    _expect(stored["complete"], bool)
    _expect(stored["rows"], list)
    for row in stored["rows"]:
        _check_row(row)


def _check_row(row: dict[str, Any]) -> None:
    for name, kind in _ROW.items():
        _expect(row[name], kind)
    for name in ("device", "unit", "clock"):
        _expect(row.get(name, ""), str)
    for name in ("flops", "bytes"):
        _expect(row.get(name, 0.0), _NUMBER)
    for goal in row["goals"]:
        _expect(goal.get("peer", ""), str)
        _expect(goal.get("ratio", 0.0), _NUMBER)
        _expect(goal.get("at_most", 0.0), _NUMBER)
    samples, errors = row.get("samples", {}), row.get("errors", {})
    _expect_all(samples, list)
    _expect_all(errors, str)
    for label in (*samples, *errors):
        int(label.partition("@")[2] or 0)  # the number of threads
    for numbers in samples.values():
        for number in numbers:
            _expect(number, _NUMBER)


@dataclass
class Change:
    """How our number in a row changed between two runs."""

    row: Row
    factor: float  # new / old; NaN where there is none now
    peers: float  # the same for what ran beside us: how the machine changed; NaN where nothing did
    verdict: str  # "slower", "faster", "same", or "fails": it was measured then, and is an error now


def _change_of_peers(past: Row, row: Row) -> float:
    """The geometric mean of new / old over the other libraries; NaN where none was measured twice."""
    others = [label for label in row.peers if label.partition("@")[0] != OURS]
    shared = [row.median(label) / past.median(label) for label in others if past.median(label) > 0]
    return math.exp(statistics.fmean(map(math.log, shared))) if shared and min(shared) > 0 else math.nan


def _change(past: Row, row: Row, least: float, few: float) -> Change | None:
    """None where there is nothing to compare with."""
    before, now = past.median(past.ours), row.median(row.ours)
    if math.isnan(before) or not before:
        return None
    if math.isnan(now):
        return Change(row, math.nan, math.nan, "fails") if row.ours in row.errors else None
    factor, peers = now / before, _change_of_peers(past, row)
    own = factor if math.isnan(peers) else factor / peers
    low, high = row.quartiles(row.ours)
    past_low, past_high = past.quartiles(past.ours)
    enough = 1 + (least if min(len(row.samples[row.ours]), len(past.samples[past.ours])) >= 5 else few)
    verdict = "same"
    if low > past_high and min(factor, own) > enough:
        verdict = "slower"
    elif high < past_low and max(factor, own) < 1 / enough:
        verdict = "faster"
    return Change(row, factor, peers, verdict)


def compare(old: Results, new: Results, least: float = 0.05, few: float = 0.25) -> list[Change]:
    """Rows of both runs.

    A change counts when the quartiles of the two runs lie apart, the medians differ by more than ``least`` (``few`` where either has less
    than 5 samples, whose quartiles say little), and so does what is left of that after the change of the peers is taken off: where
    everything became slower, the machine did.  A row of ours that was measured in the old run and fails in the new one counts as well.
    """
    before = {row.key: row for row in old.rows}
    changes = []
    for row in new.rows:
        past = before.get(row.key)
        if past is None and row.ours in row.errors:  # a program that fails names none of its numbers
            past = next((was for was in old.rows if was.key.startswith(f"{row.suite}/{row.family}/{row.name}: ")), None)
        change = past and _change(past, row, least, few)
        if change:
            changes.append(change)
    return changes


def vanished(old: Results, new: Results) -> list[str]:
    """The rows of the old run that are not in the new one."""
    there = {row.key for row in new.rows}
    return [row.key for row in old.rows if row.key not in there]


def _circumstances(results: Results) -> dict[str, Any]:
    """What besides the code decides how long work takes."""
    machine, options = results.machine, results.options
    found = {
        "cpu": machine["cpu"],
        "GPU": machine.get("gpu", {}).get("name", "none"),
        "cores": machine["cores"],
        "threads": options.get("threads") or machine["cores"],
        "system": machine["os"],
        "Python": machine["python"],
        "busy": machine.get("busy") or "no",
        "--quick": "yes" if options.get("quick") else "no",
        "allocator": "default" if options.get("default_allocator") else "thresholds raised",
    }
    packages = {**machine.get("packages", {}), **{name: about["version"] for name, about in options.get("libraries", {}).items()}}
    return found | packages | machine.get("environment", {})


def differing(old: Results, new: Results) -> list[str]:
    """How the runs differ in more than the code: "threads 8, now 2"."""
    then, now = _circumstances(old), _circumstances(new)
    optional = set(old.options.get("libraries", {})) ^ set(new.options.get("libraries", {}))  # not asked for in one of them
    return [
        f"{name} {then.get(name, 'not set')}, now {now.get(name, 'not set')}"
        for name in dict.fromkeys((*then, *now))
        if then.get(name) != now.get(name) and name not in optional and name != OURS
    ]
