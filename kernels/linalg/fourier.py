"""Discrete Fourier transforms by NumPy's FFT.  ``norm`` is "backward", "ortho" or "forward": which direction is scaled by 1/n, or both by 1/√n."""

from __future__ import annotations

import numpy as np

from .. import _dtypes


def fft(x: np.ndarray, dims: tuple[int, ...], inverse: bool, norm: str) -> np.ndarray:
    """Σⱼ x[j]·exp(∓2πi·jk/n) over each of ``dims``: complex in, complex out."""
    if not dims:
        return x.copy()
    transform = np.fft.ifftn if inverse else np.fft.fftn
    return transform(x, axes=dims, norm=norm).astype(x.dtype, copy=False)  # type: ignore[arg-type]


def rfft(x: np.ndarray, dim: int, norm: str) -> np.ndarray:
    """The first n//2 + 1 entries along ``dim`` of the transform of a real array, of which the others are the conjugates."""
    return np.fft.rfft(x, axis=dim, norm=norm).astype(_dtypes.complex_dtype(x.dtype), copy=False)  # type: ignore[arg-type]


def irfft(x: np.ndarray, n: int, dim: int, norm: str) -> np.ndarray:
    """The real array of size n along ``dim`` whose ``rfft`` is ``x``, of size n//2 + 1."""
    return np.fft.irfft(x, n, dim, norm).astype(_dtypes.real_dtype(x.dtype), copy=False)  # type: ignore[arg-type]
