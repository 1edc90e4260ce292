"""What operations share: their arguments as tensors, their results in place or in ``out``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.mode import state
from ..kernels import copy as copy_kernels
from ..tensor import Tensor
from ._inplace import check_writable, overwrite
from ._out import into


def scalar_array(value: Any, dtype: np.dtype) -> Any:
    """A Python number as a 0-d array.  RuntimeError where ``dtype`` cannot hold it."""
    if type(value) is float and dtype.kind == "f" and -65504.0 <= value <= 65504.0:  # most frequent, and every such dtype can hold it
        return np.array(value, dtype)
    array = np.empty((), dtype)
    copy_kernels.fill(array, value)
    return array


def is_recorded(*tensors: Any) -> bool:
    """Whether an operation on ``tensors`` is recorded now."""
    if state.recording:
        for t in tensors:
            # Most are neither results nor leaves nor views, and need not be asked.
            if isinstance(t, Tensor) and (t._node is not None or t._requires_grad or (t._base is not None and t.requires_grad)):
                return True
    return False


def tensor_argument(value: Any, op: str, name: str) -> Tensor:
    """``value``, if it is a tensor; TypeError otherwise."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}(): argument '{name}' must be Tensor, not {type(value).__name__}")
    return value


def tensors_of(op: str, **arguments: Any) -> None:
    """TypeError, as PyTorch, where one of the arguments is no tensor."""
    for position, (name, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, Tensor):
            raise TypeError(f"{op}(): argument '{name}' (position {position}) must be Tensor, not {type(value).__name__}")


def rewritten(x: Tensor, operation: Any, args: tuple[Any, ...], op: str) -> Tensor:
    """``x`` overwritten with ``operation(x, *args)``, recorded."""
    check_writable(x, op)
    return overwrite(x, operation(x, *args), op)


def result_into(out: Tensor | None, result: Tensor) -> Tensor:
    """``result``, written into ``out`` if there is one."""
    return result if out is None else into(out, result)


def vector(entry: Tensor) -> Tensor:
    """A 0-d index as one of a single element, which broadcasts the same."""
    return entry if entry._data.ndim else entry.reshape(1)  # type: ignore[attr-defined]
