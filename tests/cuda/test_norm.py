"""Normalisation on a GPU: against the CPU's in float64, through the family's functions and through tensors."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.kernels import _dtypes, norm
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels.copy import cast, transfer
from tests.cuda.tensors import ON_A_GPU, ON_TWO_GPUS

pytestmark = ON_A_GPU

# Of the largest element: some tens of roundings in sums and products; for 16-bit floats the rounding of the result.
CLOSE = {_dtypes.float32: 5e-6, _dtypes.float64: 5e-14, _dtypes.float16: 1e-3, _dtypes.bfloat16: 8e-3}
DTYPES = tuple(CLOSE)
# Rows that are too long for registers.
LONG = 520 if SIMULATED else 20000


def placed(x, dtype, skew=0):
    """``x`` on a GPU, in ``dtype``, from an address on that is ``skew`` elements behind a multiple of 16 bytes."""
    if x is None:
        return None
    flat = cast(np.concatenate([np.zeros(skew, np.float32), x.reshape(-1).astype(np.float32)]), dtype)
    return transfer(flat, "cuda:0")[skew:].reshape(*x.shape)


def rounded(x, dtype):
    """What is left of ``x`` in ``dtype``, in float64."""
    return None if x is None else cast(cast(x.astype(np.float32), dtype), _dtypes.float64)


def close(found, expected, dtype):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            here = cast(transfer(a, "cpu"), _dtypes.float64)
            assert here.shape == b.shape
            np.testing.assert_allclose(here, b, rtol=0, atol=CLOSE[dtype] * max(1.0, np.abs(b).max(initial=0)))


def numbers(rng, shape, scale=1.0, start=0.0):
    return rng.standard_normal(shape) * scale + start


# ---- layer norm -------------------------------------------------------------------------------------------------------------------------


def check_layer(shape, normalized, dtype, affine=True, skew=0):
    rng = np.random.default_rng(0)
    x, g = rounded(numbers(rng, shape, 2, 30), dtype), rounded(numbers(rng, shape), dtype)
    w, b = (rounded(numbers(rng, normalized), dtype) if affine else None for _ in range(2))
    _, mean, rstd = expected = norm.layer_norm(x, normalized, w, b)
    arrays = [placed(v, dtype, skew) for v in (x, w, b)]
    found = norm.layer_norm(arrays[0], normalized, *arrays[1:])
    assert found[0].dtype == dtype and found[1].dtype == found[2].dtype == _dtypes.compute_dtype(dtype)
    close(found, expected, dtype)
    slopes = norm.layer_norm_backward(g, x, mean, rstd, normalized, w, affine)
    close(norm.layer_norm_backward(placed(g, dtype, skew), arrays[0], *found[1:], normalized, arrays[1], affine), slopes, dtype)


LAYERS = [
    ((5, 8), (8,)),  # several rows a warp
    ((3, 1), (1,)),
    ((70, 33), (33,)),  # rows that are no vectors, and several blocks of them
    ((2, 3, 2, 64), (2, 64)),
    ((2, 300), (300,)),  # a block each row
    ((3, LONG), (LONG,)),
    ((2, LONG + 1), (LONG + 1,)),
    ((1, 4), (4,)),
]


@pytest.mark.parametrize("shape, normalized", LAYERS)
def test_layer_norm(shape, normalized):
    check_layer(shape, normalized, _dtypes.float32)


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=_dtypes.name)
@pytest.mark.parametrize("shape, normalized", [LAYERS[0], LAYERS[4], LAYERS[5]])
def test_layer_norm_types(shape, normalized, dtype):
    check_layer(shape, normalized, dtype)


@pytest.mark.parametrize("shape, normalized", [LAYERS[0], LAYERS[5]])
def test_layer_norm_without_weights(shape, normalized):
    check_layer(shape, normalized, _dtypes.float32, affine=False)


def test_layer_norm_of_less_than_a_block(monkeypatch):
    """A row each block, of fewer threads than the blocks that have several rows."""
    from numbagrad.kernels.norm import _cuda_layer

    monkeypatch.setattr(_cuda_layer, "BLOCK", 256)
    check_layer((5, 300), (300,), _dtypes.float32)


def test_layer_norm_at_any_address():
    for width in (8, 300, LONG):
        check_layer((2, width), (width,), _dtypes.float32, skew=1)


# ---- batch norm -------------------------------------------------------------------------------------------------------------------------


def check_batch(shape, dtype, training, affine=True, tracked=True, skew=0):
    rng = np.random.default_rng(1)
    channels = shape[1]
    x, g = rounded(numbers(rng, shape, 2, 30), dtype), rounded(numbers(rng, shape), dtype)
    w, b = (rounded(numbers(rng, channels), dtype) if affine else None for _ in range(2))
    average = rounded(numbers(rng, channels, 2, 30), dtype) if tracked else None
    variance = rounded(rng.random(channels) + 1, dtype) if tracked else None
    arrays = [placed(v, dtype, skew) for v in (x, w, b, average, variance)]
    expected = norm.batch_norm(x, w, b, average, variance, training)
    found = norm.batch_norm(*arrays, training)
    assert found[0].dtype == dtype and found[1].dtype == found[2].dtype == _dtypes.compute_dtype(dtype)
    close(found, expected, dtype)
    close(arrays[3:], (average, variance), dtype)
    slopes = norm.batch_norm_backward(g, x, w, *expected[1:], training)
    close(norm.batch_norm_backward(placed(g, dtype, skew), arrays[0], arrays[1], *found[1:], training), slopes, dtype)


BATCHES = [
    (6, 5),
    (70, 8),  # rows in several slices
    (3, 4, 7),
    (2, 3, 4, 4),
    (1, 2, 64, 40),  # channels in several slices
    (5, 1, 1, 9),
    (2, 33, 1, 2),
]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", BATCHES)
def test_batch_norm(shape, training):
    check_batch(shape, _dtypes.float32, training)


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=_dtypes.name)
@pytest.mark.parametrize("shape", [BATCHES[1], BATCHES[3]])
def test_batch_norm_types(shape, dtype):
    check_batch(shape, dtype, True)
    check_batch(shape, dtype, False)


@pytest.mark.parametrize("shape", [BATCHES[0], BATCHES[3]])
def test_batch_norm_without_weights(shape):
    check_batch(shape, _dtypes.float32, True, affine=False, tracked=False)
    check_batch(shape, _dtypes.float32, False, affine=False)


@pytest.mark.parametrize("shape", [(6, 8), (2, 3, 4, 4)])
def test_batch_norm_with_wide_indices(shape, monkeypatch):
    """As for more elements than 32 bits count, and at any address."""
    from numbagrad.kernels.norm import cuda

    monkeypatch.setattr(cuda, "NARROW", 1)
    check_batch(shape, _dtypes.float32, True, skew=1)
    check_batch(shape, _dtypes.float32, False)


def test_large_means_cost_no_digits():
    """A mean of 1e4 deviations: squares less the mean's square would have none left."""
    x = (np.random.default_rng(2).standard_normal((2, 3, 8, 8)) + 1e4).astype(np.float32)
    for shape in ((2, 3, 8, 8), (128, 3)):
        values = x.reshape(shape)
        y, mean, rstd = norm.batch_norm(values.astype(np.float64))
        close(norm.batch_norm(transfer(values, "cuda:0")), (y, mean, rstd), _dtypes.float32)
    y, mean, rstd = norm.layer_norm(x.astype(np.float64), (8, 8))
    close(norm.layer_norm(transfer(x, "cuda:0"), (8, 8)), (y, mean, rstd), _dtypes.float32)


def test_strides():
    x = np.random.default_rng(3).standard_normal((4, 6, 5)).astype(np.float32)
    there = transfer(x, "cuda:0")
    for view in (lambda a: a.transpose(2, 1, 0), lambda a: a[:, ::2], lambda a: a[1:, :, 1:]):
        close(norm.batch_norm(view(there))[:1], [norm.batch_norm(view(x).astype(np.float64))[0]], _dtypes.float32)
        last = view(x).shape[-1:]
        close(norm.layer_norm(view(there), last)[:1], [norm.layer_norm(view(x).astype(np.float64), last)[0]], _dtypes.float32)


def test_nothing_to_normalise():
    for shape in ((0, 3), (2, 3, 0), (0, 3, 4)):
        x = np.zeros(shape, np.float32)
        there = transfer(x, "cuda:0")
        for a, b in zip(norm.batch_norm(there), norm.batch_norm(x)):
            np.testing.assert_array_equal(transfer(a, "cpu"), b)
        for a, b in zip(norm.layer_norm(there, shape[1:]), norm.layer_norm(x, shape[1:])):
            np.testing.assert_array_equal(transfer(a, "cpu"), b)
        statistics = norm.batch_norm(x)[1:]
        slopes = norm.batch_norm_backward(there, there, None, *(transfer(v, "cuda:0") for v in statistics))
        for a, b in zip(slopes, norm.batch_norm_backward(x, x, None, *statistics)):
            np.testing.assert_array_equal(transfer(a, "cpu"), b)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_odd_numbers_stay_in_their_channel_or_row(odd):
    x = np.random.default_rng(4).standard_normal((4, 3, 4)).astype(np.float32)
    x[1, 2, 3] = odd
    there = transfer(x, "cuda:0")
    for act in (lambda a: norm.batch_norm(a)[0], lambda a: norm.layer_norm(a, (4,))[0]):
        np.testing.assert_allclose(transfer(act(there), "cpu"), act(x), rtol=1e-4, atol=1e-5)


def test_negative_variance_is_nan():
    x, wrong = np.ones((2, 2), np.float32), np.array([-1.0, 1.0], np.float32)
    found = norm.batch_norm(*(transfer(v, "cuda:0") for v in (x, x[0], x[0], x[0], wrong)), False)[0]
    assert np.isnan(transfer(found, "cpu")[:, 0]).all() and np.isfinite(transfer(found, "cpu")[:, 1]).all()


# ---- tensors ----------------------------------------------------------------------------------------------------------------------------


def derivatives(function, tensors, device):
    """The gradients of sum(function²), and those of the sum of their squares."""
    leaves = [t.to(device).requires_grad_() for t in tensors]
    out = function(*leaves)
    first = ng.autograd.grad((out * out).sum(), leaves, create_graph=True)
    second = ng.autograd.grad(sum((d * d).sum() for d in first), leaves)
    return [out, *first, *second]


FUNCTIONS = {
    "layer": lambda x, w, b: F.layer_norm(x, (5,), w, b),
    "batch": lambda x, w, b: F.batch_norm(x.transpose(0, 1), None, None, w, b, training=True),
    "fixed": lambda x, w, b: F.batch_norm(x.t(), ng.ones(5, dtype=x.dtype).to(x.device), ng.ones(5, dtype=x.dtype).to(x.device), w, b),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name):
    rng = np.random.default_rng(5)
    shape = (4, 5) if name == "layer" else (5, 4)
    tensors = [ng.from_numpy(rng.standard_normal(s)) for s in (shape, (5,), (5,))]
    for a, b in zip(derivatives(FUNCTIONS[name], tensors, "cuda"), derivatives(FUNCTIONS[name], tensors, "cpu")):
        assert a.is_cuda
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_modules():
    """Running statistics move on the device; a model moved there gives what it gives on the CPU."""
    here, there = ng.nn.BatchNorm2d(3), ng.nn.BatchNorm2d(3).cuda()
    x = ng.randn(2, 3, 4, 4)
    for training in (True, False):
        here.train(training), there.train(training)
        np.testing.assert_allclose(there(x.cuda()).detach().cpu().numpy(), here(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(there.running_var.cpu().numpy(), here.running_var.numpy(), rtol=1e-6)
    assert int(there.num_batches_tracked) == 1 and there.running_mean.is_cuda


@ON_TWO_GPUS
def test_devices():
    x = ng.ones(2, 3)
    text = "Expected all tensors to be on the same device, but found at least two devices"
    with pytest.raises(RuntimeError, match=f"{text}, cuda:0 and cuda:1!"):
        F.layer_norm(x.cuda(0), (3,), x[0].cuda(1))
    with pytest.raises(RuntimeError, match=f"{text}, cuda:0 and cpu!"):
        F.batch_norm(x.cuda(0), x[0], x[0])
    assert F.layer_norm(x.cuda(1), (3,)).device.index == 1
