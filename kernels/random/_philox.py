"""The random formulas, as plain scalar Python that every device compiles with its own decorator (``inline(philox)``).

Generator: Philox4x32-10, J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
It is a keyed bijection of a 128-bit counter: nothing is carried from one number to the next, so any thread can make any of them.
The 64-bit seed is the key and the 64-bit block number is the counter's low half; a block gives four 32-bit words.

A draw of 32-bit numbers at ``offset`` takes element i from word ``i % 4`` of block ``offset + i // 4``; a draw of 64-bit numbers takes
it from words ``2 (i % 2)`` (high) and ``2 (i % 2) + 1`` (low) of block ``offset + i // 2``.

The functions call nothing but NumPy's scalar types, and the float32 ones do float32 arithmetic only, in the order written, so that two
devices agree bit for bit.  NVVM would make a product and a sum one multiply-add, rounded once, so those are given the device's ``product``,
whose result is rounded; where a product is exact (by a power of two) that makes no difference.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np


def philox(seed, block):
    """The four 32-bit words of ``block`` (uint64) under key ``seed`` (uint64)."""
    k0, k1 = np.uint32(seed), np.uint32(seed >> np.uint64(32))
    c0, c1, c2, c3 = np.uint32(block), np.uint32(block >> np.uint64(32)), np.uint32(0), np.uint32(0)
    for _ in range(10):
        p0 = np.uint64(c0) * np.uint64(0xD2511F53)
        p1 = np.uint64(c2) * np.uint64(0xCD9E8D57)
        c0, c2 = np.uint32(np.uint32(p1 >> np.uint64(32)) ^ c1 ^ k0), np.uint32(np.uint32(p0 >> np.uint64(32)) ^ c3 ^ k1)
        c1, c3 = np.uint32(p1), np.uint32(p0)
        k0 = np.uint32(k0 + np.uint32(0x9E3779B9))
        k1 = np.uint32(k1 + np.uint32(0xBB67AE85))
    return c0, c1, c2, c3


def multiply_high(a, b):
    """The upper 64 bits of the product of two uint64: ``floor(a b / 2^64)``."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    a_high, a_low, b_high, b_low = a >> half, a & mask, b >> half, b & mask
    middle = a_high * b_low + ((a_low * b_low) >> half)
    return a_high * b_high + (middle >> half) + ((a_low * b_high + (middle & mask)) >> half)


def minus_log_by(product: Callable[..., Any]) -> Callable[..., Any]:
    """The function ``minus_log``."""

    def minus_log(word):
        """``-log(u)`` in float32 of ``u = (word + 1/2) / 2^32``, which lies in (0, 1]: between 0 and 22.9.

        ``u = m 2^e`` with m in [sqrt(1/2), sqrt(2)), and ``log m = 2 atanh((m - 1) / (m + 1))`` by its series up to the ninth power.
        """
        one = np.float32(1)
        u = np.float32(word) * np.float32(2.0**-32) + np.float32(2.0**-33)
        bits = np.float32(u).view(np.int32)
        e = (bits - np.int32(0x3F3504F3)) >> np.int32(23)  # the bits of sqrt(1/2)
        m = np.int32(bits - (e << np.int32(23))).view(np.float32)
        s = (m - one) / (m + one)
        z = s * s
        series = product(z, np.float32(1 / 9)) + np.float32(1 / 7)
        series = product(series, z) + np.float32(1 / 5)
        series = product(series, z) + np.float32(1 / 3)
        log_m = np.float32(2) * s + product(np.float32(2) * s * z, series)
        return -(product(np.float32(e), np.float32(0.6931471805599453)) + log_m)

    return minus_log


def cos_sin_turn_by(product: Callable[..., Any]) -> Callable[..., Any]:
    """The function ``cos_sin_turn``."""

    def cos_sin_turn(word):
        """``cos(t), sin(t)`` in float32 of ``t = 2 pi word / 2^32``.

        The nearest multiple of a quarter turn is taken off exactly, in integers; the Taylor polynomials serve the rest, at most pi/4.
        """
        one = np.float32(1)
        quarter = np.uint32(np.uint32(word + np.uint32(1 << 29)) >> np.uint32(30))
        rest = np.int32(np.uint32(word - np.uint32(quarter << np.uint32(30))))
        t = np.float32(rest) * np.float32(2 * np.pi / 2.0**32)
        z = t * t
        s = product(z, np.float32(1 / 362880)) - np.float32(1 / 5040)
        s = product(s, z) + np.float32(1 / 120)
        s = product(s, z) - np.float32(1 / 6)
        s = product(product(s, z), t) + t
        c = product(z, np.float32(1 / 40320)) - np.float32(1 / 720)
        c = product(c, z) + np.float32(1 / 24)
        c = product(c, z) - np.float32(1 / 2)
        c = product(c, z) + one
        odd = (quarter & np.uint32(1)) != np.uint32(0)
        c_out, s_out = (s, c) if odd else (c, s)
        c_out = -c_out if (quarter == np.uint32(1)) | (quarter == np.uint32(2)) else c_out
        s_out = -s_out if quarter >= np.uint32(2) else s_out
        return c_out, s_out

    return cos_sin_turn
