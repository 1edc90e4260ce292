"""Whoever is not on turn rests, and nobody stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks._children import Child, Contestant, Lost
from benchmarks._turns import order

ROOT = Path(__file__).resolve().parents[2]
FAKES = ("tests.benchmarks.fakes",)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

RUN = """
import time
from benchmarks._children import Child, Contestant
child = Child(Contestant("numpy"))
print(child._process.pid, flush=True)
{then}
"""


def state(process: int) -> str:
    """R(unning), S(leeping), T (stopped), Z (dead); "" when it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def reaches(process: int, states: str, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while state(process) not in states.split(","):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@linux
def test_only_who_is_asked_is_awake():
    child = Child(Contestant("numpy"), modules=FAKES, timeout=20)
    process = child._process.pid
    try:
        assert reaches(process, "T")
        child.ask("build", case="ops/fake/twice")
        assert reaches(process, "T")
        iterations = child.ask("calibrate", seconds=0.5)["iterations"]
        asking = threading.Thread(target=child.ask, args=("burst",), kwargs={"iterations": iterations})
        asking.start()
        assert reaches(process, "R")
        asking.join()
        assert reaches(process, "T")
    finally:
        child.close()
    assert state(process) == ""


@linux
def test_an_interrupted_question_leaves_it_at_rest(monkeypatch):
    child = Child(Contestant("numpy"), modules=FAKES, timeout=20)

    def interrupted():
        raise KeyboardInterrupt

    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(child, "_read", interrupted)
            child.ask("build", case="ops/fake/twice")
        assert reaches(child._process.pid, "T")
    finally:
        child.close()


@linux
@pytest.mark.parametrize("then", ["time.sleep(60)", "import os; os._exit(1)", "raise RuntimeError", "child.close()"])
def test_nobody_outlives_the_parent(then):
    """Not even where the parent is killed or crashes, while its child is stopped."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN.format(then=then)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        process = int(parent.stdout.readline())
        if "sleep" in then:
            assert reaches(process, "T")
            parent.send_signal(signal.SIGKILL)
    assert reaches(process, ",Z")


@linux
def test_an_interrupt_while_it_starts(monkeypatch):
    """Nobody has the child yet who could end it."""
    started = []

    def read(child):
        started.append(child._process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(Child, "_read", read)
    with pytest.raises(KeyboardInterrupt):
        Child(Contestant("numpy"))
    assert state(started[0]) == ""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_death_at_rest_is_noticed():
    child = Child(Contestant("numpy"), modules=FAKES, timeout=20)
    try:
        os.kill(child._process.pid, signal.SIGKILL)
        with pytest.raises(Lost, match="SIGKILL"):
            child.ask("build", case="ops/fake/twice")
    finally:
        child.close()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6])
def test_everybody_comes_after_everybody(n):
    turns = [order(n, turn) for turn in range(2 * n)]
    assert all(sorted(turn) == list(range(n)) for turn in turns)
    within = Counter(pair for turn in turns for pair in zip(turn, turn[1:]))
    assert len(within) == n * (n - 1) and set(within.values()) <= {2}
    sequence = [i for turn in turns for i in turn]
    overall = Counter(zip(sequence, sequence[1:]))
    assert n < 2 or (max(overall.values()) <= 3 and sum(overall[i, i] for i in range(n)) >= n - 1)
