"""Batch norm and layer norm kernels against the definition in float64, and against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels import _dtypes
from numbagrad.kernels import norm as K
from numbagrad.kernels.copy import cast

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-13}
SHAPES = [(6, 5), (300, 70), (4, 3, 7), (3, 4, 5, 6), (2, 3, 40, 31), (2, 3, 2, 2, 2), (5, 2, 1, 1)]


def close(a, b, scale=1.0):
    b = np.asarray(b)
    tolerance = TOLERANCE[a.dtype] * scale
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, np.abs(b).max(initial=0)))


def sample(shape, dtype, seed=0, loc=0.0):
    return (np.random.default_rng(seed).standard_normal(shape) * 2 + loc).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(dtype, shape, affine, training):
    torch = pytest.importorskip("torch")
    channels = shape[1]
    x, g = sample(shape, dtype, 0, 3.0), sample(shape, dtype, 1)
    weight, bias = (sample(channels, dtype, 2), sample(channels, dtype, 3)) if affine else (None, None)
    running_mean, running_var = sample(channels, dtype, 4), np.abs(sample(channels, dtype, 5)) + dtype(0.1)
    tensors = [None if a is None else torch.from_numpy(a.copy()) for a in (running_mean, running_var, weight, bias)]
    tx = torch.from_numpy(x).requires_grad_()
    for t in tensors[2:]:
        if t is not None:
            t.requires_grad_()
    expected = torch.nn.functional.batch_norm(tx, *tensors, training, 0.2, 1e-3)
    expected.backward(torch.from_numpy(g))
    y, mean, rstd = K.batch_norm(x, weight, bias, running_mean, running_var, training, 0.2, 1e-3)
    close(y, expected.detach().numpy(), 3)
    close(running_mean, tensors[0].numpy())
    close(running_var, tensors[1].numpy())
    dx, dw, db = K.batch_norm_backward(g, x, weight, mean, rstd, training)
    close(dx, tx.grad.numpy(), 10)
    if affine:
        close(dw, tensors[2].grad.numpy(), 10)
        close(db, tensors[3].grad.numpy(), 10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "normalized"), [((5, 8), (8,)), ((3, 4, 6), (4, 6)), ((150, 40), (40,)), ((2, 3, 700), (700,)), ((7,), (7,)), ((4, 1), (1,))]
)
@pytest.mark.parametrize(("weighted", "biased"), [(True, True), (True, False), (False, True), (False, False)])
def test_layer_norm(dtype, shape, normalized, weighted, biased):
    torch = pytest.importorskip("torch")
    x, g = sample(shape, dtype, 0, 3.0), sample(shape, dtype, 1)
    weight = sample(normalized, dtype, 2) if weighted else None
    bias = sample(normalized, dtype, 3) if biased else None
    tx, tw, tb = (None if a is None else torch.from_numpy(a.copy()).requires_grad_() for a in (x, weight, bias))
    expected = torch.nn.functional.layer_norm(tx, normalized, tw, tb, 1e-3)
    expected.backward(torch.from_numpy(g))
    y, mean, rstd = K.layer_norm(x, normalized, weight, bias, 1e-3)
    assert mean.shape == rstd.shape == shape[: -len(normalized)] + (1,) * len(normalized)
    close(y, expected.detach().numpy(), 3)
    dx, dw, db = K.layer_norm_backward(g, x, mean, rstd, normalized, weight, weighted or biased)
    close(dx, tx.grad.numpy(), 20)
    if weighted:
        close(dw, tw.grad.numpy(), 10)
    if biased:
        close(db, tb.grad.numpy(), 10)
    if not (weighted or biased):
        assert dw is None and db is None


@pytest.mark.parametrize("shape", [(500, 3), (4, 3, 20, 20)])
def test_a_large_mean_does_not_destroy_the_variance(shape):
    x = sample(shape, np.float32, 6, 20_000.0)
    axes = (0, *range(2, len(shape)))
    exact = x.astype(np.float64)
    y, mean, rstd = K.batch_norm(x)
    np.testing.assert_allclose(rstd, 1 / np.sqrt(exact.var(axes) + 1e-5), rtol=1e-6)
    np.testing.assert_allclose(mean, exact.mean(axes), rtol=1e-7)
    wide = (1, -1) + (1,) * (len(shape) - 2)
    expected = (exact - exact.mean(axes).reshape(wide)) / np.sqrt(exact.var(axes).reshape(wide) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    rows = x.reshape(-1, 20) if x.size % 20 == 0 else x
    exact = rows.astype(np.float64)
    expected = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(K.layer_norm(rows, rows.shape[1:])[0], expected, atol=1e-5)


def test_a_first_image_unlike_the_others():
    x = sample((6, 2, 10, 10), np.float32, 7, 20_000.0)
    x[0] = 0
    exact = x.astype(np.float64)
    np.testing.assert_allclose(K.batch_norm(x)[2], 1 / np.sqrt(exact.var((0, 2, 3)) + 1e-5), rtol=1e-6)
    x = sample((600, 2, 10, 10), np.float32, 8)  # here what the first image is like hides almost all of the variance
    x[0] += 1000
    exact = x.astype(np.float64)
    np.testing.assert_allclose(K.batch_norm(x)[2], 1 / np.sqrt(exact.var((0, 2, 3)) + 1e-5), rtol=1e-6)


def test_constant_channels():
    for shape in ((8, 2), (8, 2, 3, 3)):
        y, _, rstd = K.batch_norm(np.full(shape, np.float32(3.3)))
        np.testing.assert_allclose(y, 0, atol=1e-6)
        np.testing.assert_allclose(rstd, 1 / np.sqrt(np.float32(1e-5)), rtol=1e-6)
    np.testing.assert_allclose(K.layer_norm(np.full((2, 9), np.float32(3.3)), (9,))[0], 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_nan_and_infinity_stay_in_their_channel(shape):
    x = sample(shape, np.float32)
    x[1, 1] = np.nan
    x[2, 2] = np.inf
    y, mean, _ = K.batch_norm(x)
    assert np.isnan(y[:, 1:]).all() and np.isnan(mean[1]) and np.isfinite(y[:, 0]).all()
    y = K.layer_norm(x, shape[1:])[0]
    assert np.isnan(y[1:3]).all() and np.isfinite(y[[0, 3]]).all()


def test_any_strides_give_the_same_numbers():
    x, g = sample((4, 3, 5, 6), np.float32), sample((4, 3, 5, 6), np.float32, 1)
    y, mean, rstd = K.batch_norm(x)
    dx = K.batch_norm_backward(g, x, None, mean, rstd)[0]
    for view in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        assert np.array_equal(K.batch_norm(view)[0], y)
        assert np.array_equal(K.batch_norm_backward(g, view, None, mean, rstd)[0], dx)
        assert np.array_equal(K.layer_norm(view, (6,))[0], K.layer_norm(x, (6,))[0])
    ones = np.broadcast_to(np.float32(1), x.shape)
    assert np.array_equal(K.batch_norm_backward(ones, x, None, mean, rstd)[2], np.full(3, 120, np.float32))
    running = np.zeros(6, np.float32)[::2], np.ones(6, np.float32)[::2]
    K.batch_norm(x, None, None, *running)
    np.testing.assert_allclose(running[0], mean * np.float32(0.1), rtol=1e-6)


def test_empty_arrays():
    y, _, _ = K.batch_norm(np.empty((0, 3), np.float32), None, None, running_mean := np.ones(3, np.float32), np.ones(3, np.float32))
    assert y.shape == (0, 3) and np.array_equal(running_mean, np.ones(3))
    empty = np.empty((0, 3, 2, 2), np.float32)
    y, mean, rstd = K.batch_norm(empty)
    dx, dw, db = K.batch_norm_backward(empty, empty, None, mean, rstd)
    assert dx.shape == empty.shape and not dw.any() and not db.any()
    assert K.batch_norm(empty, None, None, np.zeros(3, np.float32), np.ones(3, np.float32), False)[0].shape == empty.shape
    for shape in ((0, 4), (3, 0)):
        x = np.empty(shape, np.float32)
        y, mean, rstd = K.layer_norm(x, shape[1:])
        dx, dw, db = K.layer_norm_backward(x, x, mean, rstd, shape[1:])
        assert y.shape == dx.shape == shape and dw.shape == shape[1:] and not dw.any() and not db.any()


@pytest.mark.parametrize("half", [np.dtype(np.float16), _dtypes.bfloat16])
def test_halves(half):
    x, weight = cast(sample((6, 3, 4, 4), np.float32), half), cast(sample(3, np.float32, 1), half)
    running_mean, running_var = cast(np.zeros(3, np.float32), half), np.ones(3, np.float32)
    y, mean, rstd = K.batch_norm(x, weight, weight, running_mean, running_var)
    assert y.dtype == half and mean.dtype == rstd.dtype == np.float32
    wide = cast(x, _dtypes.float32)
    np.testing.assert_allclose(mean, wide.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(cast(running_mean, _dtypes.float32), wide.mean((0, 2, 3)) * 0.1, rtol=8e-3)
    dx, dw, db = K.batch_norm_backward(x, x, weight, mean, rstd)
    assert dx.dtype == dw.dtype == db.dtype == half
    y, mean, rstd = K.layer_norm(x, (4,))
    assert y.dtype == half and mean.dtype == np.float32
    assert K.layer_norm_backward(x, x, mean, rstd, (4,))[0].dtype == half


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"training": False}, RuntimeError, "running_mean must be defined in evaluation mode"),
        ({"running_mean": np.zeros(3, np.float32)}, ValueError, "both be None"),
        (
            {"running_mean": np.zeros(2, np.float32), "running_var": np.ones(3, np.float32)},
            RuntimeError,
            "running_mean should contain 3 elements not 2",
        ),
        ({"weight": np.zeros(2, np.float32)}, RuntimeError, "weight should contain 3 elements not 2"),
        ({"bias": np.zeros(3)}, RuntimeError, "float64"),
    ],
)
def test_bad_batch_norm_arguments(options, error, message):
    with pytest.raises(error, match=message):
        K.batch_norm(np.zeros((4, 3), np.float32), **options)


def test_other_bad_arguments():
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        K.batch_norm(x[0, 0])
    with pytest.raises(NotImplementedError, match="int64"):
        K.batch_norm(np.zeros((2, 3), np.int64))
    with pytest.raises(NotImplementedError, match="int64"):
        K.layer_norm(np.zeros((2, 3), np.int64), (3,))
    with pytest.raises(RuntimeError, match=r"expected input with shape \[\*, 3\], but got input of size \[2, 3, 4\]"):
        K.layer_norm(x, (3,))
    with pytest.raises(RuntimeError, match="at least 1-dimensional"):
        K.layer_norm(x, ())
    with pytest.raises(RuntimeError, match=r"weight of shape \[4\], but got \[3\]"):
        K.layer_norm(x, (4,), np.ones(3, np.float32))
    with pytest.raises(RuntimeError, match="expected grad of shape"):
        K.batch_norm_backward(x[:1], x, None, np.zeros(3, np.float32), np.zeros(3, np.float32))


def test_the_number_of_threads_changes_no_bit():
    from numbagrad.kernels._cpu import get_num_threads, set_num_threads

    images, features, g = sample((20, 6, 30, 30), np.float32), sample((900, 150), np.float32), sample((900, 150), np.float32, 1)
    before = get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            y, mean, rstd = K.batch_norm(features)
            z, center, scale = K.layer_norm(features, (150,))
            slopes = *K.batch_norm_backward(g, features, None, mean, rstd), *K.layer_norm_backward(g, features, center, scale, (150,))
            found.append((*K.batch_norm(images), y, mean, rstd, z, center, scale, *slopes))
    finally:
        set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(9, 3, 5, 5), (6, 70, 17), (5, 2, 600)])
def test_images_whose_planes_are_unlike_each_other(shape, dtype):
    x = sample(shape, np.float64, 9, 0.0)
    x[0] += 3000.0
    x[4] -= 700.0
    x = x.astype(dtype)
    axes = (0, *range(2, len(shape)))
    exact = x.astype(np.float64)
    _, mean, rstd = K.batch_norm(x, eps=0.0)
    np.testing.assert_allclose(mean, exact.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(rstd, 1 / exact.std(axes), rtol=1e-5 if dtype is np.float32 else 1e-12)
    # Planes of one value each: nothing is left within them.
    x[:] = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) * 10
    np.testing.assert_allclose(K.batch_norm(x, eps=0.0)[2], 1 / x.astype(np.float64).std(axes), rtol=1e-6)
