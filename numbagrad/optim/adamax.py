"""Adamax."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_betas, check_not_negative, check_rate, column, gradients


class Adamax(FusedOptimizer):
    """``m = beta1 m + (1 - beta1) g``, ``u = max(beta2 u, |g| + eps)``, ``p = p - lr / (1 - beta1^t) m / u``: Adam with the largest gradient for the spread.

    ``g = grad + weight_decay p``.  D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7.
    Raises ValueError for a negative hyperparameter and for ``betas`` outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_rate(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        states = self._states(params, "exp_avg", "exp_inf")
        update.adamax(
            arrays(params),
            gradients(params),
            column(states, "exp_avg"),
            column(states, "exp_inf"),
            advance(state["step"] for state in states),
            lr=float(group["lr"]),
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=float(group["weight_decay"]),
            maximize=group["maximize"],
            plan=plan,
        )
