"""What tests of tensors on a GPU share."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels._cuda import driver

# Where there is no GPU, kernels run in Numba's simulator, which has two.
ON_A_GPU = [
    pytest.mark.skipif(not ng.cuda.is_available(), reason="no GPU, and no simulator (NUMBA_ENABLE_CUDASIM=1)"),
    *([] if driver.SIMULATED else [pytest.mark.gpu]),
]
ON_TWO_GPUS = pytest.mark.skipif(ng.cuda.device_count() < 2, reason="needs two GPUs")
LAST = max(ng.cuda.device_count() - 1, 0)


def numbers(*shape: int, dtype: ng.dtype = ng.float32) -> ng.Tensor:
    n = int(np.prod(shape))
    return ng.tensor((np.arange(n) - n // 2).reshape(shape)).to(dtype)


def same(found: ng.Tensor, expected: ng.Tensor) -> None:
    assert found.is_cuda and not expected.is_cuda
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.stride() == expected.stride() or not found.numel()  # NumPy has its own for no elements
    here = found.cpu()
    assert not here.is_cuda
    if here._data.tobytes() != expected._data.tobytes():  # NaN has many forms
        assert expected.is_floating_point()
        here, expected = (t.to(ng.float64) for t in (here, expected))
        assert np.array_equal(here.numpy(), expected.numpy(), equal_nan=True)
