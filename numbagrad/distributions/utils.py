"""What the distributions share: parameters that broadcast, probabilities and logits, attributes computed when first asked for, packed triangles."""

from __future__ import annotations

import functools
from typing import Any, Callable

from ..autograd import enable_grad
from ..creation import arange, tensor
from ..dtypes import finfo, get_default_dtype
from ..ops.random import randn
from ..ops.softmax import softmax
from ..ops.views import broadcast_tensors
from ..tensor import Tensor

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs", "probs_to_logits", "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060
NUMBERS = (bool, int, float)


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """The values as tensors of one shape.  Numbers get the dtype and device of the first tensor, or the default dtype.

    Raises ValueError for what is neither a number nor a tensor.
    """
    if not all(isinstance(v, (Tensor, *NUMBERS)) for v in values):
        kinds = ", ".join(type(v).__name__ for v in values)
        raise ValueError(f"Input arguments must all be instances of Number or Tensor, but got {kinds}")
    first = next((v for v in values if isinstance(v, Tensor)), None)
    options = {"dtype": get_default_dtype()} if first is None else {"dtype": first.dtype, "device": first.device}
    return tuple(broadcast_tensors(*[v if isinstance(v, Tensor) else tensor(v, **options) for v in values]))


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """Numbers of the standard normal distribution, of the dtype and on the device of ``like``."""
    return randn(tuple(shape), dtype=like.dtype, device=like.device)


def sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """The sum over the last ``dim`` dimensions."""
    return value if dim == 0 else value.reshape((*value.shape[:-dim], -1)).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """The softmax over the last dimension, or where ``is_binary`` the sigmoid."""
    return logits.sigmoid() if is_binary else softmax(logits, dim=-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """``probs`` limited to [eps, 1 - eps], eps being the dtype's."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """log p, or where ``is_binary`` log p − log(1 − p); p is kept an eps away from 0 and 1."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


class lazy_property:
    """An attribute that a method computes when it is first asked for, recorded even where gradients are off, and that is then kept."""

    def __init__(self, wrapped: Callable[[Any], Any]):
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def _triangle(n: int, diag: int, like: Tensor) -> Tensor:
    """Which elements of an n x n matrix lie on or below diagonal ``diag``."""
    steps = arange(n, device=like.device)
    return steps < steps.reshape(-1, 1) + (diag + 1)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """[..., n, n] -> [..., m]: the elements on and below diagonal ``diag``, row by row.  Raises ValueError for a diagonal outside the matrix."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _triangle(n, diag, mat)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """[..., m] -> [..., n, n]: the inverse of ``tril_matrix_to_vec``, zeros elsewhere.  Raises ValueError where m fills no such triangle."""
    m, shift = vec.shape[-1], 1 + 2 * diag
    exact = (-shift + (shift**2 + 8 * m + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    n = round(exact)
    if abs(n - exact) > 1e-6:
        raise ValueError(
            f"The size of last dimension is {m} which cannot be expressed as the lower triangular part of a square D x D matrix."
        )
    mat = vec.new_zeros((*vec.shape[:-1], n, n))
    mat[..., _triangle(n, diag, vec)] = vec
    return mat
