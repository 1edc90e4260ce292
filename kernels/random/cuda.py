"""Random draws on CUDA: the numbers of the CPU, element by element.

A thread makes one block of the generator after the other, four words each, and stores what becomes of them at once: four numbers of 32 bits are
a word of 16 bytes, as are two of 64.  The ten rounds of the generator are 20 products of 32 by 32 bits, which bounds draws of small elements;
draws of 8 bytes are bound by memory bandwidth.  Counters and indices have 64 bits, which beside the generator costs nothing.

Integers, masks, uniform numbers and the float32 normal and exponential ones are the CPU's bit for bit: products that are added to something are
rounded first (``_philox``), divisions and roots are correctly rounded on both.  The float64 normal and exponential numbers go through each
device's own logarithm and are within a few units in the last place of each other.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cuda.array import empty
from .._cuda.faults import RECORD, kind, record, report
from .._cuda.functions import functions_for
from .._cuda.intrinsics import load_vector
from .._cuda.launch import blocks, kernel, launch, pointer
from .._cuda.rounding import product, product64, root
from ._cuda_discrete import multinomial_with, multinomial_without, randperm, weigh
from ._cuda_turn import cos_sin
from ._cuda_words import (
    aligned,
    cos_sin_turn,
    first_item,
    items_apart,
    long_uniform,
    long_word,
    minus_log,
    multiply_high,
    philox,
    store_four,
    store_two,
)

__all__ = [
    "bernoulli",
    "bernoulli_each",
    "dropout",
    "empty",
    "exponential",
    "masked_scale",
    "multinomial_with",
    "multinomial_without",
    "normal",
    "randint",
    "randperm",
    "uniform",
    "weigh",
]

_WORD, _LONG = np.uint64(4), np.uint64(2)  # numbers of 32 and of 64 bits in a block of the generator
_DOUBLE = functions_for(_dtypes.float64, {"log", "sqrt"})
_log, _sqrt = _DOUBLE["log"], _DOUBLE["sqrt"]
_ceil = functions_for(_dtypes.float32, {"ceil"})["ceil"]
_ceil64 = functions_for(_dtypes.float64, {"ceil"})["ceil"]

_KEY = (np.uint64, np.uint64)  # seed and offset


def _run(made: Any, out: Any, numbers: int, *given: Any) -> None:
    """Launch ``made`` over the blocks of the generator that flat ``out`` needs, each for so many of its elements."""
    if out.size:
        launch(made, *blocks(-(-out.size // numbers)), (out.pointer, out.size, *given))


# ---- uniform --------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _uniform32(vectors: bool) -> Any:
    store = store_four(4, vectors)

    @kernel(pointer(np.float32), np.uint64, np.float32, np.float32, np.float32, np.float32, np.uint32, *_KEY)
    def uniform32(out, n, low, span, top, step, shift, seed, offset):
        block = first_item()
        while block * _WORD < n:
            a, b, c, d = philox(seed, offset + block)
            a, b = np.uint32(a >> shift), np.uint32(b >> shift)
            c, d = np.uint32(c >> shift), np.uint32(d >> shift)
            p = product(np.float32(np.int32(a)) * step, span) + low
            q = product(np.float32(np.int32(b)) * step, span) + low
            r = product(np.float32(np.int32(c)) * step, span) + low
            s = product(np.float32(np.int32(d)) * step, span) + low
            p, q = p if p <= top else top, q if q <= top else top
            r, s = r if r <= top else top, s if s <= top else top
            store(out, block * _WORD, n, p, q, r, s)
            block += items_apart()

    return uniform32


@functools.lru_cache(maxsize=None)
def _uniform64(vectors: bool) -> Any:
    store = store_two(vectors)

    @kernel(pointer(np.float64), np.uint64, np.float64, np.float64, np.float64, *_KEY)
    def uniform64(out, n, low, span, top, seed, offset):
        block = first_item()
        while block * _LONG < n:
            a, b, c, d = philox(seed, offset + block)
            p = product64(long_uniform(long_word(a, b)), span) + low
            q = product64(long_uniform(long_word(c, d)), span) + low
            p, q = p if p <= top else top, q if q <= top else top
            store(out, block * _LONG, n, p, q)
            block += items_apart()

    return uniform64


def uniform(out: Any, low: float, high: float, top: float, bits: int, seed: np.uint64, offset: np.uint64) -> None:
    """Fill flat float32 or float64 ``out``; no result exceeds ``top``.  ``bits`` of each word are used for float32."""
    real = out.dtype.type
    low, span, top = (float(real(x)) for x in (low, high - low, top))
    if real is np.float32:
        _run(_uniform32(aligned(4, out)), out, 4, low, span, top, 2.0**-bits, 32 - bits, int(seed), int(offset))
    else:
        _run(_uniform64(aligned(2, out)), out, 2, low, span, top, int(seed), int(offset))


# ---- normal and exponential -----------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _normal32(vectors: bool) -> Any:
    store = store_four(4, vectors)
    two = np.float32(2)

    @kernel(pointer(np.float32), np.uint64, np.float32, np.float32, np.float32, *_KEY)
    def normal32(out, n, even_mean, odd_mean, std, seed, offset):
        block = first_item()
        while block * _WORD < n:
            a, b, c, d = philox(seed, offset + block)
            radius = root(two * minus_log(a))
            cosine, sine = cos_sin_turn(b)
            p = product(radius * cosine, std) + even_mean
            q = product(radius * sine, std) + odd_mean
            radius = root(two * minus_log(c))
            cosine, sine = cos_sin_turn(d)
            r = product(radius * cosine, std) + even_mean
            s = product(radius * sine, std) + odd_mean
            store(out, block * _WORD, n, p, q, r, s)
            block += items_apart()

    return normal32


@functools.lru_cache(maxsize=None)
def _normal64(vectors: bool) -> Any:
    store = store_two(vectors)
    turn, least, one = np.float64(2.0 * np.pi), np.float64(2.0**-53), np.uint64(1)

    @kernel(pointer(np.float64), np.uint64, np.float64, np.float64, np.float64, *_KEY)
    def normal64(out, n, even_mean, odd_mean, std, seed, offset):
        block = first_item()
        while block * _LONG < n:
            a, b, c, d = philox(seed, offset + block)
            radius = _sqrt(np.float64(-2.0) * _log(np.float64((long_word(a, b) >> np.uint64(11)) + one) * least))
            cosine, sine = cos_sin(turn * long_uniform(long_word(c, d)))
            p = product64(radius * cosine, std) + even_mean
            q = product64(radius * sine, std) + odd_mean
            store(out, block * _LONG, n, p, q)
            block += items_apart()

    return normal64


def normal(out: Any, even_mean: float, odd_mean: float, std: float, seed: np.uint64, offset: np.uint64) -> None:
    """Fill flat float32 or float64 ``out``; elements at even and odd places may have different means."""
    given = even_mean, odd_mean, std, int(seed), int(offset)
    if out.dtype == _dtypes.float32:
        _run(_normal32(aligned(4, out)), out, 4, *given)
    else:
        _run(_normal64(aligned(2, out)), out, 2, *given)


@functools.lru_cache(maxsize=None)
def _exponential32(vectors: bool) -> Any:
    store = store_four(4, vectors)
    least = np.float32(2.0**-33)  # what -log(u) is for the largest u before that rounds to 1

    @kernel(pointer(np.float32), np.uint64, np.float32, *_KEY)
    def exponential32(out, n, scale, seed, offset):
        block = first_item()
        while block * _WORD < n:
            a, b, c, d = philox(seed, offset + block)
            p, q, r, s = minus_log(a), minus_log(b), minus_log(c), minus_log(d)
            p, q = p if p > least else least, q if q > least else least
            r, s = r if r > least else least, s if s > least else least
            store(out, block * _WORD, n, p * scale, q * scale, r * scale, s * scale)
            block += items_apart()

    return exponential32


@functools.lru_cache(maxsize=None)
def _exponential64(vectors: bool) -> Any:
    store = store_two(vectors)
    half_step = np.float64(2.0**-54)

    @kernel(pointer(np.float64), np.uint64, np.float64, *_KEY)
    def exponential64(out, n, scale, seed, offset):
        block = first_item()
        while block * _LONG < n:
            a, b, c, d = philox(seed, offset + block)
            p = -_log(long_uniform(long_word(a, b)) + half_step) * scale
            q = -_log(long_uniform(long_word(c, d)) + half_step) * scale
            store(out, block * _LONG, n, p, q)
            block += items_apart()

    return exponential64


def exponential(out: Any, lambd: float, seed: np.uint64, offset: np.uint64) -> None:
    """Fill flat float32 or float64 ``out``."""
    given = 1.0 / lambd, int(seed), int(offset)
    if out.dtype == _dtypes.float32:
        _run(_exponential32(aligned(4, out)), out, 4, *given)
    else:
        _run(_exponential64(aligned(2, out)), out, 2, *given)


# ---- bernoulli ------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _bernoulli(dtype: np.dtype, vectors: bool) -> Any:
    store, number = store_four(dtype.itemsize, vectors), dtype.type
    one, zero = number(1), number(0)

    @kernel(pointer(dtype), np.uint64, np.uint64, *_KEY)
    def bernoulli(out, n, threshold, seed, offset):
        block = first_item()
        while block * _WORD < n:
            a, b, c, d = philox(seed, offset + block)
            p, q = one if np.uint64(a) < threshold else zero, one if np.uint64(b) < threshold else zero
            r, s = one if np.uint64(c) < threshold else zero, one if np.uint64(d) < threshold else zero
            store(out, block * _WORD, n, p, q, r, s)
            block += items_apart()

    return bernoulli


def bernoulli(out: Any, threshold: np.uint64, seed: np.uint64, offset: np.uint64) -> None:
    """1 where a 32-bit word is below ``threshold``, else 0, into flat ``out``."""
    _run(_bernoulli(out.dtype, aligned(4, out)), out, 4, int(threshold), int(seed), int(offset))


@functools.lru_cache(maxsize=None)
def _bernoulli_each(dtype: np.dtype, chances: np.dtype) -> Any:
    number, real = dtype.type, chances.type
    upward = _ceil if chances == _dtypes.float32 else _ceil64
    words, one, zero = real(2.0**32), real(1), real(0)

    @kernel(pointer(dtype), np.uint64, pointer(chances), RECORD, np.int32, *_KEY)
    def bernoulli_each(out, n, p, record, outside, seed, offset):
        """A word is below p 2^32 where it is below the integer above that, which both floats find exactly."""
        block = first_item()
        while block * _WORD < n:
            drawn = philox(seed, offset + block)
            for k in range(4):
                i = block * _WORD + np.uint64(k)
                if i < n:
                    chance = p[i]
                    if chance >= zero and chance <= one:
                        out[i] = number(np.uint64(drawn[k]) < np.uint64(upward(chance * words)))
                    else:
                        report(record, outside, np.int64(i), np.int64(n), np.int64(0))
            block += items_apart()

    return bernoulli_each


def bernoulli_each(out: Any, p: Any, seed: np.uint64, offset: np.uint64) -> bool:
    """``bernoulli`` with a probability for each element.  That one of them lies outside [0, 1] is raised when it is known, not here."""
    outside = kind(RuntimeError, "bernoulli: expected all probabilities to be in [0, 1], but that of element {index} is not")
    _run(_bernoulli_each(out.dtype, p.dtype), out, 4, p.pointer, record(), outside, int(seed), int(offset))
    return True


# ---- integers -------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _randint(dtype: np.dtype, vectors: bool) -> Any:
    store, number = store_two(vectors), dtype.type

    @kernel(pointer(dtype), np.uint64, np.int64, np.uint64, *_KEY)
    def randint(out, n, low, span, seed, offset):
        """A span of 0 stands for 2^64."""
        block = first_item()
        while block * _LONG < n:
            a, b, c, d = philox(seed, offset + block)
            p, q = long_word(a, b), long_word(c, d)
            if span != np.uint64(0):
                p, q = multiply_high(p, span), multiply_high(q, span)
            store(out, block * _LONG, n, number(low + np.int64(p)), number(low + np.int64(q)))
            block += items_apart()

    return randint


def randint(out: Any, low: np.int64, span: np.uint64, seed: np.uint64, offset: np.uint64) -> None:
    """``low + floor(word span / 2^64)`` into flat ``out``."""
    _run(_randint(out.dtype, aligned(2, out)), out, 2, int(low), int(span), int(seed), int(offset))


# ---- dropout --------------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _dropout(dtype: np.dtype, vectors: bool) -> Any:
    store, mark, number = store_four(dtype.itemsize, vectors), store_four(1, vectors), dtype.type
    zero, kept, gone = number(0), np.uint8(1), np.uint8(0)
    whole = 4 * dtype.itemsize <= 16

    @kernel(pointer(dtype), np.uint64, pointer(np.uint8), pointer(dtype), np.uint64, number, *_KEY)
    def dropout(y, n, mask, x, threshold, scale, seed, offset):
        block = first_item()
        while block * _WORD < n:
            i = block * _WORD
            a, b, c, d = philox(seed, offset + block)
            p, q = np.uint64(a) < threshold, np.uint64(b) < threshold
            r, s = np.uint64(c) < threshold, np.uint64(d) < threshold
            if vectors and i + _WORD <= n:
                if whole:
                    e, f, g, h = load_vector(x, i, 4)
                else:
                    e, f = load_vector(x, i, 2)
                    g, h = load_vector(x, i + np.uint64(2), 2)
            else:
                e = x[i]
                f = x[i + np.uint64(1)] if i + np.uint64(1) < n else zero
                g = x[i + np.uint64(2)] if i + np.uint64(2) < n else zero
                h = x[i + np.uint64(3)] if i + np.uint64(3) < n else zero
            e, f = e * (scale if p else zero), f * (scale if q else zero)
            g, h = g * (scale if r else zero), h * (scale if s else zero)
            store(y, i, n, e, f, g, h)
            mark(mask, i, n, kept if p else gone, kept if q else gone, kept if r else gone, kept if s else gone)
            block += items_apart()

    return dropout


def dropout(y: Any, mask: Any, x: Any, threshold: np.uint64, scale: float, seed: np.uint64, offset: np.uint64) -> None:
    """Mask and product in one pass over flat arrays."""
    made = _dropout(x.dtype, aligned(4, y, mask, x))
    _run(made, y, 4, mask.pointer, x.pointer, int(threshold), scale, int(seed), int(offset))


@functools.lru_cache(maxsize=None)
def _masked_scale(dtype: np.dtype, vectors: bool) -> Any:
    store, number = store_four(dtype.itemsize, vectors), dtype.type
    zero, gone = number(0), np.uint8(0)
    whole = 4 * dtype.itemsize <= 16

    @kernel(pointer(dtype), np.uint64, pointer(dtype), pointer(np.uint8), number)
    def masked_scale(y, n, x, mask, scale):
        item = first_item()
        while item * _WORD < n:
            i = item * _WORD
            if vectors and i + _WORD <= n:
                p, q, r, s = load_vector(mask, i, 4)
                if whole:
                    e, f, g, h = load_vector(x, i, 4)
                else:
                    e, f = load_vector(x, i, 2)
                    g, h = load_vector(x, i + np.uint64(2), 2)
                e, f = e * (scale if p != gone else zero), f * (scale if q != gone else zero)
                g, h = g * (scale if r != gone else zero), h * (scale if s != gone else zero)
                store(y, i, n, e, f, g, h)
            else:
                for k in range(4):
                    if i + np.uint64(k) < n:
                        y[i + np.uint64(k)] = x[i + np.uint64(k)] * (scale if mask[i + np.uint64(k)] != gone else zero)
            item += items_apart()

    return masked_scale


def masked_scale(y: Any, x: Any, mask: Any, scale: float) -> None:
    """y = x scale where ``mask`` is set, else x 0, over flat arrays: bound by memory bandwidth."""
    _run(_masked_scale(x.dtype, aligned(4, y, x, mask)), y, 4, x.pointer, mask.pointer, scale)
