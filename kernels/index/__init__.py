"""Indexing: reading and writing an array at listed places.

Indices are checked by a kernel before anything is read or written; one out of range raises and leaves the array as it was.  What is
written more than once to a place is written, or added, in the order of occurrence: results never depend on the number of threads.
Functions that end in ``_into`` change their first argument, an array of any strides; their namesakes return a new array.
"""

from __future__ import annotations

from ._checks import broadcast_shapes
from .advanced import (
    embedding,
    embedding_backward,
    index_add,
    index_add_into,
    index_get,
    index_get_backward,
    index_put,
    index_put_into,
    index_select,
    index_select_backward,
)
from .along import gather, gather_backward, scatter, scatter_add, scatter_add_into, scatter_into, scatter_reduce, take_along_dim
from .masks import bincount, masked_fill, masked_fill_into, masked_scatter, masked_select, masked_select_backward, nonzero, one_hot

__all__ = [
    "bincount", "broadcast_shapes", "embedding", "embedding_backward", "gather", "gather_backward", "index_add", "index_add_into",
    "index_get", "index_get_backward", "index_put", "index_put_into", "index_select", "index_select_backward", "masked_fill",
    "masked_fill_into", "masked_scatter", "masked_select", "masked_select_backward", "nonzero", "one_hot", "scatter", "scatter_add",
    "scatter_add_into", "scatter_into", "scatter_reduce", "take_along_dim",
]  # fmt: skip
