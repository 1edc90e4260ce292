"""The disk cache of compiled kernels: one directory, one file per (source, signature, CPU), written atomically.

Numba's own cache keys a function by its file's time stamp, so it misses an edit in a helper of another file, and its index
files race between processes.  Here the key is content: the bytes of every source file of the package, the versions of Numba,
llvmlite and NumPy, the CPU, and the function's own code.  No index, nothing to race for: ``os.replace`` is the only write.

    compiled/<digest of the package>/<kernel>-<key>.bin     a checksum, then the pickled overload
    generated/<name>-<digest>.py                            generated sources, for reading and for tracebacks
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import platform
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core import config
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from .fingerprint import PACKAGE, Unknown, fingerprint

# Directories of other versions of the package are kept while they are among the last ones used, generated sources for a month.
_KEPT_VERSIONS = 16
_KEPT_SECONDS = 30 * 86400
_CHECKSUM_BYTES = 32


def _usable(path: Path, private: bool) -> bool:
    """True if ``path`` is (or can be made) a directory that this user can write, and that nobody but this user or root owns: what is read
    from it is run.  With ``private`` it must not be a link, nor writable by others."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = os.lstat(path) if private else os.stat(path)
        if not stat.S_ISDIR(found.st_mode) or (private and os.name == "posix" and found.st_mode & 0o022):
            return False
        if hasattr(os, "getuid") and found.st_uid not in (os.getuid(), 0):
            return False
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


@functools.cache
def cache_directory() -> Path | None:
    """Where generated sources and compiled kernels are kept: the first usable of ``NUMBAGRAD_CACHE_DIR``, the user's cache directory and a
    private folder among the temporary files.  None when nothing can be written: kernels are then compiled in every process."""
    candidates: list[tuple[Callable[[], Path], bool]] = []
    if os.environ.get("NUMBAGRAD_CACHE_DIR"):
        candidates.append((lambda: Path(os.environ["NUMBAGRAD_CACHE_DIR"]).expanduser().absolute(), False))
    if os.environ.get("XDG_CACHE_HOME"):
        candidates.append((lambda: Path(os.environ["XDG_CACHE_HOME"]).absolute() / "numbagrad", False))
    candidates.append((lambda: Path.home() / ".cache" / "numbagrad", False))
    user = os.getuid() if hasattr(os, "getuid") else 0
    candidates.append((lambda: Path(tempfile.gettempdir()) / f"numbagrad-{user}", True))
    for find, private in candidates:
        try:
            path = find()
        except (OSError, RuntimeError):  # no temporary directory, no home directory
            continue
        if _usable(path, private):
            return path
    return None


@functools.cache
def package_digest() -> str:
    """Digest of everything compiled code depends on besides its own source."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        try:
            text = path.read_bytes()
        except OSError:  # gone in between: a file that nobody can import
            continue
        digest.update(f"{path.relative_to(PACKAGE)}\0{len(text)}\0".encode())
        digest.update(text)
    versions = (numba.__version__, llvmlite.__version__, np.__version__, sys.version, platform.machine(), config.BOUNDSCHECK, config.OPT)
    # A forced instruction set decides how wide kernels are written, which shows in no function's code.
    digest.update(repr((versions, os.environ.get("NUMBAGRAD_SIMD", "").lower())).encode())
    return digest.hexdigest()[:32]


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


@functools.cache
def _version_directory() -> Path | None:
    """The directory of this version's entries, marked as used now.  The first process of a version clears away what has long not been
    used."""
    root = cache_directory()
    if root is None:
        return None
    directory = root / "compiled" / package_digest()
    try:
        if directory.exists():
            os.utime(directory)
        else:
            directory.mkdir(parents=True, exist_ok=True)
            _prune(root, directory)
    except OSError:
        pass
    return directory


def _prune(root: Path, current: Path) -> None:
    """Remove other versions' entries but the last ones used, and old generated sources.  A process that still wants one compiles again."""

    def age(path: Path) -> float:
        try:
            return time.time() - path.stat().st_mtime
        except OSError:  # another process was faster
            return 0.0

    others = sorted((path for path in (root / "compiled").iterdir() if path != current), key=age)
    for path in others[_KEPT_VERSIONS - 1 :]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for path in (root / "generated").glob("*"):
        if age(path) > _KEPT_SECONDS:
            path.unlink(missing_ok=True)


def read_entry(name: str) -> bytes | None:
    """What was kept as ``name`` by this version of the package; None where nothing was, or it is damaged."""
    directory = _version_directory()
    if directory is None:
        return None
    try:
        data = (directory / name).read_bytes()
    except OSError:
        return None
    found = data[_CHECKSUM_BYTES:]
    return found if hashlib.sha256(found).digest() == data[:_CHECKSUM_BYTES] else None


def write_entry(name: str, data: bytes) -> None:
    """Keep ``data`` as ``name``, which has to tell everything it depends on but the package and its tools."""
    directory = _version_directory()
    if directory is not None:
        write_atomically(directory / name, hashlib.sha256(data).digest() + data)


def _external_names(library: Any) -> tuple[str, ...]:
    """What the machine code of ``library`` calls or reads outside itself."""
    module = library._final_module
    values = (*module.functions, *module.global_variables)
    return tuple(sorted({value.name for value in values if value.is_declaration and not value.name.startswith("llvm.")}))


def _prepare(target_context: Any, externals: tuple[str, ...]) -> None:
    """Make ready to run code that was compiled before.

    Numba readies a process for compiling first, loading a hundred modules; running takes its runtime alone, as long as all that the code
    refers to can be found without them.  Compiling readies the rest when it is needed.
    """
    rtsys.initialize(target_context)
    if any(llvmlite.binding.address_of_symbol(name) is None for name in externals):
        target_context.refresh()


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
            return f"{self._source}\n{fingerprint(self._function)}".encode()  # type: ignore[arg-type]
        except Unknown:
            return None

    @property
    def cache_path(self) -> str:
        return str(cache_directory())

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        directory = _version_directory()
        if directory is None or not self._enabled or self._identity is None:
            return None
        digest = hashlib.sha256(self._identity)
        digest.update(repr((str(signature), codegen.magic_tuple())).encode())
        return directory / f"{self._label}-{digest.hexdigest()[:40]}.bin"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        try:
            data = path.read_bytes()
            if hashlib.sha256(data[_CHECKSUM_BYTES:]).digest() != data[:_CHECKSUM_BYTES]:
                return None
            externals, payload = pickle.loads(data[_CHECKSUM_BYTES:])
        except Exception:  # a missing or damaged entry: it is compiled and written again
            return None
        _prepare(target_context, externals)
        return CompileResult._rebuild(target_context, *payload)

    def save_overload(self, sig: Any, data: Any) -> None:
        path = self._path(sig, data.codegen)
        if path is None or data.library.has_dynamic_globals or any(not lifted.can_cache for lifted in data.lifted):
            return
        try:
            payload = dumps((_external_names(data.library), data._reduce()))
        except Exception:  # a constant that cannot be pickled: the function is compiled in every process
            return
        write_atomically(path, hashlib.sha256(payload).digest() + payload)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Nothing to do: entries are keyed by content and never go stale."""
