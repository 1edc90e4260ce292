"""The vector type and the hand-written loops, at the width of this machine."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels._cpu import address_of, kernel, simd

numba_config = pytest.importorskip("numba").core.config
pytestmark = pytest.mark.skipif(bool(numba_config.DISABLE_JIT), reason="vector code exists only compiled")


def call(function, *args):
    """Run ``function`` on the addresses of the arrays among ``args``."""
    count = len(args)
    names = ", ".join(f"x{i}" for i in range(count))
    values = ", ".join(f"address_of(x{i})" if isinstance(a, np.ndarray) else f"x{i}" for i, a in enumerate(args))
    scope = {"function": function, "address_of": address_of}
    exec(f"def run(lo, hi, {names}):\n    function({values})\n", scope)
    kernel(scope["run"])(0, 1, *[id(a) if isinstance(a, np.ndarray) else a for a in args])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transpose(dtype):
    lanes, itemsize = simd.lanes(dtype), np.dtype(dtype).itemsize
    source = np.arange(1, 41 * 41 + 1, dtype=dtype).reshape(41, 41)
    for rows, columns in [(lanes, lanes), (lanes + 5, lanes), (1, lanes), (lanes, 1), (2, 1), (0, 1), (-3, 2), (1, -1)]:
        out = np.full((lanes, lanes), np.nan, dtype)
        call(simd.transpose(dtype), out, lanes * itemsize, source, 41 * itemsize, rows, columns)
        r, c = np.clip([rows, columns], 0, lanes)
        expected = np.zeros((lanes, lanes), dtype)
        expected[:c, :r] = source[:r, :c].T
        assert np.array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows, columns", [(5, 2), (1, 1)])
def test_tile(dtype, rows, columns):
    rng = np.random.default_rng(0)
    itemsize, width = np.dtype(dtype).itemsize, columns * simd.lanes(dtype)
    tile = simd.tile(dtype, rows, columns)
    for k in (0, 1, 9):
        a, b = rng.standard_normal((rows, k)).astype(dtype), rng.standard_normal((k, width)).astype(dtype)
        bias = rng.standard_normal(width).astype(dtype)
        c = np.full((rows, width), np.nan, dtype)
        row = width * itemsize
        call(tile, k, a, k * itemsize, itemsize, b, row, c, row, bias, 0, 0)
        assert np.allclose(c, a @ b + bias, rtol=1e-5, atol=1e-5)
        call(tile, k, a, k * itemsize, itemsize, b, row, c, row, c, row, 0)  # accumulates
        assert np.allclose(c, 2 * (a @ b) + bias, rtol=1e-5, atol=1e-5)
        kept = c.copy()
        call(tile, 0, a, k * itemsize, itemsize, b, row, c, row, c, row, 1)  # relu
        assert np.array_equal(c, np.maximum(kept, 0))


def test_stack_space():
    """Each area is its own, aligned, and there for as long as the call."""
    first, second, load, store = simd.stack_space(256), simd.stack_space(64), simd.vectors(np.float32).load, simd.vectors(np.float32).store
    zero, lanes = simd.vectors(np.float32).zero, simd.lanes(np.float32)

    @kernel
    def work(lo, hi, out, x_id):
        a, b = first(), second()
        for i in range(lo, hi):
            store(a + i % 4 * 64, load(address_of(x_id) + i * lanes * 4))
            store(b, zero())
        out[0], out[1], out[2] = a % 64, b % 64, abs(a - b)
        store(address_of(x_id), load(a + 3 * 64))

    x, out = np.arange(8 * lanes, dtype=np.float32), np.ones(3, np.int64)
    work(0, 8, out, id(x))
    assert out[0] == out[1] == 0 and out[2] >= 64
    assert np.array_equal(x[:lanes], np.arange(7 * lanes, 8 * lanes))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vector_functions(dtype):
    v = simd.vectors(dtype)
    lanes, itemsize = v.lanes, np.dtype(dtype).itemsize
    load_part, store_part, load, store = v.load_part, v.store_part, v.load, v.store
    fma, add, sub, mul, maximum, minimum, total, splat, zero = (
        v.fma, v.add, v.sub, v.mul, v.maximum, v.minimum, v.total, v.splat, v.zero,
    )  # fmt: skip

    @kernel
    def work(lo, hi, out_id, x_id, y_id, n, sums):
        out, x, y = address_of(out_id), address_of(x_id), address_of(y_id)
        running = zero()
        for i in range(0, n, lanes):
            at, left = i * itemsize, n - i
            a, b = (load(x + at), load(y + at)) if left >= lanes else (load_part(x + at, left), load_part(y + at, left))
            running = add(running, mul(a, b))
            result = fma(a, b, sub(maximum(a, b), minimum(a, splat(sums[1]))))
            if left >= lanes:
                store(out + at, result)
            else:
                store_part(out + at, result, left)
        sums[0] = total(running)

    rng = np.random.default_rng(1)
    for n in (1, lanes - 1, lanes, 5 * lanes + 3):
        x, y, out = (rng.standard_normal(n + 2).astype(dtype) for _ in range(3))
        x[0] = np.nan if n > 1 else 1
        sums, last = np.array([0, 0.25], dtype), out[n:].copy()
        work(0, 1, id(out), id(x), id(y), n, sums)
        a, b = x[:n], y[:n]
        expected = a * b + (np.maximum(a, b) - np.minimum(a, dtype(0.25)))
        assert np.allclose(out[:n], expected, rtol=1e-5, atol=1e-6, equal_nan=True)
        assert np.array_equal(out[n:], last)  # nothing beyond is written
        assert np.allclose(sums[0], (a * b).sum(), rtol=1e-4, atol=1e-5, equal_nan=True)
