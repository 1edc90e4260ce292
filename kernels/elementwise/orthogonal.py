"""The orthogonal polynomials of PyTorch's ``special``, of degree n at x.  (Declared as the formulas in ``formulas``.)

Their recurrences are loops over the degree, which stand in ``kernels/_special/orthogonal``.
"""

from __future__ import annotations

from .. import _formula as f
from ._declare import Elementwise

NAMES = """chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p""".split()


def _polynomial(name: str) -> Elementwise:
    return Elementwise(
        name, ["x", "n"], lambda: f.trace(lambda x, n: f.POLYNOMIALS[name](x, n), name), "float", "bif", f"{name} of degree n at x"
    )


def _shifted(name: str) -> Elementwise:
    """The same on the interval from 0 to 1."""
    full = f"shifted_{name}"
    return Elementwise(
        full,
        ["x", "n"],
        lambda: f.trace(lambda x, n: f.POLYNOMIALS[name](x + x - 1, n), full),
        "float",
        "bif",
        f"{name} of degree n at 2x − 1",
    )


POLYNOMIALS = {name: _polynomial(name) for name in NAMES}
POLYNOMIALS |= {f"shifted_{name}": _shifted(name) for name in NAMES[:4]}
