"""Every buffer on the CPU comes through here: small ones from NumPy, big ones from blocks that are kept and handed out again.

Fresh pages fault when they are first written, which costs more than the arithmetic of most operations; the pages of a used block do not.  A
block is a plain byte array.  An array made from it, and every view of that, has it for its ``base``, so nobody refers to a block any more
exactly when nobody but this module holds a reference to it: the interpreter's reference count is all the bookkeeping there is.

No lock is held anywhere: signal handlers and finalisers run between any two lines, and they may allocate.  Each change is a single operation
on a queue or a dictionary; sums over several see blocks that others have taken out for a moment, or do not.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from sys import getrefcount
from typing import Any, Sequence

import numpy as np

# Smaller arrays come from malloc, which reuses memory that small by itself, and is a microsecond quicker than what is written in Python.
POOLED_BYTES = 1 << 16
ALIGNMENT = 64
# How many blocks of a class a request looks at before it asks the system for another.
_TRIES = 16
# Idle blocks may hold this much, or half as much as the live ones, before they are given back.
_IDLE_BYTES = 256 << 20

# Blocks by size, the one used last at the right end.  A thread takes a block out (which is atomic), looks whether it is idle, and puts it
# back, so no two threads look at one block together.
_blocks: dict[int, deque[tuple[np.ndarray, int]]] = {}
# The same queues by the sizes asked for, which repeat: to round one takes longer than to look it up.
_queues: dict[int, deque[tuple[np.ndarray, int]]] = {}
_MOST_QUEUES = 4096
_peak = 0
_trim_at = _IDLE_BYTES
# Without the GIL a reference count is not what it seems: then nothing is kept.
_POOLING = getattr(sys, "_is_gil_enabled", lambda: True)()


_ndarray = np.ndarray

# The types of NumPy's own dtypes: to look there is quicker than to ask for the common base of all.
_DTYPES = frozenset(map(type, map(np.dtype, np.sctypeDict.values())))


def _count_of_idle() -> int:
    """The count that ``getrefcount(item[0])`` shows for a block that only ``item`` refers to."""
    item = (np.empty(1, np.uint8), 0)
    return getrefcount(item[0])


_IDLE = _count_of_idle()


def _size_class(size: int) -> int:
    """``size`` rounded up to one of eight sizes between neighbouring powers of two: at most an eighth is wasted."""
    step = 1 << (size - 1).bit_length() - 4
    return -(-size // step) * step


def _queue_of(size: int) -> deque[tuple[np.ndarray, int]]:
    """The queue of the blocks for ``size`` bytes, from now on in ``_queues``."""
    if len(_queues) >= _MOST_QUEUES:
        _queues.clear()
    queue = _queues[size] = _blocks.setdefault(_size_class(size), deque())
    return queue


def _idle_block(queue: deque[tuple[np.ndarray, int]]) -> tuple[np.ndarray, int] | None:
    """The first idle block from the left end of ``queue``, out of it."""
    try:
        for _ in range(min(_TRIES, len(queue))):
            item = queue.popleft()
            if getrefcount(item[0]) == _IDLE:
                return item
            queue.append(item)
    except IndexError:  # other threads have taken the rest out for a moment
        pass
    return None


def _new_block(size: int) -> tuple[np.ndarray, int]:
    """A block from the system.  When there is none left, the idle blocks are given back and the system is asked once more."""
    global _peak
    reserved = _reserved() + size
    if reserved > _trim_at:
        _trim(None)
        reserved = _reserved() + size
    try:
        raw = np.empty(size + ALIGNMENT, np.uint8)
    except MemoryError:
        empty_cache()
        raw = np.empty(size + ALIGNMENT, np.uint8)
        reserved = _reserved() + size
    if reserved > _peak:
        _peak = reserved
    return raw, -raw.ctypes.data % ALIGNMENT


def _trim(idle_bytes: int | None) -> None:
    """Give idle blocks back until they hold ``idle_bytes`` (None: the usual allowance), and set when to look again."""
    global _trim_at
    idle, live = _usage()
    allowance = max(_IDLE_BYTES, live // 2) if idle_bytes is None else idle_bytes
    for size in sorted(_blocks, reverse=True):
        queue = _blocks[size]
        for _ in range(len(queue)):
            if idle <= allowance:
                break
            try:
                item = queue.popleft()
            except IndexError:
                break
            if getrefcount(item[0]) == _IDLE:
                idle -= size
            else:
                queue.append(item)
    _trim_at = _reserved() + max(_IDLE_BYTES, live // 2)


def _reserved() -> int:
    """The bytes of all blocks."""
    return sum([size * len(_blocks[size]) for size in list(_blocks)])


def _usage() -> tuple[int, int]:
    """The bytes of idle and of live blocks."""
    idle = live = 0
    for size in list(_blocks):  # not its items: to make tuples of them may collect garbage, whose finalisers may add to the dictionary
        queue = _blocks[size]
        for _ in range(len(queue)):
            try:
                item = queue.popleft()
            except IndexError:
                break
            if getrefcount(item[0]) == _IDLE:
                idle += size
            else:
                live += size
            queue.append(item)
    return idle, live


def empty_cache() -> None:
    """Give all idle blocks back to the system.  Arrays and views in use are not touched."""
    _trim(0)


def memory_stats() -> dict[str, int]:
    """Bytes of the big buffers: ``allocated`` (in use), ``cached`` (idle, kept for reuse), ``reserved`` (both) and ``peak`` (most ever
    reserved)."""
    idle, live = _usage()
    return {"allocated": live, "cached": idle, "reserved": idle + live, "peak": _peak}


def empty(shape: Sequence[int] | int, dtype: Any) -> np.ndarray:
    """An uninitialised C-contiguous array, aligned to 64 bytes when it is big.

    Raises RuntimeError for a negative size, MemoryError when the system has no memory left.
    """
    if type(dtype) not in _DTYPES:
        dtype = np.dtype(dtype)
    size = dtype.itemsize * (math.prod(shape) if type(shape) is tuple else _count(shape))
    try:
        if size < POOLED_BYTES or dtype.hasobject or not _POOLING:
            return np.empty(shape, dtype)
        queue = _queues.get(size)
        if queue is None:
            queue = _queue_of(size)
        # The block used last is the one whose bytes may still be in a cache.
        try:
            item = queue.pop()
            if getrefcount(item[0]) != _IDLE:
                queue.append(item)
                item = _idle_block(queue) or _new_block(_size_class(size))
        except IndexError:
            item = _new_block(_size_class(size))
        try:
            return _ndarray(shape, dtype, item[0], item[1])
        finally:
            queue.append(item)
    except ValueError as error:
        raise _bad_shape(shape) from error


def _count(shape: Sequence[int] | int) -> int:
    return int(shape) if isinstance(shape, (int, np.integer)) else math.prod(shape)


def _bad_shape(shape: Sequence[int] | int) -> RuntimeError:
    return RuntimeError(f"empty: expected sizes that are not negative and fit in memory, but got {shape}")


def zeros(shape: Sequence[int] | int, dtype: Any) -> np.ndarray:
    """An array of zeros; of bytes that are zero, for a structured dtype."""
    out = empty(shape, dtype)
    if out.nbytes < POOLED_BYTES:
        return np.zeros(shape, dtype)
    out.reshape(-1).view(np.uint8).fill(0)
    return out


def full(shape: Sequence[int] | int, value: Any, dtype: Any) -> np.ndarray:
    """An array filled with ``value``."""
    out = empty(shape, dtype)
    out.fill(value)
    return out
