"""How samples move as the parameters do: derivatives of the quantiles of the gamma and beta distributions.

A sample x of the distribution function F(x; a) is the quantile of some fixed u, and implicit differentiation of F(x; a) = u gives
dx/da = −(∂F/∂a) / p(x; a).  M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients" (2018).

For both distributions ∂ log p(t)/∂a is log t − E with E the mean of log t, so that, all of it having mean zero,

    dx/da = ∫₀ˣ p(t) (E − log t) dt / p(x) = ∫ₓ p(t) (log t − E) dt / p(x),

of which the first is free of cancellation for log x < E and the second for log x > E.  With t a function of x and s ≥ 0 such that the ratio
p(t) / p(x) is exp(L(s)), where L(0) = 0 and nothing overflows, the integral over s is a sum over s = w exp(v − exp(−v)) at equal steps of v, which
converges exponentially: H. Takahasi and M. Mori, "Double exponential formulas for numerical integration" (1974).  w is the smallest scale on which
L changes, and the steps reach as far as the integrand does.  Everything is computed in float64; errors are below 1e-8 of the result.
"""

from __future__ import annotations

from typing import Callable

from ..creation import arange
from ..dtypes import finfo, float64
from ..tensor import Tensor
from .copy import cat
from .elementwise import where

_POINTS = 64
_BLOCK = 1 << 14  # elements at a time: a point of the sum is an array of them

Integrand = Callable[[Tensor], Tensor]


def _integral(integrand: Integrand, scale: Tensor, reach: Tensor) -> Tensor:
    """∫₀^∞ of a function of s that changes on the scale of ``scale`` at first and is negligible beyond ``reach``, element by element."""
    low = -3.7  # where s is exp(-44) of the scale
    high = (reach / scale).log().clamp(min=2.0) + 0.1
    step = (high - low) / (_POINTS - 1)
    v = low + step * arange(_POINTS, dtype=float64, device=scale.device).reshape(-1, 1)
    fall = (-v).exp()
    s = scale * (v - fall).exp()
    return (integrand(s) * s * (1 + fall)).sum(0) * step


def _reach(decay: Tensor, drive: Tensor) -> Tensor:
    """An s beyond which exp(−decay s + drive (1 − e⁻ˢ)) is below exp(−40): 1 − e⁻ˢ is at most 1, at most s, and at most s − s²/3 for s ≤ 1."""
    reach = (40 + drive) / decay
    parabola = (120 / drive).sqrt()
    reach = where(parabola <= 1, reach.minimum(parabola), reach)
    return where(decay > drive, reach.minimum(40 / (decay - drive).clamp(min=1e-300)), reach)


def _in_blocks(function: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """``function`` of float64 vectors, of some elements at a time, as a tensor of the shape and dtype of the first parameter."""
    flat = [p.to(float64).reshape(-1) for p in parameters]
    pieces = [function(*[p[start : start + _BLOCK] for p in flat]) for start in range(0, max(len(flat[0]), 1), _BLOCK)]
    whole = pieces[0] if len(pieces) == 1 else cat(pieces)
    return whole.reshape(parameters[0].shape).to(parameters[0].dtype)


# ---- gamma ------------------------------------------------------------------------------------------------------------------------


def gamma_slope(x: Tensor, concentration: Tensor) -> Tensor:
    """dx/da at the sample x of the gamma distribution of concentration a and rate 1."""
    return _in_blocks(_gamma_slope, x, concentration)


def _gamma_slope(x: Tensor, a: Tensor) -> Tensor:
    """t = x e⁻ˢ below and x eˢ above, where L is −a s + x (1 − e⁻ˢ) and a s − x (eˢ − 1)."""
    x = x.clamp(min=finfo(float64).tiny)
    mean_log = a.digamma()
    # For a < 1 the lower integral serves up to x = 1: the upper would be a plateau with an edge.
    sign = where(x > mean_log.exp().clamp(min=1.0), 1.0, -1.0)
    centre = sign * (x.log() - mean_log)

    def integrand(s: Tensor) -> Tensor:
        return (sign * a * s - x * (sign * s).expm1()).exp() * (centre + s)

    slope = (a - x).abs()
    upper = ((100 / x).sqrt() + 1 / x).minimum(where(x > a, 40 / (x - a).clamp(min=1e-300), float("inf")))
    return x * _integral(integrand, 1 / (slope + x.sqrt()), where(sign > 0, upper, _reach(a, x)))


# ---- beta -------------------------------------------------------------------------------------------------------------------------


def dirichlet_slope(x: Tensor, concentration: Tensor) -> Tensor:
    """(dxᵢ/dαᵢ) / (1 − xᵢ) at a sample x of the Dirichlet distribution: xᵢ is a beta number of parameters αᵢ and the sum of the others."""
    others = concentration.to(float64).sum(-1, keepdim=True) - concentration
    return _in_blocks(_beta_slope, x, concentration, others.expand(x.shape))


def _beta_slope(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """t = x e⁻ˢ below and 1 − t = (1 − x) e⁻ˢ above: with q the x or 1 − x of the two, d the parameter beside it and c the other,
    L is −d s + (c − 1) log((1 − q e⁻ˢ) / (1 − q))."""
    x = x.clamp(min=1e-150, max=1 - finfo(float64).eps / 2)  # whose square is a number too
    mean_log = a.digamma() - (a + b).digamma()
    below = x.log() < mean_log
    q, decay, other = where(below, x, 1 - x), where(below, a, b), where(below, b, a)
    rest = where(below, 1 - x, x)  # 1 − q, which may be far below q's last digit
    odds, log_rest = q / rest, rest.log()
    centre = mean_log - x.log()

    def integrand(s: Tensor) -> Tensor:
        log_other = (rest - q * (-s).expm1()).log()
        return (-decay * s + (other - 1) * (log_other - log_rest)).exp() * where(below, centre + s, log_other - mean_log)

    drive = (other - 1).clamp(min=0.0) * odds  # log(1 + z) <= z
    curvature = ((other - 1).abs() * odds * (1 + odds)).sqrt()
    scale = 1 / ((decay - drive).abs() + curvature + (1 - other).clamp(min=0.0) * odds)
    return where(below, odds, 1.0) * _integral(integrand, scale, _reach(decay, drive.clamp(min=1e-300)))
