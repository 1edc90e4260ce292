"""The memory format of the weights of convolutions, in a tree of modules."""

from __future__ import annotations

from typing import Any

from ..modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module


def _convert(module: Module, kinds: tuple[type, ...], memory_format: Any) -> Any:
    for each in module.modules():
        if isinstance(each, kinds):
            weight: Any = each.weight
            weight.data = weight.detach().clone(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: Module, memory_format: Any) -> Any:
    """Lay the weights of the 2-D convolutions in ``module``, transposed ones too, out in ``memory_format``, and leave those of other layers; returns it."""
    return _convert(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: Module, memory_format: Any) -> Any:
    """Lay the weights of the 3-D convolutions in ``module``, transposed ones too, out in ``memory_format``, and leave those of other layers; returns it."""
    return _convert(module, (Conv3d, ConvTranspose3d), memory_format)
