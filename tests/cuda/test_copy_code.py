"""The kernels of ``copy`` compiled for CUDA without a device: registers, stack, shared memory, float64 instructions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels.copy import _cuda_fill, _cuda_pad, _cuda_transpose
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

ITEMS = (1, 2, 4, 8, 16)
FLOAT64, INT64 = np.dtype(np.float64), np.dtype(np.int64)
KERNELS = {
    **{f"fill {item}": lambda item=item: _cuda_fill._filler(item) for item in ITEMS},
    **{f"triangle {item}": lambda item=item: _cuda_fill._triangle(item) for item in ITEMS},
    **{f"pad {item}": lambda item=item: _cuda_pad._padder(item) for item in ITEMS},
    **{f"gather {d}": lambda d=d: _cuda_pad._gatherer(d) for d in (_dtypes.int64, _dtypes.float32, _dtypes.float64)},
    **{f"turn {item}": lambda item=item: _cuda_transpose._turner(item) for item in ITEMS[:-1]},
    **{f"ramp {d}": lambda d=d: _cuda_fill._ramper(d, FLOAT64) for d in (_dtypes.float32, _dtypes.float64)},
    "ramp int64": lambda: _cuda_fill._ramper(INT64, INT64),
}
IN_DOUBLE = ("gather float64", "ramp float32", "ramp float64")


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=["sm_80", "sm_90a"])
@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name, capability):
    code = KERNELS[name]().build(capability).code
    used = usage(code)
    assert used.stack == 0 and used.registers <= 48  # five blocks of 256 threads on a multiprocessor
    if name.startswith("turn"):
        assert used.shared >= 32 * 33 * int(name.split()[1])
    if disassembler() is None:
        return
    found = instructions(code)
    assert not [line for line in found if opcode(line).startswith(("LDL", "STL"))], "spilled"
    assert bool(doubles(found)) == (name in IN_DOUBLE)
