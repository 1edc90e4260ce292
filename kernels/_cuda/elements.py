"""What kernels that are made for an element type and a count of elements share: 16-bit floats read as float32, and division by a number that the
host knows, in 32 bits as long as they count the elements."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .intrinsics import (
    bfloat16_to_float32,
    divide,
    divider,
    float16_to_float32,
    float32_to_bfloat16,
    float32_to_float16,
    inline,
)

__all__ = ["NARROW", "divisor", "index_type", "narrow", "quotient", "widen"]

# More elements than this need 64-bit indices.
NARROW = 1 << 31


@inline
def _same(x):  # type: ignore[no-untyped-def]
    return x


def widen(dtype: np.dtype) -> Any:
    """The function from what a pointer to ``dtype`` reads to the type it is computed in: float32 for the 16-bit floats."""
    return {_dtypes.float16: float16_to_float32, _dtypes.bfloat16: bfloat16_to_float32}.get(dtype, _same)


def narrow(dtype: np.dtype) -> Any:
    """The function from the type that ``dtype`` is computed in to what a pointer to it writes."""
    return {_dtypes.float16: float32_to_float16, _dtypes.bfloat16: float32_to_bfloat16}.get(dtype, _same)


# ---- division -----------------------------------------------------------------------------------------------------------------------------------


def index_type(count: int) -> Any:
    """The type that counts ``count`` elements."""
    return np.uint32 if count < NARROW else np.uint64


def divisor(d: int) -> tuple[int, int, int]:
    """The three arguments by which a kernel divides by ``d``: see ``quotient``."""
    return (d, *divider(d)) if d < NARROW else (d, 0, 0)


@functools.lru_cache(maxsize=None)
def quotient(I: Any) -> Any:
    """``n // divisor`` as ``(n, divisor, multiplier, shift)``, all of type ``I``: by multiplication for uint32 (n below 2**31), by division for uint64."""
    if I is np.uint32:

        @inline
        def multiplied(n, by, multiplier, shift):  # type: ignore[no-untyped-def]
            return divide(n, multiplier, shift)

        return multiplied

    @inline
    def divided(n, by, multiplier, shift):  # type: ignore[no-untyped-def]
        return I(n // by)

    return divided
