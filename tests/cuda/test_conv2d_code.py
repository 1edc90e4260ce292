"""The convolutions compiled for CUDA without a device: registers, stack, float64 instructions, loads of 128 bits, how dense the multiply-adds lie."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels.conv2d import _cuda_direct, _cuda_gemm, _cuda_sums, _cuda_units, _cuda_weight
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

FLOAT32, FLOAT64, BFLOAT16, FLOAT16, INT8 = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16, _dtypes.float16, _dtypes.int8
# Each tile in one type at least; steps of several taps ("mixed") for what a first layer takes.
FORWARD = {
    **{f"float32 {i}": (FLOAT32, tile, i == 3) for i, tile in enumerate(_cuda_gemm.SINGLE)},
    **{f"float64 {i}": (FLOAT64, tile, False) for i, tile in enumerate(_cuda_gemm.DOUBLE)},
    **{f"tensor {i}": ((BFLOAT16, FLOAT32, FLOAT16, FLOAT32)[i], tile, i == 3) for i, tile in enumerate(_cuda_gemm.TENSOR)},
}
WEIGHT = {
    **{f"float32 {i}": (FLOAT32, tile) for i, tile in enumerate(_cuda_weight.SINGLE)},
    "float64 0": (FLOAT64, _cuda_weight.DOUBLE[0]),
    **{f"tensor {i}": ((FLOAT32, BFLOAT16, FLOAT16)[i], tile) for i, tile in enumerate(_cuda_weight.TENSOR)},
}
OTHERS = {
    "direct, depthwise": (lambda: _cuda_direct.direct(FLOAT32, 1, 3, 3), 64),
    "direct, four outputs": (lambda: _cuda_direct.direct(FLOAT32, 4, 3, 3), 80),
    "direct, bfloat16": (lambda: _cuda_direct.direct(BFLOAT16, 1, 3, 3), 64),
    "direct weight": (lambda: _cuda_direct.direct_weight(FLOAT32), 40),
    "parts": (lambda: _cuda_sums.adder(FLOAT32), 40),
    "planes": (lambda: _cuda_sums.plane_summer(FLOAT32), 40),
}
# The largest tile for both kinds of devices; compiling takes long.
BOTH = [(name, c) for c in ((8, 0), (9, 0)) for name in FORWARD if c == (9, 0) or name.endswith(" 0")]
BOTH_WEIGHTS = [(name, c) for c in ((8, 0), (9, 0)) for name in WEIGHT if c == (9, 0) or name.endswith(" 0")]


def _checked(code: bytes, dtype: np.dtype, threads: int) -> list[str]:
    """The instructions of a kernel that spills nothing, and leaves room for 512 threads on a multiprocessor."""
    used = usage(code)
    assert used.stack == 0 and used.registers <= 128 and used.shared * (512 // threads) <= 160 << 10
    if disassembler() is None:
        pytest.skip("no nvdisasm")
    found = instructions(code)
    assert not [line for line in found if opcode(line).startswith(("LDL", "STL"))], "spilled"
    assert bool(doubles(found)) == (dtype == FLOAT64)
    return [opcode(line) for line in found]


def _dense(found: list[str], name: str, count: int) -> float:
    """How much of what stands from the first to the last of ``count`` instructions of that name is they."""
    places = [k for k, code in enumerate(found) if code.split(".")[0] == name]
    assert len(places) == count, "the loop over a step of the depth is not unrolled"
    return count / (places[-1] - places[0] + 1)


def _multiplied(found: list[str], dtype: np.dtype, tile: object) -> None:
    """The products of a step: all there, in vectors from shared memory, and dense for the large tiles."""
    u = _cuda_units.units(dtype, tile)
    if u.along_k:
        steps = tile.bytes // 32
        # A tensor core's instruction for TF32 takes half as much of the depth, which in bytes is the same.
        assert _dense(found, "HMMA", steps * u.sums // 4) > (0.6 if u.sums == 64 else 0.3)
        matrices = steps * (tile.warp_rows // 16 + tile.warp_columns // 16)
        assert found.count("LDSM.16.M88.4") == matrices
        return
    products = u.sums * u.depth
    density = _dense(found, "DFMA" if dtype == FLOAT64 else "FFMA", products)
    assert density > (0.9 if u.sums == 64 else 0.8 if u.sums == 32 else 0.6)
    vectors = u.depth * (tile.high + tile.wide) * np.dtype(u.element).itemsize // 16
    assert found.count("LDS.128") == vectors


@pytest.mark.parametrize("name, capability", BOTH)
def test_correlation(name, capability):
    dtype, tile, mixed = FORWARD[name]
    found = _checked(_cuda_gemm.correlator(dtype, tile, mixed).build(capability).code, dtype, tile.threads)
    _multiplied(found, dtype, tile)
    assert "LDG.E.128" in found and "STS.128" in found  # the weight
    assert any(code.startswith("STG.E") and code.endswith(("128", "64")) for code in found) or dtype in _dtypes.HALVES


@pytest.mark.parametrize("name, capability", BOTH_WEIGHTS)
def test_weight_gradient(name, capability):
    dtype, tile = WEIGHT[name]
    found = _checked(_cuda_weight.weight_correlator(dtype, tile).build(capability).code, dtype, tile.threads)
    _multiplied(found, dtype, tile)


@pytest.mark.parametrize("name", OTHERS)
def test_other_kernels(name):
    make, registers = OTHERS[name]
    code = make().build((9, 0)).code
    _checked(code, FLOAT32, 256)
    assert usage(code).registers <= registers


def test_packing():
    u = _cuda_units.units(INT8, _cuda_gemm.SINGLE[3])
    _checked(_cuda_gemm.packer(u.stored, u.element, u.read).build((8, 0)).code, INT8, 256)
