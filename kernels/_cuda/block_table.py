"""The books of a caching allocator: which blocks its segments are cut into, which of them are free, and how much there is of all.

A block is a row of ``blocks``; its neighbours in the segment and in the list of free blocks that it stands in are numbers of other rows, 0 for none.
``heads[queue, size class]`` is the first of a list; only blocks of one queue are handed out together, merged or cut.  Row 0 of ``heads`` counts.

Finalisers and signal handlers run between any two lines of Python, and they may allocate and free.  Compiled, and with the GIL held, each function
here is one step that nothing can interrupt, so there is no lock to wait for and nothing half done to be seen.

After: M. Masmano et al., TLSF: a new dynamic memory allocator for real-time systems, 2004 (size classes, splitting and merging at once).
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
from numba import njit, types

from .._cpu import array_from, inline
from .._cpu.cache import ContentCache

# Columns of ``blocks``.  ASKED: the bytes that were asked for, 0 for a free block.
POINTER, SIZE, ASKED, QUEUE, BEFORE, AFTER, BACK, FORTH = range(8)
# Columns of row 0 of ``heads``.  CAPACITY: how many rows there are; ROWS: how many have ever been used; SPARE: the first row
# that is not in use any more, linked by FORTH.
CAPACITY, ROWS, SPARE, ALLOCATED, PEAK_ALLOCATED, RESERVED, PEAK_RESERVED, REQUESTED, LIVE, SEGMENTS, ALLOCATIONS = range(11)

UNIT = 512  # all sizes are multiples of it
CLASSES = 304
QUEUES = 1024
# The tables take their space at once, but memory only as far as they have been written.
MOST_BLOCKS = 1 << 20


def new_tables(most_blocks: int = MOST_BLOCKS) -> tuple[np.ndarray, np.ndarray]:
    """Empty ``blocks`` and ``heads``.  The functions below take their addresses, since to look into an array takes longer than they do."""
    blocks, heads = np.zeros((most_blocks, 8), np.int64), np.zeros((QUEUES, CLASSES), np.int64)
    heads[0, CAPACITY] = most_blocks
    return blocks, heads


def _step(*arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at once: a finaliser must not be the first to call it.  It keeps the GIL."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(error_model="numpy")(function)
        if hasattr(dispatcher, "_cache"):  # absent under NUMBA_DISABLE_JIT
            dispatcher._cache = ContentCache(function)
            dispatcher.compile(arguments)
        return dispatcher

    return compiled


_WORD = types.int64


@inline
def _tables(blocks_at, heads_at):  # type: ignore[no-untyped-def]
    """``blocks`` and ``heads`` from their addresses."""
    heads = array_from(heads_at, QUEUES * CLASSES, np.int64).reshape(QUEUES, CLASSES)
    capacity = heads[0, CAPACITY]
    return array_from(blocks_at, 8 * capacity, np.int64).reshape(capacity, 8), heads


@inline
def _size_class(size):  # type: ignore[no-untyped-def]
    """The class of a size: eight between neighbouring powers of two.  All blocks of a higher class are larger than all of a lower."""
    size //= UNIT
    shift = 0
    while size >= 16:
        size >>= 1
        shift += 1
    return 8 * shift + size


@inline
def _new_row(blocks, heads):  # type: ignore[no-untyped-def]
    """A row that is not in use, 0 when there is none."""
    row = heads[0, SPARE]
    if row:
        heads[0, SPARE] = blocks[row, FORTH]
    elif heads[0, ROWS] + 1 < heads[0, CAPACITY]:
        heads[0, ROWS] += 1
        row = heads[0, ROWS]
    return row


@inline
def _drop_row(blocks, heads, row):  # type: ignore[no-untyped-def]
    blocks[row, :] = 0
    blocks[row, FORTH] = heads[0, SPARE]
    heads[0, SPARE] = row


@inline
def _put(blocks, heads, row):  # type: ignore[no-untyped-def]
    """Let the block be free: the first of its list."""
    blocks[row, ASKED] = 0
    queue, kind = blocks[row, QUEUE], _size_class(blocks[row, SIZE])
    first = heads[queue, kind]
    blocks[row, BACK], blocks[row, FORTH] = 0, first
    if first:
        blocks[first, BACK] = row
    heads[queue, kind] = row


@inline
def _pull(blocks, heads, row):  # type: ignore[no-untyped-def]
    """Take a free block out of its list."""
    back, forth = blocks[row, BACK], blocks[row, FORTH]
    if back:
        blocks[back, FORTH] = forth
    else:
        heads[blocks[row, QUEUE], _size_class(blocks[row, SIZE])] = forth
    if forth:
        blocks[forth, BACK] = back
    blocks[row, BACK] = blocks[row, FORTH] = 0


@inline
def _best_fit(blocks, heads, queue, size):  # type: ignore[no-untyped-def]
    """The smallest free block of at least ``size`` bytes, 0 when there is none."""
    for kind in range(_size_class(size), CLASSES):
        best = 0
        row = heads[queue, kind]
        while row:
            if blocks[row, SIZE] == size:
                return row
            if blocks[row, SIZE] > size and (best == 0 or blocks[row, SIZE] < blocks[best, SIZE]):
                best = row
            row = blocks[row, FORTH]
        if best:
            return best
    return 0


@inline
def _join(blocks, heads, row, after):  # type: ignore[no-untyped-def]
    """Make one block of ``row`` and the neighbour behind it, both in no list."""
    blocks[row, SIZE] += blocks[after, SIZE]
    blocks[row, AFTER] = blocks[after, AFTER]
    if blocks[row, AFTER]:
        blocks[blocks[row, AFTER], BEFORE] = row
    _drop_row(blocks, heads, after)


@_step(_WORD, _WORD, _WORD, _WORD, _WORD, _WORD)
def take(blocks_at, heads_at, queue, size, asked, least_rest):  # type: ignore[no-untyped-def]
    """Hand out a free block of at least ``size`` bytes: its row and its pointer, 0 and 0 when there is none.

    A rest of at least ``least_rest`` bytes stays behind, as a free block.
    """
    blocks, heads = _tables(blocks_at, heads_at)
    row = _best_fit(blocks, heads, queue, size)
    if row == 0:
        return 0, 0
    _pull(blocks, heads, row)
    left = blocks[row, SIZE] - size
    rest = _new_row(blocks, heads) if left >= least_rest else 0
    if rest:
        after = blocks[row, AFTER]
        blocks[rest, POINTER], blocks[rest, SIZE], blocks[rest, QUEUE] = blocks[row, POINTER] + size, left, queue
        blocks[rest, BEFORE], blocks[rest, AFTER] = row, after
        if after:
            blocks[after, BEFORE] = rest
        blocks[row, AFTER], blocks[row, SIZE] = rest, size
        _put(blocks, heads, rest)
    blocks[row, ASKED] = asked
    heads[0, ALLOCATED] += blocks[row, SIZE]
    heads[0, PEAK_ALLOCATED] = max(heads[0, PEAK_ALLOCATED], heads[0, ALLOCATED])
    heads[0, REQUESTED] += asked
    heads[0, LIVE] += 1
    heads[0, ALLOCATIONS] += 1
    return int(row), int(blocks[row, POINTER])


@_step(_WORD, _WORD, _WORD)
def give(blocks_at, heads_at, row):  # type: ignore[no-untyped-def]
    """Take a block back, and make one of it and its free neighbours."""
    blocks, heads = _tables(blocks_at, heads_at)
    heads[0, ALLOCATED] -= blocks[row, SIZE]
    heads[0, REQUESTED] -= blocks[row, ASKED]
    heads[0, LIVE] -= 1
    after = blocks[row, AFTER]
    if after and blocks[after, ASKED] == 0:
        _pull(blocks, heads, after)
        _join(blocks, heads, row, after)
    before = blocks[row, BEFORE]
    if before and blocks[before, ASKED] == 0:
        _pull(blocks, heads, before)
        _join(blocks, heads, before, row)
        row = before
    _put(blocks, heads, row)


@_step(_WORD, _WORD, _WORD, _WORD, _WORD)
def add_segment(blocks_at, heads_at, queue, pointer, size):  # type: ignore[no-untyped-def]
    """Enter a new segment as one free block of ``queue``.  Returns its row, 0 when the table is full."""
    blocks, heads = _tables(blocks_at, heads_at)
    row = _new_row(blocks, heads)
    if row:
        blocks[row, :] = 0
        blocks[row, POINTER], blocks[row, SIZE], blocks[row, QUEUE] = pointer, size, queue
        heads[0, RESERVED] += size
        heads[0, PEAK_RESERVED] = max(heads[0, PEAK_RESERVED], heads[0, RESERVED])
        heads[0, SEGMENTS] += 1
        _put(blocks, heads, row)
    return row


@_step(_WORD, _WORD)
def drop_segment(blocks_at, heads_at):  # type: ignore[no-untyped-def]
    """Strike out a segment of which no block is in use.  Returns its pointer, 0 when there is none."""
    blocks, heads = _tables(blocks_at, heads_at)
    for row in range(1, heads[0, ROWS] + 1):
        if blocks[row, SIZE] and blocks[row, ASKED] == 0 and blocks[row, BEFORE] == 0 and blocks[row, AFTER] == 0:
            pointer = blocks[row, POINTER]
            heads[0, RESERVED] -= blocks[row, SIZE]
            heads[0, SEGMENTS] -= 1
            _pull(blocks, heads, row)
            _drop_row(blocks, heads, row)
            return int(pointer)
    return 0


def holder(blocks: np.ndarray, heads: np.ndarray, address: int) -> tuple[int, int] | None:
    """Where the block in use begins that holds ``address``, and the bytes that were asked for; None when there is none."""
    used = blocks[1 : heads[0, ROWS] + 1]
    inside = (used[:, POINTER] <= address) & (address < used[:, POINTER] + used[:, ASKED])
    for row in np.flatnonzero(inside):
        return int(used[row, POINTER]), int(used[row, ASKED])
    return None
