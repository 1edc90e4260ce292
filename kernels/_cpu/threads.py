"""Launching kernels on one or more threads."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.compiler_lock import global_compiler_lock

from . import atomics, pool
from .jit import compile_source
from .jit import kernel as compile_kernel

# Below this many scalar operations a launch stays on the calling thread: the others are worth half a microsecond when they are awake and
# five when they sleep, and a vector unit does some twenty operations in a nanosecond.
PARALLEL_WORK = 100_000
# From here on there are more chunks than threads, so that a thread that was held up does not hold up the launch.
BALANCED_WORK = 4_000_000


def _available_processors() -> int:
    """The processors this process may use: its affinity, and on Linux its control group's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # another system, an older kernel, or no limit ("max")
        pass
    return count


def _initial_threads() -> int:
    text = os.environ.get("NUMBAGRAD_NUM_THREADS", "")
    if not text:
        return _available_processors()
    if not text.strip().isdigit() or int(text) < 1:
        raise ValueError(f"NUMBAGRAD_NUM_THREADS: expected a positive integer, but got {text!r}")
    return int(text)


_threads = _initial_threads()
_pool: pool.Pool | None = None
_pool_lock = threading.Lock()
_entries: dict[Any, Any] = {}


def get_num_threads() -> int:
    """How many threads a launch may use."""
    return _threads


def set_num_threads(count: int) -> None:
    """Let each launch use up to ``count`` threads.  Raises TypeError for what is no int and RuntimeError for fewer than one."""
    global _threads
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads: expected an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads: expected a positive number of threads, but got {count}")
    _threads = count


def _current_pool() -> pool.Pool:
    """The pool of ``_threads`` threads, started when there is none."""
    global _pool
    with _pool_lock:
        if _pool is None or _pool.threads != _threads:
            if _pool is not None:
                _pool.stop()
            _pool = pool.Pool(_threads)
        return _pool


def _after_fork_in_child() -> None:
    """In the child of a fork the workers do not exist, and the lock may be held by a thread that does not either."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()
    global_compiler_lock.release()


@atexit.register
def _close_pool() -> None:
    """The workers leave compiled code before the interpreter takes it down; from here on every launch is serial."""
    global _threads, _pool
    _threads = 1
    if _pool is not None:
        _pool.stop(join=True)
        _pool = None


if hasattr(os, "register_at_fork"):
    # Nobody may be compiling while a process forks: in the child, who holds the compiler's lock would never release it.
    os.register_at_fork(
        before=global_compiler_lock.acquire, after_in_parent=global_compiler_lock.release, after_in_child=_after_fork_in_child
    )


def _parallel_entry(kernel: Any, arity: int) -> Any:
    """The compiled function ``(control, n, chunks, *args)`` that runs ``kernel`` on a pool."""
    entry = _entries.get(kernel)
    if entry is None:
        names = "".join(f"a{index}, " for index in range(arity))
        name = f"{kernel.__name__}_parallel"
        source = f"def {name}(control, n, chunks, {names}):\n    return parallel_for(control, n, chunks, ({names}))\n"
        function = compile_source(name, source, {"parallel_for": atomics.parallel_for(kernel)})
        entry = _entries[kernel] = compile_kernel(function, source=source)
    return entry


def _run_parallel(entry: Any, kernel: Any, n: int, args: tuple[Any, ...], work: int) -> None:
    here = _pool
    if here is None or here.threads != _threads:
        here = _current_pool()
    if not here.futex:
        here.wake()
    chunks = here.threads if work < BALANCED_WORK else 4 * here.threads
    if entry(here.control, n, chunks if chunks < n else n, *args):
        raise RuntimeError(f"{kernel.__name__}: an exception was raised in a compiled kernel that ran on several threads")


def launch(kernel: Any, n: int, *args: Any, work: int = 0) -> None:
    """Run ``kernel(lo, hi, *args)`` over [0, n); ``work`` is the launch's total number of scalar operations, and decides whether it is
    split.

    The ranges and the threads that take them are nobody's to rely on.  Launches from several threads at once are safe: one gets the
    workers, the others run alone.  A kernel's exception is raised as it is from a serial launch, as RuntimeError from a split one.
    """
    if work < PARALLEL_WORK or _threads == 1 or n < 2 or config.DISABLE_JIT:
        kernel(0, n, *args)
    else:
        _run_parallel(_entries.get(kernel) or _parallel_entry(kernel, len(args)), kernel, n, args, work)


def compiled(kernel: Any, signature: Any) -> Any:
    """``kernel`` for one explicit Numba ``signature`` ``void(intp, intp, ...)``: a callable ``(n, *args, work=0)`` that skips typing its
    arguments.

    It compiles (or loads from the cache) on its first call, and once more on the first that is worth splitting.
    """
    serial: Any = None
    parallel: Any = None

    def call(n: int, *args: Any, work: int = 0) -> None:
        nonlocal serial, parallel
        if work < PARALLEL_WORK or _threads == 1 or n < 2 or config.DISABLE_JIT:
            if serial is None:
                serial = _entry_point(kernel, signature.args)
            serial(0, n, *args)
        else:
            if parallel is None:
                parallel = _entry_point(_parallel_entry(kernel, len(args)), (signature.args[0],) * 3 + tuple(signature.args[2:]))
            _run_parallel(parallel, kernel, n, args, work)

    return call


def _entry_point(dispatcher: Any, types: tuple[Any, ...]) -> Any:
    """What the dispatcher would call for arguments of these types."""
    if config.DISABLE_JIT:
        return dispatcher
    types = tuple(types)
    dispatcher.compile(types)
    return dispatcher.overloads[types].entry_point
