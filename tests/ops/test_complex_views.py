"""real, imag, view_as_real and view_as_complex: views with gradients."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck


@pytest.fixture
def z():
    return ng.tensor([[1 + 2j, -0.5j], [0.25 + 0j, -1 - 1j]], dtype=ng.complex128)


def test_parts_are_views(z):
    z.real[0, 0] = 7
    assert z[0, 0].item() == 7 + 2j
    assert z.imag.tolist() == [[2.0, -0.5], [0.0, -1.0]]
    assert ng.view_as_real(z).shape == (2, 2, 2)
    assert ng.view_as_complex(ng.view_as_real(z)).tolist() == z.tolist()


@pytest.mark.cpu
def test_other_layouts(z):
    for x in (z.t(), z[:, ::2], z[1:]):
        pairs = ng.view_as_real(x)
        np.testing.assert_array_equal(pairs.numpy(), np.stack([x.numpy().real, x.numpy().imag], -1))
        assert np.shares_memory(pairs.numpy(), z.numpy())


@pytest.mark.parametrize(
    "f", [lambda z: z.real * z.real, lambda z: z.imag**2, lambda z: ng.view_as_real(z) ** 2, lambda z: z.abs(), lambda z: z.conj() * z]
)
def test_gradients(z, f):
    z.requires_grad_()
    assert gradcheck(f, (z,))
    assert gradgradcheck(f, (z,))


def test_gradient_of_joining():
    pairs = ng.randn(3, 2, dtype=ng.float64, requires_grad=True)
    assert gradcheck(lambda x: ng.view_as_complex(x) * (1 + 2j), (pairs,))


def test_a_real_tensor_is_its_real_part():
    x = ng.ones(2)
    assert x.real is x


@pytest.mark.parametrize("call", [
    lambda: ng.ones(2).imag, lambda: ng.view_as_real(ng.ones(2)), lambda: ng.view_as_complex(ng.ones(3)),
    lambda: ng.view_as_complex(ng.ones(2, dtype=ng.int64)),
    lambda: ng.view_as_complex(ng.ones(2, 2).t()),
])  # fmt: skip
def test_bad_arguments(call):
    with pytest.raises(RuntimeError):
        call()


def test_views_that_are_not_aligned():
    """What begins in the middle of a wider element, or steps by parts of one, has no view as such."""
    flat = ng.arange(13, dtype=ng.float32)
    with pytest.raises(RuntimeError, match="storage_offset divisible by 2"):
        ng.view_as_complex(flat[1:].reshape(6, 2))
    with pytest.raises(RuntimeError, match="stride divisible by 2 for all but last dimension"):
        ng.view_as_complex(flat[:12].reshape(4, 3)[:, :2])
    assert ng.view_as_complex(flat[2:12].reshape(5, 2)).tolist()[0] == 2 + 3j
    with pytest.raises(
        RuntimeError, match=r"self.storage_offset\(\) must be divisible by 2 to view Float as Double \(different element sizes\), but got 1"
    ):
        flat[1:].view(ng.float64)
    with pytest.raises(RuntimeError, match=r"self.stride\(0\) must be divisible by 2 to view Float as Double"):
        flat[:12].reshape(4, 3)[:, :2].view(ng.float64)
    assert flat[2:4].view(ng.float64).shape == (1,)


def test_parts_can_be_assigned(z):
    z.real, z.imag = ng.tensor([1.0, 2.0], dtype=ng.float64), z.imag * 2
    assert z.tolist() == [[1 + 4j, 2 - 1j], [1 + 0j, 2 - 2j]]
    z.imag = 0
    assert z[0].tolist() == [1, 2]


def test_powers_of_complex_numbers():
    a, b = (ng.tensor(v, dtype=ng.complex128, requires_grad=True) for v in ([1 + 2j, -0.5j, 2 + 0j], [0.5 - 1j, 2 + 0j, 1j]))
    assert gradcheck(ng.pow, (a, b)) and gradcheck(lambda b: 2**b, (b,))
    zero = ng.zeros(2, dtype=ng.complex64)
    exponent = ng.tensor([1 + 0j, 2 + 0j], requires_grad=True)
    (zero**exponent).abs().sum().backward()
    assert exponent.grad.tolist() == [0, 0]


def test_a_complex_result_has_no_implicit_gradient(z):
    z.requires_grad_()
    with pytest.raises(RuntimeError, match=r"grad can be implicitly created only for real scalar outputs but got .*complex128"):
        z.sum().backward()
    z.sum().backward(ng.tensor(1 + 0j, dtype=ng.complex128))
    assert z.grad.eq(1).all()
