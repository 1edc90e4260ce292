"""What threads and processes share: graphs, the random generator, buffers, the thread pool; fork at awkward moments; a quiet end.

Results are compared to the bit: they depend neither on the number of threads nor on who else is computing.  ``test_threads_fork`` has the plain cases.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def together(work: Callable[[int], Any], count: int = 6) -> list[Any]:
    """``work(i)`` on ``count`` threads that start at once; the first exception is raised here."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(i: int) -> None:
        try:
            start.wait(60)
            results[i] = work(i)
        except BaseException as error:  # raised in the main thread below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]
    return results


def run_python(code: str, **env: str) -> str:
    """What a fresh interpreter prints; it must end with exit code 0 and silently."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def four_threads():
    """More kernel threads than most machines give us, so that launches are split."""
    before = ng.get_num_threads()
    ng.set_num_threads(4)
    yield
    ng.set_num_threads(before)


def network(seed: int) -> list[bytes]:
    """Loss and gradients of a convolution, a matrix product, softmax and elementwise work, each large enough to be split."""
    rng = np.random.default_rng(seed)
    x = ng.tensor(rng.standard_normal((8, 3, 32, 32)), dtype=ng.float32, requires_grad=True)
    kernel = ng.tensor(rng.standard_normal((8, 3, 3, 3)) * 0.1, dtype=ng.float32, requires_grad=True)
    weight = ng.tensor(rng.standard_normal((10, 8 * 16 * 16)) * 0.05, dtype=ng.float32, requires_grad=True)
    labels = ng.tensor(rng.integers(0, 10, 8))
    hidden = F.max_pool2d(F.relu(F.conv2d(x, kernel, padding=1)), 2)
    loss = F.cross_entropy(F.linear(ng.tanh(hidden).flatten(1), weight), labels) + (hidden * hidden).mean()
    loss.backward()
    return [t.detach().numpy().tobytes() for t in (loss, x.grad, kernel.grad, weight.grad)]


class TestThreads:
    def test_convolutional_network(self, four_threads):
        """Several rounds per thread on graphs of its own: each result is the one computed alone."""
        alone = [network(seed) for seed in range(3)]
        for i, found in enumerate(together(lambda i: [network(seed % 3) for seed in (i, i + 1, i)])):
            assert found == [alone[seed % 3] for seed in (i, i + 1, i)]

    def test_any_number_of_kernel_threads_gives_the_same_bits(self, four_threads):
        found = []
        for count in (1, 2, 3, 4):
            ng.set_num_threads(count)
            found.append(network(5))
        assert found == [found[0]] * 4

    def test_one_graph_read_by_all(self):
        """The same retained graph walked by several threads, each returning its gradients rather than accumulating them."""
        x = ng.randn(50, 50, dtype=ng.float64, requires_grad=True)
        y = (ng.sin(x) @ x).exp().log().sum()
        (want,) = ng.autograd.grad(y, x, retain_graph=True)
        for (found,) in together(lambda _: ng.autograd.grad(y, x, retain_graph=True)):
            np.testing.assert_array_equal(found.numpy(), want.numpy())

    def test_second_derivatives(self):
        def work(i: int) -> bytes:
            x = ng.tensor(np.linspace(0.1, 1 + i % 2, 400), requires_grad=True)
            (first,) = ng.autograd.grad((ng.exp(x) * ng.sin(x)).sum(), x, create_graph=True)
            (second,) = ng.autograd.grad(first.sum(), x)
            return second.numpy().tobytes()

        alone = [work(0), work(1)]
        assert together(work) == [alone[i % 2] for i in range(6)]

    def test_modes_start_afresh_in_each_thread(self):
        with ng.no_grad():
            assert together(lambda _: ng.is_grad_enabled()) == [True] * 6

    def test_random_numbers_are_drawn_once(self):
        """Threads that share the default generator get different numbers, and together those that one thread would get."""
        ng.manual_seed(3)
        want = sorted(ng.rand(64).numpy().tobytes() for _ in range(300))
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            ng.manual_seed(3)
            found = together(lambda _: [ng.rand(64).numpy().tobytes() for _ in range(50)])
        finally:
            sys.setswitchinterval(interval)
        assert sorted(entry for each in found for entry in each) == want

    def test_buffers_cross_threads(self):
        """Made by one thread, changed and dropped by another, while both keep asking the allocator for more."""
        channel: queue.Queue[Any] = queue.Queue(maxsize=4)
        totals: list[int] = []

        def consume() -> None:
            total = 0
            while (x := channel.get()) is not None:
                total += int(x.add_(1).sum().item())
                del x
                ng.full((1000,), -7, dtype=ng.int64)
            totals.append(total)

        consumer = threading.Thread(target=consume)
        consumer.start()
        for i in range(200):
            channel.put(ng.full((1000,), i, dtype=ng.int64))
        channel.put(None)
        consumer.join(60)
        assert totals == [sum(1000 * (i + 1) for i in range(200))]

    def test_the_number_of_threads_may_change_meanwhile(self, four_threads):
        alone = network(2)
        stop = threading.Event()

        def change() -> None:
            count = 1
            while not stop.is_set():
                ng.set_num_threads(count)
                count = count % 4 + 1
                stop.wait(0.002)

        changer = threading.Thread(target=change)
        changer.start()
        try:
            for found in together(lambda _: [network(2) for _ in range(4)], 3):
                assert found == [alone] * 4
        finally:
            stop.set()
            changer.join()


# What forked children compute: matrix product, reduction and elementwise work large enough to be split, with their gradients.
TRAINING = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np, numbagrad as ng
def train(seed):
    rng = np.random.default_rng(seed)
    x = ng.tensor(rng.standard_normal((400, 300)), dtype=ng.float32)
    w = ng.tensor(rng.standard_normal((300, 200)), dtype=ng.float32, requires_grad=True)
    for _ in range(3):
        loss = ng.tanh(x @ w).square().mean()
        (g,) = ng.autograd.grad(loss, w)
        with ng.no_grad():
            w -= g
    return w.detach().numpy().tobytes()
def in_child(work):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as file:
                file.write(work())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    return data
ng.set_num_threads(3)
"""


@forking
class TestFork:
    def test_child_of_a_child_and_child_before_parent(self):
        code = (
            "first = in_child(lambda: train(0))\nassert train(0) == first\nassert in_child(lambda: in_child(lambda: train(0))) == first\n"
            "assert in_child(lambda: train(1)) == train(1) != first\nprint('same')"
        )
        assert run_python(TRAINING + code) == "same\n"

    def test_while_other_threads_compute(self):
        """Whatever lock another thread holds at the moment of the fork (pool, allocator, compiler, random generator) is free in the child."""
        code = (
            "want, stop = train(0), []\n"
            "def busy(i):\n    while not stop: ng.rand(10); assert train(i) is not None\n"
            "others = [threading.Thread(target=busy, args=(i,)) for i in range(2)]\n[t.start() for t in others]\n"
            "try:\n    for _ in range(8): assert in_child(lambda: ng.rand(10) is not None and train(0)) == want\n"
            "finally:\n    stop.append(1)\n    [t.join() for t in others]\nprint('same')"
        )
        assert run_python(TRAINING + code) == "same\n"

    def test_while_another_thread_imports(self, tmp_path):
        """A family's implementation is imported when it is first needed; a fork in the middle of that waits for it."""
        package = tmp_path / "slow_family"
        package.mkdir()
        (package / "__init__.py").write_text("from numbagrad.kernels._device import family\non = family(__name__)\n")
        (package / "cpu.py").write_text("import time\ntime.sleep(0.5)\nanswer = b'imported'\n")
        code = (
            f"sys.path.insert(0, {str(tmp_path)!r})\nimport time, slow_family\n"
            "other = threading.Thread(target=slow_family.on)\nother.start()\ntime.sleep(0.1)\n"
            "print(in_child(lambda: slow_family.on().answer).decode())\nother.join()"
        )
        assert run_python(TRAINING + code) == "imported\n"


class TestExit:
    """The interpreter ends with exit code 0 and nothing on stderr, whatever is still alive."""

    def test_with_a_deep_graph_alive(self):
        """A chain of 100 000 nodes is let go without recursion, in the middle of a program and at its end."""
        code = (
            "def deep():\n    x = ng.ones(1, requires_grad=True)\n    for _ in range(100_000): x = x + 1\n    return x\n"
            "y = deep()\ny.backward()\ndel y\ny = deep()\nprint('done')"
        )
        assert run_python(TRAINING + code) == "done\n"

    def test_with_cycles_and_views_alive(self):
        code = (
            "keep = ng.ones(500, 400, requires_grad=True)\nloss = (ng.exp(keep[1:] * 2).T @ keep[:-1]).sum()\nloss.backward(retain_graph=True)\n"
            "cycle = [loss * keep.grad.sum()]\ncycle.append(cycle)\nprint('done')"
        )
        assert run_python(TRAINING + code) == "done\n"

    def test_from_threads(self):
        """Ordinary threads finish their work before the exit; daemons are abandoned in the middle of a kernel."""
        code = (
            "threading.Thread(target=lambda: print(len(train(0)))).start()\n"
            "def forever():\n    while True: train(1)\n"
            "[threading.Thread(target=forever, daemon=True).start() for _ in range(2)]\n"
        )
        assert run_python(TRAINING + code) == "240000\n"

    def test_exit_code_is_kept(self):
        done = subprocess.run(
            [sys.executable, "-c", TRAINING + "train(0)\nsys.exit(7)"], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (7, "")


def test_bounds_check_finds_what_it_should():
    """The control of every run with NUMBA_BOUNDSCHECK: where it is set, an index outside the array is an error."""
    code = (
        "import numpy as np\nfrom numbagrad.kernels._cpu import kernel, launch\n"
        "source = 'def beyond(lo, hi, x):\\n    for i in range(lo, hi):\\n        x[i + 1] = 0\\n'\n"
        "scope = {}\nexec(source, scope)\n"
        "try:\n    launch(kernel(scope['beyond'], source=source), 5, np.zeros(5))\nexcept IndexError as error:\n    print(error)\n"
    )
    assert "out of bounds" in run_python(code, NUMBA_BOUNDSCHECK="1")


TRAINED = """
import numpy as np, numbagrad as ng
import numbagrad.nn as nn
ng.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))
rng = np.random.default_rng(0)
x, labels = ng.tensor(rng.standard_normal((4, 1, 6, 6)), dtype=ng.float32), ng.tensor([0, 1, 2, 1])
optimizer = ng.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for _ in range(3):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), labels)
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.5f}")
mixed = ng.cat([ng.sort(x.flatten(), descending=True)[0][:3], x.softmax(-1).sum((0, 1, 2))[:2], x.cumsum(0)[-1, 0, 0, :2]])
print(" ".join(f"{v:.4f}" for v in mixed.tolist()), ng.rand(2).tolist(), ng.tensor([3, 1, 2])[ng.tensor([2, 0])].tolist())
"""


def test_training_without_compilation():
    """The kernels are Python: with NUMBA_DISABLE_JIT the same losses, the same random numbers, nothing compiled."""
    compiled = run_python(TRAINED)
    assert len(compiled.split()) >= 3 + 7
    # NumPy's scalars warn of the wraparound that the random generator means.
    assert run_python(TRAINED, NUMBA_DISABLE_JIT="1", PYTHONWARNINGS="ignore::RuntimeWarning") == compiled
