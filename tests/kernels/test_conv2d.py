"""The convolution kernels: values against PyTorch in float64 and against a plain sum, every path, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels import _dtypes
from numbagrad.kernels import conv2d as K
from numbagrad.kernels._cpu import simd_conv
from numbagrad.kernels.conv2d import _depthwise, _images, _plan, _product


def random(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(dtype)


def same(result, expected, tolerance):
    assert result.shape == tuple(expected.shape)
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * scale)


def check(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """All four functions against PyTorch's float64 convolution."""
    torch = pytest.importorskip("torch")
    tolerance = 1e-5 if x.dtype == np.float32 else 1e-13
    bias = random(len(weight), dtype=x.dtype) if bias is None else bias
    tx, tw, tb = (torch.from_numpy(np.array(a, np.float64)).requires_grad_() for a in (x, weight, bias))
    expected = torch.nn.functional.conv2d(tx, tw, tb, stride, padding, dilation, groups)
    grad = random(*expected.shape, dtype=x.dtype)
    expected.backward(torch.from_numpy(grad.astype(np.float64)))
    rest = (stride, padding, dilation, groups)
    y = K.conv2d(x, weight, bias, *rest)
    assert y.dtype == x.dtype
    same(y, expected.detach().numpy(), tolerance)
    same(K.conv2d_input_grad(grad, weight, x.shape, *rest), tx.grad.numpy(), tolerance)
    same(K.conv2d_weight_grad(grad, x, weight.shape, *rest), tw.grad.numpy(), tolerance)
    same(K.conv2d_bias_grad(grad), tb.grad.numpy(), tolerance)


# (input, weight, stride, padding, dilation, groups)
CASES = {
    "plain": ((2, 3, 9, 8), (5, 3, 3, 3), 1, 0, 1, 1),
    "padded": ((3, 3, 9, 8), (5, 3, 3, 3), 1, 1, 1, 1),
    "padded beyond the kernel": ((2, 2, 5, 6), (3, 2, 2, 3), 1, (4, 3), 1, 1),
    "strided": ((2, 3, 11, 12), (6, 3, 3, 3), 2, 1, 1, 1),
    "strides and paddings of both axes": ((2, 3, 17, 13), (20, 3, 5, 4), (3, 2), (2, 1), 1, 1),
    "stride beyond the kernel": ((2, 3, 13, 14), (4, 3, 2, 1), (3, 4), 0, 1, 1),
    "dilated": ((2, 4, 12, 15), (6, 4, 3, 2), 1, (2, 1), (2, 3), 1),
    "dilated and strided": ((2, 4, 14, 15), (3, 4, 3, 3), (2, 3), 2, (3, 2), 1),
    "kernel of one": ((2, 20, 7, 9), (33, 20, 1, 1), 1, 0, 1, 1),
    "kernel of one, read in place": ((2, 64, 13, 15), (64, 64, 1, 1), 1, 0, 1, 1),
    "kernel of one in groups, read in place": ((2, 128, 8, 9), (66, 64, 1, 1), 1, 0, 1, 2),
    "kernel of one, few channels": ((2, 8, 40, 41), (8, 8, 1, 1), 1, 0, 1, 1),
    "kernel of one, few outputs": ((2, 128, 12, 13), (4, 128, 1, 1), 1, 0, 1, 1),
    "kernel of one, fewer channels": ((3, 2, 40, 41), (16, 2, 1, 1), 1, 0, 1, 1),
    "kernel of one, lanes over output channels": ((2, 96, 7, 7), (64, 96, 1, 1), 1, 0, 1, 1),
    "kernel of one, few pixels": ((32, 128, 1, 2), (128, 128, 1, 1), 1, 0, 1, 1),
    "kernel of one, one pixel": ((5, 33, 1, 1), (7, 33, 1, 1), 1, 0, 1, 1),
    "kernel of one, one pixel, strided and dilated": ((5, 3, 1, 1), (7, 3, 1, 1), 2, 0, 3, 1),
    "kernel of one, one image": ((1, 18, 9, 11), (17, 18, 1, 1), 1, 0, 1, 1),
    "kernel of one, padded": ((2, 5, 4, 6), (18, 5, 1, 1), 1, (1, 0), 1, 1),
    "kernel of one, strided": ((2, 5, 7, 9), (18, 5, 1, 1), 2, 0, 1, 1),
    "kernel as large as the input": ((5, 3, 6, 7), (4, 3, 6, 7), 1, 0, 1, 1),
    "kernel as large as the input, strided": ((5, 3, 4, 2), (4, 3, 4, 2), (2, 3), 0, 1, 1),
    "kernel as large as the input, padded": ((5, 3, 4, 4), (4, 3, 4, 4), 3, 1, 1, 1),
    "few pixels in many images": ((70, 4, 5, 5), (34, 4, 4, 4), 1, 0, 1, 1),
    "few pixels, few channels": ((9, 2, 4, 4), (3, 2, 3, 3), 1, 0, 1, 1),
    "one row": ((3, 2, 1, 40), (4, 2, 1, 5), 1, (0, 2), 1, 1),
    "one column": ((3, 2, 40, 1), (4, 2, 5, 1), 1, (2, 0), 1, 1),
    "groups": ((2, 6, 9, 9), (9, 2, 3, 3), 1, 1, 1, 3),
    "wide groups": ((2, 6, 9, 9), (80, 3, 3, 3), 1, 1, 1, 2),
    "depthwise": ((2, 7, 20, 20), (7, 1, 3, 3), 1, 1, 1, 7),
    "depthwise, two outputs each": ((2, 5, 9, 9), (10, 1, 3, 3), 2, 1, 1, 5),
    "lanes over output channels": ((2, 16, 14, 14), (64, 16, 3, 3), 1, 1, 1, 1),
    "a part of the lanes": ((2, 16, 10, 11), (41, 16, 3, 3), 1, 1, 1, 1),
    "lanes over pixels": ((2, 1, 28, 28), (6, 1, 5, 5), 1, 2, 1, 1),
    "several bands": ((1, 40, 60, 50), (18, 40, 3, 3), 1, 1, 1, 1),
    "several bands, strided": ((1, 40, 70, 60), (5, 40, 3, 3), 2, 1, 1, 1),
    "several bands, lanes over output channels row by row": ((1, 40, 60, 56), (40, 40, 3, 3), 1, 1, 1, 1),
    "lanes over output channels row by row, strided": ((2, 24, 33, 29), (40, 24, 3, 3), (2, 1), (1, 0), 1, 1),
    "columns in pairs": ((2, 24, 29, 57), (40, 24, 3, 3), (1, 2), 1, 1, 1),
    "many images, padding on every side": ((35, 9, 4, 5), (13, 9, 3, 3), 1, 1, 1, 1),
    "a few images": ((4, 8, 3, 3), (12, 8, 3, 3), 1, 1, 1, 1),
    "few pixels in groups": ((9, 6, 4, 4), (8, 3, 3, 3), 1, 0, 1, 2),
    "some images": ((30, 5, 6, 6), (12, 5, 3, 3), 1, 1, 1, 1),
    "depthwise, a column stride of 2": ((3, 6, 9, 17), (6, 1, 3, 4), (1, 2), (1, 2), 1, 6),
    "depthwise, dilated": ((2, 3, 9, 8), (3, 1, 3, 2), 1, (2, 1), (2, 3), 3),
    "many images, strided": ((17, 5, 9, 8), (30, 5, 3, 2), (2, 3), (1, 0), 1, 1),
    "many images, rows dilated": ((64, 3, 9, 7), (6, 3, 3, 3), 1, (2, 1), (2, 1), 1),
    "many images, padded beyond the kernel": ((40, 3, 3, 3), (5, 3, 2, 2), 1, 3, 1, 1),
    "one image, one channel": ((1, 1, 5, 5), (1, 1, 3, 3), 1, 1, 1, 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_torch(name, dtype):
    shape, weight, *rest = CASES[name]
    check(random(*shape, dtype=dtype), random(*weight, dtype=dtype), None, *rest)


@pytest.mark.parametrize("seed", range(12))
def test_random_parameters(seed):
    rng = np.random.default_rng(seed)
    for _ in range(4):
        groups = int(rng.choice([1, 1, 2, 3]))
        channels, out = groups * int(rng.integers(1, 6)), groups * int(rng.choice([1, 2, 3, 8, 17, 33]))
        kernel, stride, padding, dilation = (
            tuple(int(v) for v in rng.integers(low, high, 2)) for low, high in ((1, 5), (1, 4), (0, 4), (1, 3))
        )
        size = [int(rng.integers(max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]), 24)) for i in range(2)]
        x, weight = random(int(rng.integers(1, 5)), channels, *size), random(out, channels // groups, *kernel)
        check(x, weight, None, stride, padding, dilation, groups)


def geometry_of(shape, weight, stride, padding, dilation, groups):
    """Of the forward pass, which is that of the weight gradient too."""
    stride, padding, dilation = ((v, v) if isinstance(v, int) else v for v in (stride, padding, dilation))
    rows, columns = (tuple(i * dilation[a] - padding[a] for i in range(weight[2 + a])) for a in range(2))
    size = [(shape[2 + a] + 2 * padding[a] - dilation[a] * (weight[2 + a] - 1) - 1) // stride[a] + 1 for a in range(2)]
    return _plan.Geometry(shape[0], groups, shape[1] // groups, weight[0] // groups, *shape[2:], *size, *stride, rows, columns)


def paths():
    """The tiles and layouts that the cases take."""
    found = set()
    for case in CASES.values():
        geometry = geometry_of(*case)
        if _product.covers(case[0], case[1], (geometry.out_height, geometry.out_width), *map(_pair, case[3:5]), case[5]):
            found.add("covers")
            continue
        pointwise = _product.pointwise(geometry)
        if pointwise:
            found |= {("product", biased, _product.planned(geometry, 4, biased, _images.least(geometry, 4))) for biased in (False, True)}
            found.add(("product of the weight gradient", _product.planned_weight(geometry)))
        for gradient in (False, True):
            if pointwise and (
                _product.planned_weight(geometry) if gradient else _product.planned(geometry, 4, True, _images.least(geometry, 4))
            ):
                continue
            if not gradient and (_depthwise.planned(geometry, 4) is not None or _images.faster(geometry, 4)):
                continue
            cut = _plan.planned(geometry, 4, gradient)
            fields = {name: int(cut.numbers[i]) for name, i in _plan.F.items()}
            found.add((gradient, "style", cut.style))
            found |= {(gradient, n, fields[n] > (n != "DIRECT")) for n in ("BANDS", "TOGETHER", "SLOTS", "DIRECT")}
            found.add((gradient, "SEGMENT", fields["SEGMENT"] > 0))
        if _depthwise.planned(geometry, 4) is not None:
            found.add("plane by plane")
        elif _images.faster(geometry, 4):
            found.add(("over images", _images.planned(geometry, 4).tile))
    return found


def _pair(v):
    return (v, v) if isinstance(v, int) else v


_BOTH = (False, True)
PATHS = {("over images", tile) for tile in simd_conv.BATCH_TILES} | {"covers", "plane by plane"}
PATHS |= {(g, "style", s) for g in _BOTH for s in (_plan.WIDE, _plan.NARROW, _plan.SINGLE)}
PATHS |= {(g, n, v) for g in _BOTH for n in ("BANDS", "TOGETHER", "SLOTS", "DIRECT", "SEGMENT") for v in _BOTH}
PATHS |= {("product", biased, way) for biased in _BOTH for way in (0, _product.BATCHED, _product.TURNED)}
PATHS |= {("product of the weight gradient", way) for way in (0, _product.BATCHED, _product.TURNED)}


def test_the_cases_cover_the_paths():
    """Every tile and layout is chosen by some case above, or they test less than they say."""
    assert PATHS - paths() == set()


def test_same_and_valid_padding():
    torch = pytest.importorskip("torch")
    x = random(2, 3, 9, 10)
    for kernel, dilation in (((3, 3), 1), ((2, 4), 1), ((4, 3), (2, 3))):
        w = random(4, 3, *kernel)
        for padding in ("same", "valid"):
            tx, tw = (torch.from_numpy(a).double().requires_grad_() for a in (x, w))
            expected = torch.nn.functional.conv2d(tx, tw, None, 1, padding, dilation)
            y = K.conv2d(x, w, None, 1, padding, dilation)
            same(y, expected.detach().numpy(), 1e-5)
            g = random(*y.shape)
            expected.backward(torch.from_numpy(g).double())
            same(K.conv2d_input_grad(g, w, x.shape, 1, padding, dilation), tx.grad.numpy(), 1e-5)
            same(K.conv2d_weight_grad(g, x, w.shape, 1, padding, dilation), tw.grad.numpy(), 1e-5)


def test_views_of_any_strides():
    x, w = random(3, 4, 10, 12), random(5, 4, 3, 3)
    spread = np.zeros((3, 8, 20, 12), np.float32)[:, ::2, ::2, ::-1]
    spread[...] = x
    turned = np.ascontiguousarray(w.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    expected = K.conv2d(x, w)
    np.testing.assert_array_equal(K.conv2d(spread, turned), expected)
    g = random(1, 5, 1, 1)
    wide = np.broadcast_to(g, expected.shape)  # strides of 0
    dense = np.ascontiguousarray(wide)
    np.testing.assert_array_equal(K.conv2d_input_grad(wide, turned, x.shape), K.conv2d_input_grad(dense, w, x.shape))
    np.testing.assert_array_equal(K.conv2d_weight_grad(wide, spread, w.shape), K.conv2d_weight_grad(dense, x, w.shape))
    np.testing.assert_array_equal(K.conv2d_bias_grad(wide), K.conv2d_bias_grad(dense))
    many, few = random(20, 4, 6, 5), np.zeros((40, 4, 12, 5), np.float32)[::2, :, ::2, ::-1]
    few[...] = many
    np.testing.assert_array_equal(K.conv2d(few, turned), K.conv2d(many, w))
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(K.conv2d(frozen, w), expected)


def test_one_image_without_a_batch():
    x, w, b = random(3, 8, 9), random(4, 3, 3, 3), random(4)
    y = K.conv2d(x, w, b, 1, 1)
    np.testing.assert_array_equal(y, K.conv2d(x[None], w, b, 1, 1)[0])
    np.testing.assert_array_equal(K.conv2d_input_grad(y, w, x.shape, 1, 1), K.conv2d_input_grad(y[None], w, (1, 3, 8, 9), 1, 1)[0])
    np.testing.assert_array_equal(K.conv2d_weight_grad(y, x, w.shape, 1, 1), K.conv2d_weight_grad(y[None], x[None], w.shape, 1, 1))
    np.testing.assert_array_equal(K.conv2d_bias_grad(y), K.conv2d_bias_grad(y[None]))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_integers(dtype):
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(0, 100, s).astype(dtype) for s in ((2, 4, 7, 8), (6, 2, 3, 2), (6,)))
    for stride, padding, dilation in ((1, 0, 1), ((2, 3), (1, 2), (2, 1))):
        torch = pytest.importorskip("torch")
        wide = (torch.from_numpy(a.astype(np.int64)) for a in (x, w, b))
        expected = torch.nn.functional.conv2d(*wide, stride, padding, dilation, 2).numpy().astype(dtype)
        y = K.conv2d(x, w, b, stride, padding, dilation, 2)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, expected)


def test_halves():
    x, w, b = (random(*s).astype(np.float16) for s in ((2, 3, 8, 8), (4, 3, 3, 3), (4,)))
    y = K.conv2d(x, w, b)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, K.conv2d(*(a.astype(np.float32) for a in (x, w, b))).astype(np.float16))
    for gradient in (K.conv2d_input_grad(y, w, x.shape), K.conv2d_weight_grad(y, x, w.shape), K.conv2d_bias_grad(y)):
        assert gradient.dtype == np.float16
    ones = np.ones((1, 1, 3, 3), np.float32)
    halves = (ones.view(np.uint32) >> 16).astype(np.uint16).view(_dtypes.bfloat16)
    y = K.conv2d(halves, halves)
    assert y.dtype == _dtypes.bfloat16
    assert y.view(np.uint16).item() == np.float32(9).view(np.uint32) >> 16


def test_empty():
    w, b = random(4, 3, 3, 3), random(4)
    x = np.empty((0, 3, 8, 8), np.float32)
    y = K.conv2d(x, w, b, 2, 1)
    assert y.shape == (0, 4, 4, 4)
    assert K.conv2d_input_grad(y, w, x.shape, 2, 1).shape == x.shape
    np.testing.assert_array_equal(K.conv2d_weight_grad(y, x, w.shape, 2, 1), np.zeros_like(w))
    np.testing.assert_array_equal(K.conv2d_bias_grad(y), np.zeros(4, np.float32))
    y = K.conv2d(np.empty((2, 0, 5, 5), np.float32), np.empty((4, 0, 3, 3), np.float32), b)
    np.testing.assert_array_equal(y, np.broadcast_to(b[:, None, None], (2, 4, 3, 3)))


@pytest.mark.parametrize("shape", [(2, 3, 9, 9), (2, 20, 9, 9), (40, 3, 4, 4)])
@pytest.mark.parametrize("out", [2, 40])
def test_nan_and_inf_stay_where_they_belong(shape, out):
    """What no output meets must not reach any, and every output that meets it must show it: through tails, padding and partial tiles."""
    torch = pytest.importorskip("torch")
    x, w = random(*shape), random(out, shape[1], 3, 3)
    x[0, 0, -1, -1], x[-1, -1, 0, 2] = np.inf, np.nan
    tx, tw = (torch.from_numpy(a).double().requires_grad_() for a in (x, w))
    expected = torch.nn.functional.conv2d(tx, tw)
    y = K.conv2d(x, w)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(expected.detach().numpy()))
    g = random(*y.shape)
    g[0, 0, 0, 0] = np.nan
    expected.backward(torch.from_numpy(g).double())
    np.testing.assert_array_equal(np.isfinite(K.conv2d_input_grad(g, w, x.shape)), np.isfinite(tx.grad.numpy()))
    np.testing.assert_array_equal(np.isfinite(K.conv2d_weight_grad(g, x, w.shape)), np.isfinite(tw.grad.numpy()))


def test_long_sums_are_exact():
    """More ones than float32 can count one by one (2**24)."""
    images, height, width = 50, 600, 600
    for out, channels in ((2, 1), (17, 1)):
        x = np.broadcast_to(np.float32(1), (images, channels, height, width))
        g = np.broadcast_to(np.float32(1), (images, out, height, width))
        expected = np.full((out, channels, 1, 1), images * height * width, np.float32)
        np.testing.assert_array_equal(K.conv2d_weight_grad(g, x, expected.shape), expected)
    g = np.ones((1, 1, 5000, 5000), np.float32)
    assert K.conv2d_bias_grad(g).item() == 25e6


# (input, weight, padding): tiles, lanes over images, products of each image, turned, of kernels that cover the plane.
BITS = [
    ((9, 20, 15, 15), (40, 20, 3, 3), 1),
    ((50, 20, 6, 6), (40, 20, 3, 3), 1),
    ((9, 64, 16, 16), (48, 64, 1, 1), 0),
    ((32, 128, 1, 2), (128, 128, 1, 1), 0),
    ((33, 20, 5, 5), (40, 20, 5, 5), 0),
]


def test_bits_do_not_depend_on_the_threads():
    threads, results = ng.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            ng.set_num_threads(count)
            results.append([])
            for shape, weight, padding in BITS:
                x, w = random(*shape), random(*weight)
                y = K.conv2d(x, w, None, 1, padding)
                results[-1] += [
                    y,
                    K.conv2d_input_grad(y, w, x.shape, 1, padding),
                    K.conv2d_weight_grad(y, x, w.shape, 1, padding),
                    K.conv2d_bias_grad(y),
                ]
    finally:
        ng.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_nothing_beyond_the_arrays_is_read():
    """Poison around the inputs: a read beyond them would show, also where the value is multiplied by zero."""

    def framed(a):
        frame = np.full(a.size + 256, np.nan, np.float32)
        inside = frame[128:-128].reshape(a.shape)
        inside[...] = a
        return inside

    for shape, weight in (
        ((2, 20, 5, 7), (40, 20, 1, 1)),
        ((2, 3, 7, 7), (2, 3, 3, 3)),
        ((3, 4, 3, 5), (33, 4, 3, 3)),
        ((2, 20, 9, 9), (40, 20, 3, 3)),
        ((35, 9, 4, 5), (13, 9, 3, 3)),
    ):
        x, w = random(*shape), random(*weight)
        y = K.conv2d(x, w)
        fx, fw, fg = framed(x), framed(w), framed(y)
        np.testing.assert_array_equal(K.conv2d(fx, fw), y)
        np.testing.assert_array_equal(K.conv2d_input_grad(fg, fw, x.shape), K.conv2d_input_grad(y, w, x.shape))
        np.testing.assert_array_equal(K.conv2d_weight_grad(fg, fx, w.shape), K.conv2d_weight_grad(y, x, w.shape))
        np.testing.assert_array_equal(K.conv2d_bias_grad(fg), K.conv2d_bias_grad(y))


def passes(shape, weight, *rest):
    """Output and gradients of one case in float32."""
    x, w = random(*shape), random(*weight)
    y = K.conv2d(x, w, random(len(w)), *rest)
    g = random(*y.shape, seed=1)
    return y, K.conv2d_input_grad(g, w, shape, *rest), K.conv2d_weight_grad(g, x, weight, *rest), K.conv2d_bias_grad(g)


def write_passes(file):
    """All cases and the paths they take, for ``test_other_vector_widths`` in a process of its own."""
    found = {f"{name} {i}": a for name, case in CASES.items() for i, a in enumerate(passes(*case))}
    np.savez(file, paths=sorted(map(str, paths())), missing=sorted(map(str, PATHS - paths())), **found)


@pytest.mark.parametrize("width", ["avx2", "neon", "generic"])
def test_other_vector_widths(width, tmp_path):
    """Registers of other sizes and numbers than this CPU's, so tiles of other shapes and other choices between them, give the same sums."""
    code = "import sys; from tests.kernels.test_conv2d import write_passes; write_passes(sys.argv[1])"
    root = Path(__file__).parents[2]
    env = {**os.environ, "NUMBAGRAD_SIMD": width}
    subprocess.run([sys.executable, "-c", code, tmp_path / "found.npz"], check=True, env=env, cwd=root)
    found = np.load(tmp_path / "found.npz")
    assert found["missing"].tolist() == []
    for name, case in CASES.items():
        for i, expected in enumerate(passes(*case)):
            same(found[f"{name} {i}"], expected, 1e-5)


X, W = (2, 3, 8, 8), (4, 3, 3, 3)
BAD = [
    (
        ((2, 4, 8, 8), W),
        {},
        RuntimeError,
        r"Given groups=1, weight of size \[4, 3, 3, 3\], expected input\[2, 4, 8, 8\] to have 3 channels, but got 4",
    ),
    (((4, 8, 8), W), {}, RuntimeError, r"expected input\[1, 4, 8, 8\] to have 3 channels"),
    (
        ((2, 3, 2, 8), W),
        {},
        RuntimeError,
        r"padded input size per channel: \(2 x 8\). Kernel size: \(3 x 3\). Kernel size can't be greater than actual",
    ),
    ((X, W), {"dilation": 4}, RuntimeError, r"Kernel size: \(9 x 9\)"),
    ((X, W), {"stride": 0}, RuntimeError, "non-positive stride"),
    ((X, W), {"stride": (1, -2)}, RuntimeError, "non-positive stride"),
    ((X, W), {"dilation": 0}, RuntimeError, "dilation should be greater than zero"),
    ((X, W), {"padding": -1}, RuntimeError, "negative padding"),
    ((X, W), {"groups": 2}, RuntimeError, "to have 6 channels, but got 3"),
    ((X, W), {"groups": 0}, RuntimeError, "non-positive groups"),
    ((X, (4, 1, 3, 3)), {"groups": 3}, RuntimeError, "divisible by 3 at dimension 0"),
    ((X, (0, 3, 3, 3)), {}, RuntimeError, "at least 1 at dimension 0"),
    ((X, W, (3,)), {}, RuntimeError, r"expected bias to be 1-dimensional with 4 elements, but got bias of size \[3\]"),
    (((8, 8), W), {}, RuntimeError, r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d, but got input of size: \[8, 8\]"),
    ((X, (4, 3, 3)), {}, RuntimeError, "weight of 4 dimensions"),
    ((X, (4, 3, 0, 3)), {}, RuntimeError, "at least one row"),
    (((2, 3, 0, 8), W), {"padding": 3}, RuntimeError, "Only zero batch or zero channel"),
    ((X, W), {"padding": "same", "stride": 2}, RuntimeError, "padding='same' is not supported for strided convolutions"),
    ((X, W), {"padding": "full"}, RuntimeError, "Invalid padding string: 'full'"),
    ((X, W), {"stride": (1, 2, 3)}, RuntimeError, "list of 2 values"),
    ((X, W), {"stride": 1.5}, TypeError, "stride"),
    ((X, W), {"padding": (1, 0.5)}, TypeError, "padding"),
    ((X, W), {"groups": 1.0}, TypeError, "groups"),
]


@pytest.mark.parametrize(("shapes", "options", "error", "message"), BAD)
def test_bad_input(shapes, options, error, message):
    with pytest.raises(error, match=message):
        K.conv2d(*(np.zeros(s, np.float32) for s in shapes), **options)


def test_bad_types():
    x, w = np.zeros(X, np.float32), np.zeros(W, np.float32)
    with pytest.raises(RuntimeError, match=r"Input type \(float32\) and weight type \(float64\) should be the same"):
        K.conv2d(x, w.astype(np.float64))
    with pytest.raises(RuntimeError, match="bias type"):
        K.conv2d(x, w, np.zeros(4))
    with pytest.raises(NotImplementedError, match="bool"):
        K.conv2d(x.astype(bool), w.astype(bool))
    with pytest.raises(NotImplementedError, match="int64"):
        K.conv2d_input_grad(np.zeros((2, 4, 6, 6), np.int64), w.astype(np.int64), X)


def test_bad_gradients():
    x, w, g = np.zeros(X, np.float32), np.zeros(W, np.float32), np.zeros((2, 4, 6, 5), np.float32)
    with pytest.raises(RuntimeError, match=r"expected grad to have shape \[2, 4, 6, 6\], but got \[2, 4, 6, 5\]"):
        K.conv2d_input_grad(g, w, x.shape)
    with pytest.raises(RuntimeError, match=r"expected grad to have shape \[2, 4, 6, 6\], but got \[2, 4, 6, 5\]"):
        K.conv2d_weight_grad(g, x, w.shape)
    with pytest.raises(RuntimeError, match="input_shape"):
        K.conv2d_input_grad(g, w, (3, 8, 8))
