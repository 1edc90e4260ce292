"""The kernels of ``matmul`` compiled for CUDA without a device: registers, stack, what their hot loops are made of, width of loads."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.matmul import _cuda_parts, _cuda_plan, _cuda_simt, _cuda_tensor, _cuda_vector
from numbagrad.kernels.matmul._cuda_kind import Ending, computed
from tests.cuda.cubin import Code, Kernels, architectures, checked, compiled_together, loops, opcode

pytestmark = compiled_together(__name__)

NT, NN, TN, TT = (True, True), (True, False), (False, False), (False, True)  # whether the unit strides of A and B are along k
LETTERS = {NT: "NT", NN: "NN", TN: "TN", TT: "TT"}


def hottest(code: Code, instruction: str) -> tuple[Counter[str], float]:
    """How often each instruction is in the loop that has most of those that begin with ``instruction``, and their share."""

    def share(loop: Any) -> int:
        return sum(opcode(line).startswith(instruction) for line in loop)

    best = max(loops(code.instructions), key=share)
    return Counter(map(opcode, best)), share(best) / len(best)


def simt(dtype: np.dtype, size: int, along_k: tuple[bool, bool] = NN, aligned: bool = True, ending: Any = None) -> Any:
    lanes = _cuda_simt.shared_vector(dtype) if aligned else 1
    a, b = (_cuda_simt.Operand(way, lanes) for way in along_k)
    return _cuda_simt.product(dtype, _cuda_plan.TILES[computed(dtype).itemsize][size], a, b, lanes, dtype, ending or Ending())


def tensor(dtype: np.dtype, size: int, along_k: tuple[bool, bool] = NN, aligned: bool = True, ending: Any = None) -> Any:
    lanes = _cuda_tensor.vector_of(dtype) if aligned else 1
    a, b = (_cuda_simt.Operand(way, lanes) for way in along_k)
    return _cuda_tensor.product(dtype, _cuda_tensor.TILES[size], a, b, 2 if aligned else 1, dtype, ending or Ending())


class Step(NamedTuple):
    """The instruction that multiplies, how many a step takes of them, and their share of its loop."""

    instruction: str
    count: int
    share: float


# By type and tile. Complex numbers and those of 64 bits take several for a product.
STEPS = {
    ("float32", 0): Step("FFMA", 512, 0.8),
    ("float32", 1): Step("FFMA", 256, 0.75),
    ("float32", 2): Step("FFMA", 128, 0.6),
    ("float64", 0): Step("DFMA", 256, 0.6),
    ("float64", 1): Step("DFMA", 128, 0.5),
    ("complex64", 0): Step("FFMA", 1024, 0.8),
    ("complex64", 1): Step("FFMA", 512, 0.8),
    ("complex128", 0): Step("DFMA", 512, 0.7),
    ("complex128", 1): Step("DFMA", 512, 0.7),
    ("int8", 0): Step("IMAD", 512, 0.75),
    ("int32", 0): Step("IMAD", 512, 0.75),
    ("int32", 1): Step("IMAD", 256, 0.6),
    ("int32", 2): Step("IMAD", 128, 0.5),
    ("int64", 0): Step("IMAD", 768, 0.5),
    ("int64", 1): Step("IMAD", 384, 0.4),
    ("bfloat16", 0): Step("FFMA", 512, 0.75),
}
ENDING = Ending(True, "relu")
SIMT = Kernels(
    {
        **{f"{name} {size}": lambda name=name, size=size: simt(getattr(_dtypes, name), size) for name, size in STEPS},
        **{f"float32 {LETTERS[way]}": lambda way=way: simt(_dtypes.float32, 0, way) for way in LETTERS},
        "float32 at any address": lambda: simt(_dtypes.float32, 0, NN, False, ENDING),
    }
)

# Every tile in every type, the largest one for all ways that matrices may lie.
PRODUCTS = {
    f"{name} {size} {LETTERS[way]}": (getattr(_dtypes, name), size, way)
    for name in ("float32", "bfloat16", "float16")
    for size in range(3)
    for way in (LETTERS if size == 0 and name != "float16" else (NT, NN) if size == 1 else (NN,))
}
TENSOR = Kernels(
    {
        **{name: lambda product=product: tensor(*product) for name, product in PRODUCTS.items()},
        **{
            f"{name} at any address": lambda name=name: tensor(getattr(_dtypes, name), 0, NN, False, ENDING)
            for name in ("bfloat16", "float32")
        },
    }
)

VECTORS = {"float32": 4, "bfloat16": 8, "complex64": 2, "int8": 1, "float64": 2}  # elements of a load


def _ending(name: str) -> Ending:
    return Ending(True, "" if name == "complex64" else "relu")


OTHERS = Kernels(
    {
        f"{make.__name__} {name}": lambda name=name, lanes=lanes, make=make: make(
            getattr(_dtypes, name), lanes, getattr(_dtypes, name), _ending(name)
        )
        for name, lanes in VECTORS.items()
        for make in (_cuda_vector.row_dots, _cuda_vector.column_sums)
    }
    | {f"parts {name}": lambda name=name: _cuda_parts.add_parts(getattr(_dtypes, name), ENDING) for name in ("float32", "bfloat16")}
)


@architectures
@pytest.mark.parametrize("name, size", STEPS)
def test_tiles(name, size, arch):
    """The step of the depth is unrolled, and little else is in its loop."""
    instruction, count, least = STEPS[name, size]
    code = SIMT.code(f"{name} {size}", arch)
    larger = getattr(_dtypes, name).type in _cuda_simt.LARGER
    checked(code, 256 if larger else 512, name in ("float64", "complex128"))
    loop, share = hottest(code, instruction)
    assert sum(n for op, n in loop.items() if op.startswith(instruction)) >= count and share > least


@architectures
@pytest.mark.parametrize("way", LETTERS, ids=LETTERS.get)
def test_float32(way, arch):
    """The largest tile: 512 multiply-adds a step against 32 vectors from shared memory and one each of A and B from device memory."""
    code = SIMT.code(f"float32 {LETTERS[way]}", arch)
    opcodes = checked(code, 512)
    loop, share = hottest(code, "FFMA")
    assert loop["FFMA"] == 512 and share > 0.8
    assert loop["LDS.128"] == 32 and loop["LDG.E.128"] == 2
    assert loop["STS"] == 4 * sum(way) and loop["STS.128"] == 2 - sum(way)
    assert sum(count for name, count in loop.items() if name.startswith("BAR")) == 1
    assert "STG.E.128" in opcodes


@architectures
def test_float32_at_any_address(arch):
    code = SIMT.code("float32 at any address", arch)
    checked(code, 512)
    loop, share = hottest(code, "FFMA")
    assert loop["FFMA"] == 512 and share > 0.75 and loop["LDG.E"] == 8


@architectures
@pytest.mark.parametrize("name", PRODUCTS)
def test_tensor_cores(name, arch):
    """Every block is one instruction, its operands come by ldmatrix, and the tiles by asynchronous copies of 16 bytes."""
    dtype, size, along_k = PRODUCTS[name]
    code, tile = TENSOR.code(name, arch), _cuda_tensor.TILES[size]
    checked(code, 512)
    blocks = tile.warp_rows // 16 * (tile.warp_columns // 8)
    loop, _ = hottest(code, "HMMA")
    kind = {"float32": "HMMA.1688.F32.TF32", "bfloat16": "HMMA.16816.F32.BF16", "float16": "HMMA.16816.F32"}[name.split()[0]]
    steps = loop[kind] // (2 * blocks)  # of which a short loop takes several
    assert loop[kind] == steps * 2 * blocks > 0
    copies = tile.rows * _cuda_tensor.depth_of(dtype) // _cuda_tensor.vector_of(dtype) // tile.threads
    assert sum(n for op, n in loop.items() if op.startswith("LDGSTS.E.BYPASS.128")) == steps * 2 * copies
    matrices = {way: sum(n for op, n in loop.items() if op.startswith(f"LDSM.16.{way}88.4")) for way in ("M", "MT")}
    of = [steps * 2 * tile.warp_rows // 16, steps * 2 * tile.warp_columns // 16]
    assert matrices["M"] == sum(n for n, way in zip(of, along_k) if way)
    assert matrices["MT"] == (0 if dtype == _dtypes.float32 else sum(n for n, way in zip(of, along_k) if not way))
    assert not [op for op in loop if op.startswith(("LDG.", "STS"))]


@architectures
@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_tensor_cores_at_any_address(name, arch):
    assert any(op.startswith("HMMA") for op in checked(TENSOR.code(f"{name} at any address", arch), 256))


@architectures
@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name, arch):
    """Memory bandwidth bounds them: 16 bytes a load, and at least 1024 threads to have loads on their way."""
    for make in ("row_dots", "column_sums"):
        opcodes = checked(OTHERS.code(f"{make} {name}", arch), 1024, name == "float64")
        assert VECTORS[name] == 1 or "LDG.E.128" in [op.removesuffix(".CONSTANT") for op in opcodes]
        if make == "row_dots":
            assert sum(op.startswith("SHFL") for op in opcodes) == 5 * (2 if name in ("complex64", "float64") else 1)


@architectures
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_parts(name, arch):
    checked(OTHERS.code(f"parts {name}", arch), 1024)


def test_shared_memory():
    """Two blocks of the largest tiles fit a multiprocessor: of an A100, 164 KiB, of which each block costs 1 KiB more than it asks for."""
    for dtype in (_dtypes.bfloat16, _dtypes.float32):
        for along_k in (NN, NT, TN, TT):
            assert 2 * (_cuda_tensor.shared_bytes(dtype, _cuda_tensor.TILES[0], *along_k) + 1024) <= 164 << 10
