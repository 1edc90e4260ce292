"""Adadelta."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_not_negative, check_rate, column, gradients


class Adadelta(FusedOptimizer):
    """``s = rho s + (1 - rho) g^2``, ``d = sqrt(u + eps) / sqrt(s + eps) g``, ``u = rho u + (1 - rho) d^2``, ``p = p - lr d``.

    ``g = grad + weight_decay p``.  M. D. Zeiler, "ADADELTA: an adaptive learning rate method" (2012).
    Raises ValueError for a negative hyperparameter and for ``rho`` outside [0, 1].
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_rate(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative(eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        states = self._states(params, "square_avg", "acc_delta")
        advance(state["step"] for state in states)
        update.adadelta(
            arrays(params),
            gradients(params),
            column(states, "square_avg"),
            column(states, "acc_delta"),
            lr=float(group["lr"]),
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=float(group["weight_decay"]),
            maximize=group["maximize"],
            plan=plan,
        )
