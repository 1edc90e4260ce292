"""Linear algebra and Fourier transforms on the host, by NumPy's LAPACK and FFT; NumPy arrays in, NumPy arrays out, leading dimensions are a batch.

There are no kernels for GPUs here: ``on_host`` brings a GPU's arrays to the host and the results back.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

import numpy as np

from .._device import device_of
from ..copy import transfer

__all__ = ["LinAlgError", "on_host"]


class LinAlgError(RuntimeError):
    """A matrix for which there is no result: singular, not positive-definite, or one that an iteration does not converge for."""


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or hasattr(x, "device_kind")


def on_host(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, of NumPy arrays, as one of arrays on any device: a GPU's are copied to the host, and what it returns is copied back.

    Raises RuntimeError for arrays on different devices.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        devices = sorted({device_of(x) for x in args if _is_array(x)})
        if len(devices) > 1:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {devices[0]} and {devices[1]}!"
            )
        if not devices or devices[0] == "cpu":
            return function(*args, **kwargs)
        found = function(*[transfer(x, "cpu") if _is_array(x) else x for x in args], **kwargs)
        return tuple(transfer(y, devices[0]) for y in found) if type(found) is tuple else transfer(found, devices[0])

    return call
