"""What the index family's checks share."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from .. import _dtypes
from .._device import device_of, family, on_cpu
from ..copy import cast, contiguous, copy_into, transfer

on = family(__package__)

Index = Sequence[Any]


def int64(index: Any, op: str, error: type[Exception] = RuntimeError) -> Any:
    """``index`` as a contiguous int64 array; PyTorch takes int32 and int64."""
    if index.dtype == np.int64:
        return index if index.flags.c_contiguous else contiguous(index)
    if index.dtype != np.int32:
        raise error(f"{op}: expected dtype int32 or int64 for index, but got {_dtypes.name(index.dtype)}")
    return contiguous(cast(index, _dtypes.int64))


def same_dtype(x: Any, other: Any, op: str, name: str) -> None:
    if x.dtype != other.dtype:
        raise RuntimeError(
            f"{op}: expected {name} to have the dtype of input, {_dtypes.name(x.dtype)}, but got {_dtypes.name(other.dtype)}"
        )


def widened(x: Any, add: Callable[[Any], None]) -> None:
    """Run ``add`` on ``x``, or, for a dtype that is not added in, on a wider copy that is then written back."""
    if x.dtype in _dtypes.HALVES or x.dtype == np.bool_:
        widest = contiguous(cast(x, _dtypes.int32 if x.dtype == np.bool_ else _dtypes.float32))
        add(widest)
        copy_into(x, widest)
    else:
        add(x)


def wide(values: Any) -> Any:
    """``values`` in the dtype that ``widened`` adds in."""
    if values.dtype in _dtypes.HALVES or values.dtype == np.bool_:
        return cast(values, _dtypes.int32 if values.dtype == np.bool_ else _dtypes.float32)
    return values


def broadcast_shapes(shapes: Sequence[tuple[int, ...]], op: str, error: type[Exception] = RuntimeError) -> tuple[int, ...]:
    """The shape that all of ``shapes`` broadcast to."""
    out: list[int] = []
    for shape in shapes:
        out = [1] * (len(shape) - len(out)) + out
        for j in range(1, len(shape) + 1):
            if out[-j] != shape[-j]:
                if out[-j] != 1 and shape[-j] != 1:
                    listed = ", ".join(str(list(s)) for s in shapes)
                    raise error(f"{op}: shape mismatch: tensors could not be broadcast together with shapes {listed}")
                out[-j] = shape[-j] if out[-j] == 1 else out[-j]
    return tuple(out)


def expand(x: Any, shape: Sequence[int]) -> Any:
    """``x`` seen in ``shape``, to which it broadcasts."""
    return x if x.shape == tuple(shape) else on(x).expand(x, shape)


def beside(x: Any, arrays: Index) -> Index:
    """Indices, and single values, for ``x`` of a GPU: those of the host are copied there.  Others have to be there."""
    here = device_of(x)
    return tuple([transfer(a, here) if a is not None and on_cpu(a) else a for a in arrays])


def at_least_1d(*arrays: Any) -> list[Any]:
    return [a if a.ndim else a.reshape(1) for a in arrays]


def check_unshared(x: Any, op: str) -> None:
    if not x.flags.c_contiguous and any(stride == 0 and n > 1 for stride, n in zip(x.strides, x.shape)):
        raise RuntimeError(
            f"{op}: unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
