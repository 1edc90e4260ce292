"""Launching kernels on one or more threads."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.compiler_lock import global_compiler_lock

from . import pool

# Below this many scalar operations a launch stays on the calling thread: a vector unit does some twenty in a nanosecond, and to share work
# with a thread that is awake takes half a microsecond.
PARALLEL_WORK = 100_000
# From here on it is worth waking threads that sleep, which takes the caller 5 microseconds, and 50 in a virtual machine.
WAKING_WORK = 500_000
# From here on there are more chunks than threads, so that a thread that was held up does not hold up the launch.
BALANCED_WORK = 4_000_000
# More threads than this do not help on any machine, and every one of them costs memory.
MOST_THREADS = max(256, 2 * (os.cpu_count() or 1))
_LARGEST_INT = 2**31 - 1  # of C, in which PyTorch counts threads


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
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"NUMBAGRAD_NUM_THREADS: expected a positive integer, but got {text!r}")
    if int(text) > _LARGEST_INT:
        raise ValueError(f"NUMBAGRAD_NUM_THREADS: expected at most {_LARGEST_INT}, but got {text.strip()}")
    return min(int(text), MOST_THREADS)


_threads = _initial_threads()
# The pool in use, by its number of threads; more than one only while the number changes.  No lock guards it: its changes are single operations,
# so a signal handler or a finaliser, which run between any two lines, may launch too.
_pools: dict[int, pool.Pool] = {}


def get_num_threads() -> int:
    """How many threads a launch may use."""
    return _threads


def set_num_threads(count: int) -> None:
    """Let each launch use up to ``count`` threads, at most ``MOST_THREADS``.

    Raises TypeError for what is no int, RuntimeError for fewer than one and ValueError for more than a C int holds.
    """
    global _threads
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads: expected an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads: expected a positive number of threads, but got {count}")
    if count > _LARGEST_INT:
        raise ValueError(f"set_num_threads: expected at most {_LARGEST_INT} threads, but got {count}")
    _threads = min(count, MOST_THREADS)


def _new_pool() -> pool.Pool:
    """The pool of ``_threads`` threads, for a launch that found none; it takes the place of all others.

    Whoever puts it in its place first starts its workers, and others use it meanwhile.
    """
    count = _threads
    fresh = pool.Pool(count)
    try:
        here = _pools.setdefault(count, fresh)
        if here is fresh:
            for other in list(_pools):
                old = _pools.pop(other, None) if other != count else None
                if old is not None:
                    old.stop()
            fresh.start()
    except BaseException:  # an interrupt, say: the next launch is to find all workers or no pool; an old pool may sleep on
        if _pools.get(count) is fresh:
            _pools.pop(count, None)
        fresh.stop()
        raise
    return here


def _after_fork_in_child() -> None:
    """In the child of a fork the workers do not exist."""
    global _pools
    _pools = {}
    global_compiler_lock.release()


@atexit.register
def _close_pool() -> None:
    """The workers leave compiled code before the interpreter takes it down; from here on every launch is serial."""
    global _threads
    _threads = 1
    while _pools:
        _pools.popitem()[1].stop(join=True)


if hasattr(os, "register_at_fork"):
    # Nobody may be compiling while a process forks: in the child, who holds the compiler's lock would never release it.
    os.register_at_fork(
        before=global_compiler_lock.acquire, after_in_parent=global_compiler_lock.release, after_in_child=_after_fork_in_child
    )


def _ready_pool() -> pool.Pool:
    """The pool of ``_threads`` threads, with workers that will notice a launch."""
    here = _pools.get(_threads)
    if here is None:
        here = _new_pool()
    if not here.futex:
        here.wake()
    return here


def launch(kernel: Any, n: int, *args: Any, work: int = 0) -> None:
    """Run ``kernel(lo, hi, *args)`` over [0, n); ``work`` is the launch's total number of scalar operations, and decides whether it is
    split.

    The ranges and the threads that take them are nobody's to rely on.  Launches from several threads at once are safe: one gets the
    workers, the others run alone.  An exception in a kernel is raised here; the rest of the range may be done by then, or not.
    """
    if work < PARALLEL_WORK or _threads == 1 or n < 2 or config.DISABLE_JIT:
        kernel(0, n, *args)
    else:
        if not kernel.over_range:
            raise TypeError(f"launch: expected a kernel whose first arguments are lo and hi, but got {kernel.__name__}")
        here = _ready_pool()  # which lives as long as the launch
        kernel(here.light if work < WAKING_WORK else here.medium if work < BALANCED_WORK else here.heavy, n, *args)


def compiled(kernel: Any, signature: Any) -> Any:
    """``kernel`` for one explicit Numba ``signature`` ``void(intp, intp, ...)``: a callable ``(n, *args, work=0)`` that skips typing its
    arguments.

    It compiles (or loads from the cache) on its first call.
    """
    if not config.DISABLE_JIT and not kernel.over_range:
        raise TypeError(f"compiled: expected a kernel whose first arguments are lo and hi, but got {kernel.__name__}")
    entry: Any = None

    def call(n: int, *args: Any, work: int = 0) -> None:
        nonlocal entry
        if entry is None:
            entry = _entry_point(kernel, signature.args)
        if work < PARALLEL_WORK or _threads == 1 or n < 2 or config.DISABLE_JIT:
            entry(0, n, *args)
        else:
            here = _ready_pool()
            entry(here.light if work < WAKING_WORK else here.medium if work < BALANCED_WORK else here.heavy, n, *args)

    return call


def _entry_point(dispatcher: Any, types: tuple[Any, ...]) -> Any:
    """What the dispatcher would call for arguments of these types."""
    if config.DISABLE_JIT:
        return dispatcher
    types = tuple(types)
    dispatcher.compile(types)
    return dispatcher.overloads[types].entry_point
