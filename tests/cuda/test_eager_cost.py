"""The short way of elementwise operations: what it launches is what the general way launches, and what an operation costs the host.

The driver is a stub whose cuLaunchKernel, compiled here, writes down what it is given.
"""

from __future__ import annotations

import gc
import math
import struct
import sys
import time

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

import numbagrad as ng
from numbagrad.kernels._cuda import devices, driver, memory, streams
from numbagrad.kernels._cuda import launch as door
from numbagrad.kernels._cuda.array import empty
from numbagrad.kernels.elementwise import _cuda_entry

from .queued import check_tables
from .recorded import recorder

pytestmark = pytest.mark.skipif(driver.SIMULATED, reason="the simulator launches without a driver")

_HEAD, _MOST = 11, 48
_RECORD = np.zeros(_HEAD + _MOST + 2, np.int64)
_AT = _RECORD.ctypes.data
_CALLS, _ANSWER = _HEAD + _MOST, _HEAD + _MOST + 1
_recorded = recorder(_AT, _AT + 8 * _ANSWER, _AT + 8 * _CALLS)


@pytest.fixture
def stubbed(simulated, monkeypatch):
    """The simulated driver of two devices, which launches by the stub and builds nothing.  What kernels it has loaded before is forgotten."""
    handles = iter(range(1000, 10**9))
    monkeypatch.setattr(door.Kernel, "build", lambda self, capability: type("Cubin", (), {"code": b"", "name": self.name}))
    _RECORD[:] = 0
    simulated.address = lambda symbol: _recorded.address
    simulated.ModuleLoadData = lambda code: 1
    simulated.ModuleGetFunction = lambda module, name: next(handles)
    devices.set_device(0)
    return simulated


def _launched(count):
    """What the last launch was: function, dimensions, stream, and so many arguments."""
    return _RECORD[:9].tolist(), _RECORD[_HEAD : _HEAD + count].tolist()


class _Both:
    """Calls a function by the general way and then by the short way, and sees that both launch the same on the same operands."""

    def __init__(self, monkeypatch):
        self.short = 0
        general = ng.ops._elementwise.kernels.run
        self.general = 0

        def counted(*operands, **named):
            self.general += 1
            return general(*operands, **named)

        monkeypatch.setattr(ng.ops._elementwise.kernels, "run", counted)

    def __call__(self, function, *operands):
        _RECORD[10] = 0
        function(*operands)
        count = _RECORD[10] = driver.launched[-1].count
        calls, general = _RECORD[_CALLS], self.general
        door.observers.append(lambda *what: None)  # who observes sees to it that the general way is taken
        try:
            first = function(*operands)
        finally:
            door.observers.clear()
        before = _launched(count)
        assert (_RECORD[_CALLS], self.general) == (calls + 1, general + 1)
        second = function(*operands)
        after = _launched(count)
        assert (_RECORD[_CALLS], self.general) == (calls + 2, general + 1), "it took the general way"
        assert after[0] == before[0]
        firsts, seconds = ([x] if isinstance(x, ng.Tensor) else list(x) for x in (first, second))
        for x, y in zip(firsts, seconds):
            assert type(y) is ng.Tensor and (y.shape, y.dtype, y.stride(), y.device) == (x.shape, x.dtype, x.stride(), x.device)
            assert (y.requires_grad, y._version, y._base) == (x.requires_grad, x._version, None) or y is x
            assert y._data.flags == x._data.flags and y._data.allocation.nbytes == x._data.allocation.nbytes
        assert before[1][: len(firsts)] == [x.data_ptr() for x in firsts] and after[1][: len(firsts)] == [y.data_ptr() for y in seconds]
        assert after[1][len(firsts) :] == before[1][len(firsts) :]
        return second


@pytest.fixture
def both(stubbed, monkeypatch):
    return _Both(monkeypatch)


def _tensor(*shape, dtype=ng.float32, **named):
    return ng.empty(*shape, dtype=dtype, device="cuda", **named)


# A formula of each kind that there is, known to nobody else.
def _operation(count, **named):
    formulas = {1: lambda x: x * x + 1, 2: lambda x, y: x * y + x, 3: lambda x, y, z: x * y + z, 5: lambda a, b, c, d, e: a * b + c * d + e}
    return ng.elementwise(formulas[count], **named) if named else ng.elementwise(formulas[count])


@pytest.mark.parametrize("dtype", [ng.float32, ng.float16, ng.bfloat16, ng.float64, ng.int32, ng.uint8, ng.complex64], ids=str)
def test_arrays_of_every_type(both, dtype):
    f = _operation(2, accepts="bifc")
    for shape in ((5,), (32, 32), (3, 4, 5, 6), (1,), (7, 1)):
        x, y = _tensor(*shape, dtype=dtype), _tensor(*shape, dtype=dtype)
        both(f, x, y)
        both(f, x, x)


@pytest.mark.parametrize(
    "dtype, number, layout",
    [(ng.float32, 2.5, "f4x"), (ng.float32, 3, "f4x"), (ng.float64, 2.5, "d"), (ng.int64, -7, "q"), (ng.int32, 1 << 40, "q"),
     (ng.float16, 1e300, "f4x"), (ng.float32, -1e300, "f4x")],
)  # fmt: skip
def test_numbers(both, dtype, number, layout):
    x = _tensor(40, dtype=dtype)
    both(_operation(2), x, number)
    expected = (
        float(np.float32(number))
        if layout == "f4x" and abs(number) < 1e38
        else math.copysign(math.inf, number)
        if layout == "f4x"
        else number
    )
    assert struct.unpack_from(f"={layout}", _RECORD[_HEAD + 2 : _HEAD + 3].tobytes())[0] == expected
    both(_operation(2), number, x)


def test_numbers_that_do_not_fit_are_the_general_way_s(both):
    f, x = _operation(2), _tensor(8, dtype=ng.int64)
    both(f, x, 5)
    before = both.general
    with pytest.raises(OverflowError):
        f(x, 1 << 64)
    f(x, (1 << 64) - 1)
    assert both.general == before + 2 and _RECORD[_HEAD + 2] == -1
    g, y = _operation(2), _tensor(8)
    both(g, y, 5)
    with pytest.raises(OverflowError):
        g(y, 10**400)
    assert g(y, 10).shape == (8,)


def test_broadcast_and_strided_operands(both):
    """Of each the kernel gets as many strides as it wants; the results are laid out alike."""
    f = _operation(2)
    both(f, _tensor(6, 8), _tensor(8))
    both(_operation(2), _tensor(6, 8), _tensor(()))
    both(_operation(2), _tensor(4, 1, 5), _tensor(3, 1))
    both(_operation(2), _tensor(6, 16)[:, ::2], _tensor(6, 8))


def test_results_that_are_not_in_order_take_the_general_way(both):
    f, x = _operation(1), _tensor(6, 8).T
    for n in range(1, 4):
        assert f(x).stride() == (1, 6)[::-1] or f(x).stride() == (1, 8)
        assert both.general >= n


def test_recorded(both):
    """A result remembers how it was made; its gradients are launches of the short way as well."""
    f, x, y = _operation(2), _tensor(4, 4, requires_grad=True), _tensor(4, 4)
    z = both(f, x, y)
    assert z.requires_grad and z.grad_fn is not None and not both(f, y, y).requires_grad
    with ng.no_grad():
        assert not f(x, y).requires_grad
    for _ in range(3):
        general = both.general
        f(x, y).backward(y)
    assert both.general == general and x.grad.shape == (4, 4)


def test_several_results(both):
    f, x, y = _operation(2), _tensor(4, 4, requires_grad=True), _tensor(4, 4, requires_grad=True)
    for _ in range(3):
        x.grad = y.grad = None
        general = both.general
        f(x, y).backward(y)
    assert both.general == general and x.grad.data_ptr() != y.grad.data_ptr()


def test_in_place(both):
    x, y = _tensor(32), _tensor(32)
    x.add_(y)
    place, general, version = x.data_ptr(), both.general, x._version
    _RECORD[10] = 3
    assert x.add_(y) is x and both.general == general
    assert x.data_ptr() == place and x._version == version + 1
    assert _RECORD[_HEAD : _HEAD + 3].tolist() == [place, place, y.data_ptr()]
    x.add_(x)
    assert x._version == version + 2
    whole = _tensor(64)
    a, b = whole[0:32], whole[16:48]  # they overlap: what is read has to be copied first
    a.add_(b)
    assert both.general > general and _RECORD[_HEAD] == a.data_ptr() and _RECORD[_HEAD + 2] != b.data_ptr()


def test_operands_in_a_graph_are_not_overwritten_by_the_short_way(both):
    x, y = _tensor(32), _tensor(32, requires_grad=True)
    for _ in range(3):
        z = x.clone()
        z.add_(y)
        assert z.requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        y.add_(x)


def test_addresses_that_are_not_aligned(both):
    """They take the kernel that reads one element at a time; afterwards aligned ones take the short way all the same."""
    f, x = _operation(1), _tensor(33)
    for _ in range(2):
        general = both.general
        f(x[1:])
        assert both.general == general + 1
    aligned = _tensor(32)
    f(aligned)
    f(aligned)
    assert both.general == general + 2
    f(x[1:])
    assert both.general == general + 3


def test_observers_see_every_launch(both):
    f, x = _operation(1), _tensor(33)
    both(f, x)
    seen = []
    door.observers.append(lambda *what: seen.append(what))
    try:
        f(x)
    finally:
        door.observers.clear()
    assert len(seen) == 1 and seen[0][3][1] == x.data_ptr()


def test_autocast_looks_at_every_call(both):
    """``exp`` is in float32 there, whatever is known of it already."""
    x = _tensor(16, dtype=ng.float16)
    for _ in range(3):
        assert ng.exp(x).dtype is ng.float16
    with ng.autocast("cuda"):
        assert ng.exp(x).dtype is ng.float32
    assert ng.exp(x).dtype is ng.float16


def test_a_refused_launch_names_the_kernel(both):
    f, x = _operation(1), _tensor(16)
    both(f, x)
    _RECORD[_ANSWER] = 701
    used = memory.memory_stats()["allocated_bytes.all.current"]
    with pytest.raises(driver.CudaError, match=r"(?s)cuLaunchKernel.*launching .*lambda.*in blocks \(1, 1, 1\) of threads") as caught:
        f(x)
    assert caught.value.code == 701
    del caught
    assert memory.memory_stats()["allocated_bytes.all.current"] == used
    _RECORD[_ANSWER] = 0
    f(x)
    assert driver.launched[-1].name.startswith("lambda")


def test_streams_and_devices(both):
    """Each launch is on the stream that is the current one, with memory of that stream; of another device's operands the general way sees."""
    f, x = _operation(1), _tensor(16)
    both(f, x)
    s = streams.Stream(0)
    with streams.use(s):
        y = both(f, x)
        assert _RECORD[8] == s.handle and y._data.allocation._desk.stream == s.handle
    general = both.general
    y = f(x)
    assert _RECORD[8] == 0 and both.general == general and y._data.allocation._desk.stream == 0
    there = ng.empty(16, device="cuda:1")
    for _ in range(2):
        assert f(there).device == ng.device("cuda:1")
    with devices.guard(1):
        f(there)
        general = both.general
        assert f(there).device == ng.device("cuda:1") and both.general == general
        assert f(x).device == ng.device("cuda:0") and both.general == general + 1


def test_the_rows_are_bounded(both):
    """More shapes than there is room for: all are right, and the last ones are known."""
    f = _operation(1)
    kept = _cuda_entry._WAYS * _cuda_entry._SETS
    for n in range(1, 2 * kept):
        assert f(_tensor(n)).shape == (n,)
    entry = f.kernel.entries["cuda", False]
    assert sum(map(len, entry._rows)) == len(entry._known) <= kept
    both(f, _tensor(4 * kept))


def test_nothing_is_left_behind(both):
    f, x, y = _operation(2), _tensor(4, 4), _tensor(4, 4)
    grow = both(f, x, y)
    del grow
    gc.collect()
    used = memory.memory_stats()
    form = x._data.form
    references = sys.getrefcount(form), sys.getrefcount(x._data), sys.getrefcount(f), sys.getrefcount(None)
    for _ in range(1000):
        f(x, y)
    assert (sys.getrefcount(form), sys.getrefcount(x._data), sys.getrefcount(f)) == references[:3]
    assert abs(sys.getrefcount(None) - references[3]) < 100
    found = memory.memory_stats()
    assert found["allocation.all.allocated"] == used["allocation.all.allocated"] + 1000
    assert found["allocated_bytes.all.current"] == used["allocated_bytes.all.current"]
    check_tables(memory._pools[0])


def test_finalisers_that_come_at_any_time(both):
    """Garbage that launches and allocates itself is collected in the middle of a call."""
    f, x = _operation(1), _tensor(64)
    both(f, x)

    class Late:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            f(x)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        kept = []
        for n in range(100):
            Late()
            kept.append(f(x))
            if n % 3 == 0:
                kept.pop(0)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert len({y.data_ptr() for y in kept}) == len(kept)
    check_tables(memory._pools[0])


def test_arrays_of_the_host_are_not_slowed_by_those_of_a_gpu(both):
    """Whoever is known first, each goes its way."""
    for first in ("cpu", "cuda"):
        f = _operation(2)
        host, there = (ng.tensor([1.0, 2.0]), ng.tensor([3.0, 4.0])), (_tensor(2), _tensor(2))
        for operands in (host, there, host) if first == "cpu" else (there, host, there):
            f(*operands)
        general = both.general
        assert f(*host).tolist() == [4.0, 10.0] and f(*there).device.type == "cuda" and both.general == general
        assert f(host[0], 2).tolist() == [3.0, 6.0]
        with pytest.raises(RuntimeError, match="same device"):
            f(host[0], there[0])


def _best(function):
    function()
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(500):
            function()
        best = min(best, (time.perf_counter() - start) / 500)
    return best


def test_cost_of_an_operation(stubbed):
    """What an operation costs the host, but for the driver: 0.6 microseconds, and 2 where it is recorded; ten times that for a machine that does other
    things."""
    f, x, y, p = _operation(2), _tensor(32, 32), _tensor(32, 32), _tensor(32, 32, requires_grad=True)
    costs = {
        "empty": _best(lambda: empty((32, 32), np.dtype("float32"))),
        "plain": _best(lambda: f(x, y)),
        "recorded": _best(lambda: f(p, y)),
        "in place": _best(lambda: x.add_(y)),
    }
    print({name: f"{cost * 1e9:.0f} ns" for name, cost in costs.items()})
    assert costs["empty"] < 5e-6 and costs["plain"] < 6e-6 and costs["in place"] < 6e-6 and costs["recorded"] < 20e-6
