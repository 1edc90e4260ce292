"""Single random numbers on the host, from numbagrad's generators: the same seed fixes them and the kernels' numbers.

Seeds of workers and parameters of image transforms are one or two numbers at a time, drawn in worker processes too, where no kernel runs.
So a draw takes one step of a generator's counter, as a kernel's draw does, and hashes (seed, counter).
"""

from __future__ import annotations

import hashlib
import struct

from ..generator import Generator, default_generator


def bits(generator: Generator | None = None) -> int:
    """64 random bits, from ``generator`` or, without one, from the default generator."""
    place = struct.pack("<QQ", *(generator or default_generator).take(1))
    return int.from_bytes(hashlib.blake2b(place, digest_size=8, person=b"numbagrad host").digest(), "little")


def uniform(low: float, high: float, *, generator: Generator | None = None) -> float:
    """A number from [low, high)."""
    return low + (high - low) * ((bits(generator) >> 11) * 2.0**-53)


def integer(low: int, high: int, *, generator: Generator | None = None) -> int:
    """One of low .. high - 1, all equally likely to within (high - low) / 2^64."""
    return low + bits(generator) % (high - low)
