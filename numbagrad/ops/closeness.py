"""Whether tensors are equal, or nearly so: ``isclose``, ``allclose``, ``equal``, ``is_nonzero``."""

from __future__ import annotations

from typing import Any

from ..kernels.elementwise import logic
from ..tensor import Tensor
from ._arguments import tensors_of
from ._attach import public
from ._elementwise import elementwise, operation


@elementwise
def _near(x, y, rtol, atol):  # type: ignore[no-untyped-def]
    gap = abs(x - y)
    return (x == y) | (operation(logic.isfinite)(gap) & (gap <= atol + abs(rtol * y)))


@elementwise
def _near_or_nan(x, y, rtol, atol):  # type: ignore[no-untyped-def]
    gap = abs(x - y)
    return (x == y) | (operation(logic.isfinite)(gap) & (gap <= atol + abs(rtol * y))) | ((x != x) & (y != y))


def _complex_near(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> Tensor:
    gap = (x - y).abs()
    near = (x == y) | (gap.isfinite() & (gap <= atol + (rtol * y).abs()))
    return near | ((x != x) & (y != y)) if equal_nan else near


@public
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Elementwise x = y or |x − y| ≤ atol + |rtol · y| with a finite left side; with ``equal_nan`` two NaNs are close too.

    Raises RuntimeError for tensors of different dtypes and for negative tolerances.
    """
    tensors_of("isclose", input=input, other=other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"isclose: {input.dtype.title} did not match {other.dtype.title}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"isclose: {name} must be greater than or equal to zero, but got {value}")
    x, y = input.detach(), other.detach()
    if x.is_complex():
        return _complex_near(x, y, float(rtol), float(atol), equal_nan)
    if not x.is_floating_point():
        if rtol == 0 and atol == 0:
            return x == y
        x, y = x.double(), y.double()
    return (_near_or_nan if equal_nan else _near)(x, y, float(rtol), float(atol))


@public
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether ``isclose`` holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@public
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and values are the same (NaN equals nothing)."""
    tensors_of("equal", input=input, other=other)
    return tuple(input.shape) == tuple(other.shape) and bool((input.detach() == other.detach()).all())


@public
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero.  Raises RuntimeError unless there is exactly one."""
    if input.numel() != 1:
        raise RuntimeError(f"is_nonzero: Boolean value of Tensor with {input.numel()} elements is ambiguous; expected exactly one")
    return bool(input.item() != 0)
