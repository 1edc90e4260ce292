"""NAdam."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import (
    FusedOptimizer,
    advance,
    arrays,
    check_betas,
    check_not_negative,
    check_rate,
    column,
    filled_like,
    gradients,
    new_step,
)


class NAdam(FusedOptimizer):
    """Adam with Nesterov's momentum: ``p = p - lr ((1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) m) / (sqrt(v') + eps)``.

    ``mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)``, M their product, m, v' and the weight decay as Adam's; ``decoupled_weight_decay`` shrinks p by
    ``1 - lr weight_decay`` instead.

    T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop.
    Raises ValueError for a negative hyperparameter and for ``betas`` outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_rate(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("decoupled_weight_decay", False)
        for value in self.state.values():
            if isinstance(value.get("mu_product"), (int, float)):
                value["mu_product"] = new_step(value["mu_product"])

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                moments = {name: filled_like(p) for name in ("exp_avg", "exp_avg_sq")}
                self.state[p].update(step=new_step(), mu_product=new_step(1.0), **moments)
        states = [self.state[p] for p in params]
        beta1, beta2 = group["betas"]
        steps = advance(state["step"] for state in states)
        mus = []
        for state, t in zip(states, steps):
            now, later = (beta1 * (1.0 - 0.5 * 0.96 ** (k * group["momentum_decay"])) for k in (t, t + 1.0))
            product = state["mu_product"]._data
            product *= product.dtype.type(now)  # rounded as a tensor of that dtype is
            mus.append((now, later, product.item()))
        update.nadam(
            arrays(params),
            gradients(params),
            column(states, "exp_avg"),
            column(states, "exp_avg_sq"),
            mus,
            steps,
            lr=float(group["lr"]),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=float(group["weight_decay"]),
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
            plan=plan,
        )
