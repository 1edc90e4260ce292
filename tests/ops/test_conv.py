"""Convolutions of tensors: values and gradients against PyTorch, derivatives of both orders against differences."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.ops.conv import conv1d, conv2d


def tensor(*shape):
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return ng.tensor(values, dtype=ng.float64, requires_grad=True)


# (input, weight, bias?, parameters)
CASES = [
    ((2, 3, 5, 6), (4, 3, 3, 2), True, {}),
    ((3, 5, 6), (4, 3, 3, 2), True, {"padding": (1, 0)}),
    ((2, 4, 7, 6), (4, 2, 3, 3), False, {"stride": (2, 3), "padding": 2, "dilation": (1, 2), "groups": 2}),
    ((2, 3, 5, 5), (3, 1, 2, 2), True, {"padding": "same", "groups": 3}),
    ((2, 2, 4, 4), (3, 2, 4, 4), True, {"padding": "valid"}),
]


@pytest.mark.parametrize(("shape", "weight", "biased", "options"), CASES)
def test_value_and_gradients(shape, weight, biased, options):
    torch = pytest.importorskip("torch")
    inputs = [tensor(*shape), tensor(*weight)] + ([tensor(weight[0])] if biased else [])
    twins = [torch.tensor(t.detach().numpy(), requires_grad=True) for t in inputs]
    y, expected = conv2d(*inputs, **options), torch.nn.functional.conv2d(*twins, **options)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-13)
    g = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(ng.tensor(g))
    expected.backward(torch.from_numpy(g))
    for t, twin in zip(inputs, twins):
        np.testing.assert_allclose(t.grad.numpy(), twin.grad.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("shape", "weight", "biased", "options"), CASES)
def test_derivatives(shape, weight, biased, options):
    inputs = (tensor(*shape), tensor(*weight)) + ((tensor(weight[0]),) if biased else ())
    assert gradcheck(lambda *a: conv2d(*a, **options), inputs)
    assert gradgradcheck(lambda *a: conv2d(*a, **options), inputs)


def test_gradient_of_one_input_only():
    x, w = tensor(2, 3, 5, 5), tensor(4, 3, 3, 3)
    expected = ng.autograd.grad(conv2d(x, w).sum(), w)[0]
    found = ng.autograd.grad(conv2d(x.detach(), w).sum(), w)[0]
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert not conv2d(x.detach(), w.detach()).requires_grad


def test_conv1d():
    torch = pytest.importorskip("torch")
    for shape, options in (
        ((2, 4, 9), {}),
        ((4, 9), {"stride": (2,), "padding": [1], "dilation": 2, "groups": 2}),
        ((2, 4, 9), {"padding": "same"}),
    ):
        x, w, b = tensor(*shape), tensor(6, 4 // options.get("groups", 1), 3), tensor(6)
        expected = torch.nn.functional.conv1d(*(torch.tensor(t.detach().numpy()) for t in (x, w, b)), **options)
        np.testing.assert_allclose(conv1d(x, w, b, **options).detach().numpy(), expected.numpy(), rtol=1e-12, atol=1e-13)
        assert gradcheck(lambda *a: conv1d(*a, **options), (x, w, b))
    assert gradgradcheck(conv1d, (x, w, b))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_complex_numbers(name, dims, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(dims)
    shapes = (2, 4, *[5] * dims), (4, 2, *[3] * dims), (4,)
    values = [(rng.standard_normal(s) + 1j * rng.standard_normal(s)).astype(dtype) for s in shapes]
    found = []
    for lib in (torch, ng):
        inputs = [lib.tensor(v, requires_grad=True) for v in values]
        convolve = getattr(lib.nn.functional, f"{name}{dims}d")
        groups, bias = (2, inputs[2]) if name == "conv" else (1, inputs[2][:2])
        y = convolve(inputs[0], inputs[1], bias, stride=2, padding=1, groups=groups)
        slopes = lib.autograd.grad((y * y.conj()).real.sum() + y.imag.sum(), inputs, create_graph=True)
        second = lib.autograd.grad(sum((s * s).real.sum() for s in slopes), inputs[:2])
        found.append([t.detach().numpy() for t in (y, *slopes, *second)])
    for expected, got in zip(*found):
        near = 5e-3 if dtype == "complex64" else 1e-13  # tensor cores round float32 to TF32
        np.testing.assert_allclose(got, expected, rtol=0, atol=near * np.abs(expected).max())


def test_names():
    assert ng.conv2d is conv2d
    assert ng.conv1d is conv1d
    y = conv2d(input=tensor(1, 1, 3, 3), weight=tensor(1, 1, 2, 2), bias=None, stride=1, padding=0, dilation=1, groups=1)
    assert y.shape == (1, 1, 2, 2)
    assert "Conv2d" in y.grad_fn.name()


def test_bad_input():
    with pytest.raises(RuntimeError, match="to have 3 channels, but got 2 channels"):
        conv2d(tensor(1, 2, 5, 5), tensor(4, 3, 3, 3))
    with pytest.raises(RuntimeError, match=r"Input type .* weight type"):
        conv2d(tensor(1, 3, 5, 5), tensor(4, 3, 3, 3).detach().float())
    with pytest.raises(RuntimeError, match=r"Expected 2D .* input to conv1d"):
        conv1d(tensor(1, 2, 5, 5), tensor(4, 2, 3))
    with pytest.raises(RuntimeError, match="weight of 3 dimensions"):
        conv1d(tensor(2, 5), tensor(4, 2, 3, 3))
    with pytest.raises(RuntimeError, match="list of 1 values"):
        conv1d(tensor(2, 5), tensor(4, 2, 3), stride=(1, 2))
    with pytest.raises(RuntimeError, match="to have 3 channels, but got 2 channels"):
        conv1d(tensor(1, 2, 5), tensor(4, 3, 3))
