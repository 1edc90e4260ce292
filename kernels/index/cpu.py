"""Indexing on the CPU; the loops are in ``_positions``, ``_rows``, ``_lines`` and ``_count``."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .._cpu import empty, zeros
from ..copy._fill import number
from ..copy.cpu import overlap
from ._count import bincount, embedding_backward, extremes, masked_fill, one_hot
from ._few import gather_few, get_few, put_few, scatter_few
from ._lines import gather, scatter, scatter_reduce
from ._positions import offsets, true_positions, unravel
from ._rows import get, put, take

__all__ = [
    "bincount",
    "embedding_backward",
    "empty",
    "expand",
    "extremes",
    "gather",
    "gather_few",
    "get",
    "get_few",
    "masked_fill",
    "number",
    "offsets",
    "one_hot",
    "overlap",
    "put",
    "put_few",
    "scatter",
    "scatter_few",
    "scatter_reduce",
    "take",
    "true_positions",
    "unravel",
    "zeros",
]


def expand(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """``x`` broadcast to ``shape``, without copying."""
    return np.broadcast_to(x, shape)
