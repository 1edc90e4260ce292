"""Adagrad."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_not_negative, check_rate, column, filled_like, gradients, new_step


class Adagrad(FusedOptimizer):
    """``s = s + g^2``, ``p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)``, with ``g = grad + weight_decay p``.

    s starts at ``initial_accumulator_value``.  J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 12 (2011).  Raises ValueError for a negative hyperparameter.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_rate(lr)
        check_not_negative(lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        start = param_group["initial_accumulator_value"]
        for p in param_group["params"]:
            self.state[p] = {"step": new_step(), "sum": filled_like(p, complex(start, start) if p.is_complex() else start)}

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        states = [self.state[p] for p in params]
        update.adagrad(
            arrays(params),
            gradients(params),
            column(states, "sum"),
            advance(state["step"] for state in states),
            lr=float(group["lr"]),
            lr_decay=group["lr_decay"],
            weight_decay=float(group["weight_decay"]),
            eps=group["eps"],
            maximize=group["maximize"],
            plan=plan,
        )
