"""The table by which one launch reaches every array of a group."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, Sequence

import numpy as np

from .._cpu import address_of, array_from, inline, load

# Elements handled at a time.  Five float32 arrays of it fit the first-level cache, so a second loop over a chunk does not go to memory.
CHUNK = 2048

GRADIENT = 1  # the column of the gradients; parameters are column 0, states follow

# The table's words, as kernels find them.
_IDS, _COUNT, _CHUNKS, _NUMBERS, _SETTINGS = range(0, 40, 8)
_MOST_SETTINGS, _MOST_NUMBERS = 12, 3
_PACKERS = [struct.Struct(f"={n}d") for n in range(_MOST_SETTINGS + 1)]


class Table:
    """The identities of the arrays (columns by role, one entry per parameter) and the chunks into which their elements are divided.

    A kernel runs over the chunks, each a range within one array, so work is shared evenly however unequal the arrays are.  Identities
    rather than addresses: CPython's ``id`` is at hand at once, and the kernel follows it to the data.  The arrays are held for as long as
    their identities are in the table; those of gradients for as long as the caller holds them, which is why they are set anew for each
    launch.

    ``address`` is all that a kernel is given: every further argument of a call from Python costs as much as the update of a hundred elements.
    """

    __slots__ = ("arrays", "ids", "chunks", "dtype", "total", "numbers", "settings", "words", "address")

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
        self.dtype = dtype
        self.total = sum(sizes)
        self.numbers = np.zeros((_MOST_NUMBERS, n))
        self.settings = np.zeros(_MOST_SETTINGS)
        addresses = [x.ctypes.data for x in (self.ids, chunks, self.numbers, self.settings)]
        self.words = np.array([addresses[0], n, *addresses[1:]], np.int64)
        self.address = self.words.ctypes.data

    def point(self, gradients: Sequence[Any]) -> None:
        """Let the column of the gradients refer to ``gradients``, which the caller keeps alive until the kernel has run."""
        self.ids[GRADIENT] = [id(g) for g in gradients]

    def give(self, *rows: float | Sequence[float]) -> None:
        """One row of numbers per argument, an entry for each parameter (or one number for all)."""
        for row, value in enumerate(rows):
            self.numbers[row] = value

    def set(self, *settings: float) -> None:
        """What is the same for all parameters."""
        _PACKERS[len(settings)].pack_into(self.settings.data, 0, *settings)


@inline
def setting(table, k):
    """Setting ``k``, in float64."""
    return load(load(table + _SETTINGS, np.int64) + 8 * k, np.float64)


@inline
def number(table, row, c):
    """The number in ``row`` of the array that chunk ``c`` is of, in float64."""
    count, array = load(table + _COUNT, np.int64), load(load(table + _CHUNKS, np.int64) + 24 * c, np.int64)
    return load(load(table + _NUMBERS, np.int64) + 8 * (row * count + array), np.float64)


def accessors(dtype: np.dtype) -> SimpleNamespace:
    """``piece(table, role, c)``: the elements of chunk ``c`` in the array of ``role``; ``whole(table, c)``: which array that is."""
    real, itemsize = dtype.type, dtype.itemsize

    @inline
    def whole(table, c):
        return load(load(table + _CHUNKS, np.int64) + 24 * c, np.int64)

    @inline
    def piece(table, role, c):
        chunk = load(table + _CHUNKS, np.int64) + 24 * c
        identity = load(load(table + _IDS, np.int64) + 8 * (role * load(table + _COUNT, np.int64) + load(chunk, np.int64)), np.int64)
        return array_from(address_of(identity) + itemsize * load(chunk + 8, np.int64), load(chunk + 16, np.int64), real)

    return SimpleNamespace(real=real, piece=piece, whole=whole)
