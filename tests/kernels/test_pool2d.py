"""Pooling kernels against PyTorch, and against the definition where PyTorch is not installed."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from numbagrad.kernels import _dtypes
from numbagrad.kernels import pool2d as P
from numbagrad.kernels.copy import cast

# kernel_size, stride, padding, dilation, ceil_mode
WINDOWS = [
    (2, None, 0, 1, False),
    (2, 2, 0, 1, True),
    (3, 2, 1, 1, False),
    (3, 2, 1, 1, True),
    ((3, 2), (1, 3), (1, 0), 1, True),
    (2, 1, 1, 3, False),
    ((2, 3), (3, 1), (1, 1), (2, 1), True),
    (1, 3, 0, 1, True),
    (4, 4, 2, 1, True),
]
SHAPES = [(2, 3, 9, 8), (2, 13, 11), (1, 1, 8, 8)]


def image(shape, dtype=np.float32, seed=0):
    """Small integers, so that maxima tie."""
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_two_by_two(dtype):
    x = image((3, 2, 7, 9), dtype)
    tiles = np.stack([x[..., i : i + 5 : 2, j : j + 7 : 2] for i in (0, 1) for j in (0, 1)], -1)
    values, indices = P.max_pool2d(x, 2)
    assert values.dtype == dtype and indices.dtype == np.int64
    assert np.array_equal(values, tiles.max(-1))
    which = tiles.argmax(-1)
    rows, columns = np.arange(3)[:, None], np.arange(4)
    assert np.array_equal(indices, (2 * rows + which // 2) * 9 + 2 * columns + which % 2)
    assert np.array_equal(P.max_pool2d_gather(x, indices), values)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_max_pool(window, shape):
    torch = pytest.importorskip("torch")
    x = image(shape)
    tx = torch.from_numpy(x).requires_grad_()
    expected, at = torch.nn.functional.max_pool2d(tx, *window, return_indices=True)
    values, indices = P.max_pool2d(x, *window)
    assert np.array_equal(values, expected.detach().numpy())
    assert np.array_equal(indices, at.numpy())
    grad = image(values.shape, seed=1)
    expected.backward(torch.from_numpy(grad))
    assert np.array_equal(P.max_pool2d_backward(grad, indices, shape), tx.grad.numpy())
    assert np.array_equal(P.max_pool2d_gather(x, indices), values)


@pytest.mark.parametrize("window", [w for w in WINDOWS if w[3] == 1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("count_include_pad", "divisor"), [(True, None), (False, None), (True, 3)])
def test_average_pool(window, shape, count_include_pad, divisor):
    torch = pytest.importorskip("torch")
    kernel, stride, padding, _, ceil_mode = window
    options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    x = image(shape)
    tx = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.avg_pool2d(tx, *options)
    y = P.avg_pool2d(x, *options)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-6)
    grad = image(y.shape, seed=1)
    expected.backward(torch.from_numpy(grad))
    np.testing.assert_allclose(P.avg_pool2d_backward(grad, shape, *options), tx.grad.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("output", [1, (1, 1), (3, 2), (4, None), (11, 10), 0])
def test_adaptive_pools(output):
    torch = pytest.importorskip("torch")
    x = image((2, 3, 8, 7))
    tx = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.adaptive_avg_pool2d(tx, output)
    y = P.adaptive_avg_pool2d(x, output)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-6, atol=1e-7)
    grad = image(y.shape, seed=1)
    (expected * torch.from_numpy(grad)).sum().backward() if grad.size else None  # PyTorch refuses the empty case
    slope = tx.grad.numpy() if grad.size else np.zeros_like(x)
    np.testing.assert_allclose(P.adaptive_avg_pool2d_backward(grad, x.shape), slope, rtol=1e-6, atol=1e-6)
    expected, at = torch.nn.functional.adaptive_max_pool2d(torch.from_numpy(x), output, return_indices=True)
    values, indices = P.adaptive_max_pool2d(x, output)
    assert np.array_equal(values, expected.numpy()) and np.array_equal(indices, at.numpy())


@pytest.mark.parametrize("window", [(2, 2), (3, 1, 1), (3, 2)])
def test_nan_and_infinity(window):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x = rng.choice([np.nan, -np.inf, np.inf, 0.0, 1.0], (2, 8, 9)).astype(np.float32)
    x[0, :4] = -np.inf
    expected, at = torch.nn.functional.max_pool2d(torch.from_numpy(x), *window, return_indices=True)
    values, indices = P.max_pool2d(x, *window)
    np.testing.assert_array_equal(values, expected.numpy())
    assert np.array_equal(indices, at.numpy())


def test_a_window_that_holds_nothing():
    x = np.ones((1, 1, 1), np.float32)
    values, indices = P.max_pool2d(x, 2, 1, 2, 3)
    assert values.shape == (1, 2, 2)
    assert np.all(values == -np.inf) and np.all(indices == -1)  # the taps stand at -2 and 1, then at -1 and 2
    assert P.max_pool2d_backward(np.ones((1, 2, 2), np.float32), indices, (1, 1, 1)) == 0
    assert not P.max_pool2d_gather(x, indices).any()


def test_any_strides_and_empty_batches():
    x = image((2, 3, 6, 8))
    expected, at = P.max_pool2d(x, 2)
    for view in (np.asfortranarray(x), np.ascontiguousarray(x[..., ::-1])[..., ::-1], np.repeat(x, 2, 0)[::2]):
        values, indices = P.max_pool2d(view, 2)
        assert np.array_equal(values, expected) and np.array_equal(indices, at)
        assert np.array_equal(P.avg_pool2d(view, 2), P.avg_pool2d(x, 2))
    one = np.broadcast_to(np.float32(1), (2, 3, 3, 4))
    assert P.max_pool2d_backward(one, at, x.shape).sum() == one.sum()
    empty = np.empty((0, 3, 6, 8), np.float32)
    assert P.max_pool2d(empty, 2)[0].shape == (0, 3, 3, 4)
    assert P.avg_pool2d(empty, 2).shape == (0, 3, 3, 4)
    assert P.max_pool2d_backward(np.empty((0, 3, 3, 4), np.float32), np.empty((0, 3, 3, 4), np.int64), (0, 3, 6, 8)).shape == empty.shape
    assert P.adaptive_avg_pool2d(empty, 1).shape == (0, 3, 1, 1)
    assert P.adaptive_avg_pool2d_backward(np.empty((2, 3, 0, 0), np.float32), (2, 3, 6, 8)).sum() == 0


@pytest.mark.parametrize("half", [np.dtype(np.float16), _dtypes.bfloat16])
def test_halves(half):
    x = cast(image((1, 2, 4, 4)), half)
    values, indices = P.max_pool2d(x, 2)
    assert values.dtype == half and indices.dtype == np.int64
    assert np.array_equal(cast(values, _dtypes.float32), P.max_pool2d(image((1, 2, 4, 4)), 2)[0])
    assert P.avg_pool2d(x, 2).dtype == half


def test_large_averages_keep_their_digits():
    x = np.full((1, 1, 3000, 3000), np.float32(0.1))
    np.testing.assert_allclose(P.adaptive_avg_pool2d(x, 1), 0.1, rtol=1e-6)
    np.testing.assert_allclose(P.avg_pool2d(x[..., :1000, :1000], 1000), 0.1, rtol=2e-5)


@pytest.mark.parametrize("wrong", [16, -2, 2**62, -(2**63)])
def test_an_index_outside_the_plane_is_an_error(wrong):
    x = np.zeros((1, 1, 4, 4), np.float32)
    _, indices = P.max_pool2d(x, 2)
    indices[0, 0, 1, 1] = wrong
    with pytest.raises(IndexError, match=f"index {wrong} "):
        P.max_pool2d_backward(np.ones((1, 1, 2, 2), np.float32), indices, x.shape)
    with pytest.raises(IndexError, match=f"index {wrong} "):
        P.max_pool2d_gather(x, indices)


@pytest.mark.parametrize(
    ("shape", "window", "error", "message"),
    [
        ((2, 3, 4, 4), (2, 2, 2), RuntimeError, "at most half of effective kernel size, but got pad=2, kernel_size=2"),
        ((2, 3, 4, 4), (5,), RuntimeError, r"\(3x4x4\). Calculated output size: \(3x0x0\)"),
        ((2, 3, 4, 4), (0,), RuntimeError, "kernel size should be greater than zero"),
        ((2, 3, 4, 4), (2, 0), RuntimeError, "stride should be greater than zero"),
        ((2, 3, 4, 4), (2, 2, -1), RuntimeError, "non-negative"),
        ((2, 3, 4, 4), ((1, 2, 3),), RuntimeError, "a tuple of two ints"),
        ((2, 3, 4, 4), (2.5,), TypeError, "2.5"),
        ((4, 4), (2,), RuntimeError, r"3D or 4D .* but got: \[4, 4\]"),
        ((2, 0, 4, 4), (2,), RuntimeError, r"\[2, 0, 4, 4\]"),
    ],
)
def test_bad_windows(shape, window, error, message):
    x = np.zeros(shape, np.float32)
    with pytest.raises(error, match=message):
        P.max_pool2d(x, *window)
    with pytest.raises(error, match=message):
        P.avg_pool2d(x, *window)


def test_other_bad_arguments():
    x = np.zeros((2, 3, 4, 4), np.float32)
    with pytest.raises(RuntimeError, match="dilation"):
        P.max_pool2d(x, 2, 2, 0, 0)
    with pytest.raises(RuntimeError, match="divisor must be not zero"):
        P.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(RuntimeError, match="output_size must be 2"):
        P.adaptive_avg_pool2d(x, (1, 2, 3))
    with pytest.raises(RuntimeError, match="greater than or equal to 0"):
        P.adaptive_max_pool2d(x, (-1, 2))
    with pytest.raises(RuntimeError, match="3D or 4D"):
        P.adaptive_avg_pool2d(x[0, 0], 1)
    with pytest.raises(RuntimeError, match="not implemented for bool"):
        P.max_pool2d(x > 0, 2)
    with pytest.raises(RuntimeError, match=r"\[2, 3, 2, 2\]"):
        P.avg_pool2d_backward(np.zeros((2, 3, 4, 4), np.float32), x.shape, 2)
    with pytest.raises(RuntimeError, match="int64"):
        P.max_pool2d_gather(x, np.zeros((2, 3, 2, 2), np.int32))


def test_the_number_of_threads_changes_no_bit():
    from numbagrad.kernels._cpu import get_num_threads, set_num_threads

    x = np.random.default_rng(3).standard_normal((8, 16, 31, 31)).astype(np.float32)
    before = get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            values, indices = P.max_pool2d(x, 3, 1, 1)
            dx = P.max_pool2d_backward(values, indices, x.shape)
            y = P.avg_pool2d(x, 3, 1, 1)
            found.append((values, indices, dx, y, P.avg_pool2d_backward(y, x.shape, 3, 1, 1), P.adaptive_avg_pool2d(x, 5)))
    finally:
        set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [2, 3, 15, 16, 17, 31, 33, 64, 70])
def test_rows_that_end_anywhere_in_a_register(dtype, width):
    rng = np.random.default_rng(width)
    x = rng.choice([np.nan, -np.inf, 0.0, -0.0, 1.0, 2.0], (2, 2, 5, width), p=[0.1, 0.3, 0.2, 0.1, 0.2, 0.1]).astype(dtype)
    values, indices = P.max_pool2d(x, 2)
    tiles = np.stack([x[..., i:4:2, j : width // 2 * 2 : 2] for i in (0, 1) for j in (0, 1)], -1)
    best, which = tiles[..., 0].copy(), np.zeros(values.shape, np.int64)
    for k in range(1, 4):
        wins = (tiles[..., k] > best) | np.isnan(tiles[..., k])
        best, which = np.where(wins, tiles[..., k], best), np.where(wins, k, which)
    np.testing.assert_array_equal(values, best)
    rows, columns = np.arange(2)[:, None], np.arange(width // 2)
    assert np.array_equal(indices, (2 * rows + which // 2) * width + 2 * columns + which % 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "window", [(3, 1, 1), (3, 2, 1), (3, 3, 1), (2, 1, 0, 2), (5, (3, 2), 2, (1, 1)), ((1, 4), (2, 1), (0, 2), (3, 2))]
)
@pytest.mark.parametrize("width", [5, 15, 17, 32, 33, 50, 70])
def test_windows_that_end_anywhere_in_a_register(dtype, window, width):
    """Ties, NaN and infinities in every lane, for each of the ways in which a row is read (stride 1, 2 and more)."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(width)
    x = rng.choice([np.nan, -np.inf, 0.0, -0.0, 1.0, 2.0], (2, 2, 9, width), p=[0.1, 0.3, 0.2, 0.1, 0.2, 0.1]).astype(dtype)
    expected, at = torch.nn.functional.max_pool2d(torch.from_numpy(x), *window, return_indices=True)
    values, indices = P.max_pool2d(x, *window)
    np.testing.assert_array_equal(values, expected.numpy())
    assert np.array_equal(indices, at.numpy())
    if len(window) == 3:
        x = rng.standard_normal(x.shape).astype(dtype)
        tx = torch.from_numpy(x).requires_grad_()
        expected = torch.nn.functional.avg_pool2d(tx, *window)
        y = P.avg_pool2d(x, *window)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
        expected.backward(torch.from_numpy(y))
        np.testing.assert_allclose(P.avg_pool2d_backward(y, x.shape, *window), tx.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("output", [1, (2, 3), (3, 1)])
@pytest.mark.parametrize("width", [3, 16, 23, 40])
def test_adaptive_windows_that_end_anywhere_in_a_register(dtype, output, width):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(width)
    x = rng.choice([np.nan, -np.inf, 0.0, -0.0, 1.0, 2.0], (8, 3, 5, width), p=[0.02, 0.5, 0.2, 0.1, 0.1, 0.08]).astype(dtype)
    x[0] = -np.inf
    expected, at = torch.nn.functional.adaptive_max_pool2d(torch.from_numpy(x), output, return_indices=True)
    values, indices = P.adaptive_max_pool2d(x, output)
    np.testing.assert_array_equal(values, expected.numpy())
    assert np.array_equal(indices, at.numpy())
    x = rng.standard_normal(x.shape).astype(dtype)
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(x), output)
    np.testing.assert_allclose(P.adaptive_avg_pool2d(x, output), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("instructions", ["avx2", "generic"])
def test_other_vector_widths(instructions, tmp_path):
    """Every vector kernel of the family gives the same bits for registers of other lengths; sums the same values."""
    code = (
        "import numpy as np, sys\n"
        "from numbagrad.kernels import pool2d as P\n"
        "x = np.load(sys.argv[1])\n"
        "found = [r for w in ((2,), (3, 1, 1), (3, 2, 1), (3, 3)) for r in P.max_pool2d(x, *w)]\n"
        "found += [*P.adaptive_max_pool2d(x, 1), *P.adaptive_max_pool2d(x, 5)]\n"
        "found += [P.avg_pool2d(x, 3, 1, 1), P.avg_pool2d(x, 3, 2, 1), P.adaptive_avg_pool2d(x, 1)]\n"
        "np.savez(sys.argv[2], *found)\n"
    )
    np.save(tmp_path / "x.npy", image((2, 3, 27, 35)))
    results = []
    for name in ("", instructions):
        file = tmp_path / f"found{name}.npz"
        subprocess.run([sys.executable, "-c", code, tmp_path / "x.npy", file], check=True, env={**os.environ, "NUMBAGRAD_SIMD": name})
        results.append(np.load(file))
    for name in results[0].files:
        np.testing.assert_allclose(results[1][name], results[0][name], rtol=1e-6, atol=1e-6, err_msg=name)
