"""The table by which one launch reaches every array of a group."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .._cpu import address_of, array_from, empty, inline

# Elements handled at a time.  Five float32 arrays of it fit the first-level cache, so a second loop over a chunk does not go to memory.
CHUNK = 2048

GRADIENT = 1  # the column of the gradients; parameters are column 0, states follow


class Table:
    """The identities of the arrays (columns by role, one entry per parameter) and the chunks into which their elements are divided.

    A kernel runs over the chunks, each a range within one array, so work is shared evenly however unequal the arrays are.  Identities
    rather than addresses: CPython's ``id`` is at hand at once, and the kernel follows it to the data.  The arrays are held for as long as
    their identities are in the table; those of gradients for as long as the caller holds them, which is why they are set anew for each
    launch.
    """

    __slots__ = ("arrays", "ids", "chunks", "like", "total", "scalars")

    def __init__(self, columns: Sequence[Sequence[Any]], sizes: Sequence[int], dtype: np.dtype, gaps: int):
        self.arrays = [list(column) for column in columns]
        n = len(sizes)
        self.ids = np.zeros((len(columns) + gaps, n), np.int64)
        self.ids[0] = [id(array) for array in columns[0]]
        for role, column in enumerate(columns[1:], 1 + gaps):
            self.ids[role] = [id(array) for array in column]
        counts = [-(-size // CHUNK) for size in sizes]
        chunks = np.empty((sum(counts), 3), np.int64)
        chunks[:, 0] = np.repeat(np.arange(n), counts)
        first = np.repeat(np.cumsum([0, *counts[:-1]]), counts) if n else np.zeros(0, np.int64)
        chunks[:, 1] = (np.arange(len(chunks)) - first) * CHUNK
        ends = np.repeat(np.asarray(sizes, np.int64), counts)
        chunks[:, 2] = np.minimum(CHUNK, ends - chunks[:, 1])
        self.chunks = chunks
        self.like = empty((0,), dtype)
        self.total = sum(sizes)
        self.scalars = np.zeros((2, n))

    def point(self, gradients: Sequence[Any]) -> None:
        """Let the column of the gradients refer to ``gradients``, which the caller keeps alive until the kernel has run."""
        self.ids[GRADIENT] = [id(g) for g in gradients]

    def values(self, *rows: float | Sequence[float]) -> np.ndarray:
        """One row of numbers per argument, an entry for each parameter (or one number for all)."""
        for row, value in enumerate(rows):
            self.scalars[row] = value
        return self.scalars


@inline
def piece(ids, role, chunks, c, like):
    """The elements of chunk ``c`` in the array of ``role``, as a contiguous array of the dtype of ``like``."""
    address = address_of(int(ids[role, chunks[c, 0]])) + int(chunks[c, 1]) * like.itemsize
    return array_from(address, int(chunks[c, 2]), like.dtype)
