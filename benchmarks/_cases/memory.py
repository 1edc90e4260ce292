"""Memory of training steps, from the operating system's books, so that every library is counted alike."""

from __future__ import annotations

import gc
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from .._declare import Goal, Metric, Once

PROGRAM = "from benchmarks._cases.memory import measure; measure({library!r}, NETWORK, BATCH)"


def _status(name: str) -> int:
    """A number of bytes from Linux's /proc/self/status; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)


def _peak() -> int:
    """Bytes in use at the most.  Linux's ru_maxrss is inherited from the parent, which may be the larger; VmHWM is not."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _restart_peak() -> int:
    """Count the peak from now on, where the system can do that; bytes in use now, or the peak so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return _status("VmRSS") or _peak()


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def measure(name: str, network: str, batch: int) -> None:
    """Train and print the numbers.  Two images first, so that the library, its threads and its kernels do not count as the step's."""
    from .._libraries import LIBRARIES
    from .train import jax_step, torch_step

    library = LIBRARIES[name]()
    prepare = jax_step if library.api == "jax" else torch_step
    for _ in range(2):
        step = prepare(library, network, 2, 8)
        step()
    before_all = _peak()
    gc.collect()
    before = _restart_peak()
    step = prepare(library, network, batch, 0)
    warm, steps = (20, 20) if batch < 1024 else (3, 3)
    for _ in range(warm):
        step()
    faults = _faults()
    for _ in range(steps):
        step()
    library.synchronize()
    faults = _faults() - faults
    peak = _peak()
    print(json.dumps({"of the step": peak - before, "whole process": max(peak, before_all), "page faults per step": faults / steps}))


def cases() -> Iterator[Once]:
    for network, label in (("mlp", "MLP"), ("lenet", "LeNet"), ("cnn", "CNN")):
        for batch in (64, 1024):
            goals = (Goal("torch", 1.0),) if (network, batch) == ("cnn", 64) else ()
            metrics = {"of the step": Metric("B", goals), "whole process": Metric("B"), "page faults per step": Metric("faults")}
            programs = {}
            for api in ("torch", "jax"):
                programs[api] = PROGRAM.replace("{library!r}", "'{library}'").replace("NETWORK", repr(network)).replace("BATCH", str(batch))
            quick = (network, batch) == ("mlp", 64)
            yield Once("memory", "peak", f"{label} b{batch}", programs, metrics, samples=1 if batch > 64 else 2, quick=quick)
