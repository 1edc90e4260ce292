"""The radix sort that families share, and sums over the threads before."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels._cuda import driver, radix
from numbagrad.kernels._cuda.array import empty
from numbagrad.kernels._cuda.collectives import block_scan
from numbagrad.kernels._cuda.intrinsics import cuda
from numbagrad.kernels._cuda.launch import kernel, launch, pointer
from numbagrad.kernels._cuda.transfer import to_device, to_host
from tests.cuda.tensors import ON_A_GPU


def on_a_gpu(test):
    for mark in ON_A_GPU:
        test = mark(test)
    return test


# Rows shorter than a tile and longer, keys of a digit and more; on a GPU, of many tiles.
SHAPES = [
    (np.uint32, 8, 1, 300),
    (np.uint64, 6, 2, 150),
    (np.uint32, 1, 3, 7),
    (np.uint32, 0, 1, 5),
    (np.uint32, 3, 2, 128),
    (np.uint64, 4, 0, 0),
]
SHAPES += [] if driver.SIMULATED else [(np.uint32, 32, 1, 1_000_003), (np.uint64, 50, 3, 300_000), (np.uint32, 2, 1, 5_000_000)]


@on_a_gpu
@pytest.mark.parametrize("K, bits, rows, n", SHAPES)
def test_sorted_stably(K, bits, rows, n):
    x = np.random.default_rng(n).integers(0, 1 << bits, (rows, n)).astype(K)
    keys, places = radix.sort_pairs(to_device(x.reshape(-1), 0), bits, rows)
    order = np.argsort(x, axis=1, kind="stable")
    assert places.dtype == np.uint32
    np.testing.assert_array_equal(to_host(places).reshape(rows, n), order)
    np.testing.assert_array_equal(to_host(keys).reshape(rows, n), np.take_along_axis(x, order, 1))


@on_a_gpu
def test_higher_bits_do_not_count():
    x = np.uint32([5 << 16 | 2, 2, 9 << 16 | 1, 1 << 31])
    keys, places = radix.sort_pairs(to_device(x, 0), 4)
    assert to_host(places).tolist() == [3, 2, 0, 1] and to_host(keys).tolist() == x[[3, 2, 0, 1]].tolist()


@on_a_gpu
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_scan(dtype):
    threads = 64
    scan = block_scan(dtype, threads)

    @kernel(pointer(dtype), pointer(dtype), pointer(dtype), bounds=threads)
    def sums(before, total, x):
        i = np.uint32(cuda.threadIdx.x)
        first, _ = scan(x[i])
        before[i], total[i] = scan(dtype(first + x[i]))

    x = np.random.default_rng(0).integers(-9, 9, threads).astype(dtype)
    outs = [empty((threads,), dtype) for _ in range(2)]
    launch(sums, 1, threads, (*(out.pointer for out in outs), to_device(x, 0).pointer))
    twice = np.cumsum(np.cumsum(x))
    np.testing.assert_array_equal(to_host(outs[0]), np.concatenate([[0], twice[:-1]]))
    np.testing.assert_array_equal(to_host(outs[1]), np.full(threads, twice[-1]))
