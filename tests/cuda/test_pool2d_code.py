"""The kernels of ``pool2d`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels.pool2d import _cuda_average as average
from numbagrad.kernels.pool2d import _cuda_max as maximum
from numbagrad.kernels.pool2d import _cuda_teams as teams
from numbagrad.kernels.pool2d._cuda_windows import LONG, SHORT
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

SINGLE, DOUBLE, BRAIN, BYTE = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16, _dtypes.uint8
A100, H200 = (8, 0), (9, 0)

KERNELS = {
    "max 2x2": lambda d, c: maximum.windows(d, c, (2, 2)),
    "max 3x3": lambda d, c: maximum.windows(d, c, (3, 3)),
    "max": lambda d, c: maximum.windows(d, c, (0, 0)),
    "max backward": lambda d, c: maximum.windows_backward(d, c, False),
    "adaptive max": lambda d, c: maximum.adaptive(d, c),
    "adaptive max backward": lambda d, c: maximum.windows_backward(d, c, True),
    "max, warp": lambda d, c: teams.maximum(d, c, 32),
    "max, block": lambda d, c: teams.maximum(d, c, 256),
    "average 2x2": lambda d, c: average.windows(d, c, (2, 2)),
    "average": lambda d, c: average.windows(d, c, (0, 0)),
    "average backward": lambda d, c: average.windows_backward(d, c),
    "adaptive average": lambda d, c: average.adaptive(d, c),
    "adaptive average backward": lambda d, c: average.adaptive_backward(d, c),
    "average, warp": lambda d, c: teams.average(d, c, 32),
    "average, block": lambda d, c: teams.average(d, c, 256),
}


def _check(kernel, capability, registers: int, dtype=SINGLE) -> list[str]:
    code = kernel.build(capability).code
    used = usage(code)
    assert used.stack == 0 and used.registers <= registers
    if disassembler() is None:
        return []
    found = instructions(code)
    assert not [line for line in found if opcode(line).startswith(("LDL", "STL"))], "spilled"
    assert bool(doubles(found)) == (dtype == DOUBLE)
    return found


@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name):
    """As many threads as a multiprocessor has, of two kinds of device."""
    for capability in (A100, H200):
        _check(KERNELS[name](SINGLE, SHORT), capability, 32)


@pytest.mark.parametrize("name", ["max", "max backward", "average backward", "adaptive average backward"])
def test_counted_in_64_bits(name):
    _check(KERNELS[name](SINGLE, LONG), H200, 64)


@pytest.mark.parametrize("dtype", [BRAIN, BYTE], ids=_dtypes.name)
def test_other_types(dtype):
    for name in ("max 2x2", "max backward", "max, warp"):
        _check(KERNELS[name](dtype, SHORT), H200, 40, dtype)
    _check(maximum.scatter(dtype), H200, 40, dtype)


def test_double():
    for name in ("average", "average backward"):
        _check(KERNELS[name](DOUBLE, SHORT), H200, 40, DOUBLE)


def test_indices():
    _check(maximum.scatter(SINGLE), H200, 40)
    for index in (np.uint32, np.uint64):
        _check(maximum.gather(SINGLE, index), H200, 32)


@pytest.mark.parametrize("dtype", [SINGLE, BRAIN, BYTE], ids=_dtypes.name)
def test_tiles_are_moved_by_vectors(dtype):
    lanes = 16 // dtype.itemsize
    for capability in (A100, H200) if dtype == SINGLE else (H200,):
        forward = _check(maximum.tiles(dtype, lanes, SHORT), capability, 64, dtype)
        backward = _check(maximum.tiles_backward(dtype, lanes, SHORT), capability, 80, dtype)
        if forward and backward:
            assert [opcode(line) for line in forward if opcode(line).startswith("LDG")] == ["LDG.E.128"] * 2
            assert {opcode(line) for line in backward if opcode(line).startswith("STG")} == {"STG.E.128"}
