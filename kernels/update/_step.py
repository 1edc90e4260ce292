"""What every step begins with: which device runs it, and the parts that its arrays fall into."""

from __future__ import annotations

from typing import Any, Sequence

from .._device import family
from ._plan import Part, Plan, parts_of

on = family(__package__)


def parts_for(op: str, plan: Plan | None, params: Sequence[Any], grads: Sequence[Any], **states: Sequence[Any]) -> list[Part]:
    """The parts of a step's arrays.  Raises RuntimeError as the family says."""
    if len(grads) != len(params):
        raise RuntimeError(f"{op}: expected {len(params)} gradients, but got {len(grads)}")
    return parts_of(on, op, plan, params, states, 1)


def sign_of(maximize: bool) -> float:
    """What a gradient is multiplied by to step along it."""
    return -1.0 if maximize else 1.0


def decays(lr: float, weight_decay: float, decoupled: bool) -> tuple[float, float]:
    """The weight decay that goes through the gradient, and what the parameter is multiplied by."""
    return (0.0, 1.0 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
