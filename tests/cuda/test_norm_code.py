"""The kernels of ``norm`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.norm import _cuda_batch as batch
from numbagrad.kernels.norm import _cuda_batch_passes as passes
from numbagrad.kernels.norm import _cuda_layer as layer
from numbagrad.kernels.norm import _cuda_layer_long as long
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

SINGLE, DOUBLE, HALF, BRAIN = _dtypes.float32, _dtypes.float64, _dtypes.float16, _dtypes.bfloat16


class Case(NamedTuple):
    """A kernel; the threads that a multiprocessor should have room for; the type of its arithmetic; at least how many of the array's loads are 16 bytes
    wide, and whether there are such stores."""

    make: Callable[[], Any]
    threads: int
    dtype: np.dtype = SINGLE
    loads: int = 0
    stores: bool = False


# The number of elements in a row, and in a vector; from eight rows a warp to the longest row in registers, a block of 1024 threads.
ROWS = [(SINGLE, 64, 4), (SINGLE, 1000, 4), (SINGLE, 1024, 4), (SINGLE, 4096, 4), (SINGLE, 8192, 4), (SINGLE, 33, 1), (BRAIN, 1024, 8)]
ROWS += [(HALF, 100, 4), (DOUBLE, 512, 2)]


def _rows(dtype: np.dtype, width: int, lanes: int) -> dict[str, Case]:
    """Forward two blocks of the largest size, or full occupancy; backward, with the sums for weight and bias in registers too, half of that."""
    shape = layer.shape_of(dtype, width, lanes)
    assert shape is not None
    name, wide = f"{_dtypes.name(dtype)} {width}", lanes * dtype.itemsize == 16
    forward, backward = lambda: layer.forward(dtype, shape, True, True), lambda: layer.backward(dtype, shape, True, True)
    return {
        f"rows {name}": Case(forward, 1024, dtype, shape.steps if wide else 0, wide),
        f"rows backward {name}": Case(backward, 1024 if shape.block > 512 else 512, dtype, 2 * shape.steps if wide else 0, wide),
    }


def _long_rows(dtype: np.dtype) -> dict[str, Case]:
    name, lanes = _dtypes.name(dtype), 16 // dtype.itemsize
    return {
        f"long rows {name}": Case(lambda: long.forward(dtype, lanes, True, True), 1024, dtype, 3, True),
        f"long rows backward {name}": Case(lambda: long.backward(dtype, lanes, True), 1024, dtype, 4, True),
        f"sums of columns {name}": Case(lambda: long.columns(dtype), 1024, dtype),
    }


def _planes(dtype: np.dtype, wide: bool) -> dict[str, Case]:
    """Sums, and the passes over planes: what is bound by memory has three quarters of all threads at once at least."""
    name, lanes = _dtypes.name(dtype) + (" wide" if wide else ""), 16 // dtype.itemsize
    return {
        f"normalize planes {name}": Case(lambda: passes.normalize(dtype, lanes, "planes", wide), 1536, dtype, 1, True),
        f"slopes of planes {name}": Case(lambda: passes.slopes(dtype, lanes, "planes", wide, True), 1536, dtype, 2, True),
        f"moments {name}": Case(lambda: batch.moments(dtype, lanes, wide), 1536, dtype, 1),
        f"products {name}": Case(lambda: passes.products(dtype, lanes, wide), 1536, dtype, 1),
    }


def _channels(kind: np.dtype) -> dict[str, Case]:
    name = _dtypes.name(kind)
    return {
        f"join moments {name}": Case(lambda: batch.join_moments(kind, True, True, True), 1024, kind),
        f"join products {name}": Case(lambda: passes.join_products(kind, True, True), 1024, kind),
        f"fixed {name}": Case(lambda: batch.fixed(kind, True, True), 1024, kind),
    }


CASES = {
    **{name: case for row in ROWS for name, case in _rows(*row).items()},
    **{name: case for dtype in (SINGLE, BRAIN, DOUBLE) for name, case in _long_rows(dtype).items()},
    **{name: case for of in ((SINGLE, False), (BRAIN, False), (SINGLE, True)) for name, case in _planes(*of).items()},
    "normalize features": Case(lambda: passes.normalize(SINGLE, 4, "features", False), 1536, SINGLE, 4, True),
    "slopes of features": Case(lambda: passes.slopes(SINGLE, 4, "features", False, True), 1536, SINGLE, 6, True),
    "moments of features": Case(lambda: batch.feature_moments(BRAIN), 1536, BRAIN),
    "products of features": Case(lambda: passes.feature_products(SINGLE), 1536),
    **{name: case for kind in (SINGLE, DOUBLE) for name, case in _channels(kind).items()},
}
KERNELS = Kernels({name: case.make for name, case in CASES.items()})


@architectures
@pytest.mark.parametrize("name", CASES)
def test_compiled(name, arch):
    _, threads, dtype, loads, stores = CASES[name]
    opcodes = checked(KERNELS.code(name, arch), threads, dtype == DOUBLE)
    assert sum(op.startswith("LDG.E.128") for op in opcodes) >= loads
    assert "STG.E.128" in opcodes or not stores


def test_no_row_is_split_among_more_threads_than_a_block_has():
    assert layer.shape_of(SINGLE, 8196, 4) is None and layer.shape_of(DOUBLE, 4098, 2) is None
    for width in range(1, 300):
        for lanes in (1, 2, 4):
            if width % lanes == 0:
                shape = layer.shape_of(SINGLE, width, lanes)
                assert shape.block % 32 == 0 and shape.block == shape.teams * shape.threads


@pytest.mark.parametrize("dtype, width, lanes", ROWS)
def test_rows_are_shared_out(dtype, width, lanes):
    """No more threads than it takes to hold the row."""
    shape = layer.shape_of(dtype, width, lanes)
    assert shape.threads * shape.steps * lanes >= width and (shape.threads == 1 or shape.threads // 2 * shape.steps * lanes < width)


def test_dtype_of_scalars():
    """Shapes are passed as 32-bit numbers where the kernel counts in them."""
    assert batch.moments(SINGLE, 4, False).parameters[2] is np.uint32
    assert batch.moments(SINGLE, 4, True).parameters[2] is np.uint64
