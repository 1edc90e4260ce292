"""Schedules whose rates rise as well: cosine curves that restart, triangles, one cycle.  The last two can move the momentum the other way."""

from __future__ import annotations

import math
from types import FunctionType
from typing import Any, Callable, Sequence

from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, set_rate, values


def per_group(name: str, optimizer: Optimizer, given: Any) -> list[Any]:
    """One value for each group.  Raises ValueError where their number is another."""
    groups = len(optimizer.param_groups)
    if not isinstance(given, (list, tuple)):
        return [given] * groups
    if len(given) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(given)} values, param_groups has {groups}."
        )
    return list(given)


class _WithMomentum(LRScheduler):
    """Schedules that move ``momentum``, or the first of ``betas``, between bounds which the groups hold."""

    cycle_momentum: bool

    def _bound_momentum(self, base: Any, largest: Any, first: bool) -> None:
        """Begin with the largest momentum.  Raises ValueError for an optimizer without momentum."""
        optimizer = self.optimizer
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        self.use_beta1 = "betas" in optimizer.defaults
        bounds = per_group("base_momentum", optimizer, base), per_group("max_momentum", optimizer, largest)
        if first:
            for group, least, most in zip(optimizer.param_groups, *bounds):
                group["max_momentum"], group["base_momentum"] = most, least
                self._set_momentum(group, most)

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CosineAnnealingWarmRestarts(LRScheduler):
    """``eta_min + (base_lr - eta_min) (1 + cos(pi t / T)) / 2``, t counting from the last restart: after ``T_0`` epochs, then ``T_mult`` times as
    long each time.  ``step(epoch)`` may be given fractions of an epoch.

    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    Raises ValueError unless ``T_0`` and ``T_mult`` are positive integers.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._rates()
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Go on to the next epoch, or to ``epoch``, and set its rates.  Raises ValueError for a negative one."""
        self._step_count += 1
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._restart_at(epoch)
        self.last_epoch = math.floor(epoch)
        with self._within_step():
            rates = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, rates):
            set_rate(group, lr)
        self._last_lr = values(self.optimizer, "lr")

    def _restart_at(self, epoch: float) -> None:
        """Find the cycle that ``epoch`` is in: the n-th begins at T_0 (T_mult^n - 1) / (T_mult - 1)."""
        if epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n

    def _go_to(self, epoch: int | None = None) -> None:
        self.step(epoch)


_MODES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda gamma, x: 1.0),
    "triangular2": ("cycle", lambda gamma, x: 1 / 2.0 ** (x - 1)),
    "exp_range": ("iterations", lambda gamma, x: gamma**x),
}


class CyclicLR(_WithMomentum):
    """Triangles between ``base_lr`` and ``max_lr``: ``step_size_up`` steps up, ``step_size_down`` (as many by default) down.

    Their height is multiplied by 1 (``mode`` "triangular"), halved each cycle ("triangular2"), multiplied by ``gamma`` to the number of the step
    ("exp_range"), or by ``scale_fn`` of the number of the cycle or step (``scale_mode`` "cycle" or "iterations").  With ``cycle_momentum`` the momentum
    goes the other way.

    L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017.
    Raises ValueError for an unknown mode, an optimizer without momentum, and lists whose length is not the number of groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs):
                set_rate(group, lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        self.total_size = float(step_size_up) + float(step_size_up if step_size_down is None else step_size_down)
        self.step_ratio = float(step_size_up) / self.total_size
        if mode not in _MODES and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else _MODES[mode][0]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._bound_momentum(base_momentum, max_momentum, last_epoch == -1)
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """What the height of a triangle is multiplied by."""
        return _MODES[self.mode][1](self.gamma, x) if self._scale_fn_custom is None else self._scale_fn_custom(x)

    def get_lr(self) -> list[Any]:
        self._rates()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, least, most in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums):
                self._set_momentum(group, most - (most - least) * height * scale)
        return [base + (most - base) * height * scale for base, most in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of ``scale_fn``, only the attributes of a callable object."""
        state, custom = super().state_dict(), self._scale_fn_custom
        state["_scale_fn_custom"] = None if custom is None or isinstance(custom, FunctionType) else dict(custom.__dict__)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned; ``scale_fn`` stays that of the constructor."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"] is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(state_dict["_scale_fn_custom"])


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _line(start: float, end: float, part: float) -> float:
    return (end - start) * part + start


# How a value goes from a start to an end.
CURVES = {"cos": _cosine, "linear": _line}


class OneCycleLR(_WithMomentum):
    """From ``max_lr / div_factor`` up to ``max_lr`` in ``pct_start`` of the steps, then down to ``1 / final_div_factor`` of where it began.

    ``three_phase`` goes down by way of where it began.  The curve is of cosines or lines (``anneal_strategy`` "cos" or "linear"); with ``cycle_momentum``
    the momentum goes the other way.  Step it after every batch, ``total_steps`` (or ``epochs * steps_per_epoch``) times.

    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large learning rates" (2018).
    Raises ValueError for arguments out of their range, an optimizer without momentum, and a step more than there are.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 10000.0,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _count_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in CURVES:
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, float(pct_start * self.total_steps), three_phase)
        if last_epoch == -1:
            for group, most in zip(optimizer.param_groups, per_group("max_lr", optimizer, max_lr)):
                start = most / div_factor
                group.update(initial_lr=start, max_lr=most, min_lr=start / final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._bound_momentum(base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._rates()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if step <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        part = (step - start) / (phase["end_step"] - start)
        curve = CURVES[self._anneal_func_type]
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(curve(group[phase["start_lr"]], group[phase["end_lr"]], part))
            if self.cycle_momentum:
                self._set_momentum(group, curve(group[phase["start_momentum"]], group[phase["end_momentum"]], part))
        return rates


def _count_steps(total: int | None, epochs: int | None, per_epoch: int | None) -> int:
    given = {"total_steps": total} if total is not None else {"epochs": epochs, "steps_per_epoch": per_epoch}
    for name, value in given.items():
        if value is None:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())  # type: ignore[arg-type]


def _phases(total: int, rise: float, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and between which entries of a group it leads."""
    corners = [("initial_lr", "max_momentum"), ("max_lr", "base_momentum")]
    ends = [rise - 1]
    if three:
        corners.append(("initial_lr", "max_momentum"))
        ends.append(2 * rise - 2)
    corners.append(("min_lr", "max_momentum"))
    ends.append(total - 1)
    return [
        {"end_step": end, "start_lr": a[0], "end_lr": b[0], "start_momentum": a[1], "end_momentum": b[1]}
        for end, a, b in zip(ends, corners, corners[1:])
    ]
