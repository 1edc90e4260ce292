"""Streams and events: what a device does in order, and what waits for what.

The default stream is the driver's legacy stream, as in PyTorch, so that what other libraries do on theirs comes in order with it.  Handles of
streams and events are never destroyed; one that nobody uses any more serves the next who asks, so that finalisers need not call the driver.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from .devices import after_waiting, check_index, current_device, guard, here, set_device, thread
from .driver import load

DEFAULT = 0  # the handle of every device's default stream
_LEGACY = 1  # another name of it
_NON_BLOCKING = 1
_BLOCKING_SYNC, _DISABLE_TIMING = 1, 2

# Handles that nobody uses: of streams by device and priority, of events by device and flags.
_idle_streams: dict[tuple[int, int], deque[int]] = defaultdict(deque)
_idle_events: dict[tuple[int, int], deque[int]] = defaultdict(deque)


class Stream:
    """A queue of a device's work.  A negative ``priority`` goes before others."""

    __slots__ = ("_home", "device_index", "handle", "priority", "__weakref__")

    _home: deque[int] | None
    device_index: int
    handle: int
    priority: int

    def __init__(self, device: int | None = None, priority: int = 0):
        self._home = None  # for the finaliser, whatever happens below
        self.device_index = check_index(device)
        with guard(self.device_index):
            driver = load()
            least, greatest = driver.CtxGetStreamPriorityRange()
            self.priority = max(greatest, min(least, priority))
            home = _idle_streams[self.device_index, self.priority]
            try:
                self.handle = home.popleft()
            except IndexError:
                self.handle = driver.StreamCreateWithPriority(_NON_BLOCKING, self.priority)
        self._home = home

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot pickle or copy a {type(self).__name__}: its handle has one owner")

    @classmethod
    def default(cls, device: int) -> Any:
        """The default stream of ``device``."""
        self = cls.__new__(cls)
        self._home, self.device_index, self.handle, self.priority = None, device, DEFAULT, 0
        return self

    def __del__(self) -> None:
        home = getattr(self, "_home", None)  # not there where the constructor refused its arguments
        if home is not None:
            home.append(self.handle)

    @property
    def cuda_stream(self) -> int:
        """The driver's handle."""
        return self.handle

    def __cuda_stream__(self) -> tuple[int, int]:
        """The protocol by which other libraries take a stream: its version and the handle."""
        return 0, self.handle

    def synchronize(self) -> None:
        """Wait until all that the stream was given is done.  Raises what kernels on its device have reported."""
        with guard(self.device_index):
            load().StreamSynchronize(self.handle)
        after_waiting(self.device_index)

    def query(self) -> bool:
        """Whether all that the stream was given is done."""
        with guard(self.device_index):
            return load().StreamQuery(self.handle)

    def wait_event(self, event: Event) -> None:
        """What the stream is given from now on waits for ``event``."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """What the stream is given from now on waits for all that ``stream`` has been given so far."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """An event (``event``, or a new one) that has happened when all that the stream was given so far is done."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Stream) and (self.device_index, self.handle) == (other.device_index, other.handle)

    def __hash__(self) -> int:
        return hash((self.device_index, self.handle))

    def __repr__(self) -> str:
        return f"<numbagrad.cuda.Stream device=cuda:{self.device_index} cuda_stream={self.handle:#x}>"


class Event:
    """A mark in a stream.  It belongs to the device of the stream that first records it.

    ``enable_timing`` lets ``elapsed_time`` measure; ``blocking`` lets a thread that waits sleep instead of spin.
    """

    __slots__ = ("_flags", "_handle", "_home", "device_index", "__weakref__")

    _home: deque[int] | None

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        self._home = None
        if interprocess:
            raise NotImplementedError("Event: events that are shared between processes are not supported")
        self._flags = (0 if enable_timing else _DISABLE_TIMING) | (_BLOCKING_SYNC if blocking else 0)
        self._handle = 0
        self.device_index = -1

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle or copy an Event: its handle has one owner")

    def __del__(self) -> None:
        home = getattr(self, "_home", None)
        if home is not None:
            home.append(self._handle)

    @property
    def cuda_event(self) -> int:
        """The driver's handle; 0 before the event is recorded."""
        return self._handle

    def record(self, stream: Stream | None = None) -> None:
        """Let the event happen when all that ``stream`` (None: the current one) was given so far is done.  Raises RuntimeError for a stream
        of another device than the event's."""
        stream = current_stream() if stream is None else stream
        if self._handle and stream.device_index != self.device_index:
            raise RuntimeError(f"Event device cuda:{self.device_index} does not match recording stream's device cuda:{stream.device_index}")
        with guard(stream.device_index):
            if not self._handle:
                home = _idle_events[stream.device_index, self._flags]
                try:
                    self._handle = home.popleft()
                except IndexError:
                    self._handle = load().EventCreate(self._flags)
                self._home, self.device_index = home, stream.device_index
            load().EventRecord(self._handle, stream.handle)

    def wait(self, stream: Stream | None = None) -> None:
        """What ``stream`` (None: the current one) is given from now on waits for the event; for one never recorded it does not wait."""
        stream = current_stream() if stream is None else stream
        if self._handle:
            with guard(stream.device_index):
                load().StreamWaitEvent(stream.handle, self._handle, 0)

    def query(self) -> bool:
        """Whether it has happened, or was never recorded."""
        if not self._handle:
            return True
        current_device()  # a thread needs a context to ask
        return load().EventQuery(self._handle)

    def synchronize(self) -> None:
        """Wait until it has happened.  Raises what kernels on its device have reported."""
        if self._handle:
            current_device()
            load().EventSynchronize(self._handle)
            after_waiting(self.device_index)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to ``end_event``.  Raises ValueError unless both time and were recorded, CudaError before both
        have happened."""
        if (self._flags | end_event._flags) & _DISABLE_TIMING:
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if not (self._handle and end_event._handle):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        current_device()
        return load().EventElapsedTime(self._handle, end_event._handle)

    def __repr__(self) -> str:
        return f"<numbagrad.cuda.Event {self._handle:#x}>" if self._handle else "<numbagrad.cuda.Event uninitialized>"


# ---- the current stream -------------------------------------------------------------------------------------------------------------------


def current_handle(device: int | None = None) -> int:
    """The handle of this thread's current stream on ``device`` (None: the current device).  Raises as ``driver.load`` does."""
    found = here()
    return found.stream if device is None or device == found.device else current_stream(device).handle


def current_stream(device: int | None = None) -> Stream:
    """This thread's current stream on ``device`` (None: the current device)."""
    device = check_index(device)
    current_device()
    return thread.streams.get(device) or Stream.default(device)


def default_stream(device: int | None = None) -> Stream:
    """The default stream of ``device`` (None: the current device)."""
    return Stream.default(check_index(device))


def set_stream(stream: Stream) -> None:
    """Make ``stream`` the one that this thread launches on, on its device, which becomes the thread's device."""
    current_device()
    thread.streams[stream.device_index] = stream
    # Also when the device stays: from here on ``thread.here`` says the new stream.
    set_device(stream.device_index)


def wait_for(handle: int, device: int | None = None) -> None:
    """Let the current stream of ``device`` wait for what another library's stream, given by its handle, has to do."""
    stream = current_stream(device)
    if (handle or _LEGACY) != (stream.handle or _LEGACY):
        foreign = Stream.default(stream.device_index)
        foreign.handle = handle
        stream.wait_stream(foreign)


class use:
    """``with use(stream):`` this thread works on ``stream`` and its device, and afterwards on those that it worked on before.  None: nothing
    changes."""

    __slots__ = ("stream", "_before")

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self._before = current_stream(), current_stream(self.stream.device_index)
            set_stream(self.stream)

    def __exit__(self, *_: Any) -> None:
        if self.stream is not None:
            before, there = self._before
            set_stream(there)
            set_stream(before)
