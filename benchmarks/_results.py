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
MACHINE = {"cpu", "cores", "os", "python", "date", "commit"}  # what is always said of the machine


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

    @property
    def key(self) -> str:
        return f"{self.suite}/{self.family}/{self.name} on {self.device}"

    @property
    def title(self) -> str:
        """The name, with what it does not say by itself where rows of several families stand together."""
        unsaid = self.family if self.family in ("matmul", "conv2d") else self.suite if self.suite in ("memory", "compile") else ""
        return f"{unsaid} {self.name}".strip() + (f" [{self.device}]" if self.device != "cpu" else "")

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
            if stored.pop("format") != FORMAT or MACHINE - set(stored["machine"]):
                raise KeyError
            rows = [Row(**{**row, "goals": [Goal(**goal) for goal in row["goals"]]}) for row in stored.pop("rows")]
            return cls(rows=rows, **stored)
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # no text, no JSON, or not what ``save`` writes
            raise ValueError(f"{path} holds no results of format {FORMAT}") from error


@dataclass
class Change:
    """How our number in a row changed between two runs."""

    row: Row
    factor: float  # new / old
    peers: float  # the same for what ran beside us: how the machine changed; NaN where nothing did
    verdict: str  # "slower", "faster" or "same"


def compare(old: Results, new: Results, least: float = 0.05, few: float = 0.25) -> list[Change]:
    """Rows of both runs.

    A change counts when the quartiles of the two runs lie apart, the medians differ by more than ``least`` (``few`` where either has less
    than 5 samples, whose quartiles say little), and so does what is left of that after the change of the peers is taken off: where
    everything became slower, the machine did.
    """
    before = {row.key: row for row in old.rows}
    changes = []
    for row in new.rows:
        past = before.get(row.key)
        if past is None or math.isnan(past.median(past.ours)) or math.isnan(row.median(row.ours)) or not past.median(past.ours):
            continue
        factor = row.median(row.ours) / past.median(past.ours)
        shared = [row.median(p) / past.median(p) for p in row.peers if p in past.samples and past.median(p) > 0]
        peers = math.exp(statistics.fmean(map(math.log, shared))) if shared and min(shared) > 0 else math.nan
        own = factor if math.isnan(peers) else factor / peers
        low, high = row.quartiles(row.ours)
        past_low, past_high = past.quartiles(past.ours)
        enough = 1 + (least if min(len(row.samples[row.ours]), len(past.samples[past.ours])) >= 5 else few)
        verdict = "same"
        if low > past_high and min(factor, own) > enough:
            verdict = "slower"
        elif high < past_low and max(factor, own) < 1 / enough:
            verdict = "faster"
        changes.append(Change(row, factor, peers, verdict))
    return changes
