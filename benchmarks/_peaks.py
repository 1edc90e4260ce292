"""The most that this machine's cores and memory can do: ``python -m benchmarks._peaks THREADS [SECONDS]`` prints it as JSON.

GFLOP/s: independent chains of fused multiply-adds on vector registers, which nothing else slows down.  GB/s: copy (a = b) and triad
(a = b + s c) as in STREAM (McCalpin, 1995) on arrays far larger than the caches, counting what the program reads and writes.  All of it for
one thread and for all together.
"""

from __future__ import annotations

import functools
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._machine import largest_cache

CPUS = Path("/sys/devices/system/cpu")
SMALLEST, LARGEST = 64 << 20, 1 << 30  # bytes of an array


def _lanes() -> int:
    """float32 numbers in a vector register."""
    features = llvmlite.binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


# Multiply-adds under way at once: latency times units is 8 to 10 on cores with AVX2, up to 16 elsewhere.  Two more registers are needed.
CHAINS = 12 if platform.machine().lower() in ("x86_64", "amd64") and _lanes() < 16 else 24


@intrinsic
def _multiply_adds(typing_context: Any, n: Any) -> Any:
    """n rounds of one multiply-add per chain; the sum of the chains, so that they are not thrown away."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), _lanes())
        count = arguments[0]
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{vector.count}f32")
        before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(count.type)
        chains = [builder.phi(vector) for _ in range(CHAINS)]
        # x ← 0.999 x + c goes towards 1000 c; each chain begins with another number, or they would be merged into one.
        factor, c = vector([0.999] * vector.count), vector([1e-3] * vector.count)
        results = [builder.call(fma, [x, factor, c]) for x in chains]
        next_index = builder.add(index, count.type(1))
        index.add_incoming(count.type(0), before)
        index.add_incoming(next_index, loop)
        for i, (x, result) in enumerate(zip(chains, results)):
            x.add_incoming(vector([float(i)] * vector.count), before)
            x.add_incoming(result, loop)
        builder.cbranch(builder.icmp_signed("<", next_index, count), loop, after)
        builder.position_at_end(after)
        total = results[0]
        for result in results[1:]:
            total = builder.fadd(total, result)
        lanes = [builder.extract_element(total, ir.IntType(32)(i)) for i in range(vector.count)]
        return functools.reduce(builder.fadd, lanes)  # all of them, or the compiler would compute the one alone

    return types.float32(types.int64), generate


@njit(nogil=True)
def _flops(rounds: int) -> float:
    return _multiply_adds(rounds)


@njit(nogil=True)
def _copy(a: Any, b: Any, c: Any) -> None:
    for i in range(a.size):
        a[i] = b[i]


@njit(nogil=True)
def _triad(a: Any, b: Any, c: Any) -> None:
    for i in range(a.size):
        a[i] = b[i] + np.float32(1.5) * c[i]


def _best(pool: ThreadPoolExecutor, threads: int, work: Callable[[int], Any], seconds: float) -> float:
    """Seconds that all threads take for one call each, at best."""
    best, end, turns = math.inf, time.perf_counter() + seconds, 0
    while turns < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        list(pool.map(work, range(threads)))
        best = min(best, time.perf_counter() - start)
        turns += 1
    return best


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def caches_together(cpus: Path = CPUS) -> int:
    """Bytes of all caches of the last level, of which large processors have many; what _machine.py knows of the first core's elsewhere."""
    found: dict[tuple[int, str], int] = {}  # by level and who shares it
    for index in cpus.glob("cpu[0-9]*/cache/index[0-9]*"):
        level, size, shared = (_text(index / name) for name in ("level", "size", "shared_cpu_list"))
        if level.isdigit() and size[:-1].isdigit():
            found[int(level), shared] = int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1], 1)
    last = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == last) or largest_cache()


def _touched(size: int) -> list[np.ndarray]:
    """Three arrays, written by the thread that will work on them: what has never been written to is one page of zeros in the cache."""
    return [np.full(size, i + 1, np.float32) for i in range(3)]


def _together(threads: int, seconds: float) -> dict[str, float]:
    rounds, size = 2_000_000, min(max(4 * caches_together(), SMALLEST), LARGEST) // 4 // threads
    with ThreadPoolExecutor(threads) as pool:
        arrays = list(pool.map(_touched, [size] * threads))
        flops = 2 * CHAINS * _lanes() * rounds * threads / _best(pool, threads, lambda i: _flops(rounds), seconds)
        copy = 8 * size * threads / _best(pool, threads, lambda i: _copy(*arrays[i]), seconds)
        triad = 12 * size * threads / _best(pool, threads, lambda i: _triad(*arrays[i]), seconds)
    return {"gflops": flops / 1e9, "copy_gbs": copy / 1e9, "triad_gbs": triad / 1e9}


def measure(threads: int, seconds: float = 0.5) -> dict[str, float]:
    """``gflops``, ``copy_gbs`` and ``triad_gbs`` of that many threads, and the same of a single one with ``_one`` behind the name."""
    _flops(10)
    for function in (_copy, _triad):
        function(*_touched(8))
    one = {f"{name}_one": value for name, value in _together(1, seconds).items()}
    return one | _together(threads, seconds) if threads > 1 else one | {name.removesuffix("_one"): value for name, value in one.items()}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), *map(float, sys.argv[2:]))))
