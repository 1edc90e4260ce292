"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, arrays, check_not_negative, check_rate, filled_like, gradients


class SGD(FusedOptimizer):
    """``g = grad + weight_decay p``, ``b = momentum b + (1 - dampening) g`` (b = g at first), ``p = p - lr b``; with nesterov ``p - lr (g
    + momentum b)``.

    ``maximize`` goes up the gradient.  ``foreach`` and ``fused`` choose among equal implementations in PyTorch; here there is one, which
    is fused. Nesterov's form is that of I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML
    2013.

    Raises ValueError for negative ``lr``, ``momentum`` or ``weight_decay``, and for ``nesterov`` without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_rate(lr)
        check_not_negative(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("nesterov", False)

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        buffers = first = None
        momentum = float(group["momentum"])
        if momentum != 0:
            states = [self.state[p] for p in params]
            first = [state.get("momentum_buffer") is None for state in states]
            if any(first):
                for p, state, new in zip(params, states, first):
                    if new:
                        state["momentum_buffer"] = filled_like(p)
            buffers = [state["momentum_buffer"]._data for state in states]
        update.sgd(
            arrays(params),
            gradients(params),
            buffers,
            first,
            lr=float(group["lr"]),
            momentum=momentum,
            dampening=float(group["dampening"]),
            weight_decay=float(group["weight_decay"]),
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            plan=plan,
        )
