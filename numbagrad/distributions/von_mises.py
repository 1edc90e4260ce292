"""The von Mises distribution."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import no_grad
from ..creation import empty, zeros
from ..dtypes import bool_, float64
from ..ops.elementwise import where
from ..ops.random import rand
from ..special import i0e, i1e
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, lazy_property

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles in radians: p(x) = exp(κ cos(x − μ)) / (2π I₀(κ)), μ = ``loc`` and κ = ``concentration``.  Samples lie in [−π, π)."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False
    _expands = ("loc", "concentration")

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        k = self.concentration  # log I₀(κ) is log(I₀(κ) exp(−κ)) + κ
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - i0e(k).log()

    @lazy_property
    def _envelope(self) -> Tensor:
        """r of the wrapped Cauchy distribution that samples are proposed by; 1/κ + κ for a small κ.  float64."""
        k = self.concentration.to(float64)
        tau = 1 + (1 + 4 * k**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        return where(k < 1e-5, 1 / k + k, (1 + rho**2) / (2 * rho))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By rejection, in float64: D. J. Best and N. I. Fisher, "Efficient simulation of the von Mises distribution" (1979)."""
        shape, place = tuple(self._extended_shape(sample_shape)), self.loc.device
        with no_grad():
            k, r = self.concentration.to(float64), self._envelope
            angle, done = empty(shape, dtype=float64, device=place), zeros(shape, dtype=bool_, device=place)
            while not bool(done.all()):
                u1, u2, u3 = rand((3, *shape), dtype=float64, device=place).unbind()
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accepted = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
                angle = where(accepted & ~done, (u3 - 0.5).sign() * f.clamp(min=-1, max=1).acos(), angle)
                done = done | accepted
            return ((angle + math.pi + self.loc.to(float64)) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """The circular mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The circular variance, 1 − I₁(κ)/I₀(κ)."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)
