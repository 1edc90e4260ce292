"""The kernels of ``sort`` compiled for CUDA without a device: registers, stack, shared memory, float64 instructions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.sort import _cuda_order, _cuda_rows, _cuda_select, _cuda_unique, cuda
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

F32, F64, I64, BF16 = _dtypes.float32, _dtypes.float64, _dtypes.int64, _dtypes.bfloat16
KERNELS = Kernels(
    {
        **{f"rows {d}": lambda d=d: _cuda_rows._rows(d, True, _cuda_rows.VALUES) for d in (F32, F64, BF16)},
        "rows of keys": lambda: _cuda_rows._rows(np.dtype(np.uint64), False, _cuda_rows.PLACES),
        **{
            f"select in rows {d}": lambda d=d, m=m: _cuda_rows._rows(d, False, m)
            for d, m in ((I64, _cuda_rows.KTH), (F32, _cuda_rows.NANMEDIAN))
        },
        **{f"encoding {d}": lambda d=d: _cuda_order._encoding(d, True) for d in (F32, I64)},
        **{f"counting {d}": lambda d=d: _cuda_select._counting(d, True) for d in (F32, F64)},
        "picking past NaN": lambda: _cuda_select._picking(np.uint64, _cuda_rows.NANMEDIAN),
        "locating": lambda: _cuda_select._locating(F32),
        "dividing": lambda: _cuda_select._dividing(F64, False),
        "summing": lambda: _cuda_select.summing(2),
        "collecting": lambda: _cuda_select._collecting(F32, True),
        "unique, counting": lambda: _cuda_unique._counting(F32),
        "unique, sizes": lambda: _cuda_unique._sizes,
        "unique, grouping": lambda: _cuda_unique._grouping(F32, True),
        **{f"searching {d}": lambda d=d: cuda._searching(d) for d in (F32, I64)},
        "gathering": lambda: _cuda_order._gathering(4, np.uint32, True, np.uint32),
        "gathering of many": lambda: _cuda_order._gathering(8, np.uint64, False, np.int64),
    }
)


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name, arch):
    """Four blocks of 256 threads on a multiprocessor, none of which has more shared memory than every kernel may have."""
    code = KERNELS.code(name, arch)
    assert code.usage.shared <= 48 << 10
    checked(code, 1024)
