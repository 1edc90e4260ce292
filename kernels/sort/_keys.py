"""The order of every dtype as the order of unsigned integers of its size, and stable sorting of such keys.

One set of kernels per element size serves all dtypes: what a bit pattern means is told by four numbers at run time (``Code``).
Sorting is counting, for each of a few keys, those that come before it, and least-significant-digit radix sort (8 bits a pass, passes in
which all digits agree are left out) for more: stable, no comparisons to mispredict.  Bound by scattered writes to 256 places, which stay in
the caches.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from .. import _dtypes
from .._cpu import array_at, inline, u

FEW = 32  # best elements of a row that one scan keeps in order
RANKED = 64  # keys sorted by counting
KEYS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}  # the integers that hold elements of so many bytes


class Code(NamedTuple):
    """How bit patterns of one dtype map to keys."""

    kind: int  # 0 unsigned, 1 two's complement, 2 IEEE float
    sign: np.uint64  # the sign bit
    inf: np.uint64  # the bits of +infinity: larger magnitudes are NaN
    flip: np.uint64  # all ones to reverse the order, else 0


def carrier(dtype: np.dtype) -> np.dtype:
    """The unsigned integer that holds the bits of ``dtype``."""
    return np.dtype(f"u{dtype.itemsize}")


def code_of(dtype: np.dtype, descending: bool = False) -> Code:
    """The mapping for ``dtype``."""
    bits = 8 * dtype.itemsize
    flip = np.uint64((1 << bits) - 1 if descending else 0)
    sign = np.uint64(1 << (bits - 1))
    if dtype in _dtypes.FLOATS:
        mantissa = {_dtypes.float16: 10, _dtypes.bfloat16: 7, _dtypes.float32: 23, _dtypes.float64: 52}[dtype]
        return Code(2, sign, np.uint64((1 << (bits - 1)) - (1 << mantissa)), flip)
    return Code(1 if dtype.kind == "i" else 0, sign, np.uint64(0), flip)


@functools.lru_cache(maxsize=None)
def code_words(dtype: np.dtype, descending: bool) -> np.ndarray:
    """``code_of`` as four words, for ``unpack``."""
    return np.array(code_of(dtype, descending), np.uint64)


@inline
def unpack(code_id):
    """(kind, sign, inf, flip) of the array whose ``id`` this is."""
    code = array_at(code_id, 4, np.uint64)
    return np.int64(code[0]), code[1], code[2], code[3]


@inline
def encode(bits, kind, sign, inf, flip):
    """The key of a bit pattern; every NaN has the largest one, both zeros the same."""
    key = np.uint64(bits)
    if kind == 1:
        key ^= sign
    elif kind == 2:
        largest = sign - np.uint64(1)
        magnitude = key & largest
        ordered = sign + magnitude if magnitude == key else sign - magnitude  # a select: the sign of data is no branch to predict
        key = ordered if magnitude <= inf else sign + largest
    return key ^ flip


@inline
def rank(ranks, keys, n):
    """ranks[i]: where keys[i] comes in the stable order of keys[:n]: how many are smaller, or equal and before it.  n² comparisons, but no
    branch depends on the keys, and the counts stay in vector registers."""
    for i in range(n):
        key = keys[u(i)]
        before = 0
        for j in range(u(i)):
            before += np.int64(keys[j] <= key)
        for j in range(u(i + 1), u(n)):
            before += np.int64(keys[j] < key)
        ranks[u(i)] = before


@inline
def decode(key, kind, sign, flip):
    """The bit pattern of an integer's key."""
    bits = np.uint64(key) ^ flip
    return bits ^ sign if kind == 1 else bits


@inline
def varying_bits(keys, n):
    """The bits in which keys[:n] are not all alike."""
    first = keys[0]
    varying = keys[0] ^ first
    for i in range(n):
        varying |= keys[i] ^ first
    return np.uint64(varying)


@inline
def radix_sort(keys, places, other_keys, other_places, histogram, n):
    """Sort keys[:n] and the places that go with them, if there are any (``places.size``); the ``other`` arrays are scratch, ``histogram``
    has room for 256."""
    varying = varying_bits(keys, n)
    paired = places.size > 0
    swapped = False
    a_keys, a_places, b_keys, b_places = keys, places, other_keys, other_places
    for d in range(keys.itemsize):
        shift = np.uint64(8 * d)
        if (varying >> shift) & np.uint64(255) == 0:
            continue
        for j in range(256):
            histogram[j] = 0
        for i in range(n):
            histogram[np.int64((np.uint64(a_keys[i]) >> shift) & np.uint64(255))] += 1
        total = 0
        for j in range(256):
            count = histogram[j]
            histogram[j] = total
            total += count
        if paired:
            for i in range(n):
                key = a_keys[i]
                j = np.int64((np.uint64(key) >> shift) & np.uint64(255))
                to = histogram[j]
                histogram[j] = to + 1
                b_keys[to] = key
                b_places[to] = a_places[i]
        else:
            for i in range(n):
                key = a_keys[i]
                j = np.int64((np.uint64(key) >> shift) & np.uint64(255))
                to = histogram[j]
                histogram[j] = to + 1
                b_keys[to] = key
        a_keys, a_places, b_keys, b_places = b_keys, b_places, a_keys, a_places
        swapped = not swapped
    if swapped:
        for i in range(n):
            keys[i] = other_keys[i]
        if paired:
            for i in range(n):
                places[i] = other_places[i]


@inline
def select_key(keys, k, histogram, n):
    """(the k-th smallest of keys[:n], counted from 0, and how many are smaller): most significant digit first, each pass keeping
    only the keys that share the digits found so far.  ``keys`` is overwritten."""
    smaller = 0
    left = n
    digits = keys.itemsize
    for d in range(digits - 1, -1, -1):
        shift = np.uint64(8 * d)
        for j in range(256):
            histogram[j] = 0
        for i in range(left):
            histogram[np.int64((np.uint64(keys[i]) >> shift) & np.uint64(255))] += 1
        digit = 0
        while smaller + histogram[digit] <= k:
            smaller += histogram[digit]
            digit += 1
        if histogram[digit] == left:
            continue
        kept = 0
        for i in range(left):
            key = keys[i]
            keys[kept] = key
            if np.int64((np.uint64(key) >> shift) & np.uint64(255)) == digit:
                kept += 1
        left = kept
    return keys[0], smaller
