"""The window functions of short-time Fourier transforms, under the names of ``torch.hann_window`` and the others.

Those of ``windows`` with PyTorch's older arguments: ``periodic`` (True by default) where these have ``sym``, and RuntimeError for bad lengths and dtypes.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..tensor import Tensor
from . import windows


def _window(name: str, shape: Any, length: int, periodic: bool, dtype: Any, device: Any, requires_grad: bool, **settings: Any) -> Tensor:
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, name)
    if not kind.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {kind}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    wide = dtypes.float64 if kind.name == "float64" else dtypes.float32
    window: Any = shape(length, sym=not periodic, dtype=wide, device=device, **settings).to(kind)
    return window.requires_grad_() if requires_grad else window


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """½ − ½ cos(2π n / N), N = window_length, or window_length − 1 if not ``periodic``"""
    return _window("hann_window", windows.hann, window_length, periodic, dtype, device, requires_grad)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """alpha − beta cos(2π n / N)"""
    weights = [alpha, beta]
    return _window("hamming_window", windows.general_cosine, window_length, periodic, dtype, device, requires_grad, a=weights)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """0.42 − 0.5 cos(2π n / N) + 0.08 cos(4π n / N)"""
    return _window("blackman_window", windows.blackman, window_length, periodic, dtype, device, requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """1 − |2n/N − 1|"""
    return _window("bartlett_window", windows.bartlett, window_length, periodic, dtype, device, requires_grad)


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """I₀(beta √(1 − (2n/N − 1)²)) / I₀(beta)"""
    return _window("kaiser_window", windows.kaiser, window_length, periodic, dtype, device, requires_grad, beta=beta)
