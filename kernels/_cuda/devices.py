"""The devices: how many there are, what each can do, and which one a thread works on.

Every thread begins on device 0 and keeps, per device, the stream that it launches on; ``thread.here`` holds both, so that a launch finds them
in one look.  A device's primary context, which the CUDA runtime and so every other library uses too, is retained once.
"""

from __future__ import annotations

import operator
import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable

from .driver import CudaError, load


class Here:
    """Where a thread works: a device, and the handle of a stream of it.  ``desk``: where memory for that comes from, once there was any (``memory``)."""

    __slots__ = ("device", "stream", "desk")

    def __init__(self, device: int, stream: int):
        self.device, self.stream = device, stream
        self.desk: Any = None


# ``device``: the thread's device.  ``streams``: its current stream on each device, where that is not the default one.  ``here``: the two together;
# it is there exactly when the thread is set up, that device's context being current.  ``places``: all that it has been, by device and handle.
thread: Any = threading.local()
_contexts: dict[int, int] = {}


def is_available() -> bool:
    """Whether there is a device that can be used.  Never raises."""
    return device_count() > 0


def device_count() -> int:
    """The number of devices; 0 where there is no CUDA, for whatever reason."""
    try:
        return load().DeviceGetCount()
    except RuntimeError:
        return 0


def check_index(index: Any = None) -> int:
    """``index`` as the number of a device; None: of the thread's device.

    Raises Unavailable without CUDA, TypeError for what is no integer, RuntimeError when there are not so many devices.
    """
    if index is None:
        return current_device()
    index = operator.index(index)
    count = load().DeviceGetCount()
    if not 0 <= index < count:
        there = "is one device, cuda:0" if count == 1 else f"are {count} devices, cuda:0 to cuda:{count - 1}"
        raise RuntimeError(f"CUDA error: invalid device ordinal: cuda:{index} was asked for, but there {there}")
    return index


def context(index: int) -> int:
    """The handle of the primary context of device ``index``."""
    if index not in _contexts:
        driver = load()
        _contexts[index] = driver.DevicePrimaryCtxRetain(driver.DeviceGet(index))
    return _contexts[index]


def here() -> Here:
    """Where this thread works.  The device's context is current from here on."""
    try:
        return thread.here
    except AttributeError:
        set_device(getattr(thread, "device", 0))
    return thread.here


def current_device() -> int:
    """The device that this thread works on.  Its context is current from here on."""
    return here().device


def set_device(index: int) -> None:
    """Let this thread work on device ``index``."""
    index = check_index(index)
    # An interrupt may strike anywhere: until the last line is done, the next use of the thread's device comes here again.
    thread.__dict__.pop("here", None)
    thread.device = index
    load().CtxSetCurrent(context(index))
    stream = thread.__dict__.setdefault("streams", {}).get(index)
    place = index, 0 if stream is None else stream.handle
    thread.here = thread.__dict__.setdefault("places", {}).get(place) or thread.places.setdefault(place, Here(*place))


class guard:
    """``with guard(index):`` this thread works on device ``index``, and afterwards on the one it worked on before."""

    __slots__ = ("_index", "_before")

    def __init__(self, index: int):
        self._index = index

    def __enter__(self) -> None:
        self._before = current_device()
        if self._before != self._index:
            set_device(self._index)

    def __exit__(self, *_: Any) -> None:
        if self._before != self._index:
            set_device(self._before)


# Called with the number of a device that the host has just waited for: what kernels have reported can be raised then (``faults``).
waited: list[Callable[[int], None]] = []


def after_waiting(index: int) -> None:
    """What is to be done when the host has waited for something on device ``index``."""
    for look in waited:
        look(index)


def synchronize(index: int | None = None) -> None:
    """Wait until all streams of a device have done what they were given.  Raises CudaError for a fault in it, and what its kernels have reported."""
    index = check_index(index)
    with guard(index):
        load().CtxSynchronize()
    after_waiting(index)


def of_pointer(address: int) -> int:
    """The device whose memory is at ``address``.  Raises ValueError when none has memory there."""
    current_device()
    try:
        kind, index = (load().PointerGetAttribute(attribute, address) for attribute in (_MEMORY_TYPE, _DEVICE_ORDINAL))
    except CudaError:
        kind = index = -1
    if kind != _MEMORY_OF_A_DEVICE:
        raise ValueError(f"the address {address:#x} is not in the memory of a CUDA device")
    return index


# Numbers in ``CUpointer_attribute`` and ``CUmemorytype``.
_MEMORY_TYPE, _DEVICE_ORDINAL, _MEMORY_OF_A_DEVICE = 2, 9, 2
# Attributes by their number in ``CUdevice_attribute``.
_ATTRIBUTES = {
    "major": 75,
    "minor": 76,
    "multi_processor_count": 16,
    "is_integrated": 18,
    "is_multi_gpu_board": 84,
    "max_threads_per_block": 1,
    "max_threads_per_multi_processor": 39,
    "regs_per_multiprocessor": 82,
    "shared_memory_per_block": 8,
    "shared_memory_per_block_optin": 97,
    "shared_memory_per_multiprocessor": 81,
    "warp_size": 10,
    "L2_cache_size": 38,
    "clock_rate": 13,
    "memory_clock_rate": 36,
    "memory_bus_width": 37,
    "pci_domain_id": 50,
    "pci_bus_id": 33,
    "pci_device_id": 34,
}


@dataclass(frozen=True, repr=False)
class DeviceProperties:
    """What a device has: sizes in bytes, rates in kHz, widths in bits."""

    name: str
    total_memory: int
    uuid: str
    major: int
    minor: int
    multi_processor_count: int
    is_integrated: int
    is_multi_gpu_board: int
    max_threads_per_block: int
    max_threads_per_multi_processor: int
    regs_per_multiprocessor: int
    shared_memory_per_block: int
    shared_memory_per_block_optin: int
    shared_memory_per_multiprocessor: int
    warp_size: int
    L2_cache_size: int
    clock_rate: int
    memory_clock_rate: int
    memory_bus_width: int
    pci_domain_id: int
    pci_bus_id: int
    pci_device_id: int

    def __repr__(self) -> str:
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, total_memory={self.total_memory >> 20}MB, "
            f"multi_processor_count={self.multi_processor_count}, uuid={self.uuid}, L2_cache_size={self.L2_cache_size >> 20}MB)"
        )


def get_device_properties(index: int | None = None) -> DeviceProperties:
    """What device ``index`` has."""
    return _properties(check_index(index), load())


@lru_cache(maxsize=None)
def _properties(index: int, driver: Any) -> DeviceProperties:
    device = driver.DeviceGet(index)
    uuid = driver.DeviceGetUuid(device).hex()
    return DeviceProperties(
        name=driver.DeviceGetName(256, device).decode(),
        total_memory=driver.DeviceTotalMem(device),
        uuid="-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:])),
        **{name: driver.DeviceGetAttribute(number, device) for name, number in _ATTRIBUTES.items()},
    )


def get_device_capability(index: int | None = None) -> tuple[int, int]:
    """The compute capability of device ``index``: (9, 0) for sm_90."""
    found = get_device_properties(index)
    return found.major, found.minor


def _after_fork_in_child() -> None:
    """The child has no context: what it asks for next asks for the driver first, which says that a forked process has none."""
    thread.__dict__.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
