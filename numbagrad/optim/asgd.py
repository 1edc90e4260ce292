"""ASGD."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_not_negative, check_rate, column, filled_like, gradients, new_step


class ASGD(FusedOptimizer):
    """``p = (1 - lambd eta) p - eta g`` with ``eta = lr / (1 + lambd lr t)^alpha``; from step ``t0`` on the state ``ax`` is the average of p, before that p.

    ``g = grad + weight_decay p``.  B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control and
    Optimization 30 (1992).  Raises ValueError for a negative ``lr`` or ``weight_decay``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_rate(lr)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for value in self.state.values():
            for name in ("eta", "mu"):
                if isinstance(value.get(name), (int, float)):
                    value[name] = new_step(value[name])

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        lr, lambd = float(group["lr"]), group["lambd"]
        for p in params:
            if not self.state[p]:
                self.state[p].update(step=new_step(), eta=new_step(lr), mu=new_step(1.0), ax=filled_like(p))
        states = [self.state[p] for p in params]
        etas, mus = ([state[name].item() for state in states] for name in ("eta", "mu"))
        update.asgd(
            arrays(params),
            gradients(params),
            column(states, "ax"),
            etas,
            mus,
            lambd=lambd,
            weight_decay=float(group["weight_decay"]),
            maximize=group["maximize"],
            plan=plan,
        )
        for state, t in zip(states, advance(state["step"] for state in states)):
            state["eta"]._data[()] = lr / (1.0 + lambd * lr * t) ** group["alpha"]
            state["mu"]._data[()] = 1.0 / max(1.0, t - group["t0"])
