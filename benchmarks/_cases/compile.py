"""How long a user waits: importing, the first training step with and without compiled kernels in the cache, and each kernel's compilation.

Every sample is a new process; the clock starts in it before the library is imported, so that starting Python is nobody's cost.
"""

from __future__ import annotations

from collections.abc import Iterator

from .._declare import Goal, Metric, Once

IMPORT = """
import json, time
start = time.perf_counter()
import {library}
print(json.dumps({"": time.perf_counter() - start}))
"""

FIRST_STEP = """
import json, time
start = time.perf_counter()
import {library}
from benchmarks._cases.train import torch_step, jax_step
from benchmarks._libraries import LIBRARIES
step = STEP(LIBRARIES["{library}"](), "mlp", 64)
loss = float(step())
print(json.dumps({"": time.perf_counter() - start}))
"""

FIRST_ADD = """
import json, time
start = time.perf_counter()
import {library} as lib
(lib.ones(3) + lib.ones(3)).tolist()
print(json.dumps({"": time.perf_counter() - start}))
"""

# Numba reports each function that it compiles, and inside of it those that it inlines there: the outermost ones are the kernels.
KERNELS = """
import collections, json, time
from numba.core import event
from benchmarks._cases.train import torch_step
from benchmarks._libraries import LIBRARIES

class Kernels(event.Listener):
    def __init__(self):
        self.open, self.seconds = [], collections.Counter()
    def on_start(self, found):
        self.open.append(time.perf_counter())
    def on_end(self, found):
        start = self.open.pop()
        if not self.open:
            function = found.data["dispatcher"].py_func
            family = function.__module__.removeprefix("numbagrad.kernels.")
            self.seconds[family + ": " + function.__name__] += time.perf_counter() - start

kernels = Kernels()
event.register("numba:compile", kernels)
for name in NETWORKS:
    torch_step(LIBRARIES["numbagrad"](), name, 64)()
seconds = dict(kernels.seconds.most_common(LONGEST))
print(json.dumps({"all " + str(len(kernels.seconds)) + " of MLP, LeNet and CNN": sum(kernels.seconds.values())} | seconds))
"""


def cases() -> Iterator[Once]:
    steps = {"torch": FIRST_STEP.replace("STEP(", "torch_step("), "jax": FIRST_STEP.replace("STEP(", "jax_step(")}
    everybody = dict.fromkeys(("torch", "numpy", "jax", "tinygrad"), IMPORT)
    yield Once("compile", "start", "import", everybody, {"": Metric(goals=(Goal("", at_most=0.4),))}, samples=5, quick=True)
    yield Once("compile", "start", "first a + b, empty cache", {"torch": FIRST_ADD}, samples=3, cache="empty")
    cold, warm = Metric(goals=(Goal("", at_most=10.0),)), Metric(goals=(Goal("", at_most=1.0),))
    yield Once("compile", "start", "first MLP step with import, empty cache", steps, {"": cold}, samples=2, cache="empty")
    yield Once("compile", "start", "first MLP step with import, warm cache", steps, {"": warm}, samples=5)
    source = KERNELS.replace("NETWORKS", repr(("mlp", "lenet", "cnn"))).replace("LONGEST", "20")
    yield Once("compile", "kernels", "kernel", {"numbagrad": source}, samples=1, cache="empty")
