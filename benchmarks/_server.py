"""The process of one library: ``python -m benchmarks._server LIBRARY DEVICE THREADS [MODULE ...]`` answers lines of JSON with lines of JSON.

    (greeting)                                   {"version": "2.13.0", "threads": 2} or {"unavailable": "why"}
    {"do": "build", "case": "ops/matmul/..."}    {}
    {"do": "check", "file": "/tmp/x.npz"}        {"arrays": 3}: the results of the first iterations, written to the file
    {"do": "recheck", "file": "/tmp/x.npz"}      {"arrays": 3}: of one on other numbers, 0 where the library cannot change its arrays
    {"do": "calibrate", "seconds": 0.025}        {"iterations": 812}: how many take about that long
    {"do": "burst", "iterations": 812}           {"seconds": 3.1e-05}: of one iteration, with "clock": "events" or "host" by another clock

A request that fails is answered {"error": "..."}.  What the library prints goes to stderr.  THREADS 0 leaves their number to the library.
MODULEs may add to LIBRARIES, and declare more with a function ``cases``.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

import numpy as np

from . import _cases
from ._declare import Case, Checked
from ._libraries import LIBRARIES, Library, Unavailable

_UNTIMED = 0.2  # of a burst, before it: threads wake up, caches and clocks recover from the others' turns
_QUEUED = (
    100  # iterations that are handed over without waiting: of more launches than its queue holds, some 1000, the driver waits for room
)
_PR_SET_PDEATHSIG = 1


def arrays_of(library: Library, result: Any) -> list[np.ndarray]:
    """The arrays in a result, copied: the next iteration may overwrite them."""
    if isinstance(result, (list, tuple)):
        return [array for part in result for array in arrays_of(library, part)]
    return [np.array(library.get(result))]


class Server:
    """Holds one case at a time."""

    def __init__(self, library: Library, cases: dict[str, Case]):
        self.library, self.cases = library, cases
        self.case: Case | None = None
        self.iteration: Any = None
        self.compared: Any = None  # what is called in its place where results are compared
        library.inputs = []

    def build(self, case: str) -> dict[str, Any]:
        self.case = self.iteration = self.compared = None
        self.library.reset()
        gc.collect()
        self.case = self.cases[case]
        builder = self.case.builder(self.library.name, self.library.api)
        if builder is None:
            raise NotImplementedError(f"{self.library.name} has no builder for {case}")
        self.iteration = self.compared = builder(self.library)
        if isinstance(self.iteration, Checked):
            self.iteration, self.compared = self.iteration.run, self.iteration.check
        return {}

    def check(self, file: str) -> dict[str, Any]:
        assert self.case is not None
        arrays: list[np.ndarray] = []
        for _ in range(self.case.checked):
            arrays += arrays_of(self.library, self.compared())
        return self._write(file, arrays)

    def recheck(self, file: str) -> dict[str, Any]:
        return self._write(file, arrays_of(self.library, self.iteration()) if self.library.turn_around() else [])

    @staticmethod
    def _write(file: str, arrays: list[np.ndarray]) -> dict[str, Any]:
        with open(file, "wb") as stream:
            np.savez(stream, *arrays)
        return {"arrays": len(arrays)}

    def _seconds(self, iterations: int) -> float:
        run = self.iteration
        start = time.perf_counter()
        for _ in range(iterations):
            run()
        self.library.synchronize()
        return time.perf_counter() - start

    def calibrate(self, seconds: float) -> dict[str, Any]:
        self._seconds(2)
        iterations = 1
        while True:
            taken = self._seconds(iterations)
            if taken >= seconds / 4:
                return {"iterations": max(1, round(iterations * seconds / taken))}
            iterations *= 4

    def _host_seconds(self, iterations: int) -> float:
        """What it takes to hand the work over, to a device that has nothing else to do."""
        run = self.iteration
        self.library.synchronize()
        start = time.perf_counter()
        for _ in range(iterations):
            run()
        taken = time.perf_counter() - start
        self.library.synchronize()
        return taken

    def _event_seconds(self, iterations: int) -> float:
        """What the device takes once it is given work as fast as it can do it: first it is kept busy for as long as it takes to hand all over."""
        handing_over = self._host_seconds(iterations)
        self.library.occupy(1.5 * handing_over)
        return self.library.between_events(self.iteration, iterations)

    def burst(self, iterations: int, clock: str = "wall") -> dict[str, Any]:
        take = {"wall": self._seconds, "host": self._host_seconds, "events": self._event_seconds}[clock]
        if clock != "wall":
            iterations = min(iterations, _QUEUED)
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._seconds(max(1, int(iterations * _UNTIMED)))
            return {"seconds": take(iterations) / iterations}
        finally:
            if collecting:
                gc.enable()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        what = request.pop("do")
        if what not in ("build", "check", "recheck", "calibrate", "burst"):
            return {"error": f"no such request: {what!r}"}
        try:
            return getattr(self, what)(**request)
        except Exception as error:
            return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:500]}


def _own_stdout() -> Any:
    """A stream to the real stdout; whatever else writes there is sent to stderr, so that it cannot be taken for an answer."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def _follow_the_parent() -> None:
    """Be no part of the terminal's foreground, and do not outlive the parent, who may leave this process stopped and unable to see that its
    stdin has ended.  A stopped process group that is orphaned is hung up by the system (POSIX), but not where its next parent belongs to
    the same session, as a container's first process does: Linux can be asked for a signal."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(name: str, device: str, threads: str, *modules: str) -> None:
    _follow_the_parent()
    out = _own_stdout()

    def say(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    for module in modules:
        importlib.import_module(module)
    try:
        library = LIBRARIES[name](device, int(threads) or None)
    except (Unavailable, ImportError) as error:
        say({"unavailable": str(error)})
        return
    cases = {case.id: case for case in _cases.declared(modules) if isinstance(case, Case)}
    server = Server(library, cases)
    say({"version": library.version(), "threads": library.threads(), **({"gpu": gpu} if (gpu := library.gpu()) else {})})
    for line in sys.stdin:
        say(server.answer(json.loads(line)))


if __name__ == "__main__":
    main(*sys.argv[1:])
