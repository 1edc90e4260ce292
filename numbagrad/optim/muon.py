"""Muon."""

from __future__ import annotations

import math
from typing import Any, Callable, Iterable

from ..dtypes import bfloat16
from ..ops.matmul import addmm
from ..tensor import Tensor
from .optimizer import ParameterOptimizer, check_rate, filled_like

# The quintic's coefficients, from the method's description: steep at 0 rather than exact at 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ADJUSTMENTS: dict[str, Callable[[int, int], float]] = {
    "original": lambda rows, columns: math.sqrt(max(1.0, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
}


def _orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """``matrix`` with all singular values brought near 1, by ``x = a x + (b g + c g g) x`` with ``g = x xᵀ``, in bfloat16."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(bfloat16)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = addmm(x, addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(ParameterOptimizer):
    """``b = momentum b + (1 - momentum) g``, ``p = p (1 - lr weight_decay) - lr' O``, where O is b (``nesterov``: g moved towards b) with its singular values
    brought near 1 by ``ns_steps`` Newton-Schulz iterations.  For the matrices of hidden layers; other parameters go to another optimizer.

    ``lr' = lr sqrt(max(1, rows / columns))``, or with ``adjust_lr_fn="match_rms_adamw"`` ``0.2 lr sqrt(max(rows, columns))``.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); J. Liu et al., "Muon is scalable for LLM training" (2025).
    Raises ValueError for hyperparameters out of their range and for parameters that are not matrices.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = _COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        if isinstance(lr, Tensor):
            check_rate(lr)
        for label, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if not float(value) >= 0.0:
                raise ValueError(f"{label} should be >= 0 but is: {value}")
        if adjust_lr_fn is not None and adjust_lr_fn not in _ADJUSTMENTS:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}")

    def _update(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        if group["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        state, momentum, lr = self.state[p], group["momentum"], float(group["lr"])
        if not state:
            state["momentum_buffer"] = filled_like(grad)
        buffer = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        direction = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        step = _orthogonalized(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
        adjusted = lr * _ADJUSTMENTS[group["adjust_lr_fn"] or "original"](*p.shape)
        p.mul_(1 - lr * group["weight_decay"])
        p.add_(step.to(p.dtype), alpha=-adjusted)
