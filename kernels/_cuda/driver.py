"""The CUDA driver, by ctypes: the few functions that are needed, each an exception where the driver returns a code.

``load()`` gives the process's driver, or says exactly what is missing.  Its methods are named as the driver's functions, without ``cu`` and
``_v2``; what these write through pointers, the methods return.  Handles and device pointers are ints.

Functions and constants: CUDA Driver API reference manual, version 13.0.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections import deque
from ctypes import c_char, c_char_p, c_float, c_int, c_size_t, c_ubyte, c_uint
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from numba.core import config

# The simulator runs kernels in Python on the host; there is no driver then, and none is looked for.
SIMULATED = bool(config.ENABLE_CUDASIM)

# Kernels are linked by the toolkit of CUDA 13.0, whose machine code older drivers do not load.
NEEDED_VERSION = 13000
_NEEDED_SERIES = 580

OUT_OF_MEMORY = 2
NOT_READY = 600
# Codes by which a kernel's fault is reported, at whatever call comes next.
_FAULTS = frozenset((214, 700, 702, 710, 714, 715, 716, 717, 718, 719, 720))
# The kernels that were launched last, one of which it may be.
launched: deque[Any] = deque(maxlen=8)


class CudaError(RuntimeError):
    """A function of the driver failed: ``function``, the ``code`` that it returned and that code's ``name``."""

    def __init__(self, function: str, code: int, name: str, text: str):
        message = f"CUDA error: {text} ({name}, from {function})"
        if code in _FAULTS:
            last = ", ".join(kernel.name for kernel in launched) or "none"
            message += (
                f"\nA kernel's fault is reported by a later call. Kernels launched last, the latest at the end: {last}. With the environment variable "
                "CUDA_LAUNCH_BLOCKING=1 every launch waits for its kernel, and raises its fault. From now on the GPU is of no use to this process; "
                "device 'cpu' is."
            )
        super().__init__(message)
        self.function = function
        self.code = code
        self.name = name


class OutOfMemoryError(RuntimeError):
    """A device has not as much memory left as was asked for."""


class Unavailable(RuntimeError):
    """There is no CUDA here; the message says what is missing."""


class Out(NamedTuple):
    """A parameter through which a function writes one value of ``kind``."""

    kind: Any


_HANDLE = _POINTER = c_size_t

# What the driver exports -> the types of its parameters.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (Out(c_int),),
    "cuGetErrorName": (c_int, Out(c_char_p)),
    "cuGetErrorString": (c_int, Out(c_char_p)),
    # devices and contexts
    "cuDeviceGetCount": (Out(c_int),),
    "cuDeviceGet": (Out(c_int), c_int),
    "cuDeviceGetName": (Out(c_char * 256), c_int, c_int),
    "cuDeviceGetUuid_v2": (Out(c_ubyte * 16), c_int),
    "cuDeviceTotalMem_v2": (Out(c_size_t), c_int),
    "cuDeviceGetAttribute": (Out(c_int), c_int, c_int),
    "cuDeviceCanAccessPeer": (Out(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (Out(_HANDLE), c_int),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuCtxGetCurrent": (Out(_HANDLE),),
    "cuCtxSynchronize": (),
    "cuCtxGetStreamPriorityRange": (Out(c_int), Out(c_int)),
    # memory
    "cuMemGetInfo_v2": (Out(c_size_t), Out(c_size_t)),
    "cuMemAlloc_v2": (Out(_POINTER), c_size_t),
    "cuMemFree_v2": (_POINTER,),
    "cuMemHostAlloc": (Out(_POINTER), c_size_t, c_uint),
    "cuMemFreeHost": (_POINTER,),
    "cuMemcpyHtoDAsync_v2": (_POINTER, _POINTER, c_size_t, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (_POINTER, _POINTER, c_size_t, _HANDLE),
    "cuMemcpyDtoDAsync_v2": (_POINTER, _POINTER, c_size_t, _HANDLE),
    "cuMemcpyPeerAsync": (_POINTER, _HANDLE, _POINTER, _HANDLE, c_size_t, _HANDLE),
    "cuPointerGetAttribute": (Out(c_int), c_int, _POINTER),
    "cuMemsetD8Async": (_POINTER, c_ubyte, c_size_t, _HANDLE),
    "cuMemsetD32Async": (_POINTER, c_uint, c_size_t, _HANDLE),
    # streams and events
    "cuStreamCreateWithPriority": (Out(_HANDLE), c_uint, c_int),
    "cuStreamDestroy_v2": (_HANDLE,),
    "cuStreamSynchronize": (_HANDLE,),
    "cuStreamQuery": (_HANDLE,),
    "cuStreamWaitEvent": (_HANDLE, _HANDLE, c_uint),
    "cuEventCreate": (Out(_HANDLE), c_uint),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventQuery": (_HANDLE,),
    "cuEventSynchronize": (_HANDLE,),
    "cuEventElapsedTime_v2": (Out(c_float), _HANDLE, _HANDLE),
    # kernels
    "cuModuleLoadData": (Out(_HANDLE), c_char_p),
    "cuModuleUnload": (_HANDLE,),
    "cuModuleGetFunction": (Out(_HANDLE), _HANDLE, c_char_p),
    "cuFuncGetAttribute": (Out(c_int), c_int, _HANDLE),
    "cuFuncSetAttribute": (_HANDLE, c_int, c_int),
    "cuOccupancyMaxActiveBlocksPerMultiprocessor": (Out(c_int), _HANDLE, c_int, c_size_t),
    "cuLaunchKernel": (_HANDLE, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, _HANDLE, _POINTER, _POINTER),
}
# These answer a question: their result is not whether they failed.
_QUERIES = ("cuStreamQuery", "cuEventQuery")


def _method(function: Any, symbol: str, parameters: tuple[Any, ...], check: Callable[[int, str], None]) -> Callable[..., Any]:
    """``function`` as a method: it takes the values of the parameters that are no ``Out`` and returns those of the ones that are."""
    outputs = [(place, parameter.kind) for place, parameter in enumerate(parameters) if isinstance(parameter, Out)]

    def act(*values: Any) -> None:
        code = function(*values)
        if code:
            check(code, symbol)

    def ask(*values: Any) -> bool:
        code = function(*values)
        if code and code != NOT_READY:
            check(code, symbol)
        return code == 0

    def get(*values: Any) -> Any:
        filled, passed = [kind() for _, kind in outputs], list(values)
        for (place, _), result in zip(outputs, filled):
            passed.insert(place, ctypes.byref(result))
        code = function(*passed)
        if code:
            check(code, symbol)
        found = [result.value if hasattr(result, "value") else bytes(result) for result in filled]
        return found[0] if len(found) == 1 else tuple(found)

    return get if outputs else ask if symbol in _QUERIES else act


class Driver:
    """The functions of ``library`` as methods, and a few words about them.  ``missing`` are those that it does not have."""

    def __init__(self, library: Any):
        self._library = library
        self.missing: list[str] = []
        for symbol, parameters in FUNCTIONS.items():
            function = getattr(library, symbol, None)
            if function is None:
                self.missing.append(symbol)
                continue
            function.argtypes = [ctypes.POINTER(p.kind) if isinstance(p, Out) else p for p in parameters]
            function.restype = c_int
            setattr(self, symbol.removeprefix("cu").removesuffix("_v2"), _method(function, symbol, parameters, self.check))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def address(self, symbol: str) -> int:
        """Where the exported function ``symbol`` begins, for compiled code that calls it."""
        found = ctypes.cast(getattr(self._library, symbol), ctypes.c_void_p).value
        assert found is not None
        return found

    def check(self, code: int, function: str) -> None:
        """Raise what ``code``, which ``function`` returned, stands for: OutOfMemoryError or CudaError.  0 stands for nothing."""
        if not code:
            return
        name, text = self._words(code)
        if code == OUT_OF_MEMORY:
            raise OutOfMemoryError(f"CUDA out of memory ({name}, from {function})")
        raise CudaError(function, code, name, text)

    def _words(self, code: int) -> tuple[str, str]:
        """The name of an error code and what it means."""
        words = []
        for symbol in ("cuGetErrorName", "cuGetErrorString"):
            found = c_char_p()
            failed = getattr(self._library, symbol)(code, ctypes.byref(found))
            words.append(found.value.decode() if not failed and found.value else f"error {code}")
        return words[0], words[1]


# ---- the one driver of the process --------------------------------------------------------------------------------------------------------

_driver: Any = None
_forked = False


def load() -> Any:
    """The driver of this process, started when it is first asked for: a ``Driver``, or a ``SimulatedDriver`` in the simulator.

    Raises Unavailable when there is nothing to start, RuntimeError in the child of a fork whose parent had started it.
    """
    return _driver or _start()


def is_loaded() -> bool:
    """Whether this process has started the driver."""
    return _driver is not None


def _start() -> Any:
    global _driver
    if _forked:
        raise RuntimeError(
            "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' start method"
        )
    if SIMULATED:
        from .simulated_driver import SimulatedDriver

        absent = [name for name in ("numba_cuda", "greenlet") if not find_spec(name)]
        if absent and config.ENABLE_CUDASIM:  # tests that launch nothing do without
            raise Unavailable(f"the simulator (NUMBA_ENABLE_CUDASIM=1) needs {' and '.join(absent)}; pip install 'numbagrad[test-cuda]'")
        _driver = SimulatedDriver()
    else:
        _driver = _started(Driver(_library()))
    return _driver


def _library() -> Any:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return getattr(ctypes, "WinDLL", ctypes.CDLL)(name)
    except OSError as error:
        raise Unavailable(
            f"no NVIDIA driver was found on this system: {name} cannot be loaded ({error}); numbagrad works on device 'cpu'"
        ) from None


def _started(driver: Driver) -> Driver:
    """``driver``, initialised.  Raises Unavailable when it is too old, sees no device, or what compiles kernels for it is not installed."""
    # A reference count is not the only thing that the allocator relies on the GIL for.
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise Unavailable("CUDA needs an interpreter with the GIL; numbagrad works on device 'cpu'")
    try:
        version = driver.DriverGetVersion()
        if version < NEEDED_VERSION or driver.missing:
            raise Unavailable(
                f"the NVIDIA driver is too old: it supports CUDA {_dotted(version)}, but CUDA {_dotted(NEEDED_VERSION)} is needed, "
                f"which comes with driver {_NEEDED_SERIES} or newer"
                + (f" (it lacks {', '.join(driver.missing)})" if driver.missing else "")
            )
        driver.Init(0)
        count = driver.DeviceGetCount()
    except CudaError as error:
        if error.name == "CUDA_ERROR_NO_DEVICE":
            raise _no_device() from None
        raise Unavailable(f"the NVIDIA driver does not start: {error}") from None
    if not count:
        raise _no_device()
    absent = _absent_packages()
    if absent:
        raise Unavailable(
            f"there is a GPU, but kernels cannot be compiled for it: {', '.join(absent)} not found; pip install 'numbagrad[cuda]' installs what is needed"
        )
    return driver


def _dotted(version: int) -> str:
    """13000 -> 13.0"""
    return f"{version // 1000}.{version % 1000 // 10}"


def _no_device() -> Unavailable:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    reason = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
    return Unavailable(f"the NVIDIA driver sees no CUDA device{reason}; numbagrad works on device 'cpu'")


def _absent_packages() -> list[str]:
    """What of numba-cuda and the toolkit's wheels is not installed.  A toolkit that is installed otherwise counts too."""
    absent = [] if find_spec("numba_cuda") else ["numba-cuda"]
    for wheel, library in (("nvidia-cuda-nvvm", "nvvm"), ("nvidia-cuda-nvrtc", "nvrtc"), ("nvidia-nvjitlink", "nvJitLink")):
        try:
            metadata.version(wheel)
        except metadata.PackageNotFoundError:
            if not _is_installed(library):
                absent.append(wheel)
    return absent


def _is_installed(library: str) -> bool:
    """Whether numba-cuda would find ``library``."""
    try:
        from cuda import pathfinder

        pathfinder.load_nvidia_dynamic_lib(library)
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def _after_fork_in_child() -> None:
    """The driver does not survive a fork: what it gave the parent is of no use in the child."""
    global _driver, _forked
    _forked = _forked or is_loaded()
    _driver = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
