"""Pooling on CUDA, in the simulator, against the same functions on the CPU: bit for bit, but where a team of threads shares a window's sum."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.kernels import _dtypes, copy
from numbagrad.kernels import pool2d as P
from numbagrad.kernels._cuda.transfer import to_device, to_host
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU

MAX_TYPES = [_dtypes.float32, _dtypes.float64, _dtypes.bfloat16, _dtypes.uint8, _dtypes.int64]
FLOATS = [_dtypes.float32, _dtypes.float64, _dtypes.float16]
# A sum of some hundred elements in another order, in units of the last place.
TOLERANCE = {_dtypes.float32: 2e-6, _dtypes.float64: 1e-14, _dtypes.float16: 1e-3}
WINDOWS = [
    ((1, 2, 4, 16), {"kernel_size": 2}),  # side by side, by vectors
    ((2, 5, 6), {"kernel_size": 2}),  # a row is left over
    ((1, 5, 5), {"kernel_size": 2, "ceil_mode": True}),
    ((2, 7, 6), {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}),
    ((1, 6, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True}),
    ((1, 9, 9), {"kernel_size": 4, "stride": 3, "padding": 2}),
    ((0, 2, 4, 4), {"kernel_size": 2}),
]
ADAPTIVE = [((2, 5, 7), (3, 4)), ((2, 3, 4), (5, 6)), ((1, 9, 10), (1, 1)), ((1, 20, 21), (2, 2)), ((1, 65, 66), 1), ((2, 3, 4), (0, 1))]


def put(x: np.ndarray):
    return to_device(np.ascontiguousarray(x), 0).reshape(x.shape)


def numbers(shape, dtype, seed: int = 0) -> np.ndarray:
    """Numbers of which some are equal."""
    rng = np.random.default_rng(seed)
    if dtype.kind in "iu":
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    return copy.cast(rng.standard_normal(shape).round(1).astype(np.float32), dtype)


def with_special(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "f":
        x.reshape(-1)[::7] = np.nan
        x.reshape(-1)[3::11] = -np.inf
    return x


def same(found, expected: np.ndarray, tolerance: float = 0.0) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    here = to_host(found)
    if expected.dtype in _dtypes.HALVES:
        here, expected = (copy.cast(a, _dtypes.float32) for a in (here, expected))
    np.testing.assert_allclose(here, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", MAX_TYPES, ids=_dtypes.name)
def test_max_pool(dtype):
    for shape, options in WINDOWS:
        x = with_special(numbers(shape, dtype))
        values, indices = P.max_pool2d(x, **options)
        found, places = P.max_pool2d(put(x), **options)
        same(found, values)
        same(places, indices)
        g, slope = numbers(values.shape, dtype, 1), None
        slope = P.max_pool2d_backward(g, indices, shape)
        known = options["kernel_size"], options.get("stride"), options.get("padding", 0), options.get("dilation", 1)
        same(P.max_pool2d_backward(put(g), put(indices), shape, known), slope)
        same(P.max_pool2d_backward(put(g), put(indices), shape), slope)  # of indices of any origin
        same(P.max_pool2d_gather(put(x), put(indices)), P.max_pool2d_gather(x, indices))


@pytest.mark.parametrize("dtype", MAX_TYPES, ids=_dtypes.name)
def test_adaptive_max_pool(dtype):
    for shape, output in ADAPTIVE:
        x = with_special(numbers(shape, dtype))
        values, indices = P.adaptive_max_pool2d(x, output)
        found, places = P.adaptive_max_pool2d(put(x), output)
        same(found, values)
        same(places, indices)
        g = numbers(values.shape, dtype, 1)
        same(P.max_pool2d_backward(put(g), put(indices), shape, ()), P.max_pool2d_backward(g, indices, shape))


def test_of_equal_maxima_the_first_counts_and_of_nan_the_last():
    x = np.zeros((2, 9, 9), np.float32)
    x[1, 3, 4] = x[1, 7, 2] = np.nan
    for output in ((1, 1), (1, 2)):  # a team for each window, and a thread
        values, indices = P.adaptive_max_pool2d(x, output)
        found, places = P.adaptive_max_pool2d(put(x), output)
        same(found, values)
        same(places, indices)


def test_a_window_of_padding_alone_has_no_place():
    x = numbers((1, 1, 5), _dtypes.float32)
    options = {"kernel_size": (2, 1), "stride": 1, "padding": (2, 0), "dilation": (3, 1)}
    values, indices = P.max_pool2d(x, **options)
    assert (indices == -1).all()
    for a, b in zip(P.max_pool2d(put(x), **options), (values, indices)):
        same(a, b)
    same(P.max_pool2d_gather(put(x), put(indices)), np.zeros_like(values))


@pytest.mark.parametrize("dtype", FLOATS, ids=_dtypes.name)
def test_average_pool(dtype):
    for shape, options in (
        ((1, 2, 4, 8), {"kernel_size": 2}),
        ((2, 7, 6), {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}),
        ((2, 7, 6), {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "count_include_pad": False}),
        ((1, 6, 7), {"kernel_size": 4, "stride": 3, "padding": 1, "ceil_mode": True}),
        ((1, 6, 7), {"kernel_size": 4, "stride": 3, "padding": 1, "divisor_override": -5}),
        ((1, 6, 7), {"kernel_size": (6, 7)}),
    ):
        x = numbers(shape, dtype)
        y = P.avg_pool2d(x, **options)
        # The CPU adds a plane's elements in registers side by side, and in float64 from block to block.
        same(P.avg_pool2d(put(x), **options), y, TOLERANCE[dtype] if options["kernel_size"] == (6, 7) else 0.0)
        g = numbers(y.shape, dtype, 1)
        same(P.avg_pool2d_backward(put(g), shape, **options), P.avg_pool2d_backward(g, shape, **options))


@pytest.mark.parametrize("dtype", FLOATS, ids=_dtypes.name)
def test_adaptive_average_pool(dtype):
    for shape, output in ADAPTIVE:
        x = numbers(shape, dtype)
        y = P.adaptive_avg_pool2d(x, output)
        same(P.adaptive_avg_pool2d(put(x), output), y, TOLERANCE[dtype])
        g = numbers(y.shape, dtype, 1)
        same(P.adaptive_avg_pool2d_backward(put(g), shape), P.adaptive_avg_pool2d_backward(g, shape))


def test_strided_and_unaligned_inputs():
    x = numbers((2, 3, 4, 9), _dtypes.float32)
    there = put(x)
    for part in (lambda a: a.transpose(0, 1, 3, 2), lambda a: a[:, :, :, 1:]):
        for a, b in zip(P.max_pool2d(part(there), 2), P.max_pool2d(part(x), 2)):
            same(a, b)
    flat = put(numbers((65,), _dtypes.float32))
    moved = flat[1:].reshape(1, 8, 8)  # begins between two vectors
    for a, b in zip(P.max_pool2d(moved, 2), P.max_pool2d(to_host(moved), 2)):
        same(a, b)


def test_indices_outside_of_the_plane():
    wrong = put(np.full((1, 2, 2), 99))
    P.max_pool2d_gather(put(np.zeros((1, 3, 3), np.float32)), wrong)
    with pytest.raises(IndexError, match="max_pool2d_gather: found an invalid max index 99 for a plane of 3 x 3"):
        ng.cuda.synchronize()
    P.max_pool2d_backward(put(np.zeros((1, 2, 2), np.float32)), wrong, (1, 3, 3))
    with pytest.raises(IndexError, match="max_pool2d_backward: found an invalid max index 99"):
        ng.cuda.synchronize()


POOLINGS = {
    "max": lambda t: F.max_pool2d(t, 3, 2, 1),
    "max 2x2": lambda t: F.max_pool2d(t, 2),
    "adaptive max": lambda t: F.adaptive_max_pool2d(t, (2, 3)),
    "average": lambda t: F.avg_pool2d(t, 3, 2, 1),
    "adaptive average": lambda t: F.adaptive_avg_pool2d(t, (2, 3)),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_tensors_and_second_derivatives(name):
    x = np.random.default_rng(2).standard_normal((1, 2, 4, 8)).astype(np.float32)
    results = []
    for device in ("cpu", "cuda"):
        t = ng.tensor(x, device=device).requires_grad_()
        (slope,) = ng.autograd.grad((POOLINGS[name](t) ** 2).sum(), t, create_graph=True)
        (slope * slope).sum().backward()
        results.append([slope.detach().cpu().numpy(), t.grad.cpu().numpy()])
    for here, there in zip(*results):
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)
