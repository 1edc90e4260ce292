"""What tests of the allocator share: a look into its books, and a driver whose streams do their work when they are told to."""

from __future__ import annotations

import itertools
from collections import defaultdict, namedtuple

import numpy as np

from numbagrad.kernels._cuda import block_table as table
from numbagrad.kernels._cuda.driver import OutOfMemoryError
from numbagrad.kernels._cuda.memory import Pool
from numbagrad.kernels._cuda.simulated_driver import SimulatedDriver

Row = namedtuple("Row", "pointer size asked queue before after back forth")


def check_tables(pool: Pool) -> tuple[set[int], int]:
    """See that the books of ``pool`` are in order; the pointers of its blocks in use and the bytes of its segments."""
    heads = pool.heads[: 2 * len(pool._desks) + 1]
    blocks = [Row(*row) for row in pool.blocks[: heads[0, table.ROWS] + 1].tolist()]
    rows = [row for row in range(1, len(blocks)) if blocks[row].size]
    spare, row = set(), heads[0, table.SPARE]
    while row:
        assert row not in spare and not blocks[row].size
        spare.add(row)
        row = blocks[row].forth
    assert len(spare) + len(rows) == heads[0, table.ROWS]

    segments = 0
    for row in rows:
        if blocks[row].before == 0:  # the first of a segment: walk it
            segments += 1
            before = 0
            while row:
                assert blocks[row].before == before and blocks[row].size > 0 and blocks[row].size % table.UNIT == 0
                if before:
                    assert blocks[row].pointer == blocks[before].pointer + blocks[before].size
                    assert blocks[row].queue == blocks[before].queue
                    assert blocks[row].asked or blocks[before].asked, "two free blocks beside each other"
                before, row = row, blocks[row].after

    listed = []
    for queue, kind in zip(*np.nonzero(heads[1:])):
        row, back = heads[queue + 1, kind], 0
        while row:
            assert (blocks[row].back, blocks[row].queue, blocks[row].asked) == (back, queue + 1, 0)
            listed.append(row)
            back, row = row, blocks[row].forth
    used = [row for row in rows if blocks[row].asked]
    assert sorted(listed + used) == rows and len(set(listed)) == len(listed)
    assert all(blocks[row].asked <= blocks[row].size for row in used)
    reserved = sum(blocks[row].size for row in rows)
    assert heads[0, table.SEGMENTS] == segments and heads[0, table.RESERVED] == reserved <= heads[0, table.PEAK_RESERVED]
    assert heads[0, table.LIVE] == len(used) and heads[0, table.REQUESTED] == sum(blocks[row].asked for row in used)
    assert heads[0, table.ALLOCATED] == sum(blocks[row].size for row in used) <= heads[0, table.PEAK_ALLOCATED]
    return {blocks[row].pointer for row in used}, reserved


class QueuedDriver(SimulatedDriver):
    """Streams that do nothing until they are told to: each is a list of work and waits, of which ``done`` are done.

    Its memory has addresses, but nothing is there.
    """

    def __init__(self, devices: int = 1, memory: int = 1 << 30):
        super().__init__(devices, memory)
        self._addresses = itertools.count(1 << 33, 1 << 28)
        self.queues: dict[int, list] = defaultdict(list)
        self.done: dict[int, int] = defaultdict(int)
        self.marks: dict[int, tuple[int, int]] = {}  # event -> stream, and how much of it is to be done

    def MemAlloc(self, size):
        if size > self.MemGetInfo()[0]:
            raise OutOfMemoryError("CUDA out of memory")
        start = next(self._addresses)
        self._live[start] = None, size, self._context("MemAlloc") - 1
        self._starts.append(start)
        return start

    def work(self, stream: int) -> tuple[int, int]:
        """Give ``stream`` something to do; the mark that is reached when it is done."""
        self.queues[stream].append(None)
        return stream, len(self.queues[stream])

    def reached(self, mark: tuple[int, int]) -> bool:
        return self.done[mark[0]] >= mark[1]

    def advance(self, stream: int) -> None:
        """Let ``stream`` do the next thing, unless that waits for another stream."""
        if self.done[stream] < len(self.queues[stream]):
            awaited = self.queues[stream][self.done[stream]]
            if awaited is None or self.reached(awaited):
                self.done[stream] += 1

    def finish(self, mark: tuple[int, int]) -> None:
        while not self.reached(mark):
            for stream in list(self.queues):
                self.advance(stream)

    def CtxSynchronize(self):
        for stream in list(self.queues):
            self.StreamSynchronize(stream)

    def StreamSynchronize(self, stream):
        self.finish((stream, len(self.queues[stream])))

    def StreamQuery(self, stream):
        return self.reached((stream, len(self.queues[stream])))

    def StreamWaitEvent(self, stream, event, flags):
        super().StreamWaitEvent(stream, event, flags)
        self.queues[stream].append(self.marks[event])

    def EventRecord(self, event, stream):
        super().EventRecord(event, stream)
        self.marks[event] = stream, len(self.queues[stream])

    def EventQuery(self, event):
        return self.reached(self.marks[event])

    def EventSynchronize(self, event):
        self.finish(self.marks[event])
