"""Gamma, Poisson, binomial numbers and points of simplices by NumPy's generators, on the host.

These are rejection methods, which use up as many random words as they happen to need.  So each draw has a generator of its own, Philox with the draw's
seed and place in the counter for its key (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the same draw gives the same
numbers again, and nothing depends on how many words another took.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dtypes
from ..copy import cast
from ..linalg import on_host


def _generator(seed: int, offset: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, offset], np.uint64)))


def _wide(x: Any) -> np.ndarray:
    return cast(x, _dtypes.float64)


@on_host
def standard_gamma(concentration: Any, seed: int, offset: int) -> Any:
    """Numbers of density x^(a−1) e^(−x) / Γ(a), a = ``concentration``; 0 for a = 0, NaN for what is less.

    By G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables" (2000).
    """
    wide = _wide(concentration)
    drawn = _generator(seed, offset).standard_gamma(np.where(wide > 0, wide, 1.0), wide.shape)
    return cast(np.where(wide > 0, drawn, np.where(wide == 0, 0.0, np.nan)), concentration.dtype)


@on_host
def dirichlet(concentration: Any, seed: int, offset: int) -> Any:
    """Points of the simplex along the last dimension: gamma numbers over their sum.

    The logarithm of a gamma number of concentration a is that of one of a + 1, plus log(u)/a with u uniform: it never underflows, however small a is.
    """
    wide, generator = _wide(concentration), _generator(seed, offset)
    positive = wide > 0
    a = np.where(positive, wide, 1.0)
    log_gamma = np.log(generator.standard_gamma(a + 1.0, a.shape)) - generator.standard_exponential(a.shape) / a
    weights = np.exp(log_gamma - log_gamma.max(-1, keepdims=True, initial=-np.inf))
    return cast(np.where(positive, weights / weights.sum(-1, keepdims=True), np.nan), concentration.dtype)


@on_host
def poisson(rate: Any, seed: int, offset: int) -> Any:
    """Counts of probability r^k e^(−r) / k!.  By W. Hörmann, "The transformed rejection method for generating Poisson random variables" (1993).

    Raises RuntimeError for a rate that is negative, NaN, or 2^62 and more.
    """
    wide = _wide(rate)
    if not (wide >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    if not (wide < 2.0**62).all():
        raise RuntimeError(f"poisson: expected rates below 2^62, but got {wide.max():g}")
    return cast(_generator(seed, offset).poisson(wide, wide.shape).astype(np.float64), rate.dtype)


@on_host
def binomial(count: Any, prob: Any, seed: int, offset: int) -> Any:
    """How many of ``count`` trials succeed, each with probability ``prob`` (limited to [0, 1]); NaN where either is NaN.  Arrays of one shape.

    By V. Kachitvichyanukul and B. W. Schmeiser, "Binomial random variate generation" (1988).  Raises RuntimeError for a count of 2^62 and more.
    """
    trials, chance = _wide(count), _wide(prob)
    unknown = np.isnan(trials) | np.isnan(chance)
    if not (unknown | (trials < 2.0**62)).all():
        raise RuntimeError(f"binomial: expected counts below 2^62, but got {np.nanmax(trials):g}")
    trials, chance = np.where(unknown, 0.0, np.maximum(trials, 0.0)), np.where(unknown, 0.0, np.clip(chance, 0.0, 1.0))
    drawn = _generator(seed, offset).binomial(trials.astype(np.int64), chance, trials.shape).astype(np.float64)
    return cast(np.where(unknown, np.nan, drawn), prob.dtype)
