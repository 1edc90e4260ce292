"""Sorting on the CPU: rows are independent tasks; each gathers its keys into scratch, works there, and scatters the result.

All arrays are flat and contiguous, read as (outer, n, inner) with rows along n.
"""

from __future__ import annotations

import numpy as np

from .._cpu import empty, kernel, launch
from ._keys import FEW, carrier, code_of, encode, insertion_sort, radix_sort, select_key


@kernel
def _sort_rows(lo, hi, values, indices, x, n, inner, kind, sign, inf, flip):
    keys, other_keys = np.empty(n, x.dtype), np.empty(n, x.dtype)
    places, other_places = np.empty(n, np.int64), np.empty(n, np.int64)
    histogram = np.empty(256 * x.itemsize, np.int64)
    for row in range(lo, hi):
        base = (row // inner) * n * inner + row % inner
        for j in range(n):
            keys[j] = encode(x[base + j * inner], kind, sign, inf, flip)
            places[j] = j
        if n <= FEW:
            insertion_sort(keys, places, n)
        else:
            radix_sort(keys, places, other_keys, other_places, histogram, n)
        for j in range(n):
            values[base + j * inner] = x[base + places[j] * inner]
            indices[base + j * inner] = places[j]


def sort(x: np.ndarray, outer: int, n: int, inner: int, descending: bool) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices) of x in stable order along n."""
    values, indices = empty(x.size, x.dtype), empty(x.size, np.int64)
    if x.size:
        bits = carrier(x.dtype)
        code = code_of(x.dtype, descending)
        launch(_sort_rows, outer * inner, values.view(bits), indices, x.view(bits), n, inner, *code, work=30 * x.size)
    return values, indices


@kernel
def _top_few_rows(lo, hi, values, indices, x, n, inner, k, kind, sign, inf, flip):
    """Few best: one scan that keeps them in order.  On data in random order hardly any element gets past the comparison with the worst."""
    best = np.empty(k, x.dtype)
    places = np.empty(k, np.int64)
    for row in range(lo, hi):
        base = (row // inner) * n * inner + row % inner
        worst = np.uint64(0)
        for j in range(n):
            key = encode(x[base + j * inner], kind, sign, inf, flip)
            if j >= k and key >= worst:
                continue
            i = min(j, k - 1)
            while i > 0 and best[i - 1] > key:
                best[i] = best[i - 1]
                places[i] = places[i - 1]
                i -= 1
            best[i] = key
            places[i] = j
            if j >= k - 1:
                worst = np.uint64(best[k - 1])
        base_out = (row // inner) * k * inner + row % inner
        for j in range(k):
            values[base_out + j * inner] = x[base + places[j] * inner]
            indices[base_out + j * inner] = places[j]


@kernel
def _topk_rows(lo, hi, values, indices, x, n, inner, k, kind, sign, inf, flip):
    keys, candidates = np.empty(n, x.dtype), np.empty(n, x.dtype)
    best, other_keys = np.empty(k, x.dtype), np.empty(k, x.dtype)
    places, other_places = np.empty(k, np.int64), np.empty(k, np.int64)
    histogram = np.empty(256 * x.itemsize, np.int64)
    for row in range(lo, hi):
        base = (row // inner) * n * inner + row % inner
        for j in range(n):
            keys[j] = encode(x[base + j * inner], kind, sign, inf, flip)
            candidates[j] = keys[j]
        last, smaller = select_key(candidates, k - 1, histogram, n)
        taken = 0
        equals = k - smaller
        for j in range(n):
            key = keys[j]
            if key < last or (key == last and equals > 0):
                if key == last:
                    equals -= 1
                best[taken] = key
                places[taken] = j
                taken += 1
        radix_sort(best, places, other_keys, other_places, histogram, k)
        base_out = (row // inner) * k * inner + row % inner
        for j in range(k):
            values[base_out + j * inner] = x[base + places[j] * inner]
            indices[base_out + j * inner] = places[j]


def topk(x: np.ndarray, outer: int, n: int, inner: int, k: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices) of the k best along n, best first."""
    values, indices = empty(outer * k * inner, x.dtype), empty(outer * k * inner, np.int64)
    if values.size:
        bits = carrier(x.dtype)
        code = code_of(x.dtype, largest)
        rows = _top_few_rows if k <= FEW else _topk_rows
        launch(rows, outer * inner, values.view(bits), indices, x.view(bits), n, inner, k, *code, work=8 * x.size)
    return values, indices


@kernel
def _select_rows(lo, hi, values, indices, x, n, inner, k, nan_rule, kind, sign, inf, flip):
    keys, candidates = np.empty(n, x.dtype), np.empty(n, x.dtype)
    histogram = np.empty(256, np.int64)
    nan = sign | (sign - np.uint64(1))
    for row in range(lo, hi):
        base = (row // inner) * n * inner + row % inner
        nans = 0
        first_nan = 0
        for j in range(n):
            key = encode(x[base + j * inner], kind, sign, inf, flip)
            keys[j] = key
            candidates[j] = key
            if kind == 2 and key == nan:
                if nans == 0:
                    first_nan = j
                nans += 1
        found = first_nan
        if nans == 0 or nan_rule == 0 or (nan_rule == 2 and nans < n):
            wanted = (n - nans - 1) // 2 if nan_rule == 2 else k
            key, smaller = select_key(candidates, wanted, histogram, n)
            before = wanted - smaller  # equal elements that come before it in a stable sort
            found = -1
            while before >= 0:
                found += 1
                if keys[found] == key:
                    before -= 1
        values[row] = x[base + found * inner]
        indices[row] = found


def select(x: np.ndarray, outer: int, n: int, inner: int, k: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices) of the k-th smallest along n, counted from 0.  ``mode``: "kth" takes NaN as the largest, "median" lets a NaN win,
    "nanmedian" takes the lower median of the rest instead of k."""
    values, indices = empty(outer * inner, x.dtype), empty(outer * inner, np.int64)
    if values.size:
        bits = carrier(x.dtype)
        rule = ("kth", "median", "nanmedian").index(mode)
        launch(_select_rows, outer * inner, values.view(bits), indices, x.view(bits), n, inner, k, rule, *code_of(x.dtype), work=8 * x.size)
    return values, indices


@kernel
def _number_groups(lo, hi, groups, ordered, kind, sign, inf, flip):
    """groups[j]: how many distinct elements end before sorted position j.  One task: each depends on the one before."""
    nan = sign | (sign - np.uint64(1))
    group = 0
    previous = encode(ordered[0], kind, sign, inf, flip)
    groups[0] = 0
    for j in range(1, ordered.size):
        key = encode(ordered[j], kind, sign, inf, flip)
        if key != previous or (kind == 2 and key == nan):
            group += 1
        groups[j] = group
        previous = key


@kernel
def _gather_groups(lo, hi, values, inverse, counts, groups, ordered, places):
    n = groups.size
    for j in range(counts.size):
        counts[j] = 0
    for j in range(n):
        group = groups[j]
        if counts[group] == 0:
            values[group] = ordered[j]
        counts[group] += 1
        inverse[places[j]] = group


def unique(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(distinct values, index of each element's value, counts)."""
    ordered, places = sort(x, 1, x.size, 1, False)
    groups, inverse = empty(x.size, np.int64), empty(x.size, np.int64)
    distinct = 0
    bits = carrier(x.dtype)
    if x.size:
        launch(_number_groups, 1, groups, ordered.view(bits), *code_of(x.dtype))
        distinct = int(groups[-1]) + 1
    values, counts = empty(distinct, x.dtype), empty(distinct, np.int64)
    if x.size:
        launch(_gather_groups, 1, values.view(bits), inverse, counts, groups, ordered.view(bits), places)
    return values, inverse, counts


@kernel
def _search(lo, hi, out, sequence, values, n, each, right, kind, sign, inf, flip):
    for i in range(lo, hi):
        base = (i // each) * n
        key = encode(values[i], kind, sign, inf, flip)
        low, high = 0, n
        while low < high:
            middle = (low + high) >> 1
            other = encode(sequence[base + middle], kind, sign, inf, flip)
            if other < key or (right and other == key):
                low = middle + 1
            else:
                high = middle
        out[i] = low


def searchsorted(sequence: np.ndarray, values: np.ndarray, outer: int, n: int, each: int, right: bool) -> np.ndarray:
    """Positions of values (outer, each) in sequence (outer, n), by bisection."""
    out = empty(values.size, np.int64)
    if values.size:
        bits = carrier(values.dtype)
        work = values.size * 4 * max(1, n.bit_length())
        launch(_search, values.size, out, sequence.view(bits), values.view(bits), n, each, right, *code_of(values.dtype), work=work)
    return out
