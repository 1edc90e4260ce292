"""Copies and casts on the CPU; the loops are in ``_move``, ``_cast`` and ``_fill``."""

from __future__ import annotations

import numpy as np

from .._cpu import empty, zeros
from ._cast import convert
from ._fill import fill, pad, pad_backward, ramp, triangle
from ._move import assign, join, join_few, move, packed

__all__ = [
    "assign", "convert", "empty", "fill", "join", "join_few", "move", "overlap", "packed", "pad", "pad_backward", "ramp", "triangle", "zeros",
]  # fmt: skip


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the address ranges of two arrays meet."""
    return np.may_share_memory(a, b)
