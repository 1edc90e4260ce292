"""The allocator: a block in use is never handed out again, a block nobody uses is, and everything is given back on request."""

import gc
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from numbagrad.kernels._cpu import empty, empty_cache, full, memory, memory_stats, zeros

BIG = 40_000  # float32 elements: well above the smallest pooled size
SIZES = (BIG, BIG + 1, 2 * BIG, 3 * BIG)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def from_nothing(frozen):
    """An allocator of its own for each test: what others keep alive does not count."""
    gc.collect()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_blocks": {}, "_queues": {}, "_peak": 0, "_trim_at": memory._IDLE_BYTES}.items():
            patch.setattr(memory, name, value)
        yield


@pytest.mark.parametrize(
    "shape", [(), (0,), (3,), 7, (0, 5), (2, 3, 4), (300, 400), 200_000, (1, 200_000, 1), [300, 300], np.int64(100_000)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.dtype("complex128"), "int8", np.bool_, np.dtype([("bits", np.uint16)])])
def test_shape_dtype_and_layout(shape, dtype):
    a = empty(shape, dtype)
    wanted = np.empty(shape, dtype)
    assert type(a) is np.ndarray and a.shape == wanted.shape and a.dtype == wanted.dtype and a.strides == wanted.strides
    assert a.flags.c_contiguous and a.flags.writeable and a.flags.aligned
    if a.nbytes >= memory.POOLED_BYTES:
        assert address(a) % memory.ALIGNMENT == 0
    z = zeros(shape, dtype)
    assert z.shape == wanted.shape and z.dtype == wanted.dtype and not z.tobytes().strip(b"\0")


def test_zeros_and_full_overwrite_a_used_block():
    a = full(BIG, 7.0, np.float32)
    assert np.all(a == 7)
    place = address(a)
    del a
    z = zeros((BIG,), np.float32)
    assert address(z) == place and not z.any()


@pytest.mark.parametrize("shape", [-1, (-1,), (3, -2), (-300, -400), (-1, 200_000), (1 << 40, 1 << 40)])
def test_bad_shapes(shape):
    with pytest.raises(RuntimeError, match="empty: expected sizes that are not negative and fit in memory, but got"):
        empty(shape, np.float32)
    assert memory_stats()["allocated"] == 0


def test_a_block_is_reused_as_soon_as_nobody_refers_to_it():
    a = empty(BIG, np.float32)
    place = address(a)
    b = empty(BIG, np.float32)
    assert address(b) != place
    del a
    assert address(empty((BIG // 4, 4), np.int32)) == place


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a.reshape(2, -1).T[5:],
        lambda a: a.view(np.uint8),
        lambda a: np.broadcast_to(a[:1], (5, 5)),
        lambda a: memoryview(a),
        lambda a: np.asarray(memoryview(a)),
        lambda a: np.lib.stride_tricks.as_strided(a, (3,), (8,)),
        lambda a: a[BIG // 2 :][1:][1:].view("i4"),
        lambda a: iter(a),
        lambda a: np.from_dlpack(a),
    ],
)
def test_a_view_keeps_its_block(view):
    a = empty(BIG, np.float32)
    place = address(a)
    kept = view(a)
    del a
    others = [empty(BIG, np.float32) for _ in range(40)]
    assert place not in [address(other) for other in others]
    del kept, others
    assert memory_stats()["allocated"] == 0


def test_statistics():
    assert memory_stats() == {"allocated": 0, "cached": 0, "reserved": 0, "peak": memory_stats()["peak"]}
    live = [empty(BIG, np.float32) for _ in range(5)]
    stats = memory_stats()
    assert 5 * 4 * BIG <= stats["allocated"] == stats["reserved"] <= 5 * 4 * BIG * 9 / 8 and stats["cached"] == 0
    assert stats["peak"] >= stats["reserved"]
    del live[2:]
    after = memory_stats()
    assert after["reserved"] == stats["reserved"] and after["allocated"] == 2 * stats["allocated"] // 5
    live[0].fill(3)
    empty_cache()
    assert memory_stats()["cached"] == 0 and memory_stats()["allocated"] == after["allocated"] and np.all(live[0] == 3)


def test_idle_blocks_are_bounded(monkeypatch):
    monkeypatch.setattr(memory, "_IDLE_BYTES", 8 << 20)
    empty_cache()  # takes the new bound into account
    for size in range(200_000, 4_000_000, 50_000):  # a new class again and again
        empty(size, np.uint8).fill(1)
    assert memory_stats()["reserved"] <= (8 << 20) + (4 << 20)


def test_the_search_is_bounded_however_many_blocks_live(monkeypatch):
    counted = []
    monkeypatch.setattr(memory, "getrefcount", lambda block: counted.append(1) or sys.getrefcount(block) - 1)
    monkeypatch.setattr(memory, "_IDLE", memory._IDLE)
    live = [empty(BIG, np.float32) for _ in range(200)]
    counted.clear()
    live.append(empty(BIG, np.float32))
    assert 0 < len(counted) <= memory._TRIES + 1


def test_out_of_memory_gives_the_idle_blocks_back(monkeypatch):
    empty(BIG, np.float32)
    assert memory_stats()["cached"] > 0
    real, calls = np.empty, []

    def scarce(shape, dtype):
        calls.append(shape)
        if memory_stats()["cached"]:
            raise MemoryError
        return real(shape, dtype)

    monkeypatch.setattr(memory.np, "empty", scarce)
    a = empty(10 * BIG, np.float32)
    monkeypatch.undo()
    assert a.size == 10 * BIG and len(calls) == 2


def test_out_of_memory_is_an_error_and_costs_nothing(monkeypatch):
    """Where the system has nothing more to give: MemoryError, and everything goes on as before."""
    kept = full(BIG, 3.0, np.float32)
    before = memory_stats()
    monkeypatch.setattr(memory.np, "empty", lambda shape, dtype: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        empty(20 * BIG, np.float32)
    monkeypatch.undo()
    assert memory_stats() == before | {"cached": 0, "reserved": before["allocated"]}
    assert np.all(kept == 3) and full(20 * BIG, 1.0, np.float32).sum() == 20 * BIG


def test_a_shape_that_cannot_be_leaves_the_block_for_others():
    empty((300, 400), np.uint8)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="empty: expected sizes"):
            empty((-300, -400), np.uint8)
    assert memory_stats()["cached"] == memory_stats()["reserved"] == memory._size_class(120_000)


def churn(rng, turns):
    """Allocate, write, keep views, drop; every array kept must keep what was written to it."""
    live = []
    for _ in range(turns):
        if live and rng.random() < 0.5:
            array, value = live.pop(rng.randrange(len(live)))
            assert np.all(array == value)
        else:
            array, value = empty(rng.choice(SIZES), np.float32), np.float32(rng.random())
            array.fill(value)
            if rng.random() < 0.4:
                array = array[rng.randrange(1000) :: 7].reshape(1, -1).T
            live.append((array, value))
        if len(live) > 50:
            live.pop(0)
    for array, value in live:
        assert np.all(array == value)


def test_no_live_block_is_handed_out_in_many_threads():
    failures = []

    def run(seed):
        try:
            churn(random.Random(seed), 600)
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # switch threads as often as can be
    try:
        workers = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures
    assert memory_stats()["allocated"] == 0


def test_the_allocator_is_used_at_each_of_its_own_lines():
    """As by a signal handler or a finaliser, which run between any two lines: nothing hangs, no live block is handed out, nothing is lost."""
    code = """
import sys
import numpy as np
from numbagrad.kernels._cpu import empty, empty_cache, memory, memory_stats

memory._IDLE_BYTES = 1 << 20
kept, seen = [], set()

def make(size):
    array = empty(size, np.uint8)
    value = len(kept) % 251
    array.fill(value)
    kept.append((array, value))
    if len(kept) > 30:
        del kept[::2]

def at_a_line(frame, event, argument):
    if frame.f_code.co_filename != memory.__file__:
        return None
    if event == "line":
        turn = len(seen)
        seen.add((frame.f_code.co_name, turn))
        make((100_000, 150_000, 300_000, 100_000 + 1000 * turn)[turn % 4])
        memory_stats()
        if turn % 7 == 0:
            empty_cache()
    return at_a_line

sys.settrace(at_a_line)
for turn in range(30):
    make(100_000 + 50_000 * (turn % 3))
    memory_stats()
    if turn % 5 == 0:
        empty_cache()
sys.settrace(None)
assert {"empty", "_idle_block", "_new_block", "_trim", "_usage", "memory_stats"} <= {name for name, _ in seen}, seen
assert all((array == value).all() for array, value in kept)
live = memory_stats()["allocated"]
assert live == sum(memory._size_class(array.nbytes) for array, _ in kept), (live, len(kept))
kept.clear()
empty_cache()
stats = memory_stats()
assert stats["reserved"] == 0 and live <= stats["peak"] < 1 << 30, stats
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("done\n", "")


class Allocator(RuleBasedStateMachine):
    """Arrays are made, viewed, written to, dropped, and idle blocks given back, in any order.

    No two live blocks overlap, what was written stays, and the statistics are the sum of the live blocks.
    """

    names = Bundle("names")

    def __init__(self):
        super().__init__()
        gc.collect()
        empty_cache()
        self.arrays = {}  # by name: the array or view, where its block starts, what was written
        self.count = 0

    def keep(self, array, start, value):
        self.count += 1
        self.arrays[self.count] = array, start, value
        return self.count

    @rule(target=names, elements=st.sampled_from((*SIZES, 7 * BIG)), columns=st.sampled_from((1, 4)))
    def make(self, elements, columns):
        array = empty((elements // columns, columns), np.float32)
        array.fill(self.count)
        return self.keep(array, address(array), self.count)

    @rule(target=names, name=names, skip=st.integers(0, 20))
    def view(self, name, skip):
        array, start, value = self.arrays[name]
        return self.keep(array[skip:].T[::-1], start, value)

    @rule(name=consumes(names))
    def drop(self, name):
        array, _, value = self.arrays.pop(name)
        assert np.all(array == value)

    @rule()
    def trim(self):
        empty_cache()
        assert memory_stats()["cached"] == 0

    @rule(elements=st.sampled_from(SIZES))
    def make_and_drop_in_a_thread(self, elements):
        thread = threading.Thread(target=lambda: full(elements, -1.0, np.float32))
        thread.start()
        thread.join()

    @invariant()
    def everything_is_in_its_place(self):
        blocks = {}
        for array, _, value in self.arrays.values():
            block = array.base if array.base is not None else array
            while isinstance(block.base, np.ndarray):
                block = block.base
            blocks[id(block)] = block
            assert array.size == 0 or array.flat[0] == array.flat[-1] == value
        places = sorted((address(block), block.nbytes) for block in blocks.values())
        assert all(low + size <= following for (low, size), (following, _) in zip(places, places[1:]))
        stats = memory_stats()
        assert stats["allocated"] == sum(block.nbytes - memory.ALIGNMENT for block in blocks.values())
        assert stats["reserved"] == stats["allocated"] + stats["cached"] <= stats["peak"]

    def teardown(self):
        self.arrays.clear()
        assert memory_stats()["allocated"] == 0


class TestAllocator(Allocator.TestCase):
    settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_an_array_outlives_the_module_state():
    a = empty(BIG, np.float32)
    a.fill(5)
    empty_cache()
    memory._blocks.clear()
    memory._queues.clear()
    gc.collect()
    assert np.all(a == 5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_both_sides_keep_their_arrays():
    a = full(BIG, 1.0, np.float32)
    idle = full(BIG, 2.0, np.float32)
    del idle
    child = os.fork()
    if child == 0:
        b = full(BIG, 3.0, np.float32)
        os._exit(0 if np.all(a == 1) and np.all(b == 3) and address(a) != address(b) else 1)
    c = full(BIG, 4.0, np.float32)
    assert os.waitpid(child, 0)[1] == 0
    assert np.all(a == 1) and np.all(c == 4)
