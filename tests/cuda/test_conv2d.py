"""Convolutions on CUDA against the same on the CPU in float64: values, gradients and second derivatives, every tile, every way of cutting the work."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.kernels import _dtypes, _precision, copy
from numbagrad.kernels import conv2d as K
from tests.cuda.tensors import LAST, ON_A_GPU, same

pytestmark = ON_A_GPU

FLOAT32, FLOAT64 = _dtypes.float32, _dtypes.float64
# By how much of the largest result a result may be off.  float32 and float64: a sum of up to some hundred products, each rounded; TF32: both factors
# are rounded to 11 bits; 16-bit floats: the sum is rounded once to 8 or 11 bits, and the reference too.
TOLERANCES = {"float32": 2e-6, "float64": 4e-15, "tf32": 2e-3, "bfloat16": 2.0**-8, "float16": 2.0**-10}

# (input, weight, stride, padding, dilation, groups)
CASES = {
    "plain": ((2, 3, 5, 6), (5, 3, 3, 3), 1, 0, 1, 1),
    "padded": ((3, 3, 6, 5), (5, 3, 3, 3), 1, 1, 1, 1),
    "padded beyond the kernel": ((2, 2, 3, 4), (3, 2, 2, 3), 1, (4, 3), 1, 1),
    "strided": ((2, 3, 7, 8), (6, 3, 3, 3), 2, 1, 1, 1),
    "strides and paddings of both axes": ((1, 3, 11, 9), (18, 3, 5, 4), (3, 2), (2, 1), 1, 1),
    "stride beyond the kernel": ((2, 3, 9, 10), (4, 3, 2, 1), (3, 4), 0, 1, 1),
    "dilated": ((1, 4, 8, 9), (6, 4, 3, 2), 1, (2, 1), (2, 3), 1),
    "dilated and strided": ((1, 4, 10, 11), (3, 4, 3, 3), (2, 3), 2, (3, 2), 1),
    "dilated by the stride": ((1, 2, 9, 8), (3, 2, 3, 3), (2, 4), 2, (2, 2), 1),
    "kernel of one": ((2, 9, 4, 5), (17, 9, 1, 1), 1, 0, 1, 1),
    "kernel of one, strided": ((2, 5, 7, 8), (9, 5, 1, 1), 2, 0, 1, 1),
    "one input channel": ((2, 1, 8, 8), (6, 1, 5, 5), 1, 2, 1, 1),
    "as many channels as a step, and more": ((1, 12, 3, 4), (4, 12, 2, 2), 1, 0, 1, 1),
    "one pixel": ((5, 7, 1, 1), (7, 7, 1, 1), 1, 0, 1, 1),
    "kernel as large as the input": ((3, 3, 4, 5), (4, 3, 4, 5), 1, 0, 1, 1),
    "one row": ((2, 2, 1, 20), (4, 2, 1, 5), 1, (0, 2), 1, 1),
    "groups": ((2, 6, 5, 5), (30, 2, 3, 3), 1, 1, 1, 3),
    "narrow groups": ((2, 6, 5, 5), (15, 2, 3, 2), (1, 2), 1, 1, 3),
    "depthwise": ((2, 5, 7, 8), (5, 1, 3, 3), 1, 1, 1, 5),
    "depthwise, two outputs each": ((2, 3, 7, 6), (6, 1, 3, 3), 2, 1, 1, 3),
    "one of everything": ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0, 1, 1),
}
IN_EVERY_TYPE = ("padded", "dilated and strided", "groups", "depthwise, two outputs each")


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch):
    monkeypatch.setattr(_precision.convolution, "allow_tf32", False)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def up(x: np.ndarray) -> object:
    return copy.transfer(x, f"cuda:{LAST}")


def near(found: object, expected: np.ndarray, kind: str) -> None:
    assert found.dtype == (FLOAT32 if kind == "tf32" else np.dtype(kind) if kind != "bfloat16" else _dtypes.bfloat16)
    here = copy.transfer(found, "cpu")
    here = here if here.dtype.kind == "f" and here.itemsize > 2 else copy.cast(here, FLOAT32)
    assert here.shape == expected.shape
    np.testing.assert_allclose(here, expected, rtol=0, atol=TOLERANCES[kind] * max(1.0, np.abs(expected).max(initial=0)))


def check(x: np.ndarray, weight: np.ndarray, kind: str, *rest: object) -> None:
    """All four functions on CUDA against float64 on the CPU, from the same numbers."""
    dtype = {"tf32": FLOAT32, "bfloat16": _dtypes.bfloat16}.get(kind) or np.dtype(kind)
    x, weight, bias = (copy.cast(a, dtype) for a in (x, weight, random(len(weight), seed=1)))
    wx, ww, wb = (copy.cast(a, FLOAT64) for a in (x, weight, bias))
    expected = K.conv2d(wx, ww, wb, *rest)
    grad = copy.cast(random(*expected.shape, seed=2), dtype)
    wg = copy.cast(grad, FLOAT64)
    dx, dw, db, dg = map(up, (x, weight, bias, grad))
    near(K.conv2d(dx, dw, db, *rest), expected, kind)
    near(K.conv2d_input_grad(dg, dw, x.shape, *rest), K.conv2d_input_grad(wg, ww, x.shape, *rest), kind)
    near(K.conv2d_weight_grad(dg, dx, weight.shape, *rest), K.conv2d_weight_grad(wg, wx, weight.shape, *rest), kind)
    near(K.conv2d_bias_grad(dg), K.conv2d_bias_grad(wg), kind)


@pytest.mark.parametrize("name", CASES)
def test_against_the_cpu(name):
    shape, weight, *rest = CASES[name]
    check(random(*shape), random(*weight), "float32", *rest)


@pytest.mark.parametrize("kind", ["float64", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", IN_EVERY_TYPE)
def test_types(name, kind, monkeypatch):
    monkeypatch.setattr(_precision.convolution, "allow_tf32", kind == "tf32")
    shape, weight, *rest = CASES[name]
    check(random(*shape), random(*weight), kind, *rest)


@pytest.mark.parametrize("dtype", _dtypes.INTEGERS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_integers(dtype, groups):
    """Exact, and sums wrap around."""
    rng = np.random.default_rng(0)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    x, weight, bias = (rng.integers(low, high, s, dtype) for s in ((1, 4, 4, 5), (6, 4 // groups, 2, 3), (6,)))
    rest = ((1, 2), 1, 1, groups)
    found = copy.transfer(K.conv2d(up(x), up(weight), up(bias), *rest), "cpu")
    assert found.dtype == dtype and np.array_equal(found, K.conv2d(x, weight, bias, *rest))


def _cuda():
    from numbagrad.kernels.conv2d import _cuda_gemm, _cuda_geometry, _cuda_weight, cuda

    return cuda, _cuda_gemm, _cuda_weight, _cuda_geometry


def _tiles(which: int) -> list[tuple[str, int]]:
    if not ng.cuda.is_available():
        return []
    kinds = {"float32": "SINGLE", "float64": "DOUBLE", "tf32": "TENSOR", "bfloat16": "TENSOR"}
    return [(kind, i) for kind, name in kinds.items() for i in range(len(getattr(_cuda()[which], name)))]


def _forced(monkeypatch, module, kind, index):
    tiles = getattr(module, {"float32": "SINGLE", "float64": "DOUBLE"}.get(kind, "TENSOR"))
    monkeypatch.setattr(module, "tile_for", lambda *_: tiles[index])
    monkeypatch.setattr(_precision.convolution, "allow_tf32", kind == "tf32")
    return tiles[index]


@pytest.mark.parametrize("kind, index", _tiles(1))
def test_tiles(kind, index, monkeypatch):
    """More outputs, pixels and channels than a tile has, and fewer."""
    _, gemm, _, _ = _cuda()
    tile = _forced(monkeypatch, gemm, kind, index)
    check(random(1, 12, 5, 5), random(tile.rows + 3 if tile.rows < 40 else tile.rows - 3, 12, 1, 2), kind, 1, 0, 1, 1)
    check(random(2, 3, 2, 4), random(4, 3, 2, 2), kind, 1, 1, 1, 1)  # 30 pixels, of which none lie together in fours


@pytest.mark.parametrize("kind, index", _tiles(2))
def test_weight_tiles(kind, index, monkeypatch):
    _, _, weight, _ = _cuda()
    tile = _forced(monkeypatch, weight, kind, index)
    check(random(1, 5, 4, 4), random(tile.rows + 3, 5, 2, 2), kind, 1, 0, 1, 1)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["padded", "depthwise"])
def test_weight_gradient_in_parts(name, kind, monkeypatch):
    cuda = _cuda()[0]
    monkeypatch.setattr(cuda, "_LEAST_PIXELS", 16)
    shape, weight, *rest = CASES[name]
    check(random(*shape), random(*weight), kind, *rest)


@pytest.mark.parametrize("most", [70, 12])
@pytest.mark.parametrize("name", ["padded", "strided", "depthwise"])
def test_more_pixels_than_one_launch_counts(name, most, monkeypatch):
    """Some images at a time, or some rows of one."""
    monkeypatch.setattr(_cuda()[3], "MOST_PIXELS", most)
    shape, weight, *rest = CASES[name]
    check(random(*shape), random(*weight), "float32", *rest)


def test_strides():
    """Operands are read where they are: channels last, gaps, turned and repeated."""
    x, weight, bias, grad = random(2, 4, 6, 5), random(6, 4, 3, 3), random(12), random(6, 1, 1)
    for a, w in ((x, weight), (x.transpose(0, 1, 3, 2), weight.transpose(0, 1, 3, 2))):
        dx, dw = (up(np.ascontiguousarray(v.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2) for v in (a, w))
        assert not dx.flags.c_contiguous
        expected = K.conv2d(a, w, bias[::2], 1, 1)
        near(K.conv2d(dx, dw, up(bias)[::2], 1, 1), expected, "float32")
        dg, g = up(grad).as_strided(expected.shape, (0, 4, 0, 0)), np.broadcast_to(grad, expected.shape)
        near(K.conv2d_input_grad(dg, dw, a.shape, 1, 1), K.conv2d_input_grad(g, w, a.shape, 1, 1), "float32")
        near(K.conv2d_weight_grad(dg, dx, w.shape, 1, 1), K.conv2d_weight_grad(g, a, w.shape, 1, 1), "float32")
        near(K.conv2d_bias_grad(dg), K.conv2d_bias_grad(g), "float32")
    gaps = up(random(2, 8, 6, 10))[:, ::2, :, 1::2]
    near(K.conv2d(gaps, up(weight)), K.conv2d(copy.transfer(gaps, "cpu"), weight), "float32")


@pytest.mark.parametrize(
    "shape, weight, groups", [((0, 3, 4, 4), (2, 3, 3, 3), 1), ((2, 0, 4, 4), (2, 0, 3, 3), 1), ((0, 4, 4, 4), (4, 1, 3, 3), 4)]
)
def test_nothing(shape, weight, groups):
    x, w, b = random(*shape), random(*weight), random(weight[0])
    expected = K.conv2d(x, w, b, 1, 0, 1, groups)
    near(K.conv2d(up(x), up(w), up(b), 1, 0, 1, groups), expected, "float32")
    grad = random(*expected.shape)
    near(K.conv2d_input_grad(up(grad), up(w), x.shape, 1, 0, 1, groups), np.zeros(shape), "float32")
    near(K.conv2d_weight_grad(up(grad), up(x), w.shape, 1, 0, 1, groups), np.zeros(weight), "float32")
    near(K.conv2d_bias_grad(up(grad)), K.conv2d_bias_grad(grad), "float32")


@pytest.mark.parametrize("kind", ["float32", "tf32", "bfloat16"])
def test_not_numbers(kind, monkeypatch):
    """NaN and infinity reach the pixels whose patches hold them, and no other; what a tile has beyond the edges is no number either."""
    monkeypatch.setattr(_precision.convolution, "allow_tf32", kind == "tf32")
    x, weight = random(1, 3, 6, 5), np.abs(random(2, 3, 2, 2)) + 1
    x[0, 1, 2, 3], x[0, 2, 5, 0] = np.nan, np.inf
    dtype = _dtypes.bfloat16 if kind == "bfloat16" else FLOAT32
    found = copy.transfer(K.conv2d(*(up(copy.cast(a, dtype)) for a in (x, weight))), "cpu")
    expected = K.conv2d(x, weight)
    found = copy.cast(found, FLOAT32)
    assert np.array_equal(np.isnan(found), np.isnan(expected)) and np.array_equal(np.isinf(found), np.isinf(expected))


def test_the_same_bits():
    dx, dg = up(random(3, 3, 6, 5)), up(random(3, 5, 6, 5))
    first, second = (copy.transfer(K.conv2d_weight_grad(dg, dx, (5, 3, 3, 3), 1, 1), "cpu") for _ in range(2))
    assert first.tobytes() == second.tobytes()


# ---- tensors ----------------------------------------------------------------------------------------------------------------------------------


def test_gradients():
    """Of a module and of a function of its gradients, as on the CPU."""
    found = []
    for device in ("cpu", f"cuda:{LAST}"):
        ng.manual_seed(0)
        layer = nn.Conv2d(2, 4, 3, stride=2, padding=1).to(ng.float64)
        x = ng.tensor(random(2, 2, 5, 6).astype(np.float64))
        layer, x = layer.to(device), x.to(device).requires_grad_()
        y = layer(x)
        (g,) = ng.autograd.grad((y**3).sum(), x, create_graph=True)
        (g**2).sum().backward()
        found.append([y, g, x.grad, layer.weight.grad, layer.bias.grad])
    for here, there in zip(*found):
        assert there.is_cuda and here.shape == there.shape
        near(there._data, here.detach().numpy(), "float64")


@pytest.mark.parametrize("dtype", [ng.float32, ng.bfloat16], ids=str)
def test_functional(dtype):
    x, w = ng.tensor(random(2, 9)).to(dtype), ng.tensor(random(3, 2, 4)).to(dtype)
    y = nn.functional.conv1d(x.cuda(LAST), w.cuda(LAST), padding=1)
    assert y.is_cuda and y.dtype is dtype
    assert np.allclose(y.cpu().float().numpy(), nn.functional.conv1d(x, w, padding=1).float().numpy(), atol=0.05)
    image = ng.tensor(random(2, 5, 5)).to(dtype).cuda(LAST).requires_grad_()
    nn.functional.conv2d(image, ng.ones(1, 2, 5, 5, dtype=dtype, device=image.device)).sum().backward()
    same(image.grad, ng.ones(2, 5, 5, dtype=dtype))


def test_errors():
    x, w = ng.ones(1, 2, 4, 4).cuda(LAST), ng.ones(3, 2, 3, 3)
    with pytest.raises(RuntimeError, match="same device"):
        nn.functional.conv2d(x, w)
    with pytest.raises(RuntimeError, match="should be the same"):
        nn.functional.conv2d(x, w.cuda(LAST).double())


def test_complex_numbers():
    x, w = ng.randn(1, 2, 4, 4, dtype=ng.complex128), ng.randn(3, 2, 3, 3, dtype=ng.complex128)
    found = nn.functional.conv2d(x.cuda(LAST), w.cuda(LAST), padding=1)
    assert found.is_cuda and ng.allclose(found.cpu(), nn.functional.conv2d(x, w, padding=1), rtol=1e-12, atol=1e-12)


def test_setting():
    """As PyTorch's; the fixture above has set it to False."""
    assert ng.backends.cudnn.allow_tf32 is False
    ng.backends.cudnn.allow_tf32 = True
    assert _precision.convolution.allow_tf32 is True
