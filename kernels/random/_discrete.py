"""Draws of indices on the CPU: permutations and weighted choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cpu import empty, inline, kernel, launch, zeros
from ._words import long_uniform, u, word_at

# Two keys to a bucket on average: sorting a bucket by insertion is then a few comparisons.
_BUCKET = 2


@kernel
def _keys(lo, hi, keys, seed, offset):
    for i in range(lo, hi):
        keys[u(i)] = word_at(i, seed, offset)


@kernel
def _distribute(lo, hi, sorted_keys, order, keys, ends, shift):
    """Count the keys of each bucket (their upper bits), then place them, in order; afterwards ``ends[b]`` is where bucket b ends.

    Runs on one thread: bound by the latency of scattered writes.
    """
    for b in range(ends.size):
        ends[b] = 0
    for i in range(keys.size):
        ends[keys[u(i)] >> shift] += 1
    start = 0
    for b in range(ends.size):
        count = ends[b]
        ends[b] = start
        start += count
    for i in range(keys.size):
        bucket = keys[u(i)] >> shift
        place = ends[bucket]
        ends[bucket] = place + 1
        sorted_keys[u(place)] = keys[u(i)]
        order[u(place)] = i


@kernel
def _sort_buckets(lo, hi, sorted_keys, order, ends):
    """Sort each bucket by insertion; equal keys keep their order."""
    for b in range(lo, hi):
        start = ends[b - 1] if b else 0
        for i in range(start + 1, ends[b]):
            key, index = sorted_keys[i], order[i]
            j = i - 1
            while j >= start and sorted_keys[j] > key:
                sorted_keys[j + 1] = sorted_keys[j]
                order[j + 1] = order[j]
                j -= 1
            sorted_keys[j + 1] = key
            order[j + 1] = index


def randperm(order: Any, seed: np.uint64, offset: np.uint64) -> None:
    """The stable sorting order of ``order.size`` random keys.  The keys are uniform, so their upper bits sort them into even buckets."""
    n = order.size
    bits = max(1, (n // _BUCKET).bit_length())
    keys, sorted_keys = empty((n,), np.uint64), empty((n,), np.uint64)
    ends = empty((1 << bits,), np.int64)
    launch(_keys, n, keys, seed, offset, work=20 * n)
    launch(_distribute, 1, sorted_keys, order, keys, ends, np.uint64(64 - bits))
    launch(_sort_buckets, ends.size, sorted_keys, order, ends, work=10 * n)


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
