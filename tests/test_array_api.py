"""The Python array API standard: every function of the namespace beside NumPy's, which implements the standard too."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import array_api

pytestmark = pytest.mark.cpu

# What the expressions below are about.
ARRAYS = {
    "x": np.array([[0.5, -1.25, 2.0, 0.75], [3.0, 0.5, -0.5, 1.5], [0.25, 4.0, -2.0, 1.0]], np.float32),
    "y": np.array([1.5, -0.5, 2.0, 3.0]),
    "u": np.array([0.1, 0.5, 0.9, 0.25], np.float64),
    "n": np.array([[3, 1, 2, 0], [5, 3, 7, 1]], np.int64),
    "m": np.array([2, 1, 3, 1], np.int32),
    "s": np.array([3, -1, 120, 100], np.int8),
    "b": np.array([True, False, True, True]),
    "z": np.array([1 + 2j, -0.5j, 3.0], np.complex128),
    "a": np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]]),
    "v": np.array([1.0, -2.0, 0.5]),
    "d": np.array(2.5, np.float64),
    "f": np.array([np.inf, -np.inf, np.nan, 1.0], np.float32),
}

# NumPy's own promotion of the operands is the standard's where both have it.
EXPRESSIONS = """
xp.abs(x); xp.abs(z); xp.acos(u); xp.acosh(u + 1); xp.asin(u); xp.asinh(x); xp.atan(x); xp.atanh(u); xp.ceil(x); xp.conj(z); xp.cos(x); xp.cosh(x)
xp.exp(x)
xp.expm1(x); xp.floor(x); xp.floor(n); xp.imag(z); xp.real(z); xp.isfinite(f); xp.isinf(f); xp.isnan(f); xp.log(u); xp.log1p(u); xp.log2(u)
xp.log10(u)
xp.logical_not(b); xp.negative(x); xp.positive(x); xp.reciprocal(x); xp.round(x); xp.sign(x); xp.signbit(x); xp.sin(x); xp.sinh(x); xp.sqrt(u)
xp.square(n)
xp.tan(x); xp.tanh(x); xp.trunc(x); xp.bitwise_invert(n); xp.bitwise_invert(b)
xp.add(x, y); xp.add(x, d); xp.add(n, m); xp.add(s, m); xp.add(x, 2); xp.atan2(x, y); xp.bitwise_and(n, m); xp.bitwise_or(n, m); xp.bitwise_xor(n, m)
xp.bitwise_left_shift(n, m); xp.bitwise_right_shift(n, m); xp.copysign(x, -x); xp.divide(x, d); xp.equal(n, m); xp.floor_divide(n, m)
xp.floor_divide(x, y)
xp.greater(x, y); xp.greater_equal(n, 3); xp.hypot(x, y); xp.less(x, y); xp.less_equal(n, m); xp.logaddexp(x, y); xp.logical_and(b, n > 2)
xp.logical_or(b, n > 4); xp.logical_xor(b, n > 2); xp.maximum(x, y); xp.minimum(x, d); xp.multiply(x, y); xp.nextafter(u, y); xp.not_equal(n, m)
xp.pow(y, m)
xp.pow(n, 2); xp.remainder(n, m); xp.remainder(x, y); xp.subtract(x, y); xp.clip(x, -1, 1); xp.clip(x, 0, None); xp.clip(n, None, 3)
xp.clip(y, u, u + 1)
xp.sum(x); xp.sum(x, axis=1); xp.sum(s); xp.sum(b); xp.sum(x, axis=(0, 1), keepdims=True); xp.sum(m, dtype=xp.float64); xp.sum(d); xp.prod(x)
xp.prod(n, axis=(0, 1)); xp.prod(s[:2]); xp.prod(x, axis=0, keepdims=True); xp.mean(x); xp.mean(x, axis=0); xp.mean(d); xp.var(x)
xp.var(x, axis=1, correction=1.0)
xp.std(x, axis=0); xp.std(y, correction=1.0, keepdims=True); xp.std(d); xp.max(x); xp.max(n, axis=1); xp.max(x, axis=(0, 1))
xp.min(x, axis=-1, keepdims=True)
xp.cumulative_sum(m); xp.cumulative_sum(x, axis=1); xp.cumulative_sum(x, axis=0, include_initial=True); xp.cumulative_prod(y)
xp.cumulative_prod(n, axis=-1)
xp.cumulative_prod(m, include_initial=True); xp.diff(x); xp.diff(n, axis=0); xp.diff(y, n=2); xp.diff(y, prepend=u, append=u); xp.all(b)
xp.all(x > 0, axis=0)
xp.all(n, axis=(0, 1)); xp.any(x > 3, axis=1, keepdims=True); xp.any(n == 9)
xp.argmax(x); xp.argmax(n, axis=1); xp.argmin(x, axis=0, keepdims=True); xp.argmin(x, keepdims=True); xp.count_nonzero(n); xp.count_nonzero(n, axis=1)
xp.count_nonzero(n, axis=0, keepdims=True); xp.nonzero(n > 2); xp.searchsorted(xp.sort(y), u); xp.searchsorted(xp.sort(m), m, side="right")
xp.searchsorted(y, u, sorter=xp.argsort(y)); xp.where(b, y, u); xp.where(n > 2, x[:2, :], d); xp.sort(x); xp.sort(x, axis=0)
xp.sort(y, descending=False)
xp.argsort(m, stable=True); xp.argsort(x, axis=0); xp.unique_all(n); xp.unique_counts(m); xp.unique_inverse(n); xp.sort(xp.unique_values(n))
xp.broadcast_arrays(x, y); xp.broadcast_to(y, (2, 4)); xp.concat([x, x], axis=1); xp.concat([n, m], axis=None); xp.concat((y, u))
xp.expand_dims(x, axis=1)
xp.expand_dims(x, axis=-1); xp.flip(x); xp.flip(x, axis=0); xp.flip(x, axis=(0, 1)); xp.moveaxis(x, 0, 1); xp.permute_dims(x, (1, 0)); xp.repeat(m, 2)
xp.repeat(x, 2, axis=1); xp.repeat(m, m); xp.reshape(x, (4, 3)); xp.reshape(x, (-1,), copy=True); xp.roll(x, 1); xp.roll(x, 2, axis=1)
xp.roll(x, (1, 2), axis=(0, 1)); xp.roll(x, 1, axis=(0, 1)); xp.squeeze(x[:1, :], 0); xp.squeeze(x[:1, :1], (0, 1)); xp.stack([y, u])
xp.stack([y, u], axis=-1)
xp.take(y, m); xp.take(x, m - 1, axis=0); xp.take(y, -m); xp.take_along_axis(x, xp.argsort(x), axis=-1); xp.take_along_axis(x, n[:1, :] % 3, axis=0)
xp.tile(y, (2,))
xp.tile(y, (2, 2)); xp.unstack(x); xp.unstack(x, axis=1); xp.tril(x); xp.triu(x, k=1); xp.tril(x, k=-1); xp.meshgrid(y, u)
xp.meshgrid(y, u, indexing="ij")
xp.arange(5); xp.arange(2, 8, 3); xp.arange(5, 2); xp.arange(5, 0, -2); xp.arange(3, dtype=xp.float64); xp.asarray([1, 2]); xp.asarray(x)
xp.asarray(True)
xp.zeros(3, dtype=xp.int8); xp.zeros((2, 3), dtype=xp.float64); xp.ones((2,), dtype=xp.float64); xp.full(2, 7); xp.full((2, 2), True)
xp.full((2,), 1, dtype=xp.float32)
xp.eye(3, dtype=xp.float64); xp.eye(2, 4, k=1, dtype=xp.int64); xp.eye(3, k=-1, dtype=xp.float32); xp.linspace(0, 1, 5, dtype=xp.float64)
xp.linspace(0, 1, 4, endpoint=False, dtype=xp.float64); xp.zeros_like(n); xp.ones_like(x, dtype=xp.int32); xp.full_like(x, 3); xp.empty_like(n).shape
xp.empty((2, 3)).shape
xp.astype(x, xp.int32); xp.astype(n, xp.float32, copy=False); xp.astype(b, xp.uint8); xp.can_cast(xp.int8, xp.int32)
xp.can_cast(xp.float64, xp.float32)
xp.can_cast(x, xp.float64); xp.isdtype(xp.float32, "real floating"); xp.isdtype(xp.int8, ("bool", "integral")); xp.isdtype(xp.bool, "numeric")
xp.isdtype(xp.complex64, xp.complex64); xp.isdtype(xp.uint8, "unsigned integer"); xp.isdtype(xp.int8, "complex floating")
xp.result_type(x, y) == xp.float64; xp.result_type(n, m) == xp.int64; xp.result_type(xp.uint8, xp.int8) == xp.int16; xp.result_type(m, 2) == xp.int32
xp.result_type(x, 1.5) == xp.float32; xp.result_type(xp.float32, xp.complex128) == xp.complex128; xp.result_type(x, 1j) == xp.complex64
xp.finfo(xp.float32).eps; xp.finfo(xp.float64).max; xp.finfo(xp.complex64).bits; xp.finfo(xp.float32).smallest_normal; xp.iinfo(xp.int8).min
xp.iinfo(xp.int64).max
xp.iinfo(xp.uint8).bits; xp.e; xp.pi; xp.inf; xp.nan; x[:, xp.newaxis].shape; xp.from_dlpack(x)
xp.matmul(a, v); xp.matmul(x, xp.matrix_transpose(x)); xp.matrix_transpose(x); xp.tensordot(x, a, axes=((0,), (1,))); xp.tensordot(a, a)
xp.vecdot(z, z)
xp.vecdot(a, v); xp.vecdot(a, a, axis=0)
xp.linalg.cholesky(a); xp.linalg.cholesky(a, upper=True); xp.linalg.cross(a, v); xp.linalg.det(a); xp.linalg.diagonal(x, offset=1)
xp.linalg.eigvalsh(a)
xp.linalg.eigh(a).eigenvalues; xp.abs(xp.linalg.eigh(a).eigenvectors); xp.linalg.inv(a); xp.linalg.matmul(a, a); xp.linalg.matrix_norm(x)
xp.linalg.matrix_norm(a, ord="nuc")
xp.linalg.matrix_norm(a, keepdims=True, ord=1); xp.linalg.matrix_power(a, 3); xp.linalg.matrix_power(a, -1); xp.linalg.matrix_rank(a)
xp.linalg.matrix_transpose(x)
xp.linalg.outer(y, u); xp.linalg.pinv(x); xp.linalg.pinv(a, rtol=0.3); xp.abs(xp.linalg.qr(a).Q); xp.abs(xp.linalg.qr(a, mode="complete").R)
xp.linalg.slogdet(a).sign; xp.linalg.slogdet(a).logabsdet; xp.linalg.solve(a, v); xp.linalg.solve(a, a); xp.linalg.svd(x).S; xp.linalg.svd(x).U.shape
xp.linalg.svd(x, full_matrices=False).Vh.shape; xp.linalg.svdvals(x); xp.linalg.tensordot(a, a, axes=1); xp.linalg.trace(x, offset=1)
xp.linalg.trace(n)
xp.linalg.vecdot(v, v); xp.linalg.vector_norm(x); xp.linalg.vector_norm(x, axis=1, ord=1); xp.linalg.vector_norm(x, axis=0, keepdims=True)
xp.fft.fft(y); xp.fft.fft(a, n=4, axis=0); xp.fft.ifft(z, norm="ortho"); xp.fft.fftn(a); xp.fft.fftn(a, s=(2, 2), axes=(0, 1)); xp.fft.ifftn(a)
xp.fft.rfft(y)
xp.fft.irfft(z); xp.fft.rfftn(a); xp.fft.irfftn(xp.fft.rfftn(a), s=(3, 3), axes=(0, 1)); xp.fft.hfft(z); xp.fft.ihfft(y)
xp.fft.fftfreq(5, d=0.5, dtype=xp.float64)
xp.fft.rfftfreq(6, dtype=xp.float64); xp.fft.fftshift(a); xp.fft.ifftshift(y); xp.fft.fftshift(a, axes=1)
"""
EXPRESSIONS = [text.strip() for line in EXPRESSIONS.splitlines() for text in line.split("; ") if text.strip()]
# NumPy takes no dtype for frequencies; the others it spells without the argument.
NUMPY = {
    "xp.fft.fftfreq(5, d=0.5, dtype=xp.float64)": "xp.fft.fftfreq(5, d=0.5)",
    "xp.fft.rfftfreq(6, dtype=xp.float64)": "xp.fft.rfftfreq(6)",
    "xp.sort(y, descending=False)": "xp.sort(y)",
    "xp.result_type(x, 1.5) == xp.float32": "True",
}


def same(got, want):
    if isinstance(want, (tuple, list)) and not isinstance(got, ng.Tensor):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            same(g, w)
    elif isinstance(got, ng.Tensor):
        want = np.asarray(want)
        assert got.numpy().dtype == want.dtype
        assert tuple(got.shape) == want.shape
        single = want.dtype.itemsize == (8 if want.dtype.kind == "c" else 4)
        np.testing.assert_allclose(got.numpy(), want, rtol=2e-5 if single else 1e-9, atol=1e-5 if single else 1e-12)
    else:
        assert type(got) in (bool, int, float) or isinstance(got, ng.Size)
        np.testing.assert_equal(got, tuple(want) if isinstance(want, tuple) else want)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_as_numpy(text):
    got = eval(text, {"xp": array_api, **{name: ng.from_numpy(array.copy()) for name, array in ARRAYS.items()}})
    with np.errstate(all="ignore"):
        want = eval(NUMPY.get(text, text), {"xp": np, **ARRAYS})
    same(got, want)


def test_every_function_is_compared():
    """Each name of the namespaces is there, and an expression above has it."""
    listed = "\n".join(EXPRESSIONS)
    types = {"bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64", "complex64", "complex128"}
    for space, prefix in ((array_api, "xp."), (array_api.linalg, "xp.linalg."), (array_api.fft, "xp.fft.")):
        for name in space.__all__:
            assert hasattr(space, name)
            if name not in types | {"linalg", "fft", "__array_api_version__", "__array_namespace_info__"}:
                assert f"{prefix}{name}" in listed, name
    missing = {name for name in np.__array_namespace_info__().dtypes() if not hasattr(array_api, name)}
    assert missing == {"uint16", "uint32", "uint64"}


def test_namespace():
    x = ng.ones(2)
    assert x.__array_namespace__() is array_api and x.__array_namespace__(api_version="2023.12") is array_api
    with pytest.raises(ValueError, match="api_version"):
        x.__array_namespace__(api_version="2030.12")
    assert x.to_device("cpu") is x
    with pytest.raises(ValueError, match="stream"):
        x.to_device("cpu", stream=1)


def test_info():
    info = array_api.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] and info.default_device() == ng.device("cpu") and ng.device("cpu") in info.devices()
    assert info.default_dtypes() == {
        "real floating": ng.float32,
        "complex floating": ng.complex64,
        "integral": ng.int64,
        "indexing": ng.int64,
    }
    assert info.dtypes(kind="real floating") == {"float32": ng.float32, "float64": ng.float64}
    assert set(info.dtypes(kind=("bool", "unsigned integer"))) == {"bool", "uint8"} and len(info.dtypes()) == 10


def test_gradients_flow():
    x = ng.ones(3, requires_grad=True)
    xp = x.__array_namespace__()
    xp.sum(xp.multiply(x, xp.exp(x))).backward()
    assert ng.allclose(x.grad, ng.full((3,), 2 * np.e))


def test_descending_sort_is_stable():
    x = ng.tensor([1, 3, 1, 3])
    assert array_api.argsort(x, descending=True).tolist() == [1, 3, 0, 2]
    assert array_api.sort(x, descending=True).tolist() == [3, 3, 1, 1]


def test_copies():
    x = ng.ones(2, 3)
    assert array_api.asarray(x, copy=True).data_ptr() != x.data_ptr() and array_api.asarray(x).data_ptr() == x.data_ptr()
    assert array_api.astype(x, ng.float32).data_ptr() != x.data_ptr() and array_api.astype(x, ng.float32, copy=False) is x
    assert array_api.reshape(x, (6,), copy=False).data_ptr() == x.data_ptr()


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda xp, x: xp.squeeze(x, 0), ValueError),
        (lambda xp, x: xp.take(x, ng.tensor([0])), ValueError),
        (lambda xp, x: xp.cumulative_sum(x), ValueError),
        (lambda xp, x: xp.nonzero(ng.tensor(1)), ValueError),
        (lambda xp, x: xp.reshape(x.T, (6,), copy=False), ValueError),
        (lambda xp, x: xp.expand_dims(x, axis=5), IndexError),
        (lambda xp, x: xp.isdtype(ng.int8, "whole"), ValueError),
        (lambda xp, x: xp.result_type(1, 2.0), ValueError),
        (lambda xp, x: xp.astype(x * 1j, ng.float32), ValueError),
    ],
)
def test_errors(call, error):
    with pytest.raises(error):
        call(array_api, ng.ones(2, 3))


def test_numpy_reads_tensors():
    x = ng.tensor([1.0, 2.0])
    assert np.asarray(x).ctypes.data == x.data_ptr()
    assert np.from_dlpack(x).ctypes.data == x.data_ptr()
    np.testing.assert_array_equal(np.add(x, 1), [2, 3])
    np.testing.assert_array_equal(np.concatenate([x, x]), [1, 2, 1, 2])
    np.testing.assert_allclose(np.exp(x), np.exp([1.0, 2.0]), rtol=1e-6)
