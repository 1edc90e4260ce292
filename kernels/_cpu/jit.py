"""The flags every CPU kernel is compiled with, in one place."""

from __future__ import annotations

import hashlib
import linecache
from typing import Any, Callable

from numba import njit

from .cache import ContentCache, cache_directory, write_atomically

# Sums may be reassociated and multiply-adds contracted, which is what lets a reduction loop vectorise; NaN, infinities and signed
# zeros keep their meaning.
REASSOCIATE = {"reassoc", "contract"}


def kernel(function: Callable[..., Any] | None = None, *, reassociate: bool = False, source: str | None = None) -> Any:
    """Compile ``function(lo, hi, *args)`` on first call, without the GIL, with NumPy's rules for division by zero, cached on disk.

    ``reassociate`` lets floating-point sums be reordered (it never ignores NaN or infinity).  ``source`` is the text of a generated
    function.
    """
    if function is None:
        return lambda f: kernel(f, reassociate=reassociate, source=source)
    dispatcher = njit(nogil=True, error_model="numpy", fastmath=REASSOCIATE if reassociate else False)(function)
    if hasattr(dispatcher, "_cache"):  # absent under NUMBA_DISABLE_JIT
        dispatcher._cache = ContentCache(function, source)
    return dispatcher


def inline(function: Callable[..., Any] | None = None, *, reassociate: bool = False) -> Any:
    """Compile a helper that kernels call, always inlined, however long: a call left in a loop would keep it from being vectorised.  It
    needs no cache entry of its own."""
    if function is None:
        return lambda f: inline(f, reassociate=reassociate)
    return njit(nogil=True, error_model="numpy", forceinline=True, fastmath=REASSOCIATE if reassociate else False)(function)


def compile_source(name: str, source: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    """The function ``name`` of a generated ``source``, which is kept as a real file in the cache directory, for reading and for
    tracebacks."""
    label = f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.py"
    directory = cache_directory()
    if directory is None:
        path = f"<numbagrad {label}>"
    else:
        file = directory / "generated" / label
        path = str(file)
        if not file.exists():
            write_atomically(file, source.encode())
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    scope = dict(namespace)
    exec(compile(source, path, "exec"), scope)
    return scope[name]
