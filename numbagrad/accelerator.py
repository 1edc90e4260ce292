"""What newer scripts ask before they pick a device: the accelerator is CUDA where it is there."""

from __future__ import annotations

from typing import Any

from . import cuda
from .devices import device


def is_available() -> bool:
    """Whether there is an accelerator with kernels for it."""
    return cuda.is_available()


def device_count() -> int:
    """The number of accelerators."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> Any:
    """The accelerator's device, None where there is none."""
    return device("cuda") if cuda.is_available() else None


def current_device_index() -> int:
    """The number of the current accelerator."""
    return cuda.current_device()


def set_device_index(device: Any) -> None:
    """Make ``device`` the current accelerator of this thread."""
    cuda.set_device(device)


def synchronize(device: Any = None) -> None:
    """Wait until an accelerator has done what it was given."""
    cuda.synchronize(device)
