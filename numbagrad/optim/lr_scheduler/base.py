"""What every learning-rate schedule is: rates of an optimizer's groups by epoch, and saving and loading of it."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import Any, Iterator

from ...tensor import Tensor
from ..optimizer import Optimizer

EPOCH_IS_DEPRECATED = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
    "Please use `scheduler.step()` to step the scheduler."
)


def values(optimizer: Optimizer, key: str) -> list[Any]:
    """An option of every group; tensors as copies."""
    return [group[key].clone() if isinstance(group[key], Tensor) else group[key] for group in optimizer.param_groups]


def set_rate(group: dict[str, Any], lr: Any) -> None:
    """Set a group's learning rate; one that is a tensor is overwritten in place."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(lr))  # type: ignore[attr-defined]
    else:
        group["lr"] = lr


def check_optimizer(optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


class LRScheduler:
    """Base of schedules: a subclass defines ``get_lr``, the rates of all groups for ``self.last_epoch``.

    ``last_epoch`` other than -1 continues an earlier schedule; every group must then have its ``"initial_lr"`` (KeyError otherwise).
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with last_epoch >= 0")
        self.base_lrs = values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._begin()

    def state_dict(self) -> dict[str, Any]:
        """Everything the schedule knows but its optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step set, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates for ``self.last_epoch``; called by ``step``.  To look a rate up use ``get_last_lr``."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, and set its rates."""
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_IS_DEPRECATED, UserWarning, stacklevel=2)
        self._go_to(epoch)

    def _go_to(self, epoch: int | None = None) -> None:
        """Set the rates of ``epoch``, or of the next one."""
        with self._within_step():
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                rates = self.get_lr() if closed is None else closed()
        for group, lr in zip(self.optimizer.param_groups, rates):
            set_rate(group, lr)
        self._last_lr = values(self.optimizer, "lr")

    def _begin(self) -> None:
        """The first step, which the constructor takes."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    @contextmanager
    def _within_step(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _check_order(self) -> None:
        """Warn if the first epoch ends without a step of the optimizer: the first rate would go unused."""
        if getattr(self.optimizer, "_stepped", False):
            return
        if "step" in self.optimizer.__dict__:
            message = (
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`."
            )
        else:
            message = (
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the opposite order: "
                "`optimizer.step()` before `lr_scheduler.step()`. Failure to do this skips the first value of the learning rate schedule."
            )
        warnings.warn(message, UserWarning, stacklevel=3)

    def _rates(self, factor: float = 1.0) -> list[Any]:
        """The rates in force times ``factor``, for ``get_lr``."""
        if not self._get_lr_called_within_step:
            warnings.warn("To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", UserWarning, stacklevel=3)
        return values(self.optimizer, "lr") if factor == 1.0 else [group["lr"] * factor for group in self.optimizer.param_groups]
