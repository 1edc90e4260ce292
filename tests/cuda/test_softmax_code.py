"""The kernels of ``softmax`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels.softmax import _cuda_columns as columns
from numbagrad.kernels.softmax import _cuda_entropy as entropy
from numbagrad.kernels.softmax import _cuda_losses as losses
from numbagrad.kernels.softmax import _cuda_rows as rows
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

SINGLE, DOUBLE, HALF, BRAIN = _dtypes.float32, _dtypes.float64, _dtypes.float16, _dtypes.bfloat16
_REGISTERS = 65536  # of a multiprocessor

# A width for every way that rows are shared out, the elements of a vector, and how many threads of one multiprocessor there shall be room for at least.
# The rows that a warp holds have the most loads under way, and so need the fewest threads.
WIDTHS = {
    "part of a warp": (10, 2, 1024), "warp": (1024, 4, 640), "warp, odd": (1023, 1, 512), "256": (4096, 4, 1024), "256, odd": (4095, 1, 768),
    "512": (8192, 4, 1024), "1024": (16384, 4, 1024), "looped": (50256, 4, 1024), "looped, odd": (50257, 1, 1024),
}  # fmt: skip


def _check(kernel, threads: int, room: int, dtype=SINGLE, capabilities=((8, 0), (9, 0))) -> list[str]:
    found: list[str] = []
    for capability in capabilities:
        code = kernel.build(capability).code
        used = usage(code)
        assert used.stack == 0 and used.shared <= 16 << 10
        granted = -(-used.registers // 8) * 8  # a warp is given multiples of 256
        assert _REGISTERS // (granted * threads) * threads >= room, used
        if disassembler() is not None:
            found = instructions(code)
            assert not [line for line in found if opcode(line).startswith(("LDL", "STL"))], "spilled"
            assert bool(doubles(found)) == (dtype == DOUBLE)
    return found


def _moves(code: list[str], kind: str) -> set[str]:
    return {opcode(line) for line in code if opcode(line).startswith(kind)}


@pytest.mark.parametrize("name", WIDTHS)
def test_rows(name):
    width, lanes, room = WIDTHS[name]
    plan = rows.plan(width, lanes, SINGLE)
    assert plan.held == (not name.startswith("looped")) and str(plan.team) in name + "832" + "1024"
    for log in (False, True):
        for kernel in (rows.softmax(SINGLE, plan, log), rows.softmax_backward(SINGLE, plan, log)):
            code = _check(kernel, plan.block, room, SINGLE, ((8, 0), (9, 0)) if name in ("warp", "256", "looped") else ((9, 0),))
            if code:
                wide = {1: "E", 2: "E.64", 4: "E.128"}[lanes]
                assert _moves(code, "LDG") == {f"LDG.{wide}"} and _moves(code, "STG") == {f"STG.{wide}"}
                loads = sum(opcode(line).startswith("LDG") for line in code)
                held = plan.vectors * (1 if kernel.name == "softmax" else 2)
                assert loads == held if plan.held else loads > held  # a row that is held is read once


@pytest.mark.parametrize("dtype", [DOUBLE, HALF, BRAIN], ids=_dtypes.name)
def test_rows_of_other_types(dtype):
    lanes = 16 // dtype.itemsize
    for width in (512, 50256):
        plan = rows.plan(width, lanes, dtype)
        for kernel in (rows.softmax(dtype, plan, False), rows.softmax_backward(dtype, plan, True)):
            code = _check(kernel, plan.block, 512, dtype, ((9, 0),))
            assert not code or _moves(code, "LDG") == {"LDG.E.128"}


@pytest.mark.parametrize("few", [False, True], ids=["many", "few"])
def test_columns(few):
    plan = columns.plan(100 if few else 1 << 20, 1000)
    assert plan == ((32, 16) if few else (128, 1))
    for log in (False, True):
        for kernel in (columns.softmax(SINGLE, plan, log), columns.softmax_backward(SINGLE, plan, log)):
            _check(kernel, plan.across * plan.down, 1024, SINGLE, ((9, 0),))
    for soft in (False, True):
        _check(entropy.columns(SINGLE, SINGLE, plan, soft, True, True), plan.across * plan.down, 1024, SINGLE, ((9, 0),))


@pytest.mark.parametrize("name", ["part of a warp", "warp", "256, odd", "looped", "looped, odd"])
def test_cross_entropy(name):
    width, lanes, room = WIDTHS[name]
    plan = rows.plan(width, lanes, SINGLE)
    for flags in ((False, False, False), (False, True, True), (True, True, True)):
        code = _check(entropy.rows(SINGLE, SINGLE, plan, *flags), plan.block, room, SINGLE, ((9, 0),))
        assert not code or lanes < 4 or "LDG.E.128" in _moves(code, "LDG")


def test_cross_entropy_of_other_types():
    for dtype in (DOUBLE, BRAIN):
        plan = rows.plan(512, 16 // dtype.itemsize, dtype)
        _check(entropy.rows(dtype, _dtypes.compute_dtype(dtype), plan, False, True, True), plan.block, 512, dtype, ((9, 0),))


@pytest.mark.parametrize("across", [False, True], ids=["classes", "positions"])
def test_gradient_of_scores(across):
    for index, flags in (
        (np.uint32, (False, False, False, True)),
        (np.uint32, (False, True, True, False)),
        (np.uint64, (True, True, True, True)),
    ):
        code = _check(losses.slope(SINGLE, 4, index, across, *flags), 256, 1024, SINGLE, ((9, 0),))
        if code:
            assert _moves(code, "STG") == {"STG.E.128"}
            assert "LDG.E.128" in _moves(code, "LDG") or not flags[-1]
    _check(losses.slope(BRAIN, 8, np.uint32, across, False, False, False, True), 256, 1024, SINGLE, ((9, 0),))


def test_sums():
    _check(losses.nll(SINGLE, SINGLE, True), 256, 1024)
    _check(losses.add_up(SINGLE, False), losses.SUMMING, 1024)
    _check(losses.add_up(BRAIN, True), losses.SUMMING, 1024)
