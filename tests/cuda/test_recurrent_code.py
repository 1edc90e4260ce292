"""The kernels of ``recurrent`` compiled for CUDA without a device: registers, stack, float64 instructions."""

from __future__ import annotations

import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.recurrent import cuda as recurrent
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

NAMES = ("rnn", "rnn_backward", "lstm", "lstm_backward", "gru", "gru_backward")
SINGLE, DOUBLE = _dtypes.float32, _dtypes.float64
KERNELS = Kernels(
    {f"{name} {_dtypes.name(d)}": lambda name=name, d=d: getattr(recurrent._kernels(d), name) for name in NAMES for d in (SINGLE, DOUBLE)}
)


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_code(name: str, arch: str):
    checked(KERNELS.code(name, arch), threads=1024, double="float64" in name)
