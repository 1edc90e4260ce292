"""The kernels of ``reduce`` compiled for CUDA without a device: registers, stack, shared memory, float64 instructions, width of loads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels.reduce import _cuda_first, _cuda_fold, _cuda_scan
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

A100, H200 = (8, 0), (9, 0)
FLOAT, DOUBLE, BF16, HALF = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16, _dtypes.float16
LONG, BYTE, COMPLEX = _dtypes.int64, _dtypes.uint8, _dtypes.complex64
GROUPS, BLOCKS, COLUMNS = _cuda_fold.row_groups, _cuda_fold.row_blocks, _cuda_fold.columns

# (kernel, its operation and types, elements at once)
FOLDS = [
    (GROUPS, "sum", FLOAT, FLOAT, 4),
    (GROUPS, "sum", FLOAT, FLOAT, 1),
    (GROUPS, "first amax", FLOAT, LONG, 4),
    (GROUPS, "exponential", BF16, FLOAT, 8),
    (BLOCKS, "sum", FLOAT, FLOAT, 4),
    (BLOCKS, "sum", BF16, FLOAT, 8),
    (BLOCKS, "sum", BYTE, LONG, 8),
    (BLOCKS, "prod", DOUBLE, DOUBLE, 2),
    (BLOCKS, "amin", HALF, FLOAT, 8),
    (BLOCKS, "any", FLOAT, BYTE, 4),
    (BLOCKS, "first amin", HALF, LONG, 8),
    (BLOCKS, "place", DOUBLE, LONG, 2),
    (BLOCKS, "deviation", FLOAT, FLOAT, 4),
    (BLOCKS, "squared", COMPLEX, FLOAT, 2),
    (BLOCKS, "power", FLOAT, FLOAT, 4),
    (COLUMNS, "sum", FLOAT, FLOAT, 4),
    (COLUMNS, "sum", FLOAT, FLOAT, 1),
    (COLUMNS, "amax", BF16, FLOAT, 4),
    (COLUMNS, "deviation", FLOAT, FLOAT, 4),
    (COLUMNS, "first amax", FLOAT, LONG, 2),
    (COLUMNS, "prod", COMPLEX, COMPLEX, 1),
]


def _compiled(kernel, capability, in_double=False):
    """No stack, no spills, room for six blocks of 256 threads on a multiprocessor, and no float64 but where it is the type; how often each
    instruction is there."""
    code = kernel.build(capability).code
    used = usage(code)
    assert used.stack == 0 and used.registers <= 40
    if disassembler() is None:
        return Counter()
    found = instructions(code)
    assert not [line for line in found if opcode(line).startswith(("LDL", "STL"))], "spilled"
    assert bool(doubles(found)) == in_double
    return Counter(map(opcode, found))


@pytest.mark.parametrize("kernel, name, source, target, lanes", FOLDS, ids=lambda x: getattr(x, "__name__", None) or str(x))
def test_folds(kernel, name, source, target, lanes):
    code = _compiled(kernel(name, source, target, lanes, False), H200, source == DOUBLE)
    if not code:
        return
    moved = lanes * source.itemsize
    wide = {16: "LDG.E.128", 8: "LDG.E.64", 4: "LDG.E", 1: "LDG.E.U8"}[moved]
    assert code[wide] >= 5, "four loads of the loop, and one of what is left"
    rows = kernel is not COLUMNS
    words = 2 if target in (LONG, DOUBLE) else 1
    if kernel is BLOCKS:
        assert sum(n for op, n in code.items() if op.startswith("SHFL")) == 5 * words
    assert ("BAR.SYNC.DEFER_BLOCKING" in code) == (kernel is not GROUPS)
    if not rows and lanes * target.itemsize == 16:
        assert code["STG.E.128"]


@pytest.mark.parametrize("kernel", [GROUPS, BLOCKS, COLUMNS], ids=lambda k: k.__name__)
def test_folds_elsewhere(kernel):
    """The oldest devices, and more elements than 32 bits count."""
    assert _compiled(kernel("sum", FLOAT, FLOAT, 4, False), A100)["LDG.E.128"] >= 5 or disassembler() is None
    assert _compiled(kernel("sum", FLOAT, FLOAT, 4, True), H200)["LDG.E.128"] >= 5 or disassembler() is None


SCANS = {
    "rows": (lambda wide: _cuda_scan.scan_rows("cumsum", FLOAT, FLOAT, 4, True, wide), False),
    "rows that are not aligned": (lambda wide: _cuda_scan.scan_rows("cumsum", FLOAT, FLOAT, 4, False, wide), False),
    "products of rows": (lambda wide: _cuda_scan.scan_rows("cumprod", BF16, FLOAT, 4, True, wide), False),
    "rows of bytes": (lambda wide: _cuda_scan.scan_rows("cumsum", BYTE, LONG, 2, True, wide), False),
    "columns": (lambda wide: _cuda_scan.sum_columns(FLOAT, FLOAT, wide), False),
    "products of columns": (lambda wide: _cuda_scan.multiply_columns("cumprod", FLOAT, FLOAT, wide), False),
    "products of parts": (lambda wide: _cuda_scan.multiply_columns("parts", DOUBLE, DOUBLE, wide), True),
    "recurrence": (lambda wide: _cuda_scan.linear_columns(FLOAT, wide), False),
    "complex recurrence": (lambda wide: _cuda_scan.linear_columns(COMPLEX, wide), False),
    "parts of a recurrence": (lambda wide: _cuda_scan.linear_totals(FLOAT, wide), False),
    "words of an extremum": (lambda wide: _cuda_first.unpacked(HALF, FLOAT, wide), False),
}


@pytest.mark.parametrize("name", SCANS)
def test_scans(name):
    make, in_double = SCANS[name]
    code = _compiled(make(False), H200, in_double)
    if code and name in ("rows", "rows of bytes"):
        assert code["STG.E.128"] == 1 and code["LDG.E.128" if name == "rows" else "LDG.E.U16"]


@pytest.mark.parametrize("name", ["rows", "columns", "recurrence"])
def test_scans_elsewhere(name):
    _compiled(SCANS[name][0](False), A100)
    _compiled(SCANS[name][0](True), H200)


def test_loops_load_before_they_add():
    """Four loads of 16 bytes are under way before the first value is needed."""
    if disassembler() is None:
        pytest.skip("needs nvdisasm")
    code = [opcode(line) for line in instructions(BLOCKS("sum", FLOAT, FLOAT, 4, False).build(H200).code)]
    first = code.index("LDG.E.128")
    loop = code[first : code.index("BRA", first)]
    assert loop.count("LDG.E.128") == 4 and loop.count("FADD") == 16
    assert [op for op in loop if op in ("LDG.E.128", "FADD")][:4] == ["LDG.E.128"] * 4
    assert np.mean([op == "FADD" for op in loop]) > 0.4
