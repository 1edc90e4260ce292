"""Faults that kernels report: noted on the device, raised after the fact, and then forgotten."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

import numbagrad as ng
from numbagrad.kernels._cuda import devices, driver, faults, streams
from numbagrad.kernels._cuda.array import CudaArray, empty
from numbagrad.kernels._cuda.faults import RECORD, kind, record, report
from numbagrad.kernels._cuda.intrinsics import ballot, cuda
from numbagrad.kernels._cuda.launch import kernel, launch, pointer
from numbagrad.kernels._cuda.transfer import to_device, to_host
from tests.cuda.cubin import disassembler, instructions, opcode, usage
from tests.cuda.tensors import ON_A_GPU, ON_TWO_GPUS

RUNS = pytest.mark.skipif(not ng.cuda.is_available(), reason=ON_A_GPU[0].kwargs["reason"])
TEXT = "index {index} is out of bounds for dimension {dim} with size {size}"


@kernel(RECORD, np.int32, pointer(np.float32), pointer(np.float32), pointer(np.int64), np.int64, np.int64)
def look_up(record, outside, out, x, index, size, dim):
    i = np.uint32(cuda.threadIdx.x)
    at = index[i]
    value = np.float32(0)
    if 0 <= at < size:
        value = x[at]
    else:
        report(record, outside, at, size, dim)
    out[i] = value


def looked_up(index: list[int], error: type[Exception] = IndexError, device: int = 0) -> CudaArray:
    """x[index] of x = 10, 11, 12."""
    with devices.guard(device):
        out = empty((len(index),), np.float32)
        x, places = (to_device(np.array(a), device) for a in (np.float32([10, 11, 12]), np.int64(index)))
        launch(look_up, 1, len(index), (record(), kind(error, TEXT), out.pointer, x.pointer, places.pointer, 3, 1))
    return out


@RUNS
def test_raised_after_the_fact_and_once():
    devices.synchronize()
    out = looked_up([0, 7, 2, -1])
    with pytest.raises(IndexError, match=r"index (7|-1) is out of bounds for dimension 1 with size 3\nA kernel on cuda:0 .* a later call"):
        devices.synchronize()
    devices.synchronize()
    np.testing.assert_array_equal(to_host(out), np.float32([10, 0, 12, 0]))
    np.testing.assert_array_equal(to_host(looked_up([1, 1])), np.float32([11, 11]))


WAITS = {
    "copy": to_host,
    "item": lambda out: out[0].item(),
    "stream": lambda out: streams.current_stream().synchronize(),
    "event": lambda out: streams.current_stream().record_event().synchronize(),
    "launch": lambda out: (driver.load().CtxSynchronize(), record()),
}


@RUNS
@pytest.mark.parametrize("how", WAITS)
def test_where_the_host_looks(how):
    out = looked_up([-5], RuntimeError)
    with pytest.raises(RuntimeError, match="index -5"):
        WAITS[how](out)
    devices.synchronize()


@ON_TWO_GPUS
def test_each_device_has_a_record():
    looked_up([3], device=1)
    devices.synchronize(0)
    assert record(0) != faults._records[1].address
    with pytest.raises(IndexError, match=r"index 3 .*\n.*cuda:1"):
        devices.synchronize(1)


@RUNS
def test_kinds_are_numbered_once():
    first = kind(IndexError, TEXT)
    assert first == kind(IndexError, TEXT) != kind(RuntimeError, TEXT) and first > 0


def test_looking_at_what_was_never_used(simulated):
    faults.look(0)
    assert not faults._records and not simulated._pinned


@RUNS
def test_ballot():
    @kernel(pointer(np.uint32), pointer(np.uint8), bounds=64)
    def vote(out, x):
        i = np.uint32(cuda.threadIdx.x)
        out[i] = ballot(x[i] != 0)

    x = np.random.default_rng(0).integers(0, 2, 64).astype(np.uint8)
    out = empty((64,), np.uint32)
    launch(vote, 1, 64, (out.pointer, to_device(x, 0).pointer))
    expected = [int("".join(map(str, half[::-1])), 2) for half in (x[:32], x[32:])]
    np.testing.assert_array_equal(to_host(out), np.repeat(np.uint32(expected), 32))


@pytest.mark.skipif(driver.SIMULATED, reason="the simulator compiles nothing")
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=["sm_80", "sm_90a"])
def test_compiled(capability):
    code = look_up.build(capability).code
    used = usage(code)
    assert used.stack == 0 and used.registers <= 32
    if disassembler() is not None:
        found = [opcode(line) for line in instructions(code)]
        assert any(op.startswith("ATOM") and "CAS" in op for op in found), "the record is not claimed atomically"
        assert any(op.startswith("MEMBAR") and "SYS" in op for op in found), "the fault is announced before it is complete"
