"""The arrays, numbers and strings in a pickle of older Python, read without running what is in it: ``torch_files`` has the machine, here are NumPy's names."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ...torch_files import _Call, _Machine, _Refused


class _Array:
    """An array whose contents come after it is made."""

    def __init__(self, *_: Any) -> None:
        self.array: Any = None

    def fill(self, version: Any, shape: Any, dtype: Any, fortran: bool, data: Any) -> None:
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(dtype, _Kind) or not isinstance(raw, bytes):
            raise ValueError("an array without a dtype or without bytes")
        self.array = np.frombuffer(raw, dtype.dtype).reshape(shape, order="F" if fortran else "C").copy()


class _Kind:
    """The dtype of an array: plain numbers alone."""

    def __init__(self, code: str, *_: Any):
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biuf":
            raise _Refused(f"it contains arrays of {self.dtype}, which are not read")

    def fill(self, version: Any, order: str, *_: Any) -> None:
        if order not in tuple("<>=|"):
            raise ValueError(f"a dtype of byte order {order!r}")
        self.dtype = np.dtype(order + self.dtype.str[1:])


_NDARRAY = object()
_MULTIARRAY = _Call("array", _Array)
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _MULTIARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _MULTIARRAY,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Call("dtype", _Kind),
    ("_codecs", "encode"): _Call("bytes", lambda text, _: text.encode("latin1")),
}


class _Arrays(_Machine):
    def __init__(self) -> None:
        super().__init__(lambda _: None)

    def _find(self, module: str, name: str) -> None:
        if (module, name) not in _NAMES:
            raise _Refused(f"it contains {module}.{name}, which is not read")
        self.stack.append(_NAMES[module, name])

    def _global(self, names: str) -> None:
        self._find(*names.split(" ", 1))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._find(module, name)

    def _build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, (_Array, _Kind)) or not isinstance(state, tuple):
            raise _Refused(f"it sets attributes of a {type(target).__name__}, which is not read")
        target.fill(*state)

    def _binpersid(self, _: Any) -> None:
        raise _Refused("it refers to objects outside of it, which is not read")


def _plain(value: Any) -> Any:
    """``value`` with its arrays as such, and its keys as text."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, dict):
        return {(key.decode("latin1") if isinstance(key, bytes) else key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [entry.decode("latin1") if isinstance(entry, bytes) else _plain(entry) for entry in value]
    return value


def read(path: Path) -> dict[str, Any]:
    """The dictionary in the pickle at ``path``.  Raises RuntimeError, which names the file, for one that is damaged or holds anything else."""
    try:
        found = _plain(_Arrays().run(io.BytesIO(path.read_bytes())))
    except _Refused as error:
        raise RuntimeError(f"{path}: {error}") from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, EOFError, OverflowError) as error:
        raise RuntimeError(f"{path} is damaged: {error!r}") from None
    if not isinstance(found, dict):
        raise RuntimeError(f"{path} holds a {type(found).__name__}; expected a dictionary")
    return found
