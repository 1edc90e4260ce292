"""Adam."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_not_negative, check_rate, column, gradients


class Adam(FusedOptimizer):
    """``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g^2``, ``p = p - lr m' / (sqrt(v') + eps)``.

    ``m' = m / (1 - beta1^t)`` and ``v' = v / (1 - beta2^t)`` after t steps, and ``g = grad + weight_decay p`` unless
    ``decoupled_weight_decay``, which shrinks p by ``1 - lr weight_decay`` instead.  ``amsgrad`` uses the largest v so far; ``maximize``
    goes up the gradient.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    Raises ValueError for negative ``lr``, ``eps`` or ``weight_decay`` and for ``betas`` outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        check_rate(lr)
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_not_negative(eps=eps)
        for i, beta in enumerate(betas):
            if isinstance(beta, Tensor) and beta.numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")
            if not 0.0 <= float(beta) < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        check_not_negative(weight_decay=weight_decay)
        if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
            raise ValueError("betas must be either both floats or both Tensors")
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for option in ("amsgrad", "decoupled_weight_decay"):
                group.setdefault(option, False)

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        amsgrad = group["amsgrad"]
        states = self._states(params, "exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if amsgrad else ()))
        beta1, beta2 = group["betas"]
        update.adam(
            arrays(params),
            gradients(params),
            column(states, "exp_avg"),
            column(states, "exp_avg_sq"),
            column(states, "max_exp_avg_sq") if amsgrad else None,
            advance(state["step"] for state in states),
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            eps=group["eps"],
            weight_decay=float(group["weight_decay"]),
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
            plan=plan,
        )
