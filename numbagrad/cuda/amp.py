"""``numbagrad.cuda.amp``: what older scripts import, mixed precision for "cuda".  New ones use ``numbagrad.autocast`` and ``numbagrad.amp``."""

from __future__ import annotations

import warnings
from typing import Any, Callable

from .. import amp
from ..dtypes import dtype as Dtype
from ..dtypes import float16

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def _deprecated(old: str, new: str) -> None:
    warnings.warn(
        f"`numbagrad.cuda.amp.{old}` is deprecated. Please use `numbagrad.amp.{new}` instead.",
        FutureWarning,
        stacklevel=3,
    )


class autocast(amp.autocast):
    """``numbagrad.amp.autocast("cuda")``"""

    def __init__(self, enabled: bool = True, dtype: Dtype = float16, cache_enabled: bool = True):
        _deprecated("autocast(args...)", "autocast('cuda', args...)")
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """``numbagrad.amp.GradScaler("cuda")``"""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        _deprecated("GradScaler(args...)", "GradScaler('cuda', args...)")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: Dtype | None = None) -> Any:
    """``numbagrad.amp.custom_fwd(device_type="cuda")``"""
    _deprecated("custom_fwd(args...)", "custom_fwd(args..., device_type='cuda')")
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any]) -> Any:
    """``numbagrad.amp.custom_bwd(device_type="cuda")``"""
    _deprecated("custom_bwd(args...)", "custom_bwd(args..., device_type='cuda')")
    return amp.custom_bwd(bwd, device_type="cuda")
