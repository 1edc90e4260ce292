"""The allocator and streams: a block is used again when all who used it are done, and not before."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from numbagrad.kernels._cuda import block_table as table
from numbagrad.kernels._cuda import devices, memory, pinned, streams
from numbagrad.kernels._cuda.driver import OutOfMemoryError
from numbagrad.kernels._cuda.memory import MIB, allocate

from .conftest import replace_doors
from .queued import QueuedDriver, check_tables

SEGMENT = 2 * MIB


def test_own_stream_has_it_at_once(queued):
    s = streams.Stream()
    with streams.use(s):
        a = allocate(512)
        queued.work(s.handle)
        place = a.pointer
        a.record_stream(s)  # as PyTorch's, this says nothing new
        del a
        assert allocate(512).pointer == place


def test_other_streams_have_blocks_of_their_own(queued):
    a = allocate(512)
    place = a.pointer
    del a
    with streams.use(streams.Stream()):
        b = allocate(512)
    assert b.pointer != place and allocate(512).pointer == place


def test_recorded_stream_is_waited_for(queued):
    s = streams.Stream()
    a = allocate(512)
    place = a.pointer
    queued.work(s.handle)
    a.record_stream(s)
    del a
    b = allocate(512)
    assert b.pointer != place and memory.memory_stats()["allocation.all.current"] == 2
    queued.advance(s.handle)
    assert memory.memory_stats()["allocation.all.current"] == 1
    assert allocate(512).pointer == place


def test_all_recorded_streams_are_waited_for(queued):
    s, t = streams.Stream(), streams.Stream()
    for first, second in ((s, t), (t, s)):
        a = allocate(512)
        place = a.pointer
        for stream in (s, t):
            queued.work(stream.handle)
            a.record_stream(stream)
        del a
        queued.advance(first.handle)
        assert allocate(512).pointer != place
        queued.advance(second.handle)
        assert memory.memory_stats()["allocation.all.current"] == 0


def test_what_is_waited_for_when_memory_is_short(queued):
    queued.memory = 30 * MIB
    s = streams.Stream()
    a = allocate(25 * MIB)
    place = a.pointer
    queued.work(s.handle)
    a.record_stream(s)
    del a
    assert allocate(25 * MIB).pointer == place and s.query()


def test_driver_is_asked_for_memory_after_all_is_done(queued):
    """What the streams still do with an idle segment is done before the segment goes."""
    a = allocate(512)
    mark = queued.work(streams.current_handle())
    del a
    assert not queued.reached(mark)
    memory.empty_cache()
    assert queued.reached(mark) and not queued._live


def test_handles_serve_again(queued):
    """A stream's handle goes to the next stream, together with the blocks that it has; two streams that live never share one."""
    s, t = streams.Stream(), streams.Stream()
    assert s.handle != t.handle
    handle = s.handle
    with streams.use(s):
        place = allocate(512).pointer
    del s
    gc.collect()
    u = streams.Stream()
    assert u.handle == handle and u != t
    with streams.use(u):
        assert allocate(512).pointer == place


class Allocator(RuleBasedStateMachine):
    """Blocks are allocated on three streams, used on any of them and dropped, while the streams do their work whenever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.driver = QueuedDriver(memory=64 * MIB)
        replace_doors(self.patch, self.driver)
        self.streams = [streams.default_stream(0), streams.Stream(), streams.Stream()]
        self.live: list[memory.Allocation] = []
        self.owner: list[int] = []
        # Who uses which bytes until which mark.
        self.uses: list[tuple[int, int, tuple[int, int]]] = []

    def _check_new(self, a: memory.Allocation, stream: int) -> None:
        start, end = a.pointer, a.pointer + a.nbytes
        assert self.driver._start_of(start, a.nbytes, "test") <= start
        assert all(end <= other.pointer or other.pointer + other.nbytes <= start for other in self.live), "overlap"
        for low, high, mark in self.uses:
            if low < end and start < high:
                assert mark[0] == stream or self.driver.reached(mark), "another stream is not done with it"

    @rule(
        nbytes=st.one_of(
            st.sampled_from([512, 1024]), st.integers(1, 4000), st.integers(1, 3 * MIB), st.sampled_from([MIB, MIB + 1, 10 * MIB, 24 * MIB])
        ),
        which=st.integers(0, 2),
    )
    def allocate(self, nbytes: int, which: int) -> None:
        stream = self.streams[which]
        with streams.use(stream):
            try:
                a = allocate(nbytes)
            except OutOfMemoryError:
                # Everything that nobody uses has gone back, and it was not enough.
                pool = memory._pools[0]
                assert not pool._returned
                used, _ = check_tables(pool)
                assert used == {other.pointer for other in self.live}
                assert self.driver.MemGetInfo()[0] < -(-nbytes // SEGMENT) * SEGMENT
                return
        self._check_new(a, stream.handle)
        self.live.append(a)

    @precondition(lambda self: self.live)
    @rule(place=st.integers(0, 1 << 20), which=st.integers(0, 2))
    def use(self, place: int, which: int) -> None:
        """A kernel on any stream reads or writes the block."""
        a, stream = self.live[place % len(self.live)], self.streams[which]
        a.record_stream(stream)
        self.uses.append((a.pointer, a.pointer + a.nbytes, self.driver.work(stream.handle)))

    @precondition(lambda self: self.live)
    @rule(place=st.integers(0, 1 << 20))
    def drop(self, place: int) -> None:
        del self.live[place % len(self.live)]

    @rule(which=st.integers(0, 2), steps=st.integers(1, 4))
    def advance(self, which: int, steps: int) -> None:
        for _ in range(steps):
            self.driver.advance(self.streams[which].handle)

    @rule(first=st.integers(0, 2), second=st.integers(0, 2))
    def wait(self, first: int, second: int) -> None:
        self.streams[first].wait_stream(self.streams[second])

    @rule()
    def empty_cache(self) -> None:
        memory.empty_cache()
        if memory._pools:
            used, _ = check_tables(memory._pools[0])
            assert self.driver._live.keys() == {self.driver._start_of(pointer, 1, "test") for pointer in used}

    @rule()
    def books_are_in_order(self) -> None:
        if not memory._pools:
            return
        pool = memory._pools[0]
        used, reserved = check_tables(pool)
        waiting = {int(pool.blocks[block.row, table.POINTER]) for block in pool._returned}
        assert used == {a.pointer for a in self.live} | waiting
        assert reserved == sum(size for _, size, _ in self.driver._live.values()) == self.driver.memory - self.driver.MemGetInfo()[0]

    def teardown(self) -> None:
        try:
            self.books_are_in_order()
            self.live.clear()
            self.driver.CtxSynchronize()
            memory.empty_cache()
            if memory._pools:
                assert check_tables(memory._pools[0]) == (set(), 0)
            assert not self.driver._live
        finally:
            self.streams.clear()
            self.patch.undo()
            devices.thread.__dict__.clear()


TestAllocator = Allocator.TestCase
TestAllocator.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


# ---- pinned memory ------------------------------------------------------------------------------------------------------------------------


def test_pinned(simulated):
    a = pinned.pinned(100)
    assert a.dtype == np.uint8 and a.shape == (100,) and a.flags.writeable and a.ctypes.data % 8 == 0
    a[:] = 5
    assert pinned.is_pinned(a) and pinned.is_pinned(a[4:44].view(np.float32).reshape(2, 5).T)
    assert not pinned.is_pinned(np.ones(3)) and not pinned.is_pinned(np.ones(3)[1:])
    assert pinned.pinned(0).shape == (0,)
    place, view = a.ctypes.data, a[3:]
    del a
    assert pinned.pinned(100).ctypes.data != place
    del view
    assert pinned.pinned(100).ctypes.data == place
    pinned.empty_pinned_cache()
    assert not simulated._pinned


def test_pinned_memory_waits_for_its_copies(queued):
    """Also for those on the default stream: the host does not run in its order."""
    for s in (streams.default_stream(0), streams.Stream()):
        a = pinned.pinned(100)
        place = a.ctypes.data
        queued.work(s.handle)
        pinned.record_pinned(a[5:], s)
        del a
        assert pinned.pinned(100).ctypes.data != place
        queued.advance(s.handle)
        pinned._pool.settle()
        assert pinned.pinned(100).ctypes.data == place
    pinned.record_pinned(np.ones(3), s)


def test_no_more_memory_to_pin(simulated, monkeypatch):
    def fail(size, flags):
        raise OutOfMemoryError("CUDA out of memory (CUDA_ERROR_OUT_OF_MEMORY, from cuMemHostAlloc)")

    monkeypatch.setattr(simulated, "MemHostAlloc", fail)
    with pytest.raises(OutOfMemoryError, match="out of host memory: 100 bytes cannot be pinned"):
        pinned.pinned(100)
