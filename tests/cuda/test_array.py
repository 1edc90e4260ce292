"""Arrays on a device: their views, their way to the host and back, and what other libraries see of them.  No kernel runs here."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda import array as arrays
from numbagrad.kernels._cuda import devices, dlpack, memory, streams, transfer
from numbagrad.kernels._cuda.array import CudaArray, empty, foreign, zeros

pytestmark = pytest.mark.usefixtures("simulated")


def put(x: np.ndarray, device: int = 0) -> CudaArray:
    return transfer.to_device(x, device)


def got(x: CudaArray) -> np.ndarray:
    """The elements of any view, read where they lie."""
    start, _ = x.extent()
    low, high = x.extent()
    if low == high:
        return np.empty(x.shape, x.dtype)
    memory_ = np.frombuffer((ctypes.c_byte * (high - low)).from_address(start), np.uint8)
    return np.ndarray(x.shape, x.dtype, memory_, x.pointer - low, x.strides).copy()


def numbers(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", _dtypes.ALL, ids=_dtypes.name)
def test_there_and_back(dtype):
    x = np.frombuffer(np.random.default_rng(0).bytes(24 * dtype.itemsize), np.uint8)
    x = (x & 1 if dtype == np.bool_ else x).view(dtype).reshape(2, 3, 4)
    y = put(x, 1)
    assert (y.shape, y.strides, y.dtype, y.ndim, y.size, y.itemsize, y.nbytes) == (
        x.shape, x.strides, x.dtype, x.ndim, x.size, x.itemsize, x.nbytes,
    )  # fmt: skip
    assert (y.device_kind, y.device_index, len(y)) == ("cuda", 1, 2)
    assert y.flags.c_contiguous and y.flags.writeable
    assert transfer.to_host(y).tobytes() == x.tobytes()


VIEWS = {
    "T": lambda x: x.T,
    "transpose": lambda x: x.transpose(2, 0, 1),
    "transpose a list": lambda x: x.transpose([1, -1, 0]),
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "index": lambda x: x[1, ..., ::2],
    "backwards": lambda x: x[::-1, None, 1:, ::-3],
    "nothing": lambda x: x[:, 3:],
    "reshape": lambda x: x.reshape(4, -1),
    "flat": lambda x: x.reshape(-1),
    "retype": lambda x: x.view(np.uint8),
    "wider": lambda x: x.view(np.complex64),
    "same": lambda x: x.view(),
    "diagonal": lambda x: x.diagonal(1, 1, 2),
    "reshape a view": lambda x: x[:, :, ::2].reshape(6, 2),
    "retype a view": lambda x: x[1].view(np.int32)[1:, 2],
}


@pytest.mark.parametrize("name", VIEWS)
def test_view(name):
    x, view = numbers(2, 3, 4), VIEWS[name]
    y = put(x)
    expected, found = view(x), view(y)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert found.flags.c_contiguous == expected.flags.c_contiguous
    assert np.array_equal(got(found), expected)
    assert found.allocation is y.allocation


def test_complex_parts():
    x = (numbers(2, 3) + 1j * numbers(2, 3)[::-1]).astype(np.complex64)
    y = put(x)
    assert np.array_equal(got(y.real), x.real) and np.array_equal(got(y.T.imag), x.T.imag)
    assert y.real.real.dtype == np.float32
    with pytest.raises(TypeError, match="no imaginary part"):
        _ = y.real.imag


@pytest.mark.parametrize(
    "act, error",
    [
        (lambda x: x.reshape(5), ValueError),
        (lambda x: x.T.reshape(-1), ValueError),
        (lambda x: x.transpose(0, 0), ValueError),
        (lambda x: x.transpose(0), ValueError),
        (lambda x: x.swapaxes(0, 2), IndexError),
        (lambda x: x[2], IndexError),
        (lambda x: x[0, 0, 0], IndexError),
        (lambda x: x.T.view(np.float64), ValueError),
        (lambda x: x.item(), ValueError),
        (lambda x: len(x[0, 0]), TypeError),
        (lambda x: np.asarray(x), TypeError),
        (lambda x: np.ones(3, np.float32) + x, TypeError),
        (lambda x: np.sin(x), TypeError),
        (lambda x: empty((2, -1), np.float32), RuntimeError),
    ],
)
def test_refused(act, error):
    with pytest.raises(error):
        act(put(numbers(2, 3)))


def test_views_keep_the_memory():
    x = put(numbers(1 << 16))
    held = memory.memory_stats(0)
    part = x[7:9]
    del x
    gc.collect()
    assert memory.memory_stats(0) == held
    assert got(part).tolist() == [7, 8]
    del part
    gc.collect()
    assert memory.memory_stats(0) != held


def test_extent_and_overlap():
    x = put(numbers(4, 6))
    assert x.extent() == (x.pointer, x.pointer + 96)
    assert x[::-1].extent() == x.extent() and x[1:, 2:].extent() == (x.pointer + 32, x.pointer + 96)
    assert x[2:].overlaps(x[:3]) and not x[2:].overlaps(x[:2])
    assert not x.overlaps(numbers(4, 6)) and not x.overlaps(3) and not x.overlaps(put(numbers(4, 6)))


def test_item_and_zeros():
    assert put(np.array([[2.5]])).item() == 2.5
    assert put(numbers(3))[2].item() == 2
    assert not got(zeros((3, 5), np.float64, 1)).any() and zeros((0,), np.int8).shape == (0,)
    assert empty(3, np.float32).shape == (3,) and empty([2, 3], "f8").dtype == np.float64
    assert "float32[2, 3] on cuda:0" in repr(put(numbers(2, 3)))


def test_device_of_an_empty_array():
    with devices.guard(1):
        x = empty((2, 2), np.float32)
    assert x.device_index == 1 and devices.current_device() == 0
    assert empty((0, 2), np.float32, 1).device_index == 1


# ---- transfers --------------------------------------------------------------------------------------------------------------------------


def test_between_devices():
    x = put(numbers(3, 4))
    y = transfer.to_device(x, 1)
    assert y.device_index == 1 and np.array_equal(got(y), numbers(3, 4))
    z = empty((3, 4), np.float32, 1)
    transfer.copy(z, y)
    assert np.array_equal(got(z), numbers(3, 4))
    assert devices.current_device() == 0


def test_nothing_to_copy():
    assert transfer.to_host(put(np.empty((0, 3), np.float32))).shape == (0, 3)


def test_waiting(simulated, monkeypatch):
    """The host waits for every copy, except, if it says so, of pinned memory."""
    waits = []
    monkeypatch.setattr(streams.Stream, "synchronize", lambda stream: waits.append(stream.handle))
    x = numbers(1000)
    y = transfer.to_device(x, 0)
    assert len(waits) == 1
    y = transfer.to_device(x, 0, non_blocking=True)  # of ordinary memory
    assert len(waits) == 2
    host = transfer.to_host(y, non_blocking=True)
    assert len(waits) == 2 and np.array_equal(host, x)
    transfer.to_device(host, 1, non_blocking=True)
    assert len(waits) == 2
    transfer.to_host(y)
    assert len(waits) == 3


def test_copies_go_to_the_current_stream(simulated, monkeypatch):
    seen = []
    for name in ("MemcpyHtoDAsync", "MemcpyDtoHAsync", "MemcpyDtoDAsync", "MemsetD8Async"):
        copy = getattr(simulated, name)
        monkeypatch.setattr(simulated, name, lambda *a, copy=copy: (seen.append(a[-1]), copy(*a))[1], raising=False)
    stream = streams.Stream(1)
    with streams.use(stream):
        x = put(numbers(8), 1)
        y = zeros((8,), np.float32)
        transfer.copy(y, x)
        transfer.to_host(y)
    assert seen == [stream.handle] * 4


# ---- for others -------------------------------------------------------------------------------------------------------------------------


class Foreign:
    """An object of another library: what it says of its memory, and that somebody still uses it."""

    def __init__(self, x: CudaArray, **changes):
        self.x, self.__cuda_array_interface__ = x, {**x.__cuda_array_interface__, **changes}


def test_array_interface():
    x = put(numbers(4, 6))
    about = x.__cuda_array_interface__
    assert about == {"shape": (4, 6), "typestr": "<f4", "data": (x.pointer, False), "strides": None, "stream": 1, "version": 3}
    assert x.T.__cuda_array_interface__["strides"] == (4, 24)
    assert empty((0,), np.int64).__cuda_array_interface__["data"] == (0, False)
    stream = streams.Stream(0)
    with streams.use(stream):
        assert x.__cuda_array_interface__["stream"] == stream.handle
    with pytest.raises(TypeError, match="bfloat16"):
        _ = empty((1,), _dtypes.bfloat16).__cuda_array_interface__


def test_foreign_memory():
    x = put(numbers(4, 6), 1)
    source = Foreign(x[1:, ::-2])
    y = foreign(source)
    assert y.device_index == 1 and np.array_equal(got(y), numbers(4, 6)[1:, ::-2])
    kept = [value for value in gc.get_referrers(source) if value is not source.__dict__]
    del source, kept
    gc.collect()
    assert np.array_equal(got(y), numbers(4, 6)[1:, ::-2])
    stream = streams.Stream(1)
    assert np.array_equal(got(foreign(Foreign(x, stream=stream.handle))), got(x))
    assert foreign(Foreign(empty((0, 3), np.float32))).shape == (0, 3)
    with pytest.raises(ValueError, match="masked"):
        foreign(Foreign(x, mask=x))
    with pytest.raises(TypeError, match="can't convert"):
        foreign(Foreign(x, typestr="<u4"))
    with pytest.raises(TypeError, match="read only"):
        foreign(Foreign(x, data=(x.pointer, True)))
    with pytest.raises(ValueError, match=r"expected the address of an array of shape \[4, 6\], but got 0"):
        foreign(Foreign(x, data=(0, False)))


class Capsule:
    """An object that has nothing but DLPack."""

    def __init__(self, x: CudaArray):
        self.x = x

    def __dlpack__(self, **wanted):
        return self.x.__dlpack__(**wanted)

    def __dlpack_device__(self):
        return self.x.__dlpack_device__()


@pytest.mark.parametrize("dtype", _dtypes.ALL, ids=_dtypes.name)
def test_dlpack(dtype):
    x = empty((3, 4), dtype, 1)
    y = dlpack.imported(Capsule(x.T[1:]))
    assert (y.pointer, y.shape, y.strides, y.dtype, y.device_index) == (x.T[1:].pointer, (3, 3), x.T.strides, dtype, 1)


def test_dlpack_keeps_the_memory():
    def used() -> int:
        gc.collect()
        return memory.memory_stats(0).get("allocated_bytes.all.current", 0)

    before = used()
    x = put(numbers(1 << 16))
    capsule = x.__dlpack__()
    del x
    assert used() > before and dlpack._exported
    del capsule  # which nobody took over
    assert used() == before and not dlpack._exported
    with pytest.raises((SystemError, RuntimeError, BufferError)):  # NumPy says that it has no arrays on a GPU; its versions differ in how
        np.from_dlpack(Capsule(put(numbers(1 << 16))))
    assert used() == before and not dlpack._exported
    x = put(numbers(1 << 16))
    y = dlpack.imported(Capsule(x))
    del x
    assert got(y)[5] == 5 and used() > before
    z = y[3:4]
    del y
    assert used() > before
    del z
    assert used() == before and not dlpack._exported


def test_dlpack_order(simulated, monkeypatch):
    """The stream of the caller waits for ours, unless it is ours."""
    waits = []
    monkeypatch.setattr(simulated, "StreamWaitEvent", lambda stream, event, flags: waits.append(stream), raising=False)
    x = put(numbers(3))
    for stream in (None, arrays.LEGACY_STREAM, 0, -1):
        x.__dlpack__(stream=stream)
    assert waits == []
    theirs = streams.Stream(0).handle
    x.__dlpack__(stream=theirs)
    assert waits == [theirs]
    with streams.use(streams.Stream(0)):
        x.__dlpack__(stream=1)
        x.__dlpack__(stream=-1)
    assert waits == [theirs, 0]


def test_dlpack_refused():
    x = put(numbers(3))
    assert x.__dlpack_device__() == (2, 0)
    for wanted in ({"copy": True}, {"dl_device": (1, 0)}, {"dl_device": (2, 1)}):
        with pytest.raises(BufferError):
            x.__dlpack__(**wanted)
    x.__dlpack__(copy=False, dl_device=(2, 0), max_version=(1, 0))
    with pytest.raises(BufferError, match="on a GPU"):
        dlpack.imported(numbers(3))
