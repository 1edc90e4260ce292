"""The extension ``fft`` of the standard: the functions of ``numbagrad.fft`` with its names for the arguments."""

from __future__ import annotations

from typing import Any

from .. import fft as _fft
from ..tensor import Tensor

_ONE, _MANY = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"), ("fftn", "ifftn", "rfftn", "irfftn")

__all__ = [*_ONE, *_MANY, "fftfreq", "fftshift", "ifftshift", "rfftfreq"]


def _one(function: Any) -> Any:
    def call(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
        return function(x, n, axis, norm)

    return _named(call, function)


def _many(function: Any) -> Any:
    def call(x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
        return function(x, s, axes, norm)

    return _named(call, function)


def _named(call: Any, function: Any) -> Any:
    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


globals().update({name: _one(getattr(_fft, name)) for name in _ONE})
globals().update({name: _many(getattr(_fft, name)) for name in _MANY})


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of ``fft`` with n samples at distances ``d``."""
    return _fft.fftfreq(n, d, dtype=dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of ``rfft`` with n samples at distances ``d``."""
    return _fft.rfftfreq(n, d, dtype=dtype, device=device)


def fftshift(x: Any, /, *, axes: Any = None) -> Tensor:
    """Frequency zero in the middle."""
    return _fft.fftshift(x, axes)


def ifftshift(x: Any, /, *, axes: Any = None) -> Tensor:
    """What ``fftshift`` did, undone."""
    return _fft.ifftshift(x, axes)
