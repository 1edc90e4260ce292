"""What the linear algebra operations share: checks of their arguments, the batch in front of their matrices, errors, results with names."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ...kernels import _dtypes
from ...kernels import copy as copy_kernels
from ...kernels._device import device_of
from ...kernels.linalg import LinAlgError
from ...tensor import Tensor, wrap
from .._arguments import tensors_of
from ..parts import embed_diagonal


def floating(op: str, x: Tensor) -> None:
    """Raise RuntimeError unless ``x`` is of one of the dtypes that LAPACK knows: float32, float64, complex64, complex128."""
    dtype = x._data.dtype
    if dtype in _dtypes.HALVES:
        raise RuntimeError(f"{op}: Low precision dtypes not supported. Got {_dtypes.title(dtype)}")
    if dtype.kind not in "fc":
        raise RuntimeError(f"{op}: Expected a floating point or complex tensor as input. Got {_dtypes.title(dtype)}")


def matrices(op: str, **arguments: Tensor) -> None:
    """Raise TypeError unless all are tensors, RuntimeError unless they are batches of matrices [..., m, n] of one dtype that LAPACK knows."""
    tensors_of(op.replace(".", "_"), **arguments)
    first = None
    for name, x in arguments.items():
        if x._data.ndim < 2:
            raise RuntimeError(f"{op}: The input tensor {name} must have at least 2 dimensions.")
        floating(op, x)
        if first is not None and x._data.dtype != first._data.dtype:
            raise RuntimeError(f"{op}: Expected all tensors to have the same dtype, but got {first.dtype} and {x.dtype} for {name}")
        first = first if first is not None else x


def square(op: str, **arguments: Tensor) -> None:
    """``matrices``, of as many rows as columns."""
    matrices(op, **arguments)
    for name, x in arguments.items():
        m, n = x._data.shape[-2:]
        if m != n:
            raise RuntimeError(f"{op}: {name} must be batches of square matrices, but they are {m} by {n} matrices")


def raise_first(op: str, info: Tensor, message: str) -> None:
    """Raise LinAlgError with ``message``, whose {} is the code, for the first matrix of the batch whose ``info`` is not 0."""
    codes = np.asarray(info.cpu().numpy())  # type: ignore[attr-defined]
    if not codes.any():
        return
    at = int(np.flatnonzero(codes)[0])
    where = f"(Batch element {at}): " if codes.ndim else ""
    raise LinAlgError(f"{op}: {where}{message.format(int(codes.reshape(-1)[at]))}")


def batch_of(*shapes: Sequence[int]) -> tuple[int, ...]:
    """What the batches in front of matrices of these shapes broadcast to.  Raises RuntimeError where they do not."""
    try:
        return tuple(np.broadcast_shapes(*(tuple(s)[:-2] for s in shapes)))
    except ValueError:
        shown = " and ".join(str(list(s[:-2])) for s in shapes)
        raise RuntimeError(f"The batches of the matrices, {shown}, do not broadcast") from None


def identity(n: int, like: Tensor, dtype: Any = None) -> Tensor:
    """The unit matrix [n, n] in the dtype and on the device of ``like``."""
    made = np.eye(n, dtype=like._data.dtype if dtype is None else dtype)
    return wrap(copy_kernels.transfer(made, device_of(like._data)))


def diagonal_matrix(x: Tensor) -> Tensor:
    """The matrices [..., n, n] with ``x`` [..., n] on their diagonals."""
    return embed_diagonal(x, (*x.shape, x.shape[-1]), 0, -2, -1)


def without_diagonal(x: Tensor) -> Tensor:
    """``x`` with zeros on the diagonals."""
    return x.tril(-1) + x.triu(1)  # type: ignore[attr-defined]


def diagonal_of(x: Tensor) -> Tensor:
    """The diagonals [..., n] of matrices."""
    return x.diagonal(0, -2, -1)  # type: ignore[attr-defined]


def real_of(x: Tensor) -> Tensor:
    """The real part; a real tensor as it is."""
    return x.real if x.is_complex() else x  # type: ignore[attr-defined]
