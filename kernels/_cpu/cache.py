"""The disk cache of compiled kernels: one directory, one file per (source, signature, CPU), written atomically.

Numba's own cache keys a function by its file's time stamp, so it misses an edit in a helper of another file, and its index
files race between processes.  Here the key is content: the bytes of every source file of the package, the versions of Numba,
llvmlite and NumPy, the CPU, and the function's own code.  No index, nothing to race for: ``os.replace`` is the only write.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from .fingerprint import PACKAGE, Unknown, fingerprint


def _usable(path: Path) -> bool:
    """True if ``path`` is (or can be made) a directory of this user's that can be written."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


@functools.lru_cache(maxsize=None)
def cache_directory() -> Path | None:
    """Where generated sources and compiled kernels are kept: the first usable of ``NUMBAGRAD_CACHE_DIR``, the user's cache directory and a
    private folder among the temporary files.  None when nothing can be written: kernels are then compiled in every process."""
    candidates = []
    if os.environ.get("NUMBAGRAD_CACHE_DIR"):
        candidates.append(Path(os.environ["NUMBAGRAD_CACHE_DIR"]))
    if os.environ.get("XDG_CACHE_HOME"):
        candidates.append(Path(os.environ["XDG_CACHE_HOME"]) / "numbagrad")
    try:
        candidates.append(Path.home() / ".cache" / "numbagrad")
    except RuntimeError:  # no home directory
        pass
    user = os.getuid() if hasattr(os, "getuid") else 0
    candidates.append(Path(tempfile.gettempdir()) / f"numbagrad-{user}")
    return next((path for path in candidates if _usable(path)), None)


@functools.lru_cache(maxsize=None)
def package_digest() -> bytes:
    """Digest of everything compiled code depends on besides its own source."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(PACKAGE)).encode())
        digest.update(path.read_bytes())
    versions = (numba.__version__, llvmlite.__version__, np.__version__, sys.version, platform.machine(), config.BOUNDSCHECK, config.OPT)
    digest.update(repr((versions, os.environ.get("NUMBAGRAD_SIMD"))).encode())
    return digest.digest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` so that a reader sees the old file or the new one, never a part.  A failure to write is no error here: the cache is
    an economy, and a full or read-only disk must not stop a computation."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        pass


class ContentCache(_Cache):
    """What a Numba dispatcher asks for compiled overloads, keyed by content (see the module's head)."""

    def __init__(self, function: Callable[..., Any], source: str | None = None):
        self._function = function
        self._source = source or ""
        self._label = function.__name__
        self._enabled = True

    @functools.cached_property
    def _identity(self) -> bytes | None:
        """Taken at the first use, when whatever the function refers to has been defined; None when it cannot be told, and nothing is
        cached."""
        try:
            return f"{self._source}\n{fingerprint(self._function)}".encode()
        except Unknown:
            return None

    @property
    def cache_path(self) -> str:
        return str(cache_directory())

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        directory = cache_directory()
        if directory is None or not self._enabled or self._identity is None:
            return None
        digest = hashlib.sha256(package_digest())
        digest.update(self._identity)
        digest.update(repr((str(signature), codegen.magic_tuple())).encode())
        return directory / "compiled" / f"{self._label}-{digest.hexdigest()[:40]}.bin"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        try:
            payload = pickle.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except Exception:  # a damaged entry is a missing one: it is compiled and written again
            return None
        return CompileResult._rebuild(target_context, *payload)

    def save_overload(self, sig: Any, data: Any) -> None:
        path = self._path(sig, data.codegen)
        if path is None or data.library.has_dynamic_globals or any(not lifted.can_cache for lifted in data.lifted):
            return
        write_atomically(path, dumps(data._reduce()))

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Nothing to do: entries are keyed by content and never go stale."""
