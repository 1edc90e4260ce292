"""The norm of all gradients together, and gradients held below a norm or a value."""

from __future__ import annotations

import math
import warnings
from typing import Any, Iterable

from ...autograd.mode import no_grad
from ...creation import tensor
from ...kernels import copy as copy_kernels
from ...kernels import update
from ...tensor import Tensor, wrap

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in tensors if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """The norm of all elements of ``tensors`` together, as a 0-d tensor on the device of the first.  Raises RuntimeError, if asked to, where it is not
    finite; only then a GPU is waited for.

    One pass over all of them; their norms are put together in float64.
    """
    each = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not each:
        return tensor(0.0)
    order = float(norm_type)
    total = update.total_norm([t._data for t in each], order)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so it cannot be clipped. "
            "To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    kind = each[0].dtype
    return wrap(copy_kernels.cast(total, (kind.to_real() if kind.is_complex else kind).numpy))


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: Any = None) -> None:
    """Multiply the gradients by min(1, max_norm / (total_norm + 1e-6)), in one pass over all of them."""
    grads = _gradients(parameters)
    factor: Any
    if total_norm.is_cuda:
        with no_grad():
            factor = (float(max_norm) / (total_norm.detach() + 1e-6)).clamp(max=1.0)._data  # type: ignore[attr-defined]
    else:
        factor = float(max_norm) / (float(total_norm) + 1e-6)
        factor = min(factor, 1.0) if not math.isnan(factor) else factor
    if grads and (total_norm.is_cuda or factor != 1.0):
        update.scale_([grad._data for grad in grads], factor)
        for grad in grads:
            grad._bump()


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """Scale the gradients so that their norm together is at most ``max_norm``; returns the norm before."""
    each = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(each), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(each, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: Any = None) -> None:
    """Limit each element of the gradients to [−clip_value, clip_value]."""
    with no_grad():
        for grad in _gradients(parameters):
            grad.clamp_(-float(clip_value), float(clip_value))  # type: ignore[attr-defined]


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """``clip_grad_norm_`` by its older name, with a warning."""
    warnings.warn(
        "`numbagrad.nn.utils.clip_grad_norm` is now deprecated in favor of `numbagrad.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
