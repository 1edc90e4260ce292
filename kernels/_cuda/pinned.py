"""Pinned host memory: pages that stay where they are, so that a device copies from and to them while the host does something else.

To pin pages takes long, so they come from a caching allocator.  An array of them goes back when the last view of it goes and the copies that
were recorded on it are done.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .devices import current_device
from .driver import OutOfMemoryError, load
from .memory import Allocation, Pool
from .streams import Stream

_PORTABLE = 1  # pinned for all devices
# Pinned memory belongs to no device and to no stream: every stream that uses it is recorded.
_HOST = _NO_STREAM = -1


class _Buffer:
    """What an array of pinned memory has for its base."""

    __slots__ = ("__array_interface__", "allocation")

    def __init__(self, allocation: Allocation):
        self.allocation = allocation
        self.__array_interface__ = {"data": (allocation.pointer, False), "shape": (allocation.nbytes,), "typestr": "|u1", "version": 3}


_pool: Pool | None = None


def pinned(nbytes: int) -> np.ndarray:
    """An uninitialised array of ``nbytes`` bytes of pinned memory.  Raises OutOfMemoryError, and what ``driver.load`` raises."""
    global _pool
    current_device()
    if not nbytes:
        return np.empty(0, np.uint8)
    if _pool is None:
        _pool = Pool(_HOST, lambda size: load().MemHostAlloc(size, _PORTABLE), lambda pointer: load().MemFreeHost(pointer))
    try:
        return np.asarray(_Buffer(_pool.allocate(nbytes, _NO_STREAM)))
    except OutOfMemoryError:
        raise OutOfMemoryError(f"out of host memory: {nbytes} bytes cannot be pinned") from None


def _buffer(array: Any) -> _Buffer | None:
    """The buffer that ``array`` is a view of, None when it is not in pinned memory."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array if type(array) is _Buffer else None


def is_pinned(array: np.ndarray) -> bool:
    """Whether ``array`` is in pinned memory."""
    return _buffer(array) is not None


def record_pinned(array: np.ndarray, stream: Stream) -> None:
    """Let the memory of ``array`` not be used again before ``stream`` has done what it was given so far.  Arrays elsewhere do not mind."""
    buffer = _buffer(array)
    if buffer is not None:
        buffer.allocation.record_stream(stream)


def empty_pinned_cache() -> None:
    """Give the pinned memory back that nobody uses."""
    if _pool is not None:
        _pool.empty()
