"""Devices: where a tensor's memory is and where its kernels run."""

from __future__ import annotations

import threading
from typing import Any

from .kernels import _device

_TYPES = ("cpu", "cuda")


class device:
    """``device("cpu")``, ``device("cuda")``, ``device("cuda:1")`` or ``device("cuda", 1)``.

    Raises RuntimeError for a kind of device that does not exist and for a negative index, as PyTorch does.
    """

    __slots__ = ("type", "index")

    def __init__(self, type: Any, index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index if index is None else index
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        if not isinstance(type, str):
            raise TypeError(f"device: expected a string, an int or a device, but got {type.__class__.__name__}")
        kind, colon, number = type.partition(":")
        if colon:
            if index is not None:
                raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {type}")
            if not number.isdecimal() or number != str(int(number)):
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        if kind not in _TYPES:
            raise RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of device string: {type}")
        if index is not None and index < 0:
            raise RuntimeError(f"Device index must not be negative, but got {index}")
        self.type = kind
        self.index = index

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, device) and (self.type, self.index or 0) == (other.type, other.index or 0)

    def __hash__(self) -> int:
        return hash((self.type, self.index or 0))

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> Any:
        return device, (str(self),)

    def __enter__(self) -> device:
        """Until the end of the block, what is created without ``device=`` is created here."""
        _thread.outer = (*_thread.outer, _thread.default)
        _thread.default = self
        return self

    def __exit__(self, *error: Any) -> None:
        *outer, _thread.default = _thread.outer
        _thread.outer = tuple(outer)


cpu = device("cpu")


class _Thread(threading.local):
    """Where a thread creates tensors without ``device=``."""

    default = cpu
    outer: tuple[device, ...] = ()  # the defaults around the ``with`` blocks that it is in


_thread = _Thread()


def set_default_device(device: Any) -> None:
    """Create tensors on ``device`` (None: the CPU) where no ``device=`` says otherwise, in this thread."""
    _thread.default = as_device(cpu if device is None else device, "set_default_device")


def get_default_device() -> device:
    """The device on which this thread creates tensors where no ``device=`` says otherwise."""
    return as_device(None)


def as_device(value: Any, op: str = "device") -> device:
    """The device that ``value`` names (None: the default), checked to be usable; a GPU with its index (without one: the thread's current GPU).

    Raises RuntimeError, which says what is missing, when it is not usable.
    """
    if value is None:
        value = _thread.default
        if value is cpu:
            return cpu
    found = value if type(value) is device else device(value)
    if found.type == "cpu":
        return cpu
    try:
        return device("cuda", _device.cuda_door("devices").check_index(found.index))
    except _device.cuda_door("driver").Unavailable as error:
        raise RuntimeError(f"{op}: the CUDA device {found} was asked for, but {error}") from None


def as_gpu(value: Any) -> device:
    """The GPU that ``value`` names (None: the thread's current one), whether it is there or not.  Raises RuntimeError for another kind of device."""
    found = device("cuda" if value is None else value)
    if found.type != "cuda":
        raise RuntimeError(f"Invalid device, must be cuda device, but got {found}")
    return found


def of_array(data: Any) -> device:
    """The device that holds an array of the kernels."""
    return cpu if _device.on_cpu(data) else device(data.device_kind, data.device_index)
