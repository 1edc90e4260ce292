"""Indexing on the CPU; the loops are in ``_positions``, ``_rows``, ``_lines`` and ``_count``."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .._cpu import empty, zeros
from ..copy.cpu import overlap
from ._count import bincount, embedding_backward, extremes, masked_fill, one_hot
from ._lines import gather, scatter, scatter_add
from ._positions import offsets, outside, true_positions, unravel
from ._rows import get, put, take

__all__ = [
    "bincount",
    "embedding_backward",
    "empty",
    "expand",
    "extremes",
    "gather",
    "get",
    "masked_fill",
    "offsets",
    "one_hot",
    "outside",
    "overlap",
    "put",
    "scatter",
    "scatter_add",
    "take",
    "true_positions",
    "unravel",
    "zeros",
]


def expand(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """``x`` broadcast to ``shape``, without copying."""
    return np.broadcast_to(x, shape)
