"""Which device an array lives on, and so which implementation of a family runs.

A family's contract says ``_on = family(__name__)`` once and then ``_on(x, w).conv2d(x, w, ...)``: the module ``cpu`` or ``cuda`` of
that family, imported the first time it is asked for.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module
from types import ModuleType
from typing import Any, Callable

import numpy as np

# Nobody may be importing an implementation while a process forks: in the child, who holds the module's import lock would never release it.
_importing = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release)


def device_of(array: Any) -> str:
    """The kind of device that holds ``array``: ``"cpu"`` for NumPy arrays."""
    if isinstance(array, np.ndarray):
        return "cpu"
    return array.device_kind


def family(package: str) -> Callable[..., ModuleType]:
    """A function from arrays (None is skipped) to the module of ``package`` that implements their device.

    Raises RuntimeError when the arrays live on different devices.
    """
    modules: dict[str, ModuleType] = {}

    def implementation(*arrays: Any) -> ModuleType:
        kind = ""
        for array in arrays:
            if array is None:
                continue
            here = "cpu" if type(array) is np.ndarray else device_of(array)
            if kind and here != kind:
                raise RuntimeError(
                    f"{package.rpartition('.')[2]}: expected all tensors to be on the same device, but found at least two devices, {kind} and {here}"
                )
            kind = here
        kind = kind or "cpu"
        if kind not in modules:
            with _importing:
                modules[kind] = import_module(f".{kind}", package)
        return modules[kind]

    return implementation
