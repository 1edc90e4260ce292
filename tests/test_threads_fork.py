"""Threads, fork, interrupts and the end of the interpreter, through whole tensors: forward and backward."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def step(seed: int) -> list[np.ndarray]:
    """A small network forward and backward, with products and sums large enough to be split across threads."""
    rng = np.random.default_rng(seed)
    x, w, v, b = (
        ng.tensor(rng.standard_normal(s).astype(np.float32), requires_grad=True) for s in ((96, 128), (128, 160), (160, 10), (160,))
    )
    hidden = F.gelu(x @ w + b) * 0.1
    scores = F.layer_norm(hidden, (160,)) @ v
    loss = F.cross_entropy(scores, ng.tensor(np.arange(96) % 10)) + (hidden[::2] * hidden[1::2]).sum() + hidden.softmax(1).std()
    loss.backward()
    big = ng.tanh(ng.linspace(-3, 3, 300_000) * float(seed + 1))
    return [loss.detach().numpy(), big.numpy(), *(t.grad.numpy() for t in (x, w, v, b))]


def equal(one, other) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


def run_python(code: str, **environment: str) -> str:
    """Run ``code`` in a new interpreter and see that it ends well and quietly."""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and not done.stderr, (done.returncode, done.stderr[-3000:])
    return done.stdout


@pytest.fixture
def three_threads():
    before = ng.get_num_threads()
    ng.set_num_threads(3)
    yield
    ng.set_num_threads(before)


class TestThreads:
    def test_forward_and_backward_at_once(self, three_threads):
        """Every thread builds and walks graphs of its own; the bits are those of one thread alone."""
        ng.set_num_threads(1)
        alone = [step(seed) for seed in range(4)]
        ng.set_num_threads(3)
        failures: list[int] = []

        def work(seed: int) -> None:
            for _ in range(6):
                if not equal(step(seed), alone[seed]):
                    failures.append(seed)

        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=120)
        assert not any(worker.is_alive() for worker in workers)
        assert not failures

    def test_first_use_in_many_threads(self):
        """A kernel that nobody has compiled yet, asked for by all at once."""
        operation = ng.elementwise(lambda x: ng.sin(x) * 1.2345 + x)
        barrier = threading.Barrier(6)
        results: list[list[float]] = []

        def work() -> None:
            x = ng.ones(5, dtype=ng.float64, requires_grad=True)
            barrier.wait()
            operation(x).sum().backward()
            results.append(x.grad.tolist())

        workers = [threading.Thread(target=work) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=120)
        assert len(results) == 6
        np.testing.assert_allclose(results, np.full((6, 5), 1 + 1.2345 * np.cos(1)), rtol=1e-15)

    def test_recording_is_switched_per_thread(self):
        inside, outside = threading.Event(), threading.Event()
        seen: list[bool] = []

        def other() -> None:
            inside.wait(30)
            seen.append((ng.ones(1, requires_grad=True) * 2).requires_grad)
            outside.set()

        thread = threading.Thread(target=other)
        thread.start()
        with ng.no_grad():
            inside.set()
            outside.wait(30)
            assert not (ng.ones(1, requires_grad=True) * 2).requires_grad
        thread.join()
        assert seen == [True]

    def test_an_error_in_one_thread_leaves_the_others(self, three_threads):
        errors: list[BaseException] = []

        def wrong() -> None:
            for _ in range(20):
                try:
                    (ng.ones(200, 300, requires_grad=True) @ ng.ones(200, 300)).sum().backward()
                except RuntimeError as error:
                    errors.append(error)

        want = step(1)
        thread = threading.Thread(target=wrong)
        thread.start()
        assert all(equal(step(1), want) for _ in range(3))
        thread.join()
        assert len(errors) == 20


def in_child(function) -> bytes:
    """What ``function()`` writes, run in a forked child; sees that the child ends well."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            os.write(write, function())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    parts = []
    while part := os.read(read, 65536):
        parts.append(part)
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    return b"".join(parts)


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestFork:
    def test_work_in_the_child(self, three_threads):
        want = step(2)  # the pool of the parent is running
        signature = b"".join(np.ascontiguousarray(a).tobytes()[:64] for a in want)
        for _ in range(3):
            assert in_child(lambda: b"".join(np.ascontiguousarray(a).tobytes()[:64] for a in step(2))) == signature
            assert equal(step(2), want)  # and the parent goes on

    def test_a_graph_made_before_is_walked_in_the_child(self, three_threads):
        x = ng.ones(400, 300, dtype=ng.float64, requires_grad=True)
        loss = (x * x).sum()

        def child() -> bytes:
            loss.backward()
            return str(x.grad.sum().item()).encode()

        assert in_child(child) == b"240000.0"
        assert x.grad is None
        loss.backward()
        assert x.grad.sum().item() == 240000.0

    def test_random_state_is_inherited(self):
        ng.manual_seed(5)
        mine = in_child(lambda: repr(ng.rand(3).tolist()).encode())
        assert mine.decode() == repr(ng.rand(3).tolist())

    def test_multiprocessing(self, three_threads):
        code = (
            "import multiprocessing, numbagrad as ng\n"
            "def work(seed):\n"
            "    x = ng.full((300, 400), float(seed), requires_grad=True)\n"
            "    (x.tanh() @ x.T).mean().backward()\n"
            "    return x.grad.sum().item()\n"
            "if __name__ == '__main__':\n"
            "    ng.set_num_threads(2)\n"
            "    alone = [work(seed) for seed in range(4)]\n"
            "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
            "        assert pool.map(work, range(4)) == alone\n"
            "    assert [work(seed) for seed in range(4)] == alone\n"
            "    print('done')\n"
        )
        assert run_python(code, PYTHONWARNINGS="ignore") == "done\n"


class TestInterrupts:
    def test_keyboard_interrupt_leaves_everything_usable(self, three_threads):
        want = step(3)
        timer = threading.Timer(0.3, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            while timer.is_alive():
                step(3)
            for _ in range(1000):  # it has been asked for: it must come
                step(3)
        timer.join()
        assert ng.is_grad_enabled()
        assert equal(step(3), want)

    def test_interrupted_no_grad_is_left(self):
        with pytest.raises(KeyboardInterrupt), ng.no_grad():
            raise KeyboardInterrupt
        assert ng.is_grad_enabled()


SMALL = (
    "import numbagrad as ng, numbagrad.nn.functional as F\n"
    "x = ng.tensor([[0.5, -1.0, 2.0], [1.0, 3.0, -2.0]], requires_grad=True)\n"
    "y = F.softmax(x * 2 + x[:, :1], 1).sum(0) @ ng.ones(3) + x.t().reshape(-1)[::2].exp().sum() + x[[1, 0], [2, 1]].sum()\n"
    "y.backward()\n"
    "print(round(y.item(), 4), [round(v, 4) for v in x.grad.flatten().tolist()])\n"
)


class TestEnvironments:
    def test_without_compilation(self):
        """Every kernel is Python: slow, and the same."""
        assert run_python(SMALL, NUMBA_DISABLE_JIT="1") == run_python(SMALL)

    def test_kernels_stay_inside_their_arrays(self, tmp_path):
        """A selection of kernel tests with Numba's bounds checking."""
        tests = ["tests/kernels/test_index.py", "tests/kernels/test_reduce.py", "tests/kernels/test_sort.py"]
        selection = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests, "-k", "float32 and not torch"]
        done = subprocess.run(selection, env=os.environ | {"NUMBA_BOUNDSCHECK": "1"}, cwd=ROOT, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout[-3000:]
        assert " passed" in done.stdout

    @pytest.mark.parametrize("pause", [0, 0.05])
    def test_the_interpreter_ends_quietly(self, pause):
        code = (
            "import time, numbagrad as ng\nng.set_num_threads(3)\nx = ng.rand(700, 700, requires_grad=True)\n(x @ x).tanh().sum().backward()\n"
            f"time.sleep({pause})\n"
            "keep = [x, (x * 2).sum()]\nprint('done')"
        )
        assert run_python(code) == "done\n"
