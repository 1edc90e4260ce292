"""Parameters as one vector, and back."""

from __future__ import annotations

from typing import Iterable

from ...ops.copy import cat
from ...tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector.  Raises TypeError for parameters on different devices."""
    return cat([p.reshape(-1) for p in _together(parameters)])  # type: ignore[attr-defined]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the pieces of ``vec``, whose memory they share, the values of the parameters.

    Raises TypeError for what is not a tensor, and for parameters on different devices.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected numbagrad.Tensor, but got: {type(vec)}")
    start = 0
    for p in _together(parameters):
        n = p.numel()
        p.data = vec[start : start + n].view_as(p).data  # type: ignore[index,attr-defined]
        start += n


def _together(parameters: Iterable[Tensor]) -> Iterable[Tensor]:
    """``parameters``, which are to be on one device."""
    first = None
    for p in parameters:
        first = p.device if first is None else first
        if p.device != first:
            raise TypeError("Found two parameters on different devices, this is currently not supported.")
        yield p
