"""The kernels of ``copy`` compiled for CUDA without a device: registers, stack, shared memory, float64 instructions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.copy import _cuda_fill, _cuda_pad, _cuda_transpose
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

ITEMS = (1, 2, 4, 8, 16)
FLOAT64, INT64 = np.dtype(np.float64), np.dtype(np.int64)
KERNELS = Kernels(
    {
        **{f"fill {item}": lambda item=item: _cuda_fill._filler(item) for item in ITEMS},
        **{f"triangle {item}": lambda item=item: _cuda_fill._triangle(item) for item in ITEMS},
        **{f"pad {item}": lambda item=item: _cuda_pad._padder(item) for item in ITEMS},
        **{f"gather {d}": lambda d=d: _cuda_pad._gatherer(d) for d in (_dtypes.int64, _dtypes.float32, _dtypes.float64)},
        **{f"turn {item}": lambda item=item: _cuda_transpose._turner(item) for item in ITEMS[:-1]},
        **{f"ramp {d}": lambda d=d: _cuda_fill._ramper(d, FLOAT64) for d in (_dtypes.float32, _dtypes.float64)},
        "ramp int64": lambda: _cuda_fill._ramper(INT64, INT64),
    }
)
IN_DOUBLE = ("gather float64", "ramp float32", "ramp float64")


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name, arch):
    """Five blocks of 256 threads on a multiprocessor."""
    code = KERNELS.code(name, arch)
    if name.startswith("turn"):
        assert code.usage.shared >= 32 * 33 * int(name.split()[1])
    checked(code, 1280, name in IN_DOUBLE)
