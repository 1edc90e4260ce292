"""Launching: every index exactly once, the same bits on any number of threads, concurrency, fork, exceptions, and a clean end of the interpreter."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numba import types

from numbagrad.kernels._cpu import array_at, compiled, get_num_threads, kernel, launch, set_num_threads, threads
from numbagrad.kernels._cpu.atomics import (
    FUTEX_NUMBER,
    SKIPPED,
    SLEEPERS,
    atomic_add,
    atomic_load,
    relax,
)
from numbagrad.kernels._cpu.pool import Pool
from tests.interpreter import run_python
from tests.visits import BIG, count_visits


@kernel
def scale(lo, hi, out, x, factor):
    for i in range(lo, hi):
        out[i] = x[i] * factor


@kernel
def block_sums(lo, hi, out, x):
    for block in range(lo, hi):
        total = x.dtype.type(0)
        for i in range(block * 64, min(block * 64 + 64, x.size)):
            total += x[i]
        out[block] = total


@kernel
def refuse(lo, hi, x):
    for i in range(lo, hi):
        if x[i] > 0:
            raise ValueError("a positive number")


@kernel
def scale_by_id(lo, hi, out, x, factor):
    source, target = array_at(x, hi, np.float32), array_at(out, hi, np.float32)
    for i in range(lo, hi):
        target[i] = source[i] * factor


@kernel
def refuse_with(lo, hi, x):
    for i in range(lo, hi):
        if x[i] > 0:
            raise KeyError("no", x[i])


@pytest.fixture(autouse=True)
def keep_thread_count():
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_index_is_visited_once(count):
    set_num_threads(count)
    for n in (0, 1, 2, 3, 5, 64, 1000, 4097):
        for work in (0, threads.PARALLEL_WORK, BIG):
            visits = np.zeros(max(n, 1), np.int64)
            launch(count_visits, n, visits, work=work)
            assert np.all(visits[:n] == 1) and visits.sum() == n


def test_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(0).standard_normal(64 * 1000 + 13).astype(np.float32)
    results = []
    for count in (1, 2, 4, 5):
        set_num_threads(count)
        out = np.empty(1001, np.float32)
        launch(block_sums, 1001, out, x, work=BIG)
        results.append(out)
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_arguments_of_all_kinds():
    @kernel
    def mixed(lo, hi, out, matrix, flag, pair, z, nothing):
        for i in range(lo, hi):
            if flag and nothing is None:
                out[i] = matrix[i, 1] * pair[0] + pair[1] + z.real
            else:
                out[i] = -1.0

    set_num_threads(3)
    matrix = np.arange(200, dtype=np.float64).reshape(100, 2)
    for view in (matrix, matrix[::-1], np.asfortranarray(matrix)):
        out = np.empty(100)
        launch(mixed, 100, out, view, True, (2, 0.5), 3 + 4j, None, work=BIG)
        assert np.array_equal(out, view[:, 1] * 2 + 3.5)


def test_many_python_threads_launch_at_once():
    set_num_threads(3)
    failures = []

    def hammer(seed):
        x = np.full(3000, seed, np.float32)
        out = np.empty_like(x)
        for turn in range(300):
            out.fill(0)
            launch(scale, x.size, out, x, turn, work=BIG)
            if not np.all(out == seed * turn):
                failures.append((seed, turn))

    hammers = [threading.Thread(target=hammer, args=(seed,)) for seed in range(1, 9)]
    for hammer_thread in hammers:
        hammer_thread.start()
    for turn in range(20):  # and somebody changes the number of threads meanwhile
        set_num_threads(1 + turn % 4)
        time.sleep(0.002)
    for hammer_thread in hammers:
        hammer_thread.join(timeout=60)
    assert not failures and not any(hammer_thread.is_alive() for hammer_thread in hammers)


def test_an_exception_in_a_kernel_is_not_lost():
    set_num_threads(2)
    x = np.zeros(1000)
    for place in (0, 999):
        x[:] = 0
        launch(refuse, x.size, x, work=BIG)
        x[place] = 1
        with pytest.raises(ValueError, match="a positive number"):
            launch(refuse, x.size, x)
        with pytest.raises(ValueError, match="a positive number"):
            launch(refuse, x.size, x, work=BIG)
    test_every_index_is_visited_once(2)


@pytest.mark.parametrize("place", [0, 499, 999])
def test_an_exception_keeps_its_arguments(place):
    """Also those that are only known when it is raised, and also when every chunk raises one."""
    x = np.zeros(1000)
    x[place] = 7
    for count, work in ((1, 0), (2, BIG), (3, BIG)):
        set_num_threads(count)
        with pytest.raises(KeyError) as caught:
            launch(refuse_with, x.size, x, work=work)
        assert caught.value.args == ("no", 7.0)
    with pytest.raises(KeyError):
        launch(refuse_with, x.size, np.ones(1000), work=BIG)
    run = compiled(refuse, types.void(types.intp, types.intp, types.float64[::1]))
    with pytest.raises(ValueError, match="a positive number"):
        run(x.size, x, work=BIG)


def test_only_functions_of_a_range_can_be_launched():
    @kernel
    def other(start, stop, visits):
        for i in range(start, stop):
            visits[i] += 1

    set_num_threads(2)
    visits = np.zeros(10, np.int64)
    with pytest.raises(TypeError, match="launch: expected a kernel whose first arguments are lo and hi, but got other"):
        launch(other, 10, visits, work=BIG)
    with pytest.raises(TypeError, match="compiled: expected a kernel whose first arguments are lo and hi, but got other"):
        compiled(other, types.void(types.intp, types.intp, types.int64[::1]))
    assert not visits.any()


@pytest.mark.skipif(not FUTEX_NUMBER, reason="workers sleep in Python here")
def test_small_launches_seldom_wake_sleepers(monkeypatch):
    set_num_threads(2)
    pool = Pool(2).start()
    monkeypatch.setattr(threads, "_pools", {2: pool})
    visits = np.zeros(1000, np.int64)
    deadline = time.monotonic() + 30
    while not pool._words[SLEEPERS // 8] and time.monotonic() < deadline:
        time.sleep(0.001)
    skipped = []
    for _ in range(20):
        launch(count_visits, visits.size, visits, work=threads.PARALLEL_WORK)
        skipped.append(int(pool._words[SKIPPED // 8]))
    assert skipped[:16] == list(range(1, 17)) and skipped[16] == 0
    launch(count_visits, visits.size, visits, work=threads.WAKING_WORK)
    assert np.all(visits == 21)
    pool.stop(join=True)


def test_idle_workers_are_woken():
    set_num_threads(2)
    visits = np.zeros(1000, np.int64)
    for pause in (0, 0.0001, 0.01, 0.05):
        time.sleep(pause)
        launch(count_visits, visits.size, visits, work=BIG)
    assert np.all(visits == 4)


def test_both_threads_take_part():
    @kernel
    def meet(lo, hi, address):
        # Each chunk waits until the other has begun too, or the timer ends it: words (begun, given up).
        for _ in range(lo, hi):
            atomic_add(address, 1)
            while atomic_load(address) < 2 and atomic_load(address + 8) == 0:
                relax()

    set_num_threads(2)
    words = np.zeros(2, np.int64)
    timer = threading.Timer(30, lambda: words.__setitem__(1, 1))
    timer.start()
    launch(meet, 2, words.ctypes.data, work=BIG)
    timer.cancel()
    assert words.tolist() == [2, 0], "the chunks did not run at the same time"


def test_pool_whose_workers_sleep_in_python(monkeypatch):
    """What runs where there is no futex."""
    set_num_threads(3)
    pool = Pool(3, futex=False).start()
    monkeypatch.setattr(threads, "_pools", {3: pool})
    visits = np.zeros(5000, np.int64)
    for turn in range(50):
        launch(count_visits, visits.size, visits, work=BIG)
        if turn % 10 == 0:
            time.sleep(0.005)
    assert np.all(visits == 50)
    pool.stop(join=True)
    assert not any(worker.is_alive() for worker in pool._workers)


def test_stopped_pool_still_does_the_work(monkeypatch):
    set_num_threads(2)
    pool = Pool(2).start()
    pool.stop(join=True)
    assert not any(worker.is_alive() for worker in pool._workers)
    monkeypatch.setattr(threads, "_pools", {2: pool})
    visits = np.zeros(5000, np.int64)
    launch(count_visits, visits.size, visits, work=BIG)
    assert np.all(visits == 1)


def test_compiled_takes_addresses_and_scalars():
    run = compiled(scale_by_id, types.void(types.intp, types.intp, types.intp, types.intp, types.float32))
    x = np.arange(5000, dtype=np.float32)
    for count in (1, 2, 3):
        set_num_threads(count)
        for work in (0, BIG):
            out = np.zeros_like(x)
            run(x.size, id(out), id(x), 1.5, work=work)
            assert np.array_equal(out, x * np.float32(1.5))
    out = np.zeros_like(x)
    run(0, id(out), id(x), 2.0)
    assert not out.any()


def test_set_num_threads_rejects():
    for bad in (0, -3):
        with pytest.raises(RuntimeError, match="set_num_threads: expected a positive number of threads"):
            set_num_threads(bad)
    for bad in (2.0, "2", None, True):
        with pytest.raises(TypeError, match="set_num_threads: expected an int"):
            set_num_threads(bad)


def test_environment_variable():
    assert (
        run_python(
            "launch(double, x.size, out, x, work=10**9)\nprint(get_num_threads(), threading.active_count())", NUMBAGRAD_NUM_THREADS="1"
        )
        == "1 1\n"
    )
    assert (
        run_python(
            "launch(double, x.size, out, x, work=10**9)\nprint(get_num_threads(), threading.active_count())", NUMBAGRAD_NUM_THREADS="3"
        )
        == "3 3\n"
    )
    assert run_python("print(get_num_threads())", NUMBAGRAD_NUM_THREADS=" 2 ") == "2\n"
    for bad in ("0", "-1", "many", "1.5", "²", "1_0"):
        with pytest.raises(AssertionError, match="NUMBAGRAD_NUM_THREADS: expected a positive integer"):
            run_python("", NUMBAGRAD_NUM_THREADS=bad)


def test_without_compilation():
    code = "launch(double, x.size, out, x, work=10**9)\nassert np.array_equal(out, 2 * x)\nprint(type(double).__name__)"
    assert run_python(code, NUMBA_DISABLE_JIT="1") == "function\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
class TestOneProcessor:
    """A process that may use one processor only."""

    ALONE = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"

    def test_one_thread_by_default(self):
        code = "import os\n" + self.ALONE + "from numbagrad.kernels._cpu import get_num_threads\nprint(get_num_threads())"
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBAGRAD_NUM_THREADS": ""}, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("1\n", "")

    def test_more_threads_than_processors(self):
        """Workers that take the launching thread's own processor leave it: nobody waits for them for long, not even at the end."""
        code = self.ALONE + (
            "set_num_threads(3)\nlaunch(double, x.size, out, x, work=10**9)\n"
            "for _ in range(2000):\n"
            "    out[:] = 0\n"
            "    launch(double, x.size, out, x, work=10**9)\n"
            "    assert np.array_equal(out, 2 * x)\n"
            "print('done')"
        )
        assert run_python(code) == "done\n"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_arrives_between_launches():
    code = (
        "import signal\nset_num_threads(2)\nlaunch(double, x.size, out, x, work=10**9)\n"
        "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n    while True: launch(double, x.size, out, x, work=10**9)\n"
        "except KeyboardInterrupt:\n    out[:] = 0\n    launch(double, x.size, out, x, work=10**9)\n    print(np.array_equal(out, 2 * x))"
    )
    assert run_python(code) == "True\n"


@pytest.mark.parametrize("pause", ["0", "0.05"], ids=["spinning", "sleeping"])
def test_interpreter_ends_with_workers(pause):
    # What compiles the kernel keeps the globals until they are None; the finaliser below needs them.
    run_python("launch(double, x.size, out, x, work=10**9)")
    code = (
        f"set_num_threads(4)\nlaunch(double, x.size, out, x, work=10**9)\ntime.sleep({pause})\n"
        "import atexit\natexit.register(lambda: launch(double, x.size, out, x, work=10**9))\n"
        "class Late:\n    def __del__(self): launch(double, x.size, out, x, work=10**9)\n"
        "keep = Late()\nprint('done')"
    )
    assert run_python(code) == "done\n"


def test_interpreter_ends_while_a_daemon_launches():
    code = (
        "set_num_threads(2)\nlaunch(double, x.size, out, x, work=10**9)\n"
        "def forever():\n    while True: launch(double, x.size, out, x, work=10**9)\n"
        "threading.Thread(target=forever, daemon=True).start()\ntime.sleep(0.05)\nprint('done')"
    )
    for _ in range(3):
        assert run_python(code) == "done\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork():
    code = (
        "set_num_threads(3)\nlaunch(double, x.size, out, x, work=10**9)\n"
        "for _ in range(3):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        out[:] = 0\n"
        "        for _ in range(20): launch(double, x.size, out, x, work=10**9)\n"
        "        sys.exit(0 if np.array_equal(out, 2 * x) and threading.active_count() == 3 else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    launch(double, x.size, out, x, work=10**9)\nprint('done')"
    )
    assert run_python(code, PYTHONWARNINGS="ignore") == "done\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_other_threads_launch():
    code = (
        "set_num_threads(2)\nlaunch(double, x.size, out, x, work=10**9)\nstop = []\n"
        "def busy():\n    y = np.empty_like(x)\n    while not stop: launch(double, x.size, y, x, work=10**9)\n"
        "others = [threading.Thread(target=busy) for _ in range(3)]\n[t.start() for t in others]\n"
        "for _ in range(5):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        launch(double, x.size, out, x, work=10**9)\n"
        "        os._exit(0 if np.array_equal(out, 2 * x) else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "stop.append(1)\n[t.join() for t in others]\nprint('done')"
    )
    assert run_python(code, PYTHONWARNINGS="ignore") == "done\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_another_thread_compiles():
    code = (
        "stop = []\n"
        "def busy():\n"
        "    while not stop:\n"
        "        @kernel\n"
        "        def fresh(lo, hi, out):\n"
        "            for i in range(lo, hi): out[i] = 1\n"
        "        fresh._cache.disable()\n"
        "        fresh(0, 1, out)\n"
        "other = threading.Thread(target=busy)\nother.start()\ntime.sleep(0.5)\n"
        "for _ in range(5):\n"
        "    time.sleep(0.02)\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        @kernel\n"
        "        def mine(lo, hi, out):\n"
        "            for i in range(lo, hi): out[i] = 2\n"
        "        mine._cache.disable()\n"
        "        mine(0, 10, out)\n"
        "        os._exit(0 if out[:10].sum() == 20 else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "stop.append(1)\nother.join()\nprint('done')"
    )
    assert run_python(code, PYTHONWARNINGS="ignore") == "done\n"


def test_no_thread_is_started_for_small_work():
    code = "set_num_threads(4)\nlaunch(double, x.size, out, x, work=x.size)\nprint(threading.active_count())"
    assert run_python(code) == "1\n"
