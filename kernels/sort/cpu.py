"""Sorting on the CPU: rows are independent tasks; each gathers its keys into scratch, works there, and scatters the result.

All arrays are flat and contiguous, read as (outer, n, inner) with rows along n.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cpu import array_at, compiled, empty, inline, kernel, launch, u, zeros
from .._cpu.intrinsics import select as choose
from .._cpu.types import intp, signature
from ..copy._cast import convert
from ..copy._move import packed
from ..index._count import extremes
from ._keys import FEW, KEYS, RANKED, carrier, code_of, code_words, decode, encode, radix_sort, rank, select_key, unpack


@functools.lru_cache(maxsize=None)
def _sort_rows(bits: Any, place: Any) -> Any:
    @kernel(source=f"sort.sort of {bits} and {place}")
    def rows(lo, hi, values_id, indices_id, x_id, code_id, size, n, inner):
        values, indices = array_at(values_id, size, bits), array_at(indices_id, size, np.int64)
        x = array_at(x_id, size, bits)
        kind, sign, inf, flip = unpack(code_id)
        keys, other_keys = np.empty(n, bits), np.empty(n, bits)
        places, other_places = np.empty(n, place), np.empty(n, place)
        histogram = np.empty(256, np.int64)
        for row in range(lo, hi):
            base = (row // inner) * n * inner + row % inner
            for j in range(n):
                keys[j] = encode(x[base + j * inner], kind, sign, inf, flip)
            if n <= RANKED:
                rank(places, keys, n)
                for j in range(n):
                    to = base + np.int64(places[j]) * inner
                    values[to] = x[base + j * inner]
                    indices[to] = j
                continue
            for j in range(n):
                places[j] = j
            radix_sort(keys, places, other_keys, other_places, histogram, n)
            for j in range(n):
                source = np.int64(places[j])
                values[base + j * inner] = x[base + source * inner]
                indices[base + j * inner] = source

    return compiled(rows, signature(*[intp] * 7))


def _results(x: np.ndarray, shape: tuple[int, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for values and indices; what is small ``empty`` would leave to NumPy as well, after a closer look."""
    if size <= 2048:
        return np.empty(shape, x.dtype), np.empty(shape, np.int64)
    return empty(shape, x.dtype), empty(shape, np.int64)


def sort(x: np.ndarray, outer: int, n: int, inner: int, descending: bool) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices) of contiguous x in stable order along n, of x's shape."""
    values, indices = _results(x, x.shape, x.size)
    if n == 1:
        values[...], indices[...] = x, 0
    elif x.size:
        places = np.uint32 if n < 1 << 32 else np.int64  # half as wide as an index where that will do, for half the traffic
        code = code_words(x.dtype, descending)
        rows = _sort_rows(KEYS[x.itemsize], places)
        rows(outer * inner, id(values), id(indices), id(x), id(code), x.size, n, inner, work=30 * x.size)
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


@functools.lru_cache(maxsize=None)
def _top_few_rows(bits: Any) -> Any:
    @kernel(source=f"sort.top few of {bits}")
    def rows(lo, hi, values_id, indices_id, x_id, code_id, size, n, inner, k):
        """Few best: one scan that keeps them in order.  On data in random order hardly any element gets past the comparison with the worst."""
        values, indices = array_at(values_id, hi * k * inner, bits), array_at(indices_id, hi * k * inner, np.int64)
        x = array_at(x_id, size, bits)
        kind, sign, inf, flip = unpack(code_id)
        best = np.empty(k, bits)
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

    return compiled(rows, signature(*[intp] * 8))


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


@functools.lru_cache(maxsize=None)
def _top_some_rows(bits: Any) -> Any:
    @kernel(source=f"sort.top some of {bits}")
    def rows(lo, hi, values_id, indices_id, x_id, code_id, size, n, k):
        """Many best of far more: one scan that collects what is better than the worst of the best so far, and sorts out when there is no more room."""
        values, indices = array_at(values_id, hi * k, bits), array_at(indices_id, hi * k, np.int64)
        x = array_at(x_id, size, bits)
        kind, sign, inf, flip = unpack(code_id)
        room = 4 * k + BLOCK
        keys, other_keys = np.empty(room, bits), np.empty(room, bits)
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

    return compiled(rows, signature(*[intp] * 7))


@functools.lru_cache(maxsize=None)
def _topk_rows(bits: Any) -> Any:
    @kernel(source=f"sort.topk of {bits}")
    def rows(lo, hi, values_id, indices_id, x_id, code_id, size, n, inner, k):
        values, indices = array_at(values_id, hi * k * inner, bits), array_at(indices_id, hi * k * inner, np.int64)
        x = array_at(x_id, size, bits)
        kind, sign, inf, flip = unpack(code_id)
        keys, candidates = np.empty(n, bits), np.empty(n, bits)
        best, other_keys = np.empty(k, bits), np.empty(k, bits)
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

    return compiled(rows, signature(*[intp] * 8))


def topk(x: np.ndarray, shape: tuple[int, ...], outer: int, n: int, inner: int, k: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices), of ``shape``, of the k best along n, best first."""
    values, indices = _results(x, shape, outer * inner * k)
    if values.size:
        code, bits = code_words(x.dtype, largest), KEYS[x.itemsize]
        given = id(values), id(indices), id(x), id(code), x.size, n
        if k > FEW and inner == 1 and 8 * k <= n:
            _top_some_rows(bits)(outer, *given, k, work=4 * x.size)
        else:
            (_top_few_rows if k <= FEW else _topk_rows)(bits)(outer * inner, *given, inner, k, work=4 * x.size)
    return values, indices


@functools.lru_cache(maxsize=None)
def _select_rows(bits: Any) -> Any:
    @kernel(source=f"sort.select of {bits}")
    def rows(lo, hi, values_id, indices_id, x_id, code_id, size, n, inner, k, nan_rule):
        values, indices = array_at(values_id, hi, bits), array_at(indices_id, hi, np.int64)
        x = array_at(x_id, size, bits)
        kind, sign, inf, flip = unpack(code_id)
        keys, candidates = np.empty(n, bits), np.empty(n, bits)
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
                if n <= RANKED:
                    rank(candidates, keys, n)
                    found = 0
                    while np.int64(candidates[found]) != wanted:
                        found += 1
                else:
                    key, smaller = select_key(candidates, wanted, histogram, n)
                    before = wanted - smaller  # equal elements that come before it in a stable sort
                    found = -1
                    while before >= 0:
                        found += 1
                        if keys[found] == key:
                            before -= 1
            values[row] = x[base + found * inner]
            indices[row] = found

    return compiled(rows, signature(*[intp] * 9))


def select(x: np.ndarray, shape: tuple[int, ...], outer: int, n: int, inner: int, k: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices), of ``shape``, of the k-th smallest along n, counted from 0.  ``mode``: "kth" takes NaN as the largest, "median" lets
    a NaN win, "nanmedian" takes the lower median of the rest instead of k."""
    values, indices = _results(x, shape, outer * inner)
    if values.size:
        code, rule = code_words(x.dtype, False), ("kth", "median", "nanmedian").index(mode)
        rows = _select_rows(KEYS[x.itemsize])
        rows(outer * inner, id(values), id(indices), id(x), id(code), x.size, n, inner, k, rule, work=8 * x.size)
    return values, indices


@functools.lru_cache(maxsize=None)
def _distinct(bits: Any) -> Any:
    @kernel(source=f"sort.distinct of {bits}")
    def distinct(lo, hi, values_id, inverse_id, counts_id, ordered_id, places_id, code_id, n):
        """Of elements in order and their places; counts[n] is, at the end, how many are distinct.  One task: each depends on the one before."""
        values, ordered = array_at(values_id, n, bits), array_at(ordered_id, n, bits)
        inverse, places = array_at(inverse_id, n, np.int64), array_at(places_id, n, np.int64)
        counts = array_at(counts_id, n + 1, np.int64)
        kind, sign, inf, flip = unpack(code_id)
        nan = sign | (sign - np.uint64(1))
        group = -1
        start = 0
        previous = np.uint64(0)
        for j in range(n):
            key = encode(ordered[j], kind, sign, inf, flip)
            if j == 0 or key != previous or (kind == 2 and key == nan):
                if group >= 0:
                    counts[group] = j - start
                group += 1
                start = j
                values[group] = ordered[j]
            inverse[places[j]] = group
            previous = key
        counts[group] = n - start
        counts[n] = group + 1

    return compiled(distinct, signature(*[intp] * 7))


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
    n = x.size
    values, numbers, counts = empty(n, x.dtype), empty(n, np.int64), empty(n + 1, np.int64)
    distinct = 0
    if n:
        code = code_words(x.dtype, False)
        _distinct(KEYS[x.itemsize])(1, id(values), id(numbers), id(counts), id(ordered), id(places), id(code), n)
        distinct = int(counts[n])
    return packed(values[:distinct]), numbers, packed(counts[:distinct])


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


@functools.lru_cache(maxsize=None)
def _search_encoded(bits: Any) -> Any:
    @kernel(source=f"sort.search of {bits}")
    def search(lo, hi, out_id, sequence_id, values_id, code_id, size, n, each, right):
        """As ``_search``, of few values or in a sequence that is longer than there are values: only what is looked at is encoded."""
        out, values = array_at(out_id, hi, np.int64), array_at(values_id, hi, bits)
        sequence = array_at(sequence_id, size, bits)
        kind, sign, inf, flip = unpack(code_id)
        for i in range(lo, hi):
            base = (i // each) * n
            key = encode(values[u(i)], kind, sign, inf, flip)
            start, left = base, n
            while left > 0:
                half = left - (left >> 1)
                other = encode(sequence[u(start + half - 1)], kind, sign, inf, flip)
                before = (other < key) | ((right != 0) & (other == key))
                start = choose(before, start + half, start)
                left >>= 1
            out[u(i)] = start - base

    return compiled(search, signature(*[intp] * 8))


# So few values are looked for without encoding the sequence first.
SEARCHED = 256


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


def searchsorted(sequence: np.ndarray, values: np.ndarray, outer: int, n: int, each: int, right: bool) -> np.ndarray:
    """Positions of values (outer, each) in sequence (outer, n), by bisection."""
    count = values.size
    out = empty(count, np.int64)
    if not count:
        return out
    work = count * 4 * max(1, n.bit_length())
    if sequence.size > count or count <= SEARCHED:
        words = code_words(values.dtype, False)
        search = _search_encoded(KEYS[values.itemsize])
        search(count, id(out), id(sequence), id(values), id(words), sequence.size, n, each, right, work=work)
        return out
    bits = carrier(values.dtype)
    code = code_of(values.dtype)
    sequence, values = sequence.view(bits), values.view(bits)
    keys = []
    for x in (sequence, values):
        keys.append(empty(x.size, bits))
        launch(_encode, x.size, keys[-1], x, *code, work=4 * x.size)
    launch(_search, values.size, out, *keys, n, each, right, work=work)
    return out
