"""Measuring one benchmark: the contestants' results are compared, then their bursts take turns, so that what else happens on the machine
falls on all of them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._children import Child, Contestant, Failed, Lost, run_once
from ._declare import Case, Goal, Metric, Once
from ._libraries import LIBRARIES
from ._results import OURS, Row


@dataclass(frozen=True)
class Effort:
    """How much is spent on a benchmark."""

    bursts: int = 9
    seconds: float = 0.025  # of a burst
    pause: float = 0.02  # before a burst: a library's idle threads spin a while (OpenMP's for milliseconds), which is the next one's loss
    samples: int | None = None  # of a program, where it is not left to its declaration
    warm_up: bool = True  # run a program that wants compiled kernels once more, before its samples
    timeout: float = 120.0
    default_allocator: bool = False
    modules: tuple[str, ...] = ()


QUICK = Effort(bursts=3, seconds=0.002, pause=0.0, samples=1, warm_up=False)


def difference(found: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    """How two results differ, "" if they agree: |a − b| <= tolerance (|b| + rms(b)), NaN and infinities in the same places, and integers
    the same."""
    if found.shape != expected.shape:
        return f"has shape {found.shape}, not {expected.shape}"
    if found.dtype.kind == "f" and found.dtype != expected.dtype:
        return f"has dtype {found.dtype}, not {expected.dtype}"
    if expected.dtype.kind != "f":
        wrong = found != expected
    else:
        a, b = found.astype(np.float64), expected.astype(np.float64)
        finite = np.isfinite(b)
        scale = float(np.sqrt(np.mean(np.square(b, where=finite, out=np.zeros_like(b))))) if b.size else 0.0
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= tolerance * (np.abs(b) + scale)
        wrong = ~np.where(finite, near, (a == b) | (np.isnan(a) & np.isnan(b)))
    if not wrong.any():
        return ""
    where = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    share = f"{int(wrong.sum())} of {wrong.size}"
    return f"differs in {share}, at {[int(i) for i in where]} it is {found[where]!s} instead of {expected[where]!s}"


class Arena:
    """The processes, started when they are first needed and kept for the next benchmark."""

    def __init__(self, effort: Effort):
        self.effort = effort
        self.children: dict[Contestant, Child] = {}
        self.unavailable: dict[tuple[str, str], str] = {}  # (library, device): why
        self.versions: dict[str, Any] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))

    def child(self, contestant: Contestant) -> Child | None:
        """The contestant's process; None where it cannot run at all, which is remembered.  Raises Lost."""
        where = (contestant.library, contestant.device)
        if where in self.unavailable:
            return None
        if contestant not in self.children:
            child = Child(contestant, self.effort.default_allocator, self.effort.modules, self.effort.timeout)
            if "unavailable" in child.greeting:
                self.unavailable[where] = child.greeting["unavailable"]
                child.close()
                return None
            self.children[contestant] = child
            self.versions[contestant.library] = child.greeting
        return self.children[contestant]

    def discard(self, contestant: Contestant) -> None:
        child = self.children.pop(contestant, None)
        if child is not None:
            child.close()

    def close(self) -> None:
        for contestant in list(self.children):
            self.discard(contestant)
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- cases ----------------------------------------------------------------------------------------------------------------------

    def _attempt(self, row: Row, contestants: list[Contestant], what: Callable[[Contestant, Child], object]) -> list[Contestant]:
        """Those with whom ``what`` succeeds; the others' errors go into the row."""
        able = []
        for contestant in contestants:
            try:
                child = self.child(contestant)
                if child is not None:
                    what(contestant, child)
                    able.append(contestant)
            except Failed as error:
                row.errors[contestant.label] = str(error)
                row.samples.pop(contestant.label, None)
                if isinstance(error, Lost):
                    self.discard(contestant)
        return able

    def _agreeing(self, case: Case, row: Row, contestants: list[Contestant]) -> list[Contestant]:
        """Those whose results are the first one's (ours, where we take part)."""
        found: dict[Contestant, list[np.ndarray]] = {}

        def check(contestant: Contestant, child: Child) -> None:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                child.ask("check", file=f"{folder}/x.npz")
                with np.load(f"{folder}/x.npz") as arrays:
                    result = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
            if found:
                first, expected = next(iter(found.items()))
                if len(result) != len(expected):
                    raise Failed(f"gives {len(result)} results, {first.label} {len(expected)}")
                for i, (ours, theirs) in enumerate(zip(result, expected)):
                    wrong = difference(ours, theirs, case.tolerance)
                    if wrong:
                        raise Failed(f"result {i} {wrong} ({first.label}'s)")
            found[contestant] = result

        return self._attempt(row, contestants, check)

    def measure(self, case: Case, row: Row, contestants: list[Contestant]) -> Row:
        """``row`` with the samples of ``contestants``, and the errors of those who have none."""
        able = self._attempt(row, contestants, lambda _, child: child.ask("build", case=case.id))
        able = self._agreeing(case, row, able)
        iterations: dict[Contestant, int] = {}

        def calibrate(contestant: Contestant, child: Child) -> None:
            iterations[contestant] = child.ask("calibrate", seconds=self.effort.seconds)["iterations"]

        def burst(contestant: Contestant, child: Child) -> None:
            time.sleep(self.effort.pause)
            seconds = child.ask("burst", iterations=iterations[contestant])["seconds"]
            row.samples.setdefault(contestant.label, []).append(seconds)

        able = self._attempt(row, able, calibrate)
        for turn in range(self.effort.bursts):
            order = able if turn % 2 == 0 else able[::-1]  # nobody always follows the same neighbour
            alive = self._attempt(row, order, burst)
            able = [contestant for contestant in able if contestant in alive]
        row.samples = {c.label: row.samples[c.label] for c in contestants if c.label in row.samples}
        return row

    # ---- programs -------------------------------------------------------------------------------------------------------------------

    def run(self, once: Once, contestants: list[Contestant]) -> list[Row]:
        """The rows of a program's numbers.  The first run of one that wants a warm cache fills it, and does not count."""
        rows: dict[str, Row] = {}
        samples = self.effort.samples or once.samples
        device = contestants[0].device if contestants else "cpu"

        def blank(name: str) -> Row:
            metric = once.metrics.get(name, Metric())
            full = f"{once.name}: {name}" if name else once.name
            return Row(once.suite, once.family, full, device, metric.unit, once.flops, once.bytes, list(metric.goals))

        def sample(contestant: Contestant) -> dict[str, float]:
            text = once.program(contestant.library, LIBRARIES[contestant.library].api)
            assert text is not None
            with tempfile.TemporaryDirectory(dir=self._folder) as empty:
                more = {"NUMBAGRAD_CACHE_DIR": empty} if once.cache == "empty" else {}
                return run_once(text, contestant, self.effort.default_allocator, self.effort.timeout, **more)

        able = [contestant for contestant in contestants if (contestant.library, contestant.device) not in self.unavailable]
        failed: dict[str, str] = {}
        discarded = int(once.cache == "warm" and self.effort.warm_up)
        for turn in range(samples + discarded):
            for contestant in list(able):
                try:
                    numbers = sample(contestant)
                except Failed as error:
                    failed[contestant.label] = str(error)
                    able.remove(contestant)
                    continue
                if turn >= discarded:
                    for name, number in numbers.items():
                        rows.setdefault(name, blank(name)).samples.setdefault(contestant.label, []).append(number)
        for name in once.metrics:
            rows.setdefault(name, blank(name))
        if not rows and failed:
            rows[""] = blank("")
        for row in rows.values():
            row.errors |= failed
        return list(rows.values())


# ---- who takes part ---------------------------------------------------------------------------------------------------------------------


def _able(benchmark: Case | Once, libraries: Iterable[str]) -> list[str]:
    build = benchmark.builder if isinstance(benchmark, Case) else benchmark.program
    return [name for name in libraries if build(name, LIBRARIES[name].api) is not None]


def plan(
    benchmark: Case | Once, libraries: list[str], devices: list[str], threads: int, ladder: list[int]
) -> list[tuple[Row, list[Contestant]]]:
    """The rows of a benchmark and who takes part in each: one per device, and for a case of scaling one per number of threads."""
    able = _able(benchmark, libraries)
    planned = []
    for device in devices:
        there = [name for name in able if device in LIBRARIES[name].devices]
        if not there:
            continue
        flops, bytes_ = benchmark.flops, benchmark.bytes
        if isinstance(benchmark, Case) and benchmark.scaling:
            for n in ladder:
                counts = sorted({1, n}, reverse=True)
                who = [Contestant(name, device, count, tagged=True) for name in there for count in counts]
                # The peer at the same number of threads, and a single thread for the speed-up.
                goals = (
                    [Goal(f"{g.peer}@{n}" if "@" not in g.peer else g.peer, g.ratio, g.at_most) for g in benchmark.goals]
                    if n == ladder[-1] > 1
                    else []
                )
                name = f"{benchmark.name}, {n} thread{'s' * (n > 1)}"
                planned.append((Row(benchmark.suite, benchmark.family, name, device, "s", flops, bytes_, goals), who))
        else:
            who = [Contestant(name, device, threads) for name in there]
            planned.append((Row(benchmark.suite, benchmark.family, benchmark.name, device, "s", flops, bytes_, list(benchmark.goals)), who))
    return planned


def ours_first(libraries: Iterable[str]) -> list[str]:
    return sorted(libraries, key=lambda name: name != OURS)
