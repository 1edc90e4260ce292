"""Window functions of length M (Harris, "On the Use of Windows for Harmonic Analysis with the Discrete Fourier Transform", 1978).

``sym=True`` gives a symmetric window, for filters; ``sym=False`` a periodic one, the symmetric of length M + 1 without its last value, for spectra.
All raise ValueError for a negative length and a dtype other than float32 and float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..creation import empty, linspace, ones
from ..tensor import Tensor

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann", "kaiser", "nuttall",
]  # fmt: skip


def _points(name: str, M: int, first: float, step: float, settings: dict[str, Any]) -> Any:
    """first, first + step, ... of length M"""
    return (
        linspace(first, first + (M - 1) * step, M, dtype=settings["dtype"], device=settings["device"])
        if M > 1
        else _settled(name, M, settings)
    )


def _settled(name: str, M: int, settings: dict[str, Any]) -> Any:
    """The window of length 0 or 1."""
    return (empty if M == 0 else ones)((M,), dtype=settings["dtype"], device=settings["device"])


def _checked(name: str, M: int, dtype: Any, layout: Any, device: Any) -> dict[str, Any]:
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, name)
    if kind.name not in ("float32", "float64"):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
    if layout is not None and str(layout).rsplit(".", 1)[-1] != "strided":
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    return {"dtype": kind, "device": device}


def _finish(window: Tensor, requires_grad: bool) -> Tensor:
    return window.requires_grad_() if requires_grad else window


def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """e^(−|n − center| / tau); ``center``: the middle by default, and always of a symmetric window.  ValueError for tau ≤ 0."""
    settings = _checked("exponential", M, dtype, layout, device)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    middle = (M - 1 if sym else M) / 2 if center is None else center
    if M < 2:
        return _finish(_settled("exponential", M, settings), requires_grad)
    k = linspace(-middle / tau, (M - 1 - middle) / tau, M, dtype=settings["dtype"], device=device)
    return _finish((-k.abs()).exp(), requires_grad)  # type: ignore[attr-defined]


def cosine(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """sin(π (n + ½) / M)"""
    settings = _checked("cosine", M, dtype, layout, device)
    if M < 2:
        return _finish(_settled("cosine", M, settings), requires_grad)
    step = math.pi / (M if sym else M + 1)
    k: Any = linspace(0.5 * step, (M - 0.5) * step, M, dtype=settings["dtype"], device=device)
    return _finish(k.sin(), requires_grad)


def gaussian(
    M: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """e^(−(n − middle)² / 2 std²).  ValueError for std ≤ 0."""
    settings = _checked("gaussian", M, dtype, layout, device)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    if M < 2:
        return _finish(_settled("gaussian", M, settings), requires_grad)
    step = 1 / (std * math.sqrt(2))
    k = _points("gaussian", M, -(M - 1 if sym else M) / 2 * step, step, settings)
    return _finish((-(k * k)).exp(), requires_grad)


def kaiser(
    M: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """I₀(beta √(1 − (2n/N − 1)²)) / I₀(beta), N = M − 1 (M of a periodic one).  ValueError for beta < 0."""
    settings = _checked("kaiser", M, dtype, layout, device)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if M < 2:
        return _finish(_settled("kaiser", M, settings), requires_grad)
    k = _points("kaiser", M, -beta, 2 * beta / (M - 1 if sym else M), settings)
    rest = (beta * beta - k * k).clamp(min=0).sqrt()  # rounding may take the last point beyond beta
    return _finish(rest.i0() / k.new_tensor(beta).i0(), requires_grad)


def general_cosine(
    M: int,
    *,
    a: Iterable[float],
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Σᵢ (−1)ⁱ aᵢ cos(2π i n / N), N = M − 1 (M of a periodic one).  TypeError unless ``a`` is iterable, ValueError where it is empty."""
    settings = _checked("general_cosine", M, dtype, layout, device)
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    weights = list(a)
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    if M < 2:
        return _finish(_settled("general_cosine", M, settings), requires_grad)
    k = _points("general_cosine", M, 0.0, 2 * math.pi / (M - 1 if sym else M), settings)
    window = k.new_full((M,), weights[0])
    for i, weight in enumerate(weights[1:], 1):
        window = window + (-1) ** i * weight * (i * k).cos()
    return _finish(window, requires_grad)


def general_hamming(
    M: int,
    *,
    alpha: float = 0.54,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """alpha − (1 − alpha) cos(2π n / N)"""
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hamming(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0.54 − 0.46 cos(2π n / N)"""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """½ − ½ cos(2π n / N) = sin²(π n / N)"""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def blackman(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0.42 − 0.5 cos(2π n / N) + 0.08 cos(4π n / N)"""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def nuttall(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The minimum four-term window of Nuttall ("Some Windows with Very Good Sidelobe Behavior", 1981)"""
    a = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return general_cosine(M, a=a, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def bartlett(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """1 − |2n/N − 1|"""
    settings = _checked("bartlett", M, dtype, layout, device)
    if M < 2:
        return _finish(_settled("bartlett", M, settings), requires_grad)
    k = _points("bartlett", M, -1.0, 2 / (M - 1 if sym else M), settings)
    return _finish(1 - k.abs(), requires_grad)
