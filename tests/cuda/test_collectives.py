"""Values combined over warps and blocks."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels._cuda import driver
from numbagrad.kernels._cuda.array import empty
from numbagrad.kernels._cuda.collectives import WARP, add, block_fold, largest, smallest, team, warp_fold
from numbagrad.kernels._cuda.intrinsics import cuda
from numbagrad.kernels._cuda.launch import kernel, launch, pointer
from numbagrad.kernels._cuda.transfer import to_device, to_host
from tests.cuda.cubin import disassembler, doubles, instructions, usage

COMBINED = {"add": (add, np.sum), "largest": (largest, np.max), "smallest": (smallest, np.min)}


def folding(name, dtype, width, threads):
    """A kernel that folds twice, one behind the other: over groups of lanes, and over the block."""
    combine = COMBINED[name][0](dtype)
    within, over = warp_fold(combine, width), block_fold(combine, dtype, threads)

    @kernel(pointer(dtype), pointer(dtype), pointer(dtype), pointer(dtype), bounds=threads)
    def fold(groups, all_, again, x):
        i = np.uint32(cuda.threadIdx.x)
        groups[i] = within(x[i])
        all_[i] = over(x[i])
        again[i] = over(dtype(x[i] + x[i]))

    return fold


@pytest.mark.skipif(not driver.SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1")
@pytest.mark.parametrize("threads", [32, team(256)])
@pytest.mark.parametrize("width", [1, 4, WARP])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("name", COMBINED)
def test_folds(name, dtype, width, threads):
    x = (np.random.default_rng(0).permutation(threads) - threads // 3).astype(dtype)
    outs = [empty((threads,), np.dtype(dtype)) for _ in range(3)]
    launch(folding(name, dtype, width, threads), 1, threads, (*(out.pointer for out in outs), to_device(x, 0).pointer))
    groups, over, again = map(to_host, outs)
    reference = COMBINED[name][1]
    np.testing.assert_array_equal(groups, np.repeat(reference(x.reshape(-1, width), 1), width))
    np.testing.assert_array_equal(over, np.full(threads, reference(x)))
    np.testing.assert_array_equal(again, np.full(threads, reference(2 * x)))


@pytest.mark.skipif(not driver.SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1")
@pytest.mark.parametrize("at", [0, 31, 40])
@pytest.mark.parametrize("name", ["largest", "smallest"])
def test_nan_wins(name, at):
    x = np.arange(64, dtype=np.float32)
    x[at] = np.nan
    outs = [empty((64,), np.dtype(np.float32)) for _ in range(3)]
    launch(folding(name, np.float32, 32, 64), 1, 64, (*(out.pointer for out in outs), to_device(x, 0).pointer))
    assert np.isnan(to_host(outs[1])).all()


@pytest.mark.skipif(driver.SIMULATED or disassembler() is None, reason="needs a compiler and nvdisasm")
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_code(capability):
    cubin = folding("add", np.float32, 32, 256).build(capability)
    code = instructions(cubin.code)
    assert usage(cubin.code).stack == 0
    assert not doubles(code)
    assert sum(line.startswith("SHFL") for line in code) == 15, "five steps a fold"
