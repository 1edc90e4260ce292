"""What the measurements were taken on."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "numba", "llvmlite", "numba-cuda", "cuda-toolkit", "torch", "jax", "jaxlib", "tinygrad")
VARIABLES = re.compile(r"(?:NUMBAGRAD|NUMBA|OMP|GOMP|KMP|MKL|OPENBLAS|VECLIB|XLA|JAX|MALLOC|ATEN|TORCH|DNNL|ONEDNN|CUDA)_|LD_PRELOAD$")


def cores() -> int:
    """How many this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return (found.group(1) if found else _output("sysctl", "-n", "machdep.cpu.brand_string")) or platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Size by level and kind, of the first core's."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(str(index / name)) for name in ("level", "type", "size"))
        if level and size:
            found[f"L{level}{'' if kind == 'Unified' else kind[:1].lower()}"] = size
    return found


def largest_cache() -> int:
    """Bytes; 32 MiB where it cannot be told."""
    sizes = [int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}.get(size[-1], 1) for size in _caches().values() if size[:-1].isdigit()]
    return max(sizes, default=32 << 20)


def _memory() -> float | None:
    """GiB."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """The checkout's, with a + where it has changes, other than to what these benchmarks write."""
    found = _output("git", "rev-parse", "--short=12", "HEAD")
    written = (":(exclude)benchmarks/results", ":(exclude)README.md")
    return found + ("+" if found and _output("git", "status", "--porcelain", "--untracked-files=no", "--", ".", *written) else "")


def gpu() -> dict[str, str]:
    """The first GPU, its driver, its most power and its highest clock, as far as nvidia-smi says."""
    names = ("name", "driver_version", "power.limit", "clocks.max.sm")
    found = _output("nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader").splitlines()
    values = [value.strip() for value in found[0].split(",")] if found else []
    return dict(zip(("name", "driver", "power", "clock"), values))


def describe() -> dict[str, Any]:
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    return {
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "cores": cores(),
        "caches": _caches(),
        "memory_gib": _memory(),
        "os": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        # A path says nothing about the speed, and is nobody else's business.
        "environment": {n: "(a path)" if os.sep in v else v for n, v in sorted(os.environ.items()) if VARIABLES.match(n)},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "load": [round(x, 2) for x in load],
    }


def busy(peaks: dict[str, float], machine: dict[str, Any], threads: int) -> str:
    """Why the machine was too busy for measurements, "" where it was not: work in registers does not speed up with the threads although
    nothing but others could hinder it, or much was running before the first measurement."""
    if peaks and peaks["gflops"] < 0.7 * threads * peaks["gflops_one"]:
        return f"{threads} threads reach {peaks['gflops'] / peaks['gflops_one']:.1f} times the arithmetic of one"
    if machine["load"] and machine["load"][0] > 0.5 * machine["cores"]:
        return f"the load was {machine['load'][0]:g} before it began"
    return ""


def slug(machine: dict[str, Any], threads: int) -> str:
    """A file name for results of this machine: cpu-amd-epyc-2threads, with a GPU cpu-amd-epyc-2threads-gpu-nvidia-h200."""

    def words(text: str) -> str:
        text = re.sub(r"\(r\)|\(tm\)|cpu|processor|@.*|\d+-core", " ", text.lower())
        return "-".join(re.findall(r"[a-z0-9]+", text)) or "unknown"

    gpu = machine.get("gpu", {}).get("name")
    return f"cpu-{words(machine['cpu'])}-{threads}threads" + (f"-gpu-{words(gpu)}" if gpu else "")
