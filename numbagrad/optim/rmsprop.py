"""RMSprop."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_not_negative, check_rate, column, gradients


class RMSprop(FusedOptimizer):
    """``s = alpha s + (1 - alpha) g^2``, ``d = g / (sqrt(s) + eps)``, ``p = p - lr d``, with ``g = grad + weight_decay p``.

    ``momentum``: ``b = momentum b + d``, ``p = p - lr b``.  ``centered``: the square of the running mean of g is taken from s under the
    root.

    T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", COURSERA Neural Networks for Machine Learning (2012); the centered form: A. Graves,
    "Generating sequences with recurrent neural networks" (2013).  Raises ValueError for a negative hyperparameter.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_rate(lr)
        check_not_negative(eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("momentum", 0)
            group.setdefault("centered", False)

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        buffered, centered = group["momentum"] > 0, group["centered"]
        names = "square_avg", *(("momentum_buffer",) if buffered else ()), *(("grad_avg",) if centered else ())
        states = self._states(params, *names)
        advance(state["step"] for state in states)
        update.rmsprop(
            arrays(params),
            gradients(params),
            column(states, "square_avg"),
            column(states, "grad_avg") if centered else None,
            column(states, "momentum_buffer") if buffered else None,
            lr=float(group["lr"]),
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=float(group["weight_decay"]),
            momentum=float(group["momentum"]),
            maximize=group["maximize"],
            plan=plan,
        )
