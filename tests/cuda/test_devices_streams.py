"""Devices, streams and events, each thread's own, and what ``numbagrad.cuda`` makes of them."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels._cuda import devices, driver, memory, streams
from numbagrad.kernels._cuda.driver import CudaError, Unavailable

from .conftest import replace_doors

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def in_a_thread(function):
    """What ``function`` returns in a thread of its own."""
    found: list = []
    worker = threading.Thread(target=lambda: found.append(function()))
    worker.start()
    worker.join(timeout=60)
    return found[0]


# ---- devices ------------------------------------------------------------------------------------------------------------------------------


def test_counting(simulated):
    assert ng.cuda.is_available() and ng.cuda.device_count() == 2 and ng.cuda.is_initialized()
    assert ng.accelerator.is_available() and ng.accelerator.device_count() == 2
    assert ng.accelerator.current_accelerator() == ng.device("cuda") and ng.accelerator.current_device_index() == 0


def test_current_device(simulated):
    assert ng.cuda.current_device() == 0 and simulated.CtxGetCurrent() == 1
    ng.cuda.set_device("cuda:1")
    assert ng.cuda.current_device() == 1 and simulated.CtxGetCurrent() == 2
    ng.cuda.set_device(-1)
    assert ng.cuda.current_device() == 1
    assert in_a_thread(ng.cuda.current_device) == 0  # every thread begins on the first one
    with ng.cuda.device(0):
        assert ng.cuda.current_device() == 0 and simulated.CtxGetCurrent() == 1
        with ng.cuda.device(ng.device("cuda:1")), pytest.raises(KeyError):
            raise KeyError
        for nothing in (None, -1):
            with ng.cuda.device(nothing):
                assert ng.cuda.current_device() == 0
    assert ng.cuda.current_device() == 1 and simulated.CtxGetCurrent() == 2
    with ng.cuda.device_of(ng.ones(1)):
        assert ng.cuda.current_device() == 1


@pytest.mark.parametrize(
    "device, error, message",
    [
        (2, RuntimeError, "CUDA error: invalid device ordinal: cuda:2 was asked for, but there are 2 devices, cuda:0 to cuda:1"),
        ("cuda:7", RuntimeError, "invalid device ordinal: cuda:7"),
        ("cpu", ValueError, "Expected a cuda device, but got: cpu"),
        (ng.device("cpu"), ValueError, "Expected a cuda device, but got: cpu"),
        ("tpu", RuntimeError, "Expected one of cpu, cuda device type at start of device string: tpu"),
        (1.5, TypeError, "float"),
    ],
)
def test_devices_that_are_not_there(simulated, device, error, message):
    for asked in (
        ng.cuda.set_device,
        ng.cuda.get_device_properties,
        ng.cuda.synchronize,
        ng.cuda.Stream,
        ng.cuda.device,
        ng.cuda.mem_get_info,
    ):
        with pytest.raises(error, match=message):
            asked(device)
    assert ng.cuda.current_device() == 0


def test_one_device(simulated):
    simulated.devices = 1
    with pytest.raises(RuntimeError, match="cuda:1 was asked for, but there is one device, cuda:0"):
        ng.cuda.set_device(1)


def test_properties(simulated):
    found = ng.cuda.get_device_properties("cuda:1")
    assert found.name == ng.cuda.get_device_name(1) == "Simulated CUDA device" and found.total_memory == 1 << 30
    assert (found.major, found.minor) == ng.cuda.get_device_capability() == (9, 0) and found.warp_size == 32
    assert repr(found).startswith("_CudaDeviceProperties(name='Simulated CUDA device', major=9, minor=0, total_memory=1024MB, ")
    assert found.uuid == "00000000-0000-0000-0000-000000000001" and ng.cuda.is_bf16_supported()
    assert ng.cuda.can_device_access_peer(0, 1) is False
    assert ng.cuda.mem_get_info(1) == (1 << 30, 1 << 30)


def test_context_is_retained_once(simulated, monkeypatch):
    asked = []
    monkeypatch.setattr(simulated, "DevicePrimaryCtxRetain", lambda device: asked.append(device) or device + 1)
    for device in (0, 1, 0, 1):
        devices.set_device(device)
    in_a_thread(devices.current_device)
    assert asked == [0, 1] and devices.context(1) == 2


def test_interrupted_change_of_device(simulated, monkeypatch):
    """A change that an interrupt cut short is completed by the next who needs the device."""
    devices.current_device()

    def interrupted(context):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(simulated, "CtxSetCurrent", interrupted)
        with pytest.raises(KeyboardInterrupt):
            devices.set_device(1)
    assert streams.current_handle() == 0 and devices.current_device() == 1 and simulated.CtxGetCurrent() == 2


def test_of_pointer(simulated):
    a = memory.allocate(10, 1)
    assert devices.of_pointer(a.pointer + 9) == 1
    for elsewhere in (np.zeros(3).ctypes.data, 5):
        with pytest.raises(ValueError, match="is not in the memory of a CUDA device"):
            devices.of_pointer(elsewhere)


# ---- streams ------------------------------------------------------------------------------------------------------------------------------


def test_current_stream(simulated):
    assert ng.cuda.current_stream() == ng.cuda.default_stream() and streams.current_handle() == 0
    s, t = ng.cuda.Stream(), ng.cuda.Stream(1, priority=-9)
    assert (s.device, t.device) == (ng.device("cuda:0"), ng.device("cuda:1")) and t.priority == -5 and s.priority == 0
    with ng.cuda.stream(s):
        assert ng.cuda.current_stream() is s and streams.current_handle() == streams.current_handle(0) == s.handle != 0
        assert in_a_thread(streams.current_handle) == 0
        with ng.cuda.stream(t):  # takes its device with it
            assert ng.cuda.current_device() == 1 and streams.current_handle() == t.handle
            assert streams.current_handle(0) == s.handle and ng.cuda.current_stream(0) is s
        with ng.cuda.stream(None):
            assert (ng.cuda.current_device(), streams.current_handle(), streams.current_handle(1)) == (0, s.handle, 0)
        with ng.cuda.device(1):
            assert streams.current_handle() == 0
        assert streams.current_handle() == s.handle
    assert ng.cuda.current_stream().handle == 0
    ng.cuda.set_stream(t)
    ng.cuda.set_stream(None)
    assert ng.cuda.current_stream() is t and ng.cuda.default_stream().device_index == 1
    ng.cuda.set_stream(ng.cuda.default_stream(0))
    assert ng.cuda.current_device() == 0 and streams.current_handle() == 0 and streams.current_handle(1) == t.handle


def test_stream_is_restored_on_both_devices(simulated):
    """Entering a stream of another device changes two things there: both are put back."""
    s, t = ng.cuda.Stream(1), ng.cuda.Stream(1)
    ng.cuda.set_stream(s)
    ng.cuda.set_device(0)
    with ng.cuda.stream(t), pytest.raises(KeyError):
        raise KeyError
    assert ng.cuda.current_device() == 0 and ng.cuda.current_stream(1) is s and streams.current_handle(1) == s.handle


def test_streams_as_objects(simulated):
    s, t = ng.cuda.Stream(), ng.cuda.Stream()
    assert s != t and s == s and s != 0 and len({s, t, s}) == 2 and ng.cuda.default_stream(0) != ng.cuda.default_stream(1)
    assert s.cuda_stream == s.handle and s.__cuda_stream__() == (0, s.handle)
    assert repr(s) == f"<numbagrad.cuda.Stream device=cuda:0 cuda_stream={s.handle:#x}>"
    assert s.query() and s.synchronize() is None
    ng.cuda.synchronize()
    handle = s.handle
    del s
    gc.collect()
    assert ng.cuda.Stream(priority=-1).handle != handle  # a handle has its priority for life
    assert ng.cuda.Stream(1).handle != handle  # and its device
    assert ng.cuda.Stream().handle == handle


def test_a_handle_has_one_owner(simulated, recwarn):
    """A copy of a stream or an event would give the handle back a second time, and two would then be given the same one."""
    event = ng.cuda.Event()
    event.record()
    for owner in (ng.cuda.Stream(), event):
        for act in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="its handle has one owner"):
                act(owner)
    for kind in (ng.cuda.Stream, ng.cuda.Event):
        with pytest.raises(TypeError, match="bogus"):
            kind(bogus=1)
    gc.collect()
    assert not recwarn.list  # pytest warns of what a finaliser raises


def test_waiting(simulated, monkeypatch):
    calls = []
    for name in ("EventRecord", "StreamWaitEvent"):
        whole = getattr(simulated, name)
        monkeypatch.setattr(simulated, name, lambda *values, name=name, whole=whole: (calls.append((name, *values)), whole(*values))[0])
    s, t = ng.cuda.Stream(), ng.cuda.Stream(1)
    t.wait_stream(s)
    event = calls[0][1]
    assert calls == [("EventRecord", event, s.handle), ("StreamWaitEvent", t.handle, event, 0)]
    calls.clear()
    with ng.cuda.stream(s):
        streams.wait_for(s.handle)  # itself
        assert not calls
        streams.wait_for(t.handle, 1)
        streams.wait_for(1)
    assert [call[0] for call in calls] == ["EventRecord", "StreamWaitEvent"] * 2
    assert calls[0][2] == t.handle and calls[1][1] == 0 and calls[2][2] == 1 and calls[3][1] == s.handle
    calls.clear()
    streams.wait_for(0)
    streams.wait_for(1)  # two names of the same stream
    assert not calls


def test_events(simulated):
    start, end = (ng.cuda.Event(enable_timing=True) for _ in range(2))
    assert start.query() and start.synchronize() is None and repr(start) == "<numbagrad.cuda.Event uninitialized>"
    start.wait()  # for nothing
    with pytest.raises(ValueError, match="Both events must be recorded before calculating elapsed time"):
        start.elapsed_time(end)
    start.record()
    assert start.cuda_event and start.device_index == 0 and repr(start) == f"<numbagrad.cuda.Event {start.cuda_event:#x}>"
    s = ng.cuda.Stream()
    assert s.record_event(end) is end
    s.wait_event(start)
    start.wait()
    assert end.query() and end.synchronize() is None and start.elapsed_time(end) > 0
    with pytest.raises(ValueError, match="Both events must be created with argument 'enable_timing=True'"):
        start.elapsed_time(s.record_event())
    with pytest.raises(RuntimeError, match="Event device cuda:0 does not match recording stream's device cuda:1"):
        start.record(ng.cuda.Stream(1))
    with pytest.raises(NotImplementedError):
        ng.cuda.Event(interprocess=True)
    handle = end.cuda_event
    del end
    gc.collect()
    other, same = ng.cuda.Event(), ng.cuda.Event(enable_timing=True)
    other.record()
    same.record()
    assert other.cuda_event != handle and same.cuda_event == handle


def test_each_call_has_the_right_context(simulated):
    """Streams and events of another device than the thread's; the simulated driver refuses what a real one refuses."""
    s = ng.cuda.Stream(1)
    default = ng.cuda.default_stream(1)
    for stream in (s, default):
        event = stream.record_event()
        assert event.device_index == 1 and stream.query() and event.query()
        stream.synchronize()
        event.wait(ng.cuda.default_stream(0))
    ng.cuda.synchronize(1)
    assert ng.cuda.current_device() == 0


def test_faults_are_told(simulated, monkeypatch):
    def fault():
        raise CudaError("cuCtxSynchronize", 700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered")

    monkeypatch.setattr(simulated, "CtxSynchronize", fault)
    with pytest.raises(ng.cuda.CudaError, match="an illegal memory access was encountered"):
        ng.cuda.synchronize(1)
    assert ng.cuda.current_device() == 0 and ng.ones(3).sum().item() == 3


# ---- the strictness of the simulated driver ------------------------------------------------------------------------------------------------


def test_simulated_driver_is_strict(simulated):
    a, b = memory.allocate(512), memory.allocate(512, 1)
    host = np.arange(512, dtype=np.uint8)
    place = host.ctypes.data
    end = a.pointer + 2 * (1 << 20)
    for call, *values in (
        ("MemcpyHtoDAsync", end - 511, place, 512, 0), ("MemcpyDtoHAsync", place, end - 511, 512, 0), ("MemcpyHtoDAsync", place, place, 8, 0),
        ("MemcpyDtoDAsync", a.pointer, place, 8, 0), ("MemsetD8Async", end, 0, 1, 0), ("MemsetD32Async", end - 4, 0, 2, 0), ("MemFree", a.pointer + 512),
        ("MemFreeHost", place), ("MemAlloc", 0), ("MemcpyPeerAsync", a.pointer, 2, b.pointer, 1, 8, 0), ("CtxSetCurrent", 9), ("DeviceGet", 2),
        ("StreamSynchronize", 99), ("EventQuery", 99), ("StreamDestroy", 99), ("PointerGetAttribute", 9, place), ("extent", place),
    ):  # fmt: skip
        with pytest.raises(CudaError):
            getattr(simulated, call)(*values)
    with pytest.raises(CudaError, match="invalid resource handle"):
        simulated.MemsetD8Async(a.pointer, 0, 1, ng.cuda.Stream(1).handle)
    assert (simulated.view(a.pointer)[:512] == 255).all()
    simulated.MemcpyHtoDAsync(a.pointer, place, 512, 0)
    simulated.MemcpyPeerAsync(b.pointer, 2, a.pointer, 1, 512, 0)
    back = np.zeros(512, np.uint8)
    simulated.MemcpyDtoHAsync(back.ctypes.data, b.pointer, 512, 0)
    assert (back == host).all()
    simulated.MemsetD32Async(a.pointer, 0x01020304, 2, 0)
    simulated.MemsetD8Async(a.pointer, 7, 3, 0)
    assert simulated.view(a.pointer)[:9].tolist() == [7, 7, 7, 1, 4, 3, 2, 1, 8]

    def without_context():
        with pytest.raises(CudaError, match="invalid device context"):
            simulated.MemAlloc(8)
        return True

    assert in_a_thread(without_context)


# ---- without CUDA -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nothing(monkeypatch):
    """A machine without a driver."""
    replace_doors(monkeypatch, None)
    monkeypatch.setattr(driver, "SIMULATED", False)

    def missing():
        raise Unavailable("no NVIDIA driver was found on this system")

    monkeypatch.setattr(driver, "_library", missing)


def test_without_cuda(nothing):
    assert not ng.cuda.is_available() and ng.cuda.device_count() == 0 and not ng.cuda.is_initialized() and not ng.cuda.is_bf16_supported()
    assert not ng.accelerator.is_available() and ng.accelerator.current_accelerator() is None and ng.accelerator.device_count() == 0
    assert ng.cuda.memory_allocated() == ng.cuda.max_memory_allocated() == ng.cuda.memory_reserved() == ng.cuda.max_memory_reserved() == 0
    assert ng.cuda.memory_stats() == {}
    for harmless in (
        ng.cuda.empty_cache,
        ng.cuda.reset_peak_memory_stats,
        lambda: ng.cuda.manual_seed(3),
        lambda: ng.cuda.manual_seed_all(3),
    ):
        harmless()
    for asked in (
        ng.cuda.init, ng.cuda.current_device, lambda: ng.cuda.set_device(0), lambda: ng.cuda.device(0), ng.cuda.Stream, ng.cuda.current_stream,
        ng.cuda.default_stream, ng.cuda.synchronize, ng.cuda.get_device_properties, ng.cuda.get_device_name, ng.cuda.mem_get_info,
        lambda: ng.cuda.Event().record(), lambda: memory.allocate(8), streams.current_handle,
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="no NVIDIA driver was found"):
            asked()


def test_memory_functions(simulated):
    a = memory.allocate(1000)
    b = memory.allocate(3 << 20, 1)
    assert (ng.cuda.memory_allocated(), ng.cuda.memory_allocated("cuda:1")) == (1024, 3 << 20)
    assert (ng.cuda.memory_reserved(), ng.cuda.memory_reserved(1)) == (2 << 20, 20 << 20)
    del a, b
    ng.cuda.empty_cache()
    assert (ng.cuda.memory_allocated(), ng.cuda.memory_reserved(), ng.cuda.max_memory_allocated(), ng.cuda.max_memory_reserved(1)) == (
        0,
        0,
        1024,
        20 << 20,
    )
    ng.cuda.reset_peak_memory_stats(1)
    assert ng.cuda.max_memory_reserved(1) == 0 and ng.cuda.memory_stats(0)["allocation.all.allocated"] == 1


# ---- fork ---------------------------------------------------------------------------------------------------------------------------------

FORK = """
import os, sys
import numbagrad as ng
from numbagrad.kernels._cuda import driver, memory, streams, pinned
from numbagrad.kernels._cuda.simulated_driver import SimulatedDriver
driver.SIMULATED = True

def child(work):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0

def starts():
    assert ng.cuda.is_available() and memory.allocate(8).pointer

def refuses():
    global a, b, s, e, p
    assert not ng.cuda.is_available() and ng.cuda.device_count() == 0 and not ng.cuda.is_initialized()
    for asked in (ng.cuda.current_device, ng.cuda.init, streams.current_handle, lambda: memory.allocate(8), ng.cuda.Stream, ng.cuda.synchronize,
                  lambda: ng.cuda.set_device(0), lambda: pinned.pinned(8), lambda: s.synchronize(), lambda: e.record(s), lambda: e.query()):
        try:
            asked()
        except RuntimeError as error:
            assert str(error).startswith("Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing"), error
        else:
            raise AssertionError(asked)
    ng.cuda.empty_cache()
    del a, b, s, e, p  # finalisers are quiet
    assert ng.ones(3).sum().item() == 3
    child(refuses_too)

def refuses_too():
    assert not ng.cuda.is_available()

child(starts)  # nothing was started before
a, b = memory.allocate(512), memory.allocate(512)
s, e, p = ng.cuda.Stream(), ng.cuda.Event(), pinned.pinned(100)
b.record_stream(s)
e.record(s)
child(refuses)
c = memory.allocate(512)  # the parent goes on
assert len({a.pointer, b.pointer, c.pointer}) == 3 and streams.current_handle() == 0 and s.query()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork():
    done = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_end_of_the_interpreter():
    """What is still allocated when the interpreter ends goes quietly, also from garbage that is found last."""
    code = """
import numbagrad as ng
from numbagrad.kernels._cuda import driver, memory, pinned
driver.SIMULATED = True
class Late:
    def __del__(self):
        self.kept = None
late = Late()
late.kept = [memory.allocate(512), ng.cuda.Stream(), ng.cuda.Event(), pinned.pinned(9)]
late.kept[0].record_stream(late.kept[1])
late.kept[2].record()
late.cycle = late
import builtins
builtins.late = late
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
