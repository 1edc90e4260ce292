"""The kernels of ``update`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads and stores."""

from __future__ import annotations

import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

SINGLE, DOUBLE, BRAIN = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16
A100, H200 = (8, 0), (9, 0)
CAPABILITIES = pytest.mark.parametrize("capability", [pytest.param(A100, marks=pytest.mark.slow), H200], ids=["sm_80", "sm_90a"])
_REGISTERS, _THREADS = 65536, 256  # of a multiprocessor; of a block


def check(kernel, capability, double, blocks, reads=0, writes=0):
    """At least ``blocks`` on a multiprocessor, no stack, no float64 but in its kernels; ``reads`` and ``writes`` by 16 bytes, all known to be of device
    memory although the addresses come from a table."""
    code = kernel.build(capability).code
    used = usage(code)
    assert used.stack == 0 and used.registers * _THREADS * blocks <= _REGISTERS
    if disassembler() is None:
        return
    found = instructions(code)
    opcodes = [opcode(line) for line in found]
    assert not [name for name in opcodes if name.startswith(("LDL", "STL"))], "spilled"
    assert not [name for name in opcodes if name.startswith(("LD.", "ST."))], "generic"
    assert bool(doubles(found)) == double
    assert sum(name.startswith("LDG.E.128") for name in opcodes) >= reads
    assert sum(name.startswith("STG.E.128") for name in opcodes) >= writes


# The arrays that a step reads and writes.
STEPS = {"sgd": (2, 1), "sgd_momentum": (3, 2), "adam": (4, 3), "amsgrad": (5, 4), "adagrad": (3, 2)}


@CAPABILITIES
@pytest.mark.parametrize("name", STEPS)
def test_steps(name, capability):
    from numbagrad.kernels.update import _cuda_steps

    check(getattr(_cuda_steps.step_kernels(SINGLE), name), capability, False, 4, *STEPS[name])


def test_on_an_older_device():
    """One of each kind, always."""
    from numbagrad.kernels.update import _cuda_steps, _cuda_sums

    check(_cuda_steps.step_kernels(SINGLE).adam, A100, False, 4, 4, 3)
    check(_cuda_sums.squares(SINGLE), A100, False, 6, 1)


@pytest.mark.parametrize("dtype", [DOUBLE, BRAIN], ids=_dtypes.name)
@pytest.mark.parametrize("name", [pytest.param("sgd", marks=pytest.mark.slow), "amsgrad"])
def test_steps_of_other_types(name, dtype):
    from numbagrad.kernels.update import _cuda_steps

    check(getattr(_cuda_steps.step_kernels(dtype), name), H200, dtype == DOUBLE, 2, *STEPS[name])


@pytest.mark.parametrize("centered", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("buffered", [pytest.param(False, marks=pytest.mark.slow), True])
def test_rmsprop(centered, buffered):
    from numbagrad.kernels.update import _cuda_steps

    check(_cuda_steps.rmsprop_kernel(SINGLE, centered, buffered), H200, False, 4, 3 + centered + buffered, 2 + centered + buffered)


@CAPABILITIES
@pytest.mark.parametrize("dtype", [SINGLE, BRAIN], ids=_dtypes.name)
def test_lists(dtype, capability):
    from numbagrad.kernels.update import _cuda_steps, _cuda_sums

    check(_cuda_steps.list_kernels(dtype).scale, capability, False, 6, 1, 1)
    check(_cuda_steps.list_kernels(dtype).zero, capability, False, 6, 0, 1)
    check(_cuda_sums.unscale(dtype), capability, False, 6, 1, 1)
    check(_cuda_sums.squares(dtype), capability, False, 6, 1)


@pytest.mark.parametrize(
    "kind", ["largest", "powers", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("absolutes", "count", "smallest"))]
)
def test_norms(kind):
    """Powers are taken in float64, and all norms are put together in it."""
    from numbagrad.kernels.update import _cuda_sums

    check(_cuda_sums.powers(SINGLE, kind), H200, kind == "powers", 5)
    check(_cuda_sums.join(kind, _cuda_sums.folded_dtype(kind, SINGLE)), H200, True, 5)


@pytest.mark.parametrize("kind", ["squares", "absolutes", "largest"])
def test_total(kind):
    from numbagrad.kernels.update import _cuda_sums

    check(_cuda_sums.total(kind), H200, True, 4)
