"""Discrete Fourier transforms, with PyTorch's names: ``numbagrad.fft.rfft(x)``.  Computed on the host by NumPy's FFT, for CUDA tensors too."""

import math as _math
from typing import Any as _Any

from .creation import arange as _arange
from .ops._arguments import result_into as _result_into
from .ops._keywords import widen_all as _widen_all
from .ops.fourier import (
    fft,
    fft2,
    fftn,
    fftshift,
    hfft,
    hfft2,
    hfftn,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    ihfft2,
    ihfftn,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)  # fmt: skip
from .tensor import Tensor as _Tensor

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip


def fftfreq(
    n: int, d: float = 1.0, *, out: _Any = None, dtype: _Any = None, layout: _Any = None, device: _Any = None, requires_grad: bool = False
) -> _Tensor:
    """The frequencies of the n entries of ``fft``, in cycles per unit, for samples ``d`` apart: [0, 1, ..., (n − 1)//2, −(n//2), ..., −1] / (n·d)."""
    return _frequencies(n, d, (n + 1) // 2, n // 2, out, dtype, device, requires_grad)


def rfftfreq(
    n: int, d: float = 1.0, *, out: _Any = None, dtype: _Any = None, layout: _Any = None, device: _Any = None, requires_grad: bool = False
) -> _Tensor:
    """The frequencies of the n//2 + 1 entries of ``rfft``: [0, 1, ..., n//2] / (n·d)."""
    return _frequencies(n, d, n // 2 + 1, 0, out, dtype, device, requires_grad)


def _frequencies(n: int, d: float, ahead: int, behind: int, out: _Any, dtype: _Any, device: _Any, requires_grad: bool) -> _Tensor:
    from .dtypes import get_default_dtype

    steps = _arange(ahead + behind, dtype=dtype or get_default_dtype(), device=device)
    if behind:
        steps[ahead:] -= ahead + behind
    y = _result_into(out, steps * (1.0 / (n * d) if n * d else _math.inf))  # 0 · ∞, NaN, where the samples take no time
    return y.requires_grad_() if requires_grad else y


_widen_all(globals())
