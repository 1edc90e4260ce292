"""The twins of the intrinsics under the simulator, and what is computed the same in both worlds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes, copy
from numbagrad.kernels._cuda import driver
from numbagrad.kernels._cuda.intrinsics import (
    bfloat16_to_float32,
    cuda,
    divide,
    divider,
    float16_to_float32,
    float32_to_bfloat16,
    float32_to_float16,
    load_vector,
    shuffle,
    shuffle_down,
    shuffle_xor,
    store_vector,
)
from numbagrad.kernels._cuda.launch import kernel, launch, pointer

simulated = pytest.mark.skipif(not driver.SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1")


@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_division_by_multiplication(n, divisor):
    multiplier, shift = divider(divisor)
    assert 0 <= multiplier < 2**32 and 0 <= shift < 32
    high = n * multiplier >> 32
    assert high + n < 2**32, "the sum is in 32 bits"
    assert (high + n) >> shift == n // divisor


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 2**31 - 1])
@pytest.mark.parametrize("n", [0, 1, 6, 7, 2**31 - 1])
@simulated
def test_divide(n, divisor):
    assert divide(np.uint32(n), *map(np.uint32, divider(divisor))) == n // divisor


@simulated
def test_halves():
    values = np.array(
        [0.0, -0.0, 1.0, -2.5, 1e-8, 6e-8, 65504.0, 65520.0, 1e30, math.inf, -math.inf, 1 / 3, 1.00390625, 1.01171875], np.float32
    )
    for dtype, narrow, widen in (
        (_dtypes.float16, float32_to_float16, float16_to_float32),
        (_dtypes.bfloat16, float32_to_bfloat16, bfloat16_to_float32),
    ):
        expected = copy.cast(values, dtype)
        with np.errstate(over="ignore"):
            bits = np.array([narrow(x) for x in values], np.uint16)
        np.testing.assert_array_equal(bits, expected.view(np.uint16))
        np.testing.assert_array_equal([widen(x) for x in bits], copy.cast(expected, _dtypes.float32))
        assert math.isnan(widen(narrow(np.float32(math.nan))))


def _device_array(x):
    from numbagrad.kernels._cuda.transfer import to_device

    return to_device(x, 0)


def _host_array(x):
    from numbagrad.kernels._cuda.transfer import to_host

    return to_host(x)


@simulated
def test_vectors():
    @kernel(pointer(np.int32), pointer(np.int32))
    def doubled(out, x):
        i = np.uint32(cuda.threadIdx.x * 4)
        a, b, c, d = load_vector(x, i, 4)
        store_vector(out, i, (a, b, c, np.int32(d + d)))

    x = np.arange(8, dtype=np.int32)
    out = _device_array(np.zeros(8, np.int32))
    launch(doubled, 1, 2, (out.pointer, _device_array(x).pointer))
    np.testing.assert_array_equal(_host_array(out), [0, 1, 2, 6, 4, 5, 6, 14])


@simulated
@pytest.mark.parametrize("threads", [32, 40])
def test_shuffles(threads):
    @kernel(pointer(np.int32), pointer(np.int32), pointer(np.int32))
    def shuffled(across, down, first):
        i = np.uint32(cuda.threadIdx.x)
        across[i] = shuffle_xor(np.int32(i), 3)
        down[i] = shuffle_down(np.int32(i), 2)
        first[i] = shuffle(np.int32(i), 5)

    outs = [_device_array(np.zeros(threads, np.int32)) for _ in range(3)]
    launch(shuffled, 1, threads, [x.pointer for x in outs])
    across, down, first = map(_host_array, outs)
    lanes = np.arange(threads)
    np.testing.assert_array_equal(across, lanes ^ 3)
    last = np.minimum(lanes // 32 * 32 + 31, threads - 1)
    np.testing.assert_array_equal(down, np.where(lanes + 2 <= last, lanes + 2, lanes))
    np.testing.assert_array_equal(first, lanes // 32 * 32 + 5)


@simulated
def test_a_sum_over_a_warp():
    @kernel(pointer(np.float32), pointer(np.float32))
    def total(out, x):
        i = np.uint32(cuda.threadIdx.x)
        value = x[i]
        distance = 16
        while distance > 0:
            value = np.float32(value + shuffle_xor(value, distance))
            distance //= 2
        out[i] = value

    x = np.arange(32, dtype=np.float32)
    out = _device_array(np.zeros(32, np.float32))
    launch(total, 1, 32, (out.pointer, _device_array(x).pointer))
    np.testing.assert_array_equal(_host_array(out), np.full(32, x.sum()))


@simulated
def test_sine_and_its_kin():
    """The CPU's functions, by the operations that CUDA has in their place: 2 units in the last place, for huge arguments too."""
    from numbagrad.kernels._cuda import trig

    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.uniform(-10, 10, 300), np.pi / 2 * np.arange(-20, 20), 10.0 ** rng.uniform(-30, 38, 300), [65535.99, 65536.0, 0.0]]
    ).astype(np.float32)
    assert set(trig.FUNCTIONS) == {"sin", "cos", "tan"}
    for name, function in trig.FUNCTIONS.items():
        with np.errstate(all="ignore"):
            found = np.array([function(v) for v in x])
        exact = getattr(np, name)(x.astype(np.longdouble)).astype(np.float64)
        error = np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32))
        assert found.dtype == np.float32
        assert error.max() <= 2, (name, x[error.argmax()])
        assert np.isnan(function(np.float32(math.inf))) and np.isnan(function(np.float32(math.nan)))


@simulated
def test_a_kernel_that_raises_says_where():
    @kernel(pointer(np.int32))
    def failing(out):
        if cuda.threadIdx.x == 2:
            raise ValueError("no")

    with pytest.raises(ValueError, match=r"tid=\[2, 0, 0\].*no"):
        launch(failing, 1, 4, (0,))
    launch(failing, 1, 2, (0,))
