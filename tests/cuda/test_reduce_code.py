"""The kernels of ``reduce`` compiled for CUDA without a device: registers, stack, shared memory, float64 instructions, width of loads."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.reduce import _cuda_first, _cuda_fold, _cuda_running, _cuda_scan
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

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
    "running extremum": (lambda wide: _cuda_running._extremum(FLOAT, True), False),
    "running log-sums": (lambda wide: _cuda_running._logsumexp(FLOAT), False),
    "words of an extremum": (lambda wide: _cuda_first.unpacked(HALF, FLOAT, wide), False),
}


def _label(fold: tuple[Any, ...], wide: bool) -> str:
    kernel, name, source, target, lanes = fold
    return f"{kernel.__name__} {name} {_dtypes.name(source)} {_dtypes.name(target)} {lanes}" + " wide" * wide


def _fold(fold: tuple[Any, ...], wide: bool) -> Callable[[], Any]:
    return lambda: fold[0](*fold[1:], wide)


# With the number of elements in 32 bits; and more than that, once for each way.
WIDE = [(kernel, "sum", FLOAT, FLOAT, 4) for kernel in (GROUPS, BLOCKS, COLUMNS)]
FOLDING = Kernels(
    {_label(fold, False): _fold(fold, False) for fold in FOLDS} | {_label(fold, True): _fold(fold, True) for fold in WIDE},
)
SCANNING = Kernels(
    {
        f"{name}{' wide' * wide}": lambda make=make, wide=wide: make(wide)
        for name, (make, _) in SCANS.items()
        for wide in ((False, True) if name in ("rows", "columns", "recurrence") else (False,))
    }
)
_THREADS = 6 * 256  # that a multiprocessor should have room for


@architectures
@pytest.mark.parametrize(
    "fold, wide",
    [(fold, False) for fold in FOLDS] + [(fold, True) for fold in WIDE],
    ids=lambda x: _label(x, False) if isinstance(x, tuple) else "wide" if x else "",
)
def test_folds(fold, wide, arch):
    kernel, _, source, target, lanes = fold
    code = Counter(checked(FOLDING.code(_label(fold, wide), arch), _THREADS, source == DOUBLE))
    load = {16: "LDG.E.128", 8: "LDG.E.64", 4: "LDG.E", 1: "LDG.E.U8"}[lanes * source.itemsize]
    assert code[load] >= 5, "four loads of the loop, and one of what is left"
    words = 2 if target in (LONG, DOUBLE) else 1
    if kernel is BLOCKS:
        assert sum(n for op, n in code.items() if op.startswith("SHFL")) == 5 * words
    assert ("BAR.SYNC.DEFER_BLOCKING" in code) == (kernel is not GROUPS)
    if kernel is COLUMNS and lanes * target.itemsize == 16:
        assert code["STG.E.128"]


@architectures
@pytest.mark.parametrize("name", SCANNING)
def test_scans(name, arch):
    code = Counter(checked(SCANNING.code(name, arch), _THREADS, SCANS[name.removesuffix(" wide")][1]))
    if name in ("rows", "rows of bytes"):
        assert code["STG.E.128"] == 1 and code["LDG.E.128" if name == "rows" else "LDG.E.U16"]


@architectures
def test_loops_load_before_they_add(arch):
    """Four loads of 16 bytes are under way before the first value is needed."""
    code = checked(FOLDING.code(_label((BLOCKS, "sum", FLOAT, FLOAT, 4), False), arch), _THREADS)
    first = code.index("LDG.E.128")
    loop = code[first : code.index("BRA", first)]
    assert loop.count("LDG.E.128") == 4 and loop.count("FADD") == 16
    assert [op for op in loop if op in ("LDG.E.128", "FADD")][:4] == ["LDG.E.128"] * 4
    assert np.mean([op == "FADD" for op in loop]) > 0.4
