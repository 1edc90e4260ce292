"""Single random numbers for transforms, from numbagrad's default generator: its seed fixes them.

A transform needs one or two numbers per image, in worker processes too, where no kernel runs.  So a draw hashes (seed, offset) on the host
and advances the offset, which is how the kernels' draws work as well.
"""

from __future__ import annotations

import hashlib
import struct

from ...random import default_generator


def _bits() -> int:
    """53 random bits."""
    place = struct.pack("<QQ", default_generator.seed % 2**64, default_generator.offset % 2**64)
    default_generator.offset += 1
    return int.from_bytes(hashlib.blake2b(place, digest_size=8, person=b"numbagrad").digest(), "little") >> 11


def uniform(low: float, high: float) -> float:
    """A number from [low, high)."""
    return low + (high - low) * (_bits() * 2.0**-53)


def integer(low: int, high: int) -> int:
    """An integer from low .. high - 1, all equally likely but for the 53 bits' remainder."""
    return low + _bits() % (high - low)
