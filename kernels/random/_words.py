"""The generator's words on the CPU, a tile at a time."""

from __future__ import annotations

import numpy as np

from .._cpu import inline, u
from . import _philox

BLOCKS = 64  # generator blocks in a tile
WORDS = 4 * BLOCKS  # numbers of 32 bits in a tile
LONGS = 2 * BLOCKS  # numbers of 64 bits in a tile

philox = inline(_philox.philox)
multiply_high = inline(_philox.multiply_high)


@inline
def product(a, b):
    """a * b, which LLVM leaves as it is."""
    return a * b


minus_log = inline(_philox.minus_log_by(product))
cos_sin_turn = inline(_philox.cos_sin_turn_by(product))


@inline
def fill_words(words, tile, count, seed, offset):
    """The words of the tile's first ``count`` elements of 32 bits (rounded up to whole blocks) into ``words``."""
    first = offset + np.uint64(tile * BLOCKS)
    for j in range((count + 3) // 4):
        a, b, c, d = philox(seed, first + np.uint64(j))
        words[u(4 * j)] = a
        words[u(4 * j + 1)] = b
        words[u(4 * j + 2)] = c
        words[u(4 * j + 3)] = d


@inline
def long_word(words, k):
    """The k-th 64-bit number of a tile's words."""
    return (np.uint64(words[u(2 * k)]) << np.uint64(32)) | np.uint64(words[u(2 * k + 1)])


@inline
def long_uniform(word):
    """A 64-bit word as a float64 in [0, 1), in steps of 2^-53."""
    return np.float64(word >> np.uint64(11)) * 2.0**-53


@inline
def word_at(i, seed, offset):
    """The i-th 64-bit number of a draw, on its own."""
    a, b, c, d = philox(seed, offset + np.uint64(i // 2))
    if i % 2:
        return (np.uint64(c) << np.uint64(32)) | np.uint64(d)
    return (np.uint64(a) << np.uint64(32)) | np.uint64(b)
