"""The kernels of ``index`` compiled for CUDA without a device: registers, stack, 128-bit loads and stores, float64 instructions, atomics."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.index import _cuda_count as count
from numbagrad.kernels.index import _cuda_positions as positions
from numbagrad.kernels.index import _cuda_read as read
from numbagrad.kernels.index import _cuda_write as write
from numbagrad.kernels.index._cuda_walk import WORDS
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

SHORT, LONG = np.uint32, np.int64  # what elements are counted in
FLOAT32, FLOAT64 = _dtypes.float32, _dtypes.float64

# Those that move rows, by 16 bytes of them.
MOVERS = {
    **{f"take {item}": lambda item=item: read._taker(WORDS[item], 16 // item, SHORT) for item in (1, 4)},
    "take 8, many": lambda: read._taker(WORDS[8], 2, LONG),
    "get 4": lambda: read._getter(WORDS[4], 4, 1, 1, SHORT),
    "write 4": lambda: write._writer(WORDS[4], 4, 1, 0, SHORT),
    "write last 2": lambda: write._last_writer(WORDS[2], np.uint32, np.uint32, 8, 1, 0, SHORT),
    **{f"fill {item}": lambda item=item: count._filler(WORDS[item], 16 // item) for item in (1, 4, 16)},
}
OTHERS = {
    "take one": lambda: read._taker(WORDS[4], 1, SHORT),
    "get strided, many": lambda: read._getter(WORDS[8], 1, 3, 2, LONG),
    "gather": lambda: read._gatherer(WORDS[4], 1, 1, SHORT),
    "gather strided, many": lambda: read._gatherer(WORDS[16], 3, 2, LONG),
    "write last strided, many": lambda: write._last_writer(WORDS[2], np.uint64, np.uint64, 1, 3, 2, LONG),
    "add": lambda: write._adder(FLOAT32, np.uint32, np.uint32, True, False, 1, 0, SHORT),
    "add scaled": lambda: write._adder(FLOAT32, np.uint32, np.uint32, True, True, 1, 1, SHORT),
    "largest": lambda: write._adder(FLOAT32, np.uint32, np.uint32, True, False, 1, 0, SHORT, "amax"),
    "add parts": lambda: write._adder(FLOAT32, np.uint32, np.uint32, False, False, 1, 0, SHORT),
    "add float64, many": lambda: write._adder(FLOAT64, np.uint64, np.uint64, True, False, 3, 2, LONG),
    "add complex64": lambda: write._adder(_dtypes.complex64, np.uint32, np.uint32, True, True, 1, 0, SHORT),
    "keys": lambda: write._keyer(np.uint32),
    "line offsets": lambda: write._line_offsetter(1, 1, SHORT),
    "offsets": lambda: positions._offsetter(False),
    "count": lambda: positions._counter(True),
    "list": lambda: positions._lister(True),
    "unravel": lambda: positions._unraveler(4, LONG),
    "measure": lambda: count._measurer(np.uint32),
    "share": lambda: count._sharer(FLOAT32),
    "ones": lambda: count._ones,
    "extremes": lambda: count._extremes,
}
KERNELS = Kernels(MOVERS | OTHERS)
REPORT = ("take", "gather", "line offsets", "offsets")


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name, arch):
    """As many blocks of 256 threads as hide the latency of scattered accesses: eight of those that move rows, five of others, of one four."""
    code = KERNELS.code(name, arch)
    operations = checked(code, 2048 if name in MOVERS else 1024 if "float64" in name else 1280, "float64" in name)
    assert any(op.startswith("ATOM") for op in operations) == name.startswith(REPORT), "atomics are for the record of faults alone"
    assert not [op for op in operations if op.startswith("RED")]
    if name in MOVERS:
        assert any(op.startswith("LDG.E.128") for op in operations) and any(op.startswith("STG.E.128") for op in operations)
    if name in ("count", "list"):
        assert any(op.startswith("LDG.E.128") for op in operations), "sixteen elements of a mask at a time"
