"""Launching kernels on one or more threads."""

from __future__ import annotations

import os
from typing import Any

# Below this many scalar operations a launch stays on the calling thread.
PARALLEL_WORK = 50_000

_threads = int(os.environ.get("NUMBAGRAD_NUM_THREADS", 0)) or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_num_threads() -> int:
    """How many threads a launch may use."""
    return _threads


def set_num_threads(count: int) -> None:
    """Let each launch use up to ``count`` threads."""
    global _threads
    if count < 1:
        raise RuntimeError(f"set_num_threads: expected a positive number of threads, but got {count}")
    _threads = count


def launch(kernel: Any, n: int, *args: Any, work: int = 0) -> None:
    """Run ``kernel(lo, hi, *args)`` over [0, n); ``work`` is the launch's total number of scalar operations, and decides whether it is split."""
    kernel(0, n, *args)


def compiled(kernel: Any, signature: Any) -> Any:
    """``kernel`` for one explicit Numba ``signature`` ``void(intp, intp, ...)``: a callable ``(n, *args, work=0)`` that skips typing its arguments.

    It compiles (or loads from the cache) on its first call.
    """
    entry: Any = None

    def call(n: int, *args: Any, work: int = 0) -> None:
        nonlocal entry
        if entry is None:
            if hasattr(kernel, "compile"):
                kernel.compile(signature)
                entry = kernel.overloads[tuple(signature.args)].entry_point
            else:  # NUMBA_DISABLE_JIT
                entry = kernel
        entry(0, n, *args)

    return call
