"""The IDX file format of the MNIST family: two zero bytes, a type code, the number of dimensions, each size as a big-endian 32-bit
integer, then the elements.  (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".)
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def decompress(data: bytes, name: str) -> bytes:
    """The bytes that a gzip file holds.  Raises RuntimeError, naming ``name``, if ``data`` is not the whole of one."""
    try:
        return gzip.decompress(data)
    except EOFError:
        raise RuntimeError(f"{name} is truncated: its compressed data ends before the end-of-stream marker") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise RuntimeError(f"{name} is not a whole gzip file: {error}") from None


def read(path: Path) -> np.ndarray:
    """The array in an IDX file, compressed if its name ends in .gz.  Raises RuntimeError as ``decompress`` and ``parse`` do."""
    data = path.read_bytes()
    return parse(decompress(data, str(path)) if path.suffix == ".gz" else data, str(path))


def parse(data: bytes, name: str) -> np.ndarray:
    """The array in the bytes of an IDX file, in the machine's byte order and writable.

    Raises RuntimeError, naming ``name``, when the bytes are not such a file or not all of it.
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or not 1 <= data[3] <= 8:
        raise RuntimeError(f"{name} is not an IDX file: it starts with the bytes {data[:4].hex(' ') or '(none)'}")
    dtype, start = np.dtype(_TYPES[data[2]]), 4 + 4 * data[3]
    if len(data) < start:
        raise RuntimeError(f"{name} is truncated: {len(data)} bytes, where its header alone has {start}")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", data[3], 4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        problem = "truncated" if len(data) < expected else "too long"
        raise RuntimeError(f"{name} is {problem}: {len(data)} bytes, but its header says shape {shape}, which takes {expected}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
