"""Sorting on the CPU: rows are independent tasks; each gathers its keys into scratch, works there, and scatters the result.

All arrays are flat and contiguous, read as (outer, n, inner) with rows along n.
"""

from __future__ import annotations

import numpy as np

from .. import _dtypes
from .._cpu import empty, inline, kernel, launch, zeros
from .._cpu.intrinsics import select as choose
from ..copy._cast import convert
from ..copy._move import packed, u
from ..index._count import extremes
from ._keys import FEW, carrier, code_of, decode, encode, insertion_sort, radix_sort, select_key


def _place_type(n: int) -> np.ndarray:
    """An array of the type in which places among ``n`` are sorted: half as wide as an index where that will do, for half the traffic."""
    return np.empty(0, np.uint32 if n < 1 << 32 else np.int64)


@kernel
def _sort_rows(lo, hi, values, indices, x, place_type, n, inner, kind, sign, inf, flip):
    keys, other_keys = np.empty(n, x.dtype), np.empty(n, x.dtype)
    places, other_places = np.empty(n, place_type.dtype), np.empty(n, place_type.dtype)
    histogram = np.empty(256, np.int64)
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
            place = np.int64(places[j])
            values[base + j * inner] = x[base + place * inner]
            indices[base + j * inner] = place


def sort(x: np.ndarray, outer: int, n: int, inner: int, descending: bool) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices) of x in stable order along n."""
    values, indices = empty(x.size, x.dtype), empty(x.size, np.int64)
    if x.size:
        bits = carrier(x.dtype)
        code = code_of(x.dtype, descending)
        launch(_sort_rows, outer * inner, values.view(bits), indices, x.view(bits), _place_type(n), n, inner, *code, work=30 * x.size)
    return values, indices


# So many elements at a time are compared with the worst of the best, by a loop that vectorises.
BLOCK = 64


@inline
def _any_better(x, start, count, worst, kind, sign, inf, flip):
    """Whether one of the elements from ``start`` on has a key below ``worst``."""
    better = False
    for i in range(count):
        better |= encode(x[u(start + i)], kind, sign, inf, flip) < worst
    return better


@kernel
def _top_few_rows(lo, hi, values, indices, x, n, inner, k, kind, sign, inf, flip):
    """Few best: one scan that keeps them in order.  On data in random order hardly any element gets past the comparison with the worst."""
    best = np.empty(k, x.dtype)
    places = np.empty(k, np.int64)
    for row in range(lo, hi):
        base = (row // inner) * n * inner + row % inner
        worst = np.uint64(0)
        for block in range(0, n, BLOCK):
            end = min(block + BLOCK, n)
            if inner == 1 and block >= k and not _any_better(x, base + block, end - block, worst, kind, sign, inf, flip):
                continue
            for j in range(block, end):
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


@inline
def _keep_best(keys, places, candidates, histogram, count, k):
    """Keep the k smallest of keys[:count], among equals the first ones, with their places and in their order; returns the largest of them."""
    for j in range(count):
        candidates[j] = keys[j]
    last, smaller = select_key(candidates, k - 1, histogram, count)
    equals = k - smaller
    taken = 0
    for j in range(count):
        key = keys[j]
        if key < last or (key == last and equals > 0):
            if key == last:
                equals -= 1
            keys[taken] = key
            places[taken] = places[j]
            taken += 1
    return np.uint64(last)


@kernel
def _top_some_rows(lo, hi, values, indices, x, n, k, kind, sign, inf, flip):
    """Many best of far more: one scan that collects what is better than the worst of the best so far, and sorts out when there is no more room."""
    room = 4 * k + BLOCK
    keys, other_keys = np.empty(room, x.dtype), np.empty(room, x.dtype)
    places, other_places = np.empty(room, np.int64), np.empty(room, np.int64)
    histogram = np.empty(256, np.int64)
    for row in range(lo, hi):
        base = row * n
        count = 0
        full = False
        worst = np.uint64(0)
        for block in range(0, n, BLOCK):
            end = min(block + BLOCK, n)
            if full and not _any_better(x, base + block, end - block, worst, kind, sign, inf, flip):
                continue
            if count + BLOCK > room:
                worst = _keep_best(keys, places, other_keys, histogram, count, k)
                count = k
                full = True
            for j in range(block, end):
                key = encode(x[u(base + j)], kind, sign, inf, flip)
                keys[u(count)] = key
                places[u(count)] = j
                count += not full or key < worst
        _keep_best(keys, places, other_keys, histogram, count, k)
        radix_sort(keys, places, other_keys, other_places, histogram, k)
        for j in range(k):
            values[row * k + j] = x[base + places[j]]
            indices[row * k + j] = places[j]


@kernel
def _topk_rows(lo, hi, values, indices, x, n, inner, k, kind, sign, inf, flip):
    keys, candidates = np.empty(n, x.dtype), np.empty(n, x.dtype)
    best, other_keys = np.empty(k, x.dtype), np.empty(k, x.dtype)
    places, other_places = np.empty(k, np.int64), np.empty(k, np.int64)
    histogram = np.empty(256, np.int64)
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
        if k > FEW and inner == 1 and 8 * k <= n:
            launch(_top_some_rows, outer, values.view(bits), indices, x.view(bits), n, k, *code, work=4 * x.size)
        else:
            rows = _top_few_rows if k <= FEW else _topk_rows
            launch(rows, outer * inner, values.view(bits), indices, x.view(bits), n, inner, k, *code, work=4 * x.size)
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


def unique(x: np.ndarray, inverse: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(distinct values, index of each element's value, counts); the indices only where ``inverse`` (else an empty array)."""
    if x.size and x.dtype.kind in "biu":
        whole = convert(x, _dtypes.int64) if x.dtype != np.int64 else x
        low, high = extremes(whole)
        if high - low < max(DENSE * x.size, 256):
            values, places, counts = _count_values(whole, low, high, inverse)
            return convert(values, x.dtype) if x.dtype != np.int64 else values, places, counts
        if not inverse:
            return _unique_keys(x)
    ordered, places = sort(x, 1, x.size, 1, False)
    groups, numbers = empty(x.size, np.int64), empty(x.size, np.int64)
    distinct = 0
    bits = carrier(x.dtype)
    if x.size:
        launch(_number_groups, 1, groups, ordered.view(bits), *code_of(x.dtype))
        distinct = int(groups[-1]) + 1
    values, counts = empty(distinct, x.dtype), empty(distinct, np.int64)
    if x.size:
        launch(_gather_groups, 1, values.view(bits), numbers, counts, groups, ordered.view(bits), places)
    return values, numbers, counts


# Integers are counted in a table where their range is at most so many times their number.
DENSE = 4


@kernel
def _fill_table(lo, hi, table, x, low):
    for i in range(x.size):
        table[u(x[u(i)] - low)] += 1


@kernel
def _read_table(lo, hi, values, counts, table, low):
    """The values that occur and how often; where they stand among each other goes back into the table."""
    found = 0
    for i in range(table.size):
        count = table[u(i)]
        table[u(i)] = found
        if count:
            values[u(found)] = low + i
            counts[u(found)] = count
            found += 1


@kernel
def _look_up(lo, hi, places, table, x, low):
    for i in range(lo, hi):
        places[u(i)] = table[u(x[u(i)] - low)]


def _count_values(x: np.ndarray, low: int, high: int, inverse: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``unique`` of int64 from ``low`` to ``high``, without sorting: bound by the accesses to a table of their range."""
    table = zeros(high - low + 1, np.int64)
    _fill_table(0, 1, table, x, low)
    distinct = int(np.count_nonzero(table))
    values, counts = empty(distinct, np.int64), empty(distinct, np.int64)
    _read_table(0, 1, values, counts, table, low)
    places = empty(x.size if inverse else 0, np.int64)
    launch(_look_up, places.size, places, table, x, low, work=4 * places.size)
    return values, places, counts


@kernel
def _sort_keys(lo, hi, keys, x, kind, sign, inf, flip):
    """The keys of ``x`` in order; their number is that of the elements, in one task."""
    for j in range(x.size):
        keys[j] = encode(x[j], kind, sign, inf, flip)
    nothing = np.empty(0, np.int64)
    radix_sort(keys, nothing, np.empty_like(keys), nothing, np.empty(256, np.int64), x.size)


@kernel
def _gather_keys(lo, hi, values, counts, keys, kind, sign, flip):
    """The distinct keys, as the values they stand for, and their counts; counts[-1] is, at the end, how many there are."""
    found = 0
    start = 0
    for j in range(1, keys.size + 1):
        if j == keys.size or keys[j] != keys[start]:
            values[found] = decode(keys[start], kind, sign, flip)
            counts[found] = j - start
            found += 1
            start = j
    counts[keys.size] = found


def _unique_keys(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``unique`` of integers without the indices: the keys are sorted alone, and stand for their values."""
    bits = carrier(x.dtype)
    code = code_of(x.dtype)
    keys, values, counts = empty(x.size, bits), empty(x.size, x.dtype), empty(x.size + 1, np.int64)
    _sort_keys(0, 1, keys, x.view(bits), *code)
    _gather_keys(0, 1, values.view(bits), counts, keys, code.kind, code.sign, code.flip)
    distinct = int(counts[-1])
    return packed(values[:distinct]), empty(0, np.int64), packed(counts[:distinct])


@kernel
def _encode(lo, hi, keys, x, kind, sign, inf, flip):
    for i in range(lo, hi):
        keys[u(i)] = encode(x[u(i)], kind, sign, inf, flip)


@kernel
def _search(lo, hi, out, sequence, values, n, each, right):
    """Halving without branches on the data: the searches do not wait for each other's comparisons."""
    for i in range(lo, hi):
        base = (i // each) * n
        key = values[u(i)]
        start, left = base, n
        while left > 0:
            half = left - (left >> 1)
            other = sequence[u(start + half - 1)]
            before = (other < key) | (right & (other == key))
            start = choose(before, start + half, start)
            left >>= 1
        out[u(i)] = start - base


@kernel
def _search_few(lo, hi, out, sequence, values, n, each, right, kind, sign, inf, flip):
    """As ``_search``, in a sequence that is longer than there are values: only what is looked at is encoded."""
    for i in range(lo, hi):
        base = (i // each) * n
        key = encode(values[u(i)], kind, sign, inf, flip)
        start, left = base, n
        while left > 0:
            half = left - (left >> 1)
            other = encode(sequence[u(start + half - 1)], kind, sign, inf, flip)
            before = (other < key) | (right & (other == key))
            start = choose(before, start + half, start)
            left >>= 1
        out[u(i)] = start - base


def searchsorted(sequence: np.ndarray, values: np.ndarray, outer: int, n: int, each: int, right: bool) -> np.ndarray:
    """Positions of values (outer, each) in sequence (outer, n), by bisection."""
    out = empty(values.size, np.int64)
    if not values.size:
        return out
    bits = carrier(values.dtype)
    code = code_of(values.dtype)
    sequence, values = sequence.view(bits), values.view(bits)
    work = values.size * 4 * max(1, n.bit_length())
    if sequence.size > values.size:
        launch(_search_few, values.size, out, sequence, values, n, each, right, *code, work=work)
        return out
    keys = []
    for x in (sequence, values):
        keys.append(empty(x.size, bits))
        launch(_encode, x.size, keys[-1], x, *code, work=4 * x.size)
    launch(_search, values.size, out, *keys, n, each, right, work=work)
    return out
