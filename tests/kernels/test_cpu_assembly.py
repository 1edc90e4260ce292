"""A float32 kernel computes in float32, and its hot loops compute on vectors: read off the compiled code of every family.

Each family's operations run forward and backward in a process of their own, on float32 tensors alone.  Every kernel that was compiled there, or
came from the cache, is looked at (tests/machine_code.py): no innermost loop may hold a float64 instruction, and the kernels named below
must compute (or, where there is nothing to compute, move) several elements at a time.  The formulas' loops have tests of their own next
to theirs; here they come in as parts of larger operations.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.kernels._cpu import kernel, simd
from tests.machine_code import bodies, compiled_text, computes_packed, element_float64, innermost_loops, loops, moves_packed, optimised

pytestmark = pytest.mark.skipif(not simd.COMPILED, reason="there is no compiled code under NUMBA_DISABLE_JIT")
ROOT = Path(__file__).resolve().parents[2]

# Kernels whose innermost loops may hold float64, by module and name, and why.
FLOAT64 = {
    "copy._cast._convert": "a conversion from or to float64 is what was asked for",
    "norm._batch.join_moments": "joins one float64 mean and sum of squares per plane",
    "norm._batch.join_products": "joins two float64 sums per plane",
    "norm._batch.plane_products": "zeros for the sums of planes without elements",
    "norm._batch.features": "adds the float32 sums of 64 rows to float64 ones; then once per channel",
    "norm._batch.features_backward": "adds the float32 sums of 64 rows to float64 ones; then once per channel",
    "norm._batch.running": "once per channel",
    "norm._batch.fixed": "once per channel",
    "norm._sums.add_blocks": "adds up the blocks' partial sums",
    "pool2d._average.adaptive_average": "one division per window",
    "softmax._losses.finish": "adds up the blocks' partial sums",
    "softmax._entropy.finish": "adds up the blocks' partial sums",
    "softmax._entropy.forward": "adds up the blocks' partial sums",
}


def tensor(*shape: int, seed: int = 0) -> ng.Tensor:
    return ng.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), requires_grad=True)


def integers(*shape: int, below: int) -> ng.Tensor:
    return ng.tensor(np.random.default_rng(1).integers(0, below, shape))


def both(operation: Callable[..., ng.Tensor], *shapes: tuple[int, ...]) -> None:
    """The operation's value and gradients, of random arguments of these shapes."""
    y = operation(*(tensor(*shape, seed=seed) for seed, shape in enumerate(shapes)))
    y.backward(ng.ones(y.shape))


def matmul() -> None:
    both(lambda a, b: a @ b, (130, 140), (140, 150))
    both(lambda a, b: a @ b, (9, 33, 40), (9, 40, 41))
    both(F.linear, (32, 64), (48, 64), (48,))


def thin_matmul() -> None:
    both(lambda a, b: a @ b, (100, 203), (203,))
    both(lambda a, b: a @ b, (203,), (203, 100))
    both(lambda a, b: a @ b, (1000,), (1000,))


def convolution() -> None:
    def convolve(images: tuple[int, ...], weight: tuple[int, ...], **options: int) -> None:
        both(lambda x, w, b: F.conv2d(x, w, b, **options), images, weight, weight[:1])

    convolve((8, 1, 28, 28), (32, 1, 3, 3))  # few channels: lanes over pixels
    convolve((4, 32, 28, 28), (64, 32, 3, 3), padding=1)  # many: lanes over channels
    convolve((64, 32, 4, 4), (32, 32, 3, 3), padding=1)  # small planes: lanes over images
    convolve((64, 16, 5, 5), (120, 16, 5, 5))  # one output pixel
    convolve((4, 64, 28, 28), (64, 1, 3, 3), padding=1, groups=64)  # depthwise
    convolve((4, 64, 7, 7), (64, 1, 3, 3), padding=1, groups=64)  # depthwise, plane by plane
    convolve((4, 16, 28, 28), (32, 16, 3, 3), padding=1, stride=2)
    convolve((4, 64, 9, 9), (64, 64, 7, 7))  # the input's gradient tap by tap


def pooling() -> None:
    both(lambda x: F.max_pool2d(x, 2), (4, 8, 28, 28))
    both(lambda x: F.max_pool2d(x, 3, 2, 1), (4, 8, 29, 29))
    both(lambda x: F.max_pool2d(x, 3, 3), (4, 8, 60, 60))
    both(lambda x: F.adaptive_max_pool2d(x, 1), (4, 8, 29, 29))
    both(lambda x: F.avg_pool2d(x, 2), (4, 8, 28, 28))
    both(lambda x: F.avg_pool2d(x, 3, 3), (4, 8, 60, 60))
    both(lambda x: F.adaptive_avg_pool2d(x, 4), (4, 8, 29, 29))
    both(lambda x: F.adaptive_avg_pool2d(x, 1), (4, 8, 29, 29))


def batch_norm() -> None:
    for shape in ((6, 8, 14, 14), (60, 8)):
        for training in (True, False):
            both(lambda x, w, b: F.batch_norm(x, ng.zeros(8), ng.ones(8), w, b, training), shape, (8,), (8,))


def layer_norm() -> None:
    both(lambda x, w, b: F.layer_norm(x, (96,), w, b), (300, 96), (96,), (96,))
    both(lambda x, w, b: F.layer_norm(x, (10,), w, b), (300, 10), (10,), (10,))


def softmax() -> None:
    for operation in (ng.softmax, ng.log_softmax):
        for shape, dim in (((30, 100), 1), ((300, 10), 1), ((4, 5, 64), 1)):
            both(lambda x: operation(x, dim), shape)


def cross_entropy() -> None:
    labels = integers(64, below=10)
    both(lambda x: F.cross_entropy(x, labels), (64, 10))
    both(lambda x: F.cross_entropy(x, labels, label_smoothing=0.1), (64, 10))
    both(lambda x: F.cross_entropy(x, labels, reduction="none"), (64, 10))
    both(lambda x: F.cross_entropy(x, labels), (64, 100))
    both(lambda x: F.cross_entropy(x, integers(8, 5, 5, below=10)), (8, 10, 5, 5))
    both(lambda x: F.cross_entropy(x, tensor(64, 10).detach()), (64, 10))


def reductions() -> None:
    for reduce in (ng.sum, ng.mean, ng.amax, ng.var):
        for dim in (None, 0, 1):
            both(lambda x: reduce(x, dim=dim) if dim is not None else reduce(x), (300, 70))
    for dim in (0, 1):
        tensor(300, 70).argmax(dim)
        both(lambda x: x.cumsum(dim), (300, 70))


def updates() -> None:
    def steps(optimizer: Any, **options: float) -> None:
        parameters = [tensor(300), tensor(40, 40)]
        for p in parameters:
            p.grad = tensor(*p.shape).detach()
        update = optimizer(parameters, **options)
        for _ in range(2):
            update.step()

    steps(ng.optim.SGD, lr=0.1)
    steps(ng.optim.SGD, lr=0.1, momentum=0.9)
    steps(ng.optim.Adam)
    steps(ng.optim.Adam, amsgrad=True)
    steps(ng.optim.AdamW)
    steps(ng.optim.RMSprop)
    steps(ng.optim.Adagrad)
    p = tensor(300)
    p.grad = tensor(300).detach()
    ng.nn.utils.clip_grad_norm_([p], 1.0)


def indexing() -> None:
    rows = integers(200, below=64)
    both(lambda x: x[rows], (64, 70))
    both(lambda x: x.index_select(1, rows), (20, 64))
    both(lambda x: x.gather(1, rows.reshape(20, 10)), (20, 64))
    both(lambda x, s: x.scatter_add(1, rows.reshape(20, 10), s), (20, 64), (20, 10))
    both(lambda x, s: x.index_add(0, rows, s), (64, 33), (200, 33))
    both(lambda w: F.embedding(rows, w), (64, 33))


def copies() -> None:
    both(lambda x: x.T.contiguous(), (640, 330))
    both(lambda x: x[:, 1:300].contiguous(), (300, 401))
    both(lambda x: x[::2].contiguous(), (300_001,))
    both(lambda x, y: ng.cat([x, y], 1), (640, 330), (640, 7))


def random() -> None:
    ng.rand(1000)
    ng.randn(1000)
    ng.empty(1000).exponential_()
    both(lambda x: F.dropout(x, 0.3), (100, 50))


def recurrent() -> None:
    for layer in (ng.nn.RNN, ng.nn.LSTM, ng.nn.GRU):
        both(lambda x: layer(70, 70)(x)[0], (6, 9, 70))


class Family(NamedTuple):
    operations: Callable[[], None]
    computes: str  # the kernels that must compute on vectors
    moves: str = ""  # those that have little to compute and must move several elements at a time


FAMILIES = {
    "matmul": Family(matmul, "matmul._gemm.products"),
    "thin matmul": Family(thin_matmul, "matmul._vector.rows matmul._vector.columns"),
    "conv2d": Family(
        convolution,
        """conv2d._engine.correlate conv2d._engine.correlate_weight conv2d._engine.finish_weight conv2d._images.convolve
        conv2d._depthwise.depthwise conv2d._direct.tap_sums conv2d._direct.channel_sums""",
        "conv2d._engine.pack_weights conv2d._images.turn_images conv2d._images.pack_taps conv2d._direct.place_columns",
    ),
    "pool2d": Family(
        pooling,
        """pool2d._max.max_tiles_vector pool2d._max.max_windows_vector pool2d._max.adaptive_max_vector pool2d._average.average_windows_vector
        pool2d._average.average_windows pool2d._average.average_windows_backward pool2d._average.average_planes
        pool2d._average.adaptive_average pool2d._average.adaptive_average_backward""",
        "pool2d._max.scatter",
    ),
    "batch norm": Family(
        batch_norm,
        """norm._batch.plane_moments norm._batch.normalize norm._batch.plane_products norm._batch.plane_slopes norm._batch.features
        norm._batch.features_backward norm._batch.normalize_features""",
    ),
    "layer norm": Family(
        layer_norm,
        "norm._layer_rows.forward norm._layer_rows.backward norm._layer_lanes.forward norm._layer_lanes.backward",
        "norm._sums.add_blocks",
    ),
    "softmax": Family(
        softmax,
        """softmax._rows.softmax softmax._rows.softmax_backward softmax._rows.log_softmax softmax._rows.log_softmax_backward
        softmax._lanes.softmax softmax._lanes.softmax_backward softmax._lanes.log_softmax softmax._lanes.log_softmax_backward""",
    ),
    "cross-entropy": Family(
        cross_entropy,
        "softmax._entropy.forward softmax._entropy.backward softmax._losses.nll_backward softmax._losses.soft softmax._losses.soft_backward",
    ),
    "reduce": Family(
        reductions,
        """reduce._fold.reduce_row_blocks reduce._fold.reduce_blocks reduce.cpu.from_centre reduce._scan.first_in_rows
        reduce._scan.first_in_columns reduce._scan.cumsum reduce._scan.cumsum_rows""",
    ),
    "update": Family(
        updates,
        """update._steps.sgd update._steps.sgd_momentum update._steps.adam update._steps.amsgrad update._steps.rmsprop update._steps.adagrad
        update._steps.squares update._steps.scale""",
    ),
    "index": Family(indexing, "index._rows._put_add index._count._embedding_backward", "index._rows.take index._rows.get index._few.lines"),
    "copy": Family(copies, "", "copy._move.line copy._move.rows copy._move.blocks copy._move.join"),
    "recurrent": Family(
        recurrent,
        """recurrent._product.product recurrent._walk.rnn recurrent._walk.rnn_backward recurrent._walk.lstm recurrent._walk.lstm_backward
        recurrent._walk.gru recurrent._walk.gru_backward""",
        "recurrent._product.pack",
    ),
    "random": Family(
        random, "random.cpu._uniform32 random.cpu._normal32 random.cpu._exponential32 random.cpu._dropout random.cpu._masked_scale"
    ),
}


def collect(family: str, path: str) -> None:
    """Run a family's operations; write name and code of each kernel that they use to ``path``."""
    from numba.core.dispatcher import Dispatcher

    found = []
    add_overload = Dispatcher.add_overload

    def add(self: Any, compiled: Any) -> None:
        module = self.py_func.__module__.removeprefix("numbagrad.kernels.")
        if hasattr(self, "over_range") and module != "_cpu.entry":  # a kernel, and not the one that takes calls from Python
            found.append((f"{module}.{self.py_func.__name__}", optimised(compiled.library)))
        add_overload(self, compiled)

    Dispatcher.add_overload = add
    FAMILIES[family].operations()
    Path(path).write_bytes(pickle.dumps(found))


def faults(kernels: Iterable[tuple[str, str]], family: Family) -> list[str]:
    """What is wrong with these kernels."""
    found, computes, moves = [], family.computes.split(), family.moves.split()
    kernels = list(kernels)
    for name, text in kernels:
        wide = element_float64(text)
        if wide and name not in FLOAT64:
            found.append(f"{name}: float64 in an innermost loop: {wide[0]}")
        # One factory makes the kernels of all operations and dtypes: some of them work on booleans or integers.
        alike = [other for label, other in kernels if label == name]
        if name in computes and not any(map(computes_packed, alike)):
            found.append(f"{name}: no loop computes on vectors")
        if name in moves and not any(map(moves_packed, alike)):
            found.append(f"{name}: no loop moves vectors")
    # Which layout computes a shape depends on the width of the registers; the shapes above are chosen for this one.
    missing = {*computes, *moves} - {name for name, _ in kernels} if simd.INSTRUCTION_SET == "avx512" else set()
    return sorted({*found, *(f"{name}: not used by these operations any more" for name in missing)})


@pytest.mark.parametrize("name", FAMILIES)
def test_float32_kernels(name, tmp_path):
    code = "import sys; from tests.kernels.test_cpu_assembly import collect; collect(*sys.argv[1:])"
    path = tmp_path / "kernels"
    done = subprocess.run(
        [sys.executable, "-c", code, name, str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "NUMBAGRAD_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert faults(pickle.loads(path.read_bytes()), FAMILIES[name]) == []


# ---- the check itself -------------------------------------------------------------------------------------------------------------------


def good(lo, hi, out, x):
    for i in range(lo, hi):
        out[i] = x[i] * x[i]


def good_sum(lo, hi, out, x):
    """float64 once per block, float32 in it."""
    for row in range(lo, hi):
        total = 0.0
        for start in range(0, x.size, 512):
            block, part = x[start : start + 512], np.float32(0)
            for j in range(block.size):
                part += block[j]
            total += part
        out[row] = total


def widened(lo, hi, out, x):
    for i in range(lo, hi):
        out[i] = x[i] * 0.1


def widened_sum(lo, hi, out, x):
    for row in range(lo, hi):
        total = 0.0
        for j in range(x.size):
            total += x[j]
        out[row] = total


def widened_and_unrolled(lo, hi, out, x):
    """A loop of constant length has no jumps left that would show it."""
    for i in range(lo, hi):
        for j in range(16):
            out[16 * i + j] = x[16 * i + j] * 0.1
        for j in range(x.size):
            out[j] += x[j]


def serial(lo, hi, out, x):
    for i in range(lo, hi):
        for j in range(1, x.size):
            out[j] = x[j] * out[j - 1] + x[i]


def judged(body: Callable[..., None], kind: str = "computes") -> list[str]:
    dispatcher = kernel(reassociate=body is good_sum)(body)
    x = np.ones(64, np.float32)
    dispatcher(0, 4, x.copy(), x)
    (overload,) = dispatcher.overloads.values()
    name = body.__name__
    return [
        fault.partition(": ")[2]
        for fault in faults([(name, optimised(overload.library))], Family(lambda: None, **{"computes": "", kind: name}))
    ]


def test_good_kernels_pass():
    assert judged(good) == judged(good_sum) == judged(good, "moves") == []


@pytest.mark.parametrize("body", [widened, widened_sum, widened_and_unrolled])
def test_float64_is_found(body):
    (fault,) = judged(body)[:1]
    assert fault.startswith("float64 in an innermost loop: ") and "double" in fault


@pytest.mark.parametrize("kind, fault", [("computes", "no loop computes on vectors"), ("moves", "no loop moves vectors")])
def test_scalar_loops_are_found(kind, fault):
    assert judged(serial, kind) == [fault]


def test_unused_kernels_are_found(monkeypatch):
    monkeypatch.setattr(simd, "INSTRUCTION_SET", "avx512")
    assert faults([], Family(lambda: None, "a.b")) == ["a.b: not used by these operations any more"]


def test_loops():
    text = """define i32 @kernel(ptr %x) {
entry:
  br label %outer

outer:
  %a = fadd double %a, %a
  br i1 %p, label %inner, label %latch

inner:
  %b = fadd float %b, %b
  br i1 %q, label %inner, label %latch

latch:
  switch i64 %s, label %outer [
    i64 0, label %end
    i64 1, label %"other one"
  ]

"other one":
  %c = fmul double %c, %c
  br label %outer

end:
  %d = fmul double %d, %d
  ret i32 0
}

define i32 @cfunc.kernel(ptr %x) {
entry:
  br label %entry
}
"""
    assert [name for name, _ in bodies(text)] == ["kernel"]
    (inner,) = innermost_loops(text)
    assert "%b = fadd" in inner and "%a" not in inner
    around = loops(text)
    assert all(f"%{name} = " in around for name in "abc") and "%d = " not in around
    assert element_float64(text) == []
    assert element_float64(text.replace("fadd double", "fadd <8 x double>")) == ["%a = fadd <8 x double> %a, %a"]


def test_the_code_is_the_same_from_the_cache():
    """What the tests above read is mostly not compiled in their process."""

    def text() -> str:
        dispatcher = kernel(good)
        x = np.ones(64, np.float32)
        dispatcher(0, 64, x.copy(), x)
        return compiled_text(dispatcher)

    assert text() == text() != ""
