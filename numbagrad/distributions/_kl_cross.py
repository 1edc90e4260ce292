"""Divergences of two distributions of different families: KL(p ‖ q) = −H(p) − E_p log q(x).

log q is a combination of a few functions of x, so that each q needs their means under p: x, x², log x, log(1 − x), exp(−x/b).
"""

from __future__ import annotations

import math
from typing import Any

from ..creation import full_like
from ..ops.elementwise import where
from ..tensor import Tensor
from ._kl_registry import register_kl
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .continuous_bernoulli import ContinuousBernoulli
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .laplace import Laplace
from .normal import Normal
from .pareto import Pareto
from .poisson import Poisson
from .uniform import Uniform
from .utils import euler_constant

# ---- where p gives weight to what q does not --------------------------------------------------------------------------------------

_NOWHERE_FINITE = {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform),
    Poisson: (Bernoulli, Binomial),
}


def _infinite(p: Any, q: Any) -> Tensor:
    return full_like(p.mean, math.inf)


for _p, _qs in _NOWHERE_FINITE.items():
    for _q in _qs:
        register_kl(_p, _q)(_infinite)


def _starting_at(low: Any, p: Any, kl: Tensor) -> Tensor:
    """``kl``, infinite where p, if uniform, reaches below ``low``."""
    return where(p.low < low, math.inf, kl) if isinstance(p, Uniform) else kl


# ---- by moments -------------------------------------------------------------------------------------------------------------------


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Pareto, Normal)
@register_kl(Uniform, Normal)
def _to_normal(p: Any, q: Any) -> Tensor:
    """−E log q = log(σ√(2π)) + (Var x + (E x − μ)²)/(2σ²)"""
    spread = p.variance + (p.mean - q.loc).pow(2)
    return -p.entropy() + q.scale.log() + 0.5 * math.log(2 * math.pi) + spread / (2 * q.scale.pow(2))


@register_kl(Beta, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
@register_kl(Gamma, Exponential)
@register_kl(Pareto, Exponential)
@register_kl(Uniform, Exponential)
def _to_exponential(p: Any, q: Any) -> Tensor:
    """−E log q = λ E x − log λ"""
    return _starting_at(0, p, -p.entropy() - q.rate.log() + q.rate * p.mean)


@register_kl(Beta, ContinuousBernoulli)
@register_kl(Uniform, ContinuousBernoulli)
def _to_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    """−E log q = −E x logit λ − log(1 − λ) − log C(λ)"""
    kl = -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._log_norm()
    return where((p.low < 0) | (p.high > 1), math.inf, kl) if isinstance(p, Uniform) else kl


@register_kl(Beta, Uniform)
@register_kl(ContinuousBernoulli, Uniform)
def _to_uniform(p: Any, q: Any) -> Tensor:
    """−E log q = log(high − low)"""
    return where((q.low > 0) | (q.high < 1), math.inf, -p.entropy() + (q.high - q.low).log())


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Tensor:
    """−E log q = r − p log r, as 0! = 1! = 1"""
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


# ---- by means of logarithms -------------------------------------------------------------------------------------------------------


def _x_log_x(x: Tensor) -> Tensor:
    return x.xlogy(x)


def _uniform_mean_log(low: Tensor, high: Tensor) -> Tensor:
    """E log x on [low, high]."""
    return (_x_log_x(high) - _x_log_x(low)) / (high - low) - 1


def _mean_log(p: Any) -> Tensor:
    """E log x"""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return _uniform_mean_log(p.low, p.high)


@register_kl(Beta, Gamma)
@register_kl(Exponential, Gamma)
@register_kl(Pareto, Gamma)
@register_kl(Uniform, Gamma)
def _to_gamma(p: Any, q: Any) -> Tensor:
    """−E log q = log Γ(a) − a log β − (a − 1) E log x + β E x"""
    a = q.concentration
    return _starting_at(0, p, -p.entropy() + a.lgamma() - a * q.rate.log() - (a - 1) * _mean_log(p) + q.rate * p.mean)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Tensor:
    """−E log q = log B(a, b) − (a − 1) E log x − (b − 1) E log(1 − x)"""
    a, b = q.concentration1, q.concentration0
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    kl = -p.entropy() + log_beta - (a - 1) * _mean_log(p) - (b - 1) * _uniform_mean_log(1 - p.high, 1 - p.low)
    return where((p.high > 1) | (p.low < 0), math.inf, kl)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Tensor:
    """−E log q = (α + 1) E log x − log α − α log m"""
    return _starting_at(q.scale, p, -p.entropy() + (q.alpha + 1) * _mean_log(p) - q.alpha.log() - q.alpha * q.scale.log())


# ---- to a Gumbel or Laplace distribution ------------------------------------------------------------------------------------------


def _to_gumbel(p: Any, q: Any, mean_exp: Tensor) -> Tensor:
    """−E log q = log β + E z + E exp(−z), z = (x − μ)/β; ``mean_exp`` is the last."""
    return -p.entropy() + q.scale.log() + (p.mean - q.loc) / q.scale + mean_exp


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Tensor:
    rate = p.rate * q.scale
    return _to_gumbel(p, q, (q.loc / q.scale).exp() * rate / (rate + 1))


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Tensor:
    rate = p.rate * q.scale
    return _to_gumbel(p, q, (q.loc / q.scale).exp() * (1 + rate.reciprocal()).pow(-p.concentration))


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Tensor:
    return _to_gumbel(p, q, ((q.loc - p.loc) / q.scale + 0.5 * (p.scale / q.scale).pow(2)).exp())


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Tensor:
    low, high = (p.low - q.loc) / q.scale, (p.high - q.loc) / q.scale
    return _to_gumbel(p, q, ((-low).exp() - (-high).exp()) / (high - low))


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Tensor:
    """−E log q = log(2b) + E|x − μ|/b, and |x − μ| is a folded normal number."""
    away = p.loc - q.loc
    z = away / p.scale
    mean_distance = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z.pow(2)).exp() + away * (math.sqrt(0.5) * z).erf()
    return -p.entropy() + (2 * q.scale).log() + mean_distance / q.scale
