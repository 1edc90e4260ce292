"""Special functions against SciPy to the last digits, over the whole domain; what PyTorch's samples do not reach."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special as sp

import numbagrad as ng

INF, NAN = math.inf, math.nan
NORMAL, POSITIVE = np.linspace(-30, 30, 241), np.concatenate([np.geomspace(1e-8, 1, 60), np.linspace(1, 60, 237)])

# name, reference, arguments; errors are relative, but absolute where functions cross zero.
CASES = [
    ("erfcx", sp.erfcx, np.linspace(-20, 60, 321)),
    ("log_ndtr", sp.log_ndtr, NORMAL),
    ("ndtr", sp.ndtr, NORMAL),
    ("ndtri", sp.ndtri, np.concatenate([np.geomspace(1e-300, 0.5, 100), 1 - np.geomspace(1e-16, 0.5, 50)])),
    ("i0e", sp.i0e, NORMAL),
    ("i1e", sp.i1e, NORMAL),
    ("i0", sp.i0, NORMAL),
    ("i1", sp.i1, NORMAL),
    ("modified_bessel_k0", sp.k0, POSITIVE),
    ("modified_bessel_k1", sp.k1, POSITIVE),
    ("scaled_modified_bessel_k0", sp.k0e, POSITIVE),
    ("scaled_modified_bessel_k1", sp.k1e, POSITIVE),
    ("bessel_j0", sp.j0, NORMAL),
    ("bessel_j1", sp.j1, NORMAL),
    ("bessel_y0", sp.y0, POSITIVE),
    ("bessel_y1", sp.y1, POSITIVE),
    ("airy_ai", lambda x: sp.airy(x)[0], np.linspace(-20, 20, 401)),
    ("gammaln", sp.gammaln, POSITIVE),
    ("psi", sp.digamma, np.concatenate([POSITIVE, -POSITIVE[POSITIVE % 1 != 0][:60]])),
    ("entr", sp.entr, POSITIVE),
]


@pytest.mark.parametrize(("name", "reference", "x"), CASES, ids=[case[0] for case in CASES])
def test_values(name, reference, x):
    """In float64 to 13 digits, in float32 to six."""
    function = getattr(ng.special, name)
    np.testing.assert_allclose(function(ng.from_numpy(x)).numpy(), reference(x), rtol=3e-13, atol=1e-14)
    near = x[np.abs(x) < 30].astype(np.float32)
    near = near[near > 1e-30] if name == "ndtri" else near
    want = reference(near.astype(np.float64))
    keep = (np.abs(want) < 1e38) & (np.abs(want) > 1e-30)
    found = function(ng.from_numpy(near)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[keep], want[keep], rtol=1e-5, atol=1e-6)


def test_two_arguments():
    a, x = (v.ravel() for v in np.meshgrid([1e-3, 0.3, 1.0, 4.5, 30.0, 400.0], [1e-3, 0.5, 2.0, 5.0, 25.0, 60.0, 410.0]))
    for name in ("gammainc", "gammaincc"):
        found = getattr(ng.special, name)(ng.from_numpy(a), ng.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, getattr(sp, name)(a, x), rtol=1e-11, atol=1e-13)
    s, q = (v.ravel() for v in np.meshgrid([1.01, 2.0, 3.5, 12.0, 60.0], [0.1, 1.0, 7.5, 40.0]))
    np.testing.assert_allclose(ng.special.zeta(ng.from_numpy(s), ng.from_numpy(q)).numpy(), sp.zeta(s, q), rtol=1e-13)
    for n in range(5):
        np.testing.assert_allclose(ng.polygamma(n, ng.from_numpy(q)).numpy(), sp.polygamma(n, q), rtol=1e-12)


def test_ends():
    """Poles, infinities and NaN."""
    x = ng.tensor([0.0, -0.0, -2.0, INF, NAN], dtype=ng.float64)
    np.testing.assert_array_equal(ng.digamma(x)[:3].numpy(), [-INF, INF, NAN])
    np.testing.assert_array_equal(ng.lgamma(x)[:4].numpy(), [INF, INF, INF, INF])
    for name, want in (("bessel_j0", 0.0), ("i0e", 0.0), ("modified_bessel_k0", 0.0), ("erfcx", 0.0), ("ndtr", 1.0), ("i0", INF)):
        found = getattr(ng.special, name)(x).numpy()
        assert found[3] == want and np.isnan(found[4]), name
    assert ng.special.ndtri(ng.tensor([0.0, 1.0, -0.1, 2.0])).tolist()[:2] == [-INF, INF]
    assert ng.special.ndtri(ng.tensor([-0.1, 2.0])).isnan().all()


def test_lgamma_between_whole_numbers():
    """float32 has polynomials of its own: at every piece of the axis, beside the poles and the zeros."""
    x = np.concatenate(
        [np.geomspace(1e-38, 1, 2001), np.linspace(1, 12, 20001), np.geomspace(12, 1e36, 2001), -np.linspace(1e-3, 20, 10003)]
    )
    x = x.astype(np.float32)
    found, want = ng.lgamma(ng.from_numpy(x)).numpy(), sp.gammaln(x.astype(np.float64))
    there = np.isfinite(want)
    np.testing.assert_allclose(found[there & (x > 0)], want[there & (x > 0)], rtol=5e-7)
    np.testing.assert_allclose(found[there & (x < 0)], want[there & (x < 0)], rtol=1e-6, atol=2e-6)
    ends = ng.lgamma(ng.tensor([0.0, -1.0, 1.0, 2.0, INF, -INF, NAN])).numpy()
    np.testing.assert_array_equal(ends, np.float32([INF, INF, 0, 0, INF, INF, NAN]))


def test_no_derivative():
    x = ng.tensor([0.5], requires_grad=True)
    y = ng.special.bessel_j0(x)
    assert y.requires_grad
    with pytest.raises(RuntimeError, match="derivative for bessel_j0 is not implemented"):
        y.backward()


def test_whole_numbers_and_strides():
    assert ng.special.i0(ng.tensor([1, 2])).dtype is ng.float32 and ng.lgamma(ng.tensor([True])).dtype is ng.float32
    x = ng.rand(4, 6, dtype=ng.float64)
    np.testing.assert_array_equal(ng.special.erfcx(x.T[::2]).numpy(), ng.special.erfcx(x).numpy().T[::2])
    assert ng.special.airy_ai(ng.empty(0, 3)).shape == (0, 3)


def test_gcd_and_lcm():
    a, b = np.arange(-12, 13).repeat(25), np.tile(np.arange(-12, 13), 25)
    assert ng.gcd(ng.from_numpy(a), ng.from_numpy(b)).tolist() == np.gcd(a, b).tolist()
    assert ng.lcm(ng.from_numpy(a), ng.from_numpy(b)).tolist() == np.lcm(a, b).tolist()
    with pytest.raises(NotImplementedError):
        ng.gcd(ng.ones(2), ng.ones(2))


@pytest.mark.parametrize("dtype", [ng.float16, ng.bfloat16, ng.float32, ng.float64], ids=str)
def test_parts_of_numbers(dtype):
    x = ng.tensor([0.0, -0.0, 1.0, -0.75, 8.0, 1e-5, 3e4, INF, -INF, NAN]).to(dtype)
    mantissa, exponent = ng.frexp(x)
    assert mantissa.dtype is dtype and exponent.dtype is ng.int32
    plain = x[1:7]
    assert (mantissa[1:7].double() * 2.0 ** exponent[1:7].double()).equal(plain.double())
    assert ((mantissa[2:7].abs() >= 0.5) & (mantissa[2:7].abs() < 1)).all()
    assert ng.signbit(x).tolist()[:4] == [False, True, False, True]
    assert ng.isposinf(x).tolist().index(True) == 7 and ng.isneginf(x).tolist().index(True) == 8
    cleaned = ng.nan_to_num(x, nan=2.0)
    assert cleaned.isfinite().all() and cleaned[-1].item() == 2.0 and cleaned[7].item() == ng.finfo(dtype).max


def test_smallest_numbers():
    x = ng.tensor([5e-324, 1e-310, -2.5e-308], dtype=ng.float64)
    mantissa, exponent = ng.frexp(x)
    want = np.frexp(x.numpy())
    np.testing.assert_array_equal(mantissa.numpy(), want[0])
    np.testing.assert_array_equal(exponent.numpy(), want[1])
