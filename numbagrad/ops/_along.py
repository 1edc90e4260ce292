"""What the gradients of selections and scans are made of: elements picked and put along one dim, neighbours shifted, named pairs."""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Sequence

from ..kernels import copy as copy_kernels
from ..kernels import index as index_kernels
from ..kernels._device import device_of
from ..tensor import Tensor
from ._operation import differentiable


def _put(x: Any, index: Any, shape: tuple[int, ...], dim: int) -> Any:
    out = copy_kernels.zeros(shape, x.dtype, x)
    if x.ndim == 0:
        copy_kernels.copy_into(out, x)
    else:
        index_kernels.scatter_into(out, dim, index, x)
    return out


def _pick(x: Any, index: Any, dim: int) -> Any:
    return copy_kernels.clone(x) if x.ndim == 0 else index_kernels.gather(x, dim, index)


# pick(x, index, dim): x[..., index[...], ...] along dim.  put(x, index, shape, dim): zeros of ``shape`` with x at those places, none of
# which may occur twice along dim.  Each is the gradient of the other.
pick = differentiable("pick", _pick, x=lambda g, x_shape, index, dim: put(g, index, x_shape, dim))
put = differentiable("put", _put, x=lambda g, index, dim: pick(g, index, dim))


def _shifted(x: Any, dim: int, step: int, fill: float) -> Any:
    out = copy_kernels.empty(x.shape, x.dtype, device_of(x))
    copy_kernels.fill(out, fill)
    if x.ndim == 0:
        return out
    later = (slice(None),) * dim + (slice(1, None),)
    earlier = (slice(None),) * dim + (slice(None, -1),)
    to, source = (later, earlier) if step > 0 else (earlier, later)
    copy_kernels.copy_into(out[to], x[source])
    return out


# y_j = x_{j-step} along dim for step 1 or -1, and ``fill`` at the end that this leaves open.
shift = differentiable("shift", _shifted, x=lambda g, dim, step: shift(g, dim, -step, 0.0))


def kept(t: Tensor, x_shape: Sequence[int], dims: Sequence[int]) -> Tensor:
    """The result of reducing ``dims`` of ``x_shape``, with those dims as 1."""
    shape = tuple(1 if j in dims else s for j, s in enumerate(x_shape))
    return t if tuple(t.shape) == shape else t.reshape(shape)


def named_result(name: str, *fields: str) -> Any:
    """A named tuple that prints as PyTorch's return types do."""

    def show(self: Any) -> str:
        return f"numbagrad.return_types.{name}(\n" + ",\n".join(f"{f}={v!r}" for f, v in zip(fields, self)) + ")"

    kind: Any = namedtuple(name, fields)  # type: ignore[misc]
    kind.__repr__ = show
    kind.__module__ = __name__
    globals()[name] = kind  # where pickle looks for it
    return kind
