"""Matrix products against NumPy in float64: every layout, sizes around the edges of the tiles, every vector width."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from numbagrad.kernels import _cpu, _dtypes
from numbagrad.kernels import copy as C
from numbagrad.kernels import matmul as M
from numbagrad.kernels.elementwise import activations

SIZES = [1, 2, 3, 7, 8, 13, 14, 15, 16, 17, 31, 33, 65]
F = np.float32
LAYOUTS = ["rows", "columns", "gaps", "strided", "reversed", "broadcast"]


def laid_out(shape, layout, dtype, rng):
    """Random values of this shape, the last two dimensions laid out in the named way."""
    *batch, m, n = shape
    draw = lambda *s: rng.standard_normal(s).astype(dtype)
    if layout == "rows":
        return draw(*batch, m, n)
    if layout == "columns":
        return draw(*batch, n, m).swapaxes(-1, -2)
    if layout == "gaps":
        return draw(*batch, m, n + 3)[..., 1 : n + 1]
    if layout == "strided":
        return draw(*batch, 2 * m, 3 * n)[..., ::2, ::3]
    if layout == "reversed":
        return draw(*batch, m, n)[..., ::-1, ::-1]
    return np.broadcast_to(draw(*batch, 1, n), shape)


def assert_product(result, a, b, start=0.0):
    """``result`` is start + a·b to within the rounding of sums of as many terms."""
    wide = np.complex128 if result.dtype.kind == "c" else np.float64
    exact = start + a.astype(wide) @ b.astype(wide)
    bound = start + np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) if np.ndim(start) == 0 else np.abs(exact) + a.shape[-1]
    assert result.shape == exact.shape
    eps = np.finfo(result.dtype).eps
    assert np.all(np.abs(result - exact) <= 4 * eps * (bound + 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sizes_around_tile_edges(dtype):
    rng = np.random.default_rng(0)
    for m, n in itertools.product(SIZES, SIZES):
        k = int(rng.choice(SIZES))
        a, b = (laid_out(s, rng.choice(LAYOUTS), dtype, rng) for s in ((m, k), (k, n)))
        assert_product(M.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(dtype):
    rng = np.random.default_rng(1)
    for left, right in itertools.product(LAYOUTS, LAYOUTS):
        for m, k, n in [(5, 9, 4), (40, 70, 50), (1, 37, 45), (45, 37, 1)]:
            a, b = laid_out((m, k), left, dtype, rng), laid_out((k, n), right, dtype, rng)
            assert_product(M.matmul(a, b), a, b)


@pytest.mark.parametrize("m, k, n", [(350, 600, 130), (20, 300, 2100), (700, 30, 33), (3, 5000, 4), (64, 784, 128), (129, 2, 257)])
def test_several_blocks(m, k, n):
    rng = np.random.default_rng(2)
    for left, right in itertools.product(["rows", "columns"], ["rows", "columns"]):
        a, b = laid_out((m, k), left, np.float32, rng), laid_out((k, n), right, np.float32, rng)
        assert_product(M.matmul(a, b), a, b)


@pytest.mark.parametrize("few", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_rows_or_columns(few, dtype):
    rng = np.random.default_rng(20)
    for many, k in [(1, 9), (6, 2), (7, 8), (33, 1), (130, 41), (600, 300), (3, 5000)]:
        for left, right in itertools.product(["rows", "columns", "strided"], ["rows", "columns", "strided"]):
            for m, n in ((few, many), (many, few)):
                a, b = laid_out((m, k), left, dtype, rng), laid_out((k, n), right, dtype, rng)
                assert_product(M.matmul(a, b), a, b)
                for start in (laid_out((m, n), "columns", dtype, rng), laid_out((m, n), "rows", dtype, rng)[0]):
                    assert_product(M.addmm(start, a, b), a, b, start)


def test_few_columns_of_a_big_transposed_matrix():
    rng = np.random.default_rng(21)
    a = laid_out((700, 600), "columns", np.float32, rng)
    for n in (1, 2, 3, 4):
        b = laid_out((600, n), "rows", np.float32, rng)
        result = M.matmul(a, b)
        assert result.flags.c_contiguous
        assert_product(result, a, b)


@pytest.mark.parametrize("m, n", [(1, 1), (3, 3), (16, 16), (1, 40), (8, 1), (40, 65)])
@pytest.mark.parametrize("k", [16384, 16385, 70001])
def test_long_sums(m, n, k):
    rng = np.random.default_rng(22)
    start = laid_out((m, n), "rows", np.float32, rng)
    for left, right in itertools.product(["rows", "columns", "reversed"], ["rows", "columns"]):
        a, b = laid_out((m, k), left, np.float32, rng), laid_out((k, n), right, np.float32, rng)
        assert_product(M.matmul(a, b), a, b)
        assert_product(M.addmm(start, a, b), a, b, start)
        assert_product(M.addmm(start[0], a, b), a, b, np.broadcast_to(start[0], (m, n)))


@pytest.mark.parametrize("m, k, n", [(1, 64, 70), (70, 64, 1), (4, 4, 4), (8, 8, 8), (2, 33, 5), (20, 5, 3), (16, 17, 18), (2, 1, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_of_small_products(m, k, n, dtype):
    rng = np.random.default_rng(23)
    for left, right in itertools.product(["rows", "columns"], ["rows", "columns"]):
        a, b = laid_out((5, 3, m, k), left, dtype, rng), laid_out((5, 3, k, n), right, dtype, rng)
        assert_product(M.matmul(a, b), a, b)
        assert_product(M.matmul(a[::-1, 1:2], b[:1]), a[::-1, 1:2], b[:1])


def test_a_product_is_chosen_by_all_that_it_depends_on():
    """Operands that agree in all but one of dtype, strides and bias, one after the other: what was prepared for one is not used for another."""
    rng = np.random.default_rng(24)
    for _ in range(2):
        for dtype in (np.float32, np.float64, np.int32, np.int64, np.complex64):
            square = [np.asarray(x, dtype) for x in rng.integers(-9, 9, (2, 6, 6))]
            for a, b in itertools.product((square[0], square[0].T, square[0][:, ::-1]), (square[1], square[1].T, square[1][::-1])):
                assert np.array_equal(M.matmul(a, b), a @ b)
                for bias in (None, square[0][0], square[0][:, 1], square[0][:1, 0].reshape(()), square[0][:1]):
                    assert np.array_equal(M.linear(a, b, bias), a @ b.T + (0 if bias is None else bias))
    with pytest.raises(RuntimeError, match="same dtype"):
        M.matmul(np.ones((6, 6), np.float32), np.ones((6, 6)))


def test_power_of_two_strides():
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal((512, 512)).astype(np.float32) for _ in range(2))
    for x, y in [(a, b), (a.T, b), (a, b.T), (a.T, b.T)]:
        assert_product(M.matmul(x, y), x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [0, 1, 3, 16, 100, 5000])
def test_vectors(dtype, k):
    rng = np.random.default_rng(4)
    a, v, w = (
        rng.standard_normal((70, k)).astype(dtype),
        rng.standard_normal(k).astype(dtype),
        rng.standard_normal(2 * k).astype(dtype)[::2],
    )
    for vector in (v, w):
        assert_product(M.matmul(a, vector), a, vector)
        assert_product(M.matmul(vector, a.T), vector, a.T)
        assert_product(M.matmul(np.ascontiguousarray(a.T).T, vector), a, vector)
        assert_product(M.matmul(vector, np.ascontiguousarray(a.T)), vector, a.T)
        assert_product(M.matmul(v, vector), v, vector)


def test_long_dot_is_accurate():
    n = 1 << 24
    ones = np.ones(n + 100, np.float32)
    assert M.matmul(ones, ones) == n + 100


BATCHES = [
    ((3, 4, 5), (3, 5, 6)),
    ((3, 4, 5), (5, 6)),
    ((4, 5), (3, 5, 6)),
    ((2, 1, 4, 5), (3, 5, 6)),
    ((2, 3, 4, 5), (2, 1, 5, 6)),
    ((5,), (2, 3, 5, 6)),
    ((2, 3, 4, 5), (5,)),
    ((2, 3, 1, 5), (5, 6)),
    ((1, 1, 4, 5), (1, 5, 6)),
    ((20, 17, 33), (20, 33, 40)),
    ((0, 4, 5), (5, 6)),
    ((0, 4, 5), (1, 5, 6)),
    ((2, 4, 0), (2, 0, 6)),
    ((2, 0, 5), (5, 6)),
]


@pytest.mark.parametrize("a_shape, b_shape", BATCHES)
def test_batches(a_shape, b_shape):
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal(a_shape).astype(np.float32), rng.standard_normal(b_shape).astype(np.float32)
    assert_product(M.matmul(a, b), a, b)
    if min(a.ndim, b.ndim) > 1:
        a, b = np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1), np.ascontiguousarray(b.swapaxes(0, -1)).swapaxes(0, -1)
        assert_product(M.matmul(a, b), a, b)


def test_broadcast_batch_views():
    rng = np.random.default_rng(6)
    a = np.broadcast_to(rng.standard_normal((4, 5)).astype(np.float32), (3, 2, 4, 5))
    b = rng.standard_normal((2, 3, 5, 6)).astype(np.float32).swapaxes(0, 1)
    assert_product(M.matmul(a, b), a, b)


@pytest.mark.parametrize(
    "shape", [((0, 3), (3, 4)), ((2, 0), (0, 4)), ((2, 3), (3, 0)), ((0, 0), (0, 0)), ((0,), (0,)), ((0,), (0, 3)), ((3, 0), (0,))]
)
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_zero_size(shape, dtype):
    a, b = (np.ones(s, dtype) for s in shape)
    result = M.matmul(a, b)
    assert result.shape == (a @ b).shape
    assert not result.any()


@pytest.mark.parametrize("dtype", _dtypes.INTEGERS)
def test_integers_wrap(dtype):
    rng = np.random.default_rng(7)
    info = np.iinfo(dtype)
    a = rng.integers(info.min, info.max, (2, 7, 70), dtype, endpoint=True)
    b = rng.integers(info.min, info.max, (9, 70), dtype, endpoint=True).T
    assert np.array_equal(M.matmul(a, b), a @ b)
    assert np.array_equal(M.matmul(a[0, 0], b), a[0, 0] @ b)
    assert np.array_equal(M.matmul(a, a[0, 0]), a @ a[0, 0])
    assert M.matmul(a, b).dtype == dtype


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex(dtype):
    rng = np.random.default_rng(8)
    a, b = ((rng.standard_normal(s) + 1j * rng.standard_normal(s)).astype(dtype) for s in ((5, 8, 130), (130, 9)))
    assert_product(M.matmul(a, b), a, b)
    assert_product(M.matmul(a[0].T, a[1]), a[0].T, a[1])
    bias = b[0]
    assert_product(M.linear(a[0], b.T, bias), a[0], b, bias)


@pytest.mark.parametrize("dtype", [_dtypes.float16, _dtypes.bfloat16])
def test_half(dtype):
    rng = np.random.default_rng(9)
    a, b = (C.cast(rng.standard_normal(s).astype(np.float32), dtype) for s in ((6, 20), (20, 7)))
    bias = C.cast(rng.standard_normal(7).astype(np.float32), dtype)
    wide = [C.cast(x, _dtypes.float32) for x in (a, b, bias)]
    result = M.matmul(a, b)
    assert result.dtype == dtype
    assert np.array_equal(result, C.cast(M.matmul(wide[0], wide[1]), dtype))
    assert np.array_equal(M.linear(a, b.T, bias), C.cast(M.linear(wide[0], wide[1].T, wide[2]), dtype))
    with pytest.raises(RuntimeError, match="same dtype"):
        M.matmul(a, wide[1])
    with pytest.raises(RuntimeError, match="same dtype"):
        M.linear(a, b.T, wide[2])


@pytest.mark.parametrize("shape", [(3, 20), (20,), (2, 3, 20), (0, 20), (1, 20), (70, 20), (2, 0, 20)])
@pytest.mark.parametrize("n", [1, 5, 40])
def test_linear(shape, n):
    rng = np.random.default_rng(10)
    x, weight, bias = (rng.standard_normal(s).astype(np.float32) for s in (shape, (n, 20), (n,)))
    assert_product(M.linear(x, weight, bias), x, weight.T, bias)
    assert_product(M.linear(x, weight), x, weight.T)
    assert_product(M.linear(x, np.asfortranarray(weight), np.repeat(bias, 2)[::2]), x, weight.T, bias)
    if len(shape) == 3:
        swapped = np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
        assert_product(M.linear(swapped, weight, bias), x, weight.T, bias)
    one = M.linear(x, weight[0])
    assert one.shape == shape[:-1]
    assert_product(one, x, weight[0])


def test_linear_without_inputs_is_the_bias():
    assert np.array_equal(M.linear(np.ones((3, 0), np.float32), np.ones((2, 0), np.float32), np.array([1, 2], np.float32)), [[1, 2]] * 3)


@pytest.mark.parametrize("input_shape", [(5, 7), (7,), (1, 7), (5, 1), (1,), ()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("k", [4, 600])
def test_addmm(input_shape, dtype, k):
    rng = np.random.default_rng(11)
    draw = lambda s: np.asarray(rng.standard_normal(s) * 10).astype(dtype)
    start, a, b = draw(input_shape), draw((5, k)), draw((k, 7))
    result = M.addmm(start, a, b)
    if dtype == np.int32:
        assert np.array_equal(result, start + a @ b)
    else:
        assert np.allclose(
            result,
            start + a.astype(np.float64) @ b,
            rtol=1e-4 if dtype == np.float32 else 1e-12,
            atol=1e-2 if dtype == np.float32 else 1e-9,
        )
    if start.shape == (5, 7):
        assert np.array_equal(M.addmm(start.T, b.T, a.T), result.T)  # the columns of input are not contiguous


def test_nan_and_infinity_stay_in_their_rows_and_columns():
    a, b = np.ones((17, 19), np.float32), np.ones((19, 18), np.float32)
    a[16, 3], b[2, 17] = np.nan, np.inf
    result = M.matmul(a, b)
    assert np.isnan(result[16]).all()
    assert np.isinf(result[:16, 17]).all()
    assert (result[:16, :17] == 19).all()
    a[:] = 0
    assert np.isnan(M.matmul(a, b)[:, 17]).all()  # 0 times infinity


def test_reads_nothing_outside():
    """Operands and result surrounded by NaN: a tile that reads over an edge shows it."""
    sizes = [(15, 17, 33), (7, 40, 16), (30, 5, 50), (1, 33, 31), (31, 33, 1), (3, 17, 70), (70, 17, 3), (9, 3, 65), (2, 16400, 3)]
    for m, k, n in sizes:
        frame_a, frame_b = np.full((m + 40, k + 40), np.nan, np.float32), np.full((k + 40, n + 40), np.nan, np.float32)
        a, b = frame_a[20 : 20 + m, 20 : 20 + k], frame_b[20 : 20 + k, 20 : 20 + n]
        a[:], b[:] = 2, 3
        assert (M.matmul(a, b) == 6 * k).all()
        at, bt = frame_a.T[20 : 20 + k, 20 : 20 + m].T, frame_b.T[20 : 20 + n, 20 : 20 + k].T
        assert (M.matmul(at, bt) == 6 * k).all()


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(12)
    pairs = [
        ((300, 700), (700, 130)),
        ((9, 600), (600, 600)),
        ((12, 70, 50), (12, 50, 80)),
        ((600, 900), (900,)),
        ((900,), (900, 600)),
        ((10**6,), (10**6,)),
        ((16, 40_000), (40_000, 16)),
        ((3, 700), (700, 900)),
        ((40, 2, 300), (40, 300, 60)),
        ((333, 350), (350, 333)),
    ]
    before = _cpu.get_num_threads()
    try:
        for a_shape, b_shape in pairs:
            a, b = rng.standard_normal(a_shape).astype(np.float32), rng.standard_normal(b_shape).astype(np.float32)
            results = []
            for threads in (1, 2, 3, 5):
                _cpu.set_num_threads(threads)
                results.append(M.matmul(a, b))
            assert all(np.array_equal(results[0], r) for r in results[1:])
    finally:
        _cpu.set_num_threads(before)


FORCED = """
import itertools, numpy as np
from numbagrad.kernels import matmul as M
from numbagrad.kernels.elementwise import activations
from numbagrad.kernels._cpu import simd
assert simd.INSTRUCTION_SET == {width!r}
rng = np.random.default_rng(0)
for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-13)):
    for m, n in itertools.product([1, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17, 25, 33], repeat=2):
        k = int(rng.choice([1, 2, 3, 4, 5, 8, 9, 17, 300]))
        if (m, n) in ((3, 5), (8, 8), (33, 1)):
            k = 17000
        for a, b in ((rng.standard_normal((m, k)), rng.standard_normal((k, n))), (rng.standard_normal((k, m)).T, rng.standard_normal((n, k)).T)):
            a, b = a.astype(dtype, order="K"), b.astype(dtype, order="K")
            assert np.abs(M.matmul(a, b) - a.astype(np.float64) @ b).max() <= tolerance * (k + 1), (m, n, k, dtype)
            assert np.array_equal(M.linear(a, b.T, b[0], "relu"), np.maximum(M.linear(a, b.T, b[0]), 0))
    a, b, d = (rng.standard_normal(s).astype(dtype) for s in ((150, 600), (600, 530), (150, 530)))
    for left, right in itertools.product((a, a.T.copy().T), (b, b.T.copy().T)):
        assert np.abs(M.addmm(d, left, right) - (d + a.astype(np.float64) @ b)).max() <= tolerance * 600
"""


@pytest.mark.parametrize("width", ["avx512", "avx2", "neon", "generic"])
def test_forced_vector_width(width):
    done = subprocess.run(
        [sys.executable, "-c", FORCED.format(width=width)],
        env={**os.environ, "NUMBAGRAD_SIMD": width},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def test_unknown_vector_width():
    done = subprocess.run(
        [sys.executable, "-c", "import numbagrad.kernels._cpu.simd"],
        env={**os.environ, "NUMBAGRAD_SIMD": "sse9"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode != 0
    assert "NUMBAGRAD_SIMD" in done.stderr and "sse9" in done.stderr


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "int32"])
def test_linear_ending_in_relu(dtype):
    """The same bits as relu of the product: of tiles whole and moved inward, in one block and several, thin, long, empty, plain and half."""
    rng = np.random.default_rng(24)
    dtype = np.dtype(getattr(_dtypes, dtype))
    shapes = [
        (0, 3, 4),
        (3, 0, 4),
        (3, 4, 0),
        (1, 1, 1),
        (8, 7, 16),
        (64, 64, 32),
        (17, 300, 33),
        (30, 600, 70),
        (5, 700, 9),
        (3, 40000, 5),
    ]
    shapes += [(few, k, 40) for few in (1, 2, 4) for k in (1, 8, 9)] + [(40, k, few) for few in (1, 3) for k in (1, 8, 9)] + [(700, 600, 2)]
    for m, k, n in shapes:
        for layout in ("rows", "columns", "strided"):
            x, weight, bias = (4 * laid_out(s, layout, np.float32, rng) for s in ((m, k), (n, k), (1, n)))
            if dtype.kind != "i" and 0 not in (m, k, n):
                x[0, 0], bias[0, 0], weight[n - 1, k // 2] = np.nan, -0.0, np.inf
            x, weight, bias = (C.cast(v, dtype) for v in (x, weight, bias[0]))
            for added in (None, bias):
                whole = M.linear(x, weight, added)
                found = M.linear(x, weight, added, "relu")
                assert found.dtype == dtype and found.shape == (m, n)
                assert found.tobytes() == activations.relu(whole).tobytes(), (m, k, n, layout)


def test_linear_ending_in_relu_keeps_negative_zero_from_showing():
    x, weight = np.full((9, 1), 1e-30, F), np.full((20, 1), -1e-30, F)  # the product is -0
    for bias in (None, np.full(20, -0.0, F)):
        found = M.linear(x, weight, bias, "relu")
        assert not np.signbit(found).any() and not found.any()


def test_complex_products_do_not_end_in_relu():
    x = np.ones((2, 3), np.complex64)
    with pytest.raises(NotImplementedError, match="relu"):
        M.linear(x, x, None, "relu")


def test_matches_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(13)
    for a_shape, b_shape in [((64, 784), (784, 128)), ((16, 33, 20), (16, 20, 7)), ((5, 6), (6,)), ((2, 3, 4, 5), (3, 5, 2))]:
        a, b = rng.standard_normal(a_shape).astype(np.float32), rng.standard_normal(b_shape).astype(np.float32)
        assert np.allclose(M.matmul(a, b), (torch.from_numpy(a) @ torch.from_numpy(b)).numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: M.matmul(np.ones((2, 3), F), np.ones((4, 5), F)), RuntimeError, r"cannot be multiplied \(2x3 and 4x5\)"),
        (lambda: M.matmul(np.ones((4, 2, 3), F), np.ones((4, 5), F)), RuntimeError, r"cannot be multiplied \(8x3 and 4x5\)"),
        (lambda: M.matmul(np.ones(4, F), np.ones((3, 5), F)), RuntimeError, r"cannot be multiplied \(1x4 and 3x5\)"),
        (lambda: M.matmul(np.ones((2, 3), F), np.ones(4, F)), RuntimeError, r"size mismatch, got input \(2\), mat \(2x3\), vec \(4\)"),
        (lambda: M.matmul(np.ones(3, F), np.ones(4, F)), RuntimeError, r"inconsistent tensor size, expected tensor \[3\] and src \[4\]"),
        (lambda: M.matmul(np.ones((4, 2, 3), F), np.ones((4, 4, 5), F)), RuntimeError, r"to be: \[4, 3\] but got: \[4, 4\]"),
        (lambda: M.matmul(np.ones((4, 2, 3), F), np.ones((3, 3, 5), F)), RuntimeError, r"size of tensor a \(4\) must match .* b \(3\)"),
        (lambda: M.matmul(np.ones((), F), np.ones((4, 5), F)), RuntimeError, "at least 1D, but they are 0D and 2D"),
        (lambda: M.matmul(np.ones((2, 3), F), np.ones((3, 2))), RuntimeError, "same dtype, but got: float != double"),
        (lambda: M.matmul(np.ones((2, 3), bool), np.ones((3, 2), bool)), NotImplementedError, "not implemented for 'Bool'"),
        (lambda: M.linear(np.ones((2, 3), F), np.ones((4, 5), F)), RuntimeError, r"cannot be multiplied \(2x3 and 5x4\)"),
        (
            lambda: M.linear(np.ones((2, 3), F), np.ones((4, 3), F), np.ones(5, F)),
            RuntimeError,
            r"\(4\) must match the existing size \(5\)",
        ),
        (lambda: M.linear(np.ones((2, 3)), np.ones((4, 3), F)), RuntimeError, "same dtype, but got: double != float"),
        (lambda: M.linear(np.ones((2, 3), F), np.ones((4, 3), F), np.ones(4)), RuntimeError, "got float64 and float32"),
        (lambda: M.linear(np.ones((), F), np.ones((4, 3), F)), RuntimeError, "at least 1D"),
        (
            lambda: M.addmm(np.ones(3, F), np.ones((2, 3), F), np.ones((3, 4), F)),
            RuntimeError,
            r"Target sizes: \[2, 4\].  Tensor sizes: \[3\]",
        ),
        (lambda: M.addmm(np.ones(4, F), np.ones((2, 3), F), np.ones((4, 4), F)), RuntimeError, r"cannot be multiplied \(2x3 and 4x4\)"),
        (lambda: M.addmm(np.ones(4, F), np.ones(3, F), np.ones((4, 4), F)), RuntimeError, "to be matrices, but got 1D and 2D"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
