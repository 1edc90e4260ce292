"""Indexing: reading and writing an array at listed places.

Indices are checked by a kernel before anything is read or written; one out of range raises and leaves the array as it was.  What is
written more than once to a place is written, or added, in the order of occurrence: results never depend on the number of threads.
Functions that end in ``_into`` change their first argument, an array of any strides; their namesakes return a new array.
"""

from __future__ import annotations

from .advanced import (
    embedding,
    embedding_backward,
    index_add,
    index_add_into,
    index_get,
    index_put,
    index_put_into,
    index_select,
)
from .along import gather, scatter, scatter_add, scatter_add_into, scatter_into, take_along_dim
from .masks import bincount, masked_fill, masked_scatter, masked_select, nonzero, one_hot

__all__ = [
    "bincount",
    "embedding",
    "embedding_backward",
    "gather",
    "index_add",
    "index_add_into",
    "index_get",
    "index_put",
    "index_put_into",
    "index_select",
    "masked_fill",
    "masked_scatter",
    "masked_select",
    "nonzero",
    "one_hot",
    "scatter",
    "scatter_add",
    "scatter_add_into",
    "scatter_into",
    "take_along_dim",
]
