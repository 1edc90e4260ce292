"""The kernels of ``norm`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.driver import SIMULATED
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

SINGLE, DOUBLE, HALF, BRAIN = _dtypes.float32, _dtypes.float64, _dtypes.float16, _dtypes.bfloat16
_REGISTERS = 65536  # of a multiprocessor


def check(kernel, capability, dtype, threads_at_once, vector_loads=None):
    """Registers for ``threads_at_once`` on a multiprocessor, no stack, no float64 but in its kernels; of the array's loads and stores of vectors at least
    ``vector_loads`` are 16 bytes wide."""
    code = kernel.build(capability).code
    used = usage(code)
    assert used.stack == 0 and used.registers * threads_at_once <= _REGISTERS
    if disassembler() is None:
        return
    found = instructions(code)
    opcodes = [opcode(line) for line in found]
    assert not [name for name in opcodes if name.startswith(("LDL", "STL"))], "spilled"
    assert bool(doubles(found)) == (dtype == DOUBLE)
    assert not [name for name in opcodes if name.startswith(("LD.", "ST."))], "generic"
    if vector_loads is not None:
        assert sum(name.startswith("LDG.E.128") for name in opcodes) >= vector_loads
        assert any(name.startswith("STG.E.128") for name in opcodes)


A100, H200 = (8, 0), (9, 0)
CAPABILITIES = pytest.mark.parametrize("capability", [pytest.param(A100, marks=pytest.mark.slow), H200], ids=["sm_80", "sm_90a"])


@CAPABILITIES
@pytest.mark.parametrize(
    "dtype, width, lanes",
    [
        (SINGLE, 64, 4),  # eight rows a warp
        pytest.param(SINGLE, 1000, 4, marks=pytest.mark.slow),
        (SINGLE, 1024, 4),
        (SINGLE, 8192, 4),  # the longest row in registers, a block of 1024 threads
        (SINGLE, 33, 1),
        (BRAIN, 1024, 8),
        pytest.param(HALF, 100, 4, marks=pytest.mark.slow),
        pytest.param(DOUBLE, 512, 2, marks=pytest.mark.slow),
    ],
    ids=lambda x: x if isinstance(x, int) else _dtypes.name(x),
)
def test_layer_norm(dtype, width, lanes, capability):
    """Forward two blocks of the largest size, or full occupancy; backward, with the sums for weight and bias in registers too, half of that."""
    from numbagrad.kernels.norm import _cuda_layer

    shape = _cuda_layer.shape_of(dtype, width, lanes)
    assert shape.threads * shape.steps * lanes >= width and (shape.threads == 1 or shape.threads // 2 * shape.steps * lanes < width)
    wide = lanes * dtype.itemsize == 16
    check(_cuda_layer.forward(dtype, shape, True, True), capability, dtype, 1024, shape.steps if wide else None)
    check(
        _cuda_layer.backward(dtype, shape, True, True),
        capability,
        dtype,
        1024 if shape.block > 512 else 512,
        2 * shape.steps if wide else None,
    )


def test_on_an_older_device():
    """One of each kind, always."""
    from numbagrad.kernels.norm import _cuda_batch, _cuda_batch_passes, _cuda_layer

    shape = _cuda_layer.shape_of(SINGLE, 1024, 4)
    check(_cuda_layer.forward(SINGLE, shape, True, True), A100, SINGLE, 1024, 2)
    check(_cuda_layer.backward(SINGLE, shape, True, True), A100, SINGLE, 512, 4)
    check(_cuda_batch.moments(SINGLE, 4, False), A100, SINGLE, 1536)
    check(_cuda_batch_passes.slopes(SINGLE, 4, "planes", False, True), A100, SINGLE, 1536, 2)


def test_no_row_is_split_among_more_threads_than_a_block_has():
    from numbagrad.kernels.norm import _cuda_layer

    assert _cuda_layer.shape_of(SINGLE, 8196, 4) is None and _cuda_layer.shape_of(DOUBLE, 4098, 2) is None
    for width in range(1, 300):
        for lanes in (1, 2, 4):
            if width % lanes == 0:
                shape = _cuda_layer.shape_of(SINGLE, width, lanes)
                assert shape.block % 32 == 0 and shape.block == shape.teams * shape.threads


@CAPABILITIES
@pytest.mark.parametrize("dtype", [SINGLE, *(pytest.param(d, marks=pytest.mark.slow) for d in (BRAIN, DOUBLE))], ids=_dtypes.name)
def test_long_rows(dtype, capability):
    from numbagrad.kernels.norm import _cuda_layer_long

    lanes = 16 // dtype.itemsize
    check(_cuda_layer_long.forward(dtype, lanes, True, True), capability, dtype, 1024, 3)
    check(_cuda_layer_long.backward(dtype, lanes, True), capability, dtype, 1024, 4)
    if dtype != DOUBLE:
        check(_cuda_layer_long.columns(dtype), capability, dtype, 1024)


@CAPABILITIES
@pytest.mark.parametrize("wide", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["narrow", "wide"])
@pytest.mark.parametrize("dtype", [SINGLE, BRAIN], ids=_dtypes.name)
def test_batch_norm(dtype, wide, capability):
    """Sums, and the passes over planes: what is bound by memory has three quarters of all threads at once at least."""
    from numbagrad.kernels.norm import _cuda_batch, _cuda_batch_passes

    if wide and (capability != H200 or dtype != SINGLE):
        pytest.skip("one is enough")
    lanes = 16 // dtype.itemsize
    check(_cuda_batch_passes.normalize(dtype, lanes, "planes", wide), capability, dtype, 1536, 1)
    check(_cuda_batch_passes.slopes(dtype, lanes, "planes", wide, True), capability, dtype, 1536, 2)
    for sums in (_cuda_batch.moments(dtype, lanes, wide), _cuda_batch_passes.products(dtype, lanes, wide)):
        check(sums, capability, dtype, 1536)
        if disassembler() is not None:
            assert "LDG.E.128" in [opcode(line) for line in instructions(sums.build(capability).code)]


def test_batch_norm_of_features():
    from numbagrad.kernels.norm import _cuda_batch, _cuda_batch_passes

    check(_cuda_batch_passes.normalize(SINGLE, 4, "features", False), H200, SINGLE, 1536, 4)
    check(_cuda_batch_passes.slopes(SINGLE, 4, "features", False, True), H200, SINGLE, 1536, 6)
    check(_cuda_batch.feature_moments(BRAIN), H200, BRAIN, 1536)
    check(_cuda_batch_passes.feature_products(SINGLE), H200, SINGLE, 1536)


@pytest.mark.parametrize("kind", [SINGLE, DOUBLE], ids=_dtypes.name)
def test_channels(kind):
    from numbagrad.kernels.norm import _cuda_batch, _cuda_batch_passes

    check(_cuda_batch.join_moments(kind, True, True, True), H200, kind, 1024)
    check(_cuda_batch_passes.join_products(kind, True, True), H200, kind, 1024)
    check(_cuda_batch.fixed(kind, True, True), H200, kind, 1024)


def test_dtype_of_scalars():
    """Shapes are passed as 32-bit numbers where the kernel counts in them."""
    from numbagrad.kernels.norm import _cuda_batch

    assert _cuda_batch.moments(SINGLE, 4, False).parameters[2] is np.uint32
    assert _cuda_batch.moments(SINGLE, 4, True).parameters[2] is np.uint64
