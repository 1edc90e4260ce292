"""Which device an array lives on, and so which implementation of a family runs.

A family's contract says ``_on = family(__name__)`` once and then ``_on(x, w).conv2d(x, w, ...)``: the module ``cpu`` or ``cuda`` of
that family, imported the first time it is asked for.  Devices have names here: ``"cpu"``, ``"cuda:0"``, ``"cuda:1"``, ...
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import Any, Callable, NamedTuple

import numpy as np

# Nobody may be importing an implementation while a process forks: in the child, who holds the module's import lock would never release it.
_importing = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release)


class Place(NamedTuple):
    """What stands for a device where there is no array to ask yet."""

    device_kind: str
    device_index: int = 0


def place(device: str) -> Place:
    """The place that a device's name says."""
    kind, _, index = device.partition(":")
    return Place(kind, int(index or 0))


def device_of(array: Any) -> str:
    """The name of the device that holds ``array``: ``"cpu"`` for NumPy arrays."""
    if isinstance(array, np.ndarray) or array.device_kind == "cpu":
        return "cpu"
    return f"{array.device_kind}:{array.device_index}"


def on_cpu(array: Any) -> bool:
    """Whether ``array`` is one of NumPy's."""
    return isinstance(array, np.ndarray)


def cuda_door(module: str) -> Any:
    """A module of ``_cuda``, imported when it is first asked for.

    Raises Unavailable (a RuntimeError), which says what is missing, where there is no GPU that can be used.
    """
    with _importing:
        return import_module(f"._cuda.{module}", __package__)


def cuda_is_used() -> bool:
    """Whether a GPU has been asked for; until then there is nothing to ask about one."""
    return f"{__package__}._cuda.driver" in sys.modules


def family(package: str, across: bool = False) -> Callable[..., ModuleType]:
    """A function from arrays (None is skipped) to the module of ``package`` that implements their device.

    Raises RuntimeError when the arrays live on different devices (``across``: then a GPU's implementation is to see to it), NotImplementedError where
    the family has no kernels for the device.
    """
    modules: dict[str, Any] = {}

    def implementation(*arrays: Any) -> ModuleType:
        device = ""
        for array in arrays:
            if array is None:
                continue
            here = "cpu" if type(array) is np.ndarray else device_of(array)
            if device and here != device:
                if not across:
                    raise RuntimeError(
                        f"Expected all tensors to be on the same device, but found at least two devices, {device} and {here}! "
                        f"(when checking the arguments of {package.rpartition('.')[2]})"
                    )
                here = max(device, here)
            device = here
        device = device or "cpu"
        if device not in modules:
            modules[device] = _implementation(package, device)
        return modules[device]

    return implementation


def _implementation(package: str, device: str) -> Any:
    """The module of ``package`` for ``device``; where there are several GPUs, one whose functions run on this one."""
    kind, index = place(device)
    with _importing:
        try:
            module = import_module(f".{kind}", package)
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{kind}":
                raise
            raise NotImplementedError(f"{package.rpartition('.')[2]}: there are no kernels for {device} yet") from None
    if kind == "cuda" and cuda_door("devices").device_count() > 1:
        return _Guarded(module, index, cuda_door("devices").guard)
    return module


class _Guarded:
    """A module whose functions, and the functions that they return, run while a device is the thread's current one."""

    def __init__(self, module: ModuleType, index: int, guard: Callable[[int], Any]):
        self._module, self._index, self._guard = module, index, guard

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        found = self._guarded(found) if callable(found) else found
        setattr(self, name, found)
        return found

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with self._guard(self._index):
                result = function(*args, **kwargs)
            return self._guarded(result) if callable(result) else result

        return guarded
