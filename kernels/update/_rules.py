"""Steps of optimizers as scalar rules: what becomes of one element of a parameter and of its states.  Both devices make their loops from these.

A rule is made of the real type, of ``inline`` (which compiles a helper for the device) and of the device's square root.  It takes the parameter, the
gradient and the states, then the numbers that each array has for itself, then the settings that all arrays share (the first two are always the sign of the
gradient and the weight decay), and gives the new parameter and states.  With at most two states a loop touches four arrays, which LLVM still makes vector
code of.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, NamedTuple

__all__ = ["RULES", "Rule", "shared"]


class Rule(NamedTuple):
    """``make(real, inline, root)`` gives the function; ``states`` and ``numbers`` say how many of its parameters these are."""

    make: Callable[..., Any]
    states: int
    numbers: int

    def settings(self, function: Any) -> int:
        """How many settings the function that was made takes."""
        return len(inspect.signature(function).parameters) - 2 - self.states - self.numbers


RULES: dict[str, Rule] = {}


def _rule(states: int, numbers: int) -> Callable[..., Any]:
    def declare(make: Callable[..., Any]) -> Callable[..., Any]:
        RULES[make.__name__] = Rule(make, states, numbers)
        return make

    return declare


def shared(real: Any, inline: Any) -> tuple[Any, Any]:
    """The gradient that is stepped along, and the way from a to b."""
    zero, half, one = real(0), real(0.5), real(1)

    @inline
    def gradient(g, p, sign, weight_decay):  # type: ignore[no-untyped-def]
        """Without weight decay p takes no part: it may be infinite."""
        return g * sign + weight_decay * p if weight_decay != zero else g * sign

    @inline
    def toward(a, b, weight):  # type: ignore[no-untyped-def]
        """a + weight (b - a), reckoned from the nearer end, so that weight 1 gives b exactly."""
        return a + weight * (b - a) if weight < half else b - (b - a) * (one - weight)

    return gradient, toward


@_rule(states=2, numbers=0)
def adadelta(real: Any, inline: Any, root: Any) -> Any:
    gradient, _ = shared(real, inline)

    def step(p, g, square, delta, sign, weight_decay, rate, rho, weight, eps):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        square = square * rho + weight * d * d
        moved = root(delta + eps) / root(square + eps) * d
        return p + rate * moved, square, delta * rho + weight * moved * moved

    return step


@_rule(states=2, numbers=1)
def adamax(real: Any, inline: Any, root: Any) -> Any:
    gradient, toward = shared(real, inline)

    def step(p, g, m, most, rate, sign, weight_decay, weight1, beta2, eps):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        m = toward(m, d, weight1)
        old, new = most * beta2, abs(d) + eps
        most = old if old >= new or old != old else new  # NaN of either side stays
        return p + rate * (m / most), m, most

    return step


@_rule(states=2, numbers=3)
def nadam(real: Any, inline: Any, root: Any) -> Any:
    gradient, toward = shared(real, inline)

    def step(p, g, m, v, ahead, rate, scale, sign, weight_decay, decay, weight1, beta2, weight2, eps):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        m, v = toward(m, d, weight1), v * beta2 + weight2 * d * d
        spread = root(v * scale) + eps
        return p * decay + ahead * (d / spread) + rate * (m / spread), m, v

    return step


@_rule(states=2, numbers=2)
def radam(real: Any, inline: Any, root: Any) -> Any:
    gradient, toward = shared(real, inline)
    zero = real(0)

    def step(p, g, m, v, rate, rectified, sign, weight_decay, decay, weight1, beta2, weight2, eps):  # type: ignore[no-untyped-def]
        """``rectified``: the rate of the step that is divided by the spread; 0 while too few gradients were seen to know that."""
        d = gradient(g, p, sign, weight_decay)
        m, v = toward(m, d, weight1), v * beta2 + weight2 * d * d
        moved = rate * m if rectified == zero else rectified * m / (root(v) + eps)
        return p * decay + moved, m, v

    return step


@_rule(states=2, numbers=0)
def rprop(real: Any, inline: Any, root: Any) -> Any:
    zero, one = real(0), real(1)

    def step(p, g, before, size, sign, weight_decay, shrink, grow, least, largest):  # type: ignore[no-untyped-def]
        d = g * sign
        agreed = d * before
        size = size * (grow if agreed > zero else shrink if agreed < zero else one)
        size = least if size < least else largest if size > largest else size
        d = zero if agreed < zero else d
        return p - (size if d > zero else -size if d < zero else d), d, size

    return step


@_rule(states=1, numbers=3)
def asgd(real: Any, inline: Any, root: Any) -> Any:
    gradient, _ = shared(real, inline)
    one = real(1)

    def step(p, g, average, rate, decay, weight, sign, weight_decay):  # type: ignore[no-untyped-def]
        d = gradient(g, p, sign, weight_decay)
        p = p * decay + rate * d
        return p, p if weight == one else average + (p - average) * weight

    return step
