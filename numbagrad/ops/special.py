"""The gamma function and its relatives, and the other special functions that have a name outside ``numbagrad.special``."""

from __future__ import annotations

import math

from ..kernels.elementwise import bessel, special
from ..tensor import Tensor
from ._arguments import tensor_argument
from ._out import into
from .elementwise import composed, declare, operation

_polygamma, _trigamma = operation(special.polygamma, "polygamma"), operation(special.trigamma, "polygamma")
_digamma, _lgamma = operation(special.digamma, "digamma"), operation(special.lgamma, "lgamma")


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of digamma, n = 0 being that itself.  Raises RuntimeError for a negative n."""
    if isinstance(n, Tensor):  # the method has the arguments the other way round
        n, input = input, n  # type: ignore[assignment]
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    y = _digamma(input) if n == 0 else _trigamma(input) if n == 1 else _polygamma(input, float(n))
    return y if out is None else into(out, y)


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """log Γ_p(x) = p(p − 1)/4 · log π + Σⱼ log Γ(x − j/2), j = 0 ... p − 1.  Raises RuntimeError for p < 1."""
    x = tensor_argument(input, "mvlgamma", "input")
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if x.is_complex() or x.dtype.name == "bool":
        raise RuntimeError(f"\"mvlgamma\" not implemented for '{x.dtype.title}'")
    total = _lgamma(x)
    for j in range(1, p):
        total = total + _lgamma(x - 0.5 * j)
    return total + 0.25 * p * (p - 1) * math.log(math.pi)


lgamma = declare(special.lgamma, "lgamma")
digamma = declare(special.digamma, "digamma")
composed(polygamma, "polygamma")
composed(mvlgamma, "mvlgamma")
igamma = declare(special.igamma, "igamma", numbers="none")
igammac = declare(special.igammac, "igammac", numbers="none")
i0 = declare(bessel.i0, "i0")
