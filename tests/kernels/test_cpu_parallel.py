"""Operations give the same bits however a launch is cut: alone, on a pool, and in chunks that run one by one from the last to the first.

The last of these is a pool whose ``run`` is replaced, so that it shows a dependence on the cut every time, not when threads happen to
meet.  All families are in: sums across a range are taken in fixed blocks, and gradients that share an element are added by one thread.
"""

from __future__ import annotations

import numpy as np
import pytest
from numba import types

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.kernels._cpu import kernel, launch, store, threads
from numbagrad.kernels._cpu.atomics import RUN, call_task
from numbagrad.kernels._cpu.jit import address
from numbagrad.kernels._cpu.pool import Pool


@kernel
def run_backwards(request, n, task, frame):
    """What replaces a pool's ``_run``: seven chunks in one thread, the last first."""
    chunks = min(n, 7)
    store(frame + 8, np.int64(chunks))
    for chunk in range(chunks - 1, -1, -1):
        call_task(task, frame, chunk)


@kernel
def note_order(lo, hi, order, count):
    for i in range(lo, hi):
        order[count[0]] = i
        count[0] += 1


@pytest.fixture
def backwards(monkeypatch):
    before = ng.get_num_threads()
    ng.set_num_threads(2)
    pool = Pool(2)
    pool._words[RUN // 8] = address(run_backwards, (types.intp, types.int64, types.intp, types.intp))
    monkeypatch.setattr(threads, "_pool", pool)
    monkeypatch.setattr(threads, "PARALLEL_WORK", 1)  # however small the work is
    yield pool
    monkeypatch.undo()
    ng.set_num_threads(before)
    pool.stop()


def test_the_replaced_pool_runs_backwards(backwards):
    order, count = np.zeros(21, np.int64), np.zeros(1, np.int64)
    launch(note_order, 21, order, count, work=10**9)
    assert order.tolist() == [i for start in range(18, -1, -3) for i in range(start, start + 3)]


def values(seed: int, *shapes: tuple[int, ...]) -> list[ng.Tensor]:
    rng = np.random.default_rng(seed)
    return [ng.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True) for shape in shapes]


X, ROW, IMAGES, WEIGHT = (301, 407), (407,), (6, 8, 29, 30), (12, 8, 3, 3)
INDEX = np.random.default_rng(1).integers(0, 301, 2000)
LABELS = np.random.default_rng(2).integers(0, 407, 301)

# Name: shapes of the arguments, the operation.
OPERATIONS = {
    "elementwise": ([X, X], lambda x, y: ng.tanh(x * 2 + 1) * ng.sigmoid(y)),
    "elementwise of strides": ([X, X], lambda x, y: (x.T * y.T)[::2]),
    "broadcast": ([X, ROW], lambda x, y: x * y + y),
    "sum": ([X], lambda x: x.sum()),
    "sum of columns": ([X], lambda x: x.sum(0)),
    "sum of rows": ([X], lambda x: x.sum(1)),
    "mean and variance": ([X], lambda x: x.var(1) + x.mean(1)),
    "maximum": ([X], lambda x: x.max(1)[0]),
    "cumulative sum": ([X], lambda x: x.cumsum(1)),
    "matrix product": ([X, (407, 203)], lambda x, y: x @ y),
    "matrix vector": ([X, ROW], lambda x, y: x @ y),
    "vector matrix": ([(301,), X], lambda x, y: x @ y),
    "batched product": ([(9, 65, 33), (9, 33, 70)], lambda x, y: x @ y),
    "dot": ([(100_003,), (100_003,)], lambda x, y: x @ y),
    "linear": ([X, (64, 407), (64,)], F.linear),
    "convolution": ([IMAGES, WEIGHT, (12,)], lambda x, w, b: F.conv2d(x, w, b, padding=1)),
    "strided convolution": ([IMAGES, WEIGHT], lambda x, w: F.conv2d(x, w, stride=2)),
    "grouped convolution": ([IMAGES, (8, 1, 3, 3)], lambda x, w: F.conv2d(x, w, groups=8)),
    "wide convolution": ([(3, 32, 14, 14), (64, 32, 3, 3)], lambda x, w: F.conv2d(x, w, padding=1)),
    "maximum pooling": ([IMAGES], lambda x: F.max_pool2d(x, 3, 2)),
    "average pooling": ([IMAGES], lambda x: F.avg_pool2d(x, 2)),
    "softmax": ([X], lambda x: x.softmax(1)),
    "log softmax": ([X], lambda x: x.log_softmax(0)),
    "cross entropy": ([X], lambda x: F.cross_entropy(x, ng.tensor(LABELS))),
    "layer norm": ([X, ROW, ROW], lambda x, w, b: F.layer_norm(x, (407,), w, b)),
    "batch norm": ([IMAGES, (8,), (8,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)),
    "rows": ([X], lambda x: x[ng.tensor(INDEX)]),
    "index select": ([X], lambda x: x.index_select(1, ng.tensor(INDEX[:500]))),
    "masked": ([X], lambda x: x[x > 0.3]),
    "sort": ([X], lambda x: ng.sort(x, 1)[0]),
    "transpose": ([X], lambda x: x.T.contiguous()),
    "concatenation": ([X, X], lambda x, y: ng.cat([x, y[::2]])),
}


def results(name: str) -> list[np.ndarray]:
    """The operation's value and its gradients."""
    shapes, operation = OPERATIONS[name]
    arguments = values(3, *shapes)
    y = operation(*arguments)
    (y * y.detach().sin()).sum().backward()
    return [y.detach().numpy(), *(argument.grad.numpy() for argument in arguments)]


def same(found: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", OPERATIONS)
def test_bits_do_not_depend_on_the_cut(name, backwards, monkeypatch):
    found = results(name)
    ng.set_num_threads(1)
    alone = results(name)
    assert same(found, alone), "in seven chunks, the last first"
    monkeypatch.setattr(threads, "_pool", None)
    for count in (2, 3):
        ng.set_num_threads(count)
        assert same(results(name), alone), f"on {count} threads"


def updated(optimizer, **options) -> list[np.ndarray]:
    """Parameters of several sizes after three steps."""
    parameters = values(4, (300, 300), (7,), (65, 1001), (1,))
    update = optimizer(parameters, **options)
    for _ in range(3):
        update.zero_grad()
        sum((p * p).sum() for p in parameters).backward()
        update.step()
    return [p.detach().numpy() for p in parameters]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_updates_do_not_depend_on_the_cut(name, backwards):
    options = {"lr": 0.1} | ({"momentum": 0.9} if name == "SGD" else {})
    found = updated(getattr(ng.optim, name), **options)
    ng.set_num_threads(1)
    assert same(found, updated(getattr(ng.optim, name), **options))


def test_random_numbers_do_not_depend_on_the_cut(backwards):
    def draw() -> list[np.ndarray]:
        ng.manual_seed(11)
        return [ng.rand(100_003).numpy(), ng.randn(100_003).numpy(), ng.randint(0, 1000, (50_001,)).numpy(), ng.randperm(10_007).numpy()]

    found = draw()
    ng.set_num_threads(1)
    assert same(found, draw())
