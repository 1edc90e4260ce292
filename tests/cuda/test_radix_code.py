"""The kernels of the radix sort that families share, compiled for CUDA without a device: registers, stack, shared memory, how digits are ranked."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels._cuda import radix
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

KERNELS = Kernels(
    {
        "count 4": lambda: radix._counter(np.uint32, np.int32),
        "count 8": lambda: radix._counter(np.uint64, np.int32),
        "sum 4": lambda: radix.summer(np.int32),
        "sum 8": lambda: radix.summer(np.int64),
        "move 4 first": lambda: radix._mover(np.uint32, np.uint32, np.int32, True),
        "move 8": lambda: radix._mover(np.uint64, np.uint32, np.int32, False),
        "move 8 long": lambda: radix._mover(np.uint64, np.uint64, np.int64, False),
    }
)


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name, arch):
    """Two blocks of 256 threads on a multiprocessor, and shared memory for three."""
    code = KERNELS.code(name, arch)
    assert code.usage.shared <= 48 << 10
    opcodes = checked(code, 512)
    assert not [op for op in opcodes if op.startswith(("ATOM", "RED"))]
    if not name.startswith("sum"):  # eight bits and who is there, for each of eight elements
        assert sum(op.startswith("VOTE") for op in opcodes) >= 72
