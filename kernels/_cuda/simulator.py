"""Kernels under Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``): every thread of a block is a thread of Python, one block after the other.

A pointer is an object that reads and writes host memory where a compiled kernel reads and writes device memory; each access is checked against the
allocation that the address lies in, which is what compute-sanitizer does on a device.
"""

from __future__ import annotations

import ctypes
import threading
from types import FunctionType
from typing import Any, Callable, Sequence

import numpy as np
from numba import cuda

from . import driver

# Numba simulates one kernel at a time.
_simulating = threading.Lock()


class Pointer:
    """``pointer[i]`` of a kernel: the element of ``dtype`` that lies i elements behind ``address``."""

    __slots__ = ("elements", "start", "dtype")

    def __init__(self, address: int, dtype: np.dtype):
        self.dtype = dtype
        base, size = driver.load().extent(address) if address else (0, 0)  # type: ignore[attr-defined]
        self.start = (address - base) // dtype.itemsize
        first = address - self.start * dtype.itemsize
        count = (base + size - first) // dtype.itemsize
        # An array of the bytes up to the end of the allocation; as the address, it need not be aligned to the elements' size from its base on.
        room: Any = (ctypes.c_byte * (count * dtype.itemsize)).from_address(first) if count > 0 else b""
        self.elements = np.frombuffer(room, dtype)

    def _place(self, index: Any) -> int:
        place = self.start + int(index)
        if not 0 <= place < self.elements.size:
            raise IndexError(f"a kernel's access to element {int(index)} of a pointer lies outside of the allocation")
        return place

    def __getitem__(self, index: Any) -> Any:
        return self.elements[self._place(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.elements[self._place(index)] = value


def _quiet(function: Callable[..., Any]) -> FunctionType:
    """``function`` without NumPy's warnings: integers wrap and divisions by zero are infinite on a device.  It has the globals of ``function``, in
    which Numba puts its simulated ``cuda``."""
    errstate = np.errstate

    def run(*arguments):  # type: ignore[no-untyped-def]
        with errstate(all="ignore"):
            function(*arguments)

    return FunctionType(run.__code__, function.__globals__, function.__name__, None, run.__closure__)


def run(function: Callable[..., Any], grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared: int) -> None:
    """Launch ``function`` and wait for it.  What it raises, in whatever thread, is raised here."""
    with _simulating:
        cuda.jit(_quiet(function))[tuple(grid), tuple(block), 0, shared](*arguments)


# ---- warps ----------------------------------------------------------------------------------------------------------------------------------

_WARP = 32
_PATIENCE = 60.0  # seconds until a warp of which some lane has died is given up


class _Warp:
    """Where the lanes of one warp meet to exchange values."""

    def __init__(self, lanes: int):
        self.barrier = threading.Barrier(lanes)
        self.values: list[Any] = [None] * lanes

    def exchange(self, lane: int, value: Any) -> list[Any]:
        """The values of all lanes."""
        self.values[lane] = value
        self.barrier.wait(_PATIENCE)
        found = list(self.values)
        self.barrier.wait(_PATIENCE)
        return found


_making = threading.Lock()


def _exchange(value: Any) -> tuple[int, list[Any]]:
    """This thread's lane, and what every lane of its warp has handed in."""
    thread: Any = threading.current_thread()
    block = thread._manager
    warp, lane = divmod(thread.thread_id, _WARP)
    with _making:
        warps = block.__dict__.setdefault("numbagrad_warps", {})
        if warp not in warps:
            warps[warp] = _Warp(min(_WARP, int(np.prod(block._block_dim)) - warp * _WARP))
    return lane, warps[warp].exchange(lane, value)


def shuffle(value: Any, lane: Any) -> Any:
    """``value`` of the lane ``lane``."""
    _, values = _exchange(value)
    return values[int(lane) % _WARP]


def shuffle_down(value: Any, distance: Any) -> Any:
    """``value`` of the lane ``distance`` above this one; this one's own where there is none."""
    lane, values = _exchange(value)
    other = lane + int(distance)
    return values[other] if other < len(values) else value


def shuffle_xor(value: Any, mask: Any) -> Any:
    """``value`` of the lane whose number is this one's with the bits of ``mask`` flipped."""
    lane, values = _exchange(value)
    other = lane ^ int(mask)
    return values[other] if other < len(values) else value
