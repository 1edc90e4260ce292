"""Fourier transforms where PyTorch's own samples do not go."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import numbagrad as ng

RNG = np.random.default_rng(0)


def test_dtypes():
    assert ng.fft.fft(ng.ones(4)).dtype is ng.complex64 and ng.fft.fft(ng.ones(4, dtype=ng.float64)).dtype is ng.complex128
    assert ng.fft.rfft(ng.arange(4)).dtype is ng.complex64 and ng.fft.irfft(ng.ones(3, dtype=ng.complex64)).dtype is ng.float32
    assert ng.fft.fftfreq(4).dtype is ng.float32 and ng.fft.rfftfreq(5, 0.5, dtype=ng.float64).dtype is ng.float64


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n):
    np.testing.assert_allclose(ng.fft.fftfreq(n, 0.25).numpy(), np.fft.fftfreq(n, 0.25), rtol=1e-6)
    np.testing.assert_allclose(ng.fft.rfftfreq(n, 0.25).numpy(), np.fft.rfftfreq(n, 0.25), rtol=1e-6)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: ng.fft.fft(ng.ones(3), 0), RuntimeError, "Invalid number of data points"),
        (lambda: ng.fft.fft(ng.ones(3), norm="unit"), RuntimeError, "Invalid normalization mode"),
        (lambda: ng.fft.fft(ng.ones(3), dim=1), IndexError, "Dimension out of range"),
        (lambda: ng.fft.rfft(ng.ones(3, dtype=ng.complex64)), RuntimeError, "real input"),
        (lambda: ng.fft.fft(ng.ones(4, dtype=ng.float16)), RuntimeError, "Unsupported dtype Half"),
        (lambda: ng.fft.fftn(ng.ones(2, 2), dim=(0, 0)), RuntimeError, "dims must be unique"),
        (lambda: ng.fft.fftn(ng.ones(2, 2), s=(2,), dim=(0, 1)), RuntimeError, "same length"),
        (lambda: ng.fft.fft([1.0]), TypeError, "must be Tensor, not list"),
        (lambda: ng.stft(ng.ones(10), 4), RuntimeError, "return_complex"),
        (lambda: ng.stft(ng.ones(10), 40, center=False, return_complex=True), RuntimeError, "n_fft"),
        (
            lambda: ng.stft(ng.ones(10), 4, window=ng.ones(3), return_complex=True),
            RuntimeError,
            "window tensor of size equal to win_length=4",
        ),
        (lambda: ng.istft(ng.ones(3, 3), 4), RuntimeError, "complex-valued input"),
        (lambda: ng.istft(ng.ones(3, 3, dtype=ng.complex64), 4, window=ng.zeros(4)), RuntimeError, "window overlap add"),
    ],
)
def test_bad_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_strided_input_and_out():
    x = RNG.normal(size=(6, 4))
    t = ng.from_numpy(x)
    np.testing.assert_allclose(ng.fft.fft(t.T[::2], dim=0).numpy(), np.fft.fft(x.T[::2], axis=0), atol=1e-12)
    into = ng.empty(6, 4, dtype=ng.complex128)
    assert ng.fft.fft2(t, out=into) is into
    np.testing.assert_allclose(into.numpy(), np.fft.fft2(x), atol=1e-12)


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_derivatives(n, norm):
    """Of real and half-complex transforms of even and odd size, by central differences, twice."""
    real = ng.from_numpy(RNG.normal(size=(2, n))).requires_grad_()
    half = ng.from_numpy(RNG.normal(size=(2, n // 2 + 1)) + 1j * RNG.normal(size=(2, n // 2 + 1))).requires_grad_()
    for f, x in (
        (lambda a: ng.fft.rfft(a, norm=norm), real),
        (lambda a: ng.fft.irfft(a, n, norm=norm), half),
        (lambda a: ng.fft.hfft(a, n, norm=norm), half),
        (lambda a: ng.fft.ihfftn(a, norm=norm), real),
        (lambda a: ng.fft.irfftn(a, (2, n), norm=norm), half),
    ):
        assert ng.autograd.gradcheck(f, (x,)) and ng.autograd.gradgradcheck(f, (x,), fast_mode=True)


def test_istft_undoes_stft():
    x = ng.from_numpy(RNG.normal(size=(2, 50)))
    window = ng.from_numpy(np.hanning(9)[:-1] + 0.1)
    for settings in ({}, {"normalized": True}, {"onesided": False}):
        spectrum = ng.stft(x, 12, 4, 8, window, return_complex=True, **settings)
        back = ng.istft(spectrum, 12, 4, 8, window, length=48, **settings)
        np.testing.assert_allclose(back.numpy(), x.numpy()[:, :48], atol=1e-12)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        longer = ng.istft(ng.stft(x, 12, 4, return_complex=True), 12, 4, length=90)
    assert longer.shape == (2, 90) and not longer[:, -20:].any() and len(said) == 1


def test_derivatives_of_istft():
    x = ng.from_numpy(RNG.normal(size=(5, 4)) + 1j * RNG.normal(size=(5, 4))).requires_grad_()
    window = ng.from_numpy(RNG.uniform(0.5, 1, size=6)).requires_grad_()
    assert ng.autograd.gradcheck(lambda a, w: ng.istft(a, 8, 2, 6, w), (x, window))


def test_frequencies_of_no_time():
    assert (
        str(ng.fft.fftfreq(3, d=0).tolist()) == "[nan, inf, -inf]"
        and str(ng.fft.rfftfreq(0).tolist()) == "[nan]"
        and ng.fft.fftfreq(0).tolist() == []
    )
