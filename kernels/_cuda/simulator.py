"""Kernels under Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``): one block after the other (``simulated_blocks``).

A pointer is an object that reads and writes host memory where a compiled kernel reads and writes device memory; each access is checked against the
allocation that the address lies in, which is what compute-sanitizer does on a device.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Callable, Sequence

import numpy as np
from numba import cuda as numba_cuda

from . import driver

# One kernel at a time.
_simulating = threading.Lock()


class _Cuda:
    """What kernels know as ``cuda``: what there is to know in the launch that is running, and numba.cuda otherwise."""

    launch: Any = None  # simulated_blocks.Cuda

    def __getattr__(self, name: str) -> Any:
        return getattr(self.launch or numba_cuda, name)


cuda = _Cuda()


class Pointer:
    """``pointer[i]`` of a kernel: the element of ``dtype`` that lies i elements behind ``address``."""

    __slots__ = ("address", "elements", "start", "dtype")

    def __init__(self, address: int, dtype: np.dtype):
        self.dtype = dtype
        self.address = address
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

    def check_vector(self, index: Any, lanes: int) -> None:
        """Raise where a vector from element ``index`` on is not aligned to its size, which a device faults at."""
        if (self.address + int(index) * self.dtype.itemsize) % (lanes * self.dtype.itemsize):
            raise RuntimeError(
                f"a kernel's vector of {lanes} elements of {self.dtype} begins at an address that is not aligned to its size"
            )

    def __getitem__(self, index: Any) -> Any:
        return self.elements[self._place(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.elements[self._place(index)] = value


def run(function: Callable[..., Any], grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared: int) -> None:
    """Launch ``function`` and wait for it.  What it raises, in whatever thread, is raised here."""
    from . import simulated_blocks

    def quiet(*given: Any) -> None:
        with np.errstate(all="ignore"):  # integers wrap and divisions by zero are infinite on a device
            function(*given)

    with _simulating:
        cuda.launch = simulated_blocks.Cuda(grid, block, shared)
        try:
            simulated_blocks.run(cuda.launch, quiet, grid, block, arguments, shared)
        finally:
            cuda.launch = None


# ---- warps ----------------------------------------------------------------------------------------------------------------------------------

WARP = 32  # lanes


def shuffle(value: Any, lane: Any) -> Any:
    """``value`` of the lane ``lane``."""
    here, values = cuda.launch.exchange(value)
    return values[here // WARP * WARP + int(lane) % WARP]


def shuffle_down(value: Any, distance: Any) -> Any:
    """``value`` of the lane ``distance`` above this one; this one's own where there is none."""
    here, values = cuda.launch.exchange(value)
    return values.get(here + int(distance), value)


def shuffle_xor(value: Any, mask: Any) -> Any:
    """``value`` of the lane whose number is this one's with the bits of ``mask`` flipped."""
    here, values = cuda.launch.exchange(value)
    return values.get(here ^ int(mask), value)


def ballot(vote: Any) -> np.uint32:
    """A bit for each lane: whether its ``vote`` is true."""
    here, votes = cuda.launch.exchange(vote)
    first = here // WARP * WARP
    return np.uint32(sum(1 << (lane - first) for lane, yes in votes.items() if yes))
