"""What newer scripts ask before they pick a device: there is no accelerator."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """Whether there is an accelerator with kernels for it: no."""
    return False


def device_count() -> int:
    """The number of accelerators: none."""
    return 0


def current_accelerator(check_available: bool = False) -> Any:
    """The accelerator's device, None where there is none."""
    return None
