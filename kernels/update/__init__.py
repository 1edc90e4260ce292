"""Optimizer steps: one launch over all parameters of a group, each updated in place in a single pass over memory.

Parameters are lists of arrays of any layout; ``grads`` and the optimizer's states are lists of arrays of the same shapes and dtypes.
float32 and float64 are computed as such, complex numbers part by part, 16-bit floats in float32.  The order of operations is PyTorch's, so
trajectories agree to rounding.  ``plan`` (a ``Plan`` of the caller's) keeps what was found out about the arrays for the next call.

Parameters may lie on several devices; there is then a launch for each.  All raise RuntimeError for lists of different lengths and for arrays that do
not match their parameter or lie on another device than it.
"""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from .._device import device_of, on_cpu
from ..copy import cat, empty, fill, transfer
from ._plan import Part, Plan, parts_of
from ._step import decays, sign_of
from ._step import on as _on
from ._step import parts_for as _parts
from .adaptive import adadelta, adamax, asgd, nadam, radam, rprop

__all__ = [
    "Plan", "adadelta", "adagrad", "adam", "adamax", "asgd", "nadam", "norms", "radam", "rmsprop", "rprop", "scale_", "sgd", "total_norm", "unscale_",
    "zero_",
]  # fmt: skip


def sgd(
    params: Sequence[Any],
    grads: Sequence[Any],
    momentum_buffers: Sequence[Any] | None = None,
    first: Sequence[bool] | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    plan: Plan | None = None,
) -> None:
    """``p -= lr d``, with ``g += weight_decay p`` and, given buffers, ``b = momentum b + (1 - dampening) g`` and d = b (nesterov: ``g +
    momentum b``).

    Where ``first`` says so the buffer (which must hold zeros) becomes g itself, without dampening.  ``maximize`` negates the gradient.
    """
    sign = sign_of(maximize)
    if momentum_buffers is None:
        for part in _parts("sgd", plan, params, grads):
            part.bring("sgd", grads)
            part.implementation.sgd(part.table, -lr, sign, weight_decay)
            part.settle()
        return
    for part in _parts("sgd", plan, params, grads, momentum_buffers=momentum_buffers):
        part.bring("sgd", grads)
        gains: Any = 1.0 - dampening
        if first is not None and any(first):
            gains = [1.0 if new else 1.0 - dampening for new in part.pick(first)]
        part.implementation.sgd_momentum(part.table, gains, -lr, sign, weight_decay, momentum, nesterov)
        part.settle()


def adam(
    params: Sequence[Any],
    grads: Sequence[Any],
    exp_avgs: Sequence[Any],
    exp_avg_sqs: Sequence[Any],
    max_exp_avg_sqs: Sequence[Any] | None,
    steps: Sequence[float],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
    plan: Plan | None = None,
) -> None:
    """``m += (1 - beta1)(g - m)``, ``v = beta2 v + (1 - beta2) g^2``, ``p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)``.

    t is each parameter's entry of ``steps``, this step included.  ``weight_decay`` is added to the gradient, or if ``decoupled`` shrinks p
    first. With ``max_exp_avg_sqs`` the largest v so far takes its place (AMSGrad).

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; I. Loshchilov and F. Hutter, "Decoupled weight decay
    regularization", ICLR 2019; S. J. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond", ICLR 2018.
    """
    states = {"exp_avgs": exp_avgs, "exp_avg_sqs": exp_avg_sqs}
    if max_exp_avg_sqs is not None:
        states["max_exp_avg_sqs"] = max_exp_avg_sqs
    if len(steps) != len(params):
        raise RuntimeError(f"adam: expected {len(params)} steps, but got {len(steps)}")
    through, decay = decays(lr, weight_decay, decoupled)
    sign = sign_of(maximize)
    for part in _parts("adam", plan, params, grads, **states):
        part.bring("adam", grads)
        times = part.pick(steps)
        corrections = {t: (-lr / (1.0 - beta1**t), 1.0 / math.sqrt(1.0 - beta2**t)) for t in set(times)}
        rates: Any
        scales: Any
        if len(corrections) == 1:
            ((rates, scales),) = corrections.values()
        else:
            rates, scales = [corrections[t][0] for t in times], [corrections[t][1] for t in times]
        step = part.implementation.adam if max_exp_avg_sqs is None else part.implementation.amsgrad
        step(part.table, rates, scales, sign, through, decay, beta1, beta2, eps)
        part.settle()


def adagrad(
    params: Sequence[Any],
    grads: Sequence[Any],
    sums: Sequence[Any],
    steps: Sequence[float],
    *,
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
    plan: Plan | None = None,
) -> None:
    """``s += g^2``, ``p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)``; t is each parameter's entry of ``steps``, this step included.

    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12 (2011).
    """
    if len(steps) != len(params):
        raise RuntimeError(f"adagrad: expected {len(params)} steps, but got {len(steps)}")
    for part in _parts("adagrad", plan, params, grads, sums=sums):
        part.bring("adagrad", grads)
        rates = [-lr / (1.0 + (t - 1.0) * lr_decay) for t in part.pick(steps)]
        part.implementation.adagrad(part.table, rates, sign_of(maximize), weight_decay, eps)
        part.settle()


def rmsprop(
    params: Sequence[Any],
    grads: Sequence[Any],
    square_avgs: Sequence[Any],
    grad_avgs: Sequence[Any] | None = None,
    momentum_buffers: Sequence[Any] | None = None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
    plan: Plan | None = None,
) -> None:
    """``s = alpha s + (1 - alpha) g^2``, ``d = g / (sqrt(s) + eps)``, ``p -= lr d``.

    With ``grad_avgs`` centered: ``a += (1 - alpha)(g - a)`` and ``sqrt(s - a^2)``.  With ``momentum_buffers``: ``b = momentum b + d``, ``p
    -= lr b``.

    T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", COURSERA Neural Networks for Machine Learning (2012); the centered form: A. Graves,
    "Generating sequences with recurrent neural networks" (2013).
    """
    states = {"square_avgs": square_avgs}
    if grad_avgs is not None:
        states["grad_avgs"] = grad_avgs
    if momentum_buffers is not None:
        states["momentum_buffers"] = momentum_buffers
    for part in _parts("rmsprop", plan, params, grads, **states):
        part.bring("rmsprop", grads)
        step = part.implementation.rmsprop(grad_avgs is not None, momentum_buffers is not None)
        step(part.table, -lr, sign_of(maximize), weight_decay, alpha, eps, momentum)
        part.settle()


def _norms(arrays: Sequence[Any], norm_type: float) -> list[tuple[Part, Any]]:
    """The norms of the arrays of each part, as their device has them: a list of floats of the host, or an array."""
    found = []
    for part in parts_of(_on, "norms", None, arrays, {}, 0):
        part.fetch()
        complexes = [2 if dtype.kind == "c" else 1 for dtype in part.dtypes]
        found.append((part, part.implementation.norms(part.table, norm_type, complexes)))
    return found


def norms(arrays: Sequence[Any], norm_type: float = 2.0) -> list[float]:
    """``(sum |x|^p)^(1/p)`` of each array, ``max |x|`` for p = inf, ``min |x|`` for p = -inf, the count of non-zeros for p = 0.

    Sums are taken in fixed blocks, whose float64 sum follows.  Complex numbers count by their absolute value.  What is computed on a GPU is waited for.
    """
    found = [0.0] * len(arrays)
    for part, values in _norms(arrays, float(norm_type)):
        for i, value in zip(part.index, values if type(values) is list else transfer(values, "cpu").tolist()):
            found[i] = value
    return found


def total_norm(arrays: Sequence[Any], norm_type: float = 2.0) -> Any:
    """The norm of the norms of one or more arrays, as a 0-d array of float64 on the device of the first one, which is not waited for."""
    order, device = float(norm_type), device_of(arrays[0])
    each = [values for _, values in _norms(arrays, order)]
    if device == "cpu" and all(type(values) is list for values in each):
        return _on(arrays[0]).total_norm([value for values in each for value in values], order)
    placed = [transfer(np.asarray(values) if type(values) is list else values, device) for values in each]
    return _on(arrays[0]).total_norm(placed[0] if len(placed) == 1 else cat(placed), order)


def _placed(factor: Any, device: str) -> Any:
    """A factor for kernels of ``device``: a number, or a 0-d array that lies there."""
    if isinstance(factor, (int, float)) or (not isinstance(factor, np.ndarray) and device_of(factor) == device):
        return factor
    return float(factor.item()) if on_cpu(factor) or device == "cpu" else transfer(factor, device)


def scale_(arrays: Sequence[Any], factor: Any) -> None:
    """``x *= factor`` for every array, in place.  ``factor``: a number, or a 0-d array of any device, which is not waited for on a GPU."""
    for part in parts_of(_on, "scale_", None, arrays, {}, 0):
        part.fetch()
        part.implementation.scale(part.table, _placed(factor, part.device))
        part.settle()


def unscale_(arrays: Sequence[Any], factor: Any, found: Any = None) -> Any:
    """``x *= factor`` for every array, in place, as ``scale_``; returns ``found``, a 0-d float32 array on their device (made, of 0, unless given): it becomes 1
    if an element was infinite or NaN before, and else stays.

    Raises RuntimeError for arrays on several devices.
    """
    if found is None:
        _on(*arrays)
        found = empty((), np.dtype(np.float32), device_of(arrays[0]) if arrays else "cpu")
        fill(found, 0.0)
    _on(found, *arrays)
    for part in parts_of(_on, "unscale_", None, arrays, {}, 0):
        part.fetch()
        part.implementation.unscale(part.table, _placed(factor, part.device), found)
        part.settle()
    return found


def zero_(arrays: Sequence[Any]) -> None:
    """``x = 0`` for every array, in place."""
    for part in parts_of(_on, "zero_", None, arrays, {}, 0):
        part.implementation.zero(part.table)
        part.settle()
