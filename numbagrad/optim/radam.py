"""RAdam."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_betas, check_not_negative, check_rate, column, gradients


class RAdam(FusedOptimizer):
    """Adam that divides by the spread of the gradients only once enough of them were seen, and then as far as their number allows.

    With ``r = 2 / (1 - beta2) - 1`` and ``r_t = r - 2 t beta2^t / (1 - beta2^t)``: ``p = p - lr m'`` while ``r_t <= 5``, then Adam's step times
    ``sqrt((r_t - 4)(r_t - 2) r / ((r - 4)(r - 2) r_t))``.  ``decoupled_weight_decay`` shrinks p by ``1 - lr weight_decay`` instead of adding to the gradient.

    L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020.
    Raises ValueError for a negative hyperparameter and for ``betas`` outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
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
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("decoupled_weight_decay", False)

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        states = self._states(params, "exp_avg", "exp_avg_sq")
        update.radam(
            arrays(params),
            gradients(params),
            column(states, "exp_avg"),
            column(states, "exp_avg_sq"),
            advance(state["step"] for state in states),
            lr=float(group["lr"]),
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=float(group["weight_decay"]),
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
            plan=plan,
        )
