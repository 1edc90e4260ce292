"""From a Python function to machine code for one architecture: LTO-IR by Numba, a cubin by nvJitLink, kept on disk by content.

No device is needed.  The parameters are flat pointers and numbers only, so that a launch passes nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Iterator
from importlib import metadata
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple, Sequence

import numba
import numpy as np
from numba import types

from .. import _dtypes
from .._cpu.cache import read_entry, write_entry
from .._cpu.fingerprint import Unknown, fingerprint

# What the machine code depends on besides the sources of this package.
_TOOLS = ("numba-cuda", "nvidia-cuda-nvvm", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cuda-nvrtc")
_building = threading.RLock()

Capability = tuple[int, int]


class Cubin(NamedTuple):
    """Machine code of one kernel: the name of the function, and the ELF file that holds it."""

    name: str
    code: bytes


class Options(NamedTuple):
    """How a kernel is compiled."""

    # The most threads of a block, which is what registers are shared out by, and the fewest blocks of a multiprocessor.
    bounds: int | tuple[int, int] | None = None
    registers: int | None = None  # the most registers of a thread
    fastmath: bool = False


class Pointer(NamedTuple):
    """The type of a parameter that is an address of elements."""

    dtype: np.dtype


def pointer(dtype: Any) -> Pointer:
    """An address of elements of ``dtype``, any of ours: a bool is read and written as a byte (uint8), a 16-bit float as its bits (uint16)."""
    return Pointer(np.dtype(dtype))


def storage(dtype: np.dtype) -> np.dtype:
    """What a pointer to ``dtype`` reads and writes."""
    if dtype == _dtypes.bool_:
        return _dtypes.uint8  # Numba loads a bool from memory, but does not store one
    return np.dtype(np.uint16) if dtype in _dtypes.HALVES else dtype


def numba_type(parameter: Any) -> Any:
    """The Numba type of a kernel's parameter: a ``Pointer``, or the class or dtype of a number."""
    if isinstance(parameter, Pointer):
        return types.CPointer(numba.from_dtype(storage(parameter.dtype)))
    return numba.from_dtype(np.dtype(parameter))


def architecture(capability: Capability) -> tuple[Any, ...]:
    """What to compile for so that a device of this compute capability runs it; from 9.0 on with what that architecture alone has.

    Raises RuntimeError where the toolkit is older than the device, and for devices before sm_80, which lack what kernels are made of: conversions to
    bfloat16, asynchronous copies, its products on tensor cores.
    """
    if capability < (8, 0):
        raise RuntimeError(
            f"CUDA error: kernels need a GPU of compute capability 8.0 (Ampere) or newer, but the device has {capability[0]}.{capability[1]}"
        )
    known = [tuple(cc[:2]) for cc in _known_architectures()]
    fitting = [cc for cc in known if cc[0] == capability[0] and cc[1] <= capability[1]]
    if not fitting:
        oldest, newest = min(known), max(known)
        raise RuntimeError(
            f"CUDA error: the installed toolkit compiles for compute capabilities {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}, "
            f"but the device has {capability[0]}.{capability[1]}"
        )
    best = max(fitting)
    return (*best, "a") if best == tuple(capability) and best >= (9, 0) else best


@functools.cache
def _known_architectures() -> list[tuple[int, ...]]:
    from numba.cuda.cudadrv import nvrtc

    return list(nvrtc.get_supported_ccs())


@functools.cache
def _tool_versions() -> str:
    found = []
    for name in _TOOLS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


@contextlib.contextmanager
def _compiling_for(arch: tuple[Any, ...]) -> Iterator[None]:
    """Numba asks the current device for what a helper is to be compiled for, and would start a driver of its own; it is told here."""
    from numba.cuda import dispatcher

    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=arch)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked


def _compile(function: Callable[..., Any], signature: Any, options: Options, archs: Sequence[tuple[Any, ...]]) -> list[Cubin]:
    """The function is typed and lowered once. What Numba asks of an architecture meanwhile is whether it has what all ours have, which begin at sm_80: the
    LLVM IR is the same for each."""
    from numba.cuda import compiler
    from numba.cuda.cudadrv import nvvm

    with _building, _compiling_for(archs[0]):
        compiled = compiler.compile_cuda(
            function,
            types.void,
            signature.args,
            fastmath=options.fastmath,
            nvvm_options={"fastmath": options.fastmath, "opt": 3},
            cc=archs[0],
            max_registers=options.registers,
            lto=True,
        )
        name, library = compiled.fndesc.llvm_func_name, compiled.library
        entry = library.get_function(name)
        compiler.kernel_fixup(entry, debug=False)
        nvvm.set_launch_bounds(entry, options.bounds)
        return [Cubin(name, library.get_cubin(cc=arch).code) for arch in archs]


def build(
    function: Callable[..., Any], parameters: Sequence[Any], options: Options, capability: Capability, source: str | None = None
) -> Cubin:
    """The machine code of ``function`` with ``parameters`` (``pointer(dtype)``, ``np.int32`` ...) for devices of a compute capability.

    ``source`` is the text of a generated function.  Raises Numba's TypingError
    where the function cannot be compiled for these types.
    """
    return build_each(function, parameters, options, [capability], source)[0]


def build_each(
    function: Callable[..., Any], parameters: Sequence[Any], options: Options, capabilities: Sequence[Capability], source: str | None = None
) -> list[Cubin]:
    """``build`` for several compute capabilities, in less time than one after the other: what they share is compiled once."""
    signature = types.void(*map(numba_type, parameters))
    archs = [architecture(capability) for capability in capabilities]
    entries = [_entry_name(function, f"{signature} {options} {arch} {_tool_versions()}", source) for arch in archs]
    cubins = {arch: cubin for arch, entry in zip(archs, entries) if (cubin := _kept(entry)) is not None}
    missing = [arch for arch in dict.fromkeys(archs) if arch not in cubins]
    if missing:
        cubins.update(zip(missing, _compile(function, signature, options, missing)))
    for arch, entry in zip(archs, entries):
        if entry is not None and arch in missing:
            write_entry(entry, cubins[arch].name.encode() + b"\0" + cubins[arch].code)
    return [cubins[arch] for arch in archs]


def _kept(entry: str | None) -> Cubin | None:
    """The cubin of that name in the cache."""
    kept = None if entry is None else read_entry(entry)
    if kept is None:
        return None
    name, _, code = kept.partition(b"\0")
    return Cubin(name.decode(), code)


def _entry_name(function: Any, how: str, source: str | None) -> str | None:
    """The name in the cache; None where it does not show what the function depends on, and nothing is kept."""
    try:
        identity = f"cuda\n{source or ''}\n{fingerprint(function)}\n{how}"
    except Unknown:
        return None
    return f"{function.__name__}-{hashlib.sha256(identity.encode()).hexdigest()[:40]}.cubin"
