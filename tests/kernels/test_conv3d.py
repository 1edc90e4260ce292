"""The 3-D convolution kernels: values against PyTorch in float64, every path that two dimensions do not have, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels.conv2d import _images, _plan, _product, cpu, volumes
from tests.kernels.test_conv2d import random, same


def passes(x, weight, bias, grad, *rest):
    return (
        volumes.conv3d(x, weight, bias, *rest),
        volumes.conv3d_input_grad(grad, weight, x.shape, *rest),
        volumes.conv3d_weight_grad(grad, x, weight.shape, *rest),
    )


def check(x, weight, stride=1, padding=0, dilation=1, groups=1):
    """All three functions against PyTorch's float64 convolution."""
    torch = pytest.importorskip("torch")
    tolerance, bias, rest = (
        1e-5 if x.dtype == np.float32 else 1e-13,
        random(len(weight), dtype=x.dtype),
        (stride, padding, dilation, groups),
    )
    tx, tw, tb = (torch.from_numpy(np.array(a, np.float64)).requires_grad_() for a in (x, weight, bias))
    expected = torch.nn.functional.conv3d(tx, tw, tb, *rest)
    grad = random(*expected.shape, dtype=x.dtype)
    expected.backward(torch.from_numpy(grad.astype(np.float64)))
    for found, wanted in zip(passes(x, weight, bias, grad, *rest), (expected.detach(), tx.grad, tw.grad)):
        assert found.dtype == x.dtype
        same(found, wanted.numpy(), tolerance)


# (input, weight, stride, padding, dilation, groups)
CASES = {
    "plain": ((2, 3, 6, 9, 8), (5, 3, 3, 3, 3), 1, 0, 1, 1),
    "padded, lanes over channels": ((2, 16, 4, 14, 15), (32, 16, 3, 3, 3), 1, 1, 1, 1),
    "tiles that fit the rows": ((2, 9, 3, 16, 28), (64, 9, 2, 3, 3), 1, 1, 1, 1),
    "padded beyond the kernel": ((2, 2, 2, 5, 6), (3, 2, 2, 2, 3), 1, (3, 4, 3), 1, 1),
    "strided": ((2, 3, 7, 11, 12), (6, 3, 3, 3, 3), 2, 1, 1, 1),
    "strides of all axes": ((2, 4, 9, 17, 13), (20, 4, 4, 5, 4), (3, 2, 4), (2, 1, 0), 1, 1),
    "stride beyond the kernel": ((2, 3, 7, 13, 14), (4, 3, 2, 1, 2), (4, 3, 1), 0, 1, 1),
    "dilated and strided": ((2, 4, 9, 14, 15), (3, 4, 3, 3, 2), (2, 3, 2), 2, (3, 2, 1), 1),
    "groups": ((2, 6, 5, 9, 10), (9, 2, 3, 2, 3), 1, 1, 1, 3),
    "depthwise": ((2, 4, 5, 9, 25), (4, 1, 3, 3, 3), 1, 1, 1, 4),
    "small planes together": ((5, 3, 4, 3, 4), (7, 3, 2, 2, 2), 1, 1, 1, 1),
    "small planes together, across volumes, strided": ((7, 4, 5, 3, 3), (18, 4, 3, 2, 2), (2, 1, 1), (1, 0, 0), 1, 1),
    "several bands": ((1, 40, 3, 40, 41), (8, 40, 3, 3, 3), 1, 1, 1, 1),
    "planes as images": ((16, 16, 4, 4, 4), (24, 16, 3, 3, 3), 1, 1, 1, 1),
    "planes as images, strided": ((32, 16, 5, 6, 6), (24, 16, 3, 3, 3), 2, 1, 1, 1),
    "depth of one plane": ((2, 3, 1, 9, 8), (4, 3, 3, 3, 3), 1, 1, 1, 1),
    "kernel of one": ((2, 20, 3, 5, 7), (33, 20, 1, 1, 1), 1, 0, 1, 1),
    "kernel of one, strided": ((2, 5, 4, 5, 7), (3, 5, 1, 1, 1), 2, 0, 1, 1),
    "kernel along the depth": ((2, 5, 9, 4, 7), (6, 5, 3, 1, 1), (2, 1, 1), (1, 0, 0), 1, 1),
    "kernel along the columns": ((2, 5, 4, 5, 19), (6, 5, 1, 1, 3), 1, (0, 0, 1), 1, 1),
    "kernel along rows and columns": ((2, 5, 4, 9, 12), (6, 5, 1, 3, 3), 1, (0, 1, 1), 1, 1),
    "kernel as large as the volume": ((5, 4, 2, 3, 4), (6, 4, 2, 3, 4), 1, 0, 1, 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_torch(name, dtype):
    shape, weight, *rest = CASES[name]
    check(random(*shape, dtype=dtype), random(*weight, dtype=dtype), *rest)


@pytest.mark.parametrize("seed", range(8))
def test_random_parameters(seed):
    rng = np.random.default_rng(seed)
    for _ in range(3):
        groups = int(rng.choice([1, 1, 2, 3]))
        channels, out = groups * int(rng.integers(1, 6)), groups * int(rng.choice([1, 2, 8, 17, 33]))
        kernel, stride, padding, dilation = (
            tuple(int(v) for v in rng.integers(low, high, 3)) for low, high in ((1, 4), (1, 4), (0, 3), (1, 3))
        )
        size = [int(rng.integers(max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]), 16)) for i in range(3)]
        x, weight = random(int(rng.integers(1, 5)), channels, *size), random(out, channels // groups, *kernel)
        check(x, weight, stride, padding, dilation, groups)


def _triple(v):
    return (v,) * 3 if isinstance(v, int) else v


def paths():
    """What the cases take, in float32."""
    found = set()
    for shape, weight, stride, padding, dilation, groups in CASES.values():
        stride, padding, dilation = map(_triple, (stride, padding, dilation))
        size = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(shape[2:], padding, dilation, weight[2:], stride))
        if _product.covers(shape, weight, size, padding, dilation, groups):
            found.add("covers")
            continue
        arguments = shape, weight, size, stride, padding, dilation, groups
        geometry = cpu._forward_geometry(*arguments)
        if geometry.flat:
            found.add(("merged", _product.pointwise(geometry)))
            continue
        folded = cpu._by_planes(4, *arguments)
        assert folded == _images.faster(geometry.folded, 4)
        found.add(("folded", folded))
        for gradient in (False, True):
            if gradient or not folded:
                cut = _plan.planned(geometry, 4, gradient)
                found.add((gradient, "style", cut.style))
                found |= {(gradient, n, int(cut.numbers[_plan.F[n]]) > 1) for n in ("BANDS", "TOGETHER", "STRIDE_D", "SEGMENT")}
    return found


def test_the_cases_cover_the_paths():
    """Every tile and layout is chosen by some case above, or they test less than they say."""
    both = (False, True)
    wanted = {(g, "style", s) for g in both for s in (_plan.WIDE, _plan.NARROW, _plan.SINGLE)}
    wanted |= {(g, n, v) for g in both for n in ("BANDS", "TOGETHER", "STRIDE_D", "SEGMENT") for v in both}
    wanted |= {"covers", ("merged", False), ("merged", True), ("folded", False), ("folded", True)}
    assert wanted - paths() == set()


def test_same_padding_of_an_even_kernel():
    """What is odd goes behind, below and to the right."""
    x, w = random(2, 3, 6, 7, 8), random(4, 3, 2, 4, 3)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2), (1, 1)))
    same(volumes.conv3d(x, w, padding="same"), volumes.conv3d(padded, w), 1e-6)


def test_one_volume_without_a_batch():
    x, w, b = random(3, 4, 5, 6), random(4, 3, 2, 2, 2), random(4)
    y = volumes.conv3d(x, w, b)
    alone, batched = passes(x, w, b, y), passes(x[None], w, b, y[None])
    for i in (0, 1):
        np.testing.assert_array_equal(alone[i], batched[i][0])
    np.testing.assert_array_equal(alone[2], batched[2])


def test_integers():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(0, 100, s) for s in ((2, 4, 5, 7, 8), (6, 2, 2, 3, 2), (6,)))
    for stride, padding, dilation in ((1, 0, 1), ((2, 3, 1), (1, 2, 0), (2, 1, 2))):
        expected = torch.nn.functional.conv3d(*map(torch.from_numpy, (x, w, b)), stride, padding, dilation, 2).numpy()
        np.testing.assert_array_equal(volumes.conv3d(x, w, b, stride, padding, dilation, 2), expected)
        np.testing.assert_array_equal(
            volumes.conv3d(*(a.astype(np.uint8) for a in (x, w, b)), stride, padding, dilation, 2), expected.astype(np.uint8)
        )


def test_empty():
    w, b, x = random(4, 3, 3, 3, 3), random(4), np.empty((0, 3, 4, 8, 8), np.float32)
    y = volumes.conv3d(x, w, b, 2, 1)
    assert y.shape == (0, 4, 2, 4, 4)
    assert volumes.conv3d_input_grad(y, w, x.shape, 2, 1).shape == x.shape
    np.testing.assert_array_equal(volumes.conv3d_weight_grad(y, x, w.shape, 2, 1), np.zeros_like(w))
    y = volumes.conv3d(np.empty((2, 0, 5, 5, 5), np.float32), np.empty((4, 0, 3, 3, 3), np.float32), b)
    np.testing.assert_array_equal(y, np.broadcast_to(b[:, None, None, None], (2, 4, 3, 3, 3)))


@pytest.mark.parametrize("shape", [(2, 3, 4, 9, 9), (2, 20, 4, 9, 9), (5, 3, 3, 4, 4)])
@pytest.mark.parametrize("out", [2, 40])
def test_nan_and_inf_stay_where_they_belong(shape, out):
    torch = pytest.importorskip("torch")
    x, w = random(*shape), random(out, shape[1], 2, 3, 3)
    x[0, 0, -1, -1, -1], x[-1, -1, 0, 0, 2] = np.inf, np.nan
    tx, tw = (torch.from_numpy(a).double().requires_grad_() for a in (x, w))
    expected = torch.nn.functional.conv3d(tx, tw)
    g = random(*expected.shape)
    g[0, 0, 0, 0, 0] = np.nan
    expected.backward(torch.from_numpy(g).double())
    for found, wanted in zip(passes(x, w, None, g), (expected.detach(), tx.grad, tw.grad)):
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted.numpy()))


def test_bits_do_not_depend_on_the_threads():
    threads, results = ng.get_num_threads(), []
    cases = [
        (random(*CASES[n][0]), random(*CASES[n][1]), CASES[n][2:]) for n in ("padded, lanes over channels", "strided", "planes as images")
    ]
    try:
        for count in (1, 2, 5):
            ng.set_num_threads(count)
            results.append([])
            for x, w, rest in cases:
                y = volumes.conv3d(x, w, None, *rest)
                results[-1] += [*passes(x, w, None, y, *rest)]
    finally:
        ng.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


X, W = (2, 3, 6, 8, 8), (4, 3, 3, 3, 3)
BAD = [
    (((2, 4, 6, 8, 8), W), {}, RuntimeError, r"expected input\[2, 4, 6, 8, 8\] to have 3 channels, but got 4 channels instead"),
    (((8, 8, 8), W), {}, RuntimeError, r"Expected 4D \(unbatched\) or 5D \(batched\) input to conv3d, but got input of size: \[8, 8, 8\]"),
    ((X, W[1:]), {}, RuntimeError, "weight of 5 dimensions"),
    (((2, 3, 2, 8, 8), W), {}, RuntimeError, r"per channel: \(2 x 8 x 8\). Kernel size: \(3 x 3 x 3\)"),
    ((X, (4, 3, 0, 3, 3)), {}, RuntimeError, "at least one plane"),
    ((X, W), {"stride": (1, 2)}, RuntimeError, "list of 3 values"),
    ((X, W), {"stride": (1, 0, 1)}, RuntimeError, "non-positive stride"),
    ((X, W), {"dilation": 0}, RuntimeError, "dilation should be greater than zero"),
    ((X, W), {"padding": -1}, RuntimeError, "negative padding"),
    ((X, W), {"padding": "same", "stride": 2}, RuntimeError, "padding='same' is not supported for strided convolutions"),
    ((X, W), {"padding": (1, 0.5, 1)}, TypeError, "an int or three ints"),
    ((X, W, (3,)), {}, RuntimeError, r"expected bias to be 1-dimensional with 4 elements, but got bias of size \[3\]"),
]


@pytest.mark.parametrize(("shapes", "options", "error", "message"), BAD)
def test_bad_input(shapes, options, error, message):
    with pytest.raises(error, match=message):
        volumes.conv3d(*(np.zeros(s, np.float32) for s in shapes), **options)


def test_bad_gradients():
    x, w, g = np.zeros(X, np.float32), np.zeros(W, np.float32), np.zeros((2, 4, 4, 6, 5), np.float32)
    with pytest.raises(RuntimeError, match=r"expected grad to have shape \[2, 4, 4, 6, 6\], but got \[2, 4, 4, 6, 5\]"):
        volumes.conv3d_input_grad(g, w, x.shape)
    with pytest.raises(RuntimeError, match=r"expected grad to have shape \[2, 4, 4, 6, 6\], but got \[2, 4, 4, 6, 5\]"):
        volumes.conv3d_weight_grad(g, x, w.shape)
    with pytest.raises(RuntimeError, match="input_shape"):
        volumes.conv3d_input_grad(g, w, X[1:])
