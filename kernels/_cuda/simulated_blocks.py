"""The threads of a simulated block: greenlets of which one runs at a time, each until it waits for the others or ends.

Numba's simulator gives each a thread of the system and polls; to switch between greenlets is a thousand times as quick, and always goes the same way.
Who comes to a barrier first leaves it last: a kernel that lacks a barrier, and is right as long as its threads run in order, is found out.  So are
threads that wait for each other in vain, lanes that a shuffle waits for but that are gone, and memory of the block that is read before it is written:
it begins as garbage.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, Callable, Sequence

import numpy as np
from greenlet import GreenletExit, greenlet
from numba.cuda.simulator.kernelapi import Dim3, FakeCUDAModule

from .simulator import WARP

_GARBAGE = 0xCB


class Cuda(FakeCUDAModule):  # type: ignore[misc]
    """What kernels know as ``cuda`` during a launch.  Numba's asks the thread of the system where it is; this one the running greenlet."""

    def __init__(self, grid: Sequence[int], block: Sequence[int], shared: int):
        super().__init__(tuple(grid), tuple(block), shared)
        self.running: Any = None  # the _Thread

    threadIdx = property(lambda self: self.running.threadIdx)
    blockIdx = property(lambda self: self.running.block.index)
    laneid = property(lambda self: self.running.number % WARP)

    def exchange(self, value: Any) -> tuple[int, dict[int, Any]]:
        """The running thread's number in its block, and what every lane of its warp has handed in, by theirs."""
        thread = self.running
        return thread.number, thread.meet(thread.warp, value)

    def syncthreads(self) -> None:
        self.running.meet(self.running.block.everyone)

    def syncwarp(self, mask: int = 0xFFFFFFFF) -> None:
        self.running.meet(self.running.warp)

    def syncthreads_count(self, value: Any) -> int:
        return sum(map(bool, self.running.meet(self.running.block.everyone, value).values()))

    def syncthreads_and(self, value: Any) -> int:
        return int(all(self.running.meet(self.running.block.everyone, value).values()))

    def syncthreads_or(self, value: Any) -> int:
        return int(any(self.running.meet(self.running.block.everyone, value).values()))


class _Meeting:
    """Where ``expected`` threads wait for each other and leave what they bring."""

    __slots__ = ("expected", "waiting", "brought")

    def __init__(self, expected: int):
        self.expected = expected
        self.waiting: list[_Thread] = []
        self.brought: dict[int, Any] = {}


class _Thread(greenlet):  # type: ignore[misc]
    """One thread of a block."""

    def __init__(self, block: _Block, number: int, warp: _Meeting):
        super().__init__(block.function)
        x, y, _ = block.threads
        self.block, self.number, self.warp = block, number, warp
        self.threadIdx = Dim3(number % x, number // x % y, number // (x * y))

    def meet(self, meeting: _Meeting, brought: Any = None) -> dict[int, Any]:
        """Wait until all have come; what each has brought, by its number in the block."""
        meeting.waiting.append(self)
        meeting.brought[self.number] = brought
        self.block.open(meeting)
        return self.parent.switch()


class _Block:
    """The run of one block."""

    def __init__(self, cuda: Cuda, function: Callable[..., Any], arguments: Sequence[Any], index: Sequence[int], threads: Sequence[int]):
        self.cuda, self.function, self.arguments, self.index, self.threads = cuda, function, arguments, Dim3(*index), threads
        self.ready: deque[tuple[_Thread, Any]] = deque()

    def run(self) -> None:
        count = int(np.prod(self.threads))
        self.everyone = warp = _Meeting(count)
        members = []
        for number in range(count):
            if number % WARP == 0:
                warp = _Meeting(min(WARP, count - number))
            members.append(_Thread(self, number, warp))
        # In every other block the last thread begins.
        self.ready.extend((thread, self.arguments) for thread in (members if self.index.x % 2 else reversed(members)))
        try:
            self._take_turns()
        finally:
            for thread in members:
                if not thread.dead:
                    thread.throw(GreenletExit)

    def _take_turns(self) -> None:
        cuda, everyone = self.cuda, self.everyone
        while self.ready:
            thread, given = self.ready.popleft()
            cuda.running = thread
            try:
                thread.switch(*given)
            except Exception as error:
                where = f"tid={list(thread.threadIdx)} ctaid={list(self.index)}"
                raise type(error)(f"{where}: {error}").with_traceback(error.__traceback__) from None
            if thread.dead:
                if thread.warp.waiting:
                    raise RuntimeError("a warp's lanes wait for one that has ended")
                everyone.expected -= 1  # who has ended is not waited for
                self.open(everyone)
                thread.warp.expected = 0
        if everyone.expected:
            raise RuntimeError("a block's threads wait for each other at different barriers")

    def open(self, meeting: _Meeting) -> None:
        """Let those who wait go on if all have come, the last first."""
        if meeting.waiting and len(meeting.waiting) == meeting.expected:
            self.ready.extend((thread, (meeting.brought,)) for thread in reversed(meeting.waiting))
            meeting.waiting, meeting.brought = [], {}


class _Shared:
    """``cuda.shared`` of one block: an array for each line that asks for one, full of garbage; of no size, all that a launch gave it."""

    def __init__(self, dynamic: int):
        self.dynamic = np.full(dynamic, _GARBAGE, np.uint8)
        self.arrays: dict[Any, np.ndarray] = {}

    def array(self, shape: Any, dtype: Any, alignment: Any = None) -> np.ndarray:
        kind = np.dtype(dtype)
        if shape == 0:
            return self.dynamic[: self.dynamic.size // kind.itemsize * kind.itemsize].view(kind)
        frame = sys._getframe(1)
        key = frame.f_code, frame.f_lineno
        found = self.arrays.get(key)
        if found is None:
            size = int(np.prod(shape)) * kind.itemsize
            found = self.arrays[key] = np.full(size, _GARBAGE, np.uint8).view(kind).reshape(shape)
        return found


def run(cuda: Cuda, function: Callable[..., Any], grid: Sequence[int], block: Sequence[int], arguments: Any, shared: int) -> None:
    """Run the blocks one after the other; ``cuda`` is what ``function`` knows by that name.  Raises RuntimeError for what a driver refuses to launch."""
    if min(*grid, *block) < 1 or grid[0] >= 1 << 31 or max(grid[1:]) >= 1 << 16 or np.prod(block) > 1024 or shared > 227 << 10:
        raise RuntimeError(
            f"CUDA error: blocks {tuple(grid)} of threads {tuple(block)} with {shared} bytes of shared memory cannot be launched"
        )
    for z in range(grid[2]):
        for y in range(grid[1]):
            for x in range(grid[0]):
                cuda._shared = _Shared(shared)
                _Block(cuda, function, arguments, (x, y, z), block).run()
