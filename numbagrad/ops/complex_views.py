"""Views of complex tensors: their parts, and the pairs of real numbers that they are."""

from __future__ import annotations

import numpy as np

from ..kernels import _dtypes
from ..tensor import Tensor
from ._attach import public
from ._view import view_operation
from .copy import stack
from .views import broadcast_tensors

_real_op = view_operation("real", lambda x: x.real, lambda g: g)  # the walk casts it to the complex dtype
_imag_op = view_operation("imag", lambda x: x.imag, lambda g: g * 1j)


def _pairs(x: np.ndarray) -> np.ndarray:
    return x[..., None].view(_dtypes.real_dtype(x.dtype))


def _joined(x: np.ndarray) -> np.ndarray:
    return x.view(_dtypes.complex_dtype(x.dtype))[..., 0]


_as_real = view_operation("view_as_real", _pairs, lambda g: view_as_complex(g))
_as_complex = view_operation("view_as_complex", _joined, lambda g: _as_real(g))


def _is_complex(x: Tensor) -> bool:
    return x._data.dtype.kind == "c"


@public(method=False)
def real(input: Tensor) -> Tensor:
    """The real part, as a view; a real tensor as it is."""
    return _real_op(input) if _is_complex(input) else input


@public(method=False)
def imag(input: Tensor) -> Tensor:
    """The imaginary part, as a view.  Raises RuntimeError for a real tensor."""
    if not _is_complex(input):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _imag_op(input)


@public(method=False)
def view_as_real(input: Tensor) -> Tensor:
    """A view with a last dimension of size 2: the real and the imaginary part.  Raises RuntimeError for a real tensor."""
    if not _is_complex(input):
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _as_real(input)


@public(method=False)
def view_as_complex(input: Tensor) -> Tensor:
    """A complex view of pairs in the last dimension.  Raises RuntimeError where it is not of size 2 or not contiguous."""
    if input.dtype.name not in ("float32", "float64"):
        raise RuntimeError(
            f"view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: {input.dtype.title}"
        )
    if input.ndim == 0 or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if input.numel() and input.stride(-1) != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(step % 2 for step in input.stride()[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input.storage_offset() % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return _as_complex(input)


Tensor.real = property(real, lambda self, value: real(self).copy_(value), doc=real.__doc__)  # type: ignore[attr-defined]
Tensor.imag = property(imag, lambda self, value: imag(self).copy_(value), doc=imag.__doc__)  # type: ignore[attr-defined]


@public(method=False, name="complex", out=True)
def joined(real: Tensor, imag: Tensor) -> Tensor:
    """real + i · imag.  Raises RuntimeError for dtypes that are not float32 or float64, or not the same."""
    if real.dtype is not imag.dtype:
        raise RuntimeError(f"Expected object of scalar type {real.dtype.title} but got scalar type {imag.dtype.title} for second argument")
    if real.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {real.dtype.title} and {imag.dtype.title}")
    return view_as_complex(stack(broadcast_tensors(real, imag), -1))
