"""The convolutions compiled for CUDA without a device: registers, stack, float64 instructions, loads of 128 bits, how dense the multiply-adds lie."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.conv2d import _cuda_direct, _cuda_gemm, _cuda_sums, _cuda_units, _cuda_weight
from tests.cuda.cubin import Code, Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

FLOAT32, FLOAT64, BFLOAT16, FLOAT16, INT8 = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16, _dtypes.float16, _dtypes.int8
# Each tile, in each type of tensor cores; steps of several taps ("mixed") for what a first layer takes.
FORWARD = {
    **{f"float32 {i}": (FLOAT32, tile, False) for i, tile in enumerate(_cuda_gemm.SINGLE)},
    "float32 3 mixed": (FLOAT32, _cuda_gemm.SINGLE[3], True),
    **{f"float64 {i}": (FLOAT64, tile, False) for i, tile in enumerate(_cuda_gemm.DOUBLE)},
    **{f"{_dtypes.name(d)} tensor {i}": (d, tile, False) for d in (BFLOAT16, FLOAT32) for i, tile in enumerate(_cuda_gemm.TENSOR)},
    "float16 tensor 0": (FLOAT16, _cuda_gemm.TENSOR[0], False),
    "float32 tensor 3 mixed": (FLOAT32, _cuda_gemm.TENSOR[3], True),
}
WEIGHT = {
    **{f"float32 {i}": (FLOAT32, tile) for i, tile in enumerate(_cuda_weight.SINGLE)},
    "float64 0": (FLOAT64, _cuda_weight.DOUBLE[0]),
    **{f"{_dtypes.name(d)} tensor {i}": (d, tile) for d in (BFLOAT16, FLOAT32) for i, tile in enumerate(_cuda_weight.TENSOR)},
    "float16 tensor 2": (FLOAT16, _cuda_weight.TENSOR[2]),
}
_PACKED = _cuda_units.units(INT8, _cuda_gemm.SINGLE[3])
# The others, and the threads that a multiprocessor should have room for.
OTHERS: dict[str, tuple[Callable[[], Any], int]] = {
    "direct, depthwise": (lambda: _cuda_direct.direct(FLOAT32, 1, 3, 3), 1024),
    "direct, four outputs": (lambda: _cuda_direct.direct(FLOAT32, 4, 3, 3), 768),
    "direct, bfloat16": (lambda: _cuda_direct.direct(BFLOAT16, 1, 3, 3), 1024),
    "direct weight": (lambda: _cuda_direct.direct_weight(FLOAT32), 1536),
    "parts": (lambda: _cuda_sums.adder(FLOAT32), 1536),
    "planes": (lambda: _cuda_sums.plane_summer(FLOAT32), 1536),
    "packing": (lambda: _cuda_gemm.packer(_PACKED.stored, _PACKED.element, _PACKED.read), 512),
}
CORRELATORS = Kernels({name: lambda case=case: _cuda_gemm.correlator(*case) for name, case in FORWARD.items()})
WEIGHT_CORRELATORS = Kernels({name: lambda case=case: _cuda_weight.weight_correlator(*case) for name, case in WEIGHT.items()})
REST = Kernels({name: make for name, (make, _) in OTHERS.items()})


def _checked(code: Code, dtype: np.dtype, threads: int) -> list[str]:
    """The opcodes of a kernel that leaves room, registers and shared memory, for 512 threads on a multiprocessor."""
    assert code.usage.shared * (512 // threads) <= 160 << 10
    return checked(code, 512, dtype == FLOAT64)


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


@architectures
@pytest.mark.parametrize("name", FORWARD)
def test_correlation(name, arch):
    dtype, tile, _ = FORWARD[name]
    found = _checked(CORRELATORS.code(name, arch), dtype, tile.threads)
    _multiplied(found, dtype, tile)
    assert "LDG.E.128" in found and "STS.128" in found  # the weight
    assert any(code.startswith("STG.E") and code.endswith(("128", "64")) for code in found) or dtype in _dtypes.HALVES


@architectures
@pytest.mark.parametrize("name", WEIGHT)
def test_weight_gradient(name, arch):
    dtype, tile = WEIGHT[name]
    _multiplied(_checked(WEIGHT_CORRELATORS.code(name, arch), dtype, tile.threads), dtype, tile)


@architectures
@pytest.mark.parametrize("name", OTHERS)
def test_other_kernels(name, arch):
    checked(REST.code(name, arch), OTHERS[name][1])
