"""The most that this machine's cores and memory can do: ``python -m benchmarks._peaks THREADS [SECONDS]`` prints it as JSON.

GFLOP/s: independent chains of fused multiply-adds on vector registers, which nothing else slows down.  GB/s: copy (a = b) and triad
(a = b + s c) as in STREAM (McCalpin, 1995) on arrays far larger than the caches, counting what the program reads and writes.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._machine import largest_cache

CHAINS = 12  # at once: more than latency times units of any current core, and fewer than its registers


def _lanes() -> int:
    """float32 numbers in a vector register."""
    features = llvmlite.binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


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
        # x ← x · 0.999 + c stays near 1000 c; each chain has its own c, or they would be merged into one.
        factor = vector([0.999] * vector.count)
        results = [builder.call(fma, [x, factor, vector([1e-3 * (i + 1)] * vector.count)]) for i, x in enumerate(chains)]
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


def measure(threads: int, seconds: float = 0.5) -> dict[str, float]:
    """``gflops``, ``copy_gbs`` and ``triad_gbs`` of that many threads, and ``gflops_one`` of a single one."""
    rounds = 2_000_000
    size = max(4 * largest_cache(), 64 << 20) // 4 // threads
    arrays = [[np.zeros(size, np.float32) for _ in range(3)] for _ in range(threads)]
    _flops(10)
    for function in (_copy, _triad):
        function(*[x[:8] for x in arrays[0]])
    with ThreadPoolExecutor(threads) as pool:
        one, flops = (2 * CHAINS * _lanes() * rounds * n / _best(pool, n, lambda i: _flops(rounds), seconds) for n in (1, threads))
        copy = 8 * size * threads / _best(pool, threads, lambda i: _copy(*arrays[i]), seconds)
        triad = 12 * size * threads / _best(pool, threads, lambda i: _triad(*arrays[i]), seconds)
    return {"gflops": flops / 1e9, "gflops_one": one / 1e9, "copy_gbs": copy / 1e9, "triad_gbs": triad / 1e9}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), *map(float, sys.argv[2:]))))
