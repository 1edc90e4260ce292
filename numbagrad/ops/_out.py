"""``out=``: a result written into tensors that the caller holds, by PyTorch's rules.

A result of several tensors takes as many; what is returned are the tensors of ``out``.  One of another shape is resized, with a warning unless it is
empty.  Nothing of this is recorded.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..autograd.mode import state
from ..kernels import _dtypes
from ..tensor import Tensor
from ._inplace import overwrite


def into(out: Any, value: Tensor, op: str = "") -> Tensor:
    """``out``, holding ``value``.  Raises TypeError for what is no tensor, RuntimeError for a dtype that ``value`` does not convert to (a float to an
    integer, a complex number to a real one), another device, or where a graph is recorded and one of them requires a gradient.
    """
    called = _called(op)
    if not isinstance(out, Tensor):
        raise TypeError(f"{called}argument 'out' must be Tensor, not {type(out).__name__}")
    if state.recording and (out.requires_grad or value.requires_grad):
        raise RuntimeError(
            f"{called}functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
        )
    if _dtypes.category(value._data.dtype) > _dtypes.category(out._data.dtype):
        raise RuntimeError(
            f"{called}result type {_dtypes.title(value._data.dtype)} can't be cast to the desired output type {_dtypes.title(out._data.dtype)}"
        )
    if out.device != value.device:
        raise RuntimeError(f"{called}Expected out tensor to have device {value.device}, but got {out.device} instead")
    if out._data.shape != value._data.shape:
        if out._data.size:
            warnings.warn(
                f"{called}An output with one or more elements was resized since it had shape {list(out.shape)}, which does not match the required "
                f"output shape {list(value.shape)}. Resize it to zero elements first, with out.resize_(0), where that is what you want.",
                stacklevel=4,
            )
        out.resize_(value.shape)  # type: ignore[attr-defined]
    return overwrite(out, value, "out=")


def _called(op: str) -> str:
    return f"{op}(): " if op else ""


def results_into(out: Any, results: Any, op: str = "") -> Any:
    """``results``, or the tensors of a tuple of them, written into ``out`` if there is one.  Raises TypeError for another number of tensors."""
    if out is None:
        return results
    if not isinstance(results, tuple):
        return into(out, results, op)
    if not isinstance(out, (tuple, list)):
        raise TypeError(f"{_called(op)}argument 'out' must be tuple of Tensors, not {type(out).__name__}")
    if len(out) != len(results):
        raise TypeError(f"{_called(op)}out= takes {len(results)} tensors, but got {len(out)}")
    made = [into(target, y, op) for target, y in zip(out, results)]
    return type(results)(*made) if hasattr(results, "_fields") else tuple(made)
