"""Numbers drawn with parameters of their own for each element: Poisson and binomial counts, gamma numbers, points of simplices.

The last two are differentiable functions of their concentrations; see ``_pathwise``.
"""

from __future__ import annotations

from typing import Any

from ..autograd.mode import no_grad
from ..creation import zeros_like
from ..generator import Generator
from ..kernels.random import host
from ..tensor import Tensor, wrap
from ._arguments import tensor_argument
from ._attach import public
from ._operation import differentiable
from ._pathwise import dirichlet_slope, gamma_slope
from .elementwise import without_derivative
from .random import _key_beside
from .views import broadcast_tensors


def _draw(operation: Any, op: str, generator: Generator | None, *parameters: Tensor) -> Any:
    """``operation`` of tensors of one shape, at the place of the counter where the generator stands."""
    for parameter in parameters:
        if not parameter.is_floating_point():
            raise NotImplementedError(f"\"{op}\" not implemented for '{parameter.dtype.title}'")
    key = _key_beside(parameters[0], generator, parameters[0].numel(), op)
    return operation(*parameters, key["seed"], key["offset"])


_poisson = differentiable("poisson", host.poisson, rate=lambda rate: zeros_like(rate))
_binomial = differentiable("binomial", host.binomial, count=lambda g: g, prob=lambda g: g)


@public(method=False)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts k of probability r^k exp(−r) / k!, r being the rates in ``input``, in its dtype.  The gradient is zero.

    Raises RuntimeError for a negative rate or NaN, NotImplementedError for a dtype that is not floating.
    """
    return _draw(_poisson, "poisson", generator, tensor_argument(input, "poisson", "input"))


@public(method=False)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of ``count`` trials succeed, each with probability ``prob``; both broadcast and are of one floating dtype.  No derivative.

    Raises ValueError for a dtype that is not floating, RuntimeError for two dtypes.
    """
    count, prob = tensor_argument(count, "binomial", "count"), tensor_argument(prob, "binomial", "prob")
    for name, value in (("count", count), ("prob", prob)):
        if not value.is_floating_point():
            raise ValueError(f"binomial only supports floating-point dtypes for {name}, got: {value.dtype.title}")
    if count.dtype != prob.dtype:
        raise RuntimeError(f"binomial: Found dtype {prob.dtype.title} but expected {count.dtype.title}")
    return without_derivative(_draw(_binomial, "binomial", generator, *broadcast_tensors(count, prob)), "binomial")


# ---- with gradients ---------------------------------------------------------------------------------------------------------------


def _refused(name: str) -> Any:
    """The rule of a derivative that is not differentiable itself."""

    def rule(g: Tensor) -> Tensor:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return rule


def _slope(name: str, function: Any) -> Any:
    """``function`` of two tensors, whose own derivative is an error to ask for."""

    def forward(x: Any, concentration: Any) -> Any:
        with no_grad():
            return function(wrap(x), wrap(concentration))._data

    return differentiable(name, forward, x=_refused(name), concentration=_refused(name))


_gamma_grad, _dirichlet_grad = _slope("standard_gamma_grad", gamma_slope), _slope("dirichlet_grad", dirichlet_slope)
_standard_gamma = differentiable(
    "standard_gamma", host.standard_gamma, concentration=lambda g, y, concentration: g * _gamma_grad(y, concentration)
)


def _dirichlet_rule(g: Tensor, y: Tensor, concentration: Tensor) -> Tensor:
    """As yᵢ grows at dyᵢ/dαᵢ, the other elements keep their proportions: each shrinks by yⱼ/(1 − yᵢ) of it."""
    return _dirichlet_grad(y, concentration) * (g - (y * g).sum(-1, keepdim=True))


_dirichlet = differentiable("dirichlet", host.dirichlet, concentration=_dirichlet_rule)


def standard_gamma(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of density x^(a−1) exp(−x) / Γ(a), a being ``concentration``, as differentiable functions of it."""
    return _draw(_standard_gamma, "standard_gamma", generator, tensor_argument(concentration, "standard_gamma", "concentration"))


def sample_dirichlet(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Points of the simplex along the last dimension, of density ∏ xᵢ^(αᵢ−1) up to a factor, as differentiable functions of α, ``concentration``."""
    return _draw(_dirichlet, "dirichlet", generator, tensor_argument(concentration, "sample_dirichlet", "concentration"))
