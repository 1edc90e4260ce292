"""What is found out about the arrays of a ``Table`` on CUDA: norms, and whether all elements are finite.

Norms in three stages, the first of which reads the arrays and is bound by that: a block folds one chunk in the elements' own arithmetic; a block puts the
chunks of an array together in float64; a block makes one norm of all arrays'.  The order is the table's, so results always are the same.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cpu.jit import compile_source
from .._cuda import lanes as vectors
from .._cuda.build import storage
from .._cuda.collectives import add, block_fold, largest, smallest, team
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline, pointer_at
from .._cuda.launch import Kernel, kernel, pointer
from ._cuda_source import indented, lanes_for, loops, names, prologue
from ._cuda_table import CHUNK, THREADS

FOLDERS = team(256)
_DOUBLE = np.dtype(np.float64)

# How elements are folded: as sums of |x|^p of a kind, or as the largest or smallest |x|.
SQUARES, ABSOLUTES, POWERS, COUNT, LARGEST, SMALLEST = "squares", "absolutes", "powers", "count", "largest", "smallest"


def kind_of(power: float) -> str:
    """How the norm of that order is folded."""
    known = {2.0: SQUARES, 1.0: ABSOLUTES, 0.0: COUNT, np.inf: LARGEST, -np.inf: SMALLEST}
    return known.get(power, POWERS)


def folded_dtype(kind: str, dtype: np.dtype) -> np.dtype:
    """What chunks are folded in: general powers in float64, whose range they need."""
    return _DOUBLE if kind == POWERS else _dtypes.compute_dtype(dtype)


def _combination(kind: str, real: Any) -> tuple[Any, Any]:
    """How two values are combined, and what changes nothing."""
    if kind == LARGEST:
        return largest(real), real(0)
    return (smallest(real), real(np.inf)) if kind == SMALLEST else (add(real), real(0))


@functools.lru_cache(maxsize=None)
def squares(dtype: np.dtype) -> Kernel:
    """sums[c] = the sum of x² over chunk c."""
    lanes, kind = lanes_for(dtype), _dtypes.compute_dtype(dtype)
    real: Any = kind.type

    @inline
    def square(x):  # type: ignore[no-untyped-def]
        return x * x

    vector, scalar = ["total += total_of(act(load(x0, i)))"], ["v = load_one(x0, i)[0]", "total += v * v"]
    body = [*prologue((0,), 0), "total = zero", *loops(vector, scalar)]
    body += ["total = fold(total)", "if thread == 0:", "    sums[cuda.blockIdx.x] = total"]
    source = "\n".join(["def squares(words, n, rows, sums):", *indented(body, 1), ""])
    namespace = names(dtype, lanes, FOLDERS) | {"zero": real(0), "total_of": vectors.summed(lanes, real)}
    namespace |= {"act": vectors.mapped(square, lanes, 1), "fold": block_fold(add(real), real, FOLDERS)}
    types = pointer(np.int64), np.uint32, np.uint32, pointer(kind)
    return kernel(*types, bounds=FOLDERS, source=source)(compile_source("squares", source, namespace))


@functools.lru_cache(maxsize=None)
def powers(dtype: np.dtype, kind: str) -> Kernel:
    """sums[c] = chunk c folded as ``kind`` says; parts[array] is 2 for complex numbers, whose parts are the elements, else 1."""
    folded = folded_dtype(kind, dtype)
    real: Any = folded.type
    word: Any = storage(dtype).type
    zero, one = real(0), real(1)
    load, _ = vectors.access(dtype, 1)
    combine, neutral = _combination(kind, real)
    fold, functions = block_fold(combine, real, FOLDERS), functions_for(folded, {"hypot", "pow"})
    hypot, raised = functions["hypot"], functions["pow"]

    @kernel(pointer(np.int64), np.uint32, np.uint32, pointer(folded), pointer(np.int64), folded, bounds=FOLDERS)
    def norm_powers(words, n, rows, sums, parts, power):  # type: ignore[no-untyped-def]
        chunk = np.uint64(cuda.blockIdx.x)
        entry = words[np.uint64(rows + np.uint32(2)) * np.uint64(n) + chunk]
        which = np.uint64(entry >> 32)
        start = np.uint64(entry & 0xFFFFFFFF) * np.uint64(CHUNK)
        stop = min(np.uint64(words[np.uint64(rows) * np.uint64(n) + which]), start + np.uint64(CHUNK))
        x, each = pointer_at(words[which], word), np.uint64(parts[which])
        total = neutral
        i = start + np.uint64(cuda.threadIdx.x) * each
        while i < stop:
            value = real(load(x, i)[0])
            value = abs(value) if each == np.uint64(1) else hypot(value, real(load(x, i + np.uint64(1))[0]))
            if kind == POWERS:
                value = raised(value, power)
            if kind == COUNT:
                value = one if value != zero else zero
            total = combine(total, value)
            i += np.uint64(FOLDERS) * each
        total = fold(total)
        if cuda.threadIdx.x == 0:
            sums[chunk] = total

    return norm_powers


@functools.lru_cache(maxsize=None)
def join(kind: str, folded: np.dtype) -> Kernel:
    """norms[array], in float64, of its chunks; of no elements it is 0."""
    combine, neutral = _combination(kind, np.float64)
    fold, functions = block_fold(combine, np.float64, FOLDERS), functions_for(_DOUBLE, {"sqrt", "pow"})
    root, raised, zero, one = functions["sqrt"], functions["pow"], np.float64(0), np.float64(1)

    @kernel(pointer(np.int64), np.uint32, np.uint32, pointer(np.float64), pointer(folded), np.uint64, np.float64, bounds=FOLDERS)
    def norm_join(words, n, rows, norms, sums, chunks, power):  # type: ignore[no-untyped-def]
        which, starts = np.uint64(cuda.blockIdx.x), np.uint64(rows + np.uint32(1)) * np.uint64(n)
        first, stop = np.uint64(words[starts + which]), chunks
        if which + np.uint64(1) < n:
            stop = np.uint64(words[starts + which + np.uint64(1)])
        total = neutral
        c = first + np.uint64(cuda.threadIdx.x)
        while c < stop:
            total = combine(total, np.float64(sums[c]))
            c += np.uint64(FOLDERS)
        total = fold(total)
        if cuda.threadIdx.x == 0:
            if first == stop:
                total = zero
            elif kind == SQUARES:
                total = root(total)
            elif kind == POWERS:
                total = raised(total, one / power) if total != zero else zero
            norms[which] = total

    return norm_join


@functools.lru_cache(maxsize=None)
def total(kind: str) -> Kernel:
    """out[0] = the norm of that order of ``n`` norms, all float64.  Sums are taken of what the norms are of the largest: powers do not overflow."""
    combine, neutral = _combination(kind, np.float64)
    most, fold = block_fold(largest(np.float64), np.float64, FOLDERS), block_fold(combine, np.float64, FOLDERS)
    functions = functions_for(_DOUBLE, {"sqrt", "pow", "exp", "log"})
    root, raised, exp, log = (functions[name] for name in ("sqrt", "pow", "exp", "log"))
    zero, one, infinite = np.float64(0), np.float64(1), np.float64(np.inf)
    sums = kind in (SQUARES, ABSOLUTES, POWERS)

    @kernel(pointer(np.float64), pointer(np.float64), np.uint32, np.float64, bounds=FOLDERS)
    def norm_total(out, norms, n, power):  # type: ignore[no-untyped-def]
        top, scale = zero, one
        if sums:
            i = np.uint32(cuda.threadIdx.x)
            while i < n:
                value = norms[i]
                top = value if value > top or value != value else top
                i = np.uint32(i + np.uint32(FOLDERS))
            top = most(top)
            scale = top if zero < top < infinite else one
        result, bad = neutral, zero
        i = np.uint32(cuda.threadIdx.x)
        while i < n:
            value = norms[i]
            bad += value - value if value != value else zero
            if kind == COUNT:
                value = one if value != zero else zero
            if sums:
                value = value / scale
                if kind == SQUARES:
                    value = value * value
                elif kind == POWERS:
                    value = raised(value, power) if value != zero or power > zero else infinite
            result = combine(result, value)
            i = np.uint32(i + np.uint32(FOLDERS))
        result = fold(result + bad)
        if cuda.threadIdx.x == 0:
            if kind == SQUARES:
                result = root(result)
            elif kind == POWERS:
                result = exp(log(result) / power)  # called twice, pow would keep numbers on a stack
            out[0] = scale * result

    return norm_total


@functools.lru_cache(maxsize=None)
def unscale(dtype: np.dtype) -> Kernel:
    """x *= factor; found[0] = 1 where an element was infinite or NaN.  Whoever finds one writes the same."""
    lanes, kind = lanes_for(dtype), _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero = real(0)

    @inline
    def scaled(x, factor):  # type: ignore[no-untyped-def]
        return x * factor

    @inline
    def trace(x):  # type: ignore[no-untyped-def]
        """NaN of what is not finite, else 0."""
        return x * zero

    vector = ["v = load(x0, i)", "total += total_of(traces(v))", "store(x0, i, act(v, n0))"]
    scalar = ["w = load_one(x0, i)", "total += w[0] * zero", "store_one(x0, i, act_one(w, n0))"]
    body = [*prologue((0,), 1), "total = zero", *loops(vector, scalar), "if total != zero:", "    found[0] = one"]
    source = "\n".join(["def unscale(words, n, rows, numbers, each, found, n0):", *indented(body, 1), ""])
    namespace = names(dtype, lanes) | {"zero": zero, "one": np.float32(1), "total_of": vectors.summed(lanes, real)}
    namespace |= {"traces": vectors.mapped(trace, lanes, 1)}
    namespace |= {"act": vectors.mapped(scaled, lanes, 1, scalars=1), "act_one": vectors.mapped(scaled, 1, 1, scalars=1)}
    types = pointer(np.int64), np.uint32, np.uint32, pointer(kind), np.uint32, pointer(np.float32), kind
    return kernel(*types, bounds=THREADS, source=source)(compile_source("unscale", source, namespace))
