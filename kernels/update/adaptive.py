"""Further optimizer steps, each a rule of ``_rules`` that both devices make their kernel from: the host's part of the arithmetic, once per array.

They take lists of arrays as the steps of the family do, raise the same errors, and run in one launch.
"""

from __future__ import annotations

import math
from typing import Any, Sequence

from ._plan import Plan
from ._step import decays, parts_for, sign_of

__all__ = ["adadelta", "adamax", "asgd", "nadam", "radam", "rprop"]


def _run(
    name: str,
    plan: Plan | None,
    params: Sequence[Any],
    grads: Sequence[Any],
    states: dict[str, Sequence[Any]],
    numbers: Sequence[tuple[float, ...]],
    *settings: float,
) -> None:
    """``numbers``: for each parameter those that it has for itself."""
    if numbers and len(numbers) != len(params):
        raise RuntimeError(f"{name}: expected {len(params)} steps, but got {len(numbers)}")
    for part in parts_for(name, plan, params, grads, **states):
        part.bring(name, grads)
        rows = list(map(list, zip(*part.pick(numbers)))) if numbers else []
        part.implementation.rule(name, part.table, rows, *settings)
        part.settle()


def adadelta(
    params: Sequence[Any], grads: Sequence[Any], square_avgs: Sequence[Any], acc_deltas: Sequence[Any], *,
    lr: float, rho: float, eps: float, weight_decay: float = 0.0, maximize: bool = False, plan: Plan | None = None,
) -> None:  # fmt: skip
    """``s = rho s + (1 - rho) g^2``, ``d = sqrt(u + eps) / sqrt(s + eps) g``, ``u = rho u + (1 - rho) d^2``, ``p -= lr d``.

    M. D. Zeiler, "ADADELTA: an adaptive learning rate method" (2012).
    """
    states = {"square_avgs": square_avgs, "acc_deltas": acc_deltas}
    _run("adadelta", plan, params, grads, states, (), sign_of(maximize), weight_decay, -lr, rho, 1.0 - rho, eps)


def adamax(
    params: Sequence[Any], grads: Sequence[Any], exp_avgs: Sequence[Any], exp_infs: Sequence[Any], steps: Sequence[float], *,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float = 0.0, maximize: bool = False, plan: Plan | None = None,
) -> None:  # fmt: skip
    """``m += (1 - beta1)(g - m)``, ``u = max(beta2 u, |g| + eps)``, ``p -= lr / (1 - beta1^t) m / u``.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7.
    """
    states = {"exp_avgs": exp_avgs, "exp_infs": exp_infs}
    rates = [(-lr / (1.0 - beta1**t),) for t in steps]
    _run("adamax", plan, params, grads, states, rates, sign_of(maximize), weight_decay, 1.0 - beta1, beta2, eps)


def nadam(
    params: Sequence[Any], grads: Sequence[Any], exp_avgs: Sequence[Any], exp_avg_sqs: Sequence[Any],
    mus: Sequence[tuple[float, float, float]], steps: Sequence[float], *,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float = 0.0, decoupled: bool = False, maximize: bool = False,
    plan: Plan | None = None,
) -> None:  # fmt: skip
    """Adam with Nesterov's momentum: ``p -= lr ((1 - mu_t) / (1 - M) g + mu_next / (1 - M mu_next) m) / (sqrt(v / (1 - beta2^t)) + eps)``.

    ``mus`` has (mu_t, mu_next, M) of each parameter, M the product of all mu so far.  T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016
    workshop.
    """
    states = {"exp_avgs": exp_avgs, "exp_avg_sqs": exp_avg_sqs}
    numbers = [
        (-lr * (1.0 - mu) / (1.0 - product), -lr * later / (1.0 - product * later), 1.0 / (1.0 - beta2**t))
        for (mu, later, product), t in zip(mus, steps)
    ]
    through, decay = decays(lr, weight_decay, decoupled)
    _run("nadam", plan, params, grads, states, numbers, sign_of(maximize), through, decay, 1.0 - beta1, beta2, 1.0 - beta2, eps)


def radam(
    params: Sequence[Any], grads: Sequence[Any], exp_avgs: Sequence[Any], exp_avg_sqs: Sequence[Any], steps: Sequence[float], *,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float = 0.0, decoupled: bool = False, maximize: bool = False,
    plan: Plan | None = None,
) -> None:  # fmt: skip
    """Adam whose division by the spread waits until that is known: with ``r = 2 / (1 - beta2) - 1`` and ``r_t = r - 2 t beta2^t / (1 - beta2^t)``, a step
    of momentum while ``r_t <= 5``, then Adam's times ``sqrt((r_t - 4)(r_t - 2) r / ((r - 4)(r - 2) r_t))``.

    L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020.
    """
    longest = 2.0 / (1.0 - beta2) - 1.0

    def rates(t: float) -> tuple[float, float]:
        first, second = 1.0 - beta1**t, 1.0 - beta2**t
        length = longest - 2.0 * t * beta2**t / second
        if length <= 5.0:
            return -lr / first, 0.0
        rectification = math.sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length))
        return 0.0, -lr / first * math.sqrt(second) * rectification

    states = {"exp_avgs": exp_avgs, "exp_avg_sqs": exp_avg_sqs}
    through, decay = decays(lr, weight_decay, decoupled)
    numbers = [rates(t) for t in steps]
    _run("radam", plan, params, grads, states, numbers, sign_of(maximize), through, decay, 1.0 - beta1, beta2, 1.0 - beta2, eps)


def rprop(
    params: Sequence[Any], grads: Sequence[Any], prevs: Sequence[Any], step_sizes: Sequence[Any], *,
    etas: tuple[float, float], limits: tuple[float, float], maximize: bool = False, plan: Plan | None = None,
) -> None:  # fmt: skip
    """``p -= sign(g) size``: each element's size grows by ``etas[1]`` while its gradient keeps its sign, and shrinks by ``etas[0]`` (that step being left out)
    where it changes, within ``limits``.

    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", ICNN 1993.
    """
    _run("rprop", plan, params, grads, {"prevs": prevs, "step_sizes": step_sizes}, (), sign_of(maximize), 0.0, *etas, *limits)


def asgd(
    params: Sequence[Any], grads: Sequence[Any], axs: Sequence[Any], etas: Sequence[float], mus: Sequence[float], *,
    lambd: float, weight_decay: float = 0.0, maximize: bool = False, plan: Plan | None = None,
) -> None:  # fmt: skip
    """``p = (1 - lambd eta) p - eta g`` and the average ``a += mu (p - a)``, with an eta and a mu for each parameter.

    B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control and Optimization 30 (1992).
    """
    numbers = [(-eta, 1.0 - lambd * eta, mu) for eta, mu in zip(etas, mus)]
    _run("asgd", plan, params, grads, {"axs": axs}, numbers, sign_of(maximize), weight_decay)
