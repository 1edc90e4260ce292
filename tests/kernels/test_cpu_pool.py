"""The workers of a pool: where they run, and what happens while they are made, woken and stopped."""

import os
import time

import numpy as np
import pytest

from numbagrad.kernels._cpu import get_num_threads, kernel, launch, set_num_threads, threads
from numbagrad.kernels._cpu import pool as pool_module
from numbagrad.kernels._cpu.atomics import CONTROL_BYTES, FUTEX_NUMBER, PROCESSOR, processor
from numbagrad.kernels._cpu.pool import Pool, _held_up
from tests.interpreter import run_python
from tests.visits import BIG, count_visits


@kernel
def look_here(lo, hi, found, control):
    for _ in range(lo, hi):
        found[0] = _held_up(control)
        found[1] = processor()


@pytest.fixture(autouse=True)
def keep_thread_count():
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.mark.skipif(not FUTEX_NUMBER, reason="workers move, and are counted, on Linux")
class TestSharedProcessor:
    """Workers that find themselves on the launching thread's processor."""

    @pytest.fixture
    def one(self):
        """The only processor of this thread, for a while."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        yield min(before)
        os.sched_setaffinity(0, before)

    @pytest.fixture
    def two(self):
        """Two processors, of which this thread may use the first."""
        before = os.sched_getaffinity(0)
        if len(before) < 2:
            pytest.skip("one processor")
        os.sched_setaffinity(0, {min(before)})
        yield sorted(before)[:2]
        os.sched_setaffinity(0, before)

    @pytest.fixture
    def pool(self, monkeypatch):
        """A pool whose worker never sleeps of its own accord."""
        monkeypatch.setattr(pool_module, "SPINS", 1 << 60)
        set_num_threads(2)
        pool = Pool(2).start()
        monkeypatch.setattr(threads, "_pools", {2: pool})
        yield pool
        pool.stop(join=True)

    @staticmethod
    def look(on):
        """(whether a worker here is held up by a launch on processor ``on``, where it is then)"""
        words, found = np.zeros(CONTROL_BYTES // 8, np.int64), np.zeros(2, np.int64)
        words[PROCESSOR // 8] = on
        look_here(0, 1, found, words.ctypes.data)
        return found.tolist()

    def test_nowhere_to_go(self, one):
        assert self.look(one) == [1, one] and self.look(one + 1) == [0, one]
        assert os.sched_getaffinity(0) == {one}

    def test_moves_to_another(self, two):
        """And may use the same processors as before."""
        self.look(0)  # compiled
        found = []
        for _ in range(50):  # the system may move it at any time, though it hardly ever does
            os.sched_setaffinity(0, two[:1])
            os.sched_setaffinity(0, two)
            found.append(self.look(two[0]))
            assert os.sched_getaffinity(0) == set(two)
        assert found.count([0, two[1]]) > 25

    def test_a_worker_that_is_held_up_naps(self, one, pool):
        tid = pool._workers[0].native_id
        os.sched_setaffinity(tid, {one})
        launch(count_visits, 1000, np.zeros(1000, np.int64), work=BIG)
        time.sleep(0.5)

        def naps():
            with open(f"/proc/self/task/{tid}/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))

        before, deadline = naps(), time.monotonic() + 60
        while naps() < before + 15:
            assert time.monotonic() < deadline, "it spins on the launching thread's processor"
            time.sleep(0.01)

    def test_a_worker_leaves_the_launching_threads_processor(self, two, pool):
        tid = pool._workers[0].native_id
        os.sched_setaffinity(tid, two[:1])
        os.sched_setaffinity(tid, two)
        launch(count_visits, 1000, np.zeros(1000, np.int64), work=BIG)
        deadline = time.monotonic() + 60
        while True:
            with open(f"/proc/self/task/{tid}/stat") as file:
                moved = int(file.read().rpartition(")")[2].split()[36]) == two[1]
            if moved and os.sched_getaffinity(tid) == set(two):  # while it moves, it may use the other one only
                break
            assert time.monotonic() < deadline, "it stays where it is" if not moved else "it may not come back"
            time.sleep(0.001)

    def test_the_affinity_of_workers_is_the_users(self):
        """Also when it is changed after they were started, as by ``taskset -ap``."""
        code = (
            "set_num_threads(4)\nlaunch(double, x.size, out, x, work=10**9)\n"
            "tasks = [int(task) for task in os.listdir('/proc/self/task')]\n"
            "for one in sorted(os.sched_getaffinity(0)):\n"
            "    time.sleep(0.1)\n"  # the workers sleep: one that is moving at this moment would put back what it found
            "    for task in tasks: os.sched_setaffinity(task, {one})\n"
            "    for _ in range(300): launch(double, x.size, out, x, work=10**9)\n"
            "    assert all(os.sched_getaffinity(task) == {one} for task in tasks), one\n"
            "print(len(tasks) >= 4)"
        )
        assert run_python(code) == "True\n"


@pytest.mark.parametrize("futex", [pytest.param(True, marks=pytest.mark.skipif(not FUTEX_NUMBER, reason="no futex here")), False])
class TestAtEachLine:
    """Signal handlers and finalisers run between any two lines of the code that makes, wakes and stops pools."""

    TRACE = (
        "from numbagrad.kernels._cpu import pool, threads\n"
        "pool.Pool.__init__.__defaults__ = ({futex},)\n"
        "launch(double, x.size, out, x)\n"
        "lines = 0\n"
        "def at_a_line(frame, event, argument):\n"
        "    if frame.f_code.co_filename not in (pool.__file__, threads.__file__): return None\n"
        "    if event == 'line': happen()\n"
        "    return at_a_line\n"
        "def settle(count):\n"  # the number of threads, once those of stopped pools have ended
        "    deadline = time.monotonic() + 60\n"
        "    while threading.active_count() != count and time.monotonic() < deadline: time.sleep(0.001)\n"
        "    assert threading.active_count() == count and list(threads._pools) == [count], (threading.enumerate(), threads._pools)\n"
    )

    def test_others_launch(self, futex):
        code = self.TRACE.format(futex=futex) + (
            "def happen():\n"
            "    global lines\n"
            "    lines += 1\n"
            "    set_num_threads(2 + lines % 3)\n"
            "    y = np.zeros_like(x)\n"
            "    launch(double, x.size, y, x, work=10**9)\n"
            "    assert np.array_equal(y, 2 * x)\n"
            "sys.settrace(at_a_line)\n"
            "for count in (2, 3, 2, 4):\n"
            "    threads._threads = count\n"
            "    out[:] = 0\n"
            "    launch(double, x.size, out, x, work=10**9)\n"
            "    assert np.array_equal(out, 2 * x)\n"
            "sys.settrace(None)\n"
            "assert lines > 20, lines\n"
            "set_num_threads(3)\nlaunch(double, x.size, out, x, work=10**9)\nsettle(3)\nprint('done')"
        )
        assert run_python(code) == "done\n"

    def test_an_interrupt(self, futex):
        """The next launch has all its workers."""
        code = self.TRACE.format(futex=futex) + (
            "def happen():\n"
            "    global left\n"
            "    left -= 1\n"
            "    if left == 0: raise KeyboardInterrupt\n"
            "caught = last = 0\n"
            "while last == caught:\n"
            "    last += 1\n"
            "    threads._threads, left = 2 + last % 2, last\n"
            "    sys.settrace(at_a_line)\n"
            "    try:\n        launch(double, x.size, out, x, work=10**9)\n"
            "    except KeyboardInterrupt:\n        caught += 1\n"
            "    sys.settrace(None)\n"
            "    out[:] = 0\n"
            "    launch(double, x.size, out, x, work=10**9)\n"
            "    assert np.array_equal(out, 2 * x)\n"
            "    (count, found), = threads._pools.items()\n"
            "    assert count == 2 + last % 2 and [worker.is_alive() for worker in found._workers] == [True] * (count - 1)\n"
            "assert caught > 15, caught\nprint('done')"
        )
        assert run_python(code) == "done\n"
