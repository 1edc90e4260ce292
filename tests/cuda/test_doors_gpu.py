"""The doors on a real GPU: what fake drivers cannot show."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels._cuda import devices, driver, memory, pinned, streams
from numbagrad.kernels._cuda.driver import CudaError, OutOfMemoryError

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(driver.SIMULATED or not devices.is_available(), reason="no GPU here")]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIB = 1 << 20


def to_device(host: np.ndarray) -> memory.Allocation:
    a = memory.allocate(host.nbytes)
    driver.load().MemcpyHtoDAsync(a.pointer, host.ctypes.data, host.nbytes, streams.current_handle())
    return a


def to_host(a: memory.Allocation, dtype: type = np.uint8) -> np.ndarray:
    back = np.empty(a.nbytes // np.dtype(dtype).itemsize, dtype)
    stream = streams.current_stream()
    driver.load().MemcpyDtoHAsync(back.ctypes.data, a.pointer, a.nbytes, stream.handle)
    stream.synchronize()
    return back


def test_properties():
    found = ng.cuda.get_device_properties()
    assert found.name and found.major >= 5 and found.warp_size == 32 and found.multi_processor_count > 0
    assert found.shared_memory_per_block_optin >= found.shared_memory_per_block >= 48 << 10
    free, total = ng.cuda.mem_get_info()
    assert 0 < free <= total and abs(total - found.total_memory) < total / 10


def test_copies():
    host = np.arange(300_001, dtype=np.float32)
    a = to_device(host)
    b = memory.allocate(host.nbytes)
    driver.load().MemcpyDtoDAsync(b.pointer, a.pointer, host.nbytes, streams.current_handle())
    assert (to_host(b, np.float32) == host).all()
    driver.load().MemsetD32Async(b.pointer, 0x3F800000, 1000, streams.current_handle())
    driver.load().MemsetD8Async(b.pointer, 0, 4, streams.current_handle())
    assert to_host(b, np.float32)[:1001].tolist() == [0.0, *[1.0] * 999, 1000.0]


def test_pinned_copies():
    host = pinned.pinned(8 * MIB)
    host[:] = np.arange(8 * MIB, dtype=np.uint32).astype(np.uint8)
    a = memory.allocate(host.nbytes)
    s = ng.cuda.Stream()
    s.wait_stream(ng.cuda.current_stream())
    driver.load().MemcpyHtoDAsync(a.pointer, host.ctypes.data, host.nbytes, s.handle)
    pinned.record_pinned(host, s)
    a.record_stream(s)
    expected = host.copy()
    del host
    ng.cuda.current_stream().wait_stream(s)
    assert (to_host(a) == expected).all()


def test_blocks_are_not_used_again_too_early():
    """A long queue of copies reads a block that has been dropped; the next owner writes to it at once."""
    cuda, s = driver.load(), ng.cuda.Stream()
    target = memory.allocate(64 * MIB)
    for value in range(1, 9):
        source = memory.allocate(64 * MIB)
        cuda.MemsetD8Async(source.pointer, value, source.nbytes, streams.current_handle())
        s.wait_stream(ng.cuda.current_stream())
        for _ in range(20):
            cuda.MemcpyDtoDAsync(target.pointer, source.pointer, source.nbytes, s.handle)
        source.record_stream(s)
        del source
        overwritten = memory.allocate(64 * MIB)
        cuda.MemsetD8Async(overwritten.pointer, 255, overwritten.nbytes, streams.current_handle())
        ng.cuda.current_stream().wait_stream(s)
        assert (to_host(target) == value).all()


def test_events():
    start, end = (ng.cuda.Event(enable_timing=True) for _ in range(2))
    a = memory.allocate(64 * MIB)
    s = ng.cuda.Stream(priority=-1)
    with ng.cuda.stream(s):
        start.record()
        for _ in range(50):
            driver.load().MemsetD8Async(a.pointer, 1, a.nbytes, streams.current_handle())
        end.record()
    end.synchronize()
    assert end.query() and s.query() and 0 < start.elapsed_time(end) < 10_000
    a.record_stream(s)


def test_out_of_memory():
    free, total = ng.cuda.mem_get_info()
    with pytest.raises(OutOfMemoryError, match=r"CUDA out of memory. Tried to allocate .* GPU 0 has a total capacity of"):
        memory.allocate(2 * total)
    kept = memory.allocate(free // 2)
    del kept
    assert memory.allocate(int(free * 0.6)).pointer  # only when the other has gone back
    ng.cuda.empty_cache()


def test_pointers():
    assert devices.of_pointer(memory.allocate(100).pointer + 50) == ng.cuda.current_device()
    for elsewhere in (np.zeros(3), pinned.pinned(100)):
        with pytest.raises(ValueError, match="not in the memory of a CUDA device"):
            devices.of_pointer(elsewhere.ctypes.data)


def test_errors_of_the_driver():
    with pytest.raises(CudaError, match="CUDA_ERROR_INVALID_VALUE"):
        driver.load().MemFree(12345)
    with pytest.raises(CudaError):
        driver.load().ModuleLoadData(b"this is no module")
    assert (to_host(to_device(np.ones(10, np.uint8))) == 1).all()


def test_other_libraries_are_in_order():
    """The default stream is torch's too, and so is the context."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch has no CUDA")
    x = torch.full((1000,), 3.0, device="cuda")
    assert devices.of_pointer(x.data_ptr()) == 0
    assert (to_host(memory.borrowed(x.data_ptr(), 4000, 0, x), np.float32) == 3).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork():
    code = """
import os
import numbagrad as ng
ng.cuda.init()
pid = os.fork()
if not pid:
    try:
        ng.cuda.current_device()
    except RuntimeError as error:
        os._exit(0 if str(error).startswith("Cannot re-initialize CUDA in forked subprocess") else 2)
    os._exit(3)
assert os.waitpid(pid, 0)[1] == 0 and ng.cuda.current_device() == 0
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
