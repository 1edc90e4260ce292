"""The binding of the driver: what it passes to C and gets back, errors, and what it says where there is no CUDA."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import types
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_size_t, c_uint

import pytest

from numbagrad.kernels._cuda import driver
from numbagrad.kernels._cuda.driver import CudaError, Driver, OutOfMemoryError, Unavailable
from numbagrad.kernels._cuda.simulated_driver import SimulatedDriver

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXTS = {
    1: ("CUDA_ERROR_INVALID_VALUE", "invalid argument"),
    2: ("CUDA_ERROR_OUT_OF_MEMORY", "out of memory"),
    100: ("CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"),
    700: ("CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    803: ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"),
}
# What functions write through these C types.
WRITTEN = {c_char_p: b"words", ctypes.c_float: 2.5}


class FakeLibrary:
    """C functions with the driver's signatures.  Each notes what it was called with, writes 41, 42, ... through its pointers and returns its entry
    in ``codes``."""

    def __init__(self, **codes: int):
        self.codes = codes
        self.calls: list[tuple] = []
        self.version = 13000
        for symbol, parameters in driver.FUNCTIONS.items():
            setattr(self, symbol, self._function(symbol, parameters))
        self.cuGetErrorName = CFUNCTYPE(c_int, c_int, POINTER(c_char_p))(self._words(0))
        self.cuGetErrorString = CFUNCTYPE(c_int, c_int, POINTER(c_char_p))(self._words(1))
        self.cuDriverGetVersion = CFUNCTYPE(c_int, POINTER(c_int))(self._write_version)

    def _write_version(self, where):
        where[0] = self.version
        return self.codes.get("cuDriverGetVersion", 0)

    def _words(self, which):
        def words(code, where):
            if code not in TEXTS:
                return 1
            where[0] = TEXTS[code][which].encode()
            return 0

        return words

    def _function(self, symbol, parameters):
        def called(*values):
            self.calls.append((symbol, *(v for v, p in zip(values, parameters) if not isinstance(p, driver.Out))))
            outputs = [(v, p.kind) for v, p in zip(values, parameters) if isinstance(p, driver.Out)]
            for number, (where, kind) in enumerate(outputs):
                if issubclass(kind, ctypes.Array):
                    ctypes.memmove(where, b"A name\0ABCDEFGHI", 16)
                else:
                    where[0] = WRITTEN.get(kind, 41 + number)
            return self.codes.get(symbol, 0)

        kinds = [POINTER(p.kind) if isinstance(p, driver.Out) else p for p in parameters]
        return CFUNCTYPE(c_int, *kinds)(called)


def name_of(symbol: str) -> str:
    return symbol.removeprefix("cu").removesuffix("_v2")


@pytest.mark.parametrize("symbol", [s for s in driver.FUNCTIONS if s not in ("cuGetErrorName", "cuGetErrorString", "cuDriverGetVersion")])
def test_what_is_passed_and_returned(symbol):
    """Every function gets its arguments in order, each as its C type, and what it writes comes back."""
    library = FakeLibrary()
    cuda, parameters = Driver(library), driver.FUNCTIONS[symbol]
    given = [p for p in parameters if not isinstance(p, driver.Out)]
    values = [
        b"text" if p is c_char_p else 200 if p is ctypes.c_ubyte else (1 << 40) + n if p is c_size_t else 7 + n for n, p in enumerate(given)
    ]
    found = getattr(cuda, name_of(symbol))(*values)
    assert library.calls == [(symbol, *values)]
    written = []
    for number, kind in enumerate(p.kind for p in parameters if isinstance(p, driver.Out)):
        if issubclass(kind, ctypes.Array):
            written.append(b"A name" if kind._type_ is ctypes.c_char else b"A name\0ABCDEFGHI")
        else:
            written.append(WRITTEN.get(kind, 41 + number))
    expected = (
        tuple(written) if len(written) > 1 else written[0] if written else True if symbol in ("cuStreamQuery", "cuEventQuery") else None
    )
    assert found == expected


def test_errors():
    cuda = Driver(
        FakeLibrary(cuMemFree_v2=1, cuMemAlloc_v2=2, cuCtxSynchronize=700, cuStreamQuery=600, cuEventQuery=1, cuModuleUnload=12345)
    )
    with pytest.raises(CudaError, match=r"CUDA error: invalid argument \(CUDA_ERROR_INVALID_VALUE, from cuMemFree_v2\)$") as caught:
        cuda.MemFree(3)
    assert (caught.value.function, caught.value.code, caught.value.name) == ("cuMemFree_v2", 1, "CUDA_ERROR_INVALID_VALUE")
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(OutOfMemoryError, match="CUDA out of memory"):
        cuda.MemAlloc(8)
    with pytest.raises(CudaError, match=r"an illegal memory access was encountered(.|\n)*reported by a later call"):
        cuda.CtxSynchronize()
    assert cuda.StreamQuery(5) is False  # not ready is an answer
    with pytest.raises(CudaError, match="invalid argument"):
        cuda.EventQuery(5)
    with pytest.raises(CudaError, match="error 12345"):
        cuda.ModuleUnload(1)
    cuda.check(0, "cuLaunchKernel")
    with pytest.raises(CudaError, match="from cuLaunchKernel"):
        cuda.check(700, "cuLaunchKernel")


def test_wrong_arguments_are_pythons_errors():
    cuda = Driver(FakeLibrary())
    for arguments in ((), (1, 2, 3), ("x", 1)):
        with pytest.raises((TypeError, ctypes.ArgumentError)):
            cuda.MemsetD8Async(*arguments)


def test_address():
    library = FakeLibrary()
    called = CFUNCTYPE(c_int, c_uint)(Driver(library).address("cuInit"))
    assert called(9) == 0 and library.calls == [("cuInit", 9)]


class TestUnavailable:
    """Each thing that can be missing has its own message."""

    @pytest.fixture(autouse=True)
    def nothing_started(self, monkeypatch):
        for name, value in (("_driver", None), ("_forked", False), ("SIMULATED", False)):
            monkeypatch.setattr(driver, name, value)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        self.patch = monkeypatch

    def start(self, library, absent=()):
        self.patch.setattr(driver, "_library", lambda: library)
        self.patch.setattr(driver, "_absent_packages", lambda: list(absent))
        return driver.load()

    def refused(self, message, library, absent=()):
        with pytest.raises(Unavailable, match=message):
            self.start(library, absent)
        assert not driver.is_loaded()

    def test_started(self):
        library = FakeLibrary()
        cuda = self.start(library)
        assert isinstance(cuda, Driver) and driver.is_loaded() and driver.load() is cuda
        assert library.calls[0] == ("cuInit", 0)

    def test_no_library(self):
        def fail(name):
            raise OSError(f"{name}: cannot open shared object file")

        self.patch.setattr(ctypes, "CDLL", fail)
        self.patch.setattr(ctypes, "WinDLL", fail, raising=False)
        with pytest.raises(Unavailable, match=r"no NVIDIA driver was found.*(libcuda\.so\.1|nvcuda\.dll).*cannot open"):
            driver.load()

    def test_simulator_that_lacks_something(self):
        self.patch.setattr(driver, "SIMULATED", True)
        self.patch.setattr(driver.config, "ENABLE_CUDASIM", 1)
        self.patch.setattr(driver, "find_spec", lambda name: None if name == "greenlet" else name)
        with pytest.raises(Unavailable, match=r"NUMBA_ENABLE_CUDASIM=1\) needs greenlet; pip install 'numbagrad\[test-cuda\]'"):
            driver.load()

    def test_old_driver(self):
        library = FakeLibrary()
        library.version = 12040
        self.refused(r"too old: it supports CUDA 12\.4, but CUDA 13\.0 is needed, which comes with driver 580 or newer$", library)
        assert not library.calls  # it is not started

    def test_driver_that_lacks_a_function(self):
        library = FakeLibrary()
        del library.cuEventElapsedTime_v2
        self.refused("it lacks cuEventElapsedTime_v2", library)

    def test_no_device(self):
        self.refused("sees no CUDA device; numbagrad works on device 'cpu'", FakeLibrary(cuInit=100))
        library = FakeLibrary()
        library.cuDeviceGetCount = CFUNCTYPE(c_int, POINTER(c_int))(lambda where: 0)
        self.refused("sees no CUDA device", library)
        self.patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        self.refused(r"sees no CUDA device \(CUDA_VISIBLE_DEVICES is '-1'\)", FakeLibrary(cuInit=100))

    def test_driver_that_does_not_start(self):
        self.refused("the NVIDIA driver does not start: .*CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", FakeLibrary(cuInit=803))

    def test_no_compiler(self):
        message = r"numba-cuda, nvidia-nvjitlink not found; pip install 'numbagrad\[cuda\]'"
        self.refused(message, FakeLibrary(), ["numba-cuda", "nvidia-nvjitlink"])

    def test_absent_packages(self):
        from importlib import metadata

        def version(wheel):
            if wheel != "nvidia-cuda-nvrtc":
                raise metadata.PackageNotFoundError(wheel)

        self.patch.setattr(driver, "find_spec", lambda name: None)
        self.patch.setattr(metadata, "version", version)
        self.patch.setattr(driver, "_is_installed", lambda library: library == "nvvm")
        assert driver._absent_packages() == ["numba-cuda", "nvidia-nvjitlink"]

    def test_library_that_numba_cuda_would_find(self):
        """Whatever pathfinder says; without it nothing is found."""
        finder = types.SimpleNamespace(load_nvidia_dynamic_lib=lambda name: None)
        self.patch.setitem(sys.modules, "cuda", types.SimpleNamespace(pathfinder=finder))
        assert driver._is_installed("nvvm")

        def fail(name):
            raise RuntimeError(name)

        finder.load_nvidia_dynamic_lib = fail
        assert not driver._is_installed("nvvm")
        self.patch.setitem(sys.modules, "cuda", None)
        assert not driver._is_installed("nvvm")

    def test_interpreter_without_gil(self):
        self.patch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
        self.refused("needs an interpreter with the GIL", FakeLibrary())


def test_constants_are_the_drivers():
    """Numbers that are written out here and there, against the bindings that NVIDIA generates."""
    bindings = pytest.importorskip("cuda.bindings.driver")
    from numbagrad.kernels._cuda import devices

    names = {
        "major": "COMPUTE_CAPABILITY_MAJOR", "minor": "COMPUTE_CAPABILITY_MINOR", "multi_processor_count": "MULTIPROCESSOR_COUNT",
        "is_integrated": "INTEGRATED", "is_multi_gpu_board": "MULTI_GPU_BOARD", "max_threads_per_block": "MAX_THREADS_PER_BLOCK",
        "max_threads_per_multi_processor": "MAX_THREADS_PER_MULTIPROCESSOR", "regs_per_multiprocessor": "MAX_REGISTERS_PER_MULTIPROCESSOR",
        "shared_memory_per_block": "MAX_SHARED_MEMORY_PER_BLOCK", "shared_memory_per_block_optin": "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN",
        "shared_memory_per_multiprocessor": "MAX_SHARED_MEMORY_PER_MULTIPROCESSOR", "warp_size": "WARP_SIZE", "L2_cache_size": "L2_CACHE_SIZE",
        "clock_rate": "CLOCK_RATE", "memory_clock_rate": "MEMORY_CLOCK_RATE", "memory_bus_width": "GLOBAL_MEMORY_BUS_WIDTH",
        "pci_domain_id": "PCI_DOMAIN_ID", "pci_bus_id": "PCI_BUS_ID", "pci_device_id": "PCI_DEVICE_ID",
    }  # fmt: skip
    assert {
        ours: int(getattr(bindings.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{theirs}")) for ours, theirs in names.items()
    } == devices._ATTRIBUTES
    assert int(bindings.CUresult.CUDA_ERROR_NOT_READY) == driver.NOT_READY
    assert int(bindings.CUresult.CUDA_ERROR_OUT_OF_MEMORY) == driver.OUT_OF_MEMORY
    assert all(bindings.CUresult(code) for code in driver._FAULTS)
    assert int(bindings.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE) == devices._MEMORY_TYPE
    assert int(bindings.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) == devices._DEVICE_ORDINAL
    assert int(bindings.CUmemorytype.CU_MEMORYTYPE_DEVICE) == devices._MEMORY_OF_A_DEVICE


def test_simulated_driver_has_the_drivers_methods():
    """All but those that compile, launch or look into kernels, which the simulator does otherwise."""
    theirs = {name_of(symbol) for symbol in driver.FUNCTIONS}
    lacking = {name for name in theirs if not hasattr(SimulatedDriver, name)}
    assert lacking == {
        "GetErrorName", "GetErrorString", "ModuleLoadData", "ModuleUnload", "ModuleGetFunction", "FuncGetAttribute", "FuncSetAttribute",
        "OccupancyMaxActiveBlocksPerMultiprocessor", "LaunchKernel",
    }  # fmt: skip
    for symbol, parameters in driver.FUNCTIONS.items():
        method = getattr(SimulatedDriver, name_of(symbol), None)
        if method is not None:
            given = sum(not isinstance(p, driver.Out) for p in parameters)
            assert method.__code__.co_argcount == given + 1, symbol


def test_nothing_is_imported_or_started_unasked():
    """``import numbagrad`` and work on the CPU touch neither numba.cuda nor the driver; to ask whether there is a GPU compiles nothing."""
    code = """
import ctypes, sys
import numbagrad as ng
x = ng.ones(3, requires_grad=True)
(x * 2).sum().backward()
assert not [m for m in sys.modules if m.startswith(("numba.cuda", "numba_cuda", "numbagrad.kernels._cuda"))], "imported"
there = ng.cuda.is_available()
assert not [m for m in sys.modules if m.startswith(("numba.cuda", "numba_cuda"))], "imported by is_available"
assert "numbagrad.kernels._cuda.memory" not in sys.modules
print(there, ng.cuda.device_count() > 0)
"""
    clean = {key: value for key, value in os.environ.items() if key != "NUMBA_ENABLE_CUDASIM"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and re.fullmatch("(True True|False False)\n", done.stdout), done.stderr
