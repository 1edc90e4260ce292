"""Modules over several devices, as far as one device goes."""

from __future__ import annotations

import itertools
from typing import Any, Sequence

from ..devices import as_gpu
from .modules.module import Module

__all__ = ["DataParallel"]


class DataParallel(Module):
    """``module`` under the name ``module``, which is what scripts and state dicts (``module.`` before every name) expect of a parallel one.

    Without a GPU it calls ``module``; with one it moves ``module`` to the first of ``device_ids`` (by default the first there is) and its arguments with it.
    Raises RuntimeError for several devices, between which nothing is divided here, and where parameters lie elsewhere when it is called.
    """

    def __init__(self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0):
        from .. import cuda  # slow to import, and a network does without

        super().__init__()
        self.module = module
        self.device_ids: list[int] = []
        self.dim = dim
        if device_ids is not None and len(device_ids) > 1:
            raise RuntimeError(
                f"DataParallel: expected one device, but got device_ids={list(device_ids)}: a batch is not divided between devices"
            )
        if cuda.is_available():
            self._device = as_gpu(device_ids[0] if device_ids else "cuda:0")
            self.device_ids = [self._device.index or 0]
            self.output_device = self.device_ids[0] if output_device is None else output_device
            module.to(self._device)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        for t in itertools.chain(self.module.parameters(), self.module.buffers()):
            if t.device != self._device:
                raise RuntimeError(
                    f"module must have its parameters and buffers on device {self._device} (device_ids[0]) but found one of them on device: {t.device}"
                )
        return self.module(*_moved(inputs, self._device), **_moved(kwargs, self._device))


def _moved(value: Any, device: Any) -> Any:
    """``value`` with its tensors on ``device``, inside tuples, lists and dicts."""
    if hasattr(value, "_node"):
        return value.to(device)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(v, device) for v in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_moved(v, device) for v in value)
    if isinstance(value, dict):
        return {k: _moved(v, device) for k, v in value.items()}
    return value
