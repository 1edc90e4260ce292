"""Random draws on the CPU.

A draw is cut into tiles of BLOCKS generator blocks.  A tile's words are made into a scratch row in the first-level cache (about 2 ns a
word, scalar integer multiplies, which is what bounds every draw but the float64 normal one: that waits for libm), then turned into numbers
by a loop without branches that LLVM vectorises.  Tiles are the unit that is shared among threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cpu import empty, kernel, launch, u, zeros
from ._discrete import multinomial_with, multinomial_without, randperm, weigh
from ._words import LONGS, WORDS, cos_sin_turn, fill_words, long_uniform, long_word, minus_log, multiply_high, philox

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


@kernel
def _uniform32(lo, hi, out, low, span, top, seed, offset, bits):
    words = np.empty(WORDS, np.uint32)
    step = np.float32(1) / np.float32(np.int64(1) << bits)
    shift = np.uint32(32 - bits)
    for tile in range(lo, hi):
        base = tile * WORDS
        count = min(WORDS, out.size - base)
        fill_words(words, tile, count, seed, offset)
        for k in range(count):
            value = np.float32(np.int32(words[u(k)] >> shift)) * step * span + low
            out[u(base + k)] = value if value <= top else top


@kernel
def _uniform64(lo, hi, out, low, span, top, seed, offset, bits):
    words = np.empty(WORDS, np.uint32)
    for tile in range(lo, hi):
        base = tile * LONGS
        count = min(LONGS, out.size - base)
        fill_words(words, tile, 2 * count, seed, offset)
        for k in range(count):
            value = long_uniform(long_word(words, k)) * span + low
            out[u(base + k)] = value if value <= top else top


def uniform(out: Any, low: float, high: float, top: float, bits: int, seed: np.uint64, offset: np.uint64) -> None:
    """Fill flat float32 or float64 ``out``; no result exceeds ``top``.  ``bits`` of each word are used for float32."""
    real = out.dtype.type
    body, size = (_uniform32, WORDS) if real is np.float32 else (_uniform64, LONGS)
    launch(body, _tiles(out.size, size), out, real(low), real(high - low), real(top), seed, offset, bits, work=30 * out.size)


def _tiles(n: int, size: int) -> int:
    return -(-n // size)


@kernel
def _normal32(lo, hi, out, even_mean, odd_mean, std, seed, offset):
    words = np.empty(WORDS, np.uint32)
    values = np.empty(WORDS, np.float32)
    for tile in range(lo, hi):
        base = tile * WORDS
        count = min(WORDS, out.size - base)
        fill_words(words, tile, count, seed, offset)
        for k in range((count + 1) // 2):
            radius = np.sqrt(np.float32(2) * minus_log(words[u(2 * k)]))
            cosine, sine = cos_sin_turn(words[u(2 * k + 1)])
            values[u(2 * k)] = radius * cosine * std + even_mean
            values[u(2 * k + 1)] = radius * sine * std + odd_mean
        for k in range(count):
            out[u(base + k)] = values[u(k)]


@kernel
def _normal64(lo, hi, out, even_mean, odd_mean, std, seed, offset):
    for pair in range(lo, hi):
        a, b, c, d = philox(seed, offset + np.uint64(pair))
        first = (np.uint64(a) << np.uint64(32)) | np.uint64(b)
        second = (np.uint64(c) << np.uint64(32)) | np.uint64(d)
        radius = np.sqrt(-2.0 * np.log(np.float64((first >> np.uint64(11)) + np.uint64(1)) * 2.0**-53))
        angle = 2.0 * np.pi * long_uniform(second)
        out[2 * pair] = radius * np.cos(angle) * std + even_mean
        if 2 * pair + 1 < out.size:
            out[2 * pair + 1] = radius * np.sin(angle) * std + odd_mean


def normal(out: Any, even_mean: float, odd_mean: float, std: float, seed: np.uint64, offset: np.uint64) -> None:
    """Fill flat float32 or float64 ``out``; elements at even and odd places may have different means."""
    real = out.dtype.type
    body, n = (_normal32, _tiles(out.size, WORDS)) if real is np.float32 else (_normal64, _tiles(out.size, 2))
    launch(body, n, out, real(even_mean), real(odd_mean), real(std), seed, offset, work=30 * out.size)


@kernel
def _exponential32(lo, hi, out, scale, seed, offset):
    words = np.empty(WORDS, np.uint32)
    least = np.float32(2.0**-33)  # what -log(u) is for the largest u before that rounds to 1
    for tile in range(lo, hi):
        base = tile * WORDS
        count = min(WORDS, out.size - base)
        fill_words(words, tile, count, seed, offset)
        for k in range(count):
            value = minus_log(words[u(k)])
            out[u(base + k)] = (value if value > least else least) * scale


@kernel
def _exponential64(lo, hi, out, scale, seed, offset):
    words = np.empty(WORDS, np.uint32)
    for tile in range(lo, hi):
        base = tile * LONGS
        count = min(LONGS, out.size - base)
        fill_words(words, tile, 2 * count, seed, offset)
        for k in range(count):
            out[u(base + k)] = -np.log(long_uniform(long_word(words, k)) + 2.0**-54) * scale


def exponential(out: Any, lambd: float, seed: np.uint64, offset: np.uint64) -> None:
    """Fill flat float32 or float64 ``out``."""
    real = out.dtype.type
    body, size = (_exponential32, WORDS) if real is np.float32 else (_exponential64, LONGS)
    launch(body, _tiles(out.size, size), out, real(1.0 / lambd), seed, offset, work=40 * out.size)


@kernel
def _bernoulli(lo, hi, out, threshold, seed, offset):
    words = np.empty(WORDS, np.uint32)
    for tile in range(lo, hi):
        base = tile * WORDS
        count = min(WORDS, out.size - base)
        fill_words(words, tile, count, seed, offset)
        for k in range(count):
            out[u(base + k)] = np.uint64(words[u(k)]) < threshold


def bernoulli(out: Any, threshold: np.uint64, seed: np.uint64, offset: np.uint64) -> None:
    """1 where a 32-bit word is below ``threshold``, else 0, into flat ``out``."""
    launch(_bernoulli, _tiles(out.size, WORDS), out, threshold, seed, offset, work=30 * out.size)


@kernel
def _bernoulli_each(lo, hi, out, p, invalid, seed, offset):
    words = np.empty(WORDS, np.uint32)
    for tile in range(lo, hi):
        base = tile * WORDS
        count = min(WORDS, out.size - base)
        fill_words(words, tile, count, seed, offset)
        for k in range(count):
            chance = np.float64(p[u(base + k)])
            out[u(base + k)] = np.float64(words[u(k)]) < chance * 4294967296.0
            if not ((chance >= 0.0) & (chance <= 1.0)):
                invalid[0] = 1


def bernoulli_each(out: Any, p: Any, seed: np.uint64, offset: np.uint64) -> bool:
    """``bernoulli`` with a probability for each element; False if one of them lies outside [0, 1]."""
    invalid = zeros((1,), np.uint8)
    launch(_bernoulli_each, _tiles(out.size, WORDS), out, p, invalid, seed, offset, work=30 * out.size)
    return not invalid[0]


@kernel
def _randint(lo, hi, out, low, span, seed, offset):
    words = np.empty(WORDS, np.uint32)
    for tile in range(lo, hi):
        base = tile * LONGS
        count = min(LONGS, out.size - base)
        fill_words(words, tile, 2 * count, seed, offset)
        for k in range(count):
            word = long_word(words, k)
            step = multiply_high(word, span) if span else word  # 0 stands for 2^64
            out[u(base + k)] = low + np.int64(step)


def randint(out: Any, low: np.int64, span: np.uint64, seed: np.uint64, offset: np.uint64) -> None:
    """``low + floor(word span / 2^64)`` into flat ``out``."""
    launch(_randint, _tiles(out.size, LONGS), out, low, span, seed, offset, work=60 * out.size)


@kernel
def _dropout(lo, hi, y, mask, x, threshold, scale, seed, offset):
    words = np.empty(WORDS, np.uint32)
    zero = x.dtype.type(0)
    for tile in range(lo, hi):
        base = tile * WORDS
        count = min(WORDS, x.size - base)
        fill_words(words, tile, count, seed, offset)
        for k in range(count):
            keep = np.uint64(words[u(k)]) < threshold
            mask[u(base + k)] = keep
            y[u(base + k)] = x[u(base + k)] * (scale if keep else zero)


def dropout(y: Any, mask: Any, x: Any, threshold: np.uint64, scale: float, seed: np.uint64, offset: np.uint64) -> None:
    """Mask and product in one pass over flat arrays."""
    launch(_dropout, _tiles(x.size, WORDS), y, mask, x, threshold, x.dtype.type(scale), seed, offset, work=30 * x.size)


@kernel
def _masked_scale(lo, hi, y, x, mask, scale):
    zero = x.dtype.type(0)
    for i in range(lo, hi):
        y[u(i)] = x[u(i)] * (scale if mask[u(i)] else zero)


def masked_scale(y: Any, x: Any, mask: Any, scale: float) -> None:
    launch(_masked_scale, x.size, y, x, mask, x.dtype.type(scale), work=x.size)
