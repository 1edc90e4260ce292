"""Adafactor."""

from __future__ import annotations

from typing import Any, Iterable

from ..dtypes import finfo
from ..tensor import Tensor
from .optimizer import ParameterOptimizer, advance, check_rate, filled_like, new_step


class Adafactor(ParameterOptimizer):
    """Adaptive steps whose second moments of a matrix are kept as one vector of rows and one of columns.

    With ``b = t^beta2_decay``, ``R += b (row means of g^2 - R)``, ``C += b (column means of g^2 - C)``: ``V = R C / mean(R)`` (of a vector V itself is kept),
    ``u = g / max(sqrt(V), eps[0])``, ``p = p - max(eps[1], rms(p)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d)``, after ``p = p (1 - lr weight_decay)``.
    ``eps[0]`` is by default the dtype's machine epsilon.

    N. Shazeer and M. Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018.
    Raises ValueError for hyperparameters out of their range, RuntimeError for complex parameters.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        if isinstance(lr, Tensor):
            check_rate(lr)
        if not float(lr) >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        for k, value in enumerate(eps, 1):
            if value is not None and not value >= 0.0:
                raise ValueError(f"epsilon{k} should be >= 0 but is: {value}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("foreach", None)

    def _update(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = new_step()
            if grad.dim() > 1:
                state["row_var"] = grad.new_zeros((*grad.shape[:-1], 1))
                state["col_var"] = grad.new_zeros((*grad.shape[:-2], 1, grad.shape[-1]))
            else:
                state["variance"] = filled_like(p)
        grad = -grad if group["maximize"] else grad
        lr, floor = float(group["lr"]), group["eps"][0]
        floor = finfo(p.dtype).eps if floor is None else floor
        (t,) = advance([state["step"]])
        rate = max(group["eps"][1], _root_mean_square(p)) * min(lr, t**-0.5)
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        step = grad * _second_moment(state, grad, t ** group["beta2_decay"], floor).clamp_(min=floor * floor).rsqrt_()
        p.add_(step, alpha=-rate / max(1.0, _root_mean_square(step) / group["d"]))


def _root_mean_square(x: Tensor) -> float:
    return x.norm(2).item() / x.numel() ** 0.5


def _second_moment(state: dict[str, Any], grad: Tensor, weight: float, floor: float) -> Tensor:
    """The estimate of g^2 after taking ``grad`` into account, as a tensor of its own."""
    square = grad * grad
    if "variance" in state:
        return state["variance"].lerp_(square, weight).clone()
    rows = state["row_var"].lerp_(square.mean(-1, keepdim=True), weight)
    columns = state["col_var"].lerp_(square.mean(-2, keepdim=True), weight)
    return (rows @ columns).div_(rows.mean(-2, keepdim=True).clamp_(min=floor))
