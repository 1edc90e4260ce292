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

from ._children import STOPPABLE, Child, Contestant, Failed, Lost, run_once
from ._declare import Case, Goal, Metric, Once
from ._libraries import LIBRARIES
from ._results import OURS, Row


@dataclass(frozen=True)
class Effort:
    """How much is spent on a benchmark."""

    bursts: int = 9
    seconds: float = 0.025  # of a burst
    pause: float = 0.02  # before a burst, for idle threads to come to rest, where processes cannot be stopped
    samples: int | None = None  # of a program, where it is not left to its declaration
    warm_up: bool = True  # run a program that wants compiled kernels once more, before its samples
    timeout: float = 120.0
    default_allocator: bool = False
    modules: tuple[str, ...] = ()


QUICK = Effort(bursts=3, seconds=0.002, pause=0.0, samples=1, warm_up=False)


def _rms(x: np.ndarray) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0


def difference(found: np.ndarray, expected: np.ndarray, tolerance: float, overall: bool = False) -> str:
    """How two results differ, "" if they agree: |a − b| <= tolerance (|b| + rms(b)), or ``overall`` rms(a − b) <= tolerance rms(b); NaN and
    infinities in the same places, and integers the same."""
    if found.shape != expected.shape:
        return f"has shape {found.shape}, not {expected.shape}"
    if found.dtype != expected.dtype and not found.dtype.kind == expected.dtype.kind == "i":  # of any size: JAX's are smaller
        return f"has dtype {found.dtype}, not {expected.dtype}"
    if expected.dtype.kind != "f":
        wrong = found != expected
    else:
        a, b = found.astype(np.float64), expected.astype(np.float64)
        finite = np.isfinite(b)
        scale = _rms(b[finite])
        with np.errstate(invalid="ignore"):
            near = np.isfinite(a) if overall else np.abs(a - b) <= tolerance * (np.abs(b) + scale)
        wrong = ~np.where(finite, near, (a == b) | (np.isnan(a) & np.isnan(b)))
        if overall and not wrong.any() and (distance := _rms(a[finite] - b[finite])) > tolerance * scale:
            return f"is apart by {distance:.2g}, root mean square, from one of {scale:.2g}"
    if not wrong.any():
        return ""
    where = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    share = f"{int(wrong.sum())} of {wrong.size}"
    return f"differs in {share}, at {[int(i) for i in where]} it is {found[where]!s} instead of {expected[where]!s}"


def apart(case: Case, result: list[np.ndarray], expected: list[np.ndarray]) -> str:
    """How the results of two contestants differ, "" if they agree."""
    if len(result) != len(expected):
        return f"gives {len(result)} results instead of {len(expected)}"
    wrong = (difference(ours, theirs, case.tolerance, case.overall) for ours, theirs in zip(result, expected))
    return next((f"result {i} {text}" for i, text in enumerate(wrong) if text), "")


def outvoted(case: Case, found: dict[Contestant, list[np.ndarray]]) -> dict[Contestant, str]:
    """Those whose results are not what most others have, and how they differ; everybody where no party is the largest."""
    parties: list[list[Contestant]] = []
    for contestant, result in found.items():
        party = next((party for party in parties if not apart(case, result, found[party[0]])), None)
        if party is None:
            parties.append([contestant])
        else:
            party.append(contestant)
    parties.sort(key=len, reverse=True)
    if len(parties) < 2:
        return {}
    divided = len(parties[0]) == len(parties[1])
    against = {c: parties[0][0] for party in parties[1:] for c in party} | (dict.fromkeys(parties[0], parties[1][0]) if divided else {})
    return {c: f"{apart(case, found[c], found[other])} ({other.label}'s)" for c, other in against.items()}


def order(n: int, turn: int) -> list[int]:
    """Who of ``n`` comes when in a turn, such that over the turns each comes after each other one about as often: the rows of a Latin square
    in which neighbours are balanced (Williams, 1949), each followed by its mirror image."""
    if not n:
        return []
    first = [(i + 1) // 2 if i % 2 else -i // 2 for i in range(n)]  # 0, 1, -1, 2, -2, ...
    row = [(i + turn // 2) % n for i in first]
    return row[::-1] if turn % 2 else row


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

    def _agreeing(self, case: Case, row: Row, contestants: list[Contestant], what: str = "check") -> list[Contestant]:
        """Those with whose results most others agree; nobody where opinions are divided."""
        found: dict[Contestant, list[np.ndarray]] = {}

        def check(contestant: Contestant, child: Child) -> None:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                answer = child.ask(what, file=f"{folder}/x.npz")
                with np.load(f"{folder}/x.npz") as arrays:
                    if answer["arrays"]:
                        found[contestant] = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]

        able = self._attempt(row, contestants, check)
        for contestant, text in outvoted(case, found).items():
            row.errors[contestant.label] = ("" if what == "check" else "after the bursts ") + text
            row.samples.pop(contestant.label, None)
        return [contestant for contestant in able if contestant.label not in row.errors]

    def measure(self, case: Case, row: Row, contestants: list[Contestant]) -> Row:
        """``row`` with the samples of ``contestants``, and the errors of those who have none."""
        able = self._attempt(row, contestants, lambda _, child: child.ask("build", case=case.id))
        able = self._agreeing(case, row, able)
        iterations: dict[Contestant, int] = {}

        def calibrate(contestant: Contestant, child: Child) -> None:
            iterations[contestant] = child.ask("calibrate", seconds=self.effort.seconds)["iterations"]

        def burst(contestant: Contestant, child: Child) -> None:
            if not STOPPABLE:
                time.sleep(self.effort.pause)
            seconds = child.ask("burst", iterations=iterations[contestant], clock=row.clock)["seconds"]
            row.samples.setdefault(contestant.label, []).append(seconds)

        able = self._attempt(row, able, calibrate)
        for turn in range(self.effort.bursts):
            alive = self._attempt(row, [able[i] for i in order(len(able), turn)], burst)
            able = [contestant for contestant in able if contestant in alive]
        if case.checked == 1:
            self._agreeing(case, row, able, "recheck")
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
            for clock in benchmark.clocks_on(device) if isinstance(benchmark, Case) else ("wall",):
                goals = list(benchmark.goals_on(device, clock) if isinstance(benchmark, Case) else benchmark.goals)
                row = Row(benchmark.suite, benchmark.family, benchmark.name, device, "s", flops, bytes_, goals, clock=clock)
                planned.append((row, [c for c in who if clock in LIBRARIES[c.library].clocks]))
    return planned


def ours_first(libraries: Iterable[str]) -> list[str]:
    return sorted(libraries, key=lambda name: name != OURS)
