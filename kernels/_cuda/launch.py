"""How kernels are declared, and the one function that every launch passes.

    @kernel(pointer(np.float32), pointer(np.float32), np.float32, np.uint32)
    def scale(out, x, factor, n):
        step = np.uint32(cuda.gridDim.x * cuda.blockDim.x)
        i = np.uint32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while i < n:
            out[i] = factor * x[i]
            i = np.uint32(i + step)

    launch(scale, *blocks(n), (out.pointer, x.pointer, 2.0, n))

A launch packs its arguments, each into a word of 8 bytes, behind a head that says what to launch; compiled code makes the driver's list of their
addresses on its stack and calls the driver by address.  No object is made for an argument.  Under the simulator the function runs as it is.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from typing import Any, Callable, Sequence

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .._cpu import jit
from . import devices, driver, simulator
from .build import Capability, Cubin, Options, Pointer, build, pointer, storage
from .driver import SIMULATED

__all__ = ["Kernel", "blocks", "kernel", "launch", "observers", "pointer"]

# Called with what each launch is called with, before it.
observers: list[Callable[..., None]] = []

MOST_PARAMETERS = 128
# Behind the head of a bytes object.
_BYTES = bytes.__basicsize__ - 1
# The head: the driver's function, the kernel, the stream, six dimensions, the bytes of shared memory; one word is left free.
_HEAD, _HEAD_BYTES = "QQQIIIIIII4x", 56
_LAYOUTS = {"b1": "?7x", "i4": "i4x", "u4": "I4x", "i8": "q", "u8": "Q", "f4": "f4x", "f8": "d"}
_LARGEST = float(np.finfo(np.float32).max)

# A block may have more shared memory than this, if the driver is told beforehand.
_SHARED_BYTES = 48 << 10
_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8  # CUfunction_attribute

BLOCK = 256  # threads
_MOST_BLOCKS = 1 << 20
_SIMULATED_BLOCK, _SIMULATED_BLOCKS = 4, 2  # a simulated thread is one of Python's

BLOCKING = os.environ.get("CUDA_LAUNCH_BLOCKING") == "1"
_loading = threading.RLock()


class Kernel:
    """A function compiled for each kind of device that it is launched on, when it first is.

    ``function``: the function; ``parameters``: their types; ``options``: how it is compiled.
    """

    __slots__ = ("function", "parameters", "options", "source", "name", "functions", "pack", "count", "_room")

    def __init__(self, function: Callable[..., Any], parameters: Sequence[Any], options: Options, source: str | None):
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        if len(names) != len(parameters):
            raise TypeError(f"kernel {function.__name__}: {len(parameters)} types for {len(names)} parameters ({', '.join(names)})")
        if len(names) > MOST_PARAMETERS:
            raise TypeError(f"kernel {function.__name__}: a kernel has at most {MOST_PARAMETERS} parameters, but this one {len(names)}")
        self.function, self.parameters, self.options, self.source = function, tuple(parameters), options, source
        self.name = function.__name__
        self.functions: dict[int, int] = {}  # the driver's handles, by device
        self.pack = struct.Struct("=" + _HEAD + "".join(map(_layout, parameters))).pack
        self.count = len(names)
        self._room: dict[int, int] = {}  # bytes of dynamic shared memory that blocks may have, by device

    def __repr__(self) -> str:
        return f"<CUDA kernel {self.name}>"

    def build(self, capability: Capability) -> Cubin:
        """The machine code for a compute capability; no device is needed."""
        return build(self.function, self.parameters, self.options, capability, self.source)

    def load(self, device: int) -> int:
        """The driver's handle of this kernel on ``device``, which is the current one."""
        with _loading:
            found = self.functions.get(device)
            if found is None:
                properties = devices.get_device_properties(device)
                cubin = self.build((properties.major, properties.minor))
                cuda = driver.load()
                _connect(cuda)
                module = cuda.ModuleLoadData(cubin.code)
                found = self.functions[device] = cuda.ModuleGetFunction(module, cubin.name.encode())
        return found

    def make_room(self, device: int, shared: int) -> None:
        """Allow blocks ``shared`` bytes of dynamic shared memory, more than every kernel may have."""
        if self._room.get(device, 0) < shared:
            driver.load().FuncSetAttribute(self.functions[device], _MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
            self._room[device] = shared

    def simulate(self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared: int) -> None:
        """Run on the host."""
        with np.errstate(over="ignore"):  # a number that is infinite in float32
            given = [
                simulator.Pointer(x, storage(kind.dtype)) if isinstance(kind, Pointer) else np.dtype(kind).type(x)
                for x, kind in zip(arguments, self.parameters, strict=True)
            ]
        simulator.run(self.function, grid, block, given, shared)


def _layout(parameter: Any) -> str:
    """How ``struct`` packs an argument into a word."""
    if isinstance(parameter, Pointer):
        return "Q"
    dtype = np.dtype(parameter)
    found = _LAYOUTS.get(dtype.str[1:])
    if found is None:
        raise TypeError(f"kernel: expected pointer(dtype), a bool or a 32- or 64-bit number as the type of a parameter, but got {dtype}")
    return found


def kernel(
    *parameters: Any,
    bounds: int | tuple[int, int] | None = BLOCK,
    registers: int | None = None,
    fastmath: bool = False,
    source: str | None = None,
) -> Callable[[Callable[..., Any]], Kernel]:
    """Declare a kernel by the types of its parameters: ``pointer(dtype)``, ``np.int32``, ``np.uint32``, ``np.int64``, ``np.float32`` ...

    ``bounds``: the most threads that a block will have, or a pair: those, and how many blocks a multiprocessor should hold at least, which limits the
    registers; ``registers``: the most registers of a thread; ``fastmath``: denormals are flushed, and functions and divisions approximate; ``source``:
    the text of a generated function.
    """
    return lambda function: Kernel(function, parameters, Options(bounds, registers, fastmath), source)


def blocks(items: int, threads: int = BLOCK) -> tuple[int, int]:
    """A grid and a block for kernels whose threads take one of ``items`` after the other, a grid apart."""
    most = _MOST_BLOCKS
    if SIMULATED:
        threads, most = min(threads, _SIMULATED_BLOCK), _SIMULATED_BLOCKS
    return max(1, min(most, -(-items // threads))), threads


def _three(dimensions: Any) -> tuple[int, int, int]:
    if isinstance(dimensions, (int, np.integer)):
        return int(dimensions), 1, 1
    x, y, z = (*dimensions, 1, 1)[:3]
    return x, y, z


def launch(kernel: Kernel, grid: Any, block: Any, arguments: Sequence[Any], shared: int = 0) -> None:
    """Launch ``kernel`` on the current stream of the current device.

    ``grid`` (blocks) and ``block`` (threads): an int or up to three; ``arguments``: an int per pointer (its address), and numbers; ``shared``: the
    bytes of dynamic shared memory of a block.  It returns before the kernel is done; arrays that it uses have to be kept until then, or freed in the
    order of the same stream, as the allocator does.

    Raises CudaError when the driver refuses, or reports the fault of an earlier kernel.  With the environment variable CUDA_LAUNCH_BLOCKING=1 it
    does not return before the kernel is done.
    """
    if observers:
        for observe in observers:
            observe(kernel, grid, block, arguments, shared)
    gx, gy, gz = (grid, 1, 1) if type(grid) is int else _three(grid)
    bx, by, bz = (block, 1, 1) if type(block) is int else _three(block)
    if SIMULATED:
        return kernel.simulate((gx, gy, gz), (bx, by, bz), arguments, shared)
    here = devices.here()
    stream = here.stream
    function = kernel.functions.get(here.device) or kernel.load(here.device)
    if shared > _SHARED_BYTES:
        kernel.make_room(here.device, shared)
    try:
        words = kernel.pack(_entry, function, stream, gx, gy, gz, bx, by, bz, shared, *arguments)
    except OverflowError:  # a number that is infinite in float32
        words = kernel.pack(_entry, function, stream, gx, gy, gz, bx, by, bz, shared, *map(_as_single, arguments))
    driver.launched.append(kernel)
    code = _start(id(words) + _BYTES, kernel.count)
    if code:
        refused(kernel, code, (gx, gy, gz), (bx, by, bz), shared)
    if BLOCKING:
        driver.load().StreamSynchronize(stream)
    return None


def packed(kernel: Kernel, here: devices.Here, grid: int, block: int, arguments: Sequence[Any]) -> bytes:
    """The words of a launch where ``kernel`` is loaded already, for compiled code that launches the like by ``call_driver``.  It sees to it that observers
    are called, and appends to ``driver.launched``."""
    return kernel.pack(_entry, kernel.functions[here.device], here.stream, grid, 1, 1, block, 1, 1, 0, *arguments)


def _as_single(x: Any) -> Any:
    return math.copysign(math.inf, x) if type(x) is float and abs(x) > _LARGEST else x


def refused(kernel: Kernel, code: int, grid: Any, block: Any, shared: int) -> None:
    """Raise what ``code`` stands for, which a launch has returned."""
    try:
        driver.load().check(code, "cuLaunchKernel")
    except RuntimeError as error:
        error.args = (f"{error}\nlaunching {kernel.name} in blocks {grid} of threads {block} with {shared} bytes of shared memory",)
        raise


# ---- the launcher ---------------------------------------------------------------------------------------------------------------------------

_WORD, _INT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
# CUresult cuLaunchKernel(function, gridDim x y z, blockDim x y z, sharedMemBytes, stream, kernelParams, extra)
_LAUNCH = ir.FunctionType(_INT, [_WORD, *[_INT] * 7, _WORD, _WORD, _WORD])


@intrinsic
def call_driver(typingctx: Any, words: Any, count: Any) -> Any:
    """Call cuLaunchKernel as the packed ``words`` of a launch say, with the addresses of ``count`` arguments behind their head."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def field(offset: int, kind: Any) -> Any:
            return builder.load(builder.inttoptr(builder.add(args[0], ir.Constant(_WORD, offset)), kind.as_pointer()))

        addresses = cgutils.alloca_once(builder, _WORD, size=MOST_PARAMETERS)
        first = builder.add(args[0], ir.Constant(_WORD, _HEAD_BYTES))
        with cgutils.for_range(builder, args[1]) as loop:
            address = builder.add(first, builder.mul(loop.index, ir.Constant(_WORD, 8)))
            builder.store(address, builder.gep(addresses, [loop.index]))
        entry = builder.inttoptr(field(0, _WORD), _LAUNCH.as_pointer())
        numbers = [field(offset, _INT) for offset in range(24, 52, 4)]
        parameters = builder.ptrtoint(addresses, _WORD)
        code = builder.call(entry, [field(8, _WORD), *numbers, field(16, _WORD), parameters, ir.Constant(_WORD, 0)])
        return builder.sext(code, _WORD)

    return types.int64(types.int64, types.int64), codegen


def _launch_words(words, count):  # type: ignore[no-untyped-def]
    return call_driver(words, count)


# What ``launch`` calls, and the address of cuLaunchKernel; set when the first kernel is loaded.
_start: Any = None
_entry = 0


def _connect(cuda: Any) -> None:
    """Compile the launcher (or load it from the cache), and look up the driver's function."""
    global _start, _entry
    if _start is None:
        dispatcher = jit.kernel(_launch_words)
        dispatcher.compile((types.int64, types.int64))
        _start = dispatcher.overloads[types.int64, types.int64].entry_point
    _entry = cuda.address("cuLaunchKernel")
