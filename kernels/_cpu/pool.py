"""The worker threads behind a launch: Python threads, each inside one compiled loop that holds no GIL, spinning for a while, then asleep.

    launching thread: publish task and frame, hand out tickets, advance the generation, wake sleepers, work, wait for begun chunks
    worker:           see the generation change, draw tickets until none are left, spin, sleep

Being found idle is a matter of one cache line, so a launch costs a fraction of a microsecond while the workers spin.  Idle workers sleep on
a futex on Linux, and in Python elsewhere: there, they are woken before a launch and may miss it, which costs speed, never correctness.

A worker on the launching thread's own processor only holds that up, so it moves to another.  One that shares its processor with another
program is taken off it for milliseconds at a time, and whoever waits for its chunk waits with it: a worker that finds itself so crowded takes a
nap, and the launching thread does its share.  Naps grow longer while it happens again and again.  What tells is how long it was off its processor:
the many short tasks of a system, which take microseconds each, are no crowd.
"""

from __future__ import annotations

import threading

import numpy as np

from .atomics import (
    BUSY,
    CONTROL_BYTES,
    DONE,
    FRAME,
    FUTEX_NUMBER,
    GENERATION,
    LINE,
    PROCESSOR,
    RUN,
    SKIPPED,
    SLEEPERS,
    STOP,
    TASK,
    THREADS,
    TICKETS,
    atomic_add,
    atomic_load,
    atomic_store,
    atomic_swap_if,
    call_task,
    futex_wait,
    futex_wake,
    leave_processor,
    now,
    offer_processor,
    processor,
    processor_time,
    relax,
)
from .intrinsics import load, store
from .jit import address, inline, kernel
from .types import int64, intp

# How often an idle worker looks before it sleeps: some 200 microseconds, more than lies between two large operations of a training step.
SPINS = 8000
# How often a launching thread looks whether the others are done before it offers its processor between looks.
_PATIENCE = 5000
# Nanoseconds: the shortest and the longest nap, and how soon after one the next is longer.
_SHORTEST, _LONGEST, _SOON = 1_000_000, 128_000_000, 20_000_000
# Every so many launches, or looks, a worker asks the system whether it is crowded.
_LAUNCHES, _LOOKS = 8, 64
# It is when it lost so many nanoseconds to others, not counting one in eight.
_LOST, _BEARABLE = 1_000_000, 8
# A sleeper is woken for a launch that is not worth it once in so many.
_SKIPS = 16
# A request is the address of a control block, which ends in six zero bits, plus the number of chunks for each thread, plus this if the
# launch is worth waking sleepers.
_PER_THREAD, _WAKES = 15, 16


@inline
def _held_up(control):
    """Whether this worker holds up the launching thread: it is on that one's processor, and there is no other to move to."""
    here = processor()
    return here >= 0 and here == load(control + PROCESSOR, np.int64) and not leave_processor(here)


@kernel
def _work(control, seen, spins, futex):
    """A worker's life.  Returns the generation it has seen when it wants to sleep in Python (``futex`` is 0), or -1 when told to stop."""
    launches, nap, woke, lost, began, used = 0, 0, 0, 0, now(), processor_time()
    while True:
        looks, crowded = 0, False
        while atomic_load(control + GENERATION) == seen and not crowded:
            relax()
            looks += 1
            if looks % _LOOKS == 0:
                crowded = _held_up(control)
            if looks >= spins:
                if futex == 0:
                    return seen
                atomic_add(control + SLEEPERS, 1)
                futex_wait(control + GENERATION, seen, 0)
                if atomic_add(control + SLEEPERS, -1) > 1 and atomic_load(control + TICKETS) > 1:
                    futex_wake(control + GENERATION, 2)  # each wakes two more: nobody is late by waking all
                looks, crowded, began, used = 0, _held_up(control), now(), processor_time()
        if atomic_load(control + STOP) != 0:
            return -1
        if not crowded:
            seen = atomic_load(control + GENERATION)
            while True:
                ticket = atomic_add(control + TICKETS, -1)
                if ticket <= 0:
                    break
                # What a ticket's task and frame are does not change before its chunk is done.
                frame = load(control + FRAME, np.int64)
                call_task(load(control + TASK, np.int64), frame, load(frame + 8, np.int64) - ticket)
                atomic_add(control + DONE, 1)
            launches += 1
            if launches % _LAUNCHES == 0:
                at, spent = now(), processor_time()
                lost = max(0, lost + (at - began) - (spent - used) - (at - began) // _BEARABLE)
                crowded, began, used = lost > _LOST, at, spent
        if crowded:
            nap = min(2 * nap, _LONGEST) if now() - woke < _SOON else _SHORTEST
            futex_wait(control + STOP, 0, nap)
            woke = began = now()
            lost, used = 0, processor_time()


@kernel
def _run(request, n, task, frame):
    """Run ``task(frame, chunk)`` for all chunks of a launch (see wrapper.py), on this thread and the workers.

    Whoever is free takes the next ticket; a ticket is a chunk.  A worker that comes late finds no ticket and touches nothing, so this
    thread waits only for chunks that somebody has begun.  When the pool is busy with another thread's launch, this one runs alone.

    ``n`` is positive; 0 tells the workers to end.
    """
    control = request & -LINE
    if n == 0:
        atomic_add(control + STOP, 1)
        atomic_add(control + GENERATION, 1)
        futex_wake(control + GENERATION, 1 << 30)
        futex_wake(control + STOP, 1 << 30)
        return
    if not atomic_swap_if(control + BUSY, 0, 1):
        store(frame + 8, np.int64(1))
        call_task(task, frame, 0)
        return
    chunks = min(n, load(control + THREADS, np.int64) * (request & _PER_THREAD))
    store(frame + 8, chunks)
    store(control + TASK, task)
    store(control + FRAME, frame)
    store(control + PROCESSOR, processor())
    atomic_store(control + DONE, 0)
    atomic_store(control + TICKETS, chunks)
    atomic_add(control + GENERATION, 1)
    if atomic_load(control + SLEEPERS) > 0:
        skipped = load(control + SKIPPED, np.int64) + 1
        if skipped > _SKIPS or request & _WAKES:
            futex_wake(control + GENERATION, min(2, chunks - 1))
            skipped = 0
        store(control + SKIPPED, skipped)
    while True:
        ticket = atomic_add(control + TICKETS, -1)
        if ticket <= 0:
            break
        call_task(task, frame, chunks - ticket)
        atomic_add(control + DONE, 1)
    looked = 0
    while atomic_load(control + DONE) != chunks:
        relax()
        looked += 1
        if looked > _PATIENCE:
            offer_processor()
    atomic_store(control + BUSY, 0)


class Pool:
    """``threads - 1`` workers and a control block, which lives as long as any of them.

    A kernel that is given one of ``light``, ``medium`` and ``heavy`` for ``lo`` runs on this pool: in as many chunks as there are threads, the
    same after waking those that sleep, or in four times as many.

    Nothing here holds a lock: signal handlers and finalisers run between any two lines of Python, and they may launch.
    """

    def __init__(self, threads: int, futex: bool = FUTEX_NUMBER != 0):
        self.threads = threads
        self.futex = futex
        self._block = np.zeros(CONTROL_BYTES + LINE, np.uint8)
        self._control = control = -(-self._block.ctypes.data // LINE) * LINE
        self.light, self.medium, self.heavy = -(control + 1), -(control + 1 + _WAKES), -(control + 4 + _WAKES)
        self._words = self._block[control - self._block.ctypes.data :][:CONTROL_BYTES].view(np.int64)
        self._words[RUN // 8] = address(_run, (intp, int64, intp, intp))
        self._words[THREADS // 8] = threads
        self._workers: list[threading.Thread] = []
        self._gates: list[threading.Lock] = []  # a worker that sleeps in Python waits at its own

    def start(self) -> Pool:
        """Start the workers, once.  The pool can be used before, and while, they start."""
        _work.compile((intp, int64, int64, int64))
        for index in range(1, self.threads):
            gate = threading.Lock()
            gate.acquire()
            worker = threading.Thread(target=self._run, args=(gate,), daemon=True, name=f"numbagrad-worker-{index}")
            self._gates.append(gate)
            try:
                worker.start()
            except RuntimeError:  # the system gives no more threads: those there are do the work
                break
            self._workers.append(worker)
        return self

    def _run(self, gate: threading.Lock) -> None:
        seen = 0
        while True:
            seen = _work(self._control, seen, SPINS, int(self.futex))
            if seen < 0:
                return
            gate.acquire()

    def wake(self) -> None:
        """Wake the workers that sleep in Python; they will be spinning when the launch comes.

        A worker that is not asleep finds its gate open the next time, and spins once more.
        """
        for gate in self._gates:
            if gate.locked():
                try:
                    gate.release()
                except RuntimeError:  # another thread was quicker
                    pass

    def stop(self, join: bool = False) -> None:
        """Let the workers finish what they have begun and end.  A launch that still uses this pool does its work alone."""
        _run(self._control, 0, 0, 0)
        self.wake()
        if join:
            for worker in self._workers:
                worker.join(timeout=5.0)
