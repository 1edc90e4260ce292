"""What the simulator finds wrong with a kernel, which a device might let pass."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels._cuda import driver
from numbagrad.kernels._cuda.array import zeros
from numbagrad.kernels._cuda.intrinsics import cuda, shuffle_xor
from numbagrad.kernels._cuda.launch import kernel, launch, pointer
from numbagrad.kernels._cuda.transfer import to_host

pytestmark = pytest.mark.skipif(not driver.SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1")
THREADS = 8


def launched(function, threads=THREADS, shared=0):
    out = zeros((threads,), np.dtype(np.int32))
    launch(kernel(pointer(np.int32))(function), 1, threads, (out.pointer,), shared)
    return to_host(out)


def neighbour(out, with_barrier, backwards):
    """out[i] = what the thread before (or behind) has left in shared memory."""
    i = cuda.threadIdx.x
    shared = cuda.shared.array(THREADS, dtype=np.int32)
    shared[i] = -1
    cuda.syncthreads()
    shared[i] = i
    if with_barrier:
        cuda.syncthreads()
    out[i] = shared[(i + (1 if backwards else -1)) % THREADS]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_barrier_that_lacks(backwards):
    def right(out):
        neighbour(out, True, backwards)

    def wrong(out):
        neighbour(out, False, backwards)

    expected = np.roll(np.arange(THREADS), -1 if backwards else 1)
    np.testing.assert_array_equal(launched(right), expected)
    assert (launched(wrong) != expected).any()


def test_threads_that_wait_in_vain():
    def waits(out):
        if cuda.threadIdx.x < 2:
            cuda.syncthreads()
        else:
            shuffle_xor(np.int32(0), 1)

    with pytest.raises(RuntimeError, match="wait for each other at different barriers"):
        launched(waits)


def test_a_barrier_does_not_wait_for_who_has_ended():
    def some(out):
        i = cuda.threadIdx.x
        if i < 3:
            return
        cuda.syncthreads()
        out[i] = 1

    np.testing.assert_array_equal(launched(some), [0, 0, 0, 1, 1, 1, 1, 1])


def test_a_lane_that_has_ended():
    def some(out):
        if cuda.threadIdx.x != 3:
            out[cuda.threadIdx.x] = shuffle_xor(np.int32(1), 1)

    with pytest.raises(RuntimeError, match="a warp's lanes wait for one that has ended"):
        launched(some)


def test_shared_memory_begins_as_garbage_in_each_block():
    def reads(out):
        once = cuda.shared.array(THREADS, dtype=np.int32)
        dynamic = cuda.shared.array(0, dtype=np.int32)
        if cuda.threadIdx.x == 0:
            out[0], out[1] = once[5], dynamic[1]
            once[5] = dynamic[1] = 7

    garbage = np.frombuffer(b"\xcb" * 4, np.int32)[0]
    for _ in range(2):
        np.testing.assert_array_equal(launched(reads, shared=8)[:2], [garbage, garbage])


def test_counting_over_a_block():
    def counts(out):
        i = cuda.threadIdx.x
        out[i] = 100 * cuda.syncthreads_count(i < 3) + 10 * cuda.syncthreads_and(i < THREADS) + cuda.syncthreads_or(i > THREADS)

    np.testing.assert_array_equal(launched(counts), [310] * THREADS)


def test_a_barrier_of_a_warp():
    def through_shared(out):
        i = cuda.threadIdx.x
        shared = cuda.shared.array(64, dtype=np.int32)
        shared[i] = i
        cuda.syncwarp()
        out[i] = shared[i ^ 31]

    np.testing.assert_array_equal(launched(through_shared, 64), np.arange(64) ^ 31)


def test_the_place_in_a_block_of_three_dimensions():
    @kernel(pointer(np.int32))
    def where(out):
        i = cuda.threadIdx
        number = i.x + cuda.blockDim.x * (i.y + cuda.blockDim.y * i.z)
        out[number] = cuda.laneid + 100 * cuda.blockIdx.x + 1000 * cuda.gridDim.y

    out = zeros((48,), np.dtype(np.int32))
    launch(where, (2, 3), (4, 3, 4), (out.pointer,))
    np.testing.assert_array_equal(to_host(out), np.arange(48) % 32 + 100 + 3000)
