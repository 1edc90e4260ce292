"""The kernels of ``softmax`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.softmax import _cuda_columns as columns
from numbagrad.kernels.softmax import _cuda_entropy as entropy
from numbagrad.kernels.softmax import _cuda_losses as losses
from numbagrad.kernels.softmax import _cuda_rows as rows
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

SINGLE, DOUBLE, HALF, BRAIN = _dtypes.float32, _dtypes.float64, _dtypes.float16, _dtypes.bfloat16
# A width for every way that rows are shared out, the elements of a vector, and how many threads of one multiprocessor there shall be room for at least.
# The rows that a warp holds have the most loads under way, and so need the fewest threads.
WIDTHS = {
    "part of a warp": (10, 2, 1024), "warp": (1024, 4, 640), "warp, odd": (1023, 1, 512), "256": (4096, 4, 1024), "256, odd": (4095, 1, 768),
    "512": (8192, 4, 1024), "1024": (16384, 4, 1024), "looped": (50256, 4, 1024), "looped, odd": (50257, 1, 1024),
}  # fmt: skip


class Case(NamedTuple):
    """A kernel, the threads that a multiprocessor should have room for, the type of its arithmetic; the widths that all its loads and all its stores have,
    where that is known, and how many loads there are, where a row is read once; whether some of the loads are of 16 bytes."""

    make: Callable[[], Any]
    threads: int
    dtype: np.dtype = SINGLE
    loads: str = ""
    stores: str = ""
    count: int = 0
    vectors: bool = False


def _rows(name: str) -> dict[str, Case]:
    """A row that is held is read once."""
    width, lanes, room = WIDTHS[name]
    plan, wide = rows.plan(width, lanes, SINGLE), {1: "E", 2: "E.64", 4: "E.128"}[lanes]
    held = plan.vectors if plan.held else 0
    of = {}
    for log, label in ((False, "softmax"), (True, "log_softmax")):
        of[f"{label} {name}"] = Case(lambda log=log: rows.softmax(SINGLE, plan, log), room, SINGLE, wide, wide, held)
        of[f"{label} backward {name}"] = Case(lambda log=log: rows.softmax_backward(SINGLE, plan, log), room, SINGLE, wide, wide, 2 * held)
    return of


def _rows_of(dtype: np.dtype) -> dict[str, Case]:
    of = {}
    for width in (512, 50256):
        plan, label = rows.plan(width, 16 // dtype.itemsize, dtype), f"{_dtypes.name(dtype)} {width}"
        of[f"softmax {label}"] = Case(lambda plan=plan: rows.softmax(dtype, plan, False), 512, dtype, "E.128")
        of[f"log_softmax backward {label}"] = Case(lambda plan=plan: rows.softmax_backward(dtype, plan, True), 512, dtype, "E.128")
    return of


def _columns(label: str, plan: columns.Plan) -> dict[str, Case]:
    of = {}
    for log, name in ((False, "softmax"), (True, "log_softmax")):
        of[f"{name} of columns, {label}"] = Case(lambda log=log: columns.softmax(SINGLE, plan, log), 1024)
        of[f"{name} of columns backward, {label}"] = Case(lambda log=log: columns.softmax_backward(SINGLE, plan, log), 1024)
    for soft, name in ((False, "classes"), (True, "shares")):
        of[f"entropy of columns, {name}, {label}"] = Case(lambda soft=soft: entropy.columns(SINGLE, SINGLE, plan, soft, True, True), 1024)
    return of


def _entropy(name: str) -> dict[str, Case]:
    width, lanes, room = WIDTHS[name]
    plan = rows.plan(width, lanes, SINGLE)
    return {
        f"entropy {name} {' '.join(map(str, flags))}": Case(
            lambda flags=flags: entropy.rows(SINGLE, SINGLE, plan, *flags), room, vectors=lanes == 4
        )
        for flags in ((False, False, False), (False, True, True), (True, True, True))
    }


def _entropy_of(dtype: np.dtype) -> dict[str, Case]:
    plan, compute = rows.plan(512, 16 // dtype.itemsize, dtype), _dtypes.compute_dtype(dtype)
    return {f"entropy {_dtypes.name(dtype)}": Case(lambda: entropy.rows(dtype, compute, plan, False, True, True), 512, dtype)}


def _slopes(across: bool) -> dict[str, Case]:
    """``across``: vectors of positions, else of classes."""
    of, label = {}, "positions" if across else "classes"
    for index, flags in SLOPES:
        name = f"slope {label} {' '.join(map(str, flags))}"
        make = lambda index=index, flags=flags: losses.slope(SINGLE, 4, index, across, *flags)
        of[name] = Case(make, 1024, stores="E.128", vectors=flags[-1])
    of[f"slope {label} bfloat16"] = Case(lambda: losses.slope(BRAIN, 8, np.uint32, across, False, False, False, True), 1024)
    return of


# What the gradient of scores counts in; whether the target is soft, there are weights, smoothing and powers.
SLOPES = (
    (np.uint32, (False, False, False, True)),
    (np.uint32, (False, True, True, False)),
    (np.uint64, (True, True, True, True)),
)
MANY, FEW = columns.plan(1 << 20, 1000), columns.plan(100, 1000)
CASES = {
    **{name: case for width in WIDTHS for name, case in _rows(width).items()},
    **{name: case for dtype in (DOUBLE, HALF, BRAIN) for name, case in _rows_of(dtype).items()},
    **_columns("many", MANY),
    **_columns("few", FEW),
    **{name: case for width in WIDTHS for name, case in _entropy(width).items()},
    **{name: case for dtype in (DOUBLE, BRAIN) for name, case in _entropy_of(dtype).items()},
    **_slopes(False),
    **_slopes(True),
    "nll": Case(lambda: losses.nll(SINGLE, SINGLE, True), 1024),
    "parts of a sum": Case(lambda: losses.add_up(SINGLE, False), 1024),
    "sum": Case(lambda: losses.add_up(BRAIN, True), 1024),
}
KERNELS = Kernels({name: case.make for name, case in CASES.items()})


@architectures
@pytest.mark.parametrize("name", CASES)
def test_compiled(name, arch):
    _, threads, dtype, load, store, count, vectors = CASES[name]
    code = KERNELS.code(name, arch)
    assert code.usage.shared <= 16 << 10
    opcodes = checked(code, threads, dtype == DOUBLE)
    loads, stores = ([op for op in opcodes if op.startswith(kind)] for kind in ("LDG", "STG"))
    assert not load or set(loads) == {f"LDG.{load}"}
    assert not store or set(stores) == {f"STG.{store}"}
    assert not count or len(loads) == count
    assert not vectors or "LDG.E.128" in loads


def test_ways_of_rows_and_columns():
    """Each width of the table is shared out in a way of its own."""
    assert MANY == (128, 1) and FEW == (32, 16)
    for name, (width, lanes, _) in WIDTHS.items():
        plan = rows.plan(width, lanes, SINGLE)
        assert plan.held == (not name.startswith("looped")) and str(plan.team) in name + "832" + "1024"
