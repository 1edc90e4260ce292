"""The driver of a machine without one: its devices' memory is the host's, and what a stream is given is done at once.

It serves the simulator (``NUMBA_ENABLE_CUDASIM=1``), where kernels run in Python, and tests of what stands on the driver.  It has the methods of
``driver.Driver`` that are called before and after kernels, and is strict where a real driver is: a copy outside of its memory, a handle
that does not exist, a thread without a context, each is the error that the real one returns.
"""

from __future__ import annotations

import bisect
import ctypes
import itertools
import threading
import time
from typing import Any

import numpy as np

from .driver import CudaError, OutOfMemoryError

_ALIGNMENT = 512
_FRESH = 0xFF  # NaN in every floating-point format: who reads before anybody wrote notices

_INVALID_VALUE = (1, "CUDA_ERROR_INVALID_VALUE", "invalid argument")
_INVALID_DEVICE = (101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal")
_INVALID_CONTEXT = (201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context")
_INVALID_HANDLE = (400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")

# By number, what an attribute of a device is: small enough for the simulator, with the limits of compute capability 9.0.
_ATTRIBUTES = {
    1: 1024,  # threads per block
    8: 48 << 10,  # shared memory per block
    10: 32,  # threads per warp
    16: 4,  # multiprocessors
    18: 0,  # integrated
    38: 1 << 20,  # L2 cache
    39: 2048,  # threads per multiprocessor
    75: 9,  # compute capability, major
    76: 0,  # and minor
    81: 228 << 10,  # shared memory per multiprocessor
    82: 65536,  # registers per multiprocessor
    84: 0,  # on a board with others
    97: 227 << 10,  # shared memory per block, when asked for
}


class _Thread(threading.local):
    context = 0


class SimulatedDriver:
    """``devices`` devices of ``memory`` bytes each.  A device's context is a handle of its own: 1 + its index."""

    missing: tuple[str, ...] = ()

    def __init__(self, devices: int = 2, memory: int = 1 << 30):
        self.devices = devices
        self.memory = memory
        self._thread = _Thread()
        self._handles = itertools.count(0x1000)
        self._starts: list[int] = []  # of live device memory, in order
        self._live: dict[int, tuple[np.ndarray, int, int]] = {}  # start -> what holds it, size, device
        self._pinned: dict[int, np.ndarray] = {}
        self._streams: dict[int, int] = {}  # handle -> context
        self._events: dict[int, list[Any]] = {}  # handle -> flags, context, when it was recorded

    def check(self, code: int, function: str) -> None:
        """Raise CudaError for a code other than 0."""
        if code:
            raise CudaError(function, code, f"error {code}", f"error {code}")

    def address(self, symbol: str) -> int:
        raise NotImplementedError(f"the simulator has no compiled {symbol}")

    def view(self, pointer: int) -> np.ndarray:
        """The bytes of device memory from ``pointer`` to the end of what it was allocated in."""
        start = self._start_of(pointer, 0, "view")
        raw, size, _ = self._live[start]
        offset = -raw.ctypes.data % _ALIGNMENT + pointer - start
        return raw[offset : offset + size - (pointer - start)]

    def extent(self, address: int) -> tuple[int, int]:
        """Where the memory begins that holds the device's ``address``, and its bytes: those that were asked of the allocator, or, where the
        memory does not come from it, of the driver.  Raises CudaError when there is none.  Devices see pinned memory of the host as well."""
        from .memory import holder

        if address in self._pinned:
            return address, self._pinned[address].size
        start = self._start_of(address, 1, "PointerGetAttribute")
        return holder(address) or (start, self._live[start][1])

    def _fail(self, function: str, reason: tuple[int, str, str]) -> Any:
        raise CudaError(f"cu{function}", *reason)

    # ---- devices and contexts --------------------------------------------------------------------------------------------------------------

    def Init(self, flags: int) -> None:
        pass

    def DriverGetVersion(self) -> int:
        return 13000

    def DeviceGetCount(self) -> int:
        return self.devices

    def DeviceGet(self, index: int) -> int:
        if not 0 <= index < self.devices:
            self._fail("DeviceGet", _INVALID_DEVICE)
        return index

    def DeviceGetName(self, length: int, device: int) -> bytes:
        return b"Simulated CUDA device"

    def DeviceGetUuid(self, device: int) -> bytes:
        return bytes(15) + bytes([device])

    def DeviceTotalMem(self, device: int) -> int:
        return self.memory

    def DeviceGetAttribute(self, attribute: int, device: int) -> int:
        return _ATTRIBUTES.get(attribute, 0)

    def DeviceCanAccessPeer(self, device: int, peer: int) -> int:
        return 0

    def DevicePrimaryCtxRetain(self, device: int) -> int:
        return device + 1

    def CtxSetCurrent(self, context: int) -> None:
        if not 0 <= context <= self.devices:
            self._fail("CtxSetCurrent", _INVALID_CONTEXT)
        self._thread.context = context

    def CtxGetCurrent(self) -> int:
        return self._thread.context

    def CtxSynchronize(self) -> None:
        self._context("CtxSynchronize")

    def CtxGetStreamPriorityRange(self) -> tuple[int, int]:
        return 0, -5

    def _context(self, function: str) -> int:
        """The thread's context, which ``function`` needs."""
        return self._thread.context or self._fail(function, _INVALID_CONTEXT)

    # ---- memory ----------------------------------------------------------------------------------------------------------------------------

    def MemGetInfo(self) -> tuple[int, int]:
        device = self._context("MemGetInfo") - 1
        used = sum(size for _, size, where in list(self._live.values()) if where == device)
        return self.memory - used, self.memory

    def MemAlloc(self, size: int) -> int:
        device = self._context("MemAlloc") - 1
        if size <= 0:
            self._fail("MemAlloc", _INVALID_VALUE)
        if size > self.MemGetInfo()[0]:
            raise OutOfMemoryError("CUDA out of memory (CUDA_ERROR_OUT_OF_MEMORY, from cuMemAlloc)")
        raw = np.full(size + _ALIGNMENT, _FRESH, np.uint8)
        start = raw.ctypes.data + -raw.ctypes.data % _ALIGNMENT
        self._live[start] = raw, size, device
        bisect.insort(self._starts, start)
        return start

    def MemFree(self, pointer: int) -> None:
        if pointer not in self._live:
            self._fail("MemFree", _INVALID_VALUE)
        self._starts.remove(pointer)
        del self._live[pointer]

    def MemHostAlloc(self, size: int, flags: int) -> int:
        self._context("MemHostAlloc")
        raw = np.empty(size, np.uint8)
        self._pinned[raw.ctypes.data] = raw
        return raw.ctypes.data

    def MemFreeHost(self, pointer: int) -> None:
        if self._pinned.pop(pointer, None) is None:
            self._fail("MemFreeHost", _INVALID_VALUE)

    def _start_of(self, pointer: int, size: int, function: str) -> int:
        """Where the device memory begins that holds ``size`` bytes from ``pointer``."""
        place = bisect.bisect_right(self._starts, pointer) - 1
        if place < 0 or pointer + size > self._starts[place] + self._live[self._starts[place]][1]:
            self._fail(function, _INVALID_VALUE)
        return self._starts[place]

    def PointerGetAttribute(self, attribute: int, pointer: int) -> int:
        """The device (9) or the kind (2: memory of a device) of a pointer."""
        device = self._live[self._start_of(pointer, 1, "PointerGetAttribute")][2]
        return device if attribute == 9 else 2

    def _copy(self, function: str, target: int, source: int, size: int, stream: int, device: tuple[int, ...]) -> None:
        """Copy; ``device`` are those of the two pointers that are a device's."""
        self._stream(stream, function)
        for pointer in device:
            self._start_of(pointer, size, function)
        ctypes.memmove(target, source, size)

    def MemcpyHtoDAsync(self, target: int, source: int, size: int, stream: int) -> None:
        self._copy("MemcpyHtoDAsync", target, source, size, stream, (target,))

    def MemcpyDtoHAsync(self, target: int, source: int, size: int, stream: int) -> None:
        self._copy("MemcpyDtoHAsync", target, source, size, stream, (source,))

    def MemcpyDtoDAsync(self, target: int, source: int, size: int, stream: int) -> None:
        self._copy("MemcpyDtoDAsync", target, source, size, stream, (target, source))

    def MemcpyPeerAsync(self, target: int, target_context: int, source: int, source_context: int, size: int, stream: int) -> None:
        for pointer, context in ((target, target_context), (source, source_context)):
            if self._live[self._start_of(pointer, size, "MemcpyPeerAsync")][2] != context - 1:
                self._fail("MemcpyPeerAsync", _INVALID_VALUE)
        self._copy("MemcpyPeerAsync", target, source, size, stream, (target, source))

    def MemsetD8Async(self, target: int, value: int, count: int, stream: int) -> None:
        self._copy("MemsetD8Async", target, target, count, stream, (target,))
        ctypes.memset(target, value, count)

    def MemsetD32Async(self, target: int, value: int, count: int, stream: int) -> None:
        self._copy("MemsetD32Async", target, target, 4 * count, stream, (target,))
        self.view(target)[: 4 * count].view(np.uint32).fill(value)

    # ---- streams and events ----------------------------------------------------------------------------------------------------------------

    def _stream(self, handle: int, function: str, here: bool = True) -> None:
        """See that a stream exists, and (``here``) that it is one of the thread's context."""
        if handle in (0, 1, 2):  # a context's default stream, and other names of it
            self._context(function)
        elif handle not in self._streams or (here and self._streams[handle] != self._context(function)):
            self._fail(function, _INVALID_HANDLE)

    def _event(self, handle: int, function: str) -> list[Any]:
        return self._events.get(handle) or self._fail(function, _INVALID_HANDLE)

    def StreamCreateWithPriority(self, flags: int, priority: int) -> int:
        handle = next(self._handles)
        self._streams[handle] = self._context("StreamCreateWithPriority")
        return handle

    def StreamDestroy(self, stream: int) -> None:
        self._stream(stream, "StreamDestroy", here=False)
        del self._streams[stream]

    def StreamSynchronize(self, stream: int) -> None:
        self._stream(stream, "StreamSynchronize", here=False)

    def StreamQuery(self, stream: int) -> bool:
        self._stream(stream, "StreamQuery", here=False)
        return True

    def StreamWaitEvent(self, stream: int, event: int, flags: int) -> None:
        self._stream(stream, "StreamWaitEvent", here=False)
        self._event(event, "StreamWaitEvent")

    def EventCreate(self, flags: int) -> int:
        handle = next(self._handles)
        self._events[handle] = [flags, self._context("EventCreate"), None]
        return handle

    def EventDestroy(self, event: int) -> None:
        self._event(event, "EventDestroy")
        del self._events[event]

    def EventRecord(self, event: int, stream: int) -> None:
        self._stream(stream, "EventRecord", here=False)
        known = self._event(event, "EventRecord")
        if known[1] != (self._streams.get(stream) or self._context("EventRecord")):
            self._fail("EventRecord", _INVALID_HANDLE)
        known[2] = time.perf_counter()

    def EventQuery(self, event: int) -> bool:
        return bool(self._event(event, "EventQuery"))

    def EventSynchronize(self, event: int) -> None:
        self._event(event, "EventSynchronize")

    def EventElapsedTime(self, start: int, end: int) -> float:
        """Milliseconds between two recorded events."""
        known = [self._event(event, "EventElapsedTime") for event in (start, end)]
        if any(flags & 2 or recorded is None for flags, _, recorded in known):
            self._fail("EventElapsedTime", _INVALID_HANDLE)
        return 1e3 * (known[1][2] - known[0][2])
