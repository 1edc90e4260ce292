"""Helpers for training: gradient clipping, parameters as one vector."""

from __future__ import annotations

from typing import Any, Iterable

from ...autograd.mode import no_grad
from ...ops.copy import cat, stack
from ...tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in tensors if p.grad is not None]


def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all elements of ``tensors`` together.  Raises RuntimeError, if asked to, where it is not finite."""
    each = list(tensors)
    if not each:
        from ...creation import zeros

        return zeros(())
    norms = stack([t.detach().norm(float(norm_type)) for t in each])  # type: ignore[attr-defined]
    total = norms.norm(float(norm_type))
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped. "
            "To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """Scale the gradients so that their norm together is at most ``max_norm``; returns the norm before."""
    grads = _gradients(parameters)
    with no_grad():
        total = get_total_norm(grads, norm_type, error_if_nonfinite)
        scale = min(float(max_norm) / (total.item() + 1e-6), 1.0) if grads else 1.0
        for grad in grads:
            grad.mul_(scale)  # type: ignore[attr-defined]
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: Any = None) -> None:
    """Limit each element of the gradients to [−clip_value, clip_value]."""
    with no_grad():
        for grad in _gradients(parameters):
            grad.clamp_(-float(clip_value), float(clip_value))  # type: ignore[attr-defined]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector."""
    return cat([p.reshape(-1) for p in parameters])  # type: ignore[attr-defined]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the pieces of ``vec`` into the parameters.  Raises TypeError for what is not a tensor."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected numbagrad.Tensor, but got: {type(vec)}")
    start = 0
    for p in parameters:
        n = p.numel()
        p.data = vec[start : start + n].reshape(tuple(p.shape)).detach().clone()  # type: ignore[index,attr-defined]
        start += n


__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm", "parameters_to_vector", "vector_to_parameters"]
