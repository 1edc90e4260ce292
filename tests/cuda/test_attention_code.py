"""The kernels of ``attention`` compiled for CUDA without a device: registers, stack, float64 instructions."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.attention import _cuda_tiles as tiles
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

NAMES = ("forward", "backward_queries", "backward_keys")
VARIANTS = {
    "plain": (False, False, False),
    "masked": (True, False, False),
    "causal": (False, True, False),
    "dropping": (False, False, True),
}
SINGLE, DOUBLE = _dtypes.float32, _dtypes.float64
CASES = [*itertools.product(NAMES, VARIANTS, [SINGLE]), *itertools.product(NAMES, ["plain"], [DOUBLE])]
KERNELS = Kernels(
    {
        f"{name} {variant} {_dtypes.name(d)}": lambda n=name, v=variant, d=d: getattr(tiles.kernels(d, *VARIANTS[v]), n)
        for name, variant, d in CASES
    }
)


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_code(name: str, arch: str):
    checked(KERNELS.code(name, arch), threads=256, double="float64" in name)
