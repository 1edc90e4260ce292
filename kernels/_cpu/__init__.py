"""The one door to Numba on the CPU: how kernels are compiled, cached, launched, and where their memory comes from.

    @kernel                      a function of a range: ``def rows(lo, hi, out, x): for i in range(lo, hi): ...``
    @inline                      a scalar helper that kernels call
    launch(rows, n, out, x, work=...)   run it over [0, n), split across threads when ``work`` is worth it
    empty(shape, dtype)          an uninitialised array from the caching allocator

The result of a kernel must not depend on how [0, n) is split: what is summed across the range is summed in fixed blocks, never per thread.
"""

from .intrinsics import address_of, array_at, array_from, load, store
from .jit import inline, kernel, u
from .memory import empty, empty_cache, full, memory_stats, zeros
from .threads import compiled, get_num_threads, launch, set_num_threads

__all__ = [
    "address_of",
    "array_at",
    "array_from",
    "compiled",
    "empty",
    "empty_cache",
    "full",
    "get_num_threads",
    "inline",
    "kernel",
    "launch",
    "load",
    "memory_stats",
    "set_num_threads",
    "store",
    "u",
    "zeros",
]
