"""Operations give the same bits however a launch is cut: alone, on a pool, and in chunks that run one by one from the last to the first.

The last of these is a pool whose ``run`` is replaced, so that it shows a dependence on the cut every time, not when threads happen to
meet.  All families are in: sums across a range are taken in fixed blocks, and gradients that share an element are added by one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import types

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.kernels._cpu import kernel, launch, store, threads
from numbagrad.kernels._cpu.atomics import RUN, call_task
from numbagrad.kernels._cpu.jit import address
from numbagrad.kernels._cpu.pool import Pool
from numbagrad.ops.matmul import linear_relu


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
    pool = Pool(2).start()
    pool._words[RUN // 8] = address(run_backwards, (types.intp, types.int64, types.intp, types.intp))
    monkeypatch.setattr(threads, "_pools", {2: pool})
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
# For each row, columns to add to: some several times, some never.
COLUMNS = np.random.default_rng(3).integers(0, 407, (301, 500))
CLASS_WEIGHTS = np.random.default_rng(4).uniform(0.5, 2, 407).astype(np.float32)
PARTS = np.random.default_rng(5).dirichlet(np.ones(407), 301).astype(np.float32)


def cross_entropy(x: ng.Tensor, **options: Any) -> ng.Tensor:
    return F.cross_entropy(x, ng.tensor(np.where(LABELS < 30, -100, LABELS)), **options)


def dropped(x: ng.Tensor) -> ng.Tensor:
    ng.manual_seed(12)
    return F.dropout(x, 0.3)


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
    "small linear": ([(61, 300), (129, 300), (129,)], F.linear),
    "linear and relu": ([(61, 300), (129, 300), (129,)], linear_relu),
    "convolution": ([IMAGES, WEIGHT, (12,)], lambda x, w, b: F.conv2d(x, w, b, padding=1)),
    "strided convolution": ([IMAGES, WEIGHT], lambda x, w: F.conv2d(x, w, stride=2)),
    "grouped convolution": ([IMAGES, (8, 1, 3, 3)], lambda x, w: F.conv2d(x, w, groups=8)),
    "wide convolution": ([(3, 32, 14, 14), (64, 32, 3, 3)], lambda x, w: F.conv2d(x, w, padding=1)),
    "maximum pooling": ([IMAGES], lambda x: F.max_pool2d(x, 3, 2)),
    "dilated maximum pooling": ([IMAGES], lambda x: F.max_pool2d(x, 3, 1, 1, dilation=2)),
    "average pooling": ([IMAGES], lambda x: F.avg_pool2d(x, 2)),
    "overlapping average pooling": ([IMAGES], lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "adaptive maximum pooling": ([IMAGES], lambda x: F.adaptive_max_pool2d(x, (4, 7))),
    "adaptive average pooling": ([IMAGES], lambda x: F.adaptive_avg_pool2d(x, (4, 7))),
    "average of planes": ([IMAGES], lambda x: F.adaptive_avg_pool2d(x, 1)),
    "softmax": ([X], lambda x: x.softmax(1)),
    "log softmax": ([X], lambda x: x.log_softmax(0)),
    "cross entropy": ([X], cross_entropy),
    "weighted cross entropy": ([X], lambda x: cross_entropy(x, weight=ng.tensor(CLASS_WEIGHTS))),
    "smoothed cross entropy": ([X], lambda x: cross_entropy(x, weight=ng.tensor(CLASS_WEIGHTS), label_smoothing=0.1)),
    "cross entropy of each": ([X], lambda x: cross_entropy(x, reduction="none", label_smoothing=0.1)),
    "cross entropy of images": (
        [(50, 11, 9, 7)],
        lambda x: F.cross_entropy(x, ng.tensor(LABELS[:50, None, None] % 11 * np.ones((9, 7), int))),
    ),
    "soft cross entropy": ([X], lambda x: F.cross_entropy(x, ng.tensor(PARTS), weight=ng.tensor(CLASS_WEIGHTS), label_smoothing=0.1)),
    "dropout": ([X], dropped),
    "layer norm": ([X, ROW, ROW], lambda x, w, b: F.layer_norm(x, (407,), w, b)),
    "batch norm": ([IMAGES, (8,), (8,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)),
    "rows": ([X], lambda x: x[ng.tensor(INDEX)]),
    "index select": ([X], lambda x: x.index_select(1, ng.tensor(INDEX[:500]))),
    "gathered columns": ([X], lambda x: x.gather(1, ng.tensor(COLUMNS))),
    "index add": ([X, (2000, 407)], lambda x, y: x.index_add(0, ng.tensor(INDEX), y)),
    "index add of columns": ([X, (301, 500)], lambda x, y: x.index_add(1, ng.tensor(COLUMNS[0]), y)),
    "scatter add": ([X, (301, 500)], lambda x, y: x.scatter_add(1, ng.tensor(COLUMNS), y)),
    "embedding": ([X], lambda w: F.embedding(ng.tensor(INDEX.reshape(40, 50)), w, padding_idx=3)),
    "masked": ([X], lambda x: x[x > 0.3]),
    "sort": ([X], lambda x: ng.sort(x, 1)[0]),
    "largest": ([X], lambda x: x.topk(20, 1)[0]),
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
    monkeypatch.setattr(threads, "_pools", {})
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


UPDATES = {
    "SGD": (ng.optim.SGD, {"weight_decay": 0.01}),
    "SGD, momentum": (ng.optim.SGD, {"momentum": 0.9}),
    "SGD, Nesterov": (ng.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "Adam": (ng.optim.Adam, {}),
    "Adam, AMSGrad": (ng.optim.Adam, {"amsgrad": True, "weight_decay": 0.01}),
    "AdamW": (ng.optim.AdamW, {}),
    "Adagrad": (ng.optim.Adagrad, {}),
    "RMSprop": (ng.optim.RMSprop, {}),
    "RMSprop, momentum": (ng.optim.RMSprop, {"momentum": 0.9, "centered": True}),
}


@pytest.mark.parametrize("name", UPDATES)
def test_updates_do_not_depend_on_the_cut(name, backwards):
    optimizer, options = UPDATES[name]
    found = updated(optimizer, lr=0.1, **options)
    ng.set_num_threads(1)
    assert same(found, updated(optimizer, lr=0.1, **options))


def test_gradient_clipping_does_not_depend_on_the_cut(backwards):
    def clipped() -> list[np.ndarray]:
        parameters = values(5, (300, 300), (7,), (65, 1001))
        for seed, p in enumerate(parameters):
            p.grad = values(seed, p.shape)[0].detach()
        norm = ng.nn.utils.clip_grad_norm_(parameters, 1.0)
        return [norm.numpy(), *(p.grad.numpy() for p in parameters)]

    found = clipped()
    ng.set_num_threads(1)
    assert same(found, clipped())


@pytest.mark.parametrize("kind", ["few values", "many values", "wide integers", "floats"])
def test_unique_does_not_depend_on_the_cut(kind, backwards):
    rng = np.random.default_rng(6)
    x = {
        "few values": lambda: rng.integers(0, 50, 40_001),
        "many values": lambda: rng.integers(0, 30_000, 40_001),
        "wide integers": lambda: rng.integers(-(2**62), 2**62, 40_001),
        "floats": lambda: rng.standard_normal(40_001).astype(np.float32).round(2),
    }[kind]()

    def found() -> list[np.ndarray]:
        return [part.numpy() for part in ng.unique(ng.tensor(x), return_inverse=True, return_counts=True)]

    cut = found()
    ng.set_num_threads(1)
    alone = found()
    assert same(cut, alone)
    assert all(np.array_equal(a, b) for a, b in zip(alone, np.unique(x, return_inverse=True, return_counts=True), strict=True))


def test_random_numbers_do_not_depend_on_the_cut(backwards):
    def draw() -> list[np.ndarray]:
        ng.manual_seed(11)
        return [ng.rand(100_003).numpy(), ng.randn(100_003).numpy(), ng.randint(0, 1000, (50_001,)).numpy(), ng.randperm(10_007).numpy()]

    found = draw()
    ng.set_num_threads(1)
    assert same(found, draw())
