"""The allocator: no block is handed out while somebody uses it, every one that nobody uses is, and all goes back on request."""

from __future__ import annotations

import gc
import itertools
import sys
import threading

import numpy as np
import pytest
from numba.core import config

from numbagrad.kernels._cuda import block_table as table
from numbagrad.kernels._cuda import devices, driver, memory, streams
from numbagrad.kernels._cuda.driver import OutOfMemoryError
from numbagrad.kernels._cuda.memory import MIB, Pool, allocate

from .queued import check_tables

# What follows is one step only when it is compiled.
compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")

SEGMENT = 2 * MIB


# ---- one step after the other -------------------------------------------------------------------------------------------------------------


def test_sizes(simulated):
    for nbytes in (1, 511, 512, 513, MIB, MIB + 1, 10 * MIB - 1, 10 * MIB, 30 * MIB + 7):
        a = allocate(nbytes)
        assert a.nbytes == nbytes and a.device == 0 and a.pointer % 512 == 0
        assert simulated.extent(a.pointer + nbytes - 1) == (a.pointer, nbytes)
        check_tables(memory._pools[0])
    assert memory.memory_stats()["requested_bytes.all.current"] == nbytes


def test_no_bytes(simulated):
    a = allocate(0)
    assert (a.pointer, a.nbytes, a.device) == (0, 0, 0)
    assert allocate(0, 1).device == 1
    a.record_stream(streams.Stream())
    with pytest.raises(RuntimeError, match="expected a number of bytes that is not negative, but got -4"):
        allocate(-4)


def test_what_comes_back_is_used_again(simulated):
    a = allocate(5000)
    place = a.pointer
    b = allocate(5000)
    assert b.pointer != place
    del a
    assert allocate(5000).pointer == place
    assert memory.memory_stats()["segment.all.current"] == 1


def test_neighbours_are_merged(simulated):
    kept = [allocate(512 << 10) for _ in range(4)]
    start = kept[0].pointer
    assert [a.pointer - start for a in kept] == [n * 512 << 10 for n in range(4)]
    del kept[1:3]
    check_tables(memory._pools[0])
    assert allocate(1 << 20).pointer == start + (512 << 10)
    del kept
    assert check_tables(memory._pools[0]) == (set(), SEGMENT)


def test_small_and_large_blocks_are_apart(simulated):
    a, b = allocate(MIB), allocate(MIB + 1)
    assert not 0 <= b.pointer - a.pointer < SEGMENT
    c = allocate(29 * MIB)
    assert memory.memory_stats()["reserved_bytes.all.current"] == SEGMENT + 20 * MIB + 30 * MIB
    del a, b, c


def test_the_best_fit_is_taken(simulated):
    """Of free blocks of several sizes the smallest that is large enough, not the first that is found."""
    keep = []
    freed = []
    for size in (64, 40, 33, 48, 100):
        freed.append(allocate(size << 10))
        keep.append(allocate(512))  # so that they are not merged
    places = {size: a.pointer for size, a in zip((64, 40, 33, 48, 100), freed)}
    rest = allocate(2 * MIB - 512 * 5 - sum(places) * 1024 - 512 * 20)
    del freed
    a = allocate(39 << 10)
    assert a.pointer == places[40]
    assert allocate(41 << 10).pointer == places[48]
    del rest, keep


def test_a_small_fit_is_found(simulated):
    a, b, c = allocate(1536), allocate(MIB), allocate(MIB - 1536)  # a whole segment
    place = a.pointer
    del a
    assert allocate(600).pointer == place and memory.memory_stats()["segment.all.current"] == 1
    del b, c


def test_devices_have_memory_of_their_own(simulated):
    a, b = allocate(100), allocate(100, 1)
    assert (a.device, b.device) == (0, 1) and devices.current_device() == 0
    assert (devices.of_pointer(a.pointer), devices.of_pointer(b.pointer)) == (0, 1)
    with devices.guard(1):
        assert allocate(7).device == 1
    with pytest.raises(RuntimeError, match="invalid device ordinal: cuda:2 was asked for, but there are 2 devices, cuda:0 to cuda:1"):
        allocate(8, 2)


def test_statistics(simulated):
    a, b = allocate(1000), allocate(3 * MIB)
    found = memory.memory_stats()
    assert found["allocated_bytes.all.current"] == 1024 + 3 * MIB and found["requested_bytes.all.current"] == 1000 + 3 * MIB
    assert found["allocation.all.current"] == found["allocation.all.allocated"] == 2
    del a, b
    found = memory.memory_stats()
    assert found["allocated_bytes.all.current"] == 0 and found["allocated_bytes.all.peak"] == 1024 + 3 * MIB
    memory.empty_cache()
    found = memory.memory_stats()
    assert found["reserved_bytes.all.current"] == 0 and found["reserved_bytes.all.peak"] == 22 * MIB and not simulated._live
    memory.reset_peak_memory_stats()
    assert {key: n for key, n in memory.memory_stats().items() if n} == {"allocation.all.allocated": 2}
    assert memory.memory_stats(1) == {} and memory.memory_info() == (1 << 30, 1 << 30)


def test_out_of_memory(simulated):
    """Idle memory is given back and the driver is asked once more; what is then missing is said in the message."""
    simulated.memory = 64 * MIB
    kept = allocate(40 * MIB)
    del kept
    big = allocate(60 * MIB)  # only after the 40 have gone back
    assert memory.memory_stats()["num_alloc_retries"] == 1
    with pytest.raises(OutOfMemoryError) as caught:
        allocate(6 * MIB)
    assert str(caught.value) == (
        "CUDA out of memory. Tried to allocate 6.00 MiB. GPU 0 has a total capacity of 64.00 MiB of which 4.00 MiB is free. "
        "Of the allocated memory 60.00 MiB is allocated by numbagrad, and 0 bytes is reserved by numbagrad but unallocated."
    )
    assert isinstance(caught.value, RuntimeError) and memory.memory_stats()["num_ooms"] == 1
    small = allocate(4 * MIB)  # not the usual 20: they are not there
    del big, small
    assert allocate(50 * MIB).nbytes == 50 * MIB
    for nbytes in (1 << 47, (1 << 47) + 1, 1 << 62, 1 << 63, 1 << 200):
        with pytest.raises(OutOfMemoryError, match="Tried to allocate"):
            allocate(nbytes)


def test_table_that_is_full(simulated):
    """A block is not cut when there is no row for the rest, and no segment is taken that cannot be entered."""
    pool = Pool(0, simulated.MemAlloc, simulated.MemFree, most_blocks=3)
    first, second = pool.allocate(512, 0), pool.allocate(512, 0)
    assert pool.heads[0, table.ALLOCATED] == SEGMENT
    with pytest.raises(OutOfMemoryError, match="no more than 2 blocks"):
        pool.allocate(512, 0)
    assert len(simulated._live) == 1
    check_tables(pool)
    del first, second
    pool.empty()
    assert not simulated._live and check_tables(pool) == (set(), 0)


def test_too_many_streams(simulated, monkeypatch):
    monkeypatch.setattr(table, "QUEUES", 5)
    pool = Pool(0, simulated.MemAlloc, simulated.MemFree)
    kept = [pool.allocate(nbytes, stream) for stream in (0, 7) for nbytes in (1, MIB + 1)]
    with pytest.raises(RuntimeError, match="memory of more than 2 streams cannot be kept apart"):
        pool.allocate(1, 8)
    assert len({a.pointer for a in kept}) == 4


def test_memory_of_others(simulated):
    owner = np.zeros(3)
    a = memory.borrowed(owner.ctypes.data, 24, 1, owner)
    a.record_stream(streams.Stream())
    references = sys.getrefcount(owner)
    assert (a.pointer, a.nbytes, a.device) == (owner.ctypes.data, 24, 1)
    del a
    assert sys.getrefcount(owner) == references - 1 and not memory._pools


# ---- threads, interrupts, finalisers ------------------------------------------------------------------------------------------------------


@compiled
def test_threads(simulated):
    """Each thread finds in its blocks what it wrote."""
    failures: list[object] = []

    def work(seed: int) -> None:
        try:
            rng = np.random.default_rng(seed)
            kept: list[tuple[memory.Allocation, int]] = []
            for step in range(300):
                if len(kept) > 20 or (kept and rng.random() < 0.4):
                    a, value = kept.pop(int(rng.integers(len(kept))))
                    if not (simulated.view(a.pointer)[: a.nbytes] == value).all():
                        failures.append((seed, step))
                a, value = allocate(int(rng.integers(1, 30_000))), int(rng.integers(256))
                driver.load().MemsetD8Async(a.pointer, value, a.nbytes, streams.current_handle())
                kept.append((a, value))
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert not failures
    assert check_tables(memory._pools[0])[0] == set()


@compiled
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt of a finaliser goes nowhere
def test_interrupt_anywhere(queued):
    """An interrupt between any two lines of Python leaves the books in order; at worst a block is lost that was on its way."""
    memory.memory_stats()
    s = streams.Stream()
    lost = 0
    for line in itertools.count(1):
        seen = 0

        def trace(frame, event, _):
            nonlocal seen
            if "kernels/_cuda" not in frame.f_code.co_filename.replace("\\", "/"):
                return None
            seen += event == "line"
            if seen == line:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        kept = []
        sys.settrace(trace)
        try:
            kept.append(allocate(3 * MIB))
            kept.append(allocate(700))
            kept[0].record_stream(s)
            del kept[0]
            kept.append(allocate(512))
            memory.empty_cache()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        if seen < line:
            break
        pool = memory._pools.get(0)
        if pool:
            kept.clear()
            pool.settle()
            lost += len(check_tables(pool)[0]) > 0
            for left in (memory._pools, queued._live, queued._starts, devices.thread.__dict__):
                left.clear()
    assert 50 < line < 400 and lost < 20
    a, b = allocate(512), allocate(512)
    assert a.pointer != b.pointer


def test_finalisers_that_come_at_any_time(simulated):
    """Blocks in cycles of garbage come back in the middle of other allocations."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        kept = []
        for n in range(200):
            cycle: list = [allocate(600 + n)]
            cycle.append(cycle)
            del cycle
            kept.append(allocate(512 * (n % 5 + 1)))
            if n % 3 == 0:
                kept.pop(0)
            check_tables(memory._pools[0])
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert check_tables(memory._pools[0])[0] == {a.pointer for a in kept}
