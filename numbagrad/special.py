"""Special functions, under the names of ``torch.special``.

The formulas are in ``kernels.elementwise``: ``special`` (gamma, the normal distribution), ``bessel`` and ``orthogonal``, which name their sources.  All take
tensors; where there are two arguments one of them may be a number.  Integers give the default float.  Functions without a derivative, as in
PyTorch, raise RuntimeError when a backward pass reaches them.
"""

from __future__ import annotations

from typing import Any

from .kernels import elementwise as kernels
from .kernels.elementwise import bessel, numbers, orthogonal
from .kernels.elementwise import special as formulas
from .ops import FUNCTIONS
from .ops._out import into
from .ops.elementwise import function, operation, without_derivative
from .ops.special import digamma, i0, igamma, igammac, lgamma, polygamma

erf, erfc, erfinv, exp2, expm1, expit, log1p = (FUNCTIONS[name] for name in "erf erfc erfinv exp2 expm1 sigmoid log1p".split())
log_softmax, logit, logsumexp, mvlgamma, round, sinc, softmax, xlogy = (
    FUNCTIONS[name] for name in "log_softmax logit logsumexp mvlgamma round sinc softmax xlogy".split()
)
gammaln, psi, multigammaln, gammainc, gammaincc = lgamma, digamma, mvlgamma, igamma, igammac

entr = function(formulas.entr, "special_entr")
erfcx = function(formulas.erfcx, "special_erfcx")
i0e = function(bessel.i0e, "special_i0e")
i1 = function(bessel.i1, "special_i1")
i1e = function(bessel.i1e, "special_i1e")
log_ndtr = function(formulas.log_ndtr, "special_log_ndtr")
ndtr = function(formulas.ndtr, "special_ndtr")
ndtri = function(formulas.ndtri, "special_ndtri")
xlog1py = function(numbers.xlog1py, "special_xlog1py", numbers="both")
zeta = function(formulas.zeta, "special_zeta", numbers="both")


def _plain(kernel: kernels.Elementwise) -> Any:
    """A function of one argument without a derivative."""
    op = operation(kernel)

    def call(input: Any, *, out: Any = None) -> Any:
        y = without_derivative(op(input), op.name)
        return y if out is None else into(out, y)

    call.__name__ = call.__qualname__ = kernel.name
    call.__doc__ = kernel.__doc__
    return call


airy_ai = _plain(bessel.airy_ai)
bessel_j0, bessel_j1 = _plain(bessel.bessel_j0), _plain(bessel.bessel_j1)
bessel_y0, bessel_y1 = _plain(bessel.bessel_y0), _plain(bessel.bessel_y1)
modified_bessel_i0, modified_bessel_i1 = _plain(bessel.i0), _plain(bessel.i1)
modified_bessel_k0, modified_bessel_k1 = _plain(bessel.modified_bessel_k0), _plain(bessel.modified_bessel_k1)
scaled_modified_bessel_k0 = _plain(bessel.scaled_modified_bessel_k0)
scaled_modified_bessel_k1 = _plain(bessel.scaled_modified_bessel_k1)
spherical_bessel_j0 = _plain(bessel.spherical_bessel_j0)


def _polynomial(name: str) -> Any:
    """A family of orthogonal polynomials: a function of x and the degree n, which may be a number or a tensor."""
    op = operation(orthogonal.POLYNOMIALS[name], f"special_{name}")

    def call(input: Any, n: Any, *, out: Any = None) -> Any:
        y = without_derivative(op(input, n), op.name)
        return y if out is None else into(out, y)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{op.kernel.__doc__}; 0 for n < 0.  Either may be a number."
    return call


chebyshev_polynomial_t, shifted_chebyshev_polynomial_t = (
    _polynomial("chebyshev_polynomial_t"),
    _polynomial("shifted_chebyshev_polynomial_t"),
)
chebyshev_polynomial_u, shifted_chebyshev_polynomial_u = (
    _polynomial("chebyshev_polynomial_u"),
    _polynomial("shifted_chebyshev_polynomial_u"),
)
chebyshev_polynomial_v, shifted_chebyshev_polynomial_v = (
    _polynomial("chebyshev_polynomial_v"),
    _polynomial("shifted_chebyshev_polynomial_v"),
)
chebyshev_polynomial_w, shifted_chebyshev_polynomial_w = (
    _polynomial("chebyshev_polynomial_w"),
    _polynomial("shifted_chebyshev_polynomial_w"),
)
hermite_polynomial_h, hermite_polynomial_he = _polynomial("hermite_polynomial_h"), _polynomial("hermite_polynomial_he")
laguerre_polynomial_l, legendre_polynomial_p = _polynomial("laguerre_polynomial_l"), _polynomial("legendre_polynomial_p")

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v",
    "chebyshev_polynomial_w", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
    "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e", "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr",
    "log_softmax", "logit", "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln",
    "ndtr", "ndtri", "polygamma", "psi", "round", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v", "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0",
    "xlog1py", "xlogy", "zeta",
]  # fmt: skip
