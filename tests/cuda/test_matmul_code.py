"""The kernels of ``matmul`` compiled for CUDA without a device: registers, stack, what their hot loops are made of, width of loads."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from tests.cuda.cubin import disassembler, doubles, instructions, loops, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

if not SIMULATED:
    from numbagrad.kernels.matmul import _cuda_parts, _cuda_plan, _cuda_simt, _cuda_tensor, _cuda_vector
    from numbagrad.kernels.matmul._cuda_kind import Ending, computed

A100, H200 = (8, 0), (9, 0)
REGISTERS = 65536  # of a multiprocessor
NT, NN, TN, TT = (True, True), (True, False), (False, False), (False, True)  # whether the unit strides of A and B are along k


def code_of(kernel: Any, capability: tuple[int, int], threads: int) -> tuple[Any, list[str]]:
    """What a kernel takes up, and its instructions: no stack, and registers for ``threads`` threads on a multiprocessor."""
    cubin = kernel.build(capability)
    used = usage(cubin.code)
    assert used.stack == 0 and used.registers * threads <= REGISTERS
    if disassembler() is None:
        pytest.skip("needs nvdisasm")
    found = instructions(cubin.code)
    assert not [line for line in found if opcode(line).startswith(("LDL", "STL"))], "spilled"
    return cubin.code, found


def hottest(code: bytes, instruction: str) -> tuple[Counter[str], float]:
    """How often each instruction is in the loop that has most of those that begin with ``instruction``, and their share."""

    def share(loop: list[str]) -> int:
        return sum(opcode(line).startswith(instruction) for line in loop)

    best = max(loops(code), key=share)
    return Counter(map(opcode, best)), share(best) / len(best)


def simt(dtype: np.dtype, tile: Any, along_k: tuple[bool, bool] = NN, aligned: bool = True, ending: Any = None) -> Any:
    lanes = _cuda_simt.shared_vector(dtype) if aligned else 1
    a, b = (_cuda_simt.Operand(way, lanes) for way in along_k)
    return _cuda_simt.product(dtype, tile, a, b, lanes, dtype, ending or Ending())


def tensor(dtype: np.dtype, tile: Any, along_k: tuple[bool, bool] = NN, aligned: bool = True, ending: Any = None) -> Any:
    lanes = _cuda_tensor.vector_of(dtype) if aligned else 1
    a, b = (_cuda_simt.Operand(way, lanes) for way in along_k)
    return _cuda_tensor.product(dtype, tile, a, b, 2 if aligned else 1, dtype, ending or Ending())


@pytest.mark.parametrize(
    "along_k, capability", [(NN, A100), (NN, H200), (NT, H200), (TN, H200), (TT, H200)], ids=["NN-80", "NN", "NT", "TN", "TT"]
)
def test_float32(along_k, capability):
    """The largest tile: 512 multiply-adds a step against 32 vectors from shared memory and one each of A and B from device memory."""
    code, found = code_of(simt(_dtypes.float32, _cuda_plan.TILES[4][0], along_k), capability, 512)
    assert not doubles(found)
    loop, share = hottest(code, "FFMA")
    assert loop["FFMA"] == 512 and share > 0.8
    assert loop["LDS.128"] == 32 and loop["LDG.E.128"] == 2
    assert loop["STS"] == 4 * sum(along_k) and loop["STS.128"] == 2 - sum(along_k)
    assert sum(count for name, count in loop.items() if name.startswith("BAR")) == 1
    assert any(opcode(line) == "STG.E.128" for line in found)


@pytest.mark.parametrize("capability", [A100, H200], ids=["sm_80", "sm_90a"])
def test_float32_at_any_address(capability):
    code, found = code_of(simt(_dtypes.float32, _cuda_plan.TILES[4][0], NN, False, Ending(True, "relu")), capability, 512)
    loop, share = hottest(code, "FFMA")
    assert loop["FFMA"] == 512 and share > 0.75 and loop["LDG.E"] == 8 and not doubles(found)


# The instruction that multiplies, how many a step takes of them, and their share of its loop.
STEPS = {
    ("float32", 1): ("FFMA", 256, 0.75),
    ("float32", 2): ("FFMA", 128, 0.6),
    ("float64", 0): ("DFMA", 256, 0.6),
    ("float64", 1): ("DFMA", 128, 0.5),
    ("complex64", 0): ("FFMA", 1024, 0.8),
    ("complex64", 1): ("FFMA", 512, 0.8),
    ("complex128", 0): ("DFMA", 512, 0.7),
    ("complex128", 1): ("DFMA", 512, 0.7),
    ("int8", 0): ("IMAD", 512, 0.75),
    ("int32", 0): ("IMAD", 512, 0.75),
    ("int64", 0): ("IMAD", 768, 0.5),
    ("bfloat16", 0): ("FFMA", 512, 0.75),
}


@pytest.mark.parametrize("name, size", STEPS)
def test_other_tiles_and_types(name, size):
    instruction, count, least = STEPS[name, size]
    dtype = getattr(_dtypes, name)
    tile = _cuda_plan.TILES[computed(dtype).itemsize][size]
    code, found = code_of(simt(dtype, tile), H200, 256 if name == "complex128" else 512)
    loop, share = hottest(code, instruction)
    assert sum(n for op, n in loop.items() if op.startswith(instruction)) >= count and share > least
    assert bool(doubles(found)) == (name in ("float64", "complex128"))


@pytest.mark.parametrize(
    "name, size, along_k, capability",
    [
        ("bfloat16", 0, NN, A100), ("bfloat16", 0, NT, H200), ("bfloat16", 0, TN, H200), ("bfloat16", 0, TT, H200), ("float16", 0, NN, H200),
        ("float16", 1, NT, H200), ("bfloat16", 2, NN, H200), ("float32", 0, NT, A100), ("float32", 0, TN, H200), ("float32", 1, NN, H200),
        ("float32", 2, NN, H200),
    ],
)  # fmt: skip
def test_tensor_cores(name, size, along_k, capability):
    """Every block is one instruction, its operands come by ldmatrix, and the tiles by asynchronous copies of 16 bytes."""
    dtype, tile = getattr(_dtypes, name), _cuda_tensor.TILES[size]
    code, found = code_of(tensor(dtype, tile, along_k), capability, 512)
    assert not doubles(found)
    blocks = tile.warp_rows // 16 * (tile.warp_columns // 8)
    loop, _ = hottest(code, "HMMA")
    kind = {"float32": "HMMA.1688.F32.TF32", "bfloat16": "HMMA.16816.F32.BF16", "float16": "HMMA.16816.F32"}[name]
    steps = loop[kind] // (2 * blocks)  # of which a short loop takes several
    assert loop[kind] == steps * 2 * blocks > 0
    copies = tile.rows * _cuda_tensor.depth_of(dtype) // _cuda_tensor.vector_of(dtype) // tile.threads
    assert sum(n for op, n in loop.items() if op.startswith("LDGSTS.E.BYPASS.128")) == steps * 2 * copies
    matrices = {way: sum(n for op, n in loop.items() if op.startswith(f"LDSM.16.{way}88.4")) for way in ("M", "MT")}
    of = [steps * 2 * tile.warp_rows // 16, steps * 2 * tile.warp_columns // 16]
    assert matrices["M"] == sum(n for n, way in zip(of, along_k) if way)
    assert matrices["MT"] == (0 if name == "float32" else sum(n for n, way in zip(of, along_k) if not way))
    assert not [op for op in loop if op.startswith(("LDG.", "STS"))]


@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_tensor_cores_at_any_address(name):
    _, found = code_of(tensor(getattr(_dtypes, name), _cuda_tensor.TILES[0], NN, False, Ending(True, "relu")), H200, 256)
    assert any(opcode(line).startswith("HMMA") for line in found) and not doubles(found)


@pytest.mark.parametrize(
    "name, lanes, capability", [("float32", 4, A100), ("bfloat16", 8, H200), ("complex64", 2, H200), ("int8", 1, H200)]
)
def test_vectors(name, lanes, capability):
    """Memory bandwidth bounds them: 16 bytes a load, and at least 1024 threads to have loads on their way."""
    dtype = getattr(_dtypes, name)
    for make in (_cuda_vector.row_dots, _cuda_vector.column_sums):
        _, found = code_of(make(dtype, lanes, dtype, Ending(True, "" if name == "complex64" else "relu")), capability, 1024)
        assert lanes == 1 or any(opcode(line).startswith("LDG.E.128") for line in found)
        assert not doubles(found)
        if make is _cuda_vector.row_dots:
            assert sum(opcode(line).startswith("SHFL") for line in found) == (10 if name == "complex64" else 5)


def test_parts():
    _, found = code_of(_cuda_parts.add_parts(_dtypes.bfloat16, Ending(True, "relu")), H200, 1024)
    assert not doubles(found)


def test_shared_memory():
    """Two blocks of the largest tiles fit a multiprocessor: of an A100, 164 KiB, of which each block costs 1 KiB more than it asks for."""
    for dtype in (_dtypes.bfloat16, _dtypes.float32):
        for along_k in (NN, NT, TN, TT):
            assert 2 * (_cuda_tensor.shared_bytes(dtype, _cuda_tensor.TILES[0], *along_k) + 1024) <= 164 << 10
