"""Draws of indices on CUDA: permutations and weighted choices.  Both are an order of random keys, which ``sort`` finds."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.array import CudaArray, empty
from .._cuda.collectives import WARP, add, block_fold, team
from .._cuda.driver import SIMULATED
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, shuffle
from .._cuda.launch import blocks, kernel, launch, pointer
from .._cuda.transfer import to_host
from ..sort._cuda_order import least_places
from ._cuda_words import aligned, first_item, items_apart, long_uniform, long_word, philox, store_two, word_at

_THREADS = team(256)
_MOST_BLOCKS = 4 if SIMULATED else 1024
_WARPS = 1 if SIMULATED else 4  # warps of a block that each sum rows up

_log = functions_for(_dtypes.float64, {"log"})["log"]
_NEVER = np.uint64(0xFFFFFFFFFFFFFFFF)  # the key of what is not to be drawn


@functools.lru_cache(maxsize=None)
def _keys(vectors: bool) -> Any:
    store = store_two(vectors)

    @kernel(pointer(np.uint64), np.uint64, np.uint64, np.uint64)
    def random_keys(keys, n, seed, offset):
        """Two keys of each block of the generator: key i is the i-th 64-bit number of the draw."""
        block = first_item()
        while block * np.uint64(2) < n:
            a, b, c, d = philox(seed, offset + block)
            store(keys, block * np.uint64(2), n, long_word(a, b), long_word(c, d))
            block += items_apart()

    return random_keys


def randperm(order: CudaArray, seed: np.uint64, offset: np.uint64) -> None:
    """The stable sorting order of ``order.size`` random keys."""
    n = order.size
    if n:
        keys = empty((n,), np.uint64)
        launch(_keys(aligned(2, keys)), *blocks(-(-n // 2)), (keys.pointer, n, int(seed), int(offset)))
        least_places(order, keys, 1, n)


@functools.lru_cache(maxsize=None)
def _weigh(dtype: np.dtype) -> Any:
    zero, infinity = dtype.type(0), dtype.type(np.inf)
    total = block_fold(add(np.int64), np.int64, _THREADS)

    @kernel(pointer(np.int64), pointer(dtype), np.int64, np.int64, bounds=_THREADS)
    def weigh(found, weights, rows, n):
        """A block takes one row after the other; found[2 b] is the least number of positive weights in those of block b, and found[2 b + 1] is not
        zero where one of their weights is bad.  One pass, bound by memory bandwidth where rows are long."""
        least, bad = n, np.int64(0)
        row = np.int64(cuda.blockIdx.x)
        while row < rows:
            count = np.int64(0)
            j = np.int64(cuda.threadIdx.x)
            while j < n:
                w = weights[row * n + j]
                if w > zero:
                    count += np.int64(1)
                if not (w >= zero and w < infinity):
                    bad = np.int64(1)
                j += np.int64(cuda.blockDim.x)
            least = min(least, total(count))
            row += np.int64(cuda.gridDim.x)
        bad = total(bad)
        if cuda.threadIdx.x == 0:
            found[np.int64(2) * np.int64(cuda.blockIdx.x)] = least
            found[np.int64(2) * np.int64(cuda.blockIdx.x) + np.int64(1)] = bad

    return weigh


def weigh(weights: Any) -> tuple[int, bool]:
    """The least number of positive weights in a row, and whether any weight is negative, infinite or NaN.  It waits for the result."""
    rows, n = weights.shape
    grid = min(rows, _MOST_BLOCKS)
    found = empty((grid, 2), np.int64)
    launch(_weigh(weights.dtype), grid, _THREADS, (found.pointer, weights.pointer, rows, n))
    here = to_host(found)
    return int(here[:, 0].min()), bool(here[:, 1].any())


@functools.lru_cache(maxsize=None)
def _running_sums(dtype: np.dtype) -> Any:
    zero, none = dtype.type(0), np.int64(-1)

    @kernel(pointer(np.float64), pointer(np.int64), pointer(dtype), np.int64, np.int64, bounds=WARP * _WARPS)
    def running_sums(sums, last, weights, rows, n):
        """A warp sums a row up, in float64 and in the order of its elements, so that the sums are the CPU's.

        Its lanes load 32 elements at once, some groups ahead; each lane adds all of them and keeps the sum up to its own.  What bounds it is the time
        that one addition waits for the one before it.
        """
        lane = np.int64(cuda.threadIdx.x % np.uint32(WARP))
        row = np.int64(cuda.blockIdx.x) * np.int64(_WARPS) + np.int64(cuda.threadIdx.x // np.uint32(WARP))
        if row >= rows:
            return
        base = row * n
        total = np.float64(0)
        furthest = none
        first = weights[base + lane] if lane < n else zero
        start = np.int64(0)
        while start < n:
            at = start + lane
            w = first
            if at + np.int64(WARP) < n:
                first = weights[base + at + np.int64(WARP)]
            else:
                first = zero
            if w > zero:
                furthest = at
            wide, own = np.float64(w), np.float64(0)
            for k in range(WARP):
                total += shuffle(wide, k)
                if lane == np.int64(k):
                    own = total
            if at < n:
                sums[base + at] = own
            start += np.int64(WARP)
        distance = 16
        while distance > 0:
            other = shuffle(furthest, np.int32(lane) ^ np.int32(distance))
            furthest = max(furthest, other)
            distance //= 2
        if lane == np.int64(0):
            last[row] = furthest

    return running_sums


@kernel(pointer(np.int64), np.uint64, pointer(np.float64), pointer(np.int64), np.uint64, np.uint64, np.uint64, np.uint64)
def _search(out, count, sums, last, n, samples, seed, offset):
    """The first index whose running sum exceeds ``u`` times the row's total: one of weight zero never does.  A thread searches by halving, which is
    bound by the latency of its loads."""
    i = first_item()
    while i < count:
        row = i // samples
        low, high = np.uint64(0), np.uint64(last[row])
        target = long_uniform(word_at(i, seed, offset)) * sums[row * n + high]
        while low < high:
            middle = (low + high) >> np.uint64(1)
            if sums[row * n + middle] > target:
                high = middle
            else:
                low = middle + np.uint64(1)
        out[i] = np.int64(low)
        i += items_apart()


def multinomial_with(out: Any, weights: Any, seed: np.uint64, offset: np.uint64) -> None:
    """Rows of ``out`` get independent draws from the rows of ``weights``."""
    rows, n = weights.shape
    sums, last = empty(weights.shape, np.float64), empty((rows,), np.int64)
    launch(_running_sums(weights.dtype), -(-rows // _WARPS), WARP * _WARPS, (sums.pointer, last.pointer, weights.pointer, rows, n))
    given = sums.pointer, last.pointer, n, out.shape[1], int(seed), int(offset)
    launch(_search, *blocks(out.size), (out.pointer, out.size, *given))


@functools.lru_cache(maxsize=None)
def _races(dtype: np.dtype) -> Any:
    zero, half_step = dtype.type(0), np.float64(2.0**-54)

    @kernel(pointer(np.uint64), np.uint64, pointer(dtype), np.uint64, np.uint64)
    def races(keys, n, weights, seed, offset):
        """The bits of ``e / w``, which are in the order of the numbers since none is negative."""
        block = first_item()
        while block * np.uint64(2) < n:
            drawn = philox(seed, offset + block)
            for k in range(2):
                i = block * np.uint64(2) + np.uint64(k)
                if i < n:
                    w, key = weights[i], _NEVER
                    if w > zero:
                        e = -_log(long_uniform(long_word(drawn[2 * k], drawn[2 * k + 1])) + half_step)
                        key = np.float64(e / np.float64(w) + np.float64(0)).view(np.uint64)  # -0 becomes 0
                    keys[i] = key
            block += items_apart()

    return races


def multinomial_without(out: Any, weights: Any, seed: np.uint64, offset: np.uint64) -> None:
    """Rows of ``out`` get the indices drawn from the rows of ``weights``, first draw first."""
    rows, n = weights.shape
    keys = empty((rows * n,), np.uint64)
    launch(_races(weights.dtype), *blocks(-(-keys.size // 2)), (keys.pointer, keys.size, weights.pointer, int(seed), int(offset)))
    least_places(out, keys, rows, n)
