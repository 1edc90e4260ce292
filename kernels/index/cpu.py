"""Indexing on the CPU; the loops are in ``_positions``, ``_rows``, ``_lines`` and ``_count``."""

from __future__ import annotations

from .._cpu import empty, zeros
from ._count import bincount, embedding_backward, extremes, masked_fill, one_hot
from ._lines import gather, scatter, scatter_add
from ._positions import offsets, outside, true_positions, unravel
from ._rows import get, put

__all__ = [
    "bincount",
    "embedding_backward",
    "empty",
    "extremes",
    "gather",
    "get",
    "masked_fill",
    "offsets",
    "one_hot",
    "outside",
    "put",
    "scatter",
    "scatter_add",
    "true_positions",
    "unravel",
    "zeros",
]
