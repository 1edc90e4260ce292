"""Batches in page-locked memory, from which a GPU copies while the host goes on: ``batch.to("cuda", non_blocking=True)``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from .. import cuda
from ..tensor import Tensor


def can_pin() -> bool:
    """Whether there is a GPU to pin memory for; where there is none, a warning says that nothing will be pinned."""
    if cuda.is_available():
        return True
    warnings.warn(
        "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.", stacklevel=4
    )
    return False


def pin_memory(data: Any) -> Any:
    """``data`` with its tensors in pinned memory, inside whatever containers they come in; an object that has a method ``pin_memory`` is asked to
    do it itself, and anything else stays as it is."""
    if isinstance(data, Tensor):
        return data.pin_memory()  # type: ignore[attr-defined]
    if hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: pin_memory(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(pin_memory, data))
    if isinstance(data, tuple):
        return tuple(map(pin_memory, data))
    if isinstance(data, Sequence):
        return _rebuilt(data, [pin_memory(value) for value in data])
    return data


def _rebuilt(container: Any, content: Any) -> Any:
    """``content`` in a container like the given one, as far as one of that type can be made."""
    try:
        if isinstance(content, dict) and hasattr(container, "update"):
            made = copy(container)
            made.update(content)
            return made
        return type(container)(content)
    except TypeError:
        return content
