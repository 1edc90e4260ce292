"""Device memory: every buffer comes from one caching allocator per device, which asks the driver for big segments and cuts blocks from them.

It is stream-ordered: a block belongs to the stream that was current when it was allocated.  When the last reference to its ``Allocation``
goes, that stream may have it again at once, since what is done there with the old contents is done before whatever comes next.  Another stream
that uses it says so (``record_stream``); the block then comes back when that stream has done what it was given until then.

Sizes are those of PyTorch's allocator (c10/cuda/CUDACachingAllocator): up to 1 MiB in segments of 2, up to 10 in segments of 20, beyond that in
segments of their own.
"""

from __future__ import annotations

import atexit
from collections import deque
from itertools import count
from typing import Any, Callable

from . import block_table as table
from . import objects
from .devices import Here, check_index, current_device, guard, here, thread
from .driver import OutOfMemoryError, load
from .streams import Event, Stream, current_handle

MIB = 1 << 20
_SMALL = MIB
_SMALL_SEGMENT = 2 * MIB
_LARGE = 10 * MIB
_LARGE_SEGMENT = 20 * MIB
# The driver's addresses have no more bits: no device has as much memory.
_MOST_BYTES = 1 << 47


class Allocation:
    """``nbytes`` of memory from ``pointer`` on, of ``device``; they go back when the last reference goes."""

    __slots__ = ("pointer", "nbytes", "device", "owner", "_desk", "_row", "_users", "__weakref__")

    def __init__(self, nbytes: int, device: int, desk: Any = None):
        self._row = 0  # of the pool's table, once there is one
        self._desk = desk
        self.pointer = 0
        self.nbytes = nbytes
        self.device = device
        self._users: set[Stream] | None = None
        self.owner: Any = None  # keeps memory alive that is not ours

    def __del__(self) -> None:
        _give_back(self)

    def record_stream(self, stream: Stream) -> None:
        """Let the memory not be used again before ``stream`` has done what it is given until the last reference goes."""
        if self._row and (stream.handle != self._desk.stream or stream.device_index != self.device):
            if self._users is None:
                self._users = set()
            self._users.add(stream)

    def __repr__(self) -> str:
        return f"<Allocation of {self.nbytes} bytes at {self.pointer:#x} on cuda:{self.device}>"


def borrowed(pointer: int, nbytes: int, device: int, owner: Any) -> Allocation:
    """Memory that is another library's: ``owner`` keeps it alive."""
    allocation = Allocation(nbytes, device)
    allocation.pointer, allocation.owner = pointer, owner
    return allocation


class _Returned:
    """A block that came back, and the streams that used it besides its own."""

    __slots__ = ("row", "_users", "_events")

    def __init__(self, row: int, users: set[Stream]):
        self.row = row
        self._users = users
        self._events: list[Event] | None = None

    def is_idle(self, wait: bool) -> bool:
        """Whether those streams have done what they had been given when this was first asked.  ``wait``: wait until they have."""
        if self._events is None:
            self._events = [stream.record_event() for stream in self._users]
        for event in self._events if wait else ():
            load().EventSynchronize(event.cuda_event)  # what kernels have reported is not for who needs memory
        return all(event.query() for event in self._events)


class Desk:
    """Where the blocks for one stream come from and go back to: its two queues in the books of a pool.  It has what compiled code needs."""

    __slots__ = ("pool", "device", "stream", "small", "large", "blocks", "heads", "returned")

    def __init__(self, pool: Pool, stream: int, first_queue: int):
        self.pool, self.device, self.stream = pool, pool.device, stream
        self.small, self.large = first_queue, first_queue + 1
        self.blocks, self.heads = pool.blocks.ctypes.data, pool.heads.ctypes.data
        self.returned = pool._returned


class Pool:
    """A caching allocator for ``device`` (-1: the host) over ``reserve(size) -> pointer``, which raises OutOfMemoryError, and ``release(pointer)``.

    What is handed from one to the other is so within one line: when an interrupt strikes, at worst a block is lost, and none is in use twice.
    """

    def __init__(self, device: int, reserve: Callable[[int], int], release: Callable[[int], None], most_blocks: int = table.MOST_BLOCKS):
        self.device = device
        self._reserve, self._unreserve = reserve, release
        self.blocks, self.heads = table.new_tables(most_blocks)
        self._tables = self.blocks.ctypes.data, self.heads.ctypes.data
        self._desks: dict[int, Desk] = {}  # by stream
        self._first_queues = count(1, 2)  # row 0 of ``heads`` is taken
        self._returned: deque[_Returned] = deque()
        self.retries = self.failures = 0

    def allocate(self, nbytes: int, stream: int) -> Allocation:
        """A block for ``nbytes`` > 0 on the stream of that handle.  Raises OutOfMemoryError."""
        if self._returned:
            self.settle()
        size = (nbytes + table.UNIT - 1) & -table.UNIT
        small, desk = size <= _SMALL, self.desk(stream)
        queue = desk.small if small else desk.large
        made = Allocation(nbytes, self.device, desk)
        made._row, made.pointer = table.take(*self._tables, queue, size, nbytes, table.UNIT if small else _SMALL)
        if not made._row:
            self._grow(made, queue, size)
        return made

    def desk(self, stream: int) -> Desk:
        """The desk of the stream of that handle.  Raises RuntimeError when there are too many streams."""
        found = self._desks.get(stream)
        if found is None:
            first = next(self._first_queues)
            if first + 1 >= table.QUEUES:
                raise RuntimeError(f"memory of more than {(table.QUEUES - 1) // 2} streams cannot be kept apart")
            found = self._desks.setdefault(stream, Desk(self, stream, first))
        return found

    def _grow(self, made: Allocation, queue: int, size: int) -> None:
        """Find a block for ``made`` in a new segment, or in what comes free when there is no memory for one."""
        small, own = size <= _SMALL, -(-size // _SMALL_SEGMENT) * _SMALL_SEGMENT
        wanted = queue, size, made.nbytes, table.UNIT if small else _SMALL
        while not made._row:  # another thread may take what this one adds
            try:
                self._add_segment(queue, own if small or size >= _LARGE else _LARGE_SEGMENT)
            except OutOfMemoryError:
                self.retries += 1
                self.settle(wait=True)
                made._row, made.pointer = table.take(*self._tables, *wanted)
                if made._row:
                    return
                self.empty()
                try:
                    self._add_segment(queue, own)
                except OutOfMemoryError:
                    self.failures += 1
                    raise
            made._row, made.pointer = table.take(*self._tables, *wanted)

    def _add_segment(self, queue: int, size: int) -> None:
        if not self.heads[0, table.SPARE] and self.heads[0, table.ROWS] + 1 >= len(self.blocks):
            raise OutOfMemoryError(f"no more than {len(self.blocks) - 1} blocks of memory can be kept apart")
        with self._on_device():
            table.add_segment(*self._tables, queue, self._reserve(size), size)

    def _on_device(self) -> guard:
        return guard(current_device() if self.device < 0 else self.device)

    def release(self, row: int, users: set[Stream] | None) -> None:
        """Take a block back: at once, or when the streams that used it besides its own have done so.  A finaliser calls this: it must not
        call the driver."""
        if users:
            self._returned.append(_Returned(row, users))
        else:
            table.give(*self._tables, row)

    def settle(self, wait: bool = False) -> None:
        """Let blocks be free that other streams have done with.  ``wait``: wait until they have."""
        for _ in range(len(self._returned)):
            try:
                block = self._returned.popleft()
            except IndexError:  # another thread was faster
                break
            try:
                idle = block.is_idle(wait)
            except BaseException:
                self._returned.append(block)
                raise
            if idle:
                table.give(*self._tables, block.row)
            else:
                self._returned.append(block)

    def empty(self) -> None:
        """Give all segments back of which no block is in use."""
        self.settle()
        with self._on_device():
            load().CtxSynchronize()  # what streams still do with their own
            while pointer := table.drop_segment(*self._tables):
                self._unreserve(pointer)

    def statistics(self) -> dict[str, int]:
        """Bytes and counts, by PyTorch's names."""
        self.settle()
        counted = self.heads[0].tolist()
        return {
            "allocated_bytes.all.current": counted[table.ALLOCATED],
            "allocated_bytes.all.peak": counted[table.PEAK_ALLOCATED],
            "reserved_bytes.all.current": counted[table.RESERVED],
            "reserved_bytes.all.peak": counted[table.PEAK_RESERVED],
            "requested_bytes.all.current": counted[table.REQUESTED],
            "allocation.all.current": counted[table.LIVE],
            "allocation.all.allocated": counted[table.ALLOCATIONS],
            "segment.all.current": counted[table.SEGMENTS],
            "num_alloc_retries": self.retries,
            "num_ooms": self.failures,
        }

    def reset_peaks(self) -> None:
        """Let the peaks begin again from what is in use now."""
        self.heads[0, table.PEAK_ALLOCATED] = self.heads[0, table.ALLOCATED]
        self.heads[0, table.PEAK_RESERVED] = self.heads[0, table.RESERVED]


def _give_back_slowly(allocation: Allocation) -> None:
    if allocation._row:
        allocation._desk.pool.release(allocation._row, allocation._users)


@atexit.register
def _close() -> None:
    """From here on memory goes with the process, and finalisers would find nothing left to call."""
    del Allocation.__del__


# ---- the devices' pools -------------------------------------------------------------------------------------------------------------------

_pools: dict[int, Pool] = {}


def _new_pool(device: int) -> Pool:
    return _pools.setdefault(device, Pool(device, lambda size: load().MemAlloc(size), lambda pointer: load().MemFree(pointer)))


def _allocate_slowly(nbytes: int, device: int | None = None) -> Allocation:
    """``allocate`` for all that is rare."""
    found = here()
    stream = current_handle(device)
    if device is None:
        device = found.device
    if nbytes <= 0:
        if nbytes:
            raise RuntimeError(f"allocate: expected a number of bytes that is not negative, but got {nbytes}")
        return Allocation(0, device)
    pool = _pools.get(device) or _new_pool(device)
    try:
        if nbytes > _MOST_BYTES:
            raise OutOfMemoryError
        made = pool.allocate(nbytes, stream)
    except OutOfMemoryError:
        raise OutOfMemoryError(_out_of_memory(nbytes, device, pool)) from None
    if (made.device, made._desk.stream) == (found.device, found.stream):
        found.desk = made._desk
    return made


# ``allocate(nbytes, device=None)``: ``nbytes`` of memory of ``device`` (None: the thread's), for use on its current stream.  None are at the pointer 0.
# Raises RuntimeError for a negative number, OutOfMemoryError when there is no memory left, and what ``driver.load`` raises.
allocate: Callable[..., Allocation] = _allocate_slowly
_give_back: Callable[[Allocation], None] = _give_back_slowly
if objects.SUPPORTED:
    allocate = objects.builtin("allocate", objects.allocate, objects.table(thread, Here, Desk, Allocation, _allocate_slowly))
    _give_back = objects.builtin("give_back", objects.give_back, objects.table(thread, Here, Desk, Allocation, _give_back_slowly))


def _out_of_memory(nbytes: int, device: int, pool: Pool) -> str:
    free, total = memory_info(device)
    used = pool.statistics()
    allocated, reserved = used["allocated_bytes.all.current"], used["reserved_bytes.all.current"]
    return (
        f"CUDA out of memory. Tried to allocate {_readable(nbytes)}. GPU {device} has a total capacity of {_readable(total)} of which "
        f"{_readable(free)} is free. Of the allocated memory {_readable(allocated)} is allocated by numbagrad, and "
        f"{_readable(reserved - allocated)} is reserved by numbagrad but unallocated."
    )


def _readable(nbytes: int) -> str:
    """1536 -> 1.50 KiB"""
    for unit, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if nbytes >= 1 << unit:
            return f"{nbytes / (1 << unit):.2f} {name}"
    return f"{nbytes} bytes"


def memory_info(device: int | None = None) -> tuple[int, int]:
    """The free and all bytes of a device's memory, as the driver sees them."""
    with guard(check_index(device)):
        return load().MemGetInfo()


def memory_stats(device: int | None = None) -> dict[str, int]:
    """Bytes and counts of what a device's allocator has handed out and holds, by PyTorch's names; empty where nothing was allocated."""
    pool = _pools.get(check_index(device))
    return pool.statistics() if pool else {}


def reset_peak_memory_stats(device: int | None = None) -> None:
    """Let the peaks of ``memory_stats`` begin again from what is in use now."""
    pool = _pools.get(check_index(device))
    if pool:
        pool.reset_peaks()


def empty_cache() -> None:
    """Give the memory back to the driver that is held but not in use, on all devices."""
    for pool in list(_pools.values()):
        pool.empty()


def holder(address: int) -> tuple[int, int] | None:
    """Where the allocation begins that holds ``address``, and its bytes; None when there is none."""
    found = (table.holder(pool.blocks, pool.heads, address) for pool in list(_pools.values()))
    return next(filter(None, found), None)
