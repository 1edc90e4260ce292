"""Draws of indices on the CPU: permutations and weighted choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cpu import empty, inline, kernel, launch, u, zeros
from ._words import long_uniform, philox, word_at

# One key to a bucket on average: sorting a bucket by insertion is then a few comparisons.
_BUCKET = 1

# From so many keys on, they are first dealt out to 2^_PART_BITS parts, each of which then fits into the caches.
_PARTED = 16384
_PART_BITS = 8


@kernel
def _keys(lo, hi, keys, seed, offset):
    """Two keys of each block of the generator: key i is the i-th 64-bit number of the draw."""
    for block in range(lo, hi):
        a, b, c, d = philox(seed, offset + np.uint64(block))
        keys[u(2 * block)] = (np.uint64(a) << np.uint64(32)) | np.uint64(b)
        if 2 * block + 1 < keys.size:
            keys[u(2 * block + 1)] = (np.uint64(c) << np.uint64(32)) | np.uint64(d)


@kernel
def _deal(lo, hi, dealt, places, keys, ends, shift):
    """Count the keys of each part (their upper bits), then place them, in order; afterwards ``ends[p]`` is where part p ends.

    Runs on one thread: as many streams of writes as there are parts.
    """
    for p in range(ends.size):
        ends[p] = 0
    for i in range(keys.size):
        ends[keys[u(i)] >> shift] += 1
    start = 0
    for p in range(ends.size):
        count = ends[p]
        ends[p] = start
        start += count
    for i in range(keys.size):
        part = keys[u(i)] >> shift
        place = ends[part]
        ends[part] = place + 1
        dealt[u(place)] = keys[u(i)]
        places[u(place)] = i


@kernel
def _sort_parts(lo, hi, order, dealt, places, ends, shift, bits):
    """Sort each part: into buckets by the ``bits`` above ``shift``, and each bucket by insertion.  Equal keys keep their order.

    Bound by scattered accesses, within a part.
    """
    largest = 0
    for p in range(lo, hi):
        largest = max(largest, ends[p] - (ends[p - 1] if p else 0))
    sorted_keys = np.empty(largest, np.uint64)
    bucket_ends = np.empty(1 << bits, np.int64)
    mask = np.uint64((1 << bits) - 1)
    for p in range(lo, hi):
        first = ends[p - 1] if p else 0
        count = ends[p] - first
        for b in range(bucket_ends.size):
            bucket_ends[b] = 0
        for i in range(first, ends[p]):
            bucket_ends[(dealt[u(i)] >> shift) & mask] += 1
        start = 0
        for b in range(bucket_ends.size):
            size = bucket_ends[b]
            bucket_ends[b] = start
            start += size
        for i in range(first, ends[p]):
            key = dealt[u(i)]
            bucket = (key >> shift) & mask
            place = bucket_ends[bucket]
            bucket_ends[bucket] = place + 1
            sorted_keys[u(place)] = key
            order[u(first + place)] = places[u(i)]
        # A key is only ever below those of its own bucket, so one insertion sort of the whole part sorts every bucket.
        for i in range(1, count):
            key = sorted_keys[u(i)]
            if sorted_keys[u(i - 1)] > key:
                index = order[u(first + i)]
                j = i - 1
                while j >= 0 and sorted_keys[u(j)] > key:
                    sorted_keys[u(j + 1)] = sorted_keys[u(j)]
                    order[u(first + j + 1)] = order[u(first + j)]
                    j -= 1
                sorted_keys[u(j + 1)] = key
                order[u(first + j + 1)] = index


def randperm(order: Any, seed: np.uint64, offset: np.uint64) -> None:
    """The stable sorting order of ``order.size`` random keys.  The keys are uniform, so their upper bits sort them into even parts and these
    into even buckets."""
    n = order.size
    keys, dealt, places = empty((n,), np.uint64), empty((n,), np.uint64), empty((n,), np.int64)
    launch(_keys, (n + 1) // 2, keys, seed, offset, work=10 * n)
    part_bits = _PART_BITS if n >= _PARTED else 1
    ends = empty((1 << part_bits,), np.int64)
    _deal(0, 1, dealt, places, keys, ends, np.uint64(64 - part_bits))
    bits = max(1, (n // (_BUCKET << part_bits)).bit_length())
    launch(_sort_parts, ends.size, order, dealt, places, ends, np.uint64(64 - part_bits - bits), bits, work=20 * n)


@kernel
def _weigh(lo, hi, weights, positive, bad):
    for r in range(lo, hi):
        count = 0
        for j in range(weights.shape[1]):
            w = weights[r, j]
            count += w > 0
            if not ((w >= 0) & (w < np.inf)):
                bad[r] = 1
        positive[r] = count


def weigh(weights: Any) -> tuple[int, bool]:
    """The least number of positive weights in a row, and whether any weight is negative, infinite or NaN."""
    rows = weights.shape[0]
    positive, bad = empty((rows,), np.int64), zeros((rows,), np.uint8)
    launch(_weigh, rows, weights, positive, bad, work=2 * weights.size)
    return int(positive.min()), bool(bad.any())


@kernel
def _running_sums(lo, hi, sums, last, weights):
    for r in range(lo, hi):
        total = 0.0
        for j in range(weights.shape[1]):
            w = weights[r, j]
            total += w
            sums[r, j] = total
            if w > 0:
                last[r] = j


@kernel
def _search(lo, hi, out, sums, last, seed, offset):
    """The first index whose running sum exceeds ``u`` times the row's total: one of weight zero never does."""
    samples = out.shape[1]
    for i in range(lo, hi):
        r = i // samples
        low, high = 0, last[r]
        target = long_uniform(word_at(i, seed, offset)) * sums[r, high]
        while low < high:
            middle = (low + high) // 2
            if sums[r, middle] > target:
                high = middle
            else:
                low = middle + 1
        out[r, i - r * samples] = low


def multinomial_with(out: Any, weights: Any, seed: np.uint64, offset: np.uint64) -> None:
    """Rows of ``out`` get independent draws from the rows of ``weights``."""
    rows = weights.shape[0]
    sums, last = empty(weights.shape, np.float64), empty((rows,), np.int64)
    launch(_running_sums, rows, sums, last, weights, work=weights.size)
    launch(_search, out.size, out, sums, last, seed, offset, work=100 * out.size)


@inline
def _sift(keys, items, place, size):
    """Restore the heap (largest key on top) below ``place`` among the first ``size``."""
    key, item = keys[place], items[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and keys[child + 1] > keys[child]:
            child += 1
        if keys[child] <= key:
            break
        keys[place], items[place] = keys[child], items[child]
        place = child
    keys[place], items[place] = key, item


@kernel
def _smallest(lo, hi, out, weights, seed, offset):
    """The ``out.shape[1]`` smallest of ``e_j / w_j``, ascending: a heap of the best so far, then sorted in place.  One row per thread."""
    categories, samples = weights.shape[1], out.shape[1]
    keys = np.empty(samples, np.float64)
    for r in range(lo, hi):
        items = out[r]
        size = 0
        for j in range(categories):
            w = np.float64(weights[r, j])
            if w > 0.0:
                key = -np.log(long_uniform(word_at(r * categories + j, seed, offset)) + 2.0**-54) / w
                if size < samples:
                    keys[size], items[size] = key, j
                    size += 1
                    if size == samples:
                        for place in range(samples // 2 - 1, -1, -1):
                            _sift(keys, items, place, samples)
                elif key < keys[0]:
                    keys[0], items[0] = key, j
                    _sift(keys, items, 0, samples)
        for end in range(samples - 1, 0, -1):
            keys[0], keys[end] = keys[end], keys[0]
            items[0], items[end] = items[end], items[0]
            _sift(keys, items, 0, end)


def multinomial_without(out: Any, weights: Any, seed: np.uint64, offset: np.uint64) -> None:
    """Rows of ``out`` get the indices drawn from the rows of ``weights``, first draw first."""
    launch(_smallest, weights.shape[0], out, weights, seed, offset, work=100 * weights.size)
