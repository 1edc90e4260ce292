"""The host's side of a launch, against a driver whose cuLaunchKernel is a function compiled here that writes down what it was given."""

from __future__ import annotations

import ctypes
import math
import struct
import time

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels._cuda import devices, driver, streams
from numbagrad.kernels._cuda import launch as door
from numbagrad.kernels._cuda.launch import blocks, kernel, launch, pointer

from .recorded import recorder

pytestmark = pytest.mark.skipif(driver.SIMULATED, reason="the simulator launches without a driver")

_WORDS = 11 + 8  # of a record: what cuLaunchKernel is called with, and the words of the first eight arguments
_RECORD = np.zeros(_WORDS + 2, np.int64)
_AT = _RECORD.ctypes.data
_ANSWER = _AT + 8 * _WORDS  # what the stub returns, and behind it the number of its calls


@pytest.fixture(scope="module")
def stub():
    """CUresult cuLaunchKernel(...), as a C function."""

    return recorder(_AT, _ANSWER, _ANSWER + 8)


@pytest.fixture
def stubbed(simulated, stub, monkeypatch):
    """The simulated driver, which launches by the stub and loads whatever it is given."""
    _RECORD[:] = 0
    loaded = []
    simulated.address = lambda symbol: {"cuLaunchKernel": stub.address}[symbol]
    simulated.ModuleLoadData = lambda code: loaded.append(code) or len(loaded)
    simulated.ModuleGetFunction = lambda module, name: 1000 * module + 7
    simulated.loaded = loaded
    devices.set_device(0)
    return simulated


def _declared(*parameters, count=None, **options):
    """A kernel of these types that is never compiled."""
    names = ", ".join(f"p{i}" for i in range(len(parameters) if count is None else count))
    scope: dict[str, object] = {}
    exec(f"def taken({names}):\n    pass\n", scope)
    return kernel(*parameters, **options)(scope["taken"])


def _ready(*parameters):
    """The same, as if loaded on device 0."""
    found = _declared(*parameters)
    door._connect(driver.load())
    found.functions[0] = 4242
    return found


def test_what_the_driver_is_called_with(stubbed):
    taken = _ready(pointer(np.float32), np.int32, np.uint32, np.int64, np.float32, np.float64, np.bool_, pointer(np.int8))
    _RECORD[10] = 8
    launch(taken, (3, 2, 1), (64, 2, 1), (0x7FFF_FFFF_FFFF_0010, -5, 0xFFFFFFF0, -(1 << 40), 1.5, -2.5, True, 16), shared=1024)
    function, *dimensions = _RECORD[:8].tolist()
    assert function == 4242
    assert dimensions == [3, 2, 1, 64, 2, 1, 1024]
    assert _RECORD[8] == streams.current_handle() and _RECORD[9] == 0
    words = _RECORD[11:19].tobytes()
    address, signed, unsigned, long, single, double, flag, other = struct.unpack("=Qi4xI4xqf4xd?7xQ", words)
    assert (address, signed, unsigned, long) == (0x7FFF_FFFF_FFFF_0010, -5, 0xFFFFFFF0, -(1 << 40))
    assert (single, double, flag, other) == (1.5, -2.5, True, 16)


@pytest.mark.parametrize(
    "given, expected", [(5, (5, 1, 1)), ((5,), (5, 1, 1)), ((5, 6), (5, 6, 1)), ((5, 6, 7), (5, 6, 7)), (np.int64(5), (5, 1, 1))]
)
def test_dimensions(stubbed, given, expected):
    taken = _ready(np.int32)
    launch(taken, given, 32, (1,))
    assert tuple(_RECORD[1:4]) == expected
    launch(taken, 1, given, (1,))
    assert tuple(_RECORD[4:7]) == expected


def test_many_parameters(stubbed):
    taken = _ready(*[np.int64] * door.MOST_PARAMETERS)
    _RECORD[10] = 8
    launch(taken, 1, 1, tuple(range(100, 100 + door.MOST_PARAMETERS)))
    assert _RECORD[11:19].tolist() == list(range(100, 108))
    with pytest.raises(TypeError, match="at most 128 parameters"):
        _declared(*[np.int64] * 129)


def test_a_number_that_float32_does_not_hold_is_infinite(stubbed):
    taken = _ready(np.float32, np.float32, np.int64)
    _RECORD[10] = 3
    launch(taken, 1, 1, (1e300, -1e300, 5))
    assert struct.unpack("=f4xf4xq", _RECORD[11:14].tobytes()) == (math.inf, -math.inf, 5)


def test_stream_and_device(stubbed):
    """A launch is on the current stream of the current device, by that device's own handle of the kernel."""
    taken = _ready(np.int32)
    taken.functions[1] = 777
    stream = streams.Stream(1)
    with devices.guard(1):
        streams.set_stream(stream)
        launch(taken, 1, 1, (1,))
    assert _RECORD[0] == 777 and _RECORD[8] == stream.handle
    launch(taken, 1, 1, (1,))
    assert _RECORD[0] == 4242 and _RECORD[8] == streams.current_handle(0)


def test_an_error_names_the_kernel(stubbed):
    taken = _ready(np.int32)
    _RECORD[_WORDS] = 701
    with pytest.raises(
        driver.CudaError, match=r"(?s)cuLaunchKernel.*launching taken in blocks \(9, 1, 1\) of threads \(32, 1, 1\)"
    ) as caught:
        launch(taken, 9, 32, (1,))
    assert caught.value.code == 701
    _RECORD[_WORDS] = 0
    launch(taken, 9, 32, (1,))


def test_a_fault_names_the_kernels_before_it(stubbed, monkeypatch):
    first, second = _ready(np.int32), _ready(np.int64)
    first.name, second.name = "first", "second"
    driver.launched.clear()
    launch(first, 1, 1, (1,))
    launch(second, 1, 1, (1,))
    with pytest.raises(driver.CudaError, match="launched last, the latest at the end: first, second"):
        stubbed.check(700, "cuCtxSynchronize")
    for _ in range(20):
        launch(first, 1, 1, (1,))
    assert len(driver.launched) == 8
    assert "launched" not in str(driver.CudaError("cuMemAlloc", 1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"))
    # CUDA_LAUNCH_BLOCKING=1: the launch itself waits
    waited = []
    monkeypatch.setattr(door, "BLOCKING", True)
    monkeypatch.setattr(stubbed, "StreamSynchronize", waited.append)
    launch(first, 1, 1, (1,))
    assert waited == [streams.current_handle()]


def test_wrong_arguments(stubbed):
    taken = _ready(np.int32, np.int32)
    for arguments in [(), (1,), (1, 2, 3), (1, "2"), (1, None), (1, 1 << 40)]:
        with pytest.raises((struct.error, TypeError)):
            launch(taken, 1, 1, arguments)
    assert _RECORD[_WORDS + 1] == 0, "nothing was launched"


def test_wrong_declarations():
    with pytest.raises(TypeError, match="1 types for 2 parameters"):
        _declared(np.int32, count=2)
    with pytest.raises(TypeError, match="int8"):
        _declared(np.int8)


def test_shared_memory_beyond_what_every_kernel_may_have(stubbed):
    taken = _ready(np.int32)
    allowed = []
    stubbed.FuncSetAttribute = lambda *given: allowed.append(given)
    for shared in (0, 48 << 10, 100 << 10, 100 << 10):
        launch(taken, 1, 1, (1,), shared=shared)
    assert allowed == [(4242, 8, 100 << 10)]


def test_observers_see_every_launch(stubbed):
    taken = _ready(np.int32)
    seen = []
    door.observers.append(lambda *what: seen.append(what))
    try:
        launch(taken, (1, 2), 32, (5,), shared=16)
    finally:
        door.observers.clear()
    assert seen == [(taken, (1, 2), 32, (5,), 16)]


def test_a_kernel_is_loaded_once_for_each_device(stubbed):
    @kernel(pointer(np.float32), np.uint32)
    def filled(out, n):
        if n > 0:
            out[0] = np.float32(1)

    for index in (0, 1, 0, 1):
        with devices.guard(index):
            launch(filled, 1, 1, (stubbed.MemAlloc(4), 1))
    assert len(stubbed.loaded) == 2
    assert all(code[:4] == b"\x7fELF" for code in stubbed.loaded)
    assert filled.functions == {0: 1007, 1: 2007}


def test_blocks():
    assert blocks(1) == (1, 256)
    assert blocks(256) == (1, 256)
    assert blocks(257) == (2, 256)
    assert blocks(1000, 100) == (10, 100)
    assert blocks(1 << 60)[0] < 1 << 31, "the most that a grid may have"


def test_cost_of_a_launch(stubbed):
    """What a launch costs the host, but for the driver: a microsecond; ten are allowed for a machine that does other things."""
    taken = _ready(pointer(np.float32), pointer(np.float32), pointer(np.float32), np.float32, np.uint32)
    arguments = (0x1000, 0x2000, 0x3000, 2.5, 1000)
    launch(taken, 1, 256, arguments)
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            launch(taken, 1, 256, arguments)
        best = min(best, (time.perf_counter() - start) / 1000)
    print(f"{best * 1e9:.0f} ns a launch")
    assert best < 10e-6


def test_addresses_of_the_arguments_are_those_of_their_words(stubbed):
    """The driver copies each parameter from where the list says, in its own width: the list holds addresses 8 bytes apart."""
    taken = _ready(np.int32, np.int32)
    _RECORD[10] = 2
    launch(taken, 1, 1, (-1, -2))
    assert ctypes.c_int32.from_address(_AT + 88).value == -1
    assert ctypes.c_int32.from_address(_AT + 96).value == -2
