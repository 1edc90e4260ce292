"""The worker threads behind a launch: Python threads, each inside one compiled loop that holds no GIL, spinning for a while, then asleep.

    launching thread: publish task and arguments, hand out tickets, advance the generation, wake sleepers, work, wait for begun chunks
    worker:           see the generation change, draw tickets until none are left, spin, sleep

Being found idle is a matter of one cache line, so a launch costs well under a microsecond while the workers spin.  Idle workers sleep on
a futex on Linux, and in Python elsewhere: there, they are woken before a launch and may miss it, which costs speed, never correctness.
"""

from __future__ import annotations

import threading

import numpy as np

from .atomics import (
    ARGUMENTS,
    CONTROL_BYTES,
    DONE,
    FUTEX_NUMBER,
    GENERATION,
    LINE,
    SLEEPERS,
    STOP,
    TASK,
    TICKETS,
    atomic_add,
    atomic_load,
    call_task,
    futex_wait,
    futex_wake,
    relax,
)
from .intrinsics import load
from .jit import kernel

# How often an idle worker looks before it sleeps: 20 to 60 microseconds, about the pause between the operations of a training loop.
SPINS = 2000


@kernel
def _work(control, seen, spins, futex):
    """A worker's life.  Returns the generation it has seen when it wants to sleep in Python (``futex`` is 0), or -1 when told to stop."""
    while True:
        spun = 0
        while atomic_load(control + GENERATION) == seen:
            relax()
            spun += 1
            if spun >= spins:
                if futex == 0:
                    return seen
                atomic_add(control + SLEEPERS, 1)
                futex_wait(control + GENERATION, seen)
                atomic_add(control + SLEEPERS, -1)
                spun = 0
        seen = atomic_load(control + GENERATION)
        if atomic_load(control + STOP) != 0:
            return -1
        while True:
            ticket = atomic_add(control + TICKETS, -1)
            if ticket <= 0:
                break
            # What a ticket's task and arguments are does not change before its chunk is done.
            arguments = load(control + ARGUMENTS, np.int64)
            chunks = load(arguments + 8, np.int64)
            call_task(load(control + TASK, np.int64), arguments, chunks - ticket)
            atomic_add(control + DONE, 1)


@kernel
def _stop(control, futex):
    atomic_add(control + STOP, 1)
    atomic_add(control + GENERATION, 1)
    if futex != 0:
        futex_wake(control + GENERATION, 1 << 30)


class Pool:
    """``threads - 1`` workers.  ``control`` is the address of the control block, which lives as long as any of them."""

    def __init__(self, threads: int, futex: bool = FUTEX_NUMBER != 0):
        self.threads = threads
        self.futex = futex
        self._block = np.zeros(CONTROL_BYTES + LINE, np.uint8)
        self.control = -(-self._block.ctypes.data // LINE) * LINE
        self._words = self._block[self.control - self._block.ctypes.data :][:CONTROL_BYTES].view(np.int64)
        self._wake = threading.Semaphore(0)
        self._asleep = 0
        self._lock = threading.Lock()
        _work.compile("int64(intp, int64, int64, int64)")
        _stop.compile("void(intp, int64)")
        self._workers: list[threading.Thread] = []
        for index in range(1, threads):
            worker = threading.Thread(target=self._run, daemon=True, name=f"numbagrad-worker-{index}")
            try:
                worker.start()
            except RuntimeError:  # the system gives no more threads: those there are do the work
                break
            self._workers.append(worker)

    def _run(self) -> None:
        seen = 0
        while True:
            seen = _work(self.control, seen, SPINS, int(self.futex))
            if seen < 0:
                return
            with self._lock:
                if self._words[STOP // 8]:
                    return
                self._asleep += 1
            self._wake.acquire()

    def wake(self) -> None:
        """Wake the workers that sleep in Python; they will be spinning when the launch comes."""
        with self._lock:
            asleep, self._asleep = self._asleep, 0
        if asleep:
            self._wake.release(asleep)

    def stop(self, join: bool = False) -> None:
        """Let the workers finish what they have begun and end.  A launch that still uses this pool does its work alone."""
        with self._lock:
            _stop(self.control, int(self.futex))
        self.wake()
        if join:
            for worker in self._workers:
                worker.join(timeout=5.0)
