"""Kernels that do the same to every element of the arrays of a ``Table``, printed as source.

A block has one chunk of one array: it looks up its addresses, and its threads take 16 bytes at a time where all of them are aligned.  Every array is read
and written once, which is what bounds these kernels: they differ in how many arrays there are, and in some arithmetic.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Sequence

import numpy as np

from .. import _dtypes
from .._cpu.jit import compile_source
from .._cuda import lanes as vectors
from .._cuda.build import storage
from .._cuda.intrinsics import cuda, pointer_at
from .._cuda.launch import Kernel, kernel, pointer
from ._cuda_table import CHUNK, THREADS

_VECTOR_BYTES = 16
# Where a kernel finds its numbers: among its arguments, or on the device, each array its own or the same for all.
GIVEN, OWN, COMMON = range(3)


class Loop(NamedTuple):
    """What ``function`` is given and gives: elements of the roles ``reads``, the ``numbers`` of the element's array, and ``settings``; new elements of the
    roles ``writes``."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    numbers: int
    settings: int


def indented(lines: Sequence[str], depth: int) -> list[str]:
    return ["    " * depth + line for line in lines]


def prologue(roles: Sequence[int], numbers: int) -> list[str]:
    """Which chunk the block has: of array ``which``, the elements from ``start`` to ``stop``, vectors until ``middle``; ``x0``, ``x1`` ... are where the
    arrays of the ``roles`` begin."""
    return [
        "at = cuda.blockIdx.x",
        "word = words[(rows + np.uint32(2)) * n + at]",
        "which = np.uint64(word >> 32)",
        "start = np.uint64(word & 0xFFFFFFFF) * np.uint64(CHUNK)",
        "stop = min(np.uint64(words[rows * n + which]), start + np.uint64(CHUNK))",
        *[f"p{role} = words[np.uint32({role}) * n + which]" for role in roles],
        *[f"x{role} = pointer_at(p{role}, W)" for role in roles],
        f"aligned = ({' | '.join(f'p{role}' for role in roles)}) & {_VECTOR_BYTES - 1} == 0",
        "middle = stop - (stop - start) % np.uint64(LANES) if aligned else start",
        *(["if each:", "    place = which if each == OWN else np.uint64(0)"] if numbers else []),
        *[f"    n{k} = numbers[np.uint32({k}) * n + place]" for k in range(numbers)],
        "thread = np.uint64(cuda.threadIdx.x)",
    ]


def loops(vector: Sequence[str], scalar: Sequence[str]) -> list[str]:
    """The lines for each vector, then those for each element left over; both at ``i``."""
    return [
        "i = start + thread * np.uint64(LANES)",
        "while i < middle:",
        *indented([*vector, "i += np.uint64(STEP)"], 1),
        "i = middle + thread",
        "while i < stop:",
        *indented([*scalar, "i += np.uint64(THREADS)"], 1),
    ]


def names(dtype: np.dtype, lanes: int, threads: int = THREADS) -> dict[str, Any]:
    """What the printed lines refer to."""
    load, store = vectors.access(dtype, lanes)
    load_one, store_one = vectors.access(dtype, 1)
    found = {"np": np, "cuda": cuda, "pointer_at": pointer_at, "W": storage(dtype).type, "CHUNK": CHUNK, "OWN": OWN}
    found |= {"LANES": lanes, "THREADS": threads, "STEP": lanes * threads}
    return found | {"load": load, "store": store, "load_one": load_one, "store_one": store_one}


def lanes_for(dtype: np.dtype) -> int:
    """The elements of a vector."""
    return _VECTOR_BYTES // dtype.itemsize


@functools.lru_cache(maxsize=None)
def looped(name: str, dtype: np.dtype, function: Any, loop: Loop) -> Kernel:
    """The kernel (words, n, rows, numbers, each, n0, ..., s0, ...): ``rows`` is the table's number of roles; ``each`` says where the numbers are found."""
    lanes, settings = lanes_for(dtype), [f"s{k}" for k in range(loop.settings)]
    given, real = [f"n{k}" for k in range(loop.numbers)], _dtypes.compute_dtype(dtype)
    scalars = [*given, *settings]
    signature = ", ".join(["words", "n", "rows", "numbers", "each", *scalars])
    outputs = ", ".join(f"y{role}" for role in loop.writes)

    def step(load: str, store: str, act: str) -> list[str]:
        read = [f"v{role} = {load}(x{role}, i)" for role in loop.reads]
        arguments = ", ".join([*[f"v{role}" for role in loop.reads], *scalars])
        return [*read, f"{outputs} = {act}({arguments})", *[f"{store}(x{role}, i, y{role})" for role in loop.writes]]

    roles = sorted({*loop.reads, *loop.writes})
    body = [*prologue(roles, loop.numbers), *loops(step("load", "store", "act"), step("load_one", "store_one", "act_one"))]
    source = "\n".join([f"def {name}({signature}):", *indented(body, 1), ""])
    counts = len(loop.reads), len(loop.writes), len(scalars)
    namespace = names(dtype, lanes) | {
        "act": vectors.mapped(function, lanes, *counts),
        "act_one": vectors.mapped(function, 1, *counts),
    }
    types = [pointer(np.int64), np.uint32, np.uint32, pointer(real), np.uint32, *[real] * len(scalars)]
    return kernel(*types, bounds=THREADS, source=source)(compile_source(name, source, namespace))
