"""The kernels of ``resize`` compiled for CUDA without a device: registers, stack, float64 instructions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.resize import _cuda_lines, _cuda_sampling
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

F32, F64, BF16 = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16
SAMPLED = [("nearest", 2), ("linear", 2), ("cubic", 2), ("linear", 3)]
KERNELS = Kernels(
    {
        **{f"resample {d}": lambda d=d: _cuda_lines.resample(d, np.uint32) for d in (F32, F64, BF16)},
        "resample, 64 bits": lambda: _cuda_lines.resample(F32, np.uint64),
        **{f"pick {W.__name__}": lambda W=W: _cuda_lines.pick(W, np.uint32) for W in (np.uint8, np.uint32, np.complex128)},
        **{f"places {m} {n}": lambda m=m, n=n: _cuda_sampling.places(F32, m, n, True) for m, n in SAMPLED},
        "places float64": lambda: _cuda_sampling.places(F64, "linear", 2, False),
        **{f"sample {m} {n}": lambda m=m, n=n: _cuda_sampling.sample(F32, _cuda_sampling.corners_of(m, n), np.uint32) for m, n in SAMPLED},
        "sample bfloat16": lambda: _cuda_sampling.sample(BF16, 4, np.uint64),
        "turn 2": lambda: _cuda_sampling.turn(F32, 4, 2),
        "turn 3": lambda: _cuda_sampling.turn(BF16, 8, 3),
        "number": lambda: _cuda_sampling.number(np.uint32, np.uint32),
        "begin": lambda: _cuda_sampling.begin(np.uint32),
        "collect": lambda: _cuda_sampling.collect(F32, np.uint32, np.uint32),
        "collect bfloat16": lambda: _cuda_sampling.collect(BF16, np.uint64, np.uint64),
    }
)


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name, arch):
    """Four blocks of 256 threads on a multiprocessor."""
    checked(KERNELS.code(name, arch), 1024, double="float64" in name)
