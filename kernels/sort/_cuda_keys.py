"""The order of every dtype as that of unsigned integers (``_keys``), compiled for CUDA: a function for each dtype and direction."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.intrinsics import inline
from ._keys import code_of


def word_of(itemsize: int) -> Any:
    """The integer that keys of elements of so many bytes are computed in: a register or two."""
    return np.uint64 if itemsize == 8 else np.uint32


@functools.lru_cache(maxsize=None)
def encoder(dtype: np.dtype, descending: bool) -> Any:
    """The function from an element's bits to its key; every NaN has the largest one, both zeros the same."""
    word = word_of(dtype.itemsize)
    code = code_of(dtype, descending)
    kind, sign, inf, flip = code.kind, word(code.sign), word(code.inf), word(code.flip)
    largest = word(sign - word(1))

    @inline
    def encode(bits):
        key = word(bits)
        if kind == 1:
            key = word(key ^ sign)
        elif kind == 2:
            magnitude = word(key & largest)
            ordered = word(sign + magnitude) if magnitude == key else word(sign - magnitude)
            key = ordered if magnitude <= inf else word(sign + largest)
        return word(key ^ flip)

    return encode


def last_key(dtype: np.dtype) -> Any:
    """The largest key: that of NaN where floats ascend."""
    word = word_of(dtype.itemsize)
    return word((1 << (8 * dtype.itemsize)) - 1)
