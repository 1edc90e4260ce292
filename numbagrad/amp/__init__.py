"""Mixed precision: ``autocast`` computes what can be in 16-bit floats, ``GradScaler`` keeps their gradients from underflowing.

scaler = ng.amp.GradScaler("cuda")
with ng.autocast("cuda"):
    loss = loss_fn(model(x), t)
scaler.scale(loss).backward()
scaler.step(optimizer)
scaler.update()
"""

from .autocast_mode import (
    autocast,
    clear_autocast_cache,
    custom_bwd,
    custom_fwd,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)
from .grad_scaler import GradScaler

__all__ = [
    "GradScaler",
    "autocast",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
]
