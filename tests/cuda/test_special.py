"""Special functions, formulas about single numbers, and running extrema on a GPU (or in the simulator) against the same on the CPU."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from tests.cuda.tensors import ON_A_GPU

pytest.importorskip("numba_cuda")
pytestmark = ON_A_GPU

POINTS = [-2.5, -0.3, 0.0, 0.2, 0.7, 1.0, 3.5, 9.0]
UNARY = """airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 entr erfcx i0 i0e i1 i1e log_ndtr modified_bessel_k0 modified_bessel_k1 ndtr ndtri psi gammaln
scaled_modified_bessel_k0 scaled_modified_bessel_k1 sinc spherical_bessel_j0 logit""".split()
BINARY = """chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w gammainc gammaincc hermite_polynomial_h
hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p xlog1py xlogy zeta""".split()


def agree(function, *arrays, dtype):
    here = [ng.tensor(a, dtype=dtype) for a in arrays]
    close = {"rtol": 2e-5, "atol": 1e-5} if dtype is ng.float32 else {"rtol": 1e-10, "atol": 1e-12}
    found, expected = function(*[x.cuda() for x in here]), function(*here)
    for mine, other in zip(*((r if isinstance(r, tuple) else (r,)) for r in (found, expected))):
        assert mine.is_cuda and mine.dtype is other.dtype
        np.testing.assert_allclose(mine.cpu().numpy(), other.numpy(), **close)


@pytest.mark.parametrize("dtype", [ng.float32, ng.float64], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype):
    agree(getattr(ng.special, name), POINTS, dtype=dtype)


@pytest.mark.parametrize("dtype", [ng.float32, ng.float64], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype):
    agree(getattr(ng.special, name), [0.5, 1.0, 2.5, 4.0, 0.0], [1.0, 3.0, 2.0, 12.0, 5.0], dtype=dtype)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_polygamma(n):
    agree(lambda x: ng.polygamma(n, x), [0.4, 2.0, 7.5, 20.0], dtype=ng.float64)


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2", "nextafter", "heaviside"])
def test_two_numbers(name):
    agree(getattr(ng, name), [0.0, -math.inf, 3.0, math.inf], [2.0, -math.inf, -1.0, math.inf], dtype=ng.float32)


@pytest.mark.parametrize("name", ["frexp", "signbit", "isposinf", "isneginf", "nan_to_num", "sgn", "angle"])
def test_one_number(name):
    agree(getattr(ng, name), [0.0, -math.inf, 3.0, math.inf, math.nan, 1e-40, -0.7], dtype=ng.float32)


def test_whole_and_complex_numbers():
    agree(ng.gcd, [12, 0, -9, 7], [8, 5, 6, 0], dtype=ng.int64)
    agree(ng.lcm, [12, 0, -9, 7], [8, 5, 6, 0], dtype=ng.int32)
    for name in ("sgn", "angle"):
        agree(getattr(ng, name), [1 + 2j, 0j, -3j], dtype=ng.complex64)


@pytest.mark.parametrize("dtype", [ng.float32, ng.float64, ng.int64, ng.bfloat16], ids=str)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_running_extrema(dim, dtype):
    x = ng.tensor(np.random.default_rng(0).integers(-3, 4, (3, 5, 4))).to(dtype)
    for function in (ng.cummax, ng.cummin):
        found, expected = function(x.cuda(), dim), function(x, dim)
        assert found.values.cpu().equal(expected.values) and found.indices.cpu().equal(expected.indices)


@pytest.mark.parametrize("dim", [0, 1])
def test_running_logsumexp(dim):
    x = np.random.default_rng(0).standard_normal((4, 6)) * 20
    x[0, 0], x[1, 2] = -math.inf, math.inf
    agree(lambda t: ng.logcumsumexp(t, dim), x, dtype=ng.float64)
