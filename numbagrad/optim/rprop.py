"""Rprop."""

from __future__ import annotations

from typing import Any, Iterable

from ..kernels import update
from ..tensor import Tensor
from .optimizer import FusedOptimizer, advance, arrays, check_rate, column, filled_like, gradients


class Rprop(FusedOptimizer):
    """``p = p - sign(g) size``, where the size of each element's step grows by ``etas[1]`` while its gradient keeps its sign and shrinks by ``etas[0]`` where
    that changes (and the step is left out), within ``step_sizes``; it starts at ``lr``.

    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", ICNN 1993.
    Raises ValueError for a negative ``lr`` and for ``etas`` that are not in (0, 1) and above 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_rate(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        states = self._states(params, "prev")
        for p, state in zip(params, states):
            if "step_size" not in state:
                start = float(group["lr"])
                state["step_size"] = filled_like(p, complex(start, start) if p.is_complex() else start)
        advance(state["step"] for state in states)
        update.rprop(
            arrays(params),
            gradients(params),
            column(states, "prev"),
            column(states, "step_size"),
            etas=group["etas"],
            limits=group["step_sizes"],
            maximize=group["maximize"],
            plan=plan,
        )
