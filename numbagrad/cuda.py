"""What scripts ask of a GPU before they use one.  There are no CUDA kernels here, and every answer says so."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """Whether tensors can be put on a GPU: no."""
    return False


def device_count() -> int:
    """The number of GPUs that can be used: none."""
    return 0


def is_initialized() -> bool:
    """Whether the CUDA driver has been started: no."""
    return False


def manual_seed(seed: int) -> None:
    """Seed the GPU's generator; as in PyTorch, nothing happens where there is no GPU."""


def manual_seed_all(seed: int) -> None:
    """Seed every GPU's generator; as in PyTorch, nothing happens where there is no GPU."""


def empty_cache() -> None:
    """Give cached GPU memory back; as in PyTorch, nothing happens where there is no GPU."""


def _missing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("numbagrad has no CUDA kernels on this machine; check numbagrad.cuda.is_available() first")


current_device = get_device_name = get_device_properties = synchronize = set_device = _missing
